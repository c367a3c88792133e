//! Takes up single batches: one that is due, the batch of a run, and one that waits for the slot
//! that a run's end freed.

use std::time::SystemTime;

use landfall_aws::advance::{Advanced, Clients, End, START_MAY_TAKE, advance};
use landfall_aws::clock::has_time;
use landfall_aws::ledger::{Class, Due};
use landfall_core::batch::{Batch, Seen, State, slot_freed, slot_of};
use landfall_core::run_events::RunEvent;

use crate::Error;

/// The most batches to read to find one that takes a slot. The index may be behind, and other
/// invocations look at the same batches.
const FEW_CANDIDATES: i32 = 10;

/// The most batches to look at if none of these takes the slot, for example after a rollback, when
/// a newer version may have written the oldest ones.
const MANY_CANDIDATES: i32 = 1_000;

/// The result of taking a batch up.
#[derive(Debug, Default)]
pub(crate) struct Woken {
    /// The batches that were advanced.
    pub advanced: Vec<Advanced>,
    /// Why no more were advanced: the ledger could not be read.
    pub error: Option<Error>,
}

impl Woken {
    /// Returns `true` if no work is left now. Trying again would not help with an item that this
    /// version cannot read.
    pub(crate) fn is_done(&self) -> bool {
        let is_left = |advanced: &Advanced| matches!(advanced.end, End::OutOfTime | End::Failed(_));
        self.error.as_ref().is_none_or(Error::is_of_item) && !self.advanced.iter().any(is_left)
    }
}

/// Advances the batch with this ID, and hands on the slot that the end of its run frees. Does
/// nothing if the batch is gone.
pub(crate) async fn batch(clients: &Clients, id: &str, seen: &Seen, deadline: SystemTime) -> Woken {
    let mut woken = Woken::default();
    woken.error = take_up(clients, id, seen, deadline, &mut woken.advanced).await.err();
    woken
}

/// Advances the batch whose run has ended. Does nothing for a run that no batch waits for: Landfall
/// did not start it, or the tick deals with it.
pub(crate) async fn run(clients: &Clients, run: &RunEvent, deadline: SystemTime) -> Woken {
    let mut woken = Woken::default();
    let taken_up = async {
        for id in clients.ledger.awaiting(&run.awaited(), FEW_CANDIDATES).await? {
            take_up(clients, &id, &Seen::Wake, deadline, &mut woken.advanced).await?;
        }
        Ok(())
    };
    woken.error = taken_up.await.err();
    woken
}

/// Advances the batch with this ID though it is not due, if it was put off for another reason than a
/// limit of its job.
pub(crate) async fn blocked(clients: &Clients, id: &str, deadline: SystemTime) -> Woken {
    let mut woken = Woken::default();
    match clients.ledger.batch(id).await {
        Ok(Some(batch)) if batch.blocked_since().is_some() => {
            let advanced = advance(clients, batch, None, Seen::Wake, deadline).await;
            woken.advanced.push(advanced);
        }
        Ok(_) => {}
        Err(error) => woken.error = Some(error.into()),
    }
    woken
}

/// Begins batches that wait for the slot of this job, the oldest first, for as long as one begins.
pub(crate) async fn fill(clients: &Clients, job: &str, deadline: SystemTime) -> Woken {
    let awaits = slot_of(job);
    let mut woken = Woken::default();
    let is_begun = |advanced: &Advanced| {
        matches!(advanced.batch.state, State::Starting(_) | State::Started(_))
    };
    while has_time(deadline, START_MAY_TAKE) {
        let known = woken.advanced.len();
        woken.error = hand_on(clients, &awaits, deadline, &mut woken.advanced).await.err();
        if woken.error.is_some() || !woken.advanced[known..].iter().any(is_begun) {
            break;
        }
    }
    woken
}

async fn take_up(
    clients: &Clients,
    id: &str,
    seen: &Seen,
    deadline: SystemTime,
    all: &mut Vec<Advanced>,
) -> Result<(), Error> {
    let Some(batch) = clients.ledger.batch(id).await? else {
        let code = "batch_missing";
        tracing::warn!(code, batch_id = id, "batch not advanced: it is not there");
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

/// Begins the oldest waiting batch that takes the slot: one run of the job has ended, so one may
/// begin.
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
    // A newer version wrote those batches, or other invocations have begun them by now.
    let many = clients.ledger.awaiting(freed, MANY_CANDIDATES).await?;
    let waits = |due: &Due| due.newer.is_none() && matches!(due.class, Class::Slot(_));
    let many = clients.ledger.look(&many, deadline).await?.into_iter().filter(waits);
    let many = many.take(FEW_CANDIDATES as usize).map(|due| due.id).collect();
    begin_one(clients, many, deadline, all).await.map(|_| ())
}

/// Begins the first of these batches that takes the slot. Returns `true` if one did, or if it
/// turned out that the slot is not free.
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
        // A parked batch needs no slot; an overtaken one may have taken another slot.
        let leaves_it = matches!(advanced.batch.state, State::Parked { .. })
            || matches!(advanced.end, End::Overtaken);
        all.push(advanced);
        if !leaves_it {
            return Ok(true);
        }
    }
    Ok(false)
}
