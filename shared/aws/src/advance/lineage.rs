//! Sends lineage of what was written: after everything else in an invocation is done, as far as
//! time allows, and without any effect on delivery.

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

/// The most time that all lineage of an invocation may take.
const MAY_TAKE: Duration = Duration::from_secs(3);

/// The time to leave for what comes afterwards: the response, and the calls of a tick.
const SPARE: Duration = CALL_TIMEOUT;

/// How many batches' events are sent at a time, and how many events of one batch.
const CONCURRENT_BATCHES: usize = 8;
const CONCURRENT_EVENTS: usize = 8;

/// Sends the lineage of these batches' runs. An event that cannot be sent is lost, logged and
/// counted.
pub async fn send_lineage(
    clients: &Clients,
    metrics: &Metrics,
    advanced: &[Advanced],
    deadline: SystemTime,
) {
    let pending: Vec<&Advanced> = advanced.iter().filter(|a| !a.lineage.is_empty()).collect();
    let Some(lineage) = clients.lineage.as_ref().filter(|_| !pending.is_empty()) else {
        return;
    };
    let has_time = has_time(deadline, MAY_TAKE + SPARE);
    let until = Instant::now() + MAY_TAKE;
    let sent = stream::iter(pending).map(async |advanced| {
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
        tracing::warn!(code, batch_id, route, job, epoch, error, "lineage not sent");
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
    // If one read yields all inputs, a run's end repeats them: its start may have been lost.
    let takes_inputs = |event: &RunEvent| event.is_start() || batch.chunks <= 1;
    let (manifest, unread) = if advanced.lineage.iter().any(takes_inputs) {
        match clients.ledger.members(batch).await {
            Ok(members) => (Some(Manifest::of(members)), None),
            // The run's events are sent all the same.
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
        // Their order does not matter: receivers add them up.
        let rest = stream::iter(pieces).map(|piece| lineage.send(piece.json()));
        rest.buffer_unordered(CONCURRENT_EVENTS).try_collect::<()>().await?;
    }
    unread.map_or(Ok(()), |error| Err(LineageError::Members(error)))
}
