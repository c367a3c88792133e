//! What to do next about a batch: a pure function of the batch, what was just observed, and now.

mod following;

use std::time::Duration;

use self::following::{Followed, failed, follow, started};
use super::{
    Batch, FoundRun, Full, Lookup, Seen, Settings, Slot, StartOutcome, State, Step, Unprepared,
    Why, backoff, cut,
};
use crate::moment::{Moment, Time};

/// A run started a little before `t0` by Glue's clock may be ours.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// How soon something is looked at again at first, and what is missed after a longer wait at most.
const AGAIN: Duration = Duration::from_secs(60);
const UNSEEN_MOST: Duration = Duration::from_secs(15 * 60);

/// For how long a search for a run proves something. Glue keeps the history of runs for 90 days.
const HISTORY: Duration = Duration::from_secs(89 * 86_400);

const TOO_LARGE: &str = "the batch and its arguments are larger than an item of DynamoDB can be (400 KB): \
                         give its route fewer or shorter arguments";

/// What to do next about `batch`, which was just read or written.
pub fn next(batch: &Batch, seen: &Seen, moment: &Moment, settings: &Settings) -> Step {
    let step = match decided(batch, seen, moment, settings) {
        Step::Begin { batch: begun, slot } => match begun.fitting_to_start() {
            Some(begun) => return Step::Begin { batch: Box::new(begun), slot },
            None => park(batch, Why::ArgumentRefused, TOO_LARGE, moment.now),
        },
        step => step,
    };
    match step {
        Step::Write { batch, counts } => Step::Write { batch: Box::new(batch.fitting()), counts },
        step => step,
    }
}

fn decided(batch: &Batch, seen: &Seen, moment: &Moment, settings: &Settings) -> Step {
    let is_due = batch.due().is_some_and(|due| due <= moment.now);
    match &batch.state {
        State::Open { .. } if !is_due => Step::Rest,
        State::Open { .. } if batch.members == 0 => {
            write(batch.clone().into_state(State::Empty, moment.now, "empty", ""))
        }
        State::Open { .. } => write(batch.clone().sealed(moment.now)),
        State::Sealed { .. } => sealed(batch, seen, moment, settings, is_due),
        State::Starting { t0, lease, .. } => {
            starting(batch, seen, moment, settings, is_due, (*t0, *lease))
        }
        State::Started { epoch, run_id, since, look_at: _, missing } => {
            let followed = Followed { batch, epoch: *epoch, run_id, since: *since };
            started(&followed, *missing, seen, moment, settings, is_due)
        }
        State::Failed { epoch, run_id, run_state, since, look_at: _, missing } => {
            let followed = Followed { batch, epoch: *epoch, run_id, since: *since };
            failed(&followed, run_state, *missing, seen, moment, settings, is_due)
        }
        State::Succeeded { .. } | State::Parked { .. } | State::Empty => Step::Rest,
    }
}

fn write(batch: Batch) -> Step {
    Step::Write { batch: Box::new(batch), counts: false }
}

fn sealed(batch: &Batch, seen: &Seen, moment: &Moment, settings: &Settings, is_due: bool) -> Step {
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
    let is_prepared = batch.is_prepared(moment.now, settings);
    match seen {
        Seen::Nothing if !is_due => Step::Rest,
        // A run is never started without what it is to be given.
        Seen::Nothing | Seen::Wake | Seen::Slot(_) if !is_prepared => Step::Prepare,
        Seen::Nothing | Seen::Wake => go_on(batch),
        // Written with the step to `starting`: to prepare again would give the same.
        Seen::Prepared(Ok(prepared)) => {
            let (prepared, prepared_at) = (Some(prepared.clone()), Some(moment.now));
            Step::Assume(Box::new(Batch { prepared, prepared_at, ..batch.clone() }))
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
    let counts = batch.holds_slot;
    Step::Write { batch: Box::new(Batch { holds_slot: false, ..batch }), counts }
}

fn park(batch: &Batch, why: Why, message: &str, now: Time) -> Step {
    let state = State::Parked { why, message: cut(message) };
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
        Seen::Nothing | Seen::Wake => lookup(batch, t0, moment),
        Seen::Lookup(Lookup::Complete(found)) => match newest(found, |run| !batch.has_ended(run)) {
            Some(run) => follow(batch, run, found, moment),
            None if now >= t0 + HISTORY => {
                let message = "no run is seen, and Glue keeps no history of runs for so long";
                park(batch, Why::OutcomeUnknown, message, now)
            }
            None if missed(1) => {
                let state = State::Sealed { due: now, waits_for_slot: false };
                release(batch.clone().into_state(state, now, "not_started", "no run was found"))
            }
            None => {
                look_again((now + AGAIN).min(lease + settings.reconciliation), "no run is seen")
            }
        },
        Seen::Lookup(Lookup::Unclear(message)) if missed(2) => {
            park(batch, Why::OutcomeUnknown, message, now)
        }
        Seen::Lookup(Lookup::Unclear(message)) => look_again(moment.after(AGAIN), message),
        Seen::Lookup(Lookup::Unanswered(message)) | Seen::Failed(message) => {
            if now >= t0 + HISTORY {
                return park(batch, Why::OutcomeUnknown, message, now);
            }
            look_again(later(moment, lease, UNSEEN_MOST), message)
        }
        _ => Step::Rest,
    }
}

/// A search for the runs that began since then. One that began before the batch was due would say
/// nothing new.
fn lookup(batch: &Batch, since: Time, moment: &Moment) -> Step {
    let not_before = batch.due().map_or(moment.now, |due| due.min(moment.now));
    Step::Lookup { since: since - CLOCK_SKEW, not_before }
}

/// The longer it lasts since then, the less often it is looked at.
fn later(moment: &Moment, since: Time, most: Duration) -> Time {
    moment.after((moment.now.since(since) / 4).clamp(AGAIN, most))
}

fn newest(found: &[FoundRun], may_be: impl Fn(&FoundRun) -> bool) -> Option<&FoundRun> {
    found.iter().filter(|run| may_be(run)).max_by_key(|run| run.epoch)
}
