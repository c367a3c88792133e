//! The two sides of a decision about a batch: what was observed, and what to do.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fit::cut_to_chars;
use super::{Batch, Claim, EndOutcome, Prepared, Slot, Unprepared, cut};
use crate::moment::Time;

/// The durations that decisions depend on.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How long after a call a run may still become visible to a search. It counts from when the call can no longer be
    /// made.
    pub reconciliation: Duration,
    /// How long it takes until a manifest expires.
    pub manifests_kept: Duration,
}

/// A state of a job run, in Glue's words.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::AsRefStr,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the variants are states as Glue names and defines them")]
pub enum RunState {
    Starting,
    Running,
    Stopping,
    Waiting,
    Succeeded,
    Failed,
    Timeout,
    Error,
    Stopped,
    Expired,
    /// A state that this version does not know. It counts as live.
    #[serde(untagged)]
    #[strum(transparent)]
    Other(String),
}

impl RunState {
    /// Reads Glue's word.
    pub fn parse(text: &str) -> Self {
        // A string always deserialises: what is not known is `Other`.
        serde_json::from_value(serde_json::Value::from(cut(text)))
            .unwrap_or_else(|_| Self::Other(cut(text)))
    }

    /// Returns Glue's word.
    pub fn as_str(&self) -> &str {
        self.as_ref()
    }

    /// Returns `true` if the run ended without success.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Failed | Self::Timeout | Self::Error | Self::Stopped | Self::Expired)
    }
}

/// A run as Glue shows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObservedRun {
    /// Its state.
    pub state: RunState,
    /// Why it failed, in the words of Glue or of the job, shortened; `None` if it did not fail, or Glue gives no reason.
    pub error: Option<String>,
}

impl ObservedRun {
    /// The most characters that are kept of Glue's message. A job can put a whole stack trace into it.
    pub const MAX_ERROR_CHARS: usize = 800;

    /// Returns the run with Glue's message, if that is the message of a failure.
    pub fn new(state: RunState, message: Option<&str>) -> Self {
        let message = message.map(str::trim).filter(|text| state.is_failure() && !text.is_empty());
        let error = message.map(|text| cut_to_chars(text, Self::MAX_ERROR_CHARS));
        Self { state, error }
    }
}

impl From<RunState> for ObservedRun {
    fn from(state: RunState) -> Self {
        Self { state, error: None }
    }
}

/// A run that carries this batch's ID.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FoundRun {
    /// The epoch in the run's arguments.
    pub epoch: u32,
    /// Glue's ID of the run.
    pub run_id: String,
}

/// The result of a search for runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// All runs that carry the batch's ID, whatever their state. There may be none.
    Complete(Vec<FoundRun>),
    /// Glue answered, but the answer does not show which runs are the batch's: a run does not say what it was started
    /// for, or there are too many.
    Unclear(String),
    /// Glue did not answer or refused to. This says nothing about the runs.
    Unanswered(String),
}

/// What Glue shows of the next attempt of a run that has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepeatSeen {
    /// It is there.
    Begun,
    /// It is not there. The job says now how often Glue repeats a run: never, if there is no such job.
    NotSeen {
        /// The job's `MaxRetries`.
        max_retries: u32,
    },
}

/// The outcome of `StartJobRun`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartOutcome {
    /// Started. Holds Glue's ID of the run.
    Started(String),
    /// Certainly not started. A later attempt may succeed, with `waits_for_slot` as soon as a run ends.
    NotNow {
        /// The error code.
        code: String,
        /// The error message.
        message: String,
        /// `true` if a limit on concurrent runs refused the start.
        waits_for_slot: bool,
    },
    /// Certainly not started. Each attempt will fail until somebody changes something.
    Never {
        /// Why the batch is to be parked.
        why: Why,
        /// The error message.
        message: String,
    },
    /// It may have started.
    Unknown(String),
}

/// Why a batch is parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Why {
    /// The target has no job of this name.
    NoSuchJob,
    /// Glue refuses the input of the call.
    InvalidInput,
    /// Glue or the job cannot take an argument.
    ArgumentRefused,
    /// No session policy can hold the runs to the batch's scope.
    ScopeNotKept,
    /// The last run that the route allows ended without success.
    AttemptsExhausted,
    /// A run ended in a state after which the route starts no other.
    StateNotRetried,
    /// Nobody could find out whether a run was started.
    OutcomeUnknown,
    /// A run succeeded that never claimed the batch, so nothing shows that it did the work.
    NotClaimed,
    /// Glue no longer knows the run.
    RunVanished,
    /// A reason that this version does not know.
    #[serde(other)]
    Other,
}

impl Why {
    /// Returns a stable identifier.
    pub fn code(self) -> &'static str {
        self.into()
    }
}

/// What was just observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Only the batch itself.
    Nothing,
    /// A batch that waits has reason to look now: what it waits for may have changed.
    Wake,
    /// The answer to [`Step::Prepare`].
    Prepared(Result<Prepared, Unprepared>),
    /// The answer to [`Step::Announce`]: the event was taken, or the reason why nobody knows that it was.
    Announced(Result<(), String>),
    /// The answer to [`Step::ReadSlot`].
    Slot(Slot),
    /// The caller itself has just written `starting`.
    Begun,
    /// The caller itself has just written `starting`, and cannot call `StartJobRun`: the reason why.
    NotBegun(String),
    /// The answer to [`Step::Start`].
    Start(StartOutcome),
    /// The answer to [`Step::Lookup`].
    Lookup(Lookup),
    /// The run that is followed; `None` if Glue does not know it.
    Run(Option<ObservedRun>),
    /// The claim, with the run that is followed.
    Claim {
        /// The run that is followed.
        run: ObservedRun,
        /// The claim as it was read.
        claim: Claim,
    },
    /// The answer to [`Step::FindRepeat`], with the claim as it was read before.
    Repeat {
        /// The last known attempt, which has ended.
        run: ObservedRun,
        /// The claim as it was read after that end.
        claim: Claim,
        /// What Glue shows of the next attempt.
        repeat: RepeatSeen,
    },
    /// The answer to [`Step::EndClaim`].
    ClaimEnded(EndOutcome),
    /// The call failed. As far as anybody knows, it changed nothing.
    Failed(String),
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// Do nothing until the batch is due.
    Rest,
    /// Replace the batch in the ledger with this one. With `counts`, change its slot in the same write (see
    /// [`Slot::after`]).
    Write {
        /// What to write.
        batch: Box<Batch>,
        /// `true` if the slot changes in the same write.
        counts: bool,
    },
    /// Go on with this batch. It need not be written yet.
    Assume(Box<Batch>),
    /// Read the members and write the manifest. The answer is [`Seen::Prepared`].
    Prepare,
    /// Put the event that says that the batch has closed. The answer is [`Seen::Announced`].
    Announce {
        /// The event's detail, as JSON.
        detail: String,
    },
    /// Read the job's slot. The answer is [`Seen::Slot`].
    ReadSlot,
    /// Write this batch, with the slot if there is one. If the write held, the answer is [`Seen::Begun`].
    Begin {
        /// What to write.
        batch: Box<Batch>,
        /// The slot to write; `None` if the job has no limits.
        slot: Option<Slot>,
    },
    /// Call `StartJobRun` once. The answer is [`Seen::Start`].
    Start,
    /// Search the runs that began at `since` or later. The answer is [`Seen::Lookup`]. A search that began at `not_before`
    /// or later serves too, if the next decision gets the time at which that search began.
    Lookup {
        /// The earliest start of a run that counts, by Glue's clock.
        since: Time,
        /// When the search may have begun at the earliest.
        not_before: Time,
    },
    /// Get the state of this run. The answer is [`Seen::Run`].
    Follow {
        /// Glue's ID of the run.
        run_id: String,
    },
    /// Read the claim. The answer is [`Seen::Claim`] with this run.
    ReadClaim {
        /// The run, which has ended.
        run: ObservedRun,
    },
    /// See whether Glue makes this attempt of a run that failed. The answer is [`Seen::Repeat`] with this run and claim.
    FindRepeat {
        /// Glue's ID of the attempt.
        run_id: String,
        /// The attempt before it, which has ended.
        run: ObservedRun,
        /// The claim as it was read after that end.
        claim: Claim,
    },
    /// Record that the run of this epoch has ended. The answer is [`Seen::ClaimEnded`].
    EndClaim {
        /// The epoch of the run that ended.
        epoch: u32,
    },
}
