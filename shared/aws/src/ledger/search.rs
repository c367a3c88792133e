//! Finds batches: those that wait for something, those of a route, the parked ones, and those of an
//! object.

use futures_util::{StreamExt, stream};
use landfall_core::batch::{Batch, PARKED, State};
use landfall_core::moment::Time;

use super::index::{IndexQuery, Waiting, newest_first};
use super::item::{self, Item};
use super::{CONCURRENT_READS, Ledger, LedgerError};
use crate::dynamodb::number;

/// The most pages of an index, of 1 MB each, to read without an order: about 8,000 batches.
const MAX_SCANS: usize = 200;

/// The most pages of parked batches to read, from the newest on: 10,000 batches.
const MAX_PARKED_PAGES: usize = 10;

/// Which batches to look for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Only batches of this route; of all routes if there is none.
    pub route: Option<&'a str>,
    /// Only batches that were opened at this time or later.
    pub since: Time,
    /// The most batches to return.
    pub limit: usize,
    /// The most batches to read to find them.
    pub most_read: usize,
}

/// The result of looking for batches.
#[derive(Debug)]
pub struct Listing {
    /// The batches, the newest first.
    pub batches: Vec<Batch>,
    /// The batches in the ledger that cannot be understood.
    pub unreadable: Vec<LedgerError>,
    /// What the listing may lack.
    pub left: Left,
}

/// What a listing may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Left {
    /// It lacks nothing.
    None,
    /// There are older batches.
    Older,
    /// Older batches were not looked at.
    Unread,
    /// The index is too large to read whole, so any batch can be missing.
    Any,
}

/// An object version in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The route that took it.
    pub route: String,
    /// Identifies the version: see
    /// [`Member::arrival_key`](landfall_core::batch::Member::arrival_key).
    pub arrival_key: String,
    /// The ID of its batch.
    pub batch: String,
    /// When it was recorded.
    pub recorded_at: Time,
}

impl Ledger {
    /// Returns the IDs of the batches that wait for `awaits`, the oldest first, at most `most`.
    ///
    /// # Errors
    /// Fails if the table does not answer.
    pub async fn awaiting(&self, awaits: &str, most: i32) -> Result<Vec<String>, LedgerError> {
        let query = IndexQuery { limit: most, ..IndexQuery::awaiting(awaits) };
        let (found, _) = self.page(&query, None).await?;
        Ok(found.into_iter().map(|waiting| waiting.id).collect())
    }

    /// Returns the batches that match `wanted` and `is_wanted`, the newest first.
    ///
    /// For one route, the index is read from its newest entry on. For all routes, the entries come
    /// in no order and are sorted here, so that the batches, which are many times larger, can be
    /// read from the newest on as well.
    ///
    /// # Errors
    /// Fails if the table does not answer. A batch that cannot be understood is no error: it hides
    /// no other.
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

    /// Returns the parked batches of this route or of all routes, the newest first. If all routes
    /// together have more than 10,000, the older ones are not looked at: [`Left::Unread`].
    ///
    /// # Errors
    /// Fails in the same cases as [`Ledger::batches`].
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

    /// Returns the index's entries of parked batches, the newest first. The second value is `true`
    /// if these are all.
    pub(super) async fn all_parked(&self) -> Result<(Vec<Waiting>, bool), LedgerError> {
        let query = IndexQuery { newest_first: true, ..IndexQuery::awaiting(PARKED) };
        let (mut found, is_whole) = self.pages(&query, MAX_PARKED_PAGES, || true).await?;
        newest_first(&mut found);
        Ok((found, is_whole))
    }

    /// Reads a page of a route's batches, the newest first. Also returns where the next page
    /// begins.
    async fn opened_of(
        &self,
        route: &str,
        since: Time,
        from: Option<Item>,
    ) -> Result<(Vec<Waiting>, Option<Item>), LedgerError> {
        self.page(&IndexQuery::opened(route, since), from).await
    }

    /// Reads the entries of all routes, the newest first. The second value is `true` if these are
    /// all.
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

    /// Finds what the ledger knows about an object: its versions, for each route, the oldest first.
    ///
    /// # Errors
    /// Fails if the table does not answer.
    pub async fn find(&self, bucket: &str, key: &str) -> Result<Vec<Found>, LedgerError> {
        let pk = item::object_key(bucket, key);
        let mut found = Vec::new();
        let mut from: Option<Item> = None;
        loop {
            let (items, next) = self.partition(&pk, None, from).await?;
            found.extend(items.iter().filter_map(|item| {
                let arrival_key = item.get("sk")?.as_s().ok()?.clone();
                let route = arrival_key.split(' ').next()?.to_owned();
                let batch = item.get("batch")?.as_s().ok()?.clone();
                Some(Found { route, arrival_key, batch, recorded_at: item::time(item, "at")? })
            }));
            from = next;
            if from.is_none() {
                found.sort_by_key(|found| found.recorded_at);
                return Ok(found);
            }
        }
    }
}
