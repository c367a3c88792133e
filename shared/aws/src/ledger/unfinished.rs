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
        let (mut ids, mut is_whole) = (Vec::new(), true);
        for shard in 0..item::DUE_SHARDS {
            let (found, are_all) = self.pages(&IndexQuery::due(shard), MAX_PAGES, || true).await?;
            ids.extend(found);
            is_whole &= are_all;
        }
        // This comes second, so it finds what was parked meanwhile.
        let (parked, are_all) = self.all_parked().await?;
        ids.extend(parked);
        newest_first(&mut ids);
        // A batch that was written between two queries can be in both.
        let mut known = BTreeSet::new();
        ids.retain(|waiting: &Waiting| known.insert(waiting.id.clone()));
        let is_unfinished =
            |batch: &Batch| (batch.due().is_some() || batch.awaits().is_some()) && is_wanted(batch);
        let mut listing = self.read_all(ids, is_unfinished).await?;
        listing.batches.sort_by(|a, b| (b.opened_at, &b.id).cmp(&(a.opened_at, &a.id)));
        listing.left = if is_whole && are_all { Left::None } else { Left::Any };
        Ok(listing)
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
