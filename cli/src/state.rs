//! Describes the state of a batch: what it waits for, until when, and what you can do.

use std::time::Duration;

use landfall_core::batch::{
    Batch, ClaimMode, Closing, Failed, HistoryEvent, Run, Started, Starting, State, Why,
};
use landfall_core::doctor::explain;
use landfall_core::moment::Time;

use crate::monitor::Monitor;
use crate::terminal::escape::shown;
use crate::terminal::phrases::{length, moment};
use crate::terminal::printable;

/// How late the monitor can be before a batch counts as forgotten. The monitor ticks once a minute.
const GRACE: Duration = Duration::from_secs(180);

/// Returns the state as the predicate of a sentence.
pub fn standing(state: &State) -> &'static str {
    match state {
        State::Open { .. } => "is open",
        State::Sealed { .. } => "is sealed",
        State::Starting { .. } => "is starting",
        State::Started { .. } => "is started",
        State::Failed { .. } => "has failed",
        State::Succeeded { .. } => "has succeeded",
        State::Parked { .. } => "is parked",
        State::Empty => "is empty",
        State::Announced => "is announced",
    }
}

/// Returns `true` if nothing more happens to the batch, unless a person returns it.
pub fn is_settled(state: &State) -> bool {
    matches!(
        state,
        State::Succeeded { .. } | State::Parked { .. } | State::Empty | State::Announced
    )
}

/// Returns the ID of the job run that the state is about.
pub fn run_id(state: &State) -> Option<&str> {
    match state {
        State::Started(Started { run_id, .. })
        | State::Failed(Failed { run_id, .. })
        | State::Succeeded { run_id, .. } => Some(run_id),
        _ => None,
    }
}

/// Returns whether a run of a batch that has succeeded claimed it.
pub fn claimed(state: &State) -> Option<bool> {
    match state {
        State::Succeeded { claimed, .. } => Some(*claimed),
        _ => None,
    }
}

/// Says what the claim mode means for a batch, in one sentence without a full stop.
pub fn claim_mode(mode: ClaimMode) -> &'static str {
    match mode {
        ClaimMode::Required => "a batch succeeds only if the run that claims it does",
        ClaimMode::Optional => {
            "if no run claims a batch, the end of the only run that was at work decides; \
             a batch of which two may have been at work is parked"
        }
    }
}

/// Returns the code of the reason why the batch is parked.
pub fn parked_for(state: &State) -> Option<&'static str> {
    match state {
        State::Parked { why, .. } => Some(why.code()),
        _ => None,
    }
}

/// Returns the message from when the batch was parked.
pub fn parked_message(state: &State) -> Option<&str> {
    match state {
        State::Parked { message, .. } => Some(message),
        _ => None,
    }
}

/// Returns the run whose failure the state is about, if Glue says why it failed.
pub fn failed_run(batch: &Batch) -> Option<&Run> {
    let latest = |is_it: &dyn Fn(&Run) -> bool| batch.runs.iter().rev().find(|run| is_it(run));
    let named_in = |text: &str| latest(&|run| text.contains(&format!("`{}`", run.run_id)));
    let run = match &batch.state {
        State::Failed(Failed { run_id, .. }) => latest(&|run| run.run_id == *run_id),
        State::Parked { message, .. } => named_in(message),
        State::Sealed { .. } => {
            let last = batch.history.last().filter(|last| last.what == HistoryEvent::Retried);
            last.and_then(|last| named_in(&last.detail))
        }
        _ => None,
    };
    run.filter(|run| run.error.is_some())
}

/// Says why a run failed, in the words of Glue or of the job: in one line, however many the message has.
pub fn run_error(run: &Run) -> Option<String> {
    let error = shown(run.error.as_deref()?.trim_end_matches('.'));
    Some(format!("Glue says why run `{}` failed: {error}.", printable(&run.run_id)))
}

/// Returns the code of what put off the start of a batch that still waits for it, such as `assume_role_denied` or
/// `max_concurrent_runs`.
pub fn put_off_for(batch: &Batch) -> Option<&str> {
    let last = batch.history.last().filter(|last| last.what.is_put_off());
    let is_sealed = matches!(batch.state, State::Sealed { .. });
    let (code, _) = last.filter(|_| is_sealed).map(|last| {
        let detail = last.detail.as_str();
        detail.split_once(": ").unwrap_or((detail, ""))
    })?;
    let is_code = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    Some(code).filter(|code| !code.is_empty() && code.chars().all(is_code))
}

/// Returns the text for a table cell: the job run, or what the batch waits for.
pub fn in_short(batch: &Batch, now: Time) -> String {
    let put_off_for = put_off_for(batch);
    match &batch.state {
        State::Open { closes_at } => format!("closes {closes_at}"),
        State::Sealed { due, waits_for_slot: true } => format!("a run to end, or {due}"),
        State::Sealed { due, .. } => {
            let when = if *due <= now { "the monitor".to_owned() } else { due.to_string() };
            match put_off_for {
                Some(code) => format!("{code}, {when}"),
                None if *due > now && last_written(batch, &HistoryEvent::Retried).is_some() => {
                    format!("a retry, {when}")
                }
                None => when,
            }
        }
        State::Starting(Starting { t0, .. }) => format!("starting since {t0}"),
        State::Started(Started { run_id, .. })
        | State::Failed(Failed { run_id, .. })
        | State::Succeeded { run_id, .. } => printable(run_id),
        State::Parked { why, .. } => why.code().to_owned(),
        State::Empty | State::Announced => "-".to_owned(),
    }
}

/// Describes the state in whole sentences.
pub fn in_words(batch: &Batch, now: Time, monitor: &Monitor) -> Vec<String> {
    let mut sentences = match &batch.state {
        State::Open { closes_at } => open(batch, *closes_at, now, monitor),
        State::Sealed { due, waits_for_slot } => sealed(batch, *due, *waits_for_slot, now, monitor),
        State::Starting(start) => starting(batch, *start, now, monitor),
        State::Started(Started { run_id, look_at, repeat: Some(repeat), .. })
            if repeat.awaited_since.is_some() =>
        {
            vec![
                format!(
                    "Attempt `{}` has failed, and Glue itself is to make another, as the job's MaxRetries says.",
                    printable(run_id)
                ),
                format!("The monitor looks for it {}.", next_look(*look_at, now, monitor)),
            ]
        }
        State::Started(Started { epoch, run_id, since, look_at, .. }) => vec![
            format!(
                "The monitor has followed run `{}` (epoch {epoch}) since {}{}.",
                printable(run_id),
                moment(*since, now),
                last_seen(batch, run_id)
            ),
            format!(
                "Glue reports when it ends; otherwise the monitor checks it {}.",
                next_look(*look_at, now, monitor)
            ),
        ],
        State::Failed(Failed { epoch, run_id, run_state, since, .. }) => {
            let then = if !batch.start.retry_states.contains(run_state) {
                "parks the batch, because the route doesn't retry after such an end"
            } else if batch.failures + 1 >= batch.start.attempts {
                "parks the batch, because no attempt is left"
            } else {
                "starts another run"
            };
            [
                format!(
                    "Run `{}` (epoch {epoch}) ended as {} {}.",
                    printable(run_id),
                    printable(run_state.as_str()),
                    moment(*since, now)
                ),
                format!("The monitor ends the run's claim, then {then}."),
            ]
            .into_iter()
            .chain(failure(batch))
            .collect()
        }
        State::Succeeded { run_id, claimed } => {
            let at = last_written(batch, &HistoryEvent::Succeeded);
            let at = at.map_or(String::new(), |at| format!(" {}", moment(at, now)));
            let mut sentences = vec![format!("Run `{}` succeeded{at}.", printable(run_id))];
            if !claimed {
                sentences.push(
                    "No run claimed the batch, and none has to. It was the only run that was at work."
                        .to_owned(),
                );
            }
            sentences
        }
        State::Parked { why, message } => parked(batch, *why, message, now),
        State::Empty => vec![
            "It closed without objects, because only the group's marker arrived. No run starts."
                .to_owned(),
        ],
        State::Announced => {
            let at = batch.announced_at.map_or(String::new(), |at| format!(" {}", moment(at, now)));
            vec![format!(
                "The event that says that it has closed was put{at}. Its route starts no job, so Landfall is done."
            )]
        }
    };
    match batch.due() {
        Some(due) if now.since(due) > GRACE => sentences.push(format!(
            "The monitor should have taken it up {} ago: is the monitor running? Check its alarms and its log.",
            length(now.since(due))
        )),
        Some(due) if due <= now => sentences.extend(monitor.doubt()),
        Some(_) | None => {}
    }
    sentences
}

/// Returns `true` if the next thing that happens to the batch is up to the monitor's next tick.
pub fn is_due(batch: &Batch, now: Time) -> bool {
    batch.due().is_some_and(|due| due <= now)
}

fn open(batch: &Batch, closes_at: Time, now: Time, monitor: &Monitor) -> Vec<String> {
    if batch.closing.is_at_once() {
        return vec![format!(
            "An invocation of the trigger is recording its objects. If the invocation was cut off, the monitor closes the batch at {}.",
            moment(closes_at, now)
        )];
    }
    if closes_at <= now {
        let ended = moment(closes_at, now);
        return vec![format!(
            "It took objects until {ended}. The monitor closes it {}.",
            next_tick(closes_at, now, monitor)
        )];
    }
    let sooner = match batch.closing.max_objects {
        Some(most) => format!(", or until it has {most}"),
        None => String::new(),
    };
    vec![format!("It takes objects until {}{sooner}.", moment(closes_at, now)), rules(batch)]
}

/// Describes what closes the batch.
fn rules(batch: &Batch) -> String {
    let Closing { window_secs, quiet_secs, settle_secs, .. } = batch.closing;
    let secs = |secs| length(Duration::from_secs(secs));
    let rules = [
        window_secs.map(|window| format!("{} after the first object", secs(window))),
        quiet_secs.map(|quiet| format!("when none has arrived for {}", secs(quiet))),
        batch.marker_at.map(|_| match settle_secs {
            0 => "when its marker arrives, which it has".to_owned(),
            settle => format!("{} after its marker, which has arrived", secs(settle)),
        }),
    ];
    let rules: Vec<String> = rules.into_iter().flatten().collect();
    match rules.len() {
        1 => format!("It closes {}.", rules.concat()),
        _ => format!("It closes {}, whichever comes first.", rules.join(", or ")),
    }
}

fn sealed(
    batch: &Batch,
    due: Time,
    waits_for_slot: bool,
    now: Time,
    monitor: &Monitor,
) -> Vec<String> {
    let job = printable(&batch.start.job);
    let next = match batch.is_to_be_announced() {
        true => "puts the event that says that it has closed",
        false => "starts a run",
    };
    if waits_for_slot {
        return vec![
            format!("It waits until a run of job `{job}` ends, or until {}.", moment(due, now)),
            format!("Why: {}.", last_detail(batch)),
        ];
    }
    if due <= now {
        let is_due = format!("It is due. The monitor {next} {}.", next_tick(due, now, monitor));
        return [is_due].into_iter().chain(failure(batch)).collect();
    }
    let mut sentences = vec![
        format!("The monitor {next} at {}.", moment(due, now)),
        format!("Why not earlier: {}.", last_detail(batch)),
    ];
    sentences.extend(batch.history.last().and_then(|last| meaning(&last.detail)));
    sentences.extend(failure(batch));
    sentences
}

/// Says why the run failed that the state is about, and what that means if it is known.
fn failure(batch: &Batch) -> Vec<String> {
    let run = failed_run(batch);
    let means = run.and_then(|run| meaning(run.error.as_deref()?));
    run.and_then(run_error).into_iter().chain(means).collect()
}

/// Returns what is known about an error. What it is known for on the way of the data says more than the layer that
/// refused, unless that is only that IAM may not have spread a change yet.
fn meaning(error: &str) -> Option<String> {
    let mut known = explain(error);
    let last = known.pop()?;
    let found = if last.row.code == "settling" { known.pop().unwrap_or(last) } else { last };
    Some(format!("What it means [{}]: {} {}", found.row.code, found.row.cause, found.row.fix))
}

fn starting(batch: &Batch, start: Starting, now: Time, monitor: &Monitor) -> Vec<String> {
    let Starting { t0, lease, look_at, .. } = start;
    let (epoch, begun) = (batch.epoch, moment(t0, now));
    if now < lease {
        let until = moment(lease, now);
        return vec![format!(
            "A run (epoch {epoch}) has been starting since {begun}. The invocation that starts it has until {until}."
        )];
    }
    vec![
        format!(
            "A run (epoch {epoch}) should have started at {begun}, but it is unknown whether it did."
        ),
        format!(
            "The monitor looks for it in Glue {}. Until that is certain, no other run starts.",
            next_look(look_at, now, monitor)
        ),
    ]
}

fn parked(batch: &Batch, why: Why, message: &str, now: Time) -> Vec<String> {
    let attempts = batch.start.attempts;
    let words = match why {
        Why::NoSuchJob => "there is no such job".to_owned(),
        Why::InvalidInput => "Glue refuses the run's input".to_owned(),
        Why::ArgumentRefused => "an argument of the run can't be passed on".to_owned(),
        Why::ScopeNotKept => "its runs can't be limited to the scope of the route".to_owned(),
        Why::AttemptsExhausted if attempts == 1 => "the only attempt failed".to_owned(),
        Why::AttemptsExhausted => format!("all {attempts} attempts failed"),
        Why::StateNotRetried => "its run failed in a way that the route doesn't retry".to_owned(),
        Why::OutcomeUnknown => "Landfall couldn't find out what became of a run".to_owned(),
        Why::NotClaimed => {
            "its run succeeded without claiming the batch, so nothing shows that it did its work"
                .to_owned()
        }
        Why::RunVanished => "Glue no longer knows its run".to_owned(),
        Why::Other => "a newer version of Landfall knows the reason".to_owned(),
    };
    let since = last_written(batch, &HistoryEvent::Parked);
    let since = since.map_or(String::new(), |at| format!(" since {}", moment(at, now)));
    let mut sentences = vec![
        format!("It has been parked{since}: {words} [{}].", why.code()),
        format!("Message: {}.", shown(message.trim_end_matches('.'))),
    ];
    sentences.extend(meaning(message));
    sentences.extend(failure(batch));
    sentences.push(match batch.start.has_job() {
        true => "No run starts until you return the batch.".to_owned(),
        false => "Nothing announces the batch until you return it.".to_owned(),
    });
    if matches!(why, Why::OutcomeUnknown | Why::RunVanished | Why::NotClaimed) {
        sentences.push(format!(
            "First check in Glue whether a run with `--landfall-batch-id {}` did the work. If so, leave the batch parked.",
            batch.id
        ));
    }
    if why == Why::OutcomeUnknown && batch.start.claim == ClaimMode::Optional {
        sentences.push(
            "If you return it, you answer for its runs so far: Landfall judges the next run alone."
                .to_owned(),
        );
    }
    sentences.push(format!("Once you have removed the cause, run: landfall retry {}", batch.id));
    sentences
}

/// Returns when the monitor takes up what was due at `due`. No time is promised of a monitor that is late, or of which nobody
/// knows that it ticks.
fn next_tick(due: Time, now: Time, monitor: &Monitor) -> &'static str {
    match monitor {
        Monitor::Ticks if now.since(due) <= GRACE => "within a minute",
        Monitor::Ticks | Monitor::Silent(_) | Monitor::NotKnown => "at its next tick",
    }
}

/// Returns when the monitor checks a run next. It takes up what is due once a minute.
fn next_look(at: Time, now: Time, monitor: &Monitor) -> String {
    if at <= now {
        next_tick(at, now, monitor).to_owned()
    } else {
        format!("at {}", moment(at, now))
    }
}

/// Returns the state in which a job run was last seen.
fn last_seen(batch: &Batch, run_id: &str) -> String {
    let run = batch.runs.iter().find(|run| run.run_id == run_id);
    match run.and_then(|run| run.state.as_ref()) {
        Some(state) => format!(", last seen {}", printable(state.as_str())),
        None => String::new(),
    }
}

/// Returns the time of the latest history entry, if it is about `what`.
fn last_written(batch: &Batch, what: &HistoryEvent) -> Option<Time> {
    batch.history.last().filter(|entry| entry.what == *what).map(|entry| entry.at)
}

/// Returns the detail of the latest history entry.
fn last_detail(batch: &Batch) -> String {
    match batch.history.last() {
        Some(last) if last.detail.is_empty() => printable(last.what.as_str()),
        Some(last) => shown(last.detail.trim_end_matches('.')),
        None => "the history is empty".to_owned(),
    }
}

#[cfg(test)]
mod tests;
