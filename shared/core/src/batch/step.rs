//! What to do next about a batch: a pure function of the batch, what was just observed, and now.

use std::time::Duration;

use super::{
    Batch, EndOutcome, FoundRun, Full, Lookup, Run, RunState, Seen, Settings, Slot, StartOutcome,
    State, Step, Unprepared, Why, backoff,
};
use crate::moment::{Moment, Time};

/// A run started a little before `t0` by Glue's clock may be ours.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// How often a run is looked at whose end nobody told: at first, and at most.
const FOLLOW_FIRST: Duration = Duration::from_secs(60);
const FOLLOW_MOST: Duration = Duration::from_secs(300);

/// How soon a call that could not be made is made again.
const AGAIN: Duration = Duration::from_secs(60);

/// What to do next about `batch`, which was just read or written.
pub fn next(batch: &Batch, seen: &Seen, moment: &Moment, settings: &Settings) -> Step {
    let is_due = batch.due().is_some_and(|due| due <= moment.now);
    match &batch.state {
        State::Open { .. } if !is_due => Step::Rest,
        State::Open { .. } if batch.members == 0 => {
            write(batch.clone().into_state(State::Empty, moment.now, "empty", ""))
        }
        State::Open { .. } => write(batch.clone().sealed(moment.now)),
        State::Sealed { .. } => sealed(batch, seen, moment, is_due),
        State::Starting { t0, lease, .. } => {
            starting(batch, seen, moment, settings, is_due, (*t0, *lease))
        }
        State::Started { epoch, run_id, since, .. } => {
            started(batch, seen, moment, settings, is_due, (*epoch, run_id, *since))
        }
        State::Failed { epoch, run_id, run_state, since, .. } => {
            failed(batch, seen, moment, settings, is_due, (*epoch, run_id, run_state, *since))
        }
        State::Succeeded { .. } | State::Parked { .. } | State::Empty => Step::Rest,
    }
}

fn write(batch: Batch) -> Step {
    Step::Write { batch: Box::new(batch), releases: false }
}

fn sealed(batch: &Batch, seen: &Seen, moment: &Moment, is_due: bool) -> Step {
    let begin = |batch: &Batch, slot: Option<Slot>| {
        let now = moment.now;
        let state = State::Starting { t0: now, lease: moment.lease, look_at: moment.lease };
        let epoch = batch.epoch + 1;
        let begun = Batch { epoch, holds_slot: slot.is_some(), ..batch.clone() };
        let batch = begun.into_state(state, now, "starting", &format!("epoch {epoch}"));
        Step::Begin { batch: Box::new(batch), slot }
    };
    let go_on = |batch: &Batch| match batch.start.has_limits() {
        true => Step::ReadSlot,
        false => begin(batch, None),
    };
    match seen {
        Seen::Nothing if !is_due => Step::Rest,
        // A run is never started without what it is to be given.
        Seen::Nothing | Seen::Wake | Seen::Slot(_) if batch.prepared.is_none() => Step::Prepare,
        Seen::Nothing | Seen::Wake => go_on(batch),
        // Written with the step to `starting`: to prepare again would give the same.
        Seen::Prepared(Ok(prepared)) => {
            let prepared = Some(prepared.clone());
            Step::Assume(Box::new(Batch { prepared, ..batch.clone() }))
        }
        Seen::Prepared(Err(Unprepared::Refused(reason))) => {
            park(batch, Why::ArgumentRefused, &reason.to_string(), moment.now)
        }
        Seen::Prepared(Err(Unprepared::Scope(error))) => {
            park(batch, Why::ScopeNotKept, &error.to_string(), moment.now)
        }
        Seen::Prepared(Err(Unprepared::NotNow(message))) => {
            defer(batch, moment, ("deferred", message), moment.now)
        }
        Seen::Slot(slot) => {
            match slot.admit(&batch.id, batch.epoch + 1, &batch.start, moment.now) {
                Ok(slot) => begin(batch, Some(slot)),
                Err(Full::Concurrent) => {
                    defer(batch, moment, ("waits_for_slot", "max_concurrent_runs"), moment.now)
                }
                Err(Full::Hourly(until)) => {
                    defer(batch, moment, ("deferred", "max_runs_per_hour"), until)
                }
            }
        }
        _ => Step::Rest,
    }
}

/// Back to waiting, longer each time in a row, and until `earliest` at least.
fn defer(batch: &Batch, moment: &Moment, (what, detail): (&str, &str), earliest: Time) -> Step {
    let due = moment.after(backoff(batch.deferrals)).max(earliest);
    let state = State::Sealed { due, waits_for_slot: what == "waits_for_slot" };
    let batch = Batch { deferrals: batch.deferrals.saturating_add(1), ..batch.clone() };
    release(batch.into_state(state, moment.now, what, detail))
}

/// A write that gives back the slot, if there is one.
fn release(batch: Batch) -> Step {
    let releases = batch.holds_slot;
    Step::Write { batch: Box::new(Batch { holds_slot: false, ..batch }), releases }
}

fn park(batch: &Batch, why: Why, message: &str, now: Time) -> Step {
    let state = State::Parked { why, message: message.to_owned() };
    let detail = format!("{}: {message}", why.code());
    release(batch.clone().into_state(state, now, "parked", &detail))
}

fn starting(
    batch: &Batch,
    seen: &Seen,
    moment: &Moment,
    settings: &Settings,
    is_due: bool,
    (t0, lease): (Time, Time),
) -> Step {
    let now = moment.now;
    // The call may have been made as late as the lease lasts; only then a run begins to be missed.
    let missed = |times: u32| now >= lease + settings.reconciliation * times;
    let look_again = |at: Time, detail: &str| {
        let state = State::Starting { t0, lease, look_at: at };
        write(batch.clone().into_state(state, now, "outcome_not_known_yet", detail))
    };
    match seen {
        Seen::Begun => Step::Start,
        Seen::Start(StartOutcome::Started(run_id)) => {
            let run = FoundRun { epoch: batch.epoch, run_id: run_id.clone() };
            follow(batch, &run, &[], moment)
        }
        Seen::Start(StartOutcome::NotNow { code, message, waits_for_slot }) => {
            let what = if *waits_for_slot { "waits_for_slot" } else { "deferred" };
            defer(batch, moment, (what, &format!("{code}: {message}")), now)
        }
        Seen::Start(StartOutcome::Never { why, message }) => park(batch, *why, message, now),
        Seen::Start(StartOutcome::Unknown(message)) => look_again(lease, message),
        Seen::Nothing | Seen::Wake if !is_due || now < lease => Step::Rest,
        Seen::Nothing | Seen::Wake => Step::Lookup { since: t0 - CLOCK_SKEW },
        Seen::Lookup(Lookup::Complete(found)) => match newest(found, |run| !batch.has_ended(run)) {
            Some(run) => follow(batch, run, found, moment),
            None if missed(1) => {
                let state = State::Sealed { due: now, waits_for_slot: false };
                release(batch.clone().into_state(state, now, "not_started", "no run was found"))
            }
            None => {
                look_again((now + AGAIN).min(lease + settings.reconciliation), "no run is seen")
            }
        },
        Seen::Lookup(Lookup::Unclear(message)) | Seen::Failed(message) => {
            if missed(2) {
                return park(batch, Why::OutcomeUnknown, message, now);
            }
            look_again(moment.after(AGAIN), message)
        }
        _ => Step::Rest,
    }
}

/// Follow `run`, one of the batch's; `found` are others that were found with it.
fn follow(batch: &Batch, run: &FoundRun, found: &[FoundRun], moment: &Moment) -> Step {
    let (now, run_id) = (moment.now, run.run_id.clone());
    let is_known = batch.runs.iter().any(|known| known.run_id == run.run_id);
    let what = if is_known { "followed" } else { "started" };
    let look_at = moment.after(FOLLOW_FIRST);
    let batch = batch.with_runs(found).with_runs(std::slice::from_ref(run));
    let state = State::Started { epoch: run.epoch, run_id, since: now, look_at };
    write(Batch { deferrals: 0, ..batch }.into_state(state, now, what, &run.run_id))
}

fn started(
    batch: &Batch,
    seen: &Seen,
    moment: &Moment,
    settings: &Settings,
    is_due: bool,
    (epoch, run_id, since): (u32, &str, Time),
) -> Step {
    let now = moment.now;
    let look_again = |batch: &Batch, message: Option<&str>| {
        // The longer it runs, the less often it is looked at.
        let pause = (now.since(since) / 4).clamp(FOLLOW_FIRST, FOLLOW_MOST);
        let look_at = moment.after(pause);
        let state = State::Started { epoch, run_id: run_id.to_owned(), since, look_at };
        write(match message {
            Some(message) => batch.clone().into_state(state, now, "not_seen", message),
            None => Batch { state, ..batch.clone() },
        })
    };
    match seen {
        Seen::Nothing if !is_due => Step::Rest,
        Seen::Nothing | Seen::Wake => Step::Follow { run_id: run_id.to_owned() },
        Seen::Run(Some(state)) => {
            // Whose outcome counts is the claim's to say.
            if *state == RunState::Succeeded || state.is_failure() {
                return Step::ReadClaim { run_state: state.clone() };
            }
            look_again(&batch.seen(run_id, state), None)
        }
        Seen::Run(None) if now >= since + settings.reconciliation * 2 => {
            park(batch, Why::RunVanished, &format!("Glue does not know run `{run_id}`"), now)
        }
        Seen::Run(None) => look_again(batch, Some("Glue does not know the run yet")),
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
                    let (run_id, run_state) = (run_id.to_owned(), run_state.clone());
                    let state =
                        State::Failed { epoch, run_id, run_state, since: now, look_at: now };
                    release(batch.clone().into_state(state, now, "failed", &detail))
                }
            }
        }
        Seen::Lookup(lookup) => match holder_found(batch, lookup, moment) {
            Ok(step) => step,
            Err(message) if now >= since + settings.reconciliation * 2 => {
                park(batch, Why::OutcomeUnknown, message, now)
            }
            Err(message) => look_again(batch, Some(message)),
        },
        Seen::Failed(message) => look_again(batch, Some(message)),
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
        None => Step::Lookup { since: batch.opened_at - CLOCK_SKEW },
    }
}

/// Follow a run that was not known before, or why none can be.
fn holder_found<'a>(batch: &Batch, lookup: &'a Lookup, moment: &Moment) -> Result<Step, &'a str> {
    match lookup {
        Lookup::Unclear(message) => Err(message),
        Lookup::Complete(found) => {
            let run = newest(found, |run| batch.run_of(run.epoch).is_none())
                .ok_or("the run that holds the claim is not seen")?;
            Ok(follow(batch, run, found, moment))
        }
    }
}

fn newest(found: &[FoundRun], may_be: impl Fn(&FoundRun) -> bool) -> Option<&FoundRun> {
    found.iter().filter(|run| may_be(run)).max_by_key(|run| run.epoch)
}

fn failed(
    batch: &Batch,
    seen: &Seen,
    moment: &Moment,
    settings: &Settings,
    is_due: bool,
    (epoch, run_id, run_state, since): (u32, &str, &RunState, Time),
) -> Step {
    let now = moment.now;
    let look_again = |message: &str| {
        let (run_id, run_state) = (run_id.to_owned(), run_state.clone());
        let look_at = moment.after(AGAIN);
        let state = State::Failed { epoch, run_id, run_state, since, look_at };
        write(batch.clone().into_state(state, now, "claim_not_ended", message))
    };
    match seen {
        Seen::Nothing if !is_due => Step::Rest,
        Seen::Nothing | Seen::Wake => Step::EndClaim { epoch },
        Seen::ClaimEnded(EndOutcome::HeldBy(holder)) => find_holder(batch, *holder, moment),
        Seen::Lookup(lookup) => match holder_found(batch, lookup, moment) {
            Ok(step) => step,
            Err(message) if now >= since + settings.reconciliation * 2 => {
                park(batch, Why::OutcomeUnknown, message, now)
            }
            Err(message) => look_again(message),
        },
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
        Seen::Failed(message) => look_again(message),
        _ => Step::Rest,
    }
}

impl Batch {
    fn run_of(&self, epoch: u32) -> Option<&Run> {
        self.runs.iter().find(|run| run.epoch == epoch)
    }

    /// Whether this run is known to have ended: nothing more will come of it, and a call that was
    /// made after its end is not answered by finding it.
    fn has_ended(&self, found: &FoundRun) -> bool {
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
