//! What an invocation reports as metrics. The names are stable: README lists them.

use std::time::SystemTime;

use landfall_aws::telemetry::{Metrics, report_failures};
use landfall_core::plan::Plan;
use metrique_writer::Entry;
use metrique_writer::unit::AsCount;

use crate::Error;
use crate::record::Outcome;
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
    arrivals_known: AsCount<u64>,
    events_ignored: AsCount<u64>,
}

/// Writes the metrics of one invocation.
pub fn report(metrics: &Metrics, work: &Work, plan: &Plan, recorded: &[Outcome], failed: usize) {
    let known = recorded.iter().flatten().map(|recorded| recorded.duplicates).sum();
    let invocation = Invocation {
        timestamp: SystemTime::now(),
        messages: count(work.messages()),
        messages_failed: count(failed),
        arrivals: count(work.arrivals.len()),
        arrivals_unmatched: count(plan.unmatched.len()),
        arrivals_known: count(known),
        events_ignored: (work.ignored.test_events + work.ignored.other_events).into(),
    };
    metrics.emit(&invocation, &[]);
    let not_recorded = recorded.iter().filter_map(|recorded| recorded.as_ref().err());
    report_failures(metrics, work.failures.values().chain(not_recorded).map(Error::code));
}

fn count(number: usize) -> AsCount<u64> {
    (number as u64).into()
}
