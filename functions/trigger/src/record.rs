//! Records what arrived in the ledger, then starts what that completed.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, stream};
use landfall_aws::advance::{Advanced, Clients, START_MAY_TAKE, advance};
use landfall_aws::clock::{has_passed, has_time, moment, system_time};
use landfall_aws::config::CALL_TIMEOUT;
use landfall_aws::ledger::Recorded;
use landfall_aws::traces;
use landfall_aws::work_queue::WorkQueue;
use landfall_core::arrivals::Delivery;
use landfall_core::batch::{Batch, Draft, Member, Seen};
use landfall_core::plan::JobRunRequest;
use tracing::Instrument;

use crate::Error;

/// What the ledger took, or why not all of it.
pub type Outcome = Result<Recorded, Error>;

/// Groups that are recorded at a time, and batches that are advanced.
const CONCURRENT_RECORDS: usize = 16;
const CONCURRENT_STARTS: usize = 8;

/// How long batches are begun where others can start the rest: messages are acknowledged afterwards only.
const TO_START: Duration = Duration::from_secs(5);

/// Records each request; outcomes are in the order of the requests. What could not be answered for
/// before `deadline` is not begun.
pub async fn all(
    clients: &Clients,
    delivery: &Delivery,
    requests: &[JobRunRequest],
    deadline: SystemTime,
) -> Vec<Outcome> {
    // Parts of one open batch follow each other: the marker comes last. What closes at once is
    // nobody else's.
    let parts = requests.chunk_by(|one, next| {
        let (one, next) = (&one.draft, &next.draft);
        !one.closing.is_at_once() && one.route == next.route && one.group == next.group
    });
    let recorded = stream::iter(parts).map(async |parts| {
        let mut outcomes = Vec::new();
        for request in parts {
            outcomes.push(record(clients, delivery, request, deadline).await);
        }
        outcomes
    });
    recorded.buffered(CONCURRENT_RECORDS).concat().await
}

async fn record(
    clients: &Clients,
    delivery: &Delivery,
    request: &JobRunRequest,
    deadline: SystemTime,
) -> Outcome {
    let draft = &request.draft;
    let Draft { route, group, .. } = draft;
    if !has_time(deadline, CALL_TIMEOUT) {
        return Err(Error::OutOfTime { route: route.clone() });
    }
    let id = |first: &_| draft.batch_id(first);
    let span = tracing::info_span!(target: traces::TARGET, "record", route);
    let recorded = clients.ledger.record(draft, id, || moment(deadline), deadline - CALL_TIMEOUT);
    let recorded = recorded.instrument(span).await;
    let (messages, message_ids) = messages_of(delivery, request);
    let Recorded { batches, duplicates } = match &recorded {
        Ok(recorded) => recorded,
        Err(error) => {
            let code = error.code();
            tracing::error!(
                code, route, ?group, messages, message_ids, %error, "arrivals not recorded"
            );
            return Err(error.clone().into());
        }
    };
    for Batch { id: batch_id, state, members, .. } in batches {
        let state = state.name();
        tracing::info!(
            route,
            ?group,
            batch_id,
            state,
            members,
            messages,
            message_ids,
            "arrivals recorded"
        );
    }
    if *duplicates > 0 {
        tracing::info!(route, ?group, duplicates, messages, message_ids, "arrivals were known");
    }
    recorded.map_err(Error::from)
}

/// Returns how many messages brought what a request takes, and the IDs of the first of them, spaces between them: a
/// log line has room for so many. All are logged one by one at level `DEBUG`.
fn messages_of(delivery: &Delivery, request: &JobRunRequest) -> (usize, String) {
    const MAX: usize = 10;
    let messages = request.arrivals.iter().map(|arrival| delivery.message_of[*arrival]);
    let messages: BTreeSet<usize> = messages.collect();
    let ids = messages.iter().filter_map(|message| delivery.message_ids[*message].as_deref());
    (messages.len(), ids.take(MAX).collect::<Vec<_>>().join(" "))
}

/// What became of the batches that are closed.
#[derive(Debug, Default)]
pub struct Started {
    pub advanced: Vec<Advanced>,
    /// Those that are handed on to the monitor.
    pub left: Vec<Batch>,
}

/// Takes all batches that are closed as far as they go now. What there is no time for is due, and the
/// monitor's; it is woken for it if there is a queue for that.
pub async fn start(
    clients: &Clients,
    work_queue: Option<&WorkQueue>,
    requests: &[JobRunRequest],
    recorded: &[Outcome],
    deadline: SystemTime,
) -> Started {
    let recorded = requests.iter().zip(recorded);
    let recorded =
        recorded.filter_map(|(request, outcome)| Some((request, outcome.as_ref().ok()?)));
    let closed = recorded.flat_map(|(request, recorded)| {
        let closed = recorded.batches.iter().filter(|batch| !batch.is_open());
        closed.map(move |batch| (batch.clone(), members_at_hand(request, recorded, batch)))
    });
    let began = system_time();
    let is_enough = || has_passed(began, TO_START) || !has_time(deadline, START_MAY_TAKE);
    let outcomes = stream::iter(closed).map(async |(batch, members)| {
        if work_queue.is_some() && is_enough() {
            return Err(batch);
        }
        Ok(advance(clients, batch, members, Seen::Nothing, deadline).await)
    });
    let mut outcomes = outcomes.buffered(CONCURRENT_STARTS);
    let mut started = Started::default();
    while let Some(outcome) = outcomes.next().await {
        match outcome {
            Ok(advanced) => started.advanced.push(advanced),
            Err(batch) => started.left.push(batch),
        }
    }
    if let Some(work_queue) = work_queue {
        let ids: Vec<&str> = started.left.iter().map(|batch| batch.id.as_str()).collect();
        work_queue.send(&ids, deadline).await;
    }
    started
}

/// The members of a batch, if all of them came with this request.
fn members_at_hand<'r>(
    request: &'r JobRunRequest,
    recorded: &Recorded,
    batch: &Batch,
) -> Option<&'r [Member]> {
    let is_all = recorded.duplicates == 0
        && recorded.batches.len() == 1
        && usize::try_from(batch.members) == Ok(request.draft.members.len());
    is_all.then_some(&request.draft.members)
}
