//! A run that is known: followed to its end, or to that of the run that holds the claim.

use std::time::Duration;

use super::{HISTORY, UNSEEN_MOST, later, lookup, newest, park, release, write};
use crate::batch::{
    Batch, EndOutcome, FoundRun, Lookup, Missing, Run, RunState, Seen, Settings, State, Step, Why,
    backoff,
};
use crate::moment::{Moment, Time};

/// How often a run is looked at whose end nobody told, at most. At first it is `AGAIN`.
const FOLLOW_MOST: Duration = Duration::from_secs(300);

/// What is followed, since it is known, or has failed.
#[derive(Clone, Copy)]
pub(super) struct Followed<'a> {
    pub batch: &'a Batch,
    pub epoch: u32,
    pub run_id: &'a str,
    pub since: Time,
}

impl Followed<'_> {
    fn started(&self, look_at: Time, missing: Option<Missing>) -> State {
        let Self { epoch, run_id, since, .. } = *self;
        State::Started { epoch, run_id: run_id.to_owned(), since, look_at, missing }
    }

    fn failed(&self, run_state: &RunState, look_at: Time, missing: Option<Missing>) -> State {
        let Self { epoch, run_id, since, .. } = *self;
        let (run_id, run_state) = (run_id.to_owned(), run_state.clone());
        State::Failed { epoch, run_id, run_state, since, look_at, missing }
    }
}

/// Follow `run`, one of the batch's; `found` are others that were found with it.
pub(super) fn follow(batch: &Batch, run: &FoundRun, found: &[FoundRun], moment: &Moment) -> Step {
    let (now, run_id) = (moment.now, run.run_id.clone());
    let is_known = batch.runs.iter().any(|known| known.run_id == run.run_id);
    let what = if is_known { "followed" } else { "started" };
    let look_at = moment.after(super::AGAIN);
    let with_runs = batch.with_runs(found).with_runs(std::slice::from_ref(run));
    // A run that is there counts, beyond its job's limit too: hidden, it would admit one more.
    let holds_slot = batch.start.has_limits();
    let state = State::Started { epoch: run.epoch, run_id, since: now, look_at, missing: None };
    let followed = Batch { deferrals: 0, holds_slot, ..with_runs };
    Step::Write {
        batch: Box::new(followed.into_state(state, now, what, &run.run_id)),
        counts: holds_slot != batch.holds_slot,
    }
}

pub(super) fn started(
    followed: &Followed<'_>,
    missing: Option<Missing>,
    seen: &Seen,
    moment: &Moment,
    settings: &Settings,
    is_due: bool,
) -> Step {
    let (now, Followed { batch, epoch, run_id, since }) = (moment.now, *followed);
    let look_again = |missing: Option<Missing>, message: &str| {
        let state = followed.started(later(moment, since, FOLLOW_MOST), missing);
        write(batch.clone().into_state(state, now, "not_seen", message))
    };
    match seen {
        Seen::Nothing if !is_due => Step::Rest,
        Seen::Nothing | Seen::Wake => Step::Follow { run_id: run_id.to_owned() },
        Seen::Run(Some(state)) => {
            // Whose outcome counts is the claim's to say.
            if *state == RunState::Succeeded || state.is_failure() {
                return Step::ReadClaim { run_state: state.clone() };
            }
            let look_at = later(moment, since, FOLLOW_MOST);
            write(Batch { state: followed.started(look_at, None), ..batch.seen(run_id, state) })
        }
        // Once says little.
        Seen::Run(None) => match missed_again(missing, now) {
            missing if missing.is_gone(now, settings) => {
                park(batch, Why::RunVanished, &format!("Glue does not know run `{run_id}`"), now)
            }
            missing => look_again(Some(missing), "Glue does not know the run"),
        },
        Seen::Claim { run_state, claim } => {
            let batch = &batch.seen(run_id, run_state);
            let succeeded = *run_state == RunState::Succeeded;
            match claim.live() {
                // This run lost, or ended before it claimed: the holder's outcome counts.
                Some(holder) if holder != epoch => find_holder(batch, holder, moment),
                Some(_) if succeeded => {
                    let state = State::Succeeded { run_id: run_id.to_owned() };
                    release(batch.clone().into_state(state, now, "succeeded", run_id))
                }
                None if succeeded => {
                    let message = format!("run `{run_id}` succeeded and had not claimed the batch");
                    park(batch, Why::NotClaimed, &message, now)
                }
                _ => {
                    let detail = format!("run {run_id} is {}", run_state.as_str());
                    let failed = Followed { since: now, batch, ..*followed };
                    let state = failed.failed(run_state, now, None);
                    release(batch.clone().into_state(state, now, "failed", &detail))
                }
            }
        }
        Seen::Lookup(lookup) => searched(batch, lookup, moment, settings, missing, look_again),
        Seen::Failed(message) => look_again(missing, message),
        _ => Step::Rest,
    }
}

/// Follow the run that holds the claim, or look for it.
fn find_holder(batch: &Batch, holder: u32, moment: &Moment) -> Step {
    match batch.run_of(holder) {
        Some(run) => {
            let run = FoundRun { epoch: holder, run_id: run.run_id.clone() };
            follow(batch, &run, &[], moment)
        }
        None => lookup(batch, batch.opened_at, moment),
    }
}

/// Follow the run that holds the claim, which was not known before. If no answer shows it for long, or
/// none can any more, the batch is parked.
fn searched(
    batch: &Batch,
    lookup: &Lookup,
    moment: &Moment,
    settings: &Settings,
    missing: Option<Missing>,
    look_again: impl Fn(Option<Missing>, &str) -> Step,
) -> Step {
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
        missing if missing.is_gone(now, settings) => park(batch, Why::OutcomeUnknown, message, now),
        missing => look_again(Some(missing), message),
    }
}

fn missed_again(missing: Option<Missing>, now: Time) -> Missing {
    let Missing { since, times } = missing.unwrap_or(Missing { since: now, times: 0 });
    Missing { since, times: times.saturating_add(1) }
}

impl Missing {
    /// Several answers in a row say so, and for long.
    fn is_gone(self, now: Time, settings: &Settings) -> bool {
        const SEVERAL: u32 = 3;
        self.times >= SEVERAL && now >= self.since + settings.reconciliation * 2
    }
}

pub(super) fn failed(
    followed: &Followed<'_>,
    run_state: &RunState,
    missing: Option<Missing>,
    seen: &Seen,
    moment: &Moment,
    settings: &Settings,
    is_due: bool,
) -> Step {
    let (now, Followed { batch, epoch, run_id, since }) = (moment.now, *followed);
    let look_again = |missing: Option<Missing>, message: &str| {
        let look_at = later(moment, since, UNSEEN_MOST);
        let state = followed.failed(run_state, look_at, missing);
        write(batch.clone().into_state(state, now, "claim_not_ended", message))
    };
    match seen {
        Seen::Nothing if !is_due => Step::Rest,
        Seen::Nothing | Seen::Wake => Step::EndClaim { epoch },
        Seen::ClaimEnded(EndOutcome::HeldBy(holder)) => find_holder(batch, *holder, moment),
        Seen::Lookup(lookup) => searched(batch, lookup, moment, settings, missing, look_again),
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
            write(batch.into_state(state, now, "retried", &message))
        }
        Seen::Failed(message) => look_again(missing, message),
        _ => Step::Rest,
    }
}

impl Batch {
    fn run_of(&self, epoch: u32) -> Option<&Run> {
        self.runs.iter().find(|run| run.epoch == epoch)
    }

    /// Whether this run is known to have ended: nothing more will come of it, and a call that was
    /// made after its end is not answered by finding it.
    pub(super) fn has_ended(&self, found: &FoundRun) -> bool {
        let is_over = |state: &RunState| *state == RunState::Succeeded || state.is_failure();
        self.runs
            .iter()
            .any(|run| run.run_id == found.run_id && run.state.as_ref().is_some_and(is_over))
    }

    /// With these among its runs.
    fn with_runs(&self, found: &[FoundRun]) -> Self {
        let mut batch = self.clone();
        for FoundRun { epoch, run_id } in found {
            if !batch.runs.iter().any(|run| run.run_id == *run_id) {
                batch.runs.push(Run { epoch: *epoch, run_id: run_id.clone(), state: None });
            }
        }
        batch
    }

    /// With this as the last state that was seen of a run.
    fn seen(&self, run_id: &str, state: &RunState) -> Self {
        let mut batch = self.clone();
        for run in batch.runs.iter_mut().filter(|run| run.run_id == run_id) {
            run.state = Some(state.clone());
        }
        batch
    }
}
