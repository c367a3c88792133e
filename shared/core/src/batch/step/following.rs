//! Follows a known run to its end, or to the end of the run that holds the claim.

use std::time::Duration;

use super::{Case, HISTORY, MAX_UNSEEN, later, lookup, newest, park, release, write};
use crate::batch::{
    Batch, Bounds, EndOutcome, Failed, FoundRun, HistoryEvent, Lookup, Missing, Run, RunState,
    Seen, Started, State, Step, Why, backoff,
};
use crate::moment::{Moment, Time};

/// The longest pause between two looks at a run. At first it is `AGAIN`.
const MAX_FOLLOW: Duration = Duration::from_secs(300);

/// Follows `run`, which is one of the batch's. `found` are other runs that the same search found.
pub(super) fn follow(batch: &Batch, run: &FoundRun, found: &[FoundRun], moment: &Moment) -> Step {
    let (now, run_id) = (moment.now, run.run_id.clone());
    let is_known = batch.runs.iter().any(|known| known.run_id == run.run_id);
    let what = if is_known { HistoryEvent::Followed } else { HistoryEvent::Started };
    let look_at = moment.after(super::AGAIN);
    let with_runs = batch.with_runs(found).with_runs(std::slice::from_ref(run));
    // A run that is there counts even beyond its job's limit. If it did not, one more run could start.
    let holds_slot = batch.start.has_limits();
    let state = Started { epoch: run.epoch, run_id, since: now, look_at, missing: None };
    let followed = Batch { deferrals: 0, holds_slot, ..with_runs };
    Step::Write {
        batch: Box::new(followed.into_state(State::Started(state), now, what, &run.run_id)),
        counts: holds_slot != batch.holds_slot,
    }
}

pub(super) fn started(case: Case<'_>, run: &Started) -> Step {
    let Case { batch, seen, moment, bounds, is_due } = case;
    let (now, Started { epoch, run_id, since, missing, .. }) = (moment.now, run);
    let look_at = later(moment, *since, MAX_FOLLOW);
    let look_again = |missing: Option<Missing>, message: &str| {
        let state = State::Started(Started { look_at, missing, ..run.clone() });
        write(batch.clone().into_state(state, now, HistoryEvent::NotSeen, message))
    };
    match seen {
        Seen::Nothing if !is_due => Step::Rest,
        Seen::Nothing | Seen::Wake => Step::Follow { run_id: run_id.clone() },
        Seen::Run(Some(state)) => {
            // The claim says whose outcome counts.
            if *state == RunState::Succeeded || state.is_failure() {
                return Step::ReadClaim { run_state: state.clone() };
            }
            let followed = State::Started(Started { look_at, missing: None, ..run.clone() });
            write(Batch { state: followed, ..batch.seen(run_id, state) })
        }
        // One such answer says little.
        Seen::Run(None) => match missed_again(*missing, now) {
            missing if missing.is_gone(now, bounds) => {
                park(batch, Why::RunVanished, &format!("Glue does not know run `{run_id}`"), now)
            }
            missing => look_again(Some(missing), "Glue does not know the run"),
        },
        Seen::Claim { run_state, claim } => {
            let batch = batch.seen(run_id, run_state);
            let succeeded = *run_state == RunState::Succeeded;
            match claim.live() {
                // This run lost the claim, or ended before it claimed. The holder's outcome counts.
                Some(holder) if holder != *epoch => find_holder(&batch, holder, moment),
                Some(_) if succeeded => {
                    let state = State::Succeeded { run_id: run_id.clone() };
                    release(batch.into_state(state, now, HistoryEvent::Succeeded, run_id))
                }
                None if succeeded => {
                    let message = format!("run `{run_id}` succeeded and had not claimed the batch");
                    park(&batch, Why::NotClaimed, &message, now)
                }
                Some(_) | None => {
                    let detail = format!("run {run_id} is {}", run_state.as_str());
                    let failed = Failed {
                        epoch: *epoch,
                        run_id: run_id.clone(),
                        run_state: run_state.clone(),
                        since: now,
                        look_at: now,
                        missing: None,
                    };
                    let state = State::Failed(failed);
                    release(batch.into_state(state, now, HistoryEvent::Failed, &detail))
                }
            }
        }
        Seen::Lookup(lookup) => searched(case, lookup, *missing, look_again),
        Seen::Failed(message) => look_again(*missing, message),
        // No step that follows a run has these answers.
        Seen::Prepared(_) | Seen::Slot(_) | Seen::Begun | Seen::Start(_) | Seen::ClaimEnded(_) => {
            Step::Rest
        }
    }
}

/// Follows the run that holds the claim, or looks for it.
fn find_holder(batch: &Batch, holder: u32, moment: &Moment) -> Step {
    match batch.run_of(holder) {
        Some(run) => {
            let run = FoundRun { epoch: holder, run_id: run.run_id.clone() };
            follow(batch, &run, &[], moment)
        }
        None => lookup(batch, batch.opened_at, moment),
    }
}

/// Follows the run that holds the claim and was not known before. If no answer shows it for long, or none can show it
/// any more, the batch is parked.
fn searched(
    case: Case<'_>,
    lookup: &Lookup,
    missing: Option<Missing>,
    look_again: impl Fn(Option<Missing>, &str) -> Step,
) -> Step {
    let Case { batch, moment, bounds, .. } = case;
    let now = moment.now;
    let message = match lookup {
        Lookup::Complete(found) => match newest(found, |run| batch.run_of(run.epoch).is_none()) {
            Some(run) => return follow(batch, run, found, moment),
            None => "the run that holds the claim is not seen",
        },
        Lookup::Unclear(message) => message,
        Lookup::Unanswered(message) if now < batch.opened_at + HISTORY => {
            return look_again(missing, message);
        }
        Lookup::Unanswered(message) => return park(batch, Why::OutcomeUnknown, message, now),
    };
    match missed_again(missing, now) {
        missing if missing.is_gone(now, bounds) => park(batch, Why::OutcomeUnknown, message, now),
        missing => look_again(Some(missing), message),
    }
}

pub(super) fn missed_again(missing: Option<Missing>, now: Time) -> Missing {
    let Missing { since, times } = missing.unwrap_or(Missing { since: now, times: 0 });
    Missing { since, times: times.saturating_add(1) }
}

impl Missing {
    /// Returns `true` if several answers in a row, over a long time, did not know the run.
    pub(super) fn is_gone(self, now: Time, bounds: &Bounds) -> bool {
        const SEVERAL: u32 = 3;
        self.times >= SEVERAL && now >= self.since + bounds.reconciliation * 2
    }
}

pub(super) fn failed(case: Case<'_>, run: &Failed) -> Step {
    let Case { batch, seen, moment, is_due, .. } = case;
    let (now, Failed { epoch, run_id, run_state, since, missing, .. }) = (moment.now, run);
    let look_again = |missing: Option<Missing>, message: &str| {
        let look_at = later(moment, *since, MAX_UNSEEN);
        let state = State::Failed(Failed { look_at, missing, ..run.clone() });
        write(batch.clone().into_state(state, now, HistoryEvent::ClaimNotEnded, message))
    };
    match seen {
        Seen::Nothing if !is_due => Step::Rest,
        Seen::Nothing | Seen::Wake => Step::EndClaim { epoch: *epoch },
        Seen::ClaimEnded(EndOutcome::HeldBy(holder)) => find_holder(batch, *holder, moment),
        Seen::ClaimEnded(EndOutcome::Ended) => {
            let failures = batch.failures + 1;
            let batch = Batch { failures, ..batch.clone() };
            let message = format!("run `{run_id}` is {}", run_state.as_str());
            if !batch.start.retry_states.contains(run_state) {
                return park(&batch, Why::StateNotRetried, &message, now);
            }
            if failures >= batch.start.attempts {
                return park(&batch, Why::AttemptsExhausted, &message, now);
            }
            let due = moment.after(backoff(failures));
            let state = State::Sealed { due, waits_for_slot: false };
            write(batch.into_state(state, now, HistoryEvent::Retried, &message))
        }
        Seen::Lookup(lookup) => searched(case, lookup, *missing, look_again),
        Seen::Failed(message) => look_again(*missing, message),
        // No step after a failed run has these answers.
        Seen::Prepared(_)
        | Seen::Slot(_)
        | Seen::Begun
        | Seen::Start(_)
        | Seen::Run(_)
        | Seen::Claim { .. } => Step::Rest,
    }
}

impl Batch {
    fn run_of(&self, epoch: u32) -> Option<&Run> {
        self.runs.iter().find(|run| run.epoch == epoch)
    }

    /// Returns `true` if this run is known to have ended. Nothing more will come of it, and it cannot be the run of a call
    /// that was made after its end.
    pub(super) fn has_ended(&self, found: &FoundRun) -> bool {
        let is_over = |state: &RunState| *state == RunState::Succeeded || state.is_failure();
        self.runs
            .iter()
            .any(|run| run.run_id == found.run_id && run.state.as_ref().is_some_and(is_over))
    }

    /// Adds these to its runs, unless they are known.
    fn with_runs(&self, found: &[FoundRun]) -> Self {
        let mut batch = self.clone();
        for FoundRun { epoch, run_id } in found {
            if !batch.runs.iter().any(|run| run.run_id == *run_id) {
                batch.runs.push(Run { epoch: *epoch, run_id: run_id.clone(), state: None });
            }
        }
        batch
    }

    /// Records the last state that was seen of a run.
    fn seen(&self, run_id: &str, state: &RunState) -> Self {
        let mut batch = self.clone();
        for run in batch.runs.iter_mut().filter(|run| run.run_id == run_id) {
            run.state = Some(state.clone());
        }
        batch
    }
}
