//! Shows a batch as text. It escapes everything from outside.

use std::fmt::{self, Write};

use landfall_aws::claims::Outcome;
use landfall_core::batch::{Batch, ClaimMode, Member, Scope};
use landfall_core::moment::Time;

use super::BatchDetails;
use super::logs::logs;
use crate::batches::group;
use crate::monitor::Monitor;
use crate::state;
use crate::terminal::escape::shown;
use crate::terminal::phrases::{counted, moment, size};
use crate::terminal::printable;
use crate::terminal::table::Align::Left as L;
use crate::terminal::table::table;

/// Returns the batch as lines of text.
pub fn print(details: &BatchDetails, now: Time, monitor: &Monitor) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut out, details, now, monitor);
    out
}

fn write(out: &mut String, details: &BatchDetails, now: Time, monitor: &Monitor) -> fmt::Result {
    let batch = &details.batch;
    writeln!(out, "batch {} {}", printable(&batch.id), state::standing(&batch.state))?;
    for sentence in state::in_words(batch, now, monitor) {
        writeln!(out, "  {sentence}")?;
    }
    writeln!(out)?;
    write_facts(out, batch, now)?;
    if batch.start.has_job() {
        write_runs(out, batch)?;
    }
    if let Some(said) = &details.outcome {
        writeln!(out, "{}", job_outcome(said))?;
    }
    if let Some(logs) = logs(batch) {
        logs.write(out)?;
    }
    if let Some(prepared) = batch.prepared.as_ref().filter(|it| !it.arguments.is_empty()) {
        writeln!(out, "\narguments, besides the run's epoch")?;
        for (name, value) in &prepared.arguments {
            writeln!(out, "  {} {}", printable(name), shown(value))?;
        }
    }
    write_history(out, batch)?;
    write_members(out, details)
}

fn write_facts(out: &mut String, batch: &Batch, now: Time) -> fmt::Result {
    let start = &batch.start;
    writeln!(out, "route     {}", printable(&batch.route))?;
    writeln!(out, "bucket    {}", printable(&batch.bucket))?;
    writeln!(out, "group     {}", group(batch))?;
    if start.has_job() {
        let place = format!("target {}, account {}, {}", start.target, start.account, start.region);
        writeln!(out, "job       {} ({})", printable(&start.job), printable(&place))?;
    } else {
        writeln!(out, "job       none: an event says that the batch has closed")?;
    }
    if start.scope == Scope::Batch {
        writeln!(out, "scope     batch: a run can assume only the reader role")?;
    }
    if start.claim == ClaimMode::Optional {
        writeln!(out, "claim     optional: {}", state::claim_mode(start.claim))?;
    }
    writeln!(out, "opened    {}", moment(batch.opened_at, now))?;
    if let Some(listing) = &batch.listing {
        writeln!(out, "found by  {}", printable(listing))?;
    }
    if let Some(last) = batch.last_arrival_at {
        writeln!(out, "arrivals  {}, the last {}", batch.members, moment(last, now))?;
    }
    if let Some(marker) = batch.marker_at {
        writeln!(out, "marker    {}", moment(marker, now))?;
    }
    match &batch.prepared {
        Some(prepared) => {
            writeln!(out, "objects   {}, {}", prepared.objects, size(prepared.bytes))?;
            writeln!(out, "manifest  {}", printable(&prepared.manifest))?;
        }
        None => writeln!(out, "manifest  not written yet")?,
    }
    if let Some(at) = batch.announced_at {
        writeln!(out, "announced {}", moment(at, now))?;
    }
    if !start.has_job() {
        return Ok(());
    }
    let failures = match batch.failures {
        0 => "none failed".to_owned(),
        failures => format!("{failures} failed"),
    };
    writeln!(out, "attempts  {} at most, {failures}", counted(start.attempts, "attempt"))
}

fn write_runs(out: &mut String, batch: &Batch) -> fmt::Result {
    if batch.runs.is_empty() {
        return writeln!(out, "\nno known runs");
    }
    writeln!(out, "\nruns")?;
    let rows: Vec<_> = batch
        .runs
        .iter()
        .map(|run| {
            let state = run.state.as_ref().map_or("not seen yet", |state| state.as_str());
            [format!("  {}", run.epoch), printable(&run.run_id), printable(state)]
        })
        .collect();
    out.write_str(&table([("  EPOCH", L), ("RUN", L), ("LAST SEEN", L)], &rows))?;
    // The text about the state says why the latest run failed, if it did.
    let told = state::failed_run(batch).map(|run| &run.run_id);
    let others = batch.runs.iter().filter(|run| Some(&run.run_id) != told);
    others.filter_map(state::run_error).try_for_each(|error| writeln!(out, "  {error}"))
}

/// Returns the line below the runs: the outcome that one of them reported, whatever Glue says.
fn job_outcome(said: &Outcome) -> String {
    let run = said.epoch.map_or("a run".to_owned(), |epoch| format!("the run of epoch {epoch}"));
    let at = said.at.as_ref().map_or(String::new(), |at| format!(" at {}", printable(at)));
    let error = said.error.as_ref().map_or(String::new(), |e| format!(", with {}", printable(e)));
    format!("  {run} reported{at}: {}{error}", printable(&said.outcome))
}

fn write_history(out: &mut String, batch: &Batch) -> fmt::Result {
    writeln!(out, "\nhistory")?;
    for entry in &batch.history {
        write!(out, "  {}  {}", entry.at, printable(entry.what.as_str()))?;
        if entry.times > 1 {
            write!(out, ", {} times in a row, this was the last", entry.times)?;
        }
        if entry.detail.is_empty() {
            writeln!(out)?;
        } else {
            writeln!(out, ": {}", shown(&entry.detail))?;
        }
    }
    Ok(())
}

fn write_members(out: &mut String, details: &BatchDetails) -> fmt::Result {
    let BatchDetails { batch, members, .. } = details;
    let Some(members) = members else {
        return writeln!(out, "\nmembers: unknown");
    };
    let count = members.len() as u64;
    let more = batch.members.saturating_sub(count);
    write!(out, "\n{}", counted(batch.members, "member"))?;
    if more > 0 {
        write!(out, ", the first {count}")?;
    }
    writeln!(out)?;
    for member in members {
        writeln!(out, "  {}", in_words(&batch.bucket, member))?;
    }
    if more > 0 {
        writeln!(out, "  … and {more} more: --members prints all")?;
    }
    Ok(())
}

fn in_words(bucket: &str, member: &Member) -> String {
    let mut about = vec![size(member.size)];
    about.extend(member.version_id.iter().map(|version| format!("version {}", printable(version))));
    about.extend(member.event_time.iter().map(|time| format!("created {}", printable(time))));
    format!("{} ({})", printable(&format!("s3://{bucket}/{}", member.key)), about.join(", "))
}

#[cfg(test)]
mod tests;
