//! Finding batches: those that are due, those that wait for something, those of a route, that of an
//! object.

use futures_util::{StreamExt, stream};
use landfall_core::batch::{Batch, PARKED, State};
use landfall_core::moment::Time;

use super::index::{IndexQuery, PAGE, Waiting, newest_first};
use super::item::{self, Item};
use super::{CONCURRENT_READS, Ledger, LedgerError};
use crate::dynamodb::number;

/// The most pages of an index that are read without an order, of 1 MB each: about 8,000 batches.
const MAX_SCANS: usize = 200;

/// The most pages of parked batches that are read, the newest: 10,000 batches.
const MAX_PARKED_PAGES: usize = 10;

/// Which batches are looked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Of this route; of all without it.
    pub route: Option<&'a str>,
    /// Opened then or later.
    pub since: Time,
    /// The most that are given.
    pub limit: usize,
    /// The most that are read to find them.
    pub most_read: usize,
}

/// Batches that were looked for.
#[derive(Debug)]
pub struct Listing {
    /// The newest first.
    pub batches: Vec<Batch>,
    /// Those that are in the ledger and are not understood.
    pub unreadable: Vec<LedgerError>,
    pub left: Left,
}

/// What a listing does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Left {
    None,
    /// There are older ones.
    Older,
    /// Older ones were not looked at.
    Unread,
    /// The index is too large to be read whole: any can be missing.
    Any,
}

/// An object version in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub route: String,
    /// Which version, see [`Member::arrival_key`](landfall_core::batch::Member::arrival_key).
    pub arrival_key: String,
    pub batch: String,
    pub recorded_at: Time,
}

impl Ledger {
    /// Batches that wait for this, the oldest first, `most` at most.
    ///
    /// # Errors
    /// The table does not answer.
    pub async fn awaiting(&self, awaits: &str, most: i32) -> Result<Vec<String>, LedgerError> {
        let query = IndexQuery { limit: most, ..IndexQuery::awaiting(awaits) };
        let (found, _) = self.page(&query, None).await?;
        Ok(found.into_iter().map(|waiting| waiting.id).collect())
    }

    /// The batches that are wanted, the newest first.
    ///
    /// The index of a route is read from its newest entry on. There is none over all routes: its entries
    /// are read in any order and sorted here, so that the batches themselves, which are many times
    /// larger, are read from the newest on as well.
    ///
    /// # Errors
    /// The table does not answer. A batch that is not understood is none: it hides no other.
    pub async fn batches(
        &self,
        wanted: &Wanted<'_>,
        is_wanted: impl Fn(&Batch) -> bool,
    ) -> Result<Listing, LedgerError> {
        let mut listing = Listing { batches: Vec::new(), unreadable: Vec::new(), left: Left::None };
        let (mut ids, mut next) = match wanted.route {
            Some(route) => self.opened_of(route, wanted.since, None).await?,
            None => {
                let (ids, is_whole) = self.opened(wanted.since).await?;
                if !is_whole {
                    listing.left = Left::Any;
                }
                (ids, None)
            }
        };
        let mut read = 0;
        loop {
            let mut batches = stream::iter(ids)
                .map(async |id: Waiting| self.batch(&id.id).await)
                .buffered(CONCURRENT_READS);
            while let Some(batch) = batches.next().await {
                if read == wanted.most_read {
                    listing.left = listing.left.max(Left::Unread);
                    return Ok(listing);
                }
                read += 1;
                match batch {
                    Ok(Some(batch)) if is_wanted(&batch) => {
                        if listing.batches.len() == wanted.limit {
                            listing.left = listing.left.max(Left::Older);
                            return Ok(listing);
                        }
                        listing.batches.push(batch);
                    }
                    Ok(_) => {}
                    Err(error @ LedgerError::Call { .. }) => return Err(error),
                    Err(error) => listing.unreadable.push(error),
                }
            }
            let (Some(route), Some(from)) = (wanted.route, next) else {
                return Ok(listing);
            };
            (ids, next) = self.opened_of(route, wanted.since, Some(from)).await?;
        }
    }

    /// The batches that are parked, of this route or of all, the newest first. Of more than 10,000, which
    /// are counted over all routes, the older ones are not looked at: [`Left::Unread`].
    ///
    /// # Errors
    /// As [`Ledger::batches`].
    pub async fn parked(&self, route: Option<&str>) -> Result<Listing, LedgerError> {
        let (ids, is_whole) = self.all_parked().await?;
        let left = if is_whole { Left::None } else { Left::Unread };
        let is_wanted = |batch: &Batch| {
            matches!(batch.state, State::Parked { .. })
                && route.is_none_or(|route| *route == batch.route)
        };
        let listing = self.read_all(ids, is_wanted).await?;
        Ok(Listing { left, ..listing })
    }

    /// What the index has of parked batches, the newest first; the second value is whether these are
    /// all.
    pub(super) async fn all_parked(&self) -> Result<(Vec<Waiting>, bool), LedgerError> {
        let query = IndexQuery { newest_first: true, ..IndexQuery::awaiting(PARKED) };
        let (mut found, is_whole) = self.pages(&query, MAX_PARKED_PAGES, || true).await?;
        newest_first(&mut found);
        Ok((found, is_whole))
    }

    /// A page of the batches of a route, the newest first, and where the next begins.
    async fn opened_of(
        &self,
        route: &str,
        since: Time,
        from: Option<Item>,
    ) -> Result<(Vec<Waiting>, Option<Item>), LedgerError> {
        let query = IndexQuery {
            index: "routes",
            id: route,
            condition: "route = :route AND created_at >= :since",
            values: vec![(":route", item::text(route)), (":since", number(since.0))],
            at: "created_at",
            newest_first: true,
            limit: PAGE,
        };
        self.page(&query, from).await
    }

    /// The batches of all routes, the newest first; the second value is whether these are all.
    async fn opened(&self, since: Time) -> Result<(Vec<Waiting>, bool), LedgerError> {
        let mut found = Vec::new();
        let mut from: Option<Item> = None;
        for _ in 0..MAX_SCANS {
            let answer = self
                .client
                .scan()
                .table_name(&self.table)
                .index_name("routes")
                .filter_expression("created_at >= :since")
                .expression_attribute_values(":since", number(since.0))
                .set_exclusive_start_key(from)
                .send()
                .await
                .map_err(|error| self.failed("search", "routes", &error))?;
            found.extend(
                answer.items().iter().filter_map(|found| Waiting::read(found, "created_at")),
            );
            from = answer.last_evaluated_key;
            if from.is_none() {
                break;
            }
        }
        newest_first(&mut found);
        Ok((found, from.is_none()))
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
                let arrival_key = item.get("sk")?.as_s().ok()?.clone();
                let route = arrival_key.split(' ').next()?.to_owned();
                let batch = item.get("batch")?.as_s().ok()?.clone();
                Some(Found { route, arrival_key, batch, recorded_at: item::time(item, "at")? })
            }));
            from = answer.last_evaluated_key;
            if from.is_none() {
                found.sort_by_key(|found| found.recorded_at);
                return Ok(found);
            }
        }
    }
}
