//! The history of a batch: what happened to it, and how often in a row.

use serde::{Deserialize, Serialize};

use super::{Batch, cut};
use crate::moment::Time;

/// The most entries of a history. The first one stays, and of the others the newest.
pub(super) const MAX_ENTRIES: usize = 40;

/// The detail of an entry that waits for the next hour of its job.
pub(super) const HOURLY_LIMIT: &str = "max_runs_per_hour";

/// The detail of an entry that waits for the next hour of its listing.
pub(super) const LISTING_LIMIT: &str = "max_runs_per_hour_of_listing";

/// What happened to a batch, in the words of the ledger, the log and the command line.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, strum::AsRefStr, strum::Display,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum HistoryEvent {
    /// The batch was opened.
    Opened,
    /// The group's marker came.
    Marker,
    /// The batch was sealed: it takes no more members.
    Sealed,
    /// The batch was closed without members.
    Empty,
    /// The start was put off.
    Deferred,
    /// The start was put off until a run of the job ends.
    WaitsForSlot,
    /// The event was put that says that the batch has closed.
    Announced,
    /// A start was written, just before the call.
    Starting,
    /// No run came of the start.
    NotStarted,
    /// Nobody knows yet whether the call started a run.
    OutcomeNotKnownYet,
    /// A run was started, or a search found one.
    Started,
    /// A run that was known before is followed again.
    Followed,
    /// Glue is to repeat the run by itself, and does not show the repeat yet.
    AwaitsRepeat,
    /// Glue repeats the run by itself, and the repeat is followed.
    Repeated,
    /// The state of the run could not be read, or Glue did not know the run.
    NotSeen,
    /// The run that holds the claim succeeded, or the only one that was at work where none has to claim.
    Succeeded,
    /// The run ended without success.
    Failed,
    /// The claim of the ended run could not be ended yet.
    ClaimNotEnded,
    /// Another run is to be started after one that failed.
    Retried,
    /// Somebody returned the parked batch.
    Returned,
    /// The batch was parked.
    Parked,
    /// A newer version wrote it.
    #[serde(untagged)]
    #[strum(transparent)]
    Unknown(String),
}

impl HistoryEvent {
    /// Returns a stable identifier.
    pub fn as_str(&self) -> &str {
        self.as_ref()
    }

    /// Returns `true` if a start was put off.
    pub fn is_put_off(&self) -> bool {
        matches!(self, Self::Deferred | Self::WaitsForSlot)
    }
}

/// One line of a history, for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// When it happened.
    pub at: Time,
    /// What happened.
    pub what: HistoryEvent,
    /// More about it, such as a run's ID or an error; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// How often it happened in a row; `at` is the last time.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_once(times: &u32) -> bool {
    *times == 1
}

impl Entry {
    /// Returns `true` if the start was put off for a limit of runs per hour.
    pub(super) fn is_hourly_limit(&self) -> bool {
        self.what == HistoryEvent::Deferred
            && [HOURLY_LIMIT, LISTING_LIMIT].contains(&self.detail.as_str())
    }

    /// Returns `true` if the entry records the start of this epoch.
    pub(crate) fn is_start_of(&self, epoch: u32) -> bool {
        self.what == HistoryEvent::Starting && self.detail == epoch_detail(epoch)
    }
}

/// The detail of [`HistoryEvent::Starting`].
pub(super) fn epoch_detail(epoch: u32) -> String {
    format!("epoch {epoch}")
}

impl Batch {
    /// Adds to the history. The same event again raises the count of the last entry.
    pub(super) fn note(&mut self, at: Time, what: HistoryEvent, detail: &str) {
        let detail = cut(detail);
        match self.history.last_mut() {
            Some(last) if last.what == what && last.detail == detail => {
                last.at = at;
                last.times = last.times.saturating_add(1);
            }
            _ => self.history.push(Entry { at, what, detail, times: 1 }),
        }
        if self.history.len() > MAX_ENTRIES {
            self.history.remove(1);
        }
    }
}
