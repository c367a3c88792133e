//! Decides what becomes of an invocation's messages: which go back, and what the function answers.

use std::collections::{BTreeMap, BTreeSet};

use landfall_aws::queue::deliver_again;
use landfall_aws::sdk_error::chain;
use landfall_core::arrivals::{Arrival, Delivery};
use landfall_core::plan::{JobRunRequest, Plan};

use crate::record::{Outcome, Started};
use crate::{Error, RecordedBatch, Response, Summary};

/// Returns the messages that are unreadable or have a refused arrival, with the first reason for
/// each. Nothing in them is recorded.
pub(crate) fn refused(delivery: &Delivery, plan: &Plan) -> BTreeMap<usize, Error> {
    let mut refused = BTreeMap::new();
    for (&message, error) in &delivery.unreadable {
        let message_id = delivery.message_ids[message].as_deref();
        tracing::error!(code = error.code(), message_id, error = chain(error), "message goes back");
        refused.insert(message, error.clone().into());
    }
    if delivery.ignored.total() > 0 {
        tracing::info!(ignored = %delivery.ignored, "events that create no object");
    }
    for refusal in &plan.refusals {
        let message_id = delivery.message_id(refusal.arrival);
        let Arrival { bucket, key, .. } = &delivery.arrivals[refusal.arrival];
        let (code, route, reason) = (refusal.reason.code(), &refusal.route, &refusal.reason);
        tracing::error!(code, route, bucket, key, message_id, %reason, "message goes back");
        let message = delivery.message_of[refusal.arrival];
        refused.entry(message).or_insert(Error::Refused(refusal.clone()));
    }
    for &arrival in &plan.unmatched {
        let message_id = delivery.message_id(arrival);
        let Arrival { bucket, key, version_id, size, .. } = &delivery.arrivals[arrival];
        tracing::debug!(message_id, bucket, key, version_id, size, "no route takes the object");
    }
    refused
}

/// Returns the messages in which anything was not recorded.
pub(crate) fn failed(
    delivery: &Delivery,
    plan: &Plan,
    refused: &BTreeMap<usize, Error>,
    recorded: &[Outcome],
) -> BTreeSet<usize> {
    let mut failed: BTreeSet<usize> = refused.keys().copied().collect();
    for (JobRunRequest { draft, arrivals, .. }, recorded) in plan.requests.iter().zip(recorded) {
        let route = &draft.route;
        // This is one batch, unless the arrivals fill it and begin the next.
        let batch_ids = recorded.iter().flat_map(|recorded| &recorded.batches);
        let batch_ids: Vec<&str> = batch_ids.map(|batch| batch.id.as_str()).collect();
        let batch_ids = batch_ids.join(" ");
        for &arrival in arrivals {
            let Arrival { bucket, key, version_id, .. } = &delivery.arrivals[arrival];
            let message_id = delivery.message_id(arrival);
            let Err(error) = recorded else {
                tracing::debug!(message_id, bucket, key, version_id, route, batch_ids, "recorded");
                continue;
            };
            let code = error.code();
            tracing::warn!(code, message_id, bucket, key, version_id, route, "message goes back");
            failed.insert(delivery.message_of[arrival]);
        }
    }
    failed
}

/// Returns the IDs of the failed messages with nothing wrong in them, which can be recorded as they
/// are.
pub(crate) fn waiting<'d>(
    delivery: &'d Delivery,
    plan: &Plan,
    refused: &BTreeMap<usize, Error>,
    recorded: &[Outcome],
    failed: &BTreeSet<usize>,
) -> BTreeSet<&'d str> {
    let recorded = plan.requests.iter().zip(recorded);
    let is_hopeless = |outcome: &Outcome| outcome.as_ref().is_err_and(|e| !e.is_retryable());
    let hopeless = recorded.filter(|(_, outcome)| is_hopeless(outcome));
    let hopeless = hopeless.flat_map(|(request, _)| &request.arrivals);
    let hopeless: BTreeSet<usize> = hopeless.map(|arrival| delivery.message_of[*arrival]).collect();
    let waiting = failed
        .iter()
        .filter(|message| !refused.contains_key(message) && !hopeless.contains(message));
    waiting.filter_map(|message| delivery.message_ids[*message].as_deref()).collect()
}

/// Returns the function's answer.
///
/// # Errors
/// Fails if anything in a direct invocation was not recorded.
pub(crate) fn answer(
    mut delivery: Delivery,
    plan: &Plan,
    mut refused: BTreeMap<usize, Error>,
    recorded: Vec<Outcome>,
    started: &Started,
    failed: &BTreeSet<usize>,
) -> Result<Response, Error> {
    let [None] = delivery.message_ids[..] else {
        let ids = failed.iter().filter_map(|message| delivery.message_ids[*message].take());
        return Ok(Response::Sqs(deliver_again(ids)));
    };
    if let Some((_, error)) = refused.pop_first() {
        return Err(error);
    }
    let recorded = recorded.into_iter().collect::<Result<Vec<_>, _>>()?;
    let duplicates = recorded.iter().map(|recorded| recorded.duplicates).sum();
    let advanced = started.advanced.iter().map(|advanced| &advanced.batch);
    let open = recorded.iter().flat_map(|recorded| &recorded.batches).filter(|b| b.is_open());
    let batches = advanced.chain(&started.left).chain(open).map(|batch| RecordedBatch {
        route: batch.route.clone(),
        batch_id: batch.id.clone(),
        state: batch.state.name(),
        job_run_id: batch.runs.last().map(|run| run.run_id.clone()),
    });
    Ok(Response::Direct(Summary {
        batches: batches.collect(),
        duplicates,
        ignored: delivery.ignored,
        unmatched: plan.unmatched.len(),
    }))
}
