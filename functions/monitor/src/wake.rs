//! Taking up batches: one that is due, that of a run, and one that waits for what a run's end freed.

use std::time::SystemTime;

use landfall_aws::advance::{Advanced, Clients, End, advance};
use landfall_core::batch::{Batch, Seen, Start, State, slot_freed};
use landfall_core::run_events::RunEvent;

use crate::Error;

/// The most batches that are read to find one that takes a slot. The index may be behind, and others
/// look at the same.
const MOST_CANDIDATES: i32 = 10;

/// Advances the batch of this id, and hands on what the end of its run frees. Empty if it is gone.
///
/// # Errors
/// The ledger could not be read.
pub async fn batch(
    clients: &Clients,
    id: &str,
    seen: &Seen,
    deadline: SystemTime,
) -> Result<Vec<Advanced>, Error> {
    let Some(batch) = clients.ledger.batch(id).await? else {
        tracing::warn!(
            code = "batch_missing",
            batch_id = id,
            "batch not advanced: it is not there"
        );
        return Ok(Vec::new());
    };
    let advanced = advance(clients, batch, seen.clone(), deadline).await;
    let mut all = Vec::new();
    if advanced.has_freed_a_slot() {
        hand_on(clients, &advanced.batch.start, deadline, &mut all).await?;
    }
    all.push(advanced);
    Ok(all)
}

/// Advances the batch whose run has ended. Of a run that no batch follows nothing is known here: it is
/// somebody else's, or the tick's.
///
/// # Errors
/// The ledger could not be read.
pub async fn run(
    clients: &Clients,
    run: &RunEvent,
    deadline: SystemTime,
) -> Result<Vec<Advanced>, Error> {
    let ids = clients.ledger.awaiting(&run.awaited(), MOST_CANDIDATES).await?;
    let RunEvent { job, run_id, .. } = run;
    if ids.is_empty() {
        tracing::info!(job, job_run_id = run_id, "no batch follows the run");
    }
    let mut all = Vec::new();
    for id in ids {
        all.extend(batch(clients, &id, &Seen::Wake, deadline).await?);
    }
    Ok(all)
}

/// One run of the job has ended, so one batch that waits may begin: the oldest that takes it.
async fn hand_on(
    clients: &Clients,
    start: &Start,
    deadline: SystemTime,
    all: &mut Vec<Advanced>,
) -> Result<(), Error> {
    for id in clients.ledger.awaiting(&slot_freed(start), MOST_CANDIDATES).await? {
        let waits =
            |batch: &Batch| matches!(batch.state, State::Sealed { waits_for_slot: true, .. });
        let Some(waiting) = clients.ledger.batch(&id).await?.filter(waits) else {
            continue;
        };
        let advanced = advance(clients, waiting, Seen::Wake, deadline).await;
        // Parked, it needs no slot; overtaken, it may have taken another's.
        let leaves_it = matches!(advanced.batch.state, State::Parked { .. })
            || matches!(advanced.end, End::Overtaken);
        all.push(advanced);
        // It took the slot, or there is none after all.
        if !leaves_it {
            return Ok(());
        }
    }
    Ok(())
}
