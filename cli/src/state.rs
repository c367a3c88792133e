//! The state of a batch in words: what it waits for, until when, and what somebody can do.

use std::time::Duration;

use landfall_core::batch::{Batch, Closing, Failed, HistoryEvent, Started, Starting, State, Why};
use landfall_core::moment::Time;

use crate::terminal::escape::shown;
use crate::terminal::phrases::{length, moment};
use crate::terminal::printable;

/// The monitor looks every minute: what is due for longer is not looked at.
const GRACE: Duration = Duration::from_secs(180);

/// What is said of a batch in this state.
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
    }
}

/// The run that it is about.
pub fn run_id(state: &State) -> Option<&str> {
    match state {
        State::Started(Started { run_id, .. })
        | State::Failed(Failed { run_id, .. })
        | State::Succeeded { run_id } => Some(run_id),
        _ => None,
    }
}

/// The code of what it is parked for.
pub fn parked_for(state: &State) -> Option<&'static str> {
    match state {
        State::Parked { why, .. } => Some(why.code()),
        _ => None,
    }
}

/// What was said when it was parked.
pub fn parked_message(state: &State) -> Option<&str> {
    match state {
        State::Parked { message, .. } => Some(message),
        _ => None,
    }
}

/// In a cell of a table: its run, or what it waits for.
pub fn in_short(state: &State, now: Time) -> String {
    match state {
        State::Open { closes_at } => format!("closes {closes_at}"),
        State::Sealed { due, waits_for_slot: true } => format!("a run to end, or {due}"),
        State::Sealed { due, .. } if *due <= now => "the monitor".to_owned(),
        State::Sealed { due, .. } => due.to_string(),
        State::Starting(Starting { t0, .. }) => format!("starting since {t0}"),
        State::Started(Started { run_id, .. })
        | State::Failed(Failed { run_id, .. })
        | State::Succeeded { run_id } => printable(run_id),
        State::Parked { why, .. } => why.code().to_owned(),
        State::Empty => "-".to_owned(),
    }
}

/// In whole sentences, one each.
pub fn in_words(batch: &Batch, now: Time) -> Vec<String> {
    let mut sentences = match &batch.state {
        State::Open { closes_at } => open(batch, *closes_at, now),
        State::Sealed { due, waits_for_slot } => sealed(batch, *due, *waits_for_slot, now),
        State::Starting(start) => starting(batch, *start, now),
        State::Started(Started { epoch, run_id, since, look_at, .. }) => vec![
            format!(
                "Run `{}` (epoch {epoch}) is followed since {}{}.",
                printable(run_id),
                moment(*since, now),
                last_seen(batch, run_id)
            ),
            format!(
                "When it ends, Glue tells; else it is looked at again {}.",
                next_look(*look_at, now)
            ),
        ],
        State::Failed(Failed { epoch, run_id, run_state, since, .. }) => {
            let then = match batch.start.retry_states.contains(run_state) {
                false => "the route does not retry after that, so the batch will be parked",
                true if batch.failures + 1 >= batch.start.attempts => {
                    "no attempt is left, so the batch will be parked"
                }
                true => "then another is started",
            };
            vec![
                format!(
                    "Run `{}` (epoch {epoch}) ended as {} {}.",
                    printable(run_id),
                    printable(run_state.as_str()),
                    moment(*since, now)
                ),
                format!("Its claim is being ended; {then}."),
            ]
        }
        State::Succeeded { run_id } => {
            let at = last_written(batch, &HistoryEvent::Succeeded);
            let at = at.map_or(String::new(), |at| format!(" {}", moment(at, now)));
            vec![format!("Run `{}` succeeded{at}.", printable(run_id))]
        }
        State::Parked { why, message } => parked(batch, *why, message, now),
        State::Empty => vec![
            "It was closed without objects: only the group's marker came. No run is started."
                .to_owned(),
        ],
    };
    if let Some(due) = batch.due()
        && now.since(due) > GRACE
    {
        sentences.push(format!(
            "Somebody should have looked at it {} ago: is the monitor running? See its alarms and its log.",
            length(now.since(due))
        ));
    }
    sentences
}

fn open(batch: &Batch, closes_at: Time, now: Time) -> Vec<String> {
    if batch.closing.is_at_once() {
        return vec![format!(
            "One invocation of the trigger is recording its objects; if that was cut off, the monitor closes it at {}.",
            moment(closes_at, now)
        )];
    }
    if closes_at <= now {
        let ended = moment(closes_at, now);
        return vec![format!(
            "It took objects until {ended}; the monitor closes it within a minute."
        )];
    }
    let sooner = match batch.closing.max_objects {
        Some(most) => format!(", or until it has {most}"),
        None => String::new(),
    };
    vec![format!("It takes objects until {}{sooner}.", moment(closes_at, now)), rules(batch)]
}

/// What closes it.
fn rules(batch: &Batch) -> String {
    let Closing { window_secs, quiet_secs, settle_secs, .. } = batch.closing;
    let secs = |secs| length(Duration::from_secs(secs));
    let rules = [
        window_secs.map(|window| format!("{} after the first object", secs(window))),
        quiet_secs.map(|quiet| format!("when none has come for {}", secs(quiet))),
        batch.marker_at.map(|_| match settle_secs {
            0 => "when its marker has come, which it has".to_owned(),
            settle => format!("{} after its marker, which has come", secs(settle)),
        }),
    ];
    let rules: Vec<String> = rules.into_iter().flatten().collect();
    match rules.len() {
        1 => format!("It closes {}.", rules.concat()),
        _ => format!("It closes {}; whichever is first.", rules.join(", or ")),
    }
}

fn sealed(batch: &Batch, due: Time, waits_for_slot: bool, now: Time) -> Vec<String> {
    let job = printable(&batch.start.job);
    if waits_for_slot {
        return vec![
            format!("It waits until a run of job `{job}` ends, or until {}.", moment(due, now)),
            format!("Why: {}.", last_detail(batch)),
        ];
    }
    if due <= now {
        return vec!["It is due: the monitor starts a run within a minute.".to_owned()];
    }
    vec![
        format!("A run is started at {}.", moment(due, now)),
        format!("Why not before: {}.", last_detail(batch)),
    ]
}

fn starting(batch: &Batch, start: Starting, now: Time) -> Vec<String> {
    let Starting { t0, lease, look_at } = start;
    let (epoch, begun) = (batch.epoch, moment(t0, now));
    if now < lease {
        let until = moment(lease, now);
        return vec![format!(
            "A run (epoch {epoch}) is being started since {begun}; whoever does it has until {until}."
        )];
    }
    vec![
        format!("A run (epoch {epoch}) was to be started at {begun}; whether it was is not known."),
        format!(
            "The monitor looks for it in Glue {}. Until it is certain, no other is started.",
            next_look(look_at, now)
        ),
    ]
}

fn parked(batch: &Batch, why: Why, message: &str, now: Time) -> Vec<String> {
    let attempts = batch.start.attempts;
    let words = match why {
        Why::NoSuchJob => "there is no such job".to_owned(),
        Why::InvalidInput => "Glue refuses what the run would be started with".to_owned(),
        Why::ArgumentRefused => "an argument of the run cannot be given".to_owned(),
        Why::ScopeNotKept => "its runs cannot be held to the scope of the route".to_owned(),
        Why::AttemptsExhausted if attempts == 1 => "the only attempt failed".to_owned(),
        Why::AttemptsExhausted => format!("all {attempts} attempts failed"),
        Why::StateNotRetried => "its run failed in a way that the route does not retry".to_owned(),
        Why::OutcomeUnknown => "whether a run was started could not be learned".to_owned(),
        Why::NotClaimed => {
            "its run succeeded without having claimed the batch, so nothing shows that it did its work"
                .to_owned()
        }
        Why::RunVanished => "Glue does not know its run any more".to_owned(),
        Why::Other => "for a reason that a newer version of Landfall has".to_owned(),
    };
    let since = last_written(batch, &HistoryEvent::Parked);
    let since = since.map_or(String::new(), |at| format!(" since {}", moment(at, now)));
    let mut sentences = vec![
        format!("It is parked{since}: {words} [{}].", why.code()),
        format!("What was said: {}.", shown(message.trim_end_matches('.'))),
        "No run is started until somebody returns it.".to_owned(),
    ];
    if matches!(why, Why::OutcomeUnknown | Why::RunVanished | Why::NotClaimed) {
        sentences.push(format!(
            "Look first in Glue whether a run with `--landfall-batch-id {}` did the work; if so, leave the batch parked.",
            batch.id
        ));
    }
    sentences.push(format!("To return it, when the cause is removed: landfall retry {}", batch.id));
    sentences
}

/// The monitor looks every minute at what is due.
fn next_look(at: Time, now: Time) -> String {
    if at <= now { "within a minute".to_owned() } else { format!("at {}", moment(at, now)) }
}

/// What was last seen of a run.
fn last_seen(batch: &Batch, run_id: &str) -> String {
    let run = batch.runs.iter().find(|run| run.run_id == run_id);
    match run.and_then(|run| run.state.as_ref()) {
        Some(state) => format!(", last seen {}", printable(state.as_str())),
        None => String::new(),
    }
}

/// When the last entry of the history was written, if it tells of this.
fn last_written(batch: &Batch, what: &HistoryEvent) -> Option<Time> {
    batch.history.last().filter(|entry| entry.what == *what).map(|entry| entry.at)
}

/// The last of what happened.
fn last_detail(batch: &Batch) -> String {
    match batch.history.last() {
        Some(last) if last.detail.is_empty() => printable(last.what.as_str()),
        Some(last) => shown(last.detail.trim_end_matches('.')),
        None => "nothing is told".to_owned(),
    }
}

#[cfg(test)]
mod tests;
