//! The tick: finds due batches, takes them up together with other invocations, and reports on them.

use std::collections::BTreeSet;
use std::time::SystemTime;

use landfall_aws::advance;
use landfall_aws::clock::now;
use landfall_aws::ledger::{Class, Due};
use landfall_aws::metrics;
use landfall_core::batch::{Batch, PARKED};
use landfall_core::moment::Time;
use landfall_core::turns::in_turns;
use serde::Serialize;

use crate::due::{self, Taken};
use crate::{Context, Error};

/// The most parked batches that a tick counts.
const MAX_PARKED: i32 = 1_000;

/// How many batches a tick takes up itself before it hands any on.
const OWN: usize = 100;

/// The result of a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Ticked {
    /// How many of the batches that it found were due when it began.
    pub due: usize,
    /// How many of these are left to the next tick.
    pub left: usize,
    /// How many it put off, because no run of their job may begin or a newer version wrote them.
    pub put_off: usize,
    /// How many it handed on to other invocations.
    pub handed_on: usize,
    /// Whether more batches are due than one tick finds.
    pub more: bool,
    /// How long the most overdue batch has been due.
    pub oldest_due_seconds: u64,
    /// How many of those that it looked at repeatedly make no progress.
    pub stuck: usize,
    /// The longest that any of them has waited for its start.
    pub oldest_waiting_seconds: u64,
    /// The longest that any of them has waited without being held up by a limit of its job.
    pub oldest_blocked_seconds: u64,
    /// How many batches are parked, up to the most that a tick counts.
    pub parked: usize,
}

impl Ticked {
    fn metrics(&self) -> metrics::Tick {
        let count = |number: usize| (number as u64).into();
        metrics::Tick {
            batches_due: count(self.due),
            batches_left: count(self.left),
            batches_stuck: count(self.stuck),
            batches_parked: count(self.parked),
            oldest_due_seconds: self.oldest_due_seconds.into(),
            oldest_waiting_seconds: self.oldest_waiting_seconds.into(),
            oldest_blocked_seconds: self.oldest_blocked_seconds.into(),
        }
    }
}

/// Takes all due batches as far as they go now, in turns by route.
pub(crate) async fn tick(context: &Context, deadline: SystemTime) -> Result<Ticked, Error> {
    let Context { clients, metrics, .. } = context;
    let began = now();
    let (found, more) = clients.ledger.due_before(began, deadline).await?;
    let oldest = found.first().map_or(0, |waiting| began.since(waiting.at).as_secs());
    let ids: Vec<String> = found.into_iter().map(|waiting| waiting.id).collect();
    let seen = clients.ledger.look(&ids, deadline).await?;
    // The index may not yet know what other invocations have taken up meanwhile.
    let (due, done): (Vec<Due>, Vec<Due>) =
        seen.into_iter().partition(|due| due.at.is_some_and(|at| at <= began));
    let (own, handed_on) = hand_on(context, due, deadline).await;
    let taken = due::take_up(clients, own, deadline).await;
    let Taken { advanced, errors, done: taken_up, put_off } = taken;
    metrics.failures(errors.iter().map(Error::code));
    advance::report(metrics, &advanced);
    advance::send_lineage(clients, metrics, &advanced, deadline).await;
    let stuck = advanced.iter().filter(|advanced| advanced.batch.is_stuck()).count();
    let parked = clients.ledger.awaiting(PARKED, MAX_PARKED).await?.len();
    let age = |since: fn(&Batch) -> Option<Time>| {
        let all = advanced.iter().filter_map(|advanced| since(&advanced.batch));
        all.min().map_or(0, |oldest| now().since(oldest).as_secs())
    };
    let ticked = Ticked {
        due: ids.len() - done.len(),
        left: ids.len() - done.len() - taken_up - put_off - handed_on,
        put_off,
        handed_on,
        more,
        oldest_due_seconds: oldest,
        stuck,
        oldest_waiting_seconds: age(Batch::waiting_since),
        oldest_blocked_seconds: age(Batch::blocked_since),
        parked,
    };
    metrics.tick(&ticked.metrics());
    if ticked.due > 0 {
        let Ticked { due, left, put_off, handed_on, more, stuck, parked, .. } = ticked;
        tracing::info!(
            due,
            left,
            put_off,
            handed_on,
            more,
            oldest_due_seconds = oldest,
            stuck,
            parked,
            "tick"
        );
    }
    Ok(ticked)
}

/// Hands on what other invocations can take up until the next tick. Returns what the tick takes up
/// itself, and how many it handed on. It keeps batches that wait for a run to end: the first of a
/// job show what becomes of the others.
async fn hand_on(context: &Context, due: Vec<Due>, deadline: SystemTime) -> (Vec<Due>, usize) {
    let Some(work_queue) = &context.work_queue else { return (due, 0) };
    let is_any = |due: &Due| due.newer.is_none() && matches!(due.class, Class::Route(_));
    let due = in_turns(due, |due| due.class.clone());
    let others = due.iter().skip(OWN).filter(|due| is_any(due)).take(work_queue.room());
    let others: Vec<&str> = others.map(|due| due.id.as_str()).collect();
    let sent = work_queue.send(&others, deadline).await;
    let handed_on = sent.len();
    let sent: BTreeSet<String> = sent.into_iter().map(str::to_owned).collect();
    (due.into_iter().filter(|due| !sent.contains(&due.id)).collect(), handed_on)
}
