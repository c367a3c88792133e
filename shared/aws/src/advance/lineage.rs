//! Telling lineage what was written: after all else of an invocation is done, as far as the time goes,
//! and without a word to delivery of how it went.

use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, TryStreamExt, stream};
use landfall_core::batch::Manifest;
use landfall_core::lineage::RunEvent;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use super::{Advanced, Clients, MANY_MEMBERS};
use crate::clock::has_time;
use crate::config::CALL_TIMEOUT;
use crate::lineage::{Lineage, LineageError};
use crate::metrics::Metrics;
use crate::sdk_error::chain;
use crate::traces;

/// What all lineage of an invocation may take.
const MAY_TAKE: Duration = Duration::from_secs(3);

/// What is left to those that come after it: the answer, and the calls of a tick.
const SPARE: Duration = CALL_TIMEOUT;

/// Batches whose events are sent at a time, and events of one.
const CONCURRENT_BATCHES: usize = 8;
const CONCURRENT_EVENTS: usize = 8;

/// Sends what is to be told of the runs of these batches. What cannot be sent is lost, and counted.
pub async fn tell_lineage(
    clients: &Clients,
    metrics: &Metrics,
    advanced: &[Advanced],
    deadline: SystemTime,
) {
    let told: Vec<&Advanced> = advanced.iter().filter(|a| !a.lineage.is_empty()).collect();
    let Some(lineage) = clients.lineage.as_ref().filter(|_| !told.is_empty()) else {
        return;
    };
    let has_time = has_time(deadline, MAY_TAKE + SPARE);
    let until = Instant::now() + MAY_TAKE;
    let sent = stream::iter(told).map(async |advanced| {
        let sent = if has_time {
            timeout_at(until, batch(clients, lineage, advanced)).await
        } else {
            return Err((advanced, LineageError::OutOfTime));
        };
        sent.unwrap_or(Err(LineageError::OutOfTime)).map_err(|error| (advanced, error))
    });
    let span = tracing::info_span!(target: traces::TARGET, "tell lineage");
    let sent: Vec<_> = sent.buffer_unordered(CONCURRENT_BATCHES).collect().instrument(span).await;
    let failed: Vec<_> = sent.into_iter().filter_map(Result::err).collect();
    for (Advanced { batch, .. }, error) in &failed {
        let (code, batch_id, route, epoch) = (error.code(), &batch.id, &batch.route, batch.epoch);
        let (job, error) = (&batch.start.job, chain(error));
        tracing::warn!(code, batch_id, route, job, epoch, error, "lineage not told");
    }
    metrics.failures(failed.iter().map(|(_, error)| error.code()));
}

async fn batch(
    clients: &Clients,
    lineage: &Lineage,
    advanced: &Advanced,
) -> Result<(), LineageError> {
    let batch = &advanced.batch;
    // A function has room for one large batch at a time.
    let _alone =
        if batch.members > MANY_MEMBERS { Some(clients.preparing.lock().await) } else { None };
    // A run's end repeats what it read where one read tells it: its start may have been lost.
    let takes_inputs = |event: &RunEvent| event.is_start() || batch.chunks <= 1;
    let (manifest, unread) = if advanced.lineage.iter().any(takes_inputs) {
        match clients.ledger.members(batch).await {
            Ok(members) => (Some(Manifest::of(members)), None),
            // The run is told of all the same.
            Err(error) => (None, Some(error)),
        }
    } else {
        (None, None)
    };
    for event in &advanced.lineage {
        let Some(manifest) = manifest.as_ref().filter(|_| takes_inputs(event)) else {
            lineage.send(event.json()).await?;
            continue;
        };
        let mut pieces = event.clone().with_inputs(&batch.bucket, manifest);
        let first = pieces.next().map(|piece| piece.json()).unwrap_or_default();
        lineage.send(first).await?;
        // In whatever order: they add up.
        let rest = stream::iter(pieces).map(|piece| lineage.send(piece.json()));
        rest.buffer_unordered(CONCURRENT_EVENTS).try_collect::<()>().await?;
    }
    unread.map_or(Ok(()), |error| Err(LineageError::Members(error)))
}
