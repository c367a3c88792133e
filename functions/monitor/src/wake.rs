//! Taking up batches: one that is due, that of a run, and one that waits for what a run's end freed.

use std::time::SystemTime;

use landfall_aws::advance::{Advanced, Clients, End, advance};
use landfall_aws::ledger::{Class, Due};
use landfall_core::batch::{Batch, Seen, State, slot_freed};
use landfall_core::run_events::RunEvent;

use crate::Error;

/// The most batches that are read to find one that takes a slot. The index may be behind, and others
/// look at the same.
const FEW_CANDIDATES: i32 = 10;

/// The same where none of these does, as after a rollback: the oldest can be of a newer version.
const MANY_CANDIDATES: i32 = 1_000;

/// What came of taking batches up.
#[derive(Debug, Default)]
pub struct Woken {
    pub advanced: Vec<Advanced>,
    /// Why no more were: the ledger could not be read.
    pub error: Option<Error>,
}

impl Woken {
    /// Whether nothing of it is left to be done now. What nobody here can make anything of is not helped by trying again.
    pub fn is_done(&self) -> bool {
        let is_left = |advanced: &Advanced| matches!(advanced.end, End::OutOfTime | End::Failed(_));
        self.error.as_ref().is_none_or(Error::is_of_item) && !self.advanced.iter().any(is_left)
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
    let ids = clients.ledger.awaiting(&run.awaited(), FEW_CANDIDATES).await?;
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
    let oldest = clients.ledger.awaiting(freed, FEW_CANDIDATES).await?;
    let is_all = oldest.len() < FEW_CANDIDATES as usize;
    if begin_one(clients, oldest, deadline, all).await? || is_all {
        return Ok(());
    }
    // Those were of a newer version, or others have begun them by now.
    let many = clients.ledger.awaiting(freed, MANY_CANDIDATES).await?;
    let waits = |due: &Due| due.newer.is_none() && matches!(due.class, Class::Slot(_));
    let many = clients.ledger.look(&many, deadline).await?.into_iter().filter(waits);
    let many = many.take(FEW_CANDIDATES as usize).map(|due| due.id).collect();
    begin_one(clients, many, deadline, all).await.map(|_| ())
}

/// Begins the first of these that takes the slot; whether one did, or there is none after all.
async fn begin_one(
    clients: &Clients,
    ids: Vec<String>,
    deadline: SystemTime,
    all: &mut Vec<Advanced>,
) -> Result<bool, Error> {
    for id in ids {
        let waits =
            |batch: &Batch| matches!(batch.state, State::Sealed { waits_for_slot: true, .. });
        let waiting = match clients.ledger.batch(&id).await {
            Err(error) if error.is_of_item() => None,
            batch => batch?.filter(waits),
        };
        let Some(waiting) = waiting else { continue };
        let advanced = advance(clients, waiting, None, Seen::Wake, deadline).await;
        // Parked, it needs no slot; overtaken, it may have taken another's.
        let leaves_it = matches!(advanced.batch.state, State::Parked { .. })
            || matches!(advanced.end, End::Overtaken);
        all.push(advanced);
        if !leaves_it {
            return Ok(true);
        }
    }
    Ok(false)
}
