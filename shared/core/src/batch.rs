//! A batch: what one job run is started for, as a state machine.
//!
//! ```text
//! open → sealed → starting → started → succeeded
//!          ▲          │          ├──→ failed → sealed again, while attempts remain
//!          └──────────┘          └──→ parked, until somebody returns it
//! ```
//!
//! [`next`] decides; whoever asks it writes and calls, and tells what came of it. Every write holds
//! on condition that the ledger still has the [`Batch::revision`] that was decided on, so of several
//! that decide at once one goes on. What is in [`Step`] leaves nothing to choose.

mod arguments;
mod claim;
mod fit;
mod id;
mod manifest;
mod record;
mod scope;
mod seen;
mod slot;
mod step;
mod waiting;

use std::collections::BTreeMap;
use std::time::Duration;

pub use arguments::Own;
pub use claim::{Claim, EndOutcome};
pub use fit::cut;
pub use id::{BatchId, HASH_CHARS};
pub use manifest::{Manifest, Prepared, Unprepared};
pub use record::{Chunk, Closing, Identity, Member, Opening, chunk};
pub use scope::{Scope, ScopeError};
pub use seen::{FoundRun, Lookup, RunState, Seen, Settings, StartOutcome, Step, Why};
use serde::{Deserialize, Serialize};
pub use slot::{Full, Slot};
pub use step::next;

use crate::moment::Time;

/// The version of the items that this code writes, batches apart that need a newer one.
pub const SCHEMA_VERSION: u32 = 1;

/// The version of batches with a [`Scope`] of their own. What knows of none would start them with all
/// that the job's role may, so it leaves them alone.
const SCOPED_VERSION: u32 = 2;

/// The newest version that this code understands. What is newer is left alone.
pub const NEWEST_VERSION: u32 = SCOPED_VERSION;

/// The most entries of a history; the first is kept, and of the others the last.
const MAX_ENTRIES: usize = 40;

/// A batch as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Batch {
    pub v: u32,
    /// See [`BatchId`].
    pub id: String,
    pub route: String,
    pub bucket: String,
    /// The values of the captures that the route groups by.
    pub group: BTreeMap<String, String>,
    /// Carried along, so that a change of the routes does not change what was closed.
    pub start: Start,
    pub closing: Closing,
    pub state: State,
    /// Counts the starts: what tells a run from those before it.
    pub epoch: u32,
    /// Runs that ended without success since the batch was closed, or returned.
    pub failures: u32,
    /// Starts in a row that had to be put off.
    pub deferrals: u32,
    pub opened_at: Time,
    pub first_arrival_at: Option<Time>,
    pub last_arrival_at: Option<Time>,
    pub marker_at: Option<Time>,
    /// Object versions, those that others replace included.
    pub members: u64,
    /// Items of the ledger that hold them.
    pub chunks: u32,
    /// What its runs are given, once the members are all there.
    pub prepared: Option<Prepared>,
    /// When its manifest was written at the earliest; not known of one of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared_at: Option<Time>,
    /// All runs that are known, in the order in which they became known.
    pub runs: Vec<Run>,
    /// Whether it is counted in the job's [`Slot`].
    pub holds_slot: bool,
    pub history: Vec<Entry>,
    /// Counts the writes.
    pub revision: u64,
    /// What a newer version has added to the item; kept as it is.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, serde_json::Value>,
}

/// What is started, and how.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Start {
    /// The target's name in the routes, by which the external ID is found.
    pub target: String,
    pub account: String,
    pub region: String,
    pub starter_role_arn: String,
    pub job: String,
    /// Templates.
    pub arguments: BTreeMap<String, String>,
    /// What is known to fill them with.
    pub values: BTreeMap<String, String>,
    pub max_concurrent_runs: Option<u32>,
    pub max_runs_per_hour: Option<u32>,
    /// The most runs, the first included.
    pub attempts: u32,
    /// The states of a run after which another is started.
    pub retry_states: Vec<RunState>,
    /// How much of the job role's permissions its runs have.
    #[serde(default, skip_serializing_if = "Scope::is_job")]
    pub scope: Scope,
}

impl Start {
    /// The version that the item of a batch with this start has at least.
    fn version(&self) -> u32 {
        match self.scope {
            Scope::Job => SCHEMA_VERSION,
            Scope::Batch => SCOPED_VERSION,
        }
    }

    /// The job's place, by which batches that start the same one find its slot.
    pub fn job_key(&self) -> String {
        format!("{}/{}/{}", self.account, self.region, self.job)
    }
}

/// Where a batch stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum State {
    /// Takes members until then.
    Open {
        closes_at: Time,
    },
    /// To be started then. `waits_for_slot`: or when a run of the job ends.
    Sealed {
        due: Time,
        waits_for_slot: bool,
    },
    /// Written before the call. Until `lease` the caller may be about to send it.
    Starting {
        t0: Time,
        lease: Time,
        look_at: Time,
    },
    /// A run is followed; `since` is when it became known.
    Started {
        epoch: u32,
        run_id: String,
        since: Time,
        look_at: Time,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        missing: Option<Missing>,
    },
    /// A run ended without success; its claim is to be ended.
    Failed {
        epoch: u32,
        run_id: String,
        run_state: RunState,
        since: Time,
        look_at: Time,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        missing: Option<Missing>,
    },
    Succeeded {
        run_id: String,
    },
    /// Waits for somebody to return it.
    Parked {
        why: Why,
        message: String,
    },
    /// Closed without members: a marker alone.
    Empty,
}

/// Glue does not know the run that is looked for, and has not since then, whenever it answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Missing {
    pub since: Time,
    pub times: u32,
}

impl State {
    /// In the ledger, in metrics and on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Sealed { .. } => "sealed",
            Self::Starting { .. } => "starting",
            Self::Started { .. } => "started",
            Self::Failed { .. } => "failed",
            Self::Succeeded { .. } => "succeeded",
            Self::Parked { .. } => "parked",
            Self::Empty => "empty",
        }
    }

    /// Whether nothing will become of it any more.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Succeeded { .. } | Self::Empty)
    }
}

/// A job run of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Run {
    pub epoch: u32,
    pub run_id: String,
    /// The last that was seen of it.
    pub state: Option<RunState>,
}

/// What happened, for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    pub at: Time,
    /// A stable identifier.
    pub what: String,
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

impl Batch {
    /// Whether it may still take members.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// When somebody has to look at it; `None` if nothing is to be done.
    pub fn due(&self) -> Option<Time> {
        match &self.state {
            State::Open { closes_at } => Some(*closes_at),
            State::Sealed { due, .. } => Some(*due),
            State::Starting { look_at, .. }
            | State::Started { look_at, .. }
            | State::Failed { look_at, .. } => Some(*look_at),
            State::Succeeded { .. } | State::Parked { .. } | State::Empty => None,
        }
    }

    /// The session policy that its runs are started with, if any.
    ///
    /// # Errors
    /// It has none that keeps its scope: no run may be started.
    pub fn session_policy(&self) -> Result<Option<String>, ScopeError> {
        match &self.prepared {
            Some(prepared) => prepared.session_policy(self.start.scope),
            None => self.start.scope.session_policy(""),
        }
    }

    /// What may wake it before it is due: the end of a run, or of any run of its job; or that it waits
    /// for somebody to return it.
    pub fn awaits(&self) -> Option<String> {
        match &self.state {
            State::Sealed { waits_for_slot: true, .. } => Some(slot_freed(&self.start)),
            State::Started { run_id, .. } => Some(run_ended(&self.start, run_id)),
            State::Parked { .. } => Some(PARKED.to_owned()),
            _ => None,
        }
    }

    /// Whether its runs can be given what was prepared. A manifest expires, so one that has stood for half
    /// of its time is written anew: the run may begin late.
    fn is_prepared(&self, now: Time, settings: &Settings) -> bool {
        let prepared_at = self.prepared_at.unwrap_or(self.opened_at);
        self.prepared.is_some() && now < prepared_at + settings.manifests_kept / 2
    }

    /// When the start was written ahead that has just been refused for certain.
    fn refused_start(&self) -> Option<Time> {
        const REFUSED: [&str; 3] = ["deferred", "waits_for_slot", "parked"];
        if matches!(self.state, State::Parked { why: Why::OutcomeUnknown, .. }) {
            return None;
        }
        match self.history.as_slice() {
            [.., begun, last]
                if begun.what == "starting" && REFUSED.contains(&last.what.as_str()) =>
            {
                Some(begun.at)
            }
            _ => None,
        }
    }

    /// Whether its runs need what reader roles are granted for batches of the version before: its id names no
    /// account, or its manifest lies where that version wrote it.
    pub fn is_former(&self) -> bool {
        let key = Own::manifest_key(&self.route, &self.id);
        let is_elsewhere = |prepared: &Prepared| !prepared.manifest.ends_with(&format!("/{key}"));
        BatchId::account_of(&self.id).is_none() || self.prepared.as_ref().is_some_and(is_elsewhere)
    }

    /// A parked batch as somebody returns it; `None` if it is in another state.
    pub fn returned(&self, now: Time) -> Option<Self> {
        matches!(self.state, State::Parked { .. }).then(|| {
            let due = State::Sealed { due: now, waits_for_slot: false };
            let batch = Self { failures: 0, deferrals: 0, ..self.clone() };
            batch.into_state(due, now, "returned", "")
        })
    }

    /// The same in another state, one write later.
    fn into_state(mut self, state: State, now: Time, what: &str, detail: &str) -> Self {
        self.state = state;
        self.told(now, what, detail);
        self
    }

    /// Adds to the history; the same again counts.
    fn told(&mut self, at: Time, what: &str, detail: &str) {
        let detail = cut(detail);
        match self.history.last_mut() {
            Some(last) if last.what == what && last.detail == detail => {
                last.at = at;
                last.times = last.times.saturating_add(1);
            }
            _ => self.history.push(Entry { at, what: what.to_owned(), detail, times: 1 }),
        }
        if self.history.len() > MAX_ENTRIES {
            self.history.remove(1);
        }
    }
}

/// What all parked batches wait for, see [`Batch::awaits`].
pub const PARKED: &str = "parked";

/// See [`Batch::awaits`].
pub fn slot_freed(start: &Start) -> String {
    format!("slot {}", start.job_key())
}

/// The key of the job whose runs are waited for so, see [`slot_freed`].
pub fn slot_job(awaits: &str) -> Option<&str> {
    awaits.strip_prefix("slot ")
}

/// See [`Batch::awaits`].
pub fn run_ended(start: &Start, run_id: &str) -> String {
    run_key(&start.account, &start.region, &start.job, run_id)
}

/// The same of a run that is known by its place alone.
pub(crate) fn run_key(account: &str, region: &str, job: &str, run_id: &str) -> String {
    format!("run {account}/{region}/{job}/{run_id}")
}

/// Hexadecimal digits, two a byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How long to wait after so many deferrals: half a minute, doubled each time, a quarter of an hour
/// at most.
fn backoff(deferrals: u32) -> Duration {
    const FIRST: Duration = Duration::from_secs(30);
    const MAX: Duration = Duration::from_secs(15 * 60);
    FIRST.saturating_mul(1 << deferrals.min(10)).min(MAX)
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
