//! Queries of the indexes: pages of batches, by their IDs.

use aws_sdk_dynamodb::types::AttributeValue;
use landfall_core::moment::Time;

use super::item::{self, Item};
use super::{Ledger, LedgerError};

/// The most IDs that one page gives.
pub(super) const PAGE: i32 = 1000;

/// A batch that an index leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub id: String,
    /// Since when it waits or is there, or for when it is due.
    pub at: Time,
}

impl Waiting {
    /// Reads an entry of an index, whose sort key is `at`.
    pub(super) fn read(item: &Item, at: &str) -> Option<Self> {
        let id = item.get("pk")?.as_s().ok()?.strip_prefix("batch#")?.to_owned();
        Some(Self { id, at: item::time(item, at)? })
    }
}

/// Puts the newest first. What was opened in the same millisecond has an order too.
pub(super) fn newest_first(found: &mut [Waiting]) {
    found.sort_by(|one, other| (other.at, &other.id).cmp(&(one.at, &one.id)));
}

/// Which entries of an index are read, and in which order.
#[derive(Debug)]
pub(super) struct IndexQuery<'q> {
    pub index: &'static str,
    /// What is looked for, for an error.
    pub id: &'q str,
    pub condition: &'static str,
    /// The values that stand in `condition`.
    pub values: Vec<(&'static str, AttributeValue)>,
    /// The index's sort key, a time.
    pub at: &'static str,
    pub newest_first: bool,
    /// The most entries of one page.
    pub limit: i32,
}

impl<'q> IndexQuery<'q> {
    /// Batches that wait for this, the oldest first.
    pub fn awaiting(awaits: &'q str) -> Self {
        Self {
            index: "awaits",
            id: awaits,
            condition: "awaits = :awaits",
            values: vec![(":awaits", item::text(awaits))],
            at: "awaits_since",
            newest_first: false,
            limit: PAGE,
        }
    }

    /// Batches of one shard that are due at any time, the most overdue first.
    pub fn due(shard: u8) -> Self {
        Self {
            index: "due",
            id: "due",
            condition: "due_shard = :shard",
            values: vec![(":shard", item::text(item::shard(shard)))],
            at: "due_at",
            newest_first: false,
            limit: PAGE,
        }
    }
}

impl Ledger {
    /// Reads a page, which begins at `from`. Returns where the next one begins too, if there is one.
    pub(super) async fn page(
        &self,
        query: &IndexQuery<'_>,
        from: Option<Item>,
    ) -> Result<(Vec<Waiting>, Option<Item>), LedgerError> {
        let values = query.values.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(query.index)
            .key_condition_expression(query.condition)
            .set_expression_attribute_values(Some(values.collect()))
            .set_scan_index_forward(query.newest_first.then_some(false))
            .limit(query.limit)
            .set_exclusive_start_key(from)
            .send()
            .await
            .map_err(|error| self.failed("search", query.id, &error))?;
        let found = answer.items().iter().filter_map(|found| Waiting::read(found, query.at));
        Ok((found.collect(), answer.last_evaluated_key))
    }

    /// Reads `most` pages at most, and no further one unless `has_time`. Returns `true` beside them if these are all.
    pub(super) async fn pages(
        &self,
        query: &IndexQuery<'_>,
        most: usize,
        has_time: impl Fn() -> bool,
    ) -> Result<(Vec<Waiting>, bool), LedgerError> {
        let (mut found, mut next) = self.page(query, None).await?;
        for _ in 1..most {
            if next.is_none() || !has_time() {
                break;
            }
            let (more, behind) = self.page(query, next).await?;
            found.extend(more);
            next = behind;
        }
        Ok((found, next.is_none()))
    }
}
