//! Time: the clock stands still and what is written moves into the past, so that what only grows
//! does not make two states of one.

use std::time::Duration;

use super::kept::Kept;
use super::worker::{Age, Stage};
use super::{State, World};
use crate::batch::{Batch, Failed, Missing, Started, Starting, State as BatchState, Step};
use crate::moment::{Moment, Time};

const MINUTE: Duration = Duration::from_secs(60);

/// It is always this late.
pub(crate) const NOW: Time = Time(1_000 * 60_000);

impl World {
    pub(crate) fn reconciliation(&self) -> Duration {
        if self.guards.reconciliation {
            MINUTE * u32::from(self.reconciliation)
        } else {
            Duration::ZERO
        }
    }

    /// The moment of a worker of this age, by its own clock.
    pub(crate) fn moment(&self, age: Age) -> Moment {
        let left = if self.guards.lease {
            // What clocks may differ by is the one minute more.
            MINUTE * u32::from(self.time_out + 1 - age.minutes)
        } else {
            Duration::ZERO
        };
        let now = NOW + MINUTE * u32::from(age.ahead);
        Moment { now, lease: now + left, jitter: 0 }
    }

    /// Time stands still if there is nothing that could come of it. An invocation that is at its
    /// time-out goes on in its last minute, or is cut off.
    pub(crate) fn may_go_by(&self, state: &State) -> bool {
        let waits = state.batches.iter().any(|it| self.waits(&it.batch))
            || state.runs.iter().any(|run| run.hidden && self.hidden.is_some());
        waits && state.workers.iter().flatten().all(|it| it.age.minutes < self.time_out)
    }

    pub(crate) fn minute(&self, state: &mut State) {
        for it in &mut state.batches {
            it.batch = self.older(&it.batch);
        }
        for worker in state.workers.iter_mut().flatten() {
            worker.age.minutes += 1;
            match &mut worker.stage {
                Stage::Drive { local, step, .. } => {
                    *local = self.older(local);
                    let mut later = Step::clone(step);
                    if let Step::Write { batch, .. } | Step::Begin { batch, .. } = &mut later {
                        **batch = Batch::clone(&self.older(batch));
                        *step = later.into();
                    }
                }
                Stage::Record { written, .. }
                | Stage::Together { written, .. }
                | Stage::Put { local: written, .. } => *written = self.older(written),
                Stage::Known | Stage::Claim { .. } => {}
            }
        }
        for run in state.runs.iter_mut().filter(|run| run.hidden) {
            if let Some(longest) = self.hidden {
                run.age += 1;
                if run.age >= longest {
                    run.appear();
                }
            }
        }
    }

    /// The batch, a minute later.
    fn older(&self, batch: &Batch) -> Kept<Batch> {
        let mut batch = batch.clone();
        let earlier = |time: &mut Time| *time = *time - MINUTE;
        match &mut batch.state {
            BatchState::Open { closes_at } => earlier(closes_at),
            BatchState::Sealed { due, .. } => earlier(due),
            BatchState::Starting(Starting { t0, lease, look_at, missing }) => {
                let missed = missing.as_mut().map(|missing| &mut missing.since);
                [t0, lease, look_at].into_iter().chain(missed).for_each(earlier);
            }
            BatchState::Started(Started { since, look_at, missing, repeat, .. }) => {
                let missed = missing.as_mut().map(|missing| &mut missing.since);
                let awaited = repeat.as_mut().and_then(|repeat| repeat.awaited_since.as_mut());
                [since, look_at].into_iter().chain(missed).chain(awaited).for_each(earlier);
            }
            BatchState::Failed(Failed { since, look_at, missing, .. }) => {
                let missed = missing.as_mut().map(|missing| &mut missing.since);
                [since, look_at].into_iter().chain(missed).for_each(earlier);
            }
            BatchState::Succeeded { .. }
            | BatchState::Parked { .. }
            | BatchState::Empty
            | BatchState::Announced => {}
        }
        if let Some(first) = &mut batch.first_arrival_at {
            earlier(first);
        }
        if let Some(last) = &mut batch.last_arrival_at {
            earlier(last);
        }
        self.same(batch)
    }

    /// The batch without what makes no difference to what becomes of it.
    pub(crate) fn same(&self, mut batch: Batch) -> Kept<Batch> {
        batch.history.clear();
        batch.deferrals = 0;
        batch.prepared_at = None;
        batch.closed_at = None;
        batch.announced_at = batch.announced_at.map(|_| Time(0));
        batch.opened_at = Time(0);
        if !matches!(batch.state, BatchState::Open { .. }) {
            (batch.first_arrival_at, batch.last_arrival_at) = (None, None);
        }
        // What was long ago is all the same.
        let oldest = NOW - MINUTE * u32::from(2 * self.reconciliation + self.time_out + 2);
        let long_ago = |time: &mut Time| *time = (*time).max(oldest);
        let past = |time: &mut Time| *time = (*time).max(NOW);
        if let BatchState::Started(Started { repeat: Some(repeat), .. }) = &mut batch.state {
            repeat.awaited_since.iter_mut().for_each(long_ago);
        }
        let missed = |missing: &mut Option<Missing>| {
            if let Some(Missing { since, times }) = missing {
                long_ago(since);
                *times = (*times).min(3);
            }
        };
        match &mut batch.state {
            BatchState::Open { closes_at } => {
                past(closes_at);
                batch.first_arrival_at.iter_mut().for_each(long_ago);
                batch.last_arrival_at.iter_mut().for_each(long_ago);
            }
            BatchState::Sealed { due, .. } => past(due),
            BatchState::Starting(Starting { t0, lease, look_at, missing }) => {
                [t0, lease].into_iter().for_each(long_ago);
                missed(missing);
                past(look_at);
            }
            BatchState::Started(Started { since, look_at, missing, .. })
            | BatchState::Failed(Failed { since, look_at, missing, .. }) => {
                // By it only the pauses are told, and here each is a minute.
                *since = NOW;
                missed(missing);
                past(look_at);
            }
            BatchState::Parked { message, .. } => message.clear(),
            _ => {}
        }
        batch.into()
    }
}
