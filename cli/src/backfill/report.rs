//! What a backfill would do, and what it did, in words and as JSON.

use std::fmt::{self, Write};
use std::time::{Duration, Instant};

use landfall_core::backfill::{
    Backfill, Counts, Mode, Place, Row, Selection, Source, Standing, Survey,
};
use landfall_core::moment::Time;
use landfall_core::routes::Route;
use serde::Serialize;

use super::estimate::Estimate;
use super::work::Stop;
use crate::args::backfill::BoundArgs;
use crate::terminal::output::json;
use crate::terminal::phrases::{counted, detail, length, moment};
use crate::terminal::printable;
use crate::terminal::progress::say;

/// How often progress is told at most.
const PAUSE: Duration = Duration::from_secs(2);

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
                Mode::Missing if self.survey.counts.new > 0 => {
                    writeln!(
                        out,
                        "nothing older than an hour is missing: run it again later for the rest"
                    )
                }
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
        self.estimate.write(self.route, out)?;
        let BoundArgs { max_objects, max_runs, .. } = self.bounds;
        if let Some(most) = max_objects.filter(|most| *most < taken) {
            writeln!(out, "it stops after {}", counted(most, "object"))?;
        }
        if let Some(most) = max_runs.filter(|most| *most < runs) {
            writeln!(out, "it stops after {}", counted(most, "batch"))?;
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
    /// What was sent before.
    before: u64,
    began: Instant,
    told: Option<Instant>,
}

impl Progress {
    pub fn new(total: Option<u64>, before: u64) -> Self {
        Self { total, before, began: Instant::now(), told: None }
    }

    pub fn tell(&mut self, counts: &Counts) {
        if self.told.is_some_and(|told| told.elapsed() < PAUSE) {
            return;
        }
        self.told = Some(Instant::now());
        let sent = counts.taken.saturating_sub(self.before);
        say(&progress(sent, self.total, self.began.elapsed()));
    }
}

/// Returns a line that says how much of it was sent in this time: with a bar and the time that is left if the total is known.
fn progress(sent: u64, total: Option<u64>, took: Duration) -> String {
    const WIDTH: u64 = 20;
    let rate = sent as f64 / took.as_secs_f64().max(0.001);
    let Some(total) = total else { return format!("sent {sent} objects, {rate:.0} a second") };
    let done = (sent * WIDTH).checked_div(total).unwrap_or(WIDTH).min(WIDTH);
    let bar = "#".repeat(done as usize) + &".".repeat((WIDTH - done) as usize);
    let left = total.saturating_sub(sent) as f64 / rate;
    let left = if left.is_finite() {
        format!(", {} left", length(Duration::from_secs_f64(left)))
    } else {
        String::new()
    };
    format!("[{bar}] sent {sent} of {total} objects, {rate:.0} a second{left}")
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
    if let Some(most) = backfill.max_runs_per_hour {
        line("runs", format!("{most} an hour at most"));
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
    #[serde(skip_serializing_if = "Option::is_none")]
    max_runs_per_hour: Option<u32>,
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
            max_runs_per_hour: backfill.max_runs_per_hour,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_has_a_bar_the_rate_and_the_time_that_is_left() {
        let after = |secs| Duration::from_secs(secs);
        assert_eq!(
            progress(1_200, Some(5_000), after(6)),
            "[####................] sent 1200 of 5000 objects, 200 a second, 19 seconds left"
        );
        assert_eq!(
            progress(5_000, Some(5_000), after(25)),
            "[####################] sent 5000 of 5000 objects, 200 a second, 0 seconds left"
        );
        assert_eq!(
            progress(0, Some(5_000), after(2)),
            "[....................] sent 0 of 5000 objects, 0 a second"
        );
        assert_eq!(progress(1_200, None, after(6)), "sent 1200 objects, 200 a second");
    }
}
