//! Follows a known run to its end, or to the end of the run that holds the claim.

use std::time::Duration;

use super::{AGAIN, Case, HISTORY, MAX_UNSEEN, later, lookup, newest, park, release, write};
use crate::batch::{
    Batch, Bounds, Claim, ClaimMode, EndOutcome, Failed, FoundRun, HistoryEvent, Lookup, Missing,
    ObservedRun, Repeat, RepeatSeen, Run, RunState, Seen, Started, Starting, State, Step, Why,
    attempt_of, backoff, repeat_after,
};
use crate::moment::{Moment, Time};

/// The longest pause between two looks at a run that goes on. The event of its end needs no look, so looks only find the
/// end of a run whose event was lost, and each of them writes the batch and moves it in the index.
const MAX_FOLLOW: Duration = Duration::from_secs(15 * 60);

/// The longest pause before Glue is asked again about a run that it did not show.
const MAX_UNANSWERED: Duration = Duration::from_secs(300);

/// Follows `run`, which is one of the batch's. `found` are other runs that the same search found.
pub(super) fn follow(batch: &Batch, run: &FoundRun, found: &[FoundRun], moment: &Moment) -> Step {
    let (now, run_id) = (moment.now, run.run_id.clone());
    let is_known = batch.runs.iter().any(|known| known.run_id == run.run_id);
    let what = if is_known { HistoryEvent::Followed } else { HistoryEvent::Started };
    // A batch that stays due at the same time costs its index nothing. If that time has passed, the run may have ended
    // long ago.
    let look_at = match batch.state {
        State::Starting(Starting { look_at, .. })
            if look_at > now && look_at < now + MAX_FOLLOW =>
        {
            look_at
        }
        _ => moment.after(AGAIN),
    };
    let with_runs = batch.with_runs(found).with_runs(std::slice::from_ref(run));
    // A run that is there counts even beyond its job's limit. If it did not, one more run could start.
    let holds_slot = batch.start.has_limits();
    let state =
        Started { epoch: run.epoch, run_id, since: now, look_at, missing: None, repeat: None };
    let followed = Batch { deferrals: 0, holds_slot, ..with_runs };
    Step::Write {
        batch: Box::new(followed.into_state(State::Started(state), now, what, &run.run_id)),
        counts: holds_slot != batch.holds_slot,
    }
}

pub(super) fn started(case: Case<'_>, run: &Started) -> Step {
    let Case { batch, seen, moment, bounds, is_due } = case;
    let (now, Started { epoch, run_id, since, missing, .. }) = (moment.now, run);
    let look_at = later(moment, *since, MAX_UNANSWERED);
    let look_again = |missing: Option<Missing>, message: &str| {
        let state = State::Started(Started { look_at, missing, ..run.clone() });
        write(batch.clone().into_state(state, now, HistoryEvent::NotSeen, message))
    };
    match seen {
        Seen::Nothing if !is_due => Step::Rest,
        Seen::Nothing | Seen::Wake => Step::Follow { run_id: run_id.clone() },
        Seen::Run(Some(observed)) => {
            // The claim says whose outcome counts.
            if observed.state == RunState::Succeeded || observed.state.is_failure() {
                return Step::ReadClaim { run: observed.clone() };
            }
            // Three times as long as the run has lasted: four or five looks an hour.
            let look_at = moment.after((now.since(*since) * 3).clamp(AGAIN, MAX_FOLLOW));
            let followed = State::Started(Started { look_at, missing: None, ..run.clone() });
            write(Batch { state: followed, ..batch.seen(run_id, observed) })
        }
        // One such answer says little.
        Seen::Run(None) => match missed_again(*missing, now) {
            missing if missing.is_gone(now, bounds) => {
                park(batch, Why::RunVanished, &format!("Glue does not know run `{run_id}`"), now)
            }
            missing => look_again(Some(missing), "Glue does not know the run"),
        },
        Seen::Claim { run: observed, claim } => {
            let batch = batch.seen(run_id, observed);
            match claim.live() {
                // This run lost the claim, or ended before it claimed. The holder's outcome counts.
                Some(holder) if holder != *epoch => find_holder(&batch, holder, moment),
                // With `required`, jobs that Glue repeats are not started.
                _ if batch.start.claim == ClaimMode::Optional
                    && observed.state.may_be_repeated() =>
                {
                    let (run_id, run) = (repeat_after(run_id), observed.clone());
                    Step::FindRepeat { run_id, run, claim: *claim }
                }
                _ => ended(&batch, run, &observed.state, *claim, now),
            }
        }
        Seen::Repeat { run: observed, claim, repeat } => {
            let batch = batch.seen(run_id, observed);
            repeated(Case { batch: &batch, ..case }, run, &observed.state, *claim, *repeat)
        }
        Seen::Lookup(lookup) => searched(case, lookup, *missing, look_again),
        Seen::Failed(message) => look_again(*missing, message),
        // No step that follows a run has these answers.
        Seen::Prepared(_)
        | Seen::Announced(_)
        | Seen::Slot(_)
        | Seen::Begun
        | Seen::NotBegun(_)
        | Seen::Start(_)
        | Seen::ClaimEnded(_) => Step::Rest,
    }
}

/// Judges the end of a run whose epoch holds the claim, or of one while nobody does.
fn ended(batch: &Batch, run: &Started, run_state: &RunState, claim: Claim, now: Time) -> Step {
    let Started { epoch, run_id, repeat, .. } = run;
    let succeeded = |claimed: bool| {
        let (batch, state) = (batch.clone(), State::Succeeded { run_id: run_id.clone(), claimed });
        release(batch.into_state(state, now, HistoryEvent::Succeeded, run_id))
    };
    let must_claim = batch.start.claim == ClaimMode::Required;
    if *run_state != RunState::Succeeded {
        let detail = format!("run {run_id} is {}", run_state.as_str());
        let failed = Failed {
            epoch: *epoch,
            run_id: run_id.clone(),
            run_state: run_state.clone(),
            claimed: must_claim || claim.holder.is_some(),
            since: now,
            look_at: now,
            missing: None,
        };
        let state = State::Failed(failed);
        return release(batch.clone().into_state(state, now, HistoryEvent::Failed, &detail));
    }
    // An attempt that Glue made by itself cannot take the claim from one before it, and may have left with success.
    let may_have_lost =
        attempt_of(run_id).1 > 0 && repeat.is_none_or(|repeat| repeat.may_hold_claim);
    match (claim.live(), claim.holder) {
        (Some(_), _) if may_have_lost => {
            let message = format!(
                "run `{run_id}` succeeded, but an attempt before it may have claimed the batch, and then this one did \
                 nothing: look at its output before you return the batch, and set the job's MaxRetries to 0, because \
                 only the first attempt to claim a batch gets it"
            );
            park(batch, Why::OutcomeUnknown, &message, now)
        }
        (Some(_), _) => succeeded(true),
        (None, None) if !must_claim && batch.was_alone(*epoch) => succeeded(false),
        (None, None) if !must_claim => park_in_doubt(batch, run_id, run_state, *epoch, now),
        (None, _) => {
            let message = format!("run `{run_id}` succeeded and had not claimed the batch");
            park(batch, Why::NotClaimed, &message, now)
        }
    }
}

/// Parks a batch of which no run ever claimed, and of which more than one run may have been at work at a time.
fn park_in_doubt(batch: &Batch, run_id: &str, run_state: &RunState, epoch: u32, now: Time) -> Step {
    let message = format!(
        "run `{run_id}` is {}, no run of the batch has claimed it, and another one may have been at work at the same \
         time: nobody knows what came of the start with epoch {}; look at the job's runs and at their output before you \
         return the batch",
        run_state.as_str(),
        batch.unaccounted(epoch),
    );
    park(batch, Why::OutcomeUnknown, &message, now)
}

/// Follows the attempt that Glue itself makes after one that failed, waits for it, or judges the run by its last one.
fn repeated(
    case: Case<'_>,
    run: &Started,
    run_state: &RunState,
    claim: Claim,
    seen: RepeatSeen,
) -> Step {
    let Case { batch, moment, bounds, .. } = case;
    let (now, Started { epoch, run_id, repeat, .. }) = (moment.now, run);
    let (_, number) = attempt_of(run_id);
    let since = repeat.and_then(|repeat| repeat.awaited_since);
    // What the claim was right after the end says the most: a later attempt may have taken it since.
    let may_hold_claim = match repeat {
        Some(repeat) if since.is_some() => repeat.may_hold_claim,
        Some(repeat) => repeat.may_hold_claim || claim.live().is_some(),
        None => number > 0 || claim.live().is_some(),
    };
    let follow_on = |run: Started, what, detail: &str| {
        let batch = batch.clone();
        write(batch.into_state(State::Started(run), now, what, detail))
    };
    match seen {
        RepeatSeen::Begun => {
            let run_id = repeat_after(run_id);
            let repeat = Some(Repeat { awaited_since: None, may_hold_claim });
            let found = [FoundRun { epoch: *epoch, run_id: run_id.clone() }];
            let batch = batch.with_runs(&found);
            let (since, look_at, missing) = (now, now, None);
            let run =
                Started { epoch: *epoch, run_id: run_id.clone(), since, look_at, missing, repeat };
            write(batch.into_state(State::Started(run), now, HistoryEvent::Repeated, &run_id))
        }
        RepeatSeen::NotSeen { max_retries } if number >= max_retries => {
            ended(batch, run, run_state, claim, now)
        }
        RepeatSeen::NotSeen { max_retries } => {
            let since = since.unwrap_or(now);
            let until = since + bounds.reconciliation;
            if now < until {
                let repeat = Some(Repeat { awaited_since: Some(since), may_hold_claim });
                let look_at = later(moment, since, MAX_UNANSWERED).min(until);
                let waits = Started { look_at, missing: None, repeat, ..run.clone() };
                let what = HistoryEvent::AwaitsRepeat;
                return follow_on(waits, what, &repeat_after(run_id));
            }
            // Glue does not repeat what timed out, and the claim keeps a late repeat out.
            if *run_state == RunState::Timeout || claim.holder.is_some() {
                return ended(batch, run, run_state, claim, now);
            }
            let message = format!(
                "run `{run_id}` is {}, the job's MaxRetries ({max_retries}) has Glue repeat it, and Glue does not show \
                 `{}`, which may still begin: look at the job's runs before you return the batch",
                run_state.as_str(),
                repeat_after(run_id),
            );
            park(batch, Why::OutcomeUnknown, &message, now)
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
    let Failed { epoch, run_id, run_state, claimed, since, missing, .. } = run;
    let now = moment.now;
    let look_again = |missing: Option<Missing>, message: &str| {
        let look_at = later(moment, *since, MAX_UNSEEN);
        let state = State::Failed(Failed { look_at, missing, ..run.clone() });
        write(batch.clone().into_state(state, now, HistoryEvent::ClaimNotEnded, message))
    };
    match seen {
        Seen::Nothing if !is_due => Step::Rest,
        Seen::Nothing | Seen::Wake => Step::EndClaim { epoch: *epoch },
        Seen::ClaimEnded(EndOutcome::HeldBy(holder)) => find_holder(batch, *holder, moment),
        Seen::ClaimEnded(EndOutcome::Ended) if !claimed && !batch.was_alone(*epoch) => {
            park_in_doubt(batch, run_id, run_state, *epoch, now)
        }
        Seen::ClaimEnded(EndOutcome::Ended) => {
            let failures = batch.failures + 1;
            let batch = Batch { failures, ..batch.clone().accounted_for(*epoch) };
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
        | Seen::Announced(_)
        | Seen::Slot(_)
        | Seen::Begun
        | Seen::NotBegun(_)
        | Seen::Start(_)
        | Seen::Run(_)
        | Seen::Claim { .. }
        | Seen::Repeat { .. } => Step::Rest,
    }
}

impl Batch {
    fn run_of(&self, epoch: u32) -> Option<&Run> {
        self.runs.iter().find(|run| run.epoch == epoch)
    }

    /// Records what was last seen of a run.
    fn seen(&self, run_id: &str, observed: &ObservedRun) -> Self {
        let mut batch = self.clone();
        for run in batch.runs.iter_mut().filter(|run| run.run_id == run_id) {
            run.state = Some(observed.state.clone());
            run.error.clone_from(&observed.error);
        }
        batch
    }
}
