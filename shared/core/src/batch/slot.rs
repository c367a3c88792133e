//! The slot of a job: how many runs it has, and how many were started within the last hour.
//!
//! A slot changes in the same transaction as a batch, so that two workers together never exceed a limit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Batch, ListingLimit, SCHEMA_VERSION, Start};
use crate::moment::Time;

const MINUTE_MS: u64 = 60_000;
/// For how many minutes a minute's starts count. A start in the last moment of its minute is an hour old only when the
/// 61st minute is over.
const COUNTED_MINUTES: u64 = 61;

/// What the ledger keeps of a job that has limits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Slot {
    /// The version of the item's shape.
    pub v: u32,
    /// The batches that have a run or may have one, with the run's epoch.
    pub live: BTreeMap<String, u32>,
    /// The number of starts in each minute since 1970, for at least the last hour.
    pub starts: BTreeMap<u64, u32>,
    /// The same of each listing that has a limit of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub listings: BTreeMap<String, BTreeMap<u64, u32>>,
    /// The number of writes. With 0, the item is not there yet.
    pub revision: u64,
    /// What a newer version has added to the item. It is kept as it is.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, serde_json::Value>,
}

/// Why a run may not start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// A run has to end first.
    Concurrent,
    /// It may start at this time.
    Hourly(Time),
    /// Its listing lets it start at this time.
    Listing(Time),
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            v: SCHEMA_VERSION,
            live: BTreeMap::new(),
            starts: BTreeMap::new(),
            listings: BTreeMap::new(),
            revision: 0,
            unknown: BTreeMap::new(),
        }
    }
}

impl Slot {
    /// Returns the slot with a run of this batch in it.
    ///
    /// # Errors
    /// A limit is reached.
    pub fn admit(&self, batch: &str, epoch: u32, start: &Start, now: Time) -> Result<Self, Full> {
        let mut slot = self.clone();
        forget(&mut slot.starts, now);
        slot.listings.retain(|_, starts| {
            forget(starts, now);
            !starts.is_empty()
        });
        if let Some(most) = start.max_runs_per_hour {
            count(&mut slot.starts, most, now).map_err(Full::Hourly)?;
        }
        if let Some(ListingLimit { listing, max_runs_per_hour }) = &start.listing_limit {
            let starts = slot.listings.entry(listing.clone()).or_default();
            count(starts, *max_runs_per_hour, now).map_err(Full::Listing)?;
        }
        if let Some(most) = start.max_concurrent_runs {
            let others = slot.live.keys().filter(|id| *id != batch).count();
            if u64::try_from(others).unwrap_or(u64::MAX) >= u64::from(most) {
                return Err(Full::Concurrent);
            }
            slot.live.insert(batch.to_owned(), epoch);
        }
        Ok(slot)
    }

    /// Returns the slot after a step that wrote this batch, with or without its run. A start that was refused does not
    /// count. A run that is there counts, whatever the limit.
    #[must_use]
    pub fn after(&self, batch: &Batch) -> Self {
        let mut slot = self.clone();
        if batch.holds_slot && batch.start.max_concurrent_runs.is_some() {
            slot.live.insert(batch.id.clone(), batch.epoch)
        } else {
            slot.live.remove(&batch.id)
        };
        if let Some(begun) = batch.refused_start() {
            take_back(&mut slot.starts, begun);
            let limit = batch.start.listing_limit.as_ref();
            if let Some(starts) = limit.and_then(|limit| slot.listings.get_mut(&limit.listing)) {
                take_back(starts, begun);
            }
        }
        slot
    }
}

/// Forgets starts that are more than an hour ago.
fn forget(starts: &mut BTreeMap<u64, u32>, now: Time) {
    let minute = now.0 / MINUTE_MS;
    starts.retain(|at, _| at.saturating_add(COUNTED_MINUTES) > minute);
}

/// Counts a start. If there are `most` already, returns when there are fewer.
fn count(starts: &mut BTreeMap<u64, u32>, most: u32, now: Time) -> Result<(), Time> {
    let begun: u64 = starts.values().map(|count| u64::from(*count)).sum();
    if begun >= u64::from(most)
        && let Some((first, _)) = starts.first_key_value()
    {
        return Err(Time(first.saturating_add(COUNTED_MINUTES).saturating_mul(MINUTE_MS)));
    }
    *starts.entry(now.0 / MINUTE_MS).or_default() += 1;
    Ok(())
}

fn take_back(starts: &mut BTreeMap<u64, u32>, begun: Time) {
    starts.entry(begun.0 / MINUTE_MS).and_modify(|count| *count = count.saturating_sub(1));
    starts.retain(|_, count| *count > 0);
}

impl Start {
    /// Returns `true` if a run must be counted before it starts.
    pub fn has_limits(&self) -> bool {
        self.max_concurrent_runs.is_some()
            || self.max_runs_per_hour.is_some()
            || self.listing_limit.is_some()
    }
}
