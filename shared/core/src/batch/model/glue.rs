//! Glue and the jobs: runs that begin with a call, claim their batch, and end.

use super::{Action, Item, State, World};

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
    /// The ledger does not answer.
    NotRecorded,
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
    pub phase: Phase,
    /// Those who look cannot see it yet.
    pub hidden: bool,
    /// Minutes since its call, while it is hidden.
    pub age: u8,
}

/// The index of a run in [`State::runs`].
pub(crate) fn index(run_id: &str) -> usize {
    run_id.parse().unwrap_or(usize::MAX)
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
                Phase::Begun => actions.push(Action::Claim { run }),
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
        let hidden = self.hidden != Some(0);
        let run = Run { batch, epoch, phase: Phase::Begun, hidden, age: 0 };
        state.runs.push(run);
        (state.runs.len() - 1).to_string()
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
    pub(crate) fn end(&mut self, run: usize, well: bool) {
        let it = &mut self.runs[run];
        if well {
            let Item { effects, .. } = &mut self.batches[it.batch];
            *effects += 1;
            it.phase = Phase::Succeeded;
        } else {
            self.budget.failures -= 1;
            it.phase = Phase::Failed;
        }
    }
}
