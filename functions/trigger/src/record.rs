//! Records arrivals in the ledger, then starts the batches that are closed.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use futures_util::future::join;
use futures_util::{StreamExt, stream};
use landfall_aws::advance::{
    Advanced, AtOnce, Clients, NotBegun, START_MAY_TAKE, advance, advance_begun,
};
use landfall_aws::clock::{has_passed, has_time, moment, now, system_time};
use landfall_aws::config::CALL_TIMEOUT;
use landfall_aws::ledger::Recorded;
use landfall_aws::sdk_error::chain;
use landfall_aws::traces;
use landfall_aws::work_queue::WorkQueue;
use landfall_core::arrivals::Delivery;
use landfall_core::batch::{Batch, Draft, Member, Seen, State, may_be_listed};
use landfall_core::plan::JobRunRequest;
use tracing::Instrument;

use crate::Error;

/// What the ledger recorded of a request, or why not everything.
pub(crate) type Outcome = Result<Recorded, Error>;

/// Whether the start can be made that was recorded with a request.
pub(crate) type Ready = Result<(), NotBegun>;

/// How many groups are recorded at a time, and how many batches are advanced.
const CONCURRENT_RECORDS: usize = 16;
const CONCURRENT_STARTS: usize = 8;

/// How long the trigger begins batches if the monitor can start the rest: messages are acknowledged
/// only afterwards.
const TO_START: Duration = Duration::from_secs(5);

/// The time to reserve for a start that is recorded with its arrivals: that write, and the start.
const TO_BEGIN: Duration = CALL_TIMEOUT.saturating_add(START_MAY_TAKE);

/// Records each request. Returns the outcomes in the same order, and for each whether the start that
/// was recorded with it can be made. Begins nothing that `deadline` could cut off.
pub(crate) async fn all(
    clients: &Clients,
    delivery: &Delivery,
    requests: &[JobRunRequest],
    deadline: SystemTime,
) -> (Vec<Outcome>, Vec<Ready>) {
    // Parts of one open batch are recorded one after the other, because the marker must come last.
    // A batch that closes at once is shared with nobody.
    let parts = requests.chunk_by(|one, next| {
        let (one, next) = (&one.draft, &next.draft);
        let is_one =
            (&one.route, &one.listing, &one.group) == (&next.route, &next.listing, &next.group);
        is_one && !one.closing.is_at_once()
    });
    // Only what surely starts now is recorded as begun. If this process dies, it waits for the lease
    // and the reconciliation window.
    let starts_now = requests.len() <= CONCURRENT_STARTS && has_time(deadline, TO_BEGIN);
    let recorded = stream::iter(parts).map(async |parts| {
        let mut outcomes = Vec::new();
        for request in parts {
            let at_once = starts_now
                .then(|| AtOnce::of(clients, &request.draft, &moment(deadline)))
                .flatten();
            let recorded = record(clients, delivery, request, at_once.as_ref(), deadline);
            outcomes.push(match &at_once {
                Some(at_once) => join(recorded, at_once.get_ready(clients)).await,
                None => (recorded.await, Ok(())),
            });
        }
        outcomes
    });
    recorded.buffered(CONCURRENT_RECORDS).concat().await.into_iter().unzip()
}

async fn record(
    clients: &Clients,
    delivery: &Delivery,
    request: &JobRunRequest,
    at_once: Option<&AtOnce>,
    deadline: SystemTime,
) -> Outcome {
    let draft = &request.draft;
    let Draft { route, group, .. } = draft;
    if !has_time(deadline, CALL_TIMEOUT) {
        return Err(Error::OutOfTime { route: route.clone() });
    }
    let is_early = |member: &&Member| {
        member.is_found_by_look() && !member.listed_at().is_some_and(|at| may_be_listed(at, now()))
    };
    if let Some(member) = draft.members.iter().chain(&draft.markers).find(is_early) {
        return Err(Error::ListedTooEarly { route: route.clone(), key: member.key.clone() });
    }
    let id = |first: &_| draft.batch_id(first);
    let span = tracing::info_span!(target: traces::TARGET, "record", route);
    let begun = |batch: &Batch, moment: &_| at_once?.begun(clients, batch, moment);
    let (now, until) = (|| moment(deadline), deadline - CALL_TIMEOUT);
    let recorded = clients.ledger.record_and_begin(draft, id, begun, now, until);
    let recorded = recorded.instrument(span).await;
    let (messages, message_ids) = messages_of(delivery, request);
    let Recorded { batches, duplicates } = match &recorded {
        Ok(recorded) => recorded,
        Err(error) => {
            let code = error.code();
            tracing::error!(
                code,
                route,
                ?group,
                messages,
                message_ids,
                error = chain(error),
                "arrivals not recorded"
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

/// Returns how many messages brought a request's arrivals, and the IDs of the first ten, separated
/// by spaces: a log line has no room for more. Level `DEBUG` logs all of them one by one.
fn messages_of(delivery: &Delivery, request: &JobRunRequest) -> (usize, String) {
    const MAX: usize = 10;
    let messages = request.arrivals.iter().map(|arrival| delivery.message_of[*arrival]);
    let messages: BTreeSet<usize> = messages.collect();
    let ids = messages.iter().filter_map(|message| delivery.message_ids[*message].as_deref());
    (messages.len(), ids.take(MAX).collect::<Vec<_>>().join(" "))
}

/// What became of the closed batches.
#[derive(Debug, Default)]
pub(crate) struct Started {
    /// Those that the trigger took as far as they go now.
    pub advanced: Vec<Advanced>,
    /// Those that it left to the monitor.
    pub left: Vec<Batch>,
}

/// Takes all closed batches as far as they go now. Those that there is no time for are due and left
/// to the monitor. If there is a work queue, they are sent to it.
pub(crate) async fn start(
    clients: &Clients,
    work_queue: Option<&WorkQueue>,
    requests: &[JobRunRequest],
    outcomes: &[Outcome],
    ready: &[Ready],
    deadline: SystemTime,
) -> Started {
    let recorded = requests.iter().zip(outcomes).zip(ready);
    let recorded = recorded
        .filter_map(|((request, outcome), ready)| Some((request, outcome.as_ref().ok()?, ready)));
    let closed = recorded.flat_map(|(request, recorded, ready)| {
        let closed = recorded.batches.iter().filter(|batch| !batch.is_open());
        closed.map(move |batch| (batch.clone(), members_at_hand(request, recorded, batch), ready))
    });
    let began = system_time();
    let is_enough = || has_passed(began, TO_START) || !has_time(deadline, START_MAY_TAKE);
    let outcomes = stream::iter(closed).map(async |(batch, members, ready)| {
        if matches!(batch.state, State::Starting(_)) {
            return Ok(advance_begun(clients, batch, members, ready.clone(), deadline).await);
        }
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

/// Returns the members of a batch, if all of them came with this request.
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
