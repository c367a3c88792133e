//! What an invocation reports as metrics. The names are stable: README lists them.

use std::collections::BTreeMap;
use std::time::SystemTime;

use landfall_aws::telemetry::emit;
use landfall_core::plan::Plan;
use metrique_writer::Entry;

use crate::Work;
use crate::start::Outcome;

#[derive(Entry)]
#[entry(rename_all = "PascalCase")]
struct Invocation {
    #[entry(timestamp)]
    timestamp: SystemTime,
    messages: u64,
    messages_failed: u64,
    arrivals: u64,
    arrivals_unmatched: u64,
    events_ignored: u64,
}

#[derive(Entry)]
#[entry(rename_all = "PascalCase")]
struct OfRoute<'e> {
    #[entry(timestamp)]
    timestamp: SystemTime,
    route: &'e str,
    job_runs_started: u64,
    job_runs_not_started: u64,
    objects_started: u64,
    bytes_started: u64,
}

#[derive(Entry)]
#[entry(rename_all = "PascalCase")]
struct OfCode<'e> {
    #[entry(timestamp)]
    timestamp: SystemTime,
    code: &'e str,
    failures: u64,
}

/// Writes the metrics of one invocation.
pub fn report(work: &Work, plan: &Plan, outcomes: &[Outcome], failed: usize) {
    let timestamp = SystemTime::now();
    let mut of_routes: BTreeMap<&str, OfRoute<'_>> = BTreeMap::new();
    let mut codes: BTreeMap<&str, u64> = BTreeMap::new();
    for (request, outcome) in plan.requests.iter().zip(outcomes) {
        let of_route = of_routes.entry(&request.route).or_insert(OfRoute {
            timestamp,
            route: &request.route,
            job_runs_started: 0,
            job_runs_not_started: 0,
            objects_started: 0,
            bytes_started: 0,
        });
        match outcome {
            Ok(_) => {
                of_route.job_runs_started += 1;
                of_route.objects_started += request.objects as u64;
                of_route.bytes_started += request.bytes;
            }
            Err(error) => {
                of_route.job_runs_not_started += 1;
                *codes.entry(error.code()).or_default() += 1;
            }
        }
    }
    let unread = work.messages.iter().filter_map(|message| message.content.as_ref().err());
    let refused = plan.refusals.iter().map(|refusal| refusal.reason.code());
    for code in unread.map(|error| error.code()).chain(refused) {
        *codes.entry(code).or_default() += 1;
    }
    let invocation = Invocation {
        timestamp,
        messages: work.messages.len() as u64,
        messages_failed: failed as u64,
        arrivals: work.arrivals.len() as u64,
        arrivals_unmatched: plan.unmatched.len() as u64,
        events_ignored: work.ignored.test_events + work.ignored.other_events,
    };
    emit(&invocation, &[&[]]);
    for of_route in of_routes.values() {
        emit(of_route, &[&["Route"]]);
    }
    for (code, failures) in codes {
        emit(&OfCode { timestamp, code, failures }, &[&["Code"]]);
    }
}
