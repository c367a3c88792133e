//! Finding batches: those that are due, those that wait for something, those of a route, that of an
//! object.

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{StreamExt, TryStreamExt, stream};
use landfall_core::batch::Batch;
use landfall_core::moment::Time;

use super::item::{self, Item};
use super::{CONCURRENT_READS, Ledger, LedgerError};
use crate::dynamodb::number;

/// The most ids that are read of one shard at a time.
const PAGE: i32 = 1000;

/// A batch that waits, by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub id: String,
    /// Since when, or for when it is due.
    pub at: Time,
}

/// An object version in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub route: String,
    pub batch: String,
    pub recorded_at: Time,
}

impl Ledger {
    /// Batches that are due, the most overdue first; the second value is whether there are more than
    /// were read.
    ///
    /// # Errors
    /// The table does not answer.
    pub async fn due(&self, now: Time) -> Result<(Vec<Waiting>, bool), LedgerError> {
        let mut found = Vec::new();
        let mut more = false;
        for shard in 0..item::DUE_SHARDS {
            let answer = self
                .client
                .query()
                .table_name(&self.table)
                .index_name("due")
                .key_condition_expression("due_shard = :shard AND due_at <= :now")
                .expression_attribute_values(":shard", item::text(item::shard(shard)))
                .expression_attribute_values(":now", number(now.0))
                .limit(PAGE)
                .send()
                .await
                .map_err(|error| self.failed("search", "due", &error))?;
            more |= answer.last_evaluated_key.is_some();
            found.extend(answer.items().iter().filter_map(|found| waiting(found, "due_at")));
        }
        found.sort_by_key(|waiting| waiting.at);
        Ok((found, more))
    }

    /// Batches that wait for this, the oldest first, `most` at most.
    ///
    /// # Errors
    /// The table does not answer.
    pub async fn awaiting(&self, awaits: &str, most: i32) -> Result<Vec<String>, LedgerError> {
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .index_name("awaits")
            .key_condition_expression("awaits = :awaits")
            .expression_attribute_values(":awaits", item::text(awaits))
            .limit(most)
            .send()
            .await
            .map_err(|error| self.failed("search", awaits, &error))?;
        let found = answer.items().iter().filter_map(|found| waiting(found, "awaits_since"));
        Ok(found.map(|waiting| waiting.id).collect())
    }

    /// The batches of a route, or of all, that were opened since then; the newest first where it is of
    /// one route.
    ///
    /// # Errors
    /// The table does not answer.
    pub async fn batches(
        &self,
        route: Option<&str>,
        since: Time,
    ) -> Result<Vec<Batch>, LedgerError> {
        let mut batches = Vec::new();
        let mut from: Option<Item> = None;
        loop {
            let (items, next) = match route {
                Some(route) => {
                    let query = self
                        .client
                        .query()
                        .table_name(&self.table)
                        .index_name("routes")
                        .key_condition_expression("route = :route AND created_at >= :since")
                        .expression_attribute_values(":route", item::text(route))
                        .expression_attribute_values(":since", number(since.0))
                        .scan_index_forward(false)
                        .set_exclusive_start_key(from);
                    let answer =
                        query.send().await.map_err(|e| self.failed("search", route, &e))?;
                    (answer.items.unwrap_or_default(), answer.last_evaluated_key)
                }
                None => {
                    let scan = self
                        .client
                        .scan()
                        .table_name(&self.table)
                        .index_name("routes")
                        .filter_expression("created_at >= :since")
                        .expression_attribute_values(":since", number(since.0))
                        .set_exclusive_start_key(from);
                    let answer =
                        scan.send().await.map_err(|e| self.failed("search", "routes", &e))?;
                    (answer.items.unwrap_or_default(), answer.last_evaluated_key)
                }
            };
            let found = items.iter().filter_map(|found| waiting(found, "created_at"));
            let read = stream::iter(found).map(async |found| self.batch(&found.id).await);
            let page: Vec<_> = read.buffered(CONCURRENT_READS).try_collect().await?;
            batches.extend(page.into_iter().flatten());
            from = next;
            if from.is_none() {
                return Ok(batches);
            }
        }
    }

    /// What the ledger knows of an object: its versions, by route.
    ///
    /// # Errors
    /// The table does not answer.
    pub async fn find(&self, bucket: &str, key: &str) -> Result<Vec<Found>, LedgerError> {
        let pk = item::object_key(bucket, key);
        let mut found = Vec::new();
        let mut from: Option<Item> = None;
        loop {
            let answer = self
                .client
                .query()
                .table_name(&self.table)
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", item::text(&pk))
                .consistent_read(true)
                .set_exclusive_start_key(from)
                .send()
                .await
                .map_err(|error| self.failed("search", &pk, &error))?;
            found.extend(answer.items().iter().filter_map(|item| {
                let route = item.get("sk")?.as_s().ok()?.split(' ').next()?.to_owned();
                let batch = item.get("batch")?.as_s().ok()?.clone();
                Some(Found { route, batch, recorded_at: time(item, "at")? })
            }));
            from = answer.last_evaluated_key;
            if from.is_none() {
                found.sort_by_key(|found| found.recorded_at);
                return Ok(found);
            }
        }
    }
}

fn waiting(item: &Item, at: &str) -> Option<Waiting> {
    let id = item.get("pk")?.as_s().ok()?.strip_prefix("batch#")?.to_owned();
    Some(Waiting { id, at: time(item, at)? })
}

fn time(item: &Item, name: &str) -> Option<Time> {
    match item.get(name)? {
        AttributeValue::N(number) => number.parse().ok().map(Time),
        _ => None,
    }
}
