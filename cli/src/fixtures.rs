//! Batches for tests, made by the core's own steps.

use std::collections::BTreeMap;
use std::time::Duration;

use landfall_core::batch::{
    Batch, Bounds, Claim, ClaimMode, Closing, Draft, EndOutcome, Lookup, Member, NO_TARGET,
    ObservedRun, Prepared, RunState, Scope, Seen, Start, StartOutcome, Step, Why, next,
};
use landfall_core::moment::{Moment, Time};

/// 2026-02-01T00:00:00Z.
pub const NOW: Time = Time(1_769_904_000_000);

pub const ID: &str = "899bfd94d19c4ed05147d6815125b225";

pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// So many seconds after [`NOW`].
pub fn moment(after: u64) -> Moment {
    let now = NOW + secs(after);
    Moment { now, lease: now + secs(120), jitter: 0 }
}

fn start() -> Start {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Start {
        target: "analytics".to_owned(),
        account: "222222222222".to_owned(),
        region: "eu-west-1".to_owned(),
        starter_role_arn: "arn:aws:iam::222222222222:role/landfall-starter".to_owned(),
        job: "orders-to-parquet".to_owned(),
        arguments: BTreeMap::from([pair("--dt", "{dt}")]),
        values: BTreeMap::from([pair("dt", "2026-01-31")]),
        max_concurrent_runs: Some(1),
        max_runs_per_hour: None,
        attempts: 2,
        retry_states: vec![RunState::Failed],
        scope: Scope::Job,
        claim: ClaimMode::Required,
        announce: false,
        listing_limit: None,
    }
}

pub fn member(key: &str) -> Member {
    Member {
        key: key.to_owned(),
        version_id: Some("v1".to_owned()),
        etag: None,
        size: Some(512),
        sequencer: None,
        event_time: Some("2026-01-31T23:59:59.5Z".to_owned()),
        listing: None,
        again: false,
    }
}

/// Without members, before it is written.
pub fn opened(closing: Closing) -> Batch {
    let draft = Draft {
        route: "orders".to_owned(),
        bucket: "acme-landing".to_owned(),
        group: BTreeMap::from([("dt".to_owned(), "2026-01-31".to_owned())]),
        start: start(),
        closing,
        listing: None,
        members: Vec::new(),
        markers: Vec::new(),
    };
    draft.batch(ID.to_owned(), &moment(0))
}

/// Three members, due at [`NOW`].
pub fn sealed() -> Batch {
    opened(Closing::default()).with(3, false, true, &moment(0))
}

/// Three members of a route without a job, due to be announced at [`NOW`].
pub fn to_announce() -> Batch {
    let none = || NO_TARGET.to_owned();
    let job = String::new();
    let start = Start { target: none(), account: none(), job, announce: true, ..start() };
    let prepared = Prepared { arguments: BTreeMap::new(), ..prepared() };
    Batch { start, prepared: Some(prepared), ..sealed() }
}

pub fn starting() -> Batch {
    let batch = Batch { prepared: Some(prepared()), ..sealed() };
    match step(&batch, Seen::Slot(Default::default()), 1) {
        Step::Begin { batch, .. } => *batch,
        step => panic!("{step:?}"),
    }
}

pub fn started() -> Batch {
    let outcome = StartOutcome::Started("jr_1".to_owned());
    seen(&starting(), Seen::Start(outcome), 2)
}

pub fn parked(why: Why, message: &str) -> Batch {
    let outcome = StartOutcome::Never { why, message: message.to_owned() };
    seen(&starting(), Seen::Start(outcome), 2)
}

/// Its run was seen in this state.
pub fn ended(run_state: RunState) -> Batch {
    let claim = Claim { holder: Some(1), ..Claim::default() };
    seen(&started(), Seen::Claim { run: run_state.into(), claim }, 300)
}

/// Its run failed, and Glue says why.
pub fn failed(message: &str) -> Batch {
    let claim = Claim { holder: Some(1), ..Claim::default() };
    let run = ObservedRun::new(RunState::Failed, Some(message));
    seen(&started(), Seen::Claim { run, claim }, 300)
}

/// Its claim is ended after that.
pub fn given_up(run_state: RunState) -> Batch {
    seen(&ended(run_state), Seen::ClaimEnded(EndOutcome::Ended), 301)
}

/// Nobody knows whether its run was started.
pub fn in_doubt() -> Batch {
    seen(&starting(), Seen::Lookup(Lookup::Complete(Vec::new())), 180)
}

/// What is written of `batch` by the core, so many seconds after [`NOW`].
#[track_caller]
pub fn seen(batch: &Batch, seen: Seen, after: u64) -> Batch {
    match step(batch, seen, after) {
        Step::Write { batch, .. } => *batch,
        step => panic!("{step:?}"),
    }
}

fn step(batch: &Batch, seen: Seen, after: u64) -> Step {
    next(
        batch,
        &seen,
        &moment(after),
        &Bounds { reconciliation: secs(900), manifests_kept: secs(90 * 86_400) },
    )
}

fn prepared() -> Prepared {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Prepared {
        objects: 2,
        bytes: Some(1024),
        manifest: format!("s3://manifests/orders/{ID}.json"),
        arguments: BTreeMap::from([pair("--dt", "2026-01-31"), pair("--landfall-batch-id", ID)]),
    }
}
