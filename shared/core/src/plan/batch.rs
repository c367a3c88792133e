//! One group of one route → its batches, and the arguments of their runs.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{JobRunRequest, Plan, Refusal, RefusalReason, Settings, value};
use crate::arrivals::{Arrival, EventTime, compare_sequencers};
use crate::batch::{Input, ascii_json, fill, hex};
use crate::routes::{Route, Verdict};

/// The most bytes of `--landfall-inputs`. Linux admits 131,072 bytes for one argument of a process,
/// its name and the final zero included, which is what a Python shell job becomes.
const MAX_INPUTS_BYTES: usize = 120_000;

/// Glue admits 260 KB of arguments to a run, names and values together.
const MAX_ARGUMENTS_BYTES: usize = 260_000;

/// The objects that a job is to read, in the form of Amazon Redshift's COPY manifest.
#[derive(Serialize)]
struct Inputs<'a> {
    entries: &'a [Input<'a>],
}

/// An object of a group, with all arrivals that speak of it.
struct Member<'a> {
    /// The one that the job reads: the newest where that can be told.
    arrival: &'a Arrival,
    indices: Vec<usize>,
}

/// Adds the requests and refusals of one group to `plan`.
pub fn requests(
    route: &Route,
    arrivals: &[Arrival],
    indices: &[usize],
    settings: &Settings,
    plan: &mut Plan,
) {
    let mut rest = members(arrivals, indices).into_iter().peekable();
    let most = route.max_objects.unwrap_or(usize::MAX);
    while rest.peek().is_some() {
        let mut batch: Vec<Member<'_>> = Vec::new();
        let mut inputs_bytes = r#"{"entries":[]}"#.len();
        while let Some(member) = rest.next_if(|member| {
            let bytes = ascii_json(&input(member.arrival)).len() + ",".len();
            let fits = batch.is_empty()
                || (batch.len() < most && inputs_bytes + bytes <= MAX_INPUTS_BYTES);
            inputs_bytes += bytes;
            fits
        }) {
            batch.push(member);
        }
        match request(route, &batch, settings) {
            Ok(request) => plan.requests.push(request),
            Err(reason) => plan.refusals.extend(
                batch.iter().flat_map(|member| &member.indices).map(|&arrival| Refusal {
                    arrival,
                    route: route.name.clone(),
                    reason: reason.clone(),
                }),
            ),
        }
    }
}

/// The distinct objects, sorted by key. Of several versions of a key the newest by sequencer stands
/// for all; where a sequencer is missing nothing tells which is newer, and each stands for itself.
fn members<'a>(arrivals: &'a [Arrival], indices: &[usize]) -> Vec<Member<'a>> {
    let mut by_key: BTreeMap<&str, Vec<Member<'a>>> = BTreeMap::new();
    for &index in indices {
        let arrival = &arrivals[index];
        let versions = by_key.entry(&arrival.key).or_default();
        match versions.iter_mut().find(|member| identity(member.arrival) == identity(arrival)) {
            Some(member) => {
                member.arrival = member.arrival.max(arrival);
                member.indices.push(index);
            }
            None => versions.push(Member { arrival, indices: vec![index] }),
        }
    }
    by_key.into_values().flat_map(newest).collect()
}

fn newest(mut versions: Vec<Member<'_>>) -> Vec<Member<'_>> {
    // By identity first, so that neither order nor choice depends on the order of arrival.
    versions.sort_by_key(|member| identity(member.arrival));
    let sequencer = |member: &Member<'_>| member.arrival.sequencer.clone();
    let Some(sequencers) = versions.iter().map(sequencer).collect::<Option<Vec<_>>>() else {
        return versions;
    };
    let by_sequencer =
        |one: &usize, other: &usize| compare_sequencers(&sequencers[*one], &sequencers[*other]);
    let Some(newest) = (0..versions.len()).max_by(by_sequencer) else {
        return versions;
    };
    let mut indices: Vec<usize> = versions.iter().flat_map(|m| m.indices.iter().copied()).collect();
    indices.sort_unstable();
    vec![Member { arrival: versions[newest].arrival, indices }]
}

/// What makes two events of one key tell of the same object version.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Identity<'a> {
    Version(&'a str),
    Sequencer(&'a str),
    Look(Option<&'a str>, Option<u64>, Option<EventTime>),
}

fn identity(arrival: &Arrival) -> Identity<'_> {
    match (&arrival.version_id, &arrival.sequencer) {
        (Some(version), _) => Identity::Version(version),
        (None, Some(sequencer)) => Identity::Sequencer(sequencer),
        (None, None) => Identity::Look(arrival.etag.as_deref(), arrival.size, arrival.event_time),
    }
}

fn request(
    route: &Route,
    batch: &[Member<'_>],
    settings: &Settings,
) -> Result<JobRunRequest, RefusalReason> {
    // A batch is never empty, and all its members match.
    let first = batch[0].arrival;
    let captures = match route.judge(first) {
        Verdict::Matches(captures) => captures,
        _ => Vec::new(),
    };
    let group: BTreeMap<String, String> = route
        .by
        .iter()
        .filter_map(|name| Some((name.clone(), value(&captures, name)?.to_owned())))
        .collect();
    let batch_id = batch_id(route, &group, batch);
    let bytes = batch.iter().try_fold(0_u64, |sum, member| sum.checked_add(member.arrival.size?));
    let latest = batch.iter().filter_map(|member| member.arrival.event_time).max();
    let built_in = |name: &str| match name {
        "bucket" => Some(route.bucket.clone()),
        "key" => Some(first.key.clone()),
        "object_uri" => Some(first.uri()),
        "batch_id" => Some(batch_id.clone()),
        "count" => Some(batch.len().to_string()),
        "bytes" => bytes.map(|bytes| bytes.to_string()),
        "event_time" => latest.map(|time| time.to_string()),
        capture => value(&captures, capture).map(str::to_owned),
    };
    let mut arguments = fill(&route.arguments, built_in)?;
    let entries: Vec<Input<'_>> = batch.iter().map(|member| input(member.arrival)).collect();
    arguments.insert("--landfall-batch-id".to_owned(), batch_id.clone());
    arguments.insert("--landfall-inputs".to_owned(), ascii_json(&Inputs { entries: &entries }));
    if let Some(role) = &settings.reader_role_arn {
        arguments.insert("--landfall-reader-role".to_owned(), role.clone());
    }
    let length = arguments.iter().map(|(name, value)| name.len() + value.len()).sum();
    if length > MAX_ARGUMENTS_BYTES {
        return Err(RefusalReason::ArgumentsTooLong { bytes: length, limit: MAX_ARGUMENTS_BYTES });
    }
    let mut arrivals: Vec<usize> =
        batch.iter().flat_map(|member| member.indices.iter().copied()).collect();
    arrivals.sort_unstable();
    Ok(JobRunRequest {
        batch_id,
        route: route.name.clone(),
        target: route.target.clone(),
        job: route.job.clone(),
        group,
        arguments,
        objects: batch.len(),
        bytes,
        arrivals,
    })
}

fn input(arrival: &Arrival) -> Input<'_> {
    let (version_id, etag) = (arrival.version_id.as_deref(), arrival.etag.as_deref());
    Input::new(arrival.uri(), arrival.size, version_id, etag)
}

/// 32 hexadecimal digits that depend on the route, the group and the object versions in it.
fn batch_id(route: &Route, group: &BTreeMap<String, String>, batch: &[Member<'_>]) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        // With its length before it, no text can pass for two others.
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    add(&route.name);
    add(&route.bucket);
    for (name, value) in group {
        add(name);
        add(value);
    }
    for member in batch {
        add(&member.arrival.key);
        match identity(member.arrival) {
            Identity::Version(version) => add(&format!("version {version}")),
            Identity::Sequencer(sequencer) => add(&format!("sequencer {sequencer}")),
            Identity::Look(etag, size, time) => add(&format!("look {etag:?} {size:?} {time:?}")),
        }
    }
    hex(&hash.finalize()[..16])
}
