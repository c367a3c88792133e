//! Finds due batches, classifies them so that they can take turns, and puts them off in the index.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use landfall_core::batch::{NEWEST_VERSION, put_off, slot_job};
use landfall_core::moment::Time;

use super::bulk::{CONCURRENT_CALLS, Key, MAX_KEYS, PATIENCE, Read};
use super::index::{IndexQuery, PAGE, Waiting};
use super::item::{self, Item};
use super::{Ledger, LedgerError};
use crate::clock::{has_time, now, system_time};
use crate::config::CALL_TIMEOUT;
use crate::dynamodb::{is_conflict, is_refused, number};

/// The most pages to read per shard: 8,000 batches.
const MAX_PAGES: usize = 8;

/// The attributes that decide whose turn it is.
const ATTRIBUTES: [&str; 8] =
    ["pk", "v", "revision", "state", "due_at", "route", "awaits", "created_at"];

/// A batch that is due, or was a moment ago.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The batch's ID.
    pub id: String,
    /// When it is due; `None` if it is not due at any time.
    pub at: Option<Time>,
    /// What it takes turns by.
    pub class: Class,
    /// Whether it is closed and waits for its start.
    pub is_sealed: bool,
    /// When it was opened; `None` if the item does not say.
    pub opened_at: Option<Time>,
    /// The schema version that wrote it, if this version of Landfall cannot read it.
    pub newer: Option<u64>,
    /// `None` if the item has none.
    revision: Option<u64>,
}

/// What a due batch shares with others, so that the classes can take turns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The batch's route.
    Route(String),
    /// The job whose run the batch waits for to end.
    Slot(String),
}

impl Ledger {
    /// Finds the due batches, the most overdue first. The second value is `true` if there are more
    /// than were read.
    ///
    /// # Errors
    /// Fails if the table does not answer.
    pub async fn due(&self, now: Time) -> Result<(Vec<Waiting>, bool), LedgerError> {
        self.due_before(now, system_time() + PATIENCE).await
    }

    /// Finds due batches like [`Ledger::due`], but begins no further page that `deadline` could cut
    /// off.
    ///
    /// # Errors
    /// Fails in the same cases as [`Ledger::due`].
    pub async fn due_before(
        &self,
        now: Time,
        deadline: SystemTime,
    ) -> Result<(Vec<Waiting>, bool), LedgerError> {
        let shards = (0..item::DUE_SHARDS).map(|shard| self.due_of(shard, now, deadline));
        let shards = try_join_all(shards).await?;
        let more = shards.iter().any(|(_, more)| *more);
        let mut found: Vec<Waiting> = shards.into_iter().flat_map(|(found, _)| found).collect();
        found.sort_by_key(|waiting| waiting.at);
        Ok((found, more))
    }

    /// Finds what [`Ledger::due_before`] may not get to in a flood: the batches that came due last,
    /// and the newest `each` of these routes, whether they are due or not. Begins no call that
    /// `deadline` could cut off.
    ///
    /// # Errors
    /// Fails if the table does not answer.
    pub async fn behind(
        &self,
        now: Time,
        routes: &[&str],
        each: usize,
        deadline: SystemTime,
    ) -> Result<Vec<String>, LedgerError> {
        let lately = (0..item::DUE_SHARDS).map(|shard| {
            let mut query = IndexQuery::due(shard);
            query.condition = "due_shard = :shard AND due_at <= :now";
            query.values.push((":now", number(now.0)));
            IndexQuery { newest_first: true, ..query }
        });
        let limit = i32::try_from(each).unwrap_or(i32::MAX);
        let newest = routes.iter().map(|route| IndexQuery {
            limit: limit.clamp(1, PAGE),
            ..IndexQuery::opened(route, Time::default())
        });
        let pages = stream::iter(lately.chain(newest)).map(async |query| {
            match has_time(deadline, CALL_TIMEOUT) {
                true => self.page(&query, None).await.map(|(found, _)| found),
                false => Ok(Vec::new()),
            }
        });
        let pages: Vec<Vec<Waiting>> = pages.buffered(CONCURRENT_CALLS).try_collect().await?;
        Ok(pages.into_iter().flatten().map(|waiting| waiting.id).collect())
    }

    async fn due_of(
        &self,
        shard: u8,
        now: Time,
        deadline: SystemTime,
    ) -> Result<(Vec<Waiting>, bool), LedgerError> {
        let mut query = IndexQuery::due(shard);
        query.condition = "due_shard = :shard AND due_at <= :now";
        query.values.push((":now", number(now.0)));
        let has_time = || has_time(deadline, CALL_TIMEOUT);
        let (found, is_whole) = self.pages(&query, MAX_PAGES, has_time).await?;
        Ok((found, !is_whole))
    }

    /// Looks at these batches, in their order. Leaves out those that are gone, and those that it
    /// has no time for before `deadline`.
    ///
    /// # Errors
    /// Fails if the table does not answer.
    pub async fn look(
        &self,
        ids: &[String],
        deadline: SystemTime,
    ) -> Result<Vec<Due>, LedgerError> {
        // A batch that moves in the index during the search is found twice.
        let mut known = BTreeSet::new();
        let ids: Vec<&String> = ids.iter().filter(|id| known.insert(*id)).collect();
        let calls = stream::iter(ids.chunks(MAX_KEYS)).map(async |ids| {
            let keys: Vec<Key> = ids.iter().map(|id| item::batch_key(id)).collect();
            match self.read_some(keys.clone(), Read::Attributes(&ATTRIBUTES), deadline).await {
                Ok(mut found) => Ok(ids
                    .iter()
                    .zip(keys)
                    .filter_map(|(id, (pk, _))| Some(due(id, &found.remove(&pk)?)))
                    .collect()),
                Err(LedgerError::OutOfTime { .. }) => Ok(Vec::new()),
                Err(error) => Err(error),
            }
        });
        let mut calls = calls.buffered(CONCURRENT_CALLS);
        let mut all = Vec::with_capacity(ids.len());
        while let Some(found) = calls.next().await {
            all.extend(found?);
        }
        Ok(all)
    }

    /// Moves a batch in the index of due batches, to when it is looked at again, and changes
    /// nothing else. With `is_handed_on`, its turn comes to it before that (see [`put_off`]).
    /// Returns `false` if the batch has changed since it was looked at.
    ///
    /// # Errors
    /// Fails if the table does not answer.
    pub async fn put_off(&self, due: &Due, is_handed_on: bool) -> Result<bool, LedgerError> {
        let Some(at) = due.at else { return Ok(false) };
        let now = now();
        let waited = due.opened_at.map_or(Duration::ZERO, |opened| now.since(opened));
        let until = now + put_off(waited, is_handed_on, fastrand::u16(0..1_000));
        let (pk, sk) = item::batch_key(&due.id);
        let call = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("pk", item::text(pk))
            .key("sk", item::text(sk))
            .update_expression("SET due_at = :until")
            .expression_attribute_values(":until", number(until.0))
            .expression_attribute_values(":at", number(at.0));
        let call = match due.revision {
            Some(revision) => call
                .condition_expression("due_at = :at AND revision = :revision")
                .expression_attribute_values(":revision", number(revision)),
            None => call.condition_expression("due_at = :at AND attribute_not_exists(revision)"),
        };
        match call.send().await {
            Ok(_) => Ok(true),
            Err(error) if is_refused(&error) || is_conflict(&error) => Ok(false),
            Err(error) => Err(self.failed("put off", &due.id, &error)),
        }
    }
}

fn due(id: &str, item: &Item) -> Due {
    let value = |name: &str| item.get(name)?.as_n().ok()?.parse::<u64>().ok();
    let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
    let class = match text("awaits").and_then(|awaits| slot_job(awaits)) {
        Some(job) => Class::Slot(job.to_owned()),
        None => Class::Route(text("route").cloned().unwrap_or_default()),
    };
    Due {
        id: id.to_owned(),
        at: value("due_at").map(Time),
        class,
        is_sealed: text("state").is_some_and(|state| state == "sealed"),
        opened_at: value("created_at").map(Time),
        newer: value("v").filter(|version| *version > u64::from(NEWEST_VERSION)),
        revision: value("revision"),
    }
}
