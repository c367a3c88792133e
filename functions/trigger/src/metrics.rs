//! Reports an invocation's metrics.

use std::collections::BTreeMap;

use landfall_aws::metrics::{Intake, Metrics};
use landfall_core::arrivals::Delivery;
use landfall_core::plan::Plan;
use metrique_writer::unit::AsCount;

use crate::Error;
use crate::record::Outcome;

/// Writes the metrics of one invocation.
pub(crate) fn report(
    metrics: &Metrics,
    delivery: &Delivery,
    plan: &Plan,
    refused: &BTreeMap<usize, Error>,
    recorded: &[Outcome],
    failed: usize,
) {
    let known = recorded.iter().flatten().map(|recorded| recorded.duplicates).sum();
    metrics.intake(&Intake {
        messages: count(delivery.message_ids.len()),
        messages_failed: count(failed),
        arrivals: count(delivery.arrivals.len()),
        arrivals_unmatched: count(plan.unmatched.len()),
        arrivals_known: count(known),
        events_ignored: delivery.ignored.total().into(),
    });
    let not_recorded = recorded.iter().filter_map(|recorded| recorded.as_ref().err());
    metrics.failures(refused.values().chain(not_recorded).map(Error::code));
}

fn count(number: usize) -> AsCount<u64> {
    (number as u64).into()
}
