//! Decides what needs a person. Pure.
//!
//! What nobody could see is never all right, but it needs a person only in so far as the exit status says so.

use landfall_core::batch::{Batch, State};
use landfall_core::chain::observed::Look;
use landfall_core::chain::{Link, Status as Verdict};
use landfall_core::moment::Time;

use super::look::{LOOK_BACK, Observed};
use crate::monitor::SILENT_AFTER;
use crate::terminal::output;
use crate::terminal::phrases::{counted, length, moment};

/// What a look at the status means.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// What needs a person, the most telling first.
    pub needs: Vec<Need>,
    /// What couldn't be seen, and why.
    pub unknown: Vec<String>,
    /// The batches that are not done, by state.
    pub batches: Vec<OfState>,
    /// Whether there may be more batches than these.
    pub has_more: bool,
}

/// Something that needs a person.
#[derive(Debug, PartialEq, Eq)]
pub struct Need {
    /// A stable code.
    pub code: &'static str,
    /// What it is, in one sentence without a full stop.
    pub what: String,
    /// The command that mends it, or that shows more.
    pub command: Option<String>,
}

/// The batches in one state.
#[derive(Debug, PartialEq, Eq)]
pub struct OfState {
    /// The state's name.
    pub state: &'static str,
    pub count: usize,
    /// The ID of the batch that was opened first.
    pub oldest: String,
    /// When that was.
    pub since: Time,
}

impl Judgement {
    /// Returns the exit status: what needs a person counts more than what nobody could look at.
    pub fn status(&self) -> output::Status {
        if !self.needs.is_empty() {
            output::Status::Problems
        } else if !self.unknown.is_empty() {
            output::Status::Unusable
        } else {
            output::Status::Success
        }
    }

    fn need(&mut self, code: &'static str, what: String, command: Option<String>) {
        self.needs.push(Need { code, what, command });
    }
}

/// Judges what was seen.
pub fn judge(seen: &Observed) -> Judgement {
    let mut judgement = Judgement::default();
    links(seen, &mut judgement);
    queues(seen, &mut judgement);
    batches(seen, &mut judgement);
    reconciliations(seen, &mut judgement);
    tick(seen, &mut judgement);
    alarms(seen, &mut judgement);
    judgement
}

/// Takes over what `doctor` would call broken. What lies in queues, [`queues`] tells.
fn links(seen: &Observed, judgement: &mut Judgement) {
    let is_queue = |link| {
        use Link::{Arrivals, ArrivalsDeadLetters, Runs, RunsDeadLetters};
        matches!(link, Arrivals | ArrivalsDeadLetters | Runs | RunsDeadLetters)
    };
    for check in &seen.checks {
        let name = check.link.name();
        let what = format!("{name}, `{}`: {}", check.resource, check.evidence);
        match check.status {
            Verdict::Broken => {
                let problem = check.problem.as_ref();
                let code = problem.map_or("broken", |problem| problem.code);
                let command = problem.and_then(|problem| problem.command.clone());
                judgement.need(code, what, command);
            }
            Verdict::Unknown if !is_queue(check.link) => judgement.unknown.push(what),
            Verdict::Ok | Verdict::Warn | Verdict::Skipped | Verdict::Unknown => {}
        }
    }
}

fn queues(seen: &Observed, judgement: &mut Judgement) {
    for depth in &seen.queues {
        let name = &depth.name;
        match &depth.queue.look {
            Look::Seen(queue) => {
                let count = queue.visible + queue.in_flight;
                if depth.is_dead_letters && count > 0 {
                    let messages = counted(count, "message");
                    let what = format!("queue `{name}` holds {messages} that nobody could handle");
                    judgement.need("dead_letters", what, None);
                }
            }
            Look::Denied(permission) => judgement
                .unknown
                .push(format!("queue `{name}`: to look, the credentials need `{permission}`")),
            Look::DeniedByOrganization(permission) => judgement.unknown.push(format!(
                "queue `{name}`: a policy of the organization denies `{permission}`"
            )),
            Look::Failed(why) => {
                judgement.unknown.push(format!("queue `{name}`: the look failed: {why}"));
            }
            // The checks tell of it, if it should be there.
            Look::Missing => {}
        }
    }
}

fn batches(seen: &Observed, judgement: &mut Judgement) {
    let listing = match &seen.batches {
        Ok(listing) => listing,
        Err(why) => {
            judgement.unknown.push(format!("the batches: {why}"));
            return;
        }
    };
    judgement.batches = by_state(&listing.batches);
    judgement.has_more = listing.left != landfall_aws::ledger::Left::None;
    if let Some(OfState { count, oldest, since, .. }) =
        judgement.batches.iter().find(|of| of.state == "parked")
    {
        let (batches, since) = (counted(*count, "batch"), moment(*since, seen.at));
        let verb = if *count == 1 { "is" } else { "are" };
        let what =
            format!("{batches} {verb} parked, the oldest of them, `{oldest}`, opened {since}");
        judgement.need(
            "batches_parked",
            what,
            Some(format!("landfall batches --state parked{}", seen.options)),
        );
    }
    let unreadable = listing.unreadable.iter();
    judgement.unknown.extend(unreadable.map(|error| format!("a batch: {error}")));
}

fn reconciliations(seen: &Observed, judgement: &mut Judgement) {
    for of in &seen.reconciliations {
        let (Some(since), Some(last)) = (of.missing_since, &of.last) else { continue };
        let (route, objects) = (&of.route, counted(last.counts.taken, "object"));
        let (at, since) = (moment(last.started_at, seen.at), moment(since, seen.at));
        let example =
            last.examples.first().map(|key| format!(", such as s3://{}/{key}", of.bucket));
        let example = example.unwrap_or_default();
        let what = format!(
            "S3 doesn't announce everything of route `{route}` since {since}: the pass of {at} found {objects} in no batch{example}"
        );
        let place = seen.options.as_str();
        let command = format!("landfall backfill --route {route} --dry-run{place}");
        judgement.need("arrivals_missed", what, Some(command));
    }
    let unseen = seen.unseen_reconciliations.iter();
    judgement.unknown.extend(unseen.map(|why| format!("the reconciliations: {why}")));
}

/// Counts the batches in the order of a batch's life.
fn by_state(batches: &[Batch]) -> Vec<OfState> {
    let mut states: Vec<(usize, OfState)> = Vec::new();
    for batch in batches {
        let (rank, state) = (rank(&batch.state), batch.state.name());
        let since = batch.opened_at;
        match states.iter_mut().find(|(_, of)| of.state == state) {
            None => {
                let oldest = batch.id.clone();
                states.push((rank, OfState { state, count: 1, oldest, since }));
            }
            Some((_, of)) => {
                of.count += 1;
                if (since, &batch.id) < (of.since, &of.oldest) {
                    (of.since, of.oldest) = (since, batch.id.clone());
                }
            }
        }
    }
    states.sort_by_key(|(rank, _)| *rank);
    states.into_iter().map(|(_, of)| of).collect()
}

fn rank(state: &State) -> usize {
    match state {
        State::Open { .. } => 0,
        State::Sealed { .. } => 1,
        State::Starting { .. } => 2,
        State::Started { .. } => 3,
        State::Failed { .. } => 4,
        State::Parked { .. } => 5,
        State::Succeeded { .. } => 6,
        State::Announced => 7,
        State::Empty => 8,
    }
}

fn tick(seen: &Observed, judgement: &mut Judgement) {
    let what = match &seen.last_tick {
        Ok(Some(at)) if seen.at.since(*at) <= SILENT_AFTER => return,
        Ok(Some(at)) => format!("the monitor last ticked {}", moment(*at, seen.at)),
        Ok(None) => format!("the monitor hasn't ticked for {}", length(LOOK_BACK)),
        Err(unseen) => {
            judgement.unknown.push(format!("the monitor's last tick: {unseen}"));
            return;
        }
    };
    judgement.need("monitor_silent", what, None);
}

fn alarms(seen: &Observed, judgement: &mut Judgement) {
    match &seen.alarms {
        Ok(alarms) => {
            for alarm in alarms {
                let since = alarm.since.map(|since| format!(" since {}", moment(since, seen.at)));
                let since = since.unwrap_or_default();
                let about = alarm.description.as_ref().map(|text| format!(": {}", text.trim()));
                let about = about.unwrap_or_default();
                let about = about.trim_end_matches('.');
                judgement.need(
                    "alarm",
                    format!("alarm `{}` is on{since}{about}", alarm.name),
                    None,
                );
            }
        }
        Err(unseen) => judgement.unknown.push(format!("the alarms: {unseen}")),
    }
}
