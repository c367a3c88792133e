//! What is said about batches, function by function; `model` says what comes of it together.

mod announcement;
mod at_once;
mod claims;
mod closing;
mod fit;
mod id;
mod identity;
mod item;
mod manifest;
mod paths;
mod recording;
mod repeats;
mod scope;
mod slot;
mod steps;

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::moment::Moment;

const NOW: Time = Time(1_000_000_000_000);

const SETTINGS: Bounds = Bounds {
    reconciliation: Duration::from_secs(900),
    manifests_kept: Duration::from_secs(90 * 86_400),
};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// So many seconds after [`NOW`], with two minutes left.
fn moment(after: u64) -> Moment {
    let now = NOW + secs(after);
    Moment { now, lease: now + secs(120), jitter: 0 }
}

fn start() -> Start {
    Start {
        target: "analytics".to_owned(),
        account: "222222222222".to_owned(),
        region: "eu-west-1".to_owned(),
        starter_role_arn: "arn:aws:iam::222222222222:role/landfall-starter".to_owned(),
        job: "orders".to_owned(),
        arguments: BTreeMap::from([("--dt".to_owned(), "{dt}".to_owned())]),
        values: BTreeMap::from([("dt".to_owned(), "2026-01-31".to_owned())]),
        max_concurrent_runs: None,
        max_runs_per_hour: None,
        attempts: 3,
        retry_states: vec![RunState::Failed, RunState::Timeout],
        scope: Scope::Job,
        claim: ClaimMode::Required,
        announce: false,
        listing_limit: None,
    }
}

fn draft(closing: Closing) -> Draft {
    Draft {
        route: "orders".to_owned(),
        bucket: "landing".to_owned(),
        group: BTreeMap::from([("dt".to_owned(), "2026-01-31".to_owned())]),
        start: start(),
        closing,
        listing: None,
        members: Vec::new(),
        markers: Vec::new(),
    }
}

fn opened(closing: Closing) -> Batch {
    draft(closing).batch("0123456789abcdef0123456789abcdef".to_owned(), &moment(0))
}

fn prepared() -> Prepared {
    Prepared {
        objects: 1,
        bytes: Some(42),
        manifest: "s3://manifests/manifests/orders/0123.json".to_owned(),
        arguments: BTreeMap::from([("--dt".to_owned(), "2026-01-31".to_owned())]),
    }
}

/// Closed with one member, and due.
fn sealed() -> Batch {
    let batch = opened(Closing::default()).with(1, false, true, &moment(0));
    Batch { prepared: Some(prepared()), ..batch }
}

fn with_limits(max_concurrent_runs: Option<u32>, max_runs_per_hour: Option<u32>) -> Batch {
    let start = Start { max_concurrent_runs, max_runs_per_hour, ..start() };
    Batch { start, ..sealed() }
}

/// Written by whoever is about to call, at [`NOW`].
fn starting(batch: &Batch) -> Batch {
    let mut seen = Seen::Wake;
    loop {
        match next(batch, &seen, &moment(0), &SETTINGS) {
            Step::ReadSlot => seen = Seen::Slot(Slot::default()),
            Step::Begin { batch, .. } => return *batch,
            step => panic!("{step:?}"),
        }
    }
}

/// Its first run is followed since [`NOW`].
fn started(batch: &Batch) -> Batch {
    let outcome = Seen::Start(StartOutcome::Started("jr_1".to_owned()));
    written(&starting(batch), &outcome, 0)
}

/// What is to be written.
#[track_caller]
fn written(batch: &Batch, seen: &Seen, after: u64) -> Batch {
    match next(batch, seen, &moment(after), &SETTINGS) {
        Step::Write { batch, .. } => *batch,
        step => panic!("{step:?}"),
    }
}
