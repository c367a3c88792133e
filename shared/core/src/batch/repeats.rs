//! Runs that Glue repeats by itself, and the starts that are accounted for.
//!
//! If a job has `MaxRetries`, Glue repeats a run that failed. Each repeat is a job run of its own, with the same arguments,
//! so with the same batch ID and epoch. Its ID is that of the run with `_attempt_1`, `_attempt_2` and so on behind it.
//! Landfall takes a run and its repeats as one run.

use super::{Batch, ClaimMode, FoundRun, Run, RunState};

const ATTEMPT: &str = "_attempt_";

/// Takes Glue's ID of a job run apart: the ID of the run that was started, and the number of times that Glue has repeated
/// it by itself, which is 0 for the run that was started.
pub fn attempt_of(run_id: &str) -> (&str, u32) {
    let parts = run_id.rsplit_once(ATTEMPT).filter(|(run, _)| !run.is_empty());
    let number = |digits: &str| digits.parse().ok().filter(|number: &u32| *number > 0);
    parts.and_then(|(run, digits)| Some((run, number(digits)?))).unwrap_or((run_id, 0))
}

/// Returns Glue's ID of the attempt that follows this one, if Glue makes another.
pub fn repeat_after(run_id: &str) -> String {
    let (run, number) = attempt_of(run_id);
    format!("{run}{ATTEMPT}{}", number.saturating_add(1))
}

impl RunState {
    /// Returns `true` if Glue may repeat a run that ended like this. What somebody stopped, or what never began, it leaves.
    pub(super) fn may_be_repeated(&self) -> bool {
        matches!(self, Self::Failed | Self::Error | Self::Timeout)
    }
}

impl Batch {
    /// Returns the batch after no run came of its last start, or all that came of it is over without success.
    pub(super) fn accounted_for(self, epoch: u32) -> Self {
        if self.is_accounted_before(epoch) { Self { accounted: epoch, ..self } } else { self }
    }

    /// Returns the batch after somebody answered for all its starts.
    pub(super) fn all_accounted(self) -> Self {
        match self.start.claim {
            ClaimMode::Optional => Self { accounted: self.epoch, ..self },
            ClaimMode::Required => self,
        }
    }

    /// Returns `true` if every start before this epoch is accounted for, and it is not itself yet.
    fn is_accounted_before(&self, epoch: u32) -> bool {
        self.start.claim == ClaimMode::Optional && self.accounted.checked_add(1) == Some(epoch)
    }

    /// Returns `true` if no other run of the batch can have been at work beside the one of this epoch, as far as its starts
    /// tell. A start whose outcome was never learned may have given a run that Glue still hides.
    pub(super) fn was_alone(&self, epoch: u32) -> bool {
        let of_epoch = self.runs.iter().filter(|run| run.epoch == epoch).count();
        self.is_accounted_before(epoch) && epoch == self.epoch && of_epoch <= 1
    }

    /// Returns the epoch of the first start, other than this one, that nobody could account for.
    pub(super) fn unaccounted(&self, but: u32) -> u32 {
        let first = self.accounted.saturating_add(1);
        if first == but && but < self.epoch { but.saturating_add(1) } else { first }
    }

    /// Adds these to its runs, unless they are known. Attempts of one run are one run: the newest one stands for it.
    pub(super) fn with_runs(&self, found: &[FoundRun]) -> Self {
        let mut batch = self.clone();
        for FoundRun { epoch, run_id } in found {
            let (run, number) = attempt_of(run_id);
            match batch.runs.iter_mut().find(|known| attempt_of(&known.run_id).0 == run) {
                Some(known) if attempt_of(&known.run_id).1 >= number => {}
                Some(known) => {
                    *known = Run {
                        epoch: known.epoch,
                        run_id: run_id.clone(),
                        state: None,
                        error: None,
                    };
                }
                None => batch.runs.push(Run {
                    epoch: *epoch,
                    run_id: run_id.clone(),
                    state: None,
                    error: None,
                }),
            }
        }
        batch
    }

    /// Returns `true` if this run is known to have ended, or Glue has repeated it since. Nothing more will come of it, and it
    /// cannot be the run of a call that was made after its end.
    pub(super) fn has_ended(&self, found: &FoundRun) -> bool {
        let is_over = |state: &RunState| *state == RunState::Succeeded || state.is_failure();
        let (run, number) = attempt_of(&found.run_id);
        self.runs.iter().any(|known| {
            let (known_run, newest) = attempt_of(&known.run_id);
            let has_ended = newest > number || known.state.as_ref().is_some_and(is_over);
            known_run == run && newest >= number && has_ended
        })
    }
}
