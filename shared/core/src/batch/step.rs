//! What to do next about a batch: a pure function of the batch, what was just observed, and now.

mod following;

use std::time::Duration;

use self::following::{failed, follow, missed_again, started};
use super::history::{HOURLY_LIMIT, LISTING_LIMIT, epoch_detail};
use super::{
    Batch, Bounds, FoundRun, Full, HistoryEvent, Lookup, Missing, Prepared, Seen, Slot,
    StartOutcome, Starting, State, Step, Unprepared, Why, attempt_of, backoff, cut,
};
use crate::moment::{Moment, Time};

/// By Glue's clock, a run of ours can have started this long before `t0`.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// The first pause before something is looked at again, and the longest pause for what is missed.
const AGAIN: Duration = Duration::from_secs(60);
const MAX_UNSEEN: Duration = Duration::from_secs(15 * 60);

/// How long after its start a run is first looked at. Many have ended by then, and their events have said so.
const FIRST_LOOK: Duration = Duration::from_secs(5 * 60);

/// For how long a search for a run proves anything. Glue keeps the history of runs for 90 days.
const HISTORY: Duration = Duration::from_secs(89 * 86_400);

const TOO_LARGE: &str = "the batch and its arguments are larger than an item of DynamoDB can be (400 KB): \
                         give its route fewer or shorter arguments";

/// Decides what to do next about `batch`, which was just read or written.
pub fn next(batch: &Batch, seen: &Seen, moment: &Moment, bounds: &Bounds) -> Step {
    let step = match decided(batch, seen, moment, bounds) {
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

/// Returns the sealed `batch` as its start leaves it, so that both are one write; `None` if something else has to be known
/// or done before it starts. Whoever writes it calls `StartJobRun` only if the manifest is there and the job is ready, and
/// otherwise says so with [`Seen::NotBegun`].
pub fn begun(
    batch: &Batch,
    prepared: &Prepared,
    moment: &Moment,
    bounds: &Bounds,
) -> Option<Batch> {
    let (prepared, prepared_at) = (Some(prepared.clone()), Some(moment.now));
    let batch = Batch { prepared, prepared_at, ..batch.clone() };
    match next(&batch, &Seen::Nothing, moment, bounds) {
        Step::Begin { batch, slot: None } => Some(*batch),
        _ => None,
    }
}

/// What a decision is made from.
#[derive(Clone, Copy)]
struct Case<'a> {
    batch: &'a Batch,
    seen: &'a Seen,
    moment: &'a Moment,
    bounds: &'a Bounds,
    is_due: bool,
}

fn decided(batch: &Batch, seen: &Seen, moment: &Moment, bounds: &Bounds) -> Step {
    let is_due = batch.due().is_some_and(|due| due <= moment.now);
    let case = Case { batch, seen, moment, bounds, is_due };
    match &batch.state {
        State::Open { .. } if !is_due => Step::Rest,
        State::Open { .. } if batch.members == 0 => {
            let empty = batch.clone();
            write(empty.into_state(State::Empty, moment.now, HistoryEvent::Empty, ""))
        }
        State::Open { .. } => write(batch.clone().sealed(moment.now)),
        State::Sealed { .. } => sealed(case),
        State::Starting(start) => starting(case, *start),
        State::Started(run) => started(case, run),
        State::Failed(run) => failed(case, run),
        State::Succeeded { .. } | State::Parked { .. } | State::Empty | State::Announced => {
            Step::Rest
        }
    }
}

fn write(batch: Batch) -> Step {
    Step::Write { batch: Box::new(batch), counts: false }
}

fn sealed(Case { batch, seen, moment, bounds, is_due }: Case<'_>) -> Step {
    let now = moment.now;
    let begin = |slot: Option<Slot>| {
        let state = State::Starting(Starting {
            t0: now,
            lease: moment.lease,
            look_at: moment.lease.max(now + FIRST_LOOK.min(bounds.reconciliation)),
            missing: None,
        });
        let epoch = batch.epoch + 1;
        let begun = Batch { epoch, holds_slot: slot.is_some(), ..batch.clone() };
        let batch = begun.into_state(state, now, HistoryEvent::Starting, &epoch_detail(epoch));
        Step::Begin { batch: Box::new(batch), slot }
    };
    match seen {
        Seen::Nothing if !is_due => Step::Rest,
        // A run never starts without its manifest and arguments.
        Seen::Nothing | Seen::Wake | Seen::Slot(_) if !batch.is_prepared(now, bounds) => {
            Step::Prepare
        }
        Seen::Nothing | Seen::Wake if batch.is_to_be_announced() => announce(batch),
        Seen::Nothing | Seen::Wake if batch.start.has_limits() => Step::ReadSlot,
        Seen::Nothing | Seen::Wake => begin(None),
        Seen::Announced(Ok(())) => write(batch.clone().announced(now)),
        Seen::Announced(Err(message)) => defer(batch, moment, false, message, now),
        // The step to `starting` writes it. Preparing again would give the same.
        Seen::Prepared(Ok(prepared)) => {
            let (prepared, prepared_at) = (Some(prepared.clone()), Some(now));
            Step::Assume(Box::new(Batch { prepared, prepared_at, ..batch.clone() }))
        }
        Seen::Prepared(Err(Unprepared::Refused(reason))) => {
            park(batch, Why::ArgumentRefused, &reason.to_string(), now)
        }
        Seen::Prepared(Err(Unprepared::Scope(error))) => {
            park(batch, Why::ScopeNotKept, &error.to_string(), now)
        }
        Seen::Prepared(Err(Unprepared::NotNow(message))) => {
            defer(batch, moment, false, message, now)
        }
        Seen::Slot(slot) => match slot.admit(&batch.id, batch.epoch + 1, &batch.start, now) {
            Ok(slot) => begin(Some(slot)),
            Err(Full::Concurrent) => defer(batch, moment, true, "max_concurrent_runs", now),
            Err(Full::Hourly(until)) => defer(batch, moment, false, HOURLY_LIMIT, until),
            Err(Full::Listing(until)) => defer(batch, moment, false, LISTING_LIMIT, until),
        },
        // No step of a sealed batch has these answers.
        Seen::Begun
        | Seen::NotBegun(_)
        | Seen::Start(_)
        | Seen::Lookup(_)
        | Seen::Run(_)
        | Seen::Claim { .. }
        | Seen::Repeat { .. }
        | Seen::ClaimEnded(_)
        | Seen::Failed(_) => Step::Rest,
    }
}

/// Says that the batch has closed. An event that was put before and not recorded is put again.
fn announce(batch: &Batch) -> Step {
    match &batch.prepared {
        Some(prepared) => Step::Announce { detail: batch.closed_detail(prepared) },
        None => Step::Prepare,
    }
}

/// Lets the batch wait again, longer each time in a row, and at least until `earliest`.
fn defer(
    batch: &Batch,
    moment: &Moment,
    waits_for_slot: bool,
    detail: &str,
    earliest: Time,
) -> Step {
    let due = moment.after(backoff(batch.deferrals)).max(earliest);
    let what = if waits_for_slot { HistoryEvent::WaitsForSlot } else { HistoryEvent::Deferred };
    let batch = Batch { deferrals: batch.deferrals.saturating_add(1), ..batch.clone() };
    release(batch.into_state(State::Sealed { due, waits_for_slot }, moment.now, what, detail))
}

/// Writes the batch and gives back its slot, if it holds one.
fn release(batch: Batch) -> Step {
    let counts = batch.holds_slot;
    Step::Write { batch: Box::new(Batch { holds_slot: false, ..batch }), counts }
}

fn park(batch: &Batch, why: Why, message: &str, now: Time) -> Step {
    let state = State::Parked { why, message: cut(message) };
    let detail = format!("{}: {message}", why.code());
    release(batch.clone().into_state(state, now, HistoryEvent::Parked, &detail))
}

fn starting(case: Case<'_>, start: Starting) -> Step {
    let Case { batch, seen, moment, bounds, is_due } = case;
    let (now, Starting { t0, lease, missing, .. }) = (moment.now, start);
    let look_again = |missing: Option<Missing>, look_at: Time, detail: &str| {
        let state = State::Starting(Starting { look_at, missing, ..start });
        write(batch.clone().into_state(state, now, HistoryEvent::OutcomeNotKnownYet, detail))
    };
    match seen {
        Seen::Begun => Step::Start,
        Seen::NotBegun(message) => {
            let batch = batch.clone().prepared_for_sure().accounted_for(batch.epoch);
            defer(&batch, moment, false, message, now)
        }
        Seen::Start(StartOutcome::Started(run_id)) => {
            let run = FoundRun { epoch: batch.epoch, run_id: run_id.clone() };
            follow(batch, &run, &[], moment)
        }
        Seen::Start(StartOutcome::NotNow { code, message, waits_for_slot }) => {
            let refused = batch.clone().accounted_for(batch.epoch);
            defer(&refused, moment, *waits_for_slot, &format!("{code}: {message}"), now)
        }
        Seen::Start(StartOutcome::Never { why, message }) => {
            park(&batch.clone().accounted_for(batch.epoch), *why, message, now)
        }
        Seen::Start(StartOutcome::Unknown(message)) => look_again(missing, lease, message),
        Seen::Nothing | Seen::Wake if !is_due || now < lease => Step::Rest,
        Seen::Nothing | Seen::Wake => lookup(batch, t0, moment),
        Seen::Lookup(Lookup::Complete(found)) => match newest(found, |run| !batch.has_ended(run)) {
            Some(run) => follow(batch, run, found, moment),
            None if now >= t0 + HISTORY => {
                let message = "no run is seen, and Glue keeps no history of runs for so long";
                park(batch, Why::OutcomeUnknown, message, now)
            }
            // The call may have been made as late as at the end of the lease. Only then is a run missed.
            None if now >= lease + bounds.reconciliation => {
                let state = State::Sealed { due: now, waits_for_slot: false };
                let sealed = batch.clone().prepared_for_sure();
                release(sealed.into_state(state, now, HistoryEvent::NotStarted, "no run was found"))
            }
            None => {
                let look_at = (now + AGAIN).min(lease + bounds.reconciliation);
                look_again(None, look_at, "no run is seen")
            }
        },
        Seen::Lookup(Lookup::Unclear(message)) => match missed_again(missing, now) {
            missing if missing.is_gone(now, bounds) => {
                park(batch, Why::OutcomeUnknown, message, now)
            }
            missing => look_again(Some(missing), moment.after(AGAIN), message),
        },
        Seen::Lookup(Lookup::Unanswered(message)) | Seen::Failed(message) => {
            if now >= t0 + HISTORY {
                return park(batch, Why::OutcomeUnknown, message, now);
            }
            look_again(missing, later(moment, lease, MAX_UNSEEN), message)
        }
        // No step of a batch that is starting has these answers.
        Seen::Prepared(_)
        | Seen::Announced(_)
        | Seen::Slot(_)
        | Seen::Run(_)
        | Seen::Claim { .. }
        | Seen::Repeat { .. }
        | Seen::ClaimEnded(_) => Step::Rest,
    }
}

/// Searches the runs that began at `since` or later. A search that began before the batch was due would say nothing
/// new.
fn lookup(batch: &Batch, since: Time, moment: &Moment) -> Step {
    let not_before = batch.due().map_or(moment.now, |due| due.min(moment.now));
    Step::Lookup { since: since - CLOCK_SKEW, not_before }
}

/// Returns when to look again: the longer it has lasted since `since`, the longer the pause.
fn later(moment: &Moment, since: Time, most: Duration) -> Time {
    moment.after((moment.now.since(since) / 4).clamp(AGAIN, most))
}

/// Returns the run of the newest start, and of the attempts that Glue made of it by itself the newest.
fn newest(found: &[FoundRun], may_be: impl Fn(&FoundRun) -> bool) -> Option<&FoundRun> {
    let age = |run: &&FoundRun| (run.epoch, attempt_of(&run.run_id).1);
    found.iter().filter(|run| may_be(run)).max_by_key(age)
}
