//! A batch, which is what one job run is started for, as a state machine.
//!
//! ```text
//! open → sealed → starting → started → succeeded
//!          ▲          │          ├──→ failed → sealed again, while attempts remain
//!          └──────────┘          └──→ parked, until somebody returns it
//! ```
//!
//! A batch that is announced stays sealed until the event is put. If its route starts no job, it is `announced` then, and
//! that is its end.
//!
//! [`next`] decides. Its caller carries out the [`Step`], which leaves nothing to choose, and passes the outcome to `next`
//! again. A write succeeds only if the ledger still has the [`Batch::revision`] that the decision was made on, so when
//! several callers decide at once, one of them goes on.

mod announcement;
mod arguments;
mod claim;
mod fit;
mod history;
mod id;
mod identity;
mod manifest;
mod paths;
mod record;
mod repeats;
mod scope;
mod seen;
mod slot;
mod step;
mod waiting;

use std::collections::BTreeMap;
use std::time::Duration;

pub use announcement::BATCH_CLOSED;
pub use arguments::{JobResources, RefusalReason, never_fit};
pub use claim::{Claim, ClaimMode, EndOutcome};
pub use fit::cut;
pub use history::{Entry, HistoryEvent};
pub use id::{BatchId, HASH_CHARS};
pub use identity::{Announced, Identity, LISTED_FROM_AGE, Look, RecordedUnder, may_be_listed};
pub use manifest::{Manifest, Prepared, Unprepared};
pub use record::{Chunk, Closing, Draft, Member, arrivals_room, chunk};
pub use repeats::{attempt_of, repeat_after};
pub use scope::{Scope, ScopeError};
pub use seen::{
    Bounds, FoundRun, Lookup, ObservedRun, RepeatSeen, RunState, Seen, StartOutcome, Step, Why,
};
use serde::{Deserialize, Serialize};
pub use slot::{Full, Slot};
pub use step::{begun, next};
pub use waiting::put_off;

use crate::moment::Time;

/// The version of the items that this code writes. Only batches that need a newer version get one.
pub const SCHEMA_VERSION: u32 = 1;

/// The version of batches with a [`Scope`] of their own. Code that does not know scopes would start them with all
/// permissions of the job's role. It leaves them alone, because their version is newer than its own.
const SCOPED_VERSION: u32 = 2;

/// The version of batches with a [`ClaimMode`] of their own. Code that does not know claim modes would park them once a run
/// has succeeded.
const CLAIM_MODE_VERSION: u32 = 3;

/// The version of batches that are announced. Code that does not know announcements would start them without one, or a job
/// that does not exist.
const ANNOUNCED_VERSION: u32 = 4;

/// The newest version that this code understands. It leaves newer items alone.
pub const NEWEST_VERSION: u32 = ANNOUNCED_VERSION;

/// What stands for the target and the account of a batch that starts no job.
pub const NO_TARGET: &str = "none";

/// A batch as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Batch {
    /// The version of the item's shape. Code leaves an item alone if the version is newer than its
    /// [`NEWEST_VERSION`].
    pub v: u32,
    /// See [`BatchId`].
    pub id: String,
    /// The name of the batch's route.
    pub route: String,
    /// The bucket that holds all the members.
    pub bucket: String,
    /// The values of the captures that the route groups by.
    pub group: BTreeMap<String, String>,
    /// A copy of what the routes said, so that a change of the routes does not change a closed batch.
    pub start: Start,
    /// The conditions that close the batch, copied from the route.
    pub closing: Closing,
    /// The ID of the listing that found its objects; `None` if S3 announced them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing: Option<String>,
    /// Where the batch stands, with what matters only there.
    pub state: State,
    /// The number of starts. It tells a run from those before it.
    pub epoch: u32,
    /// Of each start up to this epoch it is known that no run came of it, or that its run has ended without success. Only
    /// kept for [`ClaimMode::Optional`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub accounted: u32,
    /// The number of runs that ended without success since the batch was sealed or returned.
    pub failures: u32,
    /// The number of starts in a row that had to be put off.
    pub deferrals: u32,
    /// When the batch was opened.
    pub opened_at: Time,
    /// When its first member was added; `None` if it has none.
    pub first_arrival_at: Option<Time>,
    /// When its newest member was added; `None` if it has none.
    pub last_arrival_at: Option<Time>,
    /// When its newest marker was recorded; `None` if none came.
    pub marker_at: Option<Time>,
    /// When it closed. Only kept for batches that are announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Time>,
    /// When the event was put that says that it has closed; `None` until it is known that it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced_at: Option<Time>,
    /// The number of object versions, including those that newer versions replace.
    pub members: u64,
    /// The number of ledger items that hold the members.
    pub chunks: u32,
    /// What its runs get. It is known once all members are there.
    pub prepared: Option<Prepared>,
    /// The earliest time at which its manifest can have been written. An earlier version of Landfall did not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared_at: Option<Time>,
    /// All known runs, in the order in which they became known.
    pub runs: Vec<Run>,
    /// `true` if the job's [`Slot`] counts it.
    pub holds_slot: bool,
    /// What happened to the batch, oldest first. If there is too much of it, the first entry and
    /// the newest ones stay.
    pub history: Vec<Entry>,
    /// The number of writes.
    pub revision: u64,
    /// What a newer version has added to the item. It is kept as it is.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, serde_json::Value>,
}

/// What a batch starts, and how.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Start {
    /// The target's name in the routes, by which the external ID is found.
    pub target: String,
    /// The target's account ID.
    pub account: String,
    /// The target's region.
    pub region: String,
    /// The ARN of the role that the trigger and the monitor assume in the target's account.
    pub starter_role_arn: String,
    /// The name of the Glue job; empty if no job is started.
    pub job: String,
    /// Templates of the job's arguments.
    pub arguments: BTreeMap<String, String>,
    /// The values that are known for the templates.
    pub values: BTreeMap<String, String>,
    /// The most runs of the job at the same time; `None` if the route sets no limit.
    pub max_concurrent_runs: Option<u32>,
    /// The most starts of the job in an hour; `None` if the route sets no limit.
    pub max_runs_per_hour: Option<u32>,
    /// The most runs, including the first one.
    pub attempts: u32,
    /// The final states of a run after which another run is started.
    pub retry_states: Vec<RunState>,
    /// How many of the job role's permissions its runs have.
    #[serde(default, skip_serializing_if = "Scope::is_job")]
    pub scope: Scope,
    /// Whether its runs must claim the batch.
    #[serde(default, skip_serializing_if = "ClaimMode::is_required")]
    pub claim: ClaimMode,
    /// Whether an event says that the batch has closed, before anything is started.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub announce: bool,
    /// The limit of the listing that found its objects, if that has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing_limit: Option<ListingLimit>,
}

/// How often batches of a listing may start, whatever their job admits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ListingLimit {
    /// The ID of the listing.
    pub listing: String,
    /// The most starts of its batches in an hour.
    pub max_runs_per_hour: u32,
}

impl Start {
    /// Returns the version that the item of a batch with this start has at least.
    fn version(&self) -> u32 {
        match (self.claim, self.scope) {
            _ if self.announce => ANNOUNCED_VERSION,
            (ClaimMode::Optional, _) => CLAIM_MODE_VERSION,
            (ClaimMode::Required, Scope::Batch) => SCOPED_VERSION,
            (ClaimMode::Required, Scope::Job) => SCHEMA_VERSION,
        }
    }

    /// Returns `true` if a job is started. Otherwise the announcement is all that happens.
    pub fn has_job(&self) -> bool {
        !self.job.is_empty()
    }

    /// Returns the key of the job's slot, which all batches share that start this job.
    pub fn job_key(&self) -> String {
        format!("{}/{}/{}", self.account, self.region, self.job)
    }
}

/// Where a batch stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(tag = "name", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum State {
    /// Takes members until `closes_at`.
    Open {
        /// When the batch closes if nothing else happens.
        closes_at: Time,
    },
    /// Is to be started at `due`, and with `waits_for_slot` earlier if a run of the job ends.
    Sealed {
        /// When the next attempt to start is due.
        due: Time,
        /// `true` if the job had `max_concurrent_runs` runs at the last attempt, or Glue said so.
        waits_for_slot: bool,
    },
    /// A start was written, and its outcome is not known yet.
    Starting(Starting),
    /// A run exists, and the monitor follows it.
    Started(Started),
    /// A run ended without success, and its claim still has to be ended.
    Failed(Failed),
    /// The run that held the claim succeeded, or the only run that was at work where none has to claim.
    Succeeded {
        /// Glue's ID of that run.
        run_id: String,
        /// `false` if no run of the batch ever claimed it.
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        claimed: bool,
    },
    /// Waits until somebody returns it.
    Parked {
        /// Why the batch is parked.
        why: Why,
        /// The explanation for people, shortened with [`cut`].
        message: String,
    },
    /// Was closed without members: only a marker came.
    Empty,
    /// The event was put that says that it has closed, and no job is started.
    Announced,
}

/// A start that is written before the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Starting {
    /// When the start was written.
    pub t0: Time,
    /// Until then the caller may be about to send the call.
    pub lease: Time,
    /// When the outcome is looked for.
    pub look_at: Time,
    /// Set while Glue's answers leave open whether there is a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
}

/// A run that is followed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Started {
    /// The epoch of the run.
    pub epoch: u32,
    /// Glue's ID of the run.
    pub run_id: String,
    /// When it became known.
    pub since: Time,
    /// When the run's state is read next.
    pub look_at: Time,
    /// Set while Glue does not know the run, or does not show the one that holds the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
    /// Set once Glue is to repeat the run by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
}

/// What is known of a run that Glue repeats by itself, as the job's `MaxRetries` says. `run_id` of [`Started`] is the newest
/// attempt that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Repeat {
    /// When Glue first said that the newest attempt has ended, and did not show the next one; `None` while an attempt is
    /// followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaited_since: Option<Time>,
    /// `true` if an attempt that has ended may hold the claim. All attempts have the same epoch, so no later one can take it
    /// then.
    pub may_hold_claim: bool,
}

/// A run that ended without success. Its claim is to be ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Failed {
    /// The epoch of the run.
    pub epoch: u32,
    /// Glue's ID of the run.
    pub run_id: String,
    /// The state in which the run ended.
    pub run_state: RunState,
    /// `false` if no run of the batch had ever claimed it, and none has to.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub claimed: bool,
    /// When the end became known.
    pub since: Time,
    /// When the next attempt to end the claim is due.
    pub look_at: Time,
    /// Set while Glue does not show the run that holds the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
}

/// A run that Glue does not know, or does not show. Each of its answers since `since` said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Missing {
    /// When the first of these answers came.
    pub since: Time,
    /// The number of these answers.
    pub times: u32,
}

impl State {
    /// Returns its name in the ledger, in metrics and on the command line.
    pub fn name(&self) -> &'static str {
        self.into()
    }

    /// Returns `true` if it can no longer change.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Succeeded { .. } | Self::Empty | Self::Announced)
    }
}

/// A job run of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Run {
    /// The epoch of the run.
    pub epoch: u32,
    /// Glue's ID of the run: that of the newest attempt if Glue repeats the run by itself.
    pub run_id: String,
    /// The last state that was seen; `None` if none was.
    pub state: Option<RunState>,
    /// Why it failed, in the words of Glue or of the job (see [`ObservedRun::error`]). For people only: no decision depends
    /// on it, and it goes into no log and no metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Batch {
    /// Returns `true` if it can still take members.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Returns when somebody has to look at it; `None` if nothing is left to do.
    pub fn due(&self) -> Option<Time> {
        match &self.state {
            State::Open { closes_at } => Some(*closes_at),
            State::Sealed { due, .. } => Some(*due),
            State::Starting(Starting { look_at, .. })
            | State::Started(Started { look_at, .. })
            | State::Failed(Failed { look_at, .. }) => Some(*look_at),
            State::Succeeded { .. } | State::Parked { .. } | State::Empty | State::Announced => {
                None
            }
        }
    }

    /// Returns the session policy that its runs are started with, if they need one.
    ///
    /// # Errors
    /// No session policy keeps its scope, so no run may be started.
    pub fn session_policy(&self) -> Result<Option<String>, ScopeError> {
        match &self.prepared {
            Some(prepared) => prepared.session_policy(self.start.scope),
            None => self.start.scope.session_policy(""),
        }
    }

    /// Returns what can make it go on before it is due: the end of its run, the end of any run of its job, or somebody
    /// who returns it.
    pub fn awaits(&self) -> Option<String> {
        match &self.state {
            State::Sealed { waits_for_slot: true, .. } => Some(slot_freed(&self.start)),
            State::Started(run) => Some(run_ended(&self.start, &run.run_id)),
            State::Parked { .. } => Some(PARKED.to_owned()),
            State::Open { .. }
            | State::Sealed { waits_for_slot: false, .. }
            | State::Starting(_)
            | State::Failed(_)
            | State::Succeeded { .. }
            | State::Empty
            | State::Announced => None,
        }
    }

    /// Returns `true` if its runs can get what was prepared. A manifest expires, and a run may begin late, so a manifest
    /// is written again once half of its time is over.
    fn is_prepared(&self, now: Time, bounds: &Bounds) -> bool {
        let prepared_at = self.prepared_at.unwrap_or(self.opened_at);
        self.prepared.is_some() && now < prepared_at + bounds.manifests_kept / 2
    }

    /// Returns the batch without what was prepared, if its manifest was written at the same time as its start: whoever wrote
    /// the start may have died before the manifest was there.
    fn prepared_for_sure(self) -> Self {
        let by_content = format!("/{}-", JobResources::manifest_stem(&self.route, &self.id));
        let prepared = self.prepared.filter(|prepared| !prepared.manifest.contains(&by_content));
        Self { prepared, ..self }
    }

    /// Returns when the start was written that has just been refused for certain.
    fn refused_start(&self) -> Option<Time> {
        if matches!(self.state, State::Parked { why: Why::OutcomeUnknown, .. }) {
            return None;
        }
        let [.., begun, last] = self.history.as_slice() else { return None };
        let is_refused = last.what.is_put_off() || last.what == HistoryEvent::Parked;
        (begun.what == HistoryEvent::Starting && is_refused).then_some(begun.at)
    }

    /// Returns `true` if its runs need the permissions that reader roles have for batches of the previous version: its ID
    /// names no account, or its manifest lies where that version wrote it.
    pub fn is_former(&self) -> bool {
        let stem = format!("/{}", JobResources::manifest_stem(&self.route, &self.id));
        let is_elsewhere = |prepared: &Prepared| !prepared.manifest.contains(&stem);
        BatchId::account_of(&self.id).is_none() || self.prepared.as_ref().is_some_and(is_elsewhere)
    }

    /// Returns a parked batch to the queue of starts; `None` if it is in another state. Whoever returns it answers for the
    /// runs that nobody could account for.
    pub fn returned(&self, now: Time) -> Option<Self> {
        matches!(self.state, State::Parked { .. }).then(|| {
            let due = State::Sealed { due: now, waits_for_slot: false };
            let batch = Self { failures: 0, deferrals: 0, ..self.clone().prepared_for_sure() };
            batch.all_accounted().into_state(due, now, HistoryEvent::Returned, "")
        })
    }

    /// Returns the batch in another state, one write later.
    fn into_state(mut self, state: State, now: Time, what: HistoryEvent, detail: &str) -> Self {
        self.state = state;
        self.note(now, what, detail);
        self
    }
}

/// What all parked batches wait for (see [`Batch::awaits`]).
pub const PARKED: &str = "parked";

/// Returns what a batch waits for that needs a run of its job to end (see [`Batch::awaits`]).
pub fn slot_freed(start: &Start) -> String {
    slot_of(&start.job_key())
}

/// Returns the same as [`slot_freed`] for a job that is known only by its key.
pub fn slot_of(job_key: &str) -> String {
    format!("slot {job_key}")
}

/// Returns the key of the job in what [`slot_freed`] returns.
pub fn slot_job(awaits: &str) -> Option<&str> {
    awaits.strip_prefix("slot ")
}

/// Returns what a batch waits for whose run is followed (see [`Batch::awaits`]).
pub fn run_ended(start: &Start, run_id: &str) -> String {
    run_key(&start.account, &start.region, &start.job, run_id)
}

/// Returns the same as [`run_ended`] for a run that is known only by where it runs. It is the same for all attempts that
/// Glue makes of a run by itself: the end of any of them is worth a look.
pub(crate) fn run_key(account: &str, region: &str, job: &str, run_id: &str) -> String {
    let (run, _) = attempt_of(run_id);
    format!("run {account}/{region}/{job}/{run}")
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_yes(is: &bool) -> bool {
    *is
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Returns hexadecimal digits, two for each byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns how long to wait after so many deferrals: half a minute, doubled each time, up to a quarter of an hour.
fn backoff(deferrals: u32) -> Duration {
    const FIRST: Duration = Duration::from_secs(30);
    const MAX: Duration = Duration::from_secs(15 * 60);
    FIRST.saturating_mul(1 << deferrals.min(10)).min(MAX)
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
