//! The tick: finds due batches, takes them up together with other invocations, and reports on them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use landfall_aws::advance::{self, Advanced};
use landfall_aws::clock::now;
use landfall_aws::ledger::{Class, Due, LedgerError};
use landfall_aws::metrics;
use landfall_aws::sdk_error::chain;
use landfall_core::batch::{Batch, PARKED};
use landfall_core::moment::Time;
use landfall_core::turns::in_turns;
use serde::Serialize;

use crate::due::{self, Taken};
use crate::slots::Slots;
use crate::wake::{self, Woken};
use crate::{CONCURRENT, Context, Error};

/// The most parked batches that a tick counts.
const MAX_PARKED: i32 = 1_000;

/// How many batches of all routes together a tick looks at behind a flood.
const LOOKS: usize = 10_000;

/// How many batches of each route a tick resumes if what was in the way of others is gone.
const RESUMED: usize = 20;

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
    let is_due = |due: &Due| due.at.is_some_and(|at| at <= began);
    let (mut due, done): (Vec<Due>, Vec<Due>) = seen.into_iter().partition(is_due);
    let mut all = ids.len() - done.len();
    let (slots, mut errors) = match slots(context, deadline).await {
        Ok(slots) => (slots, Vec::new()),
        Err(error) => (Slots::default(), vec![error]),
    };
    if more {
        match behind(context, began, (&ids, &due), deadline).await {
            Ok(behind) => {
                let behind: Vec<Due> = behind.into_iter().filter(is_due).collect();
                all += behind.len();
                due.extend(behind);
            }
            Err(error) => errors.push(error),
        }
    }
    let (own, handed_on) = hand_on(context, due, deadline).await;
    let mut taken = due::take_up(clients, &slots, (own, CONCURRENT), deadline).await;
    if taken.advanced.iter().any(Advanced::is_unblocked) {
        match put_off(context, began, deadline).await {
            Ok(put_off) => due::resume(clients, put_off, deadline, &mut taken).await,
            Err(error) => errors.push(error),
        }
    }
    for job in slots.free() {
        let Woken { advanced, error } = Box::pin(wake::fill(clients, job, deadline)).await;
        taken.advanced.extend(advanced);
        errors.extend(error);
    }
    errors.append(&mut taken.errors);
    let Taken { advanced, done: taken_up, put_off, .. } = taken;
    metrics.failures(errors.iter().map(Error::code));
    advance::report(metrics, &advanced);
    advance::send_lineage(clients, metrics, &advanced, deadline).await;
    let stuck = advanced.iter().filter(|advanced| advanced.batch.is_stuck()).count();
    let parked = clients.ledger.awaiting(PARKED, MAX_PARKED).await?.len();
    let oldest_of = |since: fn(&Batch) -> Option<Time>| {
        advanced.iter().filter_map(|advanced| since(&advanced.batch)).min()
    };
    let age = |since: Option<Time>| since.map_or(0, |since| now().since(since).as_secs());
    let waiting_since = oldest_of(Batch::waiting_since).into_iter().chain(slots.waiting_since);
    let ticked = Ticked {
        due: all,
        left: all - taken_up - put_off - handed_on,
        put_off,
        handed_on,
        more,
        oldest_due_seconds: oldest,
        stuck,
        oldest_waiting_seconds: age(waiting_since.min()),
        oldest_blocked_seconds: age(oldest_of(Batch::blocked_since)),
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

/// Looks at the slots of the routes' jobs.
async fn slots(context: &Context, deadline: SystemTime) -> Result<Slots, Error> {
    let slots = Slots::look(&context.clients, &context.limited, deadline).await;
    slots.map_err(|error| {
        tracing::error!(code = error.code(), error = chain(&error), "slots not looked at");
        error.into()
    })
}

/// Looks behind the flood that the search did not get through: at what came due last, and at the
/// newest batches of each route of which the search found little. `ids` are known already.
async fn behind(
    context: &Context,
    began: Time,
    (ids, found): (&[String], &[Due]),
    deadline: SystemTime,
) -> Result<Vec<Due>, Error> {
    let Context { clients, routes, scale, .. } = context;
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for due in found {
        if let Class::Route(route) = &due.class {
            *known.entry(route).or_default() += 1;
        }
    }
    let looks = LOOKS.div_ceil(*scale);
    let is_little = |route: &&str| {
        known.get(*route).is_none_or(|known| known.saturating_mul(routes.len()) < looks)
    };
    let routes: Vec<&str> = routes.iter().map(String::as_str).filter(is_little).collect();
    let each = looks.div_ceil(routes.len().max(1));
    let looked = async {
        let mut behind = clients.ledger.behind(began, &routes, each, deadline).await?;
        let ids: BTreeSet<&String> = ids.iter().collect();
        behind.retain(|id| !ids.contains(id));
        clients.ledger.look(&behind, deadline).await
    };
    looked.await.map_err(|error: LedgerError| {
        tracing::error!(code = error.code(), error = chain(&error), "not looked behind the flood");
        error.into()
    })
}

/// Finds what may have been put off for what is gone by now: of the newest batches of each route,
/// those that wait for their start and are not due.
async fn put_off(context: &Context, began: Time, deadline: SystemTime) -> Result<Vec<Due>, Error> {
    let Context { clients, routes, .. } = context;
    let routes: Vec<&str> = routes.iter().map(String::as_str).collect();
    let looked = async {
        let newest = clients.ledger.behind(began, &routes, RESUMED, deadline).await?;
        clients.ledger.look(&newest, deadline).await
    };
    let found: Vec<Due> = looked.await.inspect_err(|error: &LedgerError| {
        tracing::error!(code = error.code(), error = chain(error), "no batches resumed");
    })?;
    let is_put_off = |due: &Due| {
        due.is_sealed
            && due.newer.is_none()
            && matches!(due.class, Class::Route(_))
            && due.at.is_some_and(|at| at > began)
    };
    Ok(found.into_iter().filter(is_put_off).collect())
}

/// Hands on what other invocations can take up until the next tick. Returns what the tick takes up
/// itself, and how many it handed on. It keeps batches that wait for a run to end: the first of a
/// job show what becomes of the others.
async fn hand_on(context: &Context, due: Vec<Due>, deadline: SystemTime) -> (Vec<Due>, usize) {
    let Some(work_queue) = &context.work_queue else { return (due, 0) };
    let (own, room) = (OWN.div_ceil(context.scale), work_queue.room() / context.scale);
    let is_any = |due: &Due| due.newer.is_none() && matches!(due.class, Class::Route(_));
    let due = in_turns(due, |due| due.class.clone());
    let others = due.iter().skip(own).filter(|due| is_any(due)).take(room);
    let others: Vec<&str> = others.map(|due| due.id.as_str()).collect();
    let sent = work_queue.send(&others, deadline).await;
    let handed_on = sent.len();
    let sent: BTreeSet<String> = sent.into_iter().map(str::to_owned).collect();
    (due.into_iter().filter(|due| !sent.contains(&due.id)).collect(), handed_on)
}
