//! What a backfill would do, and what it did, in words and as JSON.

use std::fmt::{self, Write};
use std::time::{Duration, Instant};

use landfall_aws::clock::now;
use landfall_core::backfill::{
    Backfill, Counts, Mode, Place, Row, Selection, Source, Standing, Survey,
};
use landfall_core::moment::Time;
use landfall_core::routes::Route;
use landfall_inspection::cloudwatch::{CloudWatch, Metric};
use serde::Serialize;

use super::Desk;
use super::work::Stop;
use crate::args::backfill::{BoundArgs, StartArgs};
use crate::terminal::output::json;
use crate::terminal::phrases::{counted, detail, length, moment};
use crate::terminal::printable;
use crate::terminal::progress::say;

/// How far back the average of runs goes.
const HISTORY: Duration = Duration::from_secs(30 * 86_400);

/// How often progress is told at most.
const PAUSE: Duration = Duration::from_secs(2);

/// What the runs will cost, and how long they take at least.
#[derive(Debug, Serialize)]
pub struct Estimate {
    /// Minutes of a DPU that a run uses; `null` if nobody knows.
    dpu_minutes_per_run: Option<f64>,
    /// `given`, `history` or `unknown`.
    from: &'static str,
    /// Why the history says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    dollars: Option<f64>,
    /// At the route's limit of starts in an hour; `null` if it has none.
    hours: Option<f64>,
}

impl Estimate {
    pub async fn new(desk: &Desk, args: &StartArgs, route: &Route, runs: u64) -> Self {
        let (minutes, from, problem) = match args.dpu_minutes {
            Some(minutes) => (Some(minutes), "given", None),
            None => match history(desk, args, &route.name).await {
                Ok(Some(minutes)) => (Some(minutes), "history", None),
                Ok(None) => {
                    (None, "unknown", Some("no run of it has ended in the last 30 days".to_owned()))
                }
                Err(why) => (None, "unknown", Some(why)),
            },
        };
        let runs = runs as f64;
        Self {
            dpu_minutes_per_run: minutes,
            from,
            problem,
            dollars: minutes.map(|minutes| runs * minutes / 60.0 * args.dpu_hour_price),
            hours: route.limits.max_runs_per_hour.map(|most| runs / f64::from(most)),
        }
    }
}

/// Returns how many minutes of a DPU the route's runs used on average.
async fn history(desk: &Desk, args: &StartArgs, route: &str) -> Result<Option<f64>, String> {
    let dimensions = || vec![("Ledger", args.ledger.table.as_str()), ("Route", route)];
    let of = |statistic| Metric {
        namespace: "Landfall",
        name: "DpuSeconds",
        dimensions: dimensions(),
        statistic,
    };
    let until = now();
    let totals = CloudWatch::new(desk.connection.config(), &desk.place);
    let totals = totals.totals(&[of("Sum"), of("SampleCount")], until - HISTORY, until).await;
    match totals.map_err(|unseen| unseen.to_string())?.as_slice() {
        [sum, count] if *count > 0.0 => Ok(Some(sum / count / 60.0)),
        _ => Ok(None),
    }
}

/// What would be done.
pub struct Plan<'a> {
    pub backfill: &'a Backfill,
    pub route: &'a Route,
    pub survey: &'a Survey,
    pub bounds: &'a BoundArgs,
    pub estimate: Estimate,
}

#[derive(Serialize)]
struct PlanDocument<'a> {
    #[serde(flatten)]
    backfill: Document<'a>,
    batches: u64,
    estimate: &'a Estimate,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_because: Option<String>,
}

impl Plan<'_> {
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let started_at = self.backfill.started_at;
        let Counts { taken, taken_bytes, .. } = self.survey.counts;
        writeln!(
            out,
            "{} as of {started_at}, for route `{}`:",
            printable(&objects(self.backfill)),
            self.route.name
        )?;
        out.push_str(&counts(&self.survey.counts, "to be sent"));
        if let Some((key, why)) = &self.survey.refusal {
            writeln!(out, "  the first that is refused is {}: {}", printable(key), printable(why))?;
        }
        if taken == 0 {
            return match self.backfill.mode {
                Mode::Missing => writeln!(out, "nothing is missing"),
                Mode::All => writeln!(out, "there is nothing to process again"),
            };
        }
        let runs = self.survey.batches();
        writeln!(
            out,
            "to be sent: {} ({}), which form {}; each {}",
            counted(taken, "object"),
            counted(taken_bytes, "byte"),
            counted(runs, "batch"),
            match &self.route.job {
                Some(job) => format!("gets a run of job `{job}`"),
                None => "is announced by an event".to_owned(),
            }
        )?;
        self.write_estimate(out)?;
        let BoundArgs { max_objects, max_runs, .. } = self.bounds;
        if let Some(most) = max_objects.filter(|most| *most < taken) {
            writeln!(out, "it stops after {}", counted(most, "object"))?;
        }
        if let Some(most) = max_runs.filter(|most| *most < runs) {
            writeln!(out, "it stops after {}", counted(most, "batch"))?;
        }
        Ok(())
    }

    fn write_estimate(&self, out: &mut String) -> fmt::Result {
        let Estimate { dpu_minutes_per_run, from, problem, dollars, hours } = &self.estimate;
        match (dpu_minutes_per_run, dollars) {
            (Some(minutes), Some(dollars)) => {
                let source = match *from {
                    "history" => "the average of the last 30 days",
                    _ => "as given",
                };
                writeln!(
                    out,
                    "costs of these runs: about {dollars:.2} dollars, at {minutes:.1} DPU minutes a run ({source})"
                )?;
            }
            _ => writeln!(
                out,
                "costs of these runs: unknown ({}); to estimate them, give --dpu-minutes",
                printable(problem.as_deref().unwrap_or_default())
            )?,
        }
        if let Some(hours) = hours {
            writeln!(
                out,
                "at the route's max_runs_per_hour, the runs start within {hours:.1} hours"
            )?;
        }
        if let Some(most) = self.route.limits.max_concurrent_runs {
            writeln!(out, "at most {} at the same time", counted(u64::from(most), "run"))?;
        }
        Ok(())
    }

    pub fn document(&self) -> String {
        let refused_because =
            self.survey.refusal.as_ref().map(|(key, why)| format!("{key}: {why}"));
        let backfill = Backfill { counts: self.survey.counts, ..self.backfill.clone() };
        let document = PlanDocument {
            backfill: Document::of(&backfill),
            batches: self.survey.batches(),
            estimate: &self.estimate,
            refused_because,
        };
        json(&document)
    }
}

/// Returns a line of progress while nothing is sent yet.
pub fn looking(counts: &Counts) -> String {
    format!("looked at {}; {} to be sent so far", counted(counts.found, "object"), counts.taken)
}

/// Tells how it goes on, not too often.
pub struct Progress {
    /// What there is to send, if somebody counted it.
    total: Option<u64>,
    began: Instant,
    told: Option<Instant>,
    /// What was sent before.
    before: Option<u64>,
}

impl Progress {
    pub fn new(total: Option<u64>) -> Self {
        Self { total, began: Instant::now(), told: None, before: None }
    }

    pub fn tell(&mut self, counts: &Counts) {
        let before = *self.before.get_or_insert(0);
        if self.told.is_some_and(|told| told.elapsed() < PAUSE) {
            return;
        }
        self.told = Some(Instant::now());
        let sent = counts.taken - before;
        let rate = sent as f64 / self.began.elapsed().as_secs_f64().max(0.001);
        let left = self.total.map(|total| total.saturating_sub(sent));
        let of = self.total.map(|total| format!(" of {total}")).unwrap_or_default();
        let left =
            left.filter(|_| rate > 0.0).map(|left| Duration::from_secs_f64(left as f64 / rate));
        let left = left.map(|left| format!(", {} left", length(left))).unwrap_or_default();
        say(&format!("sent {sent}{of} objects, {rate:.0} a second{left}"));
    }
}

/// Returns why it sends no more.
pub fn stopped(stop: Stop, backfill: &Backfill) -> String {
    let Backfill { id, counts, .. } = backfill;
    let sent = counted(counts.taken, "object");
    match stop {
        Stop::Done => format!(
            "backfill `{id}` is done: {sent} sent; landfall batches --route {} shows what becomes of them\n",
            backfill.selection.route
        ),
        Stop::Bound => format!(
            "backfill `{id}` met its bound: {sent} sent so far; to go on: landfall backfill resume {id}\n"
        ),
        Stop::Told => format!("backfill `{id}` is {}: {sent} sent\n", standing(backfill.standing)),
        Stop::Elsewhere => format!("somebody else goes on with backfill `{id}`, so it ends here\n"),
    }
}

/// Returns that it was told to stand.
pub fn told_to_stand(backfill: &Backfill) -> String {
    let Backfill { id, .. } = backfill;
    match backfill.standing {
        Standing::Cancelled => format!("backfill `{id}` is cancelled; what it sent is processed\n"),
        _ => format!("backfill `{id}` is paused; to go on: landfall backfill resume {id}\n"),
    }
}

pub fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Running => "running",
        Standing::Paused => "paused",
        Standing::Cancelled => "cancelled",
        Standing::Done => "done",
    }
}

/// Returns backfills as text.
pub fn backfills(backfills: &[Backfill], now: Time) -> String {
    if backfills.is_empty() {
        return "there are no backfills\n".to_owned();
    }
    let texts: Vec<String> = backfills.iter().map(|backfill| text(backfill, now)).collect();
    texts.join("\n")
}

fn text(backfill: &Backfill, now: Time) -> String {
    let Backfill { selection, .. } = backfill;
    let mut out = format!("{}: {}\n", backfill.id, standing(backfill.standing));
    let mut line = |what: &str, value: String| out.push_str(&detail(what, &printable(&value)));
    line("route", selection.route.clone());
    line("objects", objects(backfill));
    if let Some(since) = selection.since {
        line("since", since.to_string());
    }
    if let Some(until) = selection.until {
        line("until", until.to_string());
    }
    if let Some(reason) = &backfill.reason {
        line("reason", reason.clone());
    }
    line("by", backfill.by.clone());
    line("started", moment(backfill.started_at, now));
    line("updated", moment(backfill.updated_at, now));
    if let Some(place) = backfill.place() {
        line("reached", reached(&backfill.source, place));
    }
    out.push_str(&counts(&backfill.counts, "sent"));
    out
}

/// Returns what names the objects.
fn objects(backfill: &Backfill) -> String {
    let Selection { bucket, prefix, .. } = &backfill.selection;
    match &backfill.source {
        Source::Bucket => format!("s3://{bucket}/{prefix}"),
        Source::Keys { name, .. } => format!("the keys in {name} of s3://{bucket}/"),
        Source::Inventory { manifest, .. } => format!("s3://{bucket}/{prefix} as in {manifest}"),
    }
}

fn reached(source: &Source, place: Place) -> String {
    match place {
        Place::Key(key) => key,
        Place::Row(Row { row, .. }) if matches!(source, Source::Keys { .. }) => {
            format!("line {row}")
        }
        Place::Row(Row { file, row }) => format!("row {row} of file {}", file + 1),
    }
}

fn counts(counts: &Counts, taken_as: &str) -> String {
    let Counts { found, outside, new, unmatched, refused, gone, known, taken, .. } = *counts;
    let lines = [
        (found, "found"),
        (outside, "outside the time"),
        (new, "less than an hour old, which S3 may still announce"),
        (unmatched, "not taken by the route"),
        (refused, "refused: the arguments of a run can't be made for them"),
        (gone, "gone: not in the bucket"),
        (known, "in a batch already"),
        (taken, taken_as),
    ];
    let lines = lines.iter().filter(|(count, what)| *count > 0 || *what == "found");
    lines.map(|(count, what)| format!("  {count:>9} {what}\n")).collect()
}

/// A backfill as JSON.
#[derive(Serialize)]
struct Document<'a> {
    id: &'a str,
    mode: Mode,
    standing: Standing,
    route: &'a str,
    bucket: &'a str,
    prefix: &'a str,
    since: Option<String>,
    until: Option<String>,
    reason: Option<&'a str>,
    by: &'a str,
    started_at: String,
    updated_at: String,
    /// What names the objects, unless it is the bucket's listing.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a Source>,
    /// The last key that it is done with.
    after: Option<&'a str>,
    /// How far it came in what else names the objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<Row>,
    counts: Counts,
}

impl<'a> Document<'a> {
    fn of(backfill: &'a Backfill) -> Self {
        let Backfill { selection, .. } = backfill;
        Self {
            id: &backfill.id,
            mode: backfill.mode,
            standing: backfill.standing,
            route: &selection.route,
            bucket: &selection.bucket,
            prefix: &selection.prefix,
            since: selection.since.map(|time| time.to_string()),
            until: selection.until.map(|time| time.to_string()),
            reason: backfill.reason.as_deref(),
            by: &backfill.by,
            started_at: backfill.started_at.to_string(),
            updated_at: backfill.updated_at.to_string(),
            source: Some(&backfill.source).filter(|source| **source != Source::Bucket),
            after: backfill.after.as_deref(),
            row: backfill.row,
            counts: backfill.counts,
        }
    }
}

#[derive(Serialize)]
struct Documents<'a> {
    backfills: Vec<Document<'a>>,
}

/// Returns backfills as one JSON document.
pub fn documents(backfills: &[Backfill]) -> String {
    json(&Documents { backfills: backfills.iter().map(Document::of).collect() })
}
