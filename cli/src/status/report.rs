//! What `landfall status` prints: what needs a person, then everything else.

use landfall_core::chain::observed::Look;
use landfall_core::chain::{Link, Status as Verdict};
use landfall_core::moment::Time;
use landfall_core::reconcile::Reconciliation;
use serde::Serialize;

use super::judge::{Judgement, OfState};
use super::look::{Depth, Observed};
use crate::terminal::escape::shown;
use crate::terminal::output;
use crate::terminal::phrases::{detail, length, moment};
use crate::terminal::printable;
use crate::terminal::table::Align::{Left as L, Right as R};
use crate::terminal::table::{cut, fitted, table};

/// The version of the JSON document.
const VERSION: u32 = 1;

/// What to print.
pub struct Report<'a> {
    pub seen: &'a Observed,
    pub judgement: &'a Judgement,
    pub now: Time,
}

impl Report<'_> {
    /// Returns the report for people. In a terminal of `width` columns, cells are cut.
    pub fn text(&self, width: Option<usize>) -> String {
        let Self { seen, judgement, .. } = self;
        let mut out = String::new();
        if judgement.needs.is_empty() {
            out.push_str(match judgement.unknown.is_empty() {
                true => "nothing needs a person\n",
                false => "nothing is known to need a person, but not everything could be seen\n",
            });
        } else {
            out.push_str("needs a person:\n");
            for need in &judgement.needs {
                out.push_str(&format!("  {}\n", shown(&need.what)));
                if let Some(command) = &need.command {
                    out.push_str(&format!("  {}", detail("run", &printable(command))));
                }
            }
        }
        if !judgement.unknown.is_empty() {
            out.push_str("\nnot seen:\n");
            for what in &judgement.unknown {
                out.push_str(&format!("  {}\n", shown(what)));
            }
        }
        let place = &seen.place;
        out.push_str(&format!("\naccount {}, region {}\n", place.account, place.region));
        for stack in &seen.stacks {
            let version = stack.version.as_ref().map(|version| format!(", version {version}"));
            let line =
                format!("stack {}: {}{}", stack.name, stack.status, version.unwrap_or_default());
            out.push_str(&format!("{}\n", printable(&line)));
        }
        if let Ok(Some(tick)) = &seen.last_tick {
            out.push_str(&format!("the monitor last ticked {}\n", moment(*tick, self.now)));
        }
        for of in &seen.reconciliations {
            let reached = moment(of.reached(), self.now);
            let line = format!("route {}: reconciled until {reached}", of.route);
            out.push_str(&format!("{}\n", printable(&line)));
        }
        for check in seen.checks.iter().filter(|check| is_switch(check.link)) {
            let (name, evidence) = (check.link.name(), &check.evidence);
            if check.status == Verdict::Ok {
                out.push_str(&format!("{name}: {}\n", shown(evidence)));
            }
        }
        out.push_str(&format!("\n{}", self.queues(width)));
        if seen.batches.is_ok() {
            out.push_str(&format!("\n{}", self.batches(width)));
        }
        out
    }

    fn queues(&self, width: Option<usize>) -> String {
        let row = |depth: &Depth| {
            let (visible, in_flight) = match &depth.queue.look {
                Look::Seen(queue) => (queue.visible.to_string(), queue.in_flight.to_string()),
                Look::Missing => ("not there".to_owned(), String::new()),
                Look::Denied(_) | Look::DeniedByOrganization(_) | Look::Failed(_) => {
                    ("not seen".to_owned(), String::new())
                }
            };
            let oldest = depth.oldest.map(length).unwrap_or_default();
            [printable(&depth.name), visible, in_flight, oldest]
        };
        let rows: Vec<[String; 4]> = self.seen.queues.iter().map(row).collect();
        let columns = [("QUEUE", L), ("WAIT", R), ("IN WORK", R), ("OLDEST WAITS", L)];
        fit(columns, [Some(10), None, None, None], rows, width)
    }

    fn batches(&self, width: Option<usize>) -> String {
        let Judgement { batches, has_more, .. } = self.judgement;
        if batches.is_empty() {
            return "no batch is unfinished\n".to_owned();
        }
        let row = |of: &OfState| {
            let OfState { state, count, oldest, since } = of;
            [(*state).to_owned(), count.to_string(), moment(*since, self.now), printable(oldest)]
        };
        let rows: Vec<[String; 4]> = batches.iter().map(row).collect();
        let columns = [("BATCHES", L), ("COUNT", R), ("OLDEST OPENED", L), ("OLDEST", L)];
        let mut out = fit(columns, [None, None, Some(20), None], rows, width);
        if *has_more {
            out.push_str(
                "there are more: only those were read that are due first, or parked for longest\n",
            );
        }
        out
    }

    /// Returns the report for programs.
    pub fn json(&self) -> String {
        let Self { seen, judgement, .. } = self;
        let stacks = seen.stacks.iter().map(|stack| StackEntry {
            name: &stack.name,
            status: &stack.status,
            version: stack.version.as_deref(),
        });
        let checks = seen.checks.iter().map(|check| CheckEntry {
            link: check.link.code(),
            name: check.link.name(),
            status: check.status.name(),
            resource: &check.resource,
            evidence: &check.evidence,
        });
        let needs = judgement.needs.iter().map(|need| NeedEntry {
            code: need.code,
            what: &need.what,
            command: need.command.as_deref(),
        });
        let batches = judgement.batches.iter().map(|of| BatchesEntry {
            state: of.state,
            count: of.count,
            oldest: &of.oldest,
            oldest_opened_at: of.since.to_string(),
        });
        output::json(&Document {
            version: VERSION,
            account: &seen.place.account,
            region: &seen.place.region,
            needs: needs.collect(),
            unknown: &judgement.unknown,
            stacks: stacks.collect(),
            last_tick: seen.last_tick.as_ref().ok().copied().flatten().map(|at| at.to_string()),
            checks: checks.collect(),
            queues: seen.queues.iter().map(queue_entry).collect(),
            batches: seen.batches.is_ok().then(|| batches.collect()),
            has_more_batches: judgement.has_more,
            reconciliations: seen.reconciliations.iter().map(reconciliation_entry).collect(),
        })
    }
}

/// Whether the link is something that is on or off.
fn is_switch(link: Link) -> bool {
    matches!(link, Link::Schedule | Link::UploadRule | Link::TriggerMapping | Link::MonitorMapping)
}

/// Returns the table, with cells cut if the terminal is too narrow. If it's too narrow for that too, the lines are cut.
fn fit<const N: usize>(
    columns: [(&str, crate::terminal::table::Align); N],
    least: [Option<usize>; N],
    rows: Vec<[String; N]>,
    width: Option<usize>,
) -> String {
    let Some(width) = width else { return table(columns, &rows) };
    if let Some(rows) = fitted(columns, least, rows.clone(), width) {
        return table(columns, &rows);
    }
    table(columns, &rows).lines().map(|line| cut(line, width) + "\n").collect()
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    account: &'a str,
    region: &'a str,
    needs: Vec<NeedEntry<'a>>,
    unknown: &'a [String],
    stacks: Vec<StackEntry<'a>>,
    /// When the monitor last ticked, of the last 15 minutes; `null` if it didn't, or that is unknown.
    last_tick: Option<String>,
    checks: Vec<CheckEntry<'a>>,
    queues: Vec<QueueEntry<'a>>,
    /// `null` if the ledger couldn't be read.
    batches: Option<Vec<BatchesEntry<'a>>>,
    has_more_batches: bool,
    /// Left out if no route is reconciled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reconciliations: Vec<ReconciliationEntry<'a>>,
}

#[derive(Serialize)]
struct ReconciliationEntry<'a> {
    route: &'a str,
    /// What was written between these times is known.
    since: String,
    until: String,
    /// Whether a pass is under way.
    is_at_work: bool,
    /// When the last pass began that has ended, and what it came to; `null` if none has.
    last_pass: Option<String>,
    listed: Option<u64>,
    missed: Option<u64>,
    examples: &'a [String],
}

fn reconciliation_entry(of: &Reconciliation) -> ReconciliationEntry<'_> {
    let last = of.last.as_ref();
    ReconciliationEntry {
        route: &of.route,
        since: of.since.to_string(),
        until: of.reached().to_string(),
        is_at_work: of.pass.is_some(),
        last_pass: last.map(|last| last.started_at.to_string()),
        listed: last.map(|last| last.counts.found),
        missed: last.map(|last| last.counts.taken),
        examples: last.map(|last| last.examples.as_slice()).unwrap_or_default(),
    }
}

#[derive(Serialize)]
struct NeedEntry<'a> {
    code: &'a str,
    what: &'a str,
    command: Option<&'a str>,
}

#[derive(Serialize)]
struct StackEntry<'a> {
    name: &'a str,
    status: &'a str,
    /// `null` if the stack records none.
    version: Option<&'a str>,
}

#[derive(Serialize)]
struct CheckEntry<'a> {
    link: &'a str,
    name: &'a str,
    status: &'static str,
    resource: &'a str,
    evidence: &'a str,
}

#[derive(Serialize)]
struct QueueEntry<'a> {
    name: &'a str,
    is_dead_letter_queue: bool,
    /// `null` if the queue isn't there or couldn't be seen.
    visible: Option<u64>,
    in_flight: Option<u64>,
    /// `null` if nothing waits, or if CloudWatch hasn't told within 15 minutes.
    oldest_secs: Option<u64>,
}

#[derive(Serialize)]
struct BatchesEntry<'a> {
    state: &'a str,
    count: usize,
    /// The ID of the batch that was opened first.
    oldest: &'a str,
    oldest_opened_at: String,
}

fn queue_entry(depth: &Depth) -> QueueEntry<'_> {
    let queue = depth.queue.look.seen();
    QueueEntry {
        name: &depth.name,
        is_dead_letter_queue: depth.is_dead_letters,
        visible: queue.map(|queue| queue.visible),
        in_flight: queue.map(|queue| queue.in_flight),
        oldest_secs: depth.oldest.map(|oldest| oldest.as_secs()),
    }
}
