//! The functions: what an invocation does, one call at a time, around the real [`next`].

use std::collections::BTreeMap;
use std::time::Duration;

use super::clock::NOW;
use super::glue::{How, Phase};
use super::kept::Kept;
use super::{Action, State, World, at_once};
use crate::batch::{
    Batch, Bounds, Claim, FoundRun, Lookup, Missing, ObservedRun, Prepared, RepeatSeen, RunState,
    Seen, StartOutcome, Started, State as BatchState, Step, next,
};
use crate::moment::{Moment, Time};

/// What is done next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// One transaction: the claim of an arrival, and the batch with it.
    Record { arrival: usize, is_last: bool, into: Option<usize>, fresh: bool, written: Kept<Batch> },
    /// One transaction: the claims of all that a message brings, and their batch, which has begun. `put`: its manifest is
    /// there.
    Together { arrivals: Vec<usize>, put: bool, written: Kept<Batch> },
    /// The manifest of a batch that has begun.
    Put { batch: usize, local: Kept<Batch> },
    /// The claim alone, where it is not written with the batch.
    Claim { arrival: usize, batch: usize },
    /// All arrivals of the message are in batches already.
    Known,
    /// `fresh`: the ledger still has what was decided on.
    Drive { batch: usize, local: Kept<Batch>, fresh: bool, slot_fresh: bool, step: Kept<Step> },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Worker {
    /// That it acknowledges at its end; the monitor has none.
    pub message: Option<usize>,
    /// The batch that it opened for what it brings.
    pub own: Option<usize>,
    pub age: Age,
    pub stage: Stage,
}

/// Since a worker began, and what its clock says beside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Age {
    pub minutes: u8,
    /// How many minutes its clock is ahead.
    pub ahead: u8,
}

impl Stage {
    /// Nothing is left to do but to acknowledge.
    fn rests(&self) -> bool {
        matches!(self, Self::Drive { step, .. } if **step == Step::Rest)
    }
}

impl World {
    pub(crate) fn give_back(&self, state: &mut State, batch: usize) {
        state.budget.returns -= 1;
        if let Some(returned) = state.batches[batch].batch.returned(NOW) {
            state.write(batch, self.same(returned));
        }
    }

    pub(crate) fn look(&self, state: &mut State, batch: usize, wake: bool, ahead: u8) {
        let age = Age { minutes: 0, ahead };
        let seen = if wake { Seen::Wake } else { Seen::Nothing };
        let stage = self.drive(state, batch, seen, age);
        if !stage.rests() {
            state.employ(Worker { message: None, own: None, age, stage });
        }
    }

    /// What is to be done about a batch that was just read.
    pub(crate) fn drive(&self, state: &State, batch: usize, seen: Seen, age: Age) -> Stage {
        let local = state.batches[batch].batch.clone();
        self.decide(batch, local, seen, &self.moment(age))
    }

    pub(crate) fn decide(
        &self,
        batch: usize,
        local: Kept<Batch>,
        seen: Seen,
        moment: &Moment,
    ) -> Stage {
        let bounds =
            Bounds { reconciliation: self.reconciliation(), manifests_kept: Duration::MAX };
        let (mut local, mut seen) = (local, seen);
        let step = loop {
            if !self.waits(&local) {
                break Step::Rest;
            }
            if let (Seen::Run(None), false) = (&seen, self.guards.missed_over_time) {
                local = self.missed_for_long(&local);
            }
            if let (BatchState::Started(Started { repeat: Some(_), .. }), false) =
                (&local.state, self.guards.earlier_holder)
            {
                local = self.not_held_before(&local);
            }
            if !self.guards.prepared_anew && local.epoch > 0 && local.prepared.is_none() {
                let prepared = Some(at_once::prepared(&local));
                local = self.same(Batch { prepared, ..Batch::clone(&local) });
            }
            if !self.guards.accounted && local.epoch > 0 {
                local = self.accounted_for(&local);
            }
            match next(&local, &seen, moment, &bounds) {
                Step::Prepare => seen = Seen::Prepared(Ok(prepared())),
                Step::Assume(batch) => {
                    local = self.same(*batch);
                    // It was due, or awake, and still is.
                    seen = Seen::Wake;
                }
                Step::Write { batch, counts } => {
                    let batch = self.counted(*batch, counts);
                    break Step::Write { batch: Box::new(Batch::clone(&batch)), counts };
                }
                // What it says depends on the batch alone.
                Step::Announce { .. } => break Step::Announce { detail: String::new() },
                Step::Begin { batch, slot } => {
                    break Step::Begin { batch: Box::new(Batch::clone(&self.same(*batch))), slot };
                }
                // All there is was begun since then.
                Step::Lookup { .. } => {
                    break Step::Lookup { since: Time(0), not_before: Time(0) };
                }
                step => break step,
            }
        };
        Stage::Drive { batch, local, fresh: true, slot_fresh: true, step: step.into() }
    }

    /// The batch that is written, counted or not.
    fn counted(&self, batch: Batch, counts: bool) -> Kept<Batch> {
        let holds_slot = batch.holds_slot && (self.guards.counted_again || !counts);
        self.same(Batch { holds_slot, ..batch })
    }

    /// As if somebody knew what became of every start before the last one.
    fn accounted_for(&self, batch: &Batch) -> Kept<Batch> {
        self.same(Batch { accounted: batch.epoch - 1, ..batch.clone() })
    }

    /// As if no earlier attempt of the run had held the claim.
    fn not_held_before(&self, batch: &Batch) -> Kept<Batch> {
        let mut batch = batch.clone();
        if let BatchState::Started(Started { repeat: Some(repeat), .. }) = &mut batch.state {
            repeat.may_hold_claim = false;
        }
        self.same(batch)
    }

    /// As if the run had been missed for as long as it can be.
    fn missed_for_long(&self, batch: &Batch) -> Kept<Batch> {
        let mut batch = batch.clone();
        if let BatchState::Started(Started { missing, .. }) = &mut batch.state {
            *missing = Some(Missing { since: Time(0), times: 3 });
        }
        self.same(batch)
    }

    pub(crate) fn worker_actions(&self, state: &State, worker: usize, actions: &mut Vec<Action>) {
        let Some(it) = &state.workers[worker] else { return };
        actions.push(Action::Step { worker, how: How::Well });
        let is_record = matches!(it.stage, Stage::Record { .. } | Stage::Together { .. });
        if is_record && state.budget.outages > 0 {
            actions.push(Action::Step { worker, how: How::NotRecorded });
        }
        if matches!(it.stage, Stage::Together { put: false, .. }) {
            actions.push(Action::Step { worker, how: How::Put });
        }
        if matches!(it.stage, Stage::Put { .. }) && state.budget.refusals > 0 {
            actions.push(Action::Step { worker, how: How::Refused });
        }
        if let Stage::Drive { step, .. } = &it.stage {
            let budget = state.budget;
            let more = match **step {
                Step::Start => [
                    (budget.refusals, How::Refused),
                    (budget.ambiguous, How::LostWithEffect),
                    (budget.ambiguous, How::LostWithout),
                ]
                .to_vec(),
                Step::Announce { .. } => {
                    vec![(budget.untaken, How::NotTaken), (budget.unheard, How::NotHeard)]
                }
                Step::Lookup { .. } => {
                    vec![(budget.unclear, How::Unclear), (budget.unanswered, How::Unanswered)]
                }
                Step::Follow { .. } => vec![(budget.blips, How::NotFound)],
                _ => Vec::new(),
            };
            let more = more.into_iter().filter(|(left, _)| *left > 0);
            actions.extend(more.map(|(_, how)| Action::Step { worker, how }));
        }
        if state.budget.crashes > 0 {
            actions.push(Action::Crash { worker });
        }
    }

    pub(crate) fn step(&self, state: &mut State, worker: usize, how: How) {
        let Some(mut it) = state.workers[worker].take() else { return };
        if let (How::NotRecorded, Some(message)) = (how, it.message) {
            return self.go_back(state, message);
        }
        let stage = match it.stage.clone() {
            Stage::Record { arrival, is_last, into, fresh, written } => {
                let is_free = !state.claimed[arrival];
                let is_head = self.closing.is_at_once()
                    || into == state.head.filter(|head| state.is_open(*head));
                if !(is_free && is_head && (fresh || !self.guards.revision)) {
                    Some(self.read(state, &it))
                } else {
                    let batch = self.record(state, arrival, into, written);
                    it.own = Some(batch);
                    Some(match (self.guards.one_transaction, is_last) {
                        (false, _) => Stage::Claim { arrival, batch },
                        (true, false) => self.read(state, &it),
                        (true, true) => self.drive(state, batch, Seen::Nothing, it.age),
                    })
                }
            }
            Stage::Together { arrivals, put, written } => {
                Some(self.step_together(state, &mut it, arrivals, put, written, how))
            }
            Stage::Put { batch, local } => Some(self.step_put(state, it.age, batch, local, how)),
            Stage::Claim { arrival, batch: _ } => {
                state.claimed[arrival] = true;
                Some(self.read(state, &it))
            }
            Stage::Known => None,
            stage if stage.rests() => None,
            Stage::Drive { .. } => self.call(state, &it, how),
        };
        let stage = stage.filter(|stage| {
            // A message is still to be acknowledged.
            it.message.is_some() || !stage.rests()
        });
        state.workers[worker] = stage.map(|stage| Worker { stage, ..it });
    }

    /// Carries out the step of a worker; `None` if it has lost against another.
    fn call(&self, state: &mut State, it: &Worker, how: How) -> Option<Stage> {
        let Stage::Drive { batch, local, fresh, slot_fresh, step } = &it.stage else { return None };
        let (batch, moment) = (*batch, self.moment(it.age));
        let holds = *fresh || !self.guards.revision;
        let rest = Stage::Drive {
            batch,
            local: local.clone(),
            fresh: true,
            slot_fresh: true,
            step: Step::Rest.into(),
        };
        let (local, seen) = match Step::clone(step) {
            Step::Write { batch: written, counts } if holds => {
                let written = Kept::from(*written);
                state.write(batch, written.clone());
                if counts {
                    state.slot_write(state.slot.after(&written));
                }
                (written, Seen::Nothing)
            }
            Step::Begin { batch: written, .. } if !self.guards.write_ahead => {
                (Kept::from(*written), Seen::Begun)
            }
            Step::Begin { batch: written, slot }
                if holds && (*slot_fresh || slot.is_none() || !self.guards.slot_with_batch) =>
            {
                let written = Kept::from(*written);
                state.write(batch, written.clone());
                slot.into_iter().for_each(|slot| state.slot_write(slot));
                (written, Seen::Begun)
            }
            Step::Write { .. } | Step::Begin { .. } => return Some(rest),
            Step::Announce { .. } => {
                let seen = state.announce(batch, how);
                let is_taken = seen.is_ok() || !self.guards.event_taken;
                (local.clone(), Seen::Announced(if is_taken { Ok(()) } else { seen }))
            }
            Step::ReadSlot => (local.clone(), Seen::Slot((*state.slot).clone())),
            Step::Start => {
                let outcome = self.start(state, batch, local.epoch, how);
                (local.clone(), Seen::Start(outcome))
            }
            Step::Lookup { .. } => (local.clone(), Seen::Lookup(state.search(batch, how))),
            Step::Follow { run_id } => {
                let run = state.index(&run_id).map(|run| state.runs[run]);
                let seen = run.and_then(|run| match run.phase {
                    _ if how == How::NotFound => {
                        state.budget.blips -= 1;
                        None
                    }
                    _ if run.hidden => None,
                    Phase::Lost if self.losers_fail => Some(RunState::Failed),
                    Phase::Succeeded | Phase::Lost => Some(RunState::Succeeded),
                    Phase::Failed => Some(RunState::Failed),
                    _ if !self.guards.ended_once_final => Some(RunState::Failed),
                    Phase::Begun | Phase::Holds => Some(RunState::Running),
                });
                (local.clone(), Seen::Run(seen.map(ObservedRun::from)))
            }
            Step::ReadClaim { run } => {
                let mut claim = state.batches[batch].claim;
                if !self.guards.outcome_by_holder
                    && let BatchState::Started(Started { epoch, .. }) = local.state
                {
                    claim = Claim { holder: Some(epoch), ended: 0 };
                }
                (local.clone(), Seen::Claim { run, claim })
            }
            Step::FindRepeat { run_id, run, claim } => {
                let attempt = state.index(&run_id).map(|run| state.runs[run]);
                let max_retries =
                    if self.takes_for_over(local, moment.now) { 0 } else { self.max_retries };
                let repeat = match attempt.filter(|attempt| !attempt.hidden) {
                    Some(_) if self.guards.waits_for_repeat => RepeatSeen::Begun,
                    _ => RepeatSeen::NotSeen { max_retries },
                };
                (local.clone(), Seen::Repeat { run, claim, repeat })
            }
            Step::EndClaim { epoch } => {
                let (claim, outcome) = state.batches[batch].claim.ended(epoch);
                state.batches[batch].claim = claim;
                (local.clone(), Seen::ClaimEnded(outcome))
            }
            Step::Rest | Step::Prepare | Step::Assume(_) => return Some(rest),
        };
        let late = match (&seen, self.guards.time_before_look) {
            (Seen::Lookup(_), false) => Duration::from_secs(60),
            _ => Duration::ZERO,
        };
        let decided = self.decide(batch, local, seen, &Moment { now: moment.now + late, ..moment });
        // What was read before a call may be out of date after it.
        Some(match decided {
            Stage::Drive { batch, local, step: next, .. } => Stage::Drive {
                batch,
                local,
                fresh: *fresh,
                slot_fresh: *slot_fresh || matches!(**step, Step::ReadSlot),
                step: next,
            },
            stage => stage,
        })
    }

    /// Whether, for want of a guard, a run that Glue is to repeat is taken for one that is over.
    fn takes_for_over(&self, batch: &Batch, now: Time) -> bool {
        let BatchState::Started(Started { repeat, .. }) = &batch.state else { return false };
        let since = repeat.and_then(|repeat| repeat.awaited_since);
        let is_late = since.is_some_and(|since| now >= since + self.reconciliation());
        !self.guards.waits_for_repeat || (is_late && !self.guards.repeat_in_doubt)
    }

    fn start(&self, state: &mut State, batch: usize, epoch: u32, how: How) -> StartOutcome {
        let lost = StartOutcome::Unknown(String::new());
        match how {
            How::Refused => {
                state.budget.refusals -= 1;
                let (code, message) = (String::new(), String::new());
                StartOutcome::NotNow { code, message, waits_for_slot: false }
            }
            How::LostWithEffect => {
                state.budget.ambiguous -= 1;
                self.begin(state, batch, epoch);
                if self.guards.one_attempt {
                    lost
                } else {
                    StartOutcome::Started(self.begin(state, batch, epoch))
                }
            }
            How::LostWithout => {
                state.budget.ambiguous -= 1;
                lost
            }
            How::Well
            | How::NotTaken
            | How::NotHeard
            | How::NotRecorded
            | How::Put
            | How::Unclear
            | How::Unanswered
            | How::NotFound => StartOutcome::Started(self.begin(state, batch, epoch)),
        }
    }

    /// What others have decided on is out of date. One whose next write cannot hold, and that has
    /// nothing to do before it but look, has no effect any more.
    pub(crate) fn give_up(&self, state: &mut State) {
        if !(self.guards.revision && self.guards.write_ahead && self.guards.slot_with_batch) {
            return;
        }
        for worker in &mut state.workers {
            let Some(Worker { message, stage, .. }) = worker else { continue };
            if let Stage::Drive { batch, local, fresh: fresh @ false, step, .. } = stage
                && !matches!(**step, Step::Announce { .. } | Step::Start | Step::EndClaim { .. })
            {
                *local = state.batches[*batch].batch.clone();
                (*fresh, *step) = (true, Step::Rest.into());
                if message.is_none() {
                    *worker = None;
                }
            }
        }
    }

    /// Whether the message of a worker that dies comes again.
    pub(crate) fn comes_again(&self) -> bool {
        self.guards.ack_after_record
    }
}

pub(crate) fn prepared() -> Prepared {
    let (manifest, arguments) = (String::new(), BTreeMap::new());
    Prepared { objects: 1, bytes: None, manifest, arguments }
}

impl State {
    pub(crate) fn employ(&mut self, worker: Worker) {
        if let Some(idle) = self.workers.iter_mut().find(|it| it.is_none()) {
            *idle = Some(worker);
        }
    }

    pub(crate) fn is_open(&self, batch: usize) -> bool {
        matches!(self.batches[batch].batch.state, BatchState::Open { .. })
    }

    /// What others have decided is out of date. Whoever writes is not among the workers meanwhile.
    pub(crate) fn write(&mut self, batch: usize, written: Kept<Batch>) {
        self.batches[batch].batch = written;
        for worker in self.workers.iter_mut().flatten() {
            match &mut worker.stage {
                Stage::Drive { batch: other, fresh, .. } if *other == batch => *fresh = false,
                Stage::Record { into: Some(other), fresh, .. } if *other == batch => {
                    *fresh = false;
                }
                _ => {}
            }
        }
    }

    fn slot_write(&mut self, slot: crate::batch::Slot) {
        self.slot = slot.into();
        for worker in self.workers.iter_mut().flatten() {
            if let Stage::Drive { slot_fresh, .. } = &mut worker.stage {
                *slot_fresh = false;
            }
        }
    }

    /// Puts the event of a batch.
    fn announce(&mut self, batch: usize, how: How) -> Result<(), String> {
        if how == How::NotTaken {
            self.budget.untaken -= 1;
            return Err(String::new());
        }
        let announced = &mut self.batches[batch].announced;
        *announced = (*announced + 1).min(2);
        if how == How::NotHeard {
            self.budget.unheard -= 1;
            return Err(String::new());
        }
        Ok(())
    }

    fn search(&mut self, batch: usize, how: How) -> Lookup {
        match how {
            How::Unclear => {
                self.budget.unclear -= 1;
                return Lookup::Unclear(String::new());
            }
            How::Unanswered => {
                self.budget.unanswered -= 1;
                return Lookup::Unanswered(String::new());
            }
            _ => {}
        }
        let seen =
            self.runs.iter().enumerate().filter(|(_, run)| run.batch == batch && !run.hidden);
        let found = seen.map(|(at, run)| FoundRun { epoch: run.epoch, run_id: self.run_id(at) });
        Lookup::Complete(found.collect())
    }

    pub(crate) fn crash(&mut self, world: &World, worker: usize) {
        self.budget.crashes -= 1;
        if let Some(Worker { message: Some(message), .. }) = self.workers[worker].take()
            && world.comes_again()
        {
            self.queue[message] += 1;
        }
    }
}
