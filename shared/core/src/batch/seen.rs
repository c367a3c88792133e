//! What is observed about a batch, and what can be asked for: the two sides of a decision.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Batch, Claim, EndOutcome, Prepared, Slot, Unprepared, cut};
use crate::moment::Time;

/// What is decided by.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long after a call a run may still become visible to those who look for it. It is counted
    /// from when the call can no more be made.
    pub reconciliation: Duration,
    /// After so long a manifest expires.
    pub manifests_kept: Duration,
}

/// A state of a job run, in Glue's words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
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
    /// One that is not known: taken for live.
    #[serde(untagged)]
    Other(String),
}

impl RunState {
    /// From Glue's word.
    pub fn parse(text: &str) -> Self {
        // A string always deserialises: what is not known is `Other`.
        serde_json::from_value(serde_json::Value::from(cut(text)))
            .unwrap_or_else(|_| Self::Other(cut(text)))
    }

    /// Glue's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Stopping => "STOPPING",
            Self::Waiting => "WAITING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Timeout => "TIMEOUT",
            Self::Error => "ERROR",
            Self::Stopped => "STOPPED",
            Self::Expired => "EXPIRED",
            Self::Other(word) => word,
        }
    }

    /// Whether it ended, and not well.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Failed | Self::Timeout | Self::Error | Self::Stopped | Self::Expired)
    }
}

/// A run that carries this batch's id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FoundRun {
    pub epoch: u32,
    pub run_id: String,
}

/// What a search for runs gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// All that carry the batch's id, whatever their state; maybe none.
    Complete(Vec<FoundRun>),
    /// Glue answered, and nobody can tell from it: a run does not say what it was started for, or there
    /// are too many.
    Unclear(String),
    /// Glue did not answer, or refused to. It says nothing of the runs.
    Unanswered(String),
}

/// What came of `StartJobRun`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartOutcome {
    Started(String),
    /// Certainly not started. It may be later, by itself; `waits_for_slot`: when a run ends.
    NotNow {
        code: String,
        message: String,
        waits_for_slot: bool,
    },
    /// Certainly not started, and it will not be until somebody changes something.
    Never {
        why: Why,
        message: String,
    },
    /// It may have been started.
    Unknown(String),
}

/// Why a batch is parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    NoSuchJob,
    InvalidInput,
    /// An argument cannot be given.
    ArgumentRefused,
    /// Its runs cannot be held to it.
    ScopeNotKept,
    AttemptsExhausted,
    StateNotRetried,
    /// Whether a run was started could not be learned.
    OutcomeUnknown,
    /// A run succeeded that never claimed the batch, so nothing shows that it did its work.
    NotClaimed,
    /// Glue does not know the run any more.
    RunVanished,
    #[serde(other)]
    Other,
}

impl Why {
    /// A stable identifier.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoSuchJob => "no_such_job",
            Self::InvalidInput => "invalid_input",
            Self::ArgumentRefused => "argument_refused",
            Self::ScopeNotKept => "scope_not_kept",
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::StateNotRetried => "state_not_retried",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::NotClaimed => "not_claimed",
            Self::RunVanished => "run_vanished",
            Self::Other => "other",
        }
    }
}

/// What was just observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nothing but the batch itself.
    Nothing,
    /// Something that waits has reason to look now: what it is due for may have changed.
    Wake,
    Prepared(Result<Prepared, Unprepared>),
    Slot(Slot),
    /// Whoever asks has itself just written `starting`.
    Begun,
    Start(StartOutcome),
    Lookup(Lookup),
    /// The state of the run that is followed; `None` if Glue does not know it.
    Run(Option<RunState>),
    /// With the state of the run that is followed.
    Claim {
        run_state: RunState,
        claim: Claim,
    },
    ClaimEnded(EndOutcome),
    /// The call that was asked for failed, and changed nothing that is known.
    Failed(String),
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// Nothing, until the batch is due.
    Rest,
    /// Write this in the place of what was decided on. `counts`: and change its slot with it, see
    /// [`Slot::after`].
    Write { batch: Box<Batch>, counts: bool },
    /// Go on with this; it need not be written yet.
    Assume(Box<Batch>),
    /// Read the members, write the manifest: [`Seen::Prepared`].
    Prepare,
    /// Read the job's slot: [`Seen::Slot`].
    ReadSlot,
    /// Write this, with the slot if there is one: [`Seen::Begun`], if it held.
    Begin { batch: Box<Batch>, slot: Option<Slot> },
    /// Call `StartJobRun`, once: [`Seen::Start`].
    Start,
    /// Search the runs begun since then: [`Seen::Lookup`]. A search that began at `not_before` or later
    /// serves, if what it gave is decided on with the time at which it began.
    Lookup { since: Time, not_before: Time },
    /// Ask for the state of this run: [`Seen::Run`].
    Follow { run_id: String },
    /// Read the claim: [`Seen::Claim`], with this state.
    ReadClaim { run_state: RunState },
    /// Say that the run of this epoch has ended: [`Seen::ClaimEnded`].
    EndClaim { epoch: u32 },
}
