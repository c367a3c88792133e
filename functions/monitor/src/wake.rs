//! Taking up batches: one that is due, that of a run, and one that waits for what a run's end freed.

use std::time::SystemTime;

use landfall_aws::advance::{Advanced, Clients, End, advance};
use landfall_core::batch::{Batch, Seen, State, slot_freed};
use landfall_core::run_events::RunEvent;

use crate::Error;

/// The most batches that are read to find one that takes a slot. The index may be behind, and others
/// look at the same.
const MOST_CANDIDATES: i32 = 10;

/// What came of taking batches up.
#[derive(Debug, Default)]
pub struct Woken {
    pub advanced: Vec<Advanced>,
    /// Why no more were: the ledger could not be read.
    pub error: Option<Error>,
}

impl Woken {
    /// Whether nothing of it is left to be done now.
    pub fn is_done(&self) -> bool {
        let is_left = |advanced: &Advanced| matches!(advanced.end, End::OutOfTime | End::Failed(_));
        self.error.is_none() && !self.advanced.iter().any(is_left)
    }
}

/// Advances the batch of this id, and hands on what the end of its run frees. Nothing if it is gone.
pub async fn batch(clients: &Clients, id: &str, seen: &Seen, deadline: SystemTime) -> Woken {
    let mut woken = Woken::default();
    woken.error = take_up(clients, id, seen, deadline, &mut woken.advanced).await.err();
    woken
}

/// Advances the batch whose run has ended. Of a run that no batch follows nothing is known here: it is
/// somebody else's, or the tick's.
pub async fn run(clients: &Clients, run: &RunEvent, deadline: SystemTime) -> Woken {
    let mut woken = Woken::default();
    woken.error = take_up_of(clients, run, deadline, &mut woken.advanced).await.err();
    woken
}

async fn take_up_of(
    clients: &Clients,
    run: &RunEvent,
    deadline: SystemTime,
    all: &mut Vec<Advanced>,
) -> Result<(), Error> {
    let ids = clients.ledger.awaiting(&run.awaited(), MOST_CANDIDATES).await?;
    for id in ids {
        take_up(clients, &id, &Seen::Wake, deadline, all).await?;
    }
    Ok(())
}

async fn take_up(
    clients: &Clients,
    id: &str,
    seen: &Seen,
    deadline: SystemTime,
    all: &mut Vec<Advanced>,
) -> Result<(), Error> {
    let Some(batch) = clients.ledger.batch(id).await? else {
        tracing::warn!(
            code = "batch_missing",
            batch_id = id,
            "batch not advanced: it is not there"
        );
        return Ok(());
    };
    let advanced = advance(clients, batch, None, seen.clone(), deadline).await;
    let freed = advanced.has_freed_a_slot().then(|| slot_freed(&advanced.batch.start));
    all.push(advanced);
    match freed {
        Some(freed) => hand_on(clients, &freed, deadline, all).await,
        None => Ok(()),
    }
}

/// One run of the job has ended, so one batch that waits may begin: the oldest that takes it.
async fn hand_on(
    clients: &Clients,
    freed: &str,
    deadline: SystemTime,
    all: &mut Vec<Advanced>,
) -> Result<(), Error> {
    for id in clients.ledger.awaiting(freed, MOST_CANDIDATES).await? {
        let waits =
            |batch: &Batch| matches!(batch.state, State::Sealed { waits_for_slot: true, .. });
        let Some(waiting) = clients.ledger.batch(&id).await?.filter(waits) else {
            continue;
        };
        let advanced = advance(clients, waiting, None, Seen::Wake, deadline).await;
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
