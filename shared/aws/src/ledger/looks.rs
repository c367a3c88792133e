//! Tells what is recorded already of what a listing found in a bucket without versioning, where only looks can be compared.

use std::collections::HashMap;
use std::time::SystemTime;

use futures_util::{StreamExt, TryStreamExt, stream};
use landfall_core::batch::{Announced, Look, Member};
use landfall_core::moment::Time;

use super::item::{self, Item};
use super::{CONCURRENT_READS, Ledger, LedgerError};
use crate::clock::has_time;
use crate::config::CALL_TIMEOUT;
use crate::dynamodb::number;

/// What is recorded of an object that a listing found.
#[derive(Debug)]
pub(super) enum Known {
    /// This object, by an event or by a listing.
    Yes,
    /// Not this object. This is what its look's item holds.
    No(Look),
}

/// An arrival of the same key whose item doesn't say how its object looked.
struct Untold {
    arrival_key: String,
    batch: String,
    recorded_at: Time,
}

/// The arrivals of one key that a route took.
struct Recorded {
    look: Look,
    announced: Vec<Announced>,
    untold: Vec<Untold>,
}

impl Ledger {
    /// Tells for each of `members`, which a listing found, whether `route` has a batch of it.
    ///
    /// # Errors
    /// Fails if the table does not answer, or a look cannot be understood. Begins no call that `deadline` could cut off.
    pub(super) async fn known(
        &self,
        route: &str,
        bucket: &str,
        members: &[&Member],
        deadline: SystemTime,
    ) -> Result<Vec<Known>, LedgerError> {
        let recorded =
            stream::iter(members).map(|member| self.recorded(route, bucket, member, deadline));
        let recorded: Vec<Recorded> = recorded.buffered(CONCURRENT_READS).try_collect().await?;
        let mut batches = Batches { ledger: self, read: HashMap::new() };
        let mut known = Vec::with_capacity(members.len());
        for (member, Recorded { look, announced, untold }) in members.iter().zip(recorded) {
            let mut is_known = look.has(member) || announced.iter().any(|one| one.is(member));
            for untold in untold {
                if is_known {
                    break;
                }
                is_known = match batches.member(route, &untold, &member.key, deadline).await? {
                    Some(found) => {
                        Announced::of(&found, untold.recorded_at).is_some_and(|one| one.is(member))
                    }
                    // Its batch is forgotten. What was recorded later than the object was written was this object or an
                    // earlier one.
                    None => member.listed_at().is_none_or(|listed| untold.recorded_at >= listed),
                };
            }
            known.push(if is_known { Known::Yes } else { Known::No(look) });
        }
        Ok(known)
    }

    /// Reads a look, and tells whether `member` is recorded under it.
    pub(super) async fn known_by_look(
        &self,
        pk: &str,
        sk: &str,
        member: &Member,
    ) -> Result<Known, LedgerError> {
        let found = self.get(pk, sk).await?;
        let look = found.map(|found| read_look(pk, &found)).transpose()?.unwrap_or_default();
        Ok(if look.has(member) { Known::Yes } else { Known::No(look) })
    }

    /// Reads what a route took of a member's key.
    async fn recorded(
        &self,
        route: &str,
        bucket: &str,
        member: &Member,
        deadline: SystemTime,
    ) -> Result<Recorded, LedgerError> {
        let pk = item::object_key(bucket, &member.key);
        let look_key = member.look_key(route);
        let mut recorded =
            Recorded { look: Look::default(), announced: Vec::new(), untold: Vec::new() };
        let mut from: Option<Item> = None;
        loop {
            if !has_time(deadline, CALL_TIMEOUT) {
                return Err(LedgerError::OutOfTime { id: pk });
            }
            let (items, next) = self.partition(&pk, Some(format!("{route} ")), from).await?;
            for found in &items {
                let Some(sk) = found.get("sk").and_then(|sk| sk.as_s().ok()) else { continue };
                if Some(sk) == look_key.as_ref() {
                    recorded.look = read_look(&pk, found)?;
                } else if let Some(announced) = announced(found) {
                    recorded.announced.push(announced);
                } else if !found.contains_key("doc") {
                    let batch = found.get("batch").and_then(|batch| batch.as_s().ok());
                    if let (Some(batch), Some(recorded_at)) = (batch, item::time(found, "at")) {
                        let (arrival_key, batch) = (sk.clone(), batch.clone());
                        recorded.untold.push(Untold { arrival_key, batch, recorded_at });
                    }
                }
            }
            from = next;
            if from.is_none() {
                return Ok(recorded);
            }
        }
    }
}

/// The members of batches, read as far as somebody asked.
struct Batches<'a> {
    ledger: &'a Ledger,
    read: HashMap<String, Chunks>,
}

#[derive(Default)]
struct Chunks {
    next: u32,
    is_all: bool,
    members: Vec<Member>,
}

impl Batches<'_> {
    /// Returns the member that an arrival of this key became; `None` if the ledger has forgotten it.
    async fn member(
        &mut self,
        route: &str,
        arrival: &Untold,
        key: &str,
        deadline: SystemTime,
    ) -> Result<Option<Member>, LedgerError> {
        let is_it = |member: &&Member| {
            member.key == key && member.arrival_key(route) == arrival.arrival_key
        };
        let chunks = self.read.entry(arrival.batch.clone()).or_default();
        let mut from = 0;
        loop {
            if let Some(found) = chunks.members[from..].iter().find(is_it) {
                return Ok(Some(found.clone()));
            }
            if chunks.is_all {
                return Ok(None);
            }
            if !has_time(deadline, CALL_TIMEOUT) {
                return Err(LedgerError::OutOfTime { id: arrival.batch.clone() });
            }
            from = chunks.members.len();
            match self.ledger.find_chunk(&arrival.batch, chunks.next).await? {
                Some(chunk) => chunks.members.extend(chunk.members),
                None => chunks.is_all = true,
            }
            chunks.next += 1;
        }
    }
}

/// Returns what an arrival's item says of its object.
fn announced(item: &Item) -> Option<Announced> {
    let etag = item.get("etag")?.as_s().ok()?.clone();
    let size = item.get("size")?.as_n().ok()?.parse().ok()?;
    Some(Announced { etag, size, at: item::time(item, "event_at")? })
}

/// Returns an arrival's item with what a listing compares.
pub(super) fn told(mut item: Item, member: &Member, now: Time) -> Item {
    if let Some(Announced { etag, size, at }) = Announced::of(member, now) {
        item.insert("etag".to_owned(), item::text(etag));
        item.insert("size".to_owned(), number(size));
        item.insert("event_at".to_owned(), number(at.0));
    }
    item
}

fn read_look(pk: &str, found: &Item) -> Result<Look, LedgerError> {
    let look: Look = item::read_doc(pk, found)?;
    Ok(Look { revision: item::revision(pk, found)?, ..look })
}
