//! Shows a batch as one JSON document. Other programs rely on this form; the ledger's own form can
//! change.

use std::collections::BTreeMap;

use landfall_aws::claims::Outcome;
use landfall_core::batch::{Entry, Member, Run};
use landfall_core::moment::Time;
use serde::Serialize;

use super::BatchDetails;
use super::logs::{Logs, logs};
use crate::state;
use crate::terminal::output;

#[derive(Serialize)]
struct BatchDocument<'a> {
    id: &'a str,
    state: &'static str,
    run_id: Option<&'a str>,
    /// When the monitor takes up the batch next.
    due_at: Option<String>,
    parked_for: Option<&'static str>,
    parked_message: Option<&'a str>,
    route: &'a str,
    bucket: &'a str,
    group: &'a BTreeMap<String, String>,
    /// `null` if no job starts, as are the next three.
    target: Option<&'a str>,
    account: Option<&'a str>,
    region: Option<&'a str>,
    job: Option<&'a str>,
    scope: &'static str,
    claim: &'static str,
    /// Whether a run claimed the batch; `null` until it has succeeded.
    claimed: Option<bool>,
    opened_at: String,
    /// The backfill or replay that found its objects; left out if S3 announced them.
    #[serde(skip_serializing_if = "Option::is_none")]
    found_by: Option<&'a str>,
    first_arrival_at: Option<String>,
    last_arrival_at: Option<String>,
    marker_at: Option<String>,
    /// When the event was put that says that the batch has closed; absent if none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    announced_at: Option<String>,
    arrivals: u64,
    objects: Option<u64>,
    bytes: Option<u64>,
    manifest: Option<&'a str>,
    arguments: Option<&'a BTreeMap<String, String>>,
    attempts: u32,
    failures: u32,
    epoch: u32,
    runs: Vec<RunEntry<'a>>,
    /// The outcome that the job library reported; absent if it reported none.
    #[serde(skip_serializing_if = "Option::is_none")]
    job_outcome: Option<OutcomeEntry<'a>>,
    /// Where to read more about the run; `null` if there is none.
    logs: Option<Logs<'a>>,
    history: Vec<HistoryEntry<'a>>,
    /// `null` if the members could not be read.
    members: Option<Vec<MemberEntry<'a>>>,
}

#[derive(Serialize)]
struct MemberEntry<'a> {
    key: &'a str,
    version_id: Option<&'a str>,
    etag: Option<&'a str>,
    size: Option<u64>,
    sequencer: Option<&'a str>,
    event_time: Option<&'a str>,
}

#[derive(Serialize)]
struct OutcomeEntry<'a> {
    /// The epoch of the job run that reported the outcome.
    epoch: Option<u32>,
    outcome: &'a str,
    at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct RunEntry<'a> {
    epoch: u32,
    run_id: &'a str,
    last_seen: Option<&'a str>,
    /// Why the run failed, in the words of Glue or of the job; `null` if that is unknown.
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct HistoryEntry<'a> {
    at: String,
    what: &'a str,
    detail: &'a str,
    times: u32,
}

/// Returns the document with a line end.
pub fn print(details: &BatchDetails) -> String {
    let BatchDetails { batch, members, outcome } = details;
    let text = |time: Option<Time>| time.map(|time| time.to_string());
    let prepared = batch.prepared.as_ref();
    let of_job = |value| batch.start.has_job().then_some(value);
    output::json(&BatchDocument {
        id: &batch.id,
        state: batch.state.name(),
        run_id: state::run_id(&batch.state),
        due_at: text(batch.due()),
        parked_for: state::parked_for(&batch.state),
        parked_message: state::parked_message(&batch.state),
        route: &batch.route,
        bucket: &batch.bucket,
        group: &batch.group,
        target: of_job(batch.start.target.as_str()),
        account: of_job(&batch.start.account),
        region: of_job(&batch.start.region),
        job: of_job(&batch.start.job),
        scope: batch.start.scope.as_str(),
        claim: batch.start.claim.as_str(),
        claimed: state::claimed(&batch.state),
        opened_at: batch.opened_at.to_string(),
        found_by: batch.listing.as_deref(),
        first_arrival_at: text(batch.first_arrival_at),
        last_arrival_at: text(batch.last_arrival_at),
        marker_at: text(batch.marker_at),
        announced_at: text(batch.announced_at),
        arrivals: batch.members,
        objects: prepared.map(|prepared| prepared.objects),
        bytes: prepared.and_then(|prepared| prepared.bytes),
        manifest: prepared.map(|prepared| prepared.manifest.as_str()),
        arguments: prepared.map(|prepared| &prepared.arguments),
        attempts: batch.start.attempts,
        failures: batch.failures,
        epoch: batch.epoch,
        runs: batch.runs.iter().map(run).collect(),
        job_outcome: outcome.as_ref().map(job_outcome),
        logs: logs(batch),
        history: batch.history.iter().map(history).collect(),
        members: members.as_ref().map(|members| members.iter().map(member).collect()),
    })
}

fn run(run: &Run) -> RunEntry<'_> {
    let last_seen = run.state.as_ref().map(|state| state.as_str());
    RunEntry { epoch: run.epoch, run_id: &run.run_id, last_seen, error: run.error.as_deref() }
}

fn job_outcome(said: &Outcome) -> OutcomeEntry<'_> {
    OutcomeEntry {
        epoch: said.epoch,
        outcome: &said.outcome,
        at: said.at.as_deref(),
        error: said.error.as_deref(),
    }
}

fn member(member: &Member) -> MemberEntry<'_> {
    MemberEntry {
        key: &member.key,
        version_id: member.version_id.as_deref(),
        etag: member.etag.as_deref(),
        size: member.size,
        sequencer: member.sequencer.as_deref(),
        event_time: member.event_time.as_deref(),
    }
}

fn history(entry: &Entry) -> HistoryEntry<'_> {
    HistoryEntry {
        at: entry.at.to_string(),
        what: entry.what.as_str(),
        detail: &entry.detail,
        times: entry.times,
    }
}
