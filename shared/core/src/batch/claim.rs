//! The claim: which of the runs of a batch may have effects.
//!
//! A job claims its batch before any effect (`landfall/_claim.py`, the same conditions as here). At any time
//! one run at most holds the claim. It can change hands only when the monitor has seen the run that
//! holds it end, and said so.

use serde::{Deserialize, Serialize};

/// The claim on a batch, as its item tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// Of the run that holds it.
    pub holder: Option<u32>,
    /// Runs of this epoch and of those before have ended, and can hold it no more.
    pub ended: u32,
}

/// What came of saying that a run has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndOutcome {
    Ended,
    /// The run of another epoch holds the claim: the batch's outcome is that run's.
    HeldBy(u32),
}

impl Claim {
    /// The epoch of the run that holds it and has not ended.
    pub fn live(&self) -> Option<u32> {
        self.holder.filter(|holder| *holder > self.ended)
    }

    /// The claim after a run of `epoch` asked for it; `None` if it was refused.
    pub fn taken(&self, epoch: u32) -> Option<Self> {
        (self.live().is_none() && epoch > self.ended)
            .then_some(Self { holder: Some(epoch), ..*self })
    }

    /// The claim after the run of `epoch` is known to have ended.
    pub fn ended(&self, epoch: u32) -> (Self, EndOutcome) {
        match self.live() {
            Some(other) if other != epoch => (*self, EndOutcome::HeldBy(other)),
            _ => (Self { ended: self.ended.max(epoch), ..*self }, EndOutcome::Ended),
        }
    }
}
