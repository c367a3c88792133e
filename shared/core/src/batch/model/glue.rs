//! Glue and the jobs: runs that begin with a call, claim their batch, and end.

use super::{Action, Claims, State, World};
use crate::batch::{attempt_of, repeat_after};

/// What becomes of the call that a worker makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Well,
    /// It certainly had no effect.
    Refused,
    /// Nobody is told what it did: it started a run.
    LostWithEffect,
    /// Nobody is told what it did: nothing.
    LostWithout,
    /// An event is not taken.
    NotTaken,
    /// An event is taken, and nobody is told.
    NotHeard,
    /// The ledger does not answer.
    NotRecorded,
    /// A manifest is put, while its batch is recorded.
    Put,
    /// A search gives what nobody can tell from.
    Unclear,
    /// A search gets no answer.
    Unanswered,
    /// Glue says once that it does not know a run, which is there.
    NotFound,
}

/// A call that takes effect late is one whose run is hidden and asks for its claim late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    Begun,
    Holds,
    Succeeded,
    /// It was refused the claim, and exited successfully.
    Lost,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Run {
    pub batch: usize,
    pub epoch: u32,
    /// The run that Glue repeats with this one, by itself, and how often it has.
    pub repeat_of: Option<(usize, u32)>,
    pub phase: Phase,
    /// Those who look cannot see it yet.
    pub hidden: bool,
    /// Minutes since its call, while it is hidden.
    pub age: u8,
}

impl Run {
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Begun | Phase::Holds)
    }

    pub(crate) fn appear(&mut self) {
        (self.hidden, self.age) = (false, 0);
    }
}

impl World {
    pub(crate) fn run_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (run, it) in state.runs.iter().enumerate() {
            if it.hidden {
                actions.push(Action::Appear { run });
            }
            match it.phase {
                Phase::Begun => {
                    if self.claims != Claims::Never {
                        actions.push(Action::Claim { run });
                    }
                    if self.claims != Claims::Always {
                        actions.push(Action::End { run, well: true });
                    }
                }
                Phase::Holds => actions.push(Action::End { run, well: true }),
                _ => {}
            }
            if it.is_live() && state.budget.failures > 0 {
                actions.push(Action::End { run, well: false });
            }
        }
    }

    /// The call took effect; the new run's id.
    pub(crate) fn begin(&self, state: &mut State, batch: usize, epoch: u32) -> String {
        self.run(state, batch, epoch, None);
        (state.runs.len() - 1).to_string()
    }

    fn run(&self, state: &mut State, batch: usize, epoch: u32, repeat_of: Option<(usize, u32)>) {
        let hidden = self.hidden != Some(0);
        let is_other = |run: &Run| run.batch == batch && run.is_live();
        state.batches[batch].overlapped |= state.runs.iter().any(is_other);
        state.batches[batch].misled |= self.misleads(state, batch);
        state.runs.push(Run { batch, epoch, repeat_of, phase: Phase::Begun, hidden, age: 0 });
    }

    /// Glue repeats a run that failed at once, whoever may see it.
    pub(crate) fn end(&self, state: &mut State, run: usize, well: bool) {
        let it = &mut state.runs[run];
        if well {
            state.batches[it.batch].effects += 1;
            it.phase = Phase::Succeeded;
            return;
        }
        state.budget.failures -= 1;
        it.phase = Phase::Failed;
        let Run { batch, epoch, repeat_of, .. } = *it;
        let (first, attempts) = repeat_of.unwrap_or((run, 0));
        if attempts < self.max_retries {
            self.run(state, batch, epoch, Some((first, attempts + 1)));
        }
    }

    pub(crate) fn claim(&self, state: &mut State, run: usize) {
        let it = &mut state.runs[run];
        let claim = &mut state.batches[it.batch].claim;
        it.phase = match claim.taken(it.epoch) {
            Some(taken) => {
                *claim = taken;
                Phase::Holds
            }
            None if !self.guards.claim => Phase::Holds,
            None => Phase::Lost,
        };
    }
}

impl State {
    /// Glue's ID of a run.
    pub(crate) fn run_id(&self, run: usize) -> String {
        match self.runs[run].repeat_of {
            Some((first, attempts)) => {
                (0..attempts).fold(first.to_string(), |id, _| repeat_after(&id))
            }
            None => run.to_string(),
        }
    }

    /// The index of the run with this ID in [`State::runs`].
    pub(crate) fn index(&self, run_id: &str) -> Option<usize> {
        let (first, attempts) = attempt_of(run_id);
        let first = first.parse().ok()?;
        match attempts {
            0 => Some(first),
            _ => self.runs.iter().position(|run| run.repeat_of == Some((first, attempts))),
        }
    }
}
