//! Backfills: where each stands, so that it can be killed and goes on.

use std::time::SystemTime;

use futures_util::{StreamExt, TryStreamExt, stream};
use landfall_core::backfill::Backfill;
use landfall_core::batch::Member;
use landfall_core::moment::Time;

use super::item::{self, Item};
use super::looks::Known;
use super::{ARRIVALS_KEPT, CONCURRENT_READS, Ledger, LedgerError};
use crate::dynamodb::number;

/// The partition key of all backfills. There are few of them.
const PARTITION: &str = "backfill";

impl Ledger {
    /// Reads a backfill; returns `None` if none has this ID.
    ///
    /// # Errors
    /// Fails if the table does not answer, or the item cannot be understood.
    pub async fn backfill(&self, id: &str) -> Result<Option<Backfill>, LedgerError> {
        self.get(PARTITION, id).await?.map(|found| read(&found)).transpose()
    }

    /// Reads all backfills, the newest first.
    ///
    /// # Errors
    /// Fails in the same cases as [`Ledger::backfill`].
    pub async fn backfills(&self) -> Result<Vec<Backfill>, LedgerError> {
        let mut backfills = Vec::new();
        let mut from: Option<Item> = None;
        loop {
            let (found, next) = self.partition(PARTITION, None, from).await?;
            for found in &found {
                backfills.push(read(found)?);
            }
            from = next;
            if from.is_none() {
                backfills.sort_by_key(|backfill| std::cmp::Reverse(backfill.started_at));
                return Ok(backfills);
            }
        }
    }

    /// Writes a backfill over the revision that it has. Returns it with its new revision, or `None` if the ledger has
    /// another revision by now.
    ///
    /// # Errors
    /// Fails if the table does not answer. Then it is unknown whether the backfill was written.
    pub async fn write_backfill(
        &self,
        backfill: Backfill,
        now: Time,
    ) -> Result<Option<Backfill>, LedgerError> {
        let written = Backfill { revision: backfill.revision + 1, updated_at: now, ..backfill };
        let mut item = item::doc(PARTITION, &written.id, written.v, written.revision, &written)?;
        item.insert("expires".to_owned(), number((now + ARRIVALS_KEPT).seconds()));
        if self.put_if_held(self.put(item, written.revision), &written.id).await? {
            return Ok(Some(written));
        }
        // An attempt whose answer was lost may have written it: then the ledger has it.
        Ok(self.backfill(&written.id).await?.filter(|found| *found == written))
    }

    /// Tells for each of `members`, which a listing found, whether a batch of `route` has it.
    ///
    /// # Errors
    /// Fails in the same cases as [`Ledger::batch`].
    pub async fn has(
        &self,
        route: &str,
        bucket: &str,
        members: &[Member],
        deadline: SystemTime,
    ) -> Result<Vec<bool>, LedgerError> {
        let by_look: Vec<&Member> = members.iter().filter(|one| one.is_found_by_look()).collect();
        let looks = self.known(route, bucket, &by_look, deadline).await?;
        let mut looks = looks.into_iter().map(|known| matches!(known, Known::Yes));
        let by_identity = stream::iter(members.iter().filter(|one| !one.is_found_by_look()));
        let by_identity = by_identity.map(async |member: &Member| {
            let pk = item::object_key(bucket, &member.key);
            Ok(self.get(&pk, &member.arrival_key(route)).await?.is_some())
        });
        let by_identity: Vec<bool> = by_identity.buffered(CONCURRENT_READS).try_collect().await?;
        let mut by_identity = by_identity.into_iter();
        let mut answer = |member: &Member| {
            let known = if member.is_found_by_look() { looks.next() } else { by_identity.next() };
            known.unwrap_or_default()
        };
        Ok(members.iter().map(&mut answer).collect())
    }
}

fn read(found: &Item) -> Result<Backfill, LedgerError> {
    let id = found.get("sk").and_then(|sk| sk.as_s().ok()).map_or(PARTITION, String::as_str);
    let backfill: Backfill = item::read_doc(id, found)?;
    Ok(Backfill { revision: item::revision(id, found)?, ..backfill })
}
