//! Takes up due batches, in turns by route, so that no route starves another. Puts off those that
//! cannot be taken up now.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, stream};
use landfall_aws::advance::{Advanced, Clients, START_MAY_TAKE};
use landfall_aws::clock::{has_time, left, sleep};
use landfall_aws::config::CALL_TIMEOUT;
use landfall_aws::ledger::{Class, Due, LedgerError};
use landfall_aws::sdk_error::chain;
use landfall_core::batch::{Batch, Seen, State};
use landfall_core::turns::in_turns;

use crate::slots::Slots;
use crate::wake::{self, Woken};
use crate::{CONCURRENT, Error};

/// How many batches of a message are taken up at a time: all. A tick takes up fewer, because it has
/// many more, and most of what it takes up asks Glue about runs.
pub(crate) const CONCURRENT_STARTS: usize = 32;

/// How many batches are put off at a time.
const CONCURRENT_PUTS: usize = 32;

/// This long before its time-out, an invocation abandons what is not done, to report on the rest.
const TO_REPORT: Duration = Duration::from_secs(1);

/// The result of taking batches up.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// The batches that were advanced.
    pub advanced: Vec<Advanced>,
    /// Why others were not.
    pub errors: Vec<Error>,
    /// How many need no more work now.
    pub done: usize,
    /// How many were put off, because no run of their job may begin or a newer version wrote them.
    pub put_off: usize,
}

/// Takes these batches up in turns, beginning with the first of each class. Those that there is no
/// time for are still due. `slots` knows which jobs of the routes have room for a run. So many are
/// taken up at a time.
pub(crate) async fn take_up(
    clients: &Clients,
    slots: &Slots,
    (due, concurrent): (Vec<Due>, usize),
    deadline: SystemTime,
) -> Taken {
    let mut taken = Taken::default();
    let (newer, due): (Vec<Due>, Vec<Due>) = due.into_iter().partition(|due| due.newer.is_some());
    leave_alone(&newer, &mut taken);
    // Other batches that wait for a run of these jobs to end are not even read.
    let full = Mutex::new(slots.full());
    // The first that waits for a job shows what becomes of the others, so these come after it.
    let mut seen = BTreeSet::new();
    let is_first = |due: &Due| match &due.class {
        Class::Route(_) => true,
        Class::Slot(_) => seen.insert(due.class.clone()),
    };
    let (first, others) = in_turns(due, |due| due.class.clone()).into_iter().partition(is_first);
    let mut idle = wake_all(clients, first, (&full, concurrent), deadline, &mut taken).await;
    idle.extend(wake_all(clients, others, (&full, CONCURRENT), deadline, &mut taken).await);
    put_off(clients, slots, &[newer, idle].concat(), deadline, &mut taken).await;
    taken
}

/// Wakes these batches, so many at a time, but none that waits for a job which is known to be full.
/// Returns those that cannot be taken up now.
async fn wake_all(
    clients: &Clients,
    due: Vec<Due>,
    (full, concurrent): (&Mutex<BTreeSet<Class>>, usize),
    deadline: SystemTime,
    taken: &mut Taken,
) -> Vec<Due> {
    let full = || full.lock().unwrap_or_else(PoisonError::into_inner);
    let outcomes = stream::iter(due).map(async |due: Due| {
        if full().contains(&due.class) {
            return Outcome::Idle(due);
        }
        if !has_time(deadline, START_MAY_TAKE) {
            return Outcome::Left;
        }
        let woken = Box::pin(wake::batch(clients, &due.id, &Seen::Nothing, deadline)).await;
        full().extend(woken.advanced.first().and_then(full_job));
        Outcome::Woken(due, woken)
    });
    let outcomes = outcomes.buffer_unordered(concurrent);
    let mut outcomes = pin!(outcomes.take_until(sleep(left(deadline - TO_REPORT))));
    let mut idle = Vec::new();
    while let Some(outcome) = outcomes.next().await {
        match outcome {
            Outcome::Left => {}
            Outcome::Idle(due) => idle.push(due),
            Outcome::Woken(due, woken) => idle.extend(taken.note(due, woken)),
        }
    }
    idle
}

/// Wakes batches in turns that were put off and are not due, because what was in their way is gone.
pub(crate) async fn resume(
    clients: &Clients,
    put_off: Vec<Due>,
    deadline: SystemTime,
    taken: &mut Taken,
) {
    let woken =
        stream::iter(in_turns(put_off, |due| due.class.clone())).map(
            async |due: Due| match has_time(deadline, START_MAY_TAKE) {
                true => Box::pin(wake::blocked(clients, &due.id, deadline)).await,
                false => Woken::default(),
            },
        );
    let woken = woken.buffer_unordered(CONCURRENT);
    let mut woken = pin!(woken.take_until(sleep(left(deadline - TO_REPORT))));
    while let Some(Woken { advanced, error }) = woken.next().await {
        taken.advanced.extend(advanced);
        taken.errors.extend(error);
    }
}

/// What became of a batch.
enum Outcome {
    /// There was no time for the batch.
    Left,
    /// The batch's job has no free slot.
    Idle(Due),
    Woken(Due, Woken),
}

/// Returns the class of the batches that wait as this one does, if it waits for a run of its job to
/// end.
fn full_job(advanced: &Advanced) -> Option<Class> {
    let Batch { state, start, .. } = &advanced.batch;
    matches!(state, State::Sealed { waits_for_slot: true, .. })
        .then(|| Class::Slot(start.job_key()))
}

fn leave_alone(newer: &[Due], taken: &mut Taken) {
    if let Some(Due { id, .. }) = newer.first() {
        let (code, batches) = ("ledger_newer", newer.len());
        tracing::warn!(code, batch_id = id, batches, "batches of a newer version left alone");
    }
    let errors = newer.iter().filter_map(|Due { id, newer, .. }| {
        Some(LedgerError::Newer { id: id.clone(), version: (*newer)? }.into())
    });
    taken.errors.extend(errors);
}

impl Taken {
    /// Records what became of a batch. Returns it if this version cannot take it up.
    fn note(&mut self, due: Due, woken: Woken) -> Option<Due> {
        let is_done = woken.is_done();
        let Woken { advanced, error } = woken;
        self.advanced.extend(advanced);
        let Some(error) = error else {
            self.done += usize::from(is_done);
            return None;
        };
        let batch_id = &due.id;
        tracing::error!(code = error.code(), batch_id, error = chain(&error), "batch not advanced");
        let idle = error.is_of_item().then_some(due);
        self.errors.push(error);
        idle
    }
}

/// Puts batches off while there is time. The next tick looks at the others again.
async fn put_off(
    clients: &Clients,
    slots: &Slots,
    idle: &[Due],
    deadline: SystemTime,
    taken: &mut Taken,
) {
    let puts = stream::iter(idle).map(async |due: &Due| {
        let is_handed_on = due.newer.is_none() && slots.are_watched(&due.class);
        match has_time(deadline, CALL_TIMEOUT) {
            true => clients.ledger.put_off(due, is_handed_on).await,
            false => Ok(false),
        }
    });
    let mut puts = puts.buffer_unordered(CONCURRENT_PUTS);
    while let Some(put) = puts.next().await {
        match put {
            Ok(is_put_off) => taken.put_off += usize::from(is_put_off),
            Err(error) => {
                tracing::error!(code = error.code(), error = chain(&error), "batch not put off");
                taken.errors.push(error.into());
                return;
            }
        }
    }
}
