//! Queries the indexes: they give pages of batch IDs.

use aws_sdk_dynamodb::types::AttributeValue;
use landfall_core::moment::Time;

use super::item::{self, Item};
use super::{Ledger, LedgerError};
use crate::dynamodb::number;

/// The most IDs in one page.
pub(super) const PAGE: i32 = 1000;

/// A batch that an index leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The batch's ID.
    pub id: String,
    /// Since when the batch exists or waits, or when it is due, depending on the index.
    pub at: Time,
}

impl Waiting {
    /// Reads an entry of an index, whose sort key is `at`.
    pub(super) fn read(item: &Item, at: &str) -> Option<Self> {
        let id = item.get("pk")?.as_s().ok()?.strip_prefix("batch#")?.to_owned();
        Some(Self { id, at: item::time(item, at)? })
    }
}

/// Puts the newest first. Batches that were opened in the same millisecond have a stable order too.
pub(super) fn newest_first(found: &mut [Waiting]) {
    found.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
}

/// Which entries of an index to read, and in which order.
#[derive(Debug)]
pub(super) struct IndexQuery<'q> {
    pub index: &'static str,
    /// What the query looks for, for error messages.
    pub id: &'q str,
    pub condition: &'static str,
    /// The values in `condition`.
    pub values: Vec<(&'static str, AttributeValue)>,
    /// The name of the index's sort key, which is a time.
    pub at: &'static str,
    pub newest_first: bool,
    /// The most entries in one page.
    pub limit: i32,
}

impl<'q> IndexQuery<'q> {
    /// Queries the batches that wait for `awaits`, the oldest first.
    pub(crate) fn awaiting(awaits: &'q str) -> Self {
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

    /// Queries the batches of a route that were opened at `since` or later, the newest first.
    pub(crate) fn opened(route: &'q str, since: Time) -> Self {
        Self {
            index: "routes",
            id: route,
            condition: "route = :route AND created_at >= :since",
            values: vec![(":route", item::text(route)), (":since", number(since.0))],
            at: "created_at",
            newest_first: true,
            limit: PAGE,
        }
    }

    /// Queries the batches of one shard that are due at any time, the most overdue first.
    pub(crate) fn due(shard: u8) -> Self {
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
    /// Reads the page that begins at `from`. Also returns where the next page begins, if there is
    /// one.
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
            .limit(query.limit.min(self.page))
            .set_exclusive_start_key(from)
            .send()
            .await
            .map_err(|error| self.failed("search", query.id, &error))?;
        let found = answer.items().iter().filter_map(|found| Waiting::read(found, query.at));
        Ok((found.collect(), answer.last_evaluated_key))
    }

    /// Reads at most `most` pages, and stops when `has_time` returns `false`. The second value is
    /// `true` if these are all.
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
