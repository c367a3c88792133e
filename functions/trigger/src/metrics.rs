//! What an invocation reports as metrics. The names are stable: README lists them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use landfall_aws::telemetry::Metrics;
use landfall_core::plan::Plan;
use metrique_writer::Entry;
use metrique_writer::unit::{AsBytes, AsCount};

use crate::Error;
use crate::start::Outcome;
use crate::work::Work;

#[derive(Entry)]
#[entry(rename_all = "PascalCase")]
struct Invocation {
    #[entry(timestamp)]
    timestamp: SystemTime,
    messages: AsCount<u64>,
    messages_failed: AsCount<u64>,
    arrivals: AsCount<u64>,
    arrivals_unmatched: AsCount<u64>,
    events_ignored: AsCount<u64>,
}

#[derive(Entry)]
#[entry(rename_all = "PascalCase")]
struct OfRoute<'e> {
    #[entry(timestamp)]
    timestamp: SystemTime,
    route: &'e str,
    job_runs_started: AsCount<u64>,
    job_runs_not_started: AsCount<u64>,
    objects_started: AsCount<u64>,
    bytes_started: AsBytes<u64>,
}

#[derive(Entry)]
#[entry(rename_all = "PascalCase")]
struct OfCode<'e> {
    #[entry(timestamp)]
    timestamp: SystemTime,
    code: &'e str,
    failures: AsCount<u64>,
}

/// Writes the metrics of one invocation.
pub fn report(metrics: &Metrics, work: &Work, plan: &Plan, outcomes: &[Outcome], failed: usize) {
    let timestamp = SystemTime::now();
    let invocation = Invocation {
        timestamp,
        messages: count(work.messages()),
        messages_failed: count(failed),
        arrivals: count(work.arrivals.len()),
        arrivals_unmatched: count(plan.unmatched.len()),
        events_ignored: (work.ignored.test_events + work.ignored.other_events).into(),
    };
    metrics.emit(&invocation, &[]);
    let runs: Vec<_> = plan.requests.iter().zip(outcomes).collect();
    let routes: BTreeSet<&str> = plan.requests.iter().map(|run| run.route.as_str()).collect();
    for route in routes {
        let of_route = || runs.iter().filter(|(run, _)| run.route == route);
        let started = || of_route().filter(|(_, outcome)| outcome.is_ok()).map(|(run, _)| run);
        let of_route = OfRoute {
            timestamp,
            route,
            job_runs_started: count(started().count()),
            job_runs_not_started: count(of_route().filter(|(_, outcome)| outcome.is_err()).count()),
            objects_started: count(started().map(|run| run.objects).sum()),
            bytes_started: started().filter_map(|run| run.bytes).sum::<u64>().into(),
        };
        metrics.emit(&of_route, &["Route"]);
    }
    let not_started = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    report_failures(metrics, work.failures.values().chain(not_started));
}

/// Writes how often each code occurs.
pub fn report_failures<'e>(metrics: &Metrics, errors: impl IntoIterator<Item = &'e Error>) {
    let mut codes: BTreeMap<&str, u64> = BTreeMap::new();
    for error in errors {
        *codes.entry(error.code()).or_default() += 1;
    }
    for (code, failures) in codes {
        let of_code = OfCode { timestamp: SystemTime::now(), code, failures: failures.into() };
        metrics.emit(&of_code, &["Code"]);
    }
}

fn count(number: usize) -> AsCount<u64> {
    (number as u64).into()
}
