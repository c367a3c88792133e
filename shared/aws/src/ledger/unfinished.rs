//! Finds all batches that are not done, however old.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};
use landfall_core::batch::Batch;

use super::index::{IndexQuery, Waiting, newest_first};
use super::item;
use super::search::{Left, Listing};
use super::{CONCURRENT_READS, Ledger, LedgerError};

/// The most pages of due batches to read per shard: 10,000 batches.
const MAX_PAGES: usize = 10;

/// What the indexes have of batches that are not done.
struct Ids {
    due: Vec<Waiting>,
    parked: Vec<Waiting>,
    /// Whether these are all.
    is_whole: bool,
}

impl Ledger {
    /// Returns the batches that match `is_wanted` and are not done, which means due at some time or
    /// parked, the newest first. If a shard has more than 10,000, or more than 10,000 are parked,
    /// the others are not looked at: [`Left::Any`].
    ///
    /// # Errors
    /// Fails if the table does not answer. A batch that cannot be understood is no error: it hides
    /// no other.
    pub async fn unfinished(
        &self,
        is_wanted: impl Fn(&Batch) -> bool,
    ) -> Result<Listing, LedgerError> {
        let Ids { due, parked, is_whole } = self.unfinished_ids(MAX_PAGES).await?;
        let mut ids = [due, parked].concat();
        newest_first(&mut ids);
        let mut listing = self.read_all(ids, |it| is_unfinished(it) && is_wanted(it)).await?;
        listing.batches.sort_by(|a, b| (b.opened_at, &b.id).cmp(&(a.opened_at, &a.id)));
        listing.left = if is_whole { Left::None } else { Left::Any };
        Ok(listing)
    }

    /// Returns batches that are not done, in no order: at most `most` that are due, of which it takes those that are due
    /// first, and at most `most` that are parked, of which it takes those that have been for longest. If there are more, the
    /// others are not looked at: [`Left::Any`].
    ///
    /// # Errors
    /// Fails in the same cases as [`Ledger::unfinished`].
    pub async fn longest_unfinished(&self, most: usize) -> Result<Listing, LedgerError> {
        let Ids { mut due, mut parked, mut is_whole } = self.unfinished_ids(1).await?;
        for ids in [&mut due, &mut parked] {
            ids.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
            is_whole &= ids.len() <= most;
            ids.truncate(most);
        }
        let listing = self.read_all([due, parked].concat(), is_unfinished).await?;
        Ok(Listing { left: if is_whole { Left::None } else { Left::Any }, ..listing })
    }

    /// Returns what the indexes have of batches that are due at some time or parked, each once and in no order. It reads
    /// at most `pages` pages of each shard.
    async fn unfinished_ids(&self, pages: usize) -> Result<Ids, LedgerError> {
        let (mut due, mut is_whole) = (Vec::new(), true);
        for shard in 0..item::DUE_SHARDS {
            let (found, are_all) = self.pages(&IndexQuery::due(shard), pages, || true).await?;
            due.extend(found);
            is_whole &= are_all;
        }
        // This comes second, so it finds what was parked meanwhile.
        let (mut parked, are_all) = self.all_parked().await?;
        // A batch that was written between two queries can be in both.
        let mut known = BTreeSet::new();
        for ids in [&mut due, &mut parked] {
            ids.retain(|waiting: &Waiting| known.insert(waiting.id.clone()));
        }
        Ok(Ids { due, parked, is_whole: is_whole && are_all })
    }

    /// Reads these batches, and keeps those that match `is_wanted`: the indexes that the IDs come
    /// from may be behind.
    pub(super) async fn read_all(
        &self,
        ids: Vec<Waiting>,
        is_wanted: impl Fn(&Batch) -> bool,
    ) -> Result<Listing, LedgerError> {
        let mut listing = Listing { batches: Vec::new(), unreadable: Vec::new(), left: Left::None };
        let mut batches = stream::iter(ids)
            .map(async |id: Waiting| self.batch(&id.id).await)
            .buffered(CONCURRENT_READS);
        while let Some(batch) = batches.next().await {
            match batch {
                Ok(Some(batch)) if is_wanted(&batch) => listing.batches.push(batch),
                Ok(_) => {}
                Err(error @ LedgerError::Call { .. }) => return Err(error),
                Err(error) => listing.unreadable.push(error),
            }
        }
        Ok(listing)
    }
}

/// The indexes may be behind.
fn is_unfinished(batch: &Batch) -> bool {
    batch.due().is_some() || batch.awaits().is_some()
}
