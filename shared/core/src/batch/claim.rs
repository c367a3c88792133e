//! The claim says which of the runs of a batch may have effects.
//!
//! A job claims its batch before any effect (`landfall/_claim.py` has the same conditions). At most one run holds the
//! claim at any time. Another run can take it only after the monitor has seen the holder end and recorded that.

use serde::{Deserialize, Serialize};

/// Whether the runs of a batch must claim it. An unknown word does not read as a `ClaimMode`: code that does not know how a
/// batch is judged must not judge it.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ClaimMode {
    /// A run that succeeds without a claim does not count: nothing shows that it did the batch's work.
    #[default]
    Required,
    /// If no run of the batch ever claims it, the end of the only run that was at work is the batch's end.
    Optional,
}

impl ClaimMode {
    /// Returns its word in routes and on the command line.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn is_required(&self) -> bool {
        *self == Self::Required
    }
}

/// The claim on a batch, as its item has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// The epoch of the run that holds it.
    pub holder: Option<u32>,
    /// Runs of this epoch and of earlier ones have ended and can no longer hold it.
    pub ended: u32,
}

/// The outcome of recording that a run has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndOutcome {
    /// The end is recorded, so another run may take the claim.
    Ended,
    /// The run of another epoch holds the claim. Its outcome is the batch's.
    HeldBy(u32),
}

impl Claim {
    /// Returns the epoch of the run that holds it and has not ended.
    pub fn live(&self) -> Option<u32> {
        self.holder.filter(|holder| *holder > self.ended)
    }

    /// Returns the claim after a run of `epoch` took it; `None` if the run may not take it.
    pub fn taken(&self, epoch: u32) -> Option<Self> {
        (self.live().is_none() && epoch > self.ended)
            .then_some(Self { holder: Some(epoch), ..*self })
    }

    /// Returns the claim after the run of `epoch` is known to have ended.
    pub fn ended(&self, epoch: u32) -> (Self, EndOutcome) {
        match self.live() {
            Some(other) if other != epoch => (*self, EndOutcome::HeldBy(other)),
            _ => (Self { ended: self.ended.max(epoch), ..*self }, EndOutcome::Ended),
        }
    }
}
