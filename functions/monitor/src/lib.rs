//! The monitor: follows job runs, starts what is due, recovers what was cut off.
//!
//! Two things invoke it: events of runs' ends, through a queue, and a tick every minute that does all
//! of it, so that no event is needed. What is done about a batch, the core decides, as for the trigger;
//! several invocations at once do no harm.

mod error;
mod wake;

use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse};
use futures_util::{StreamExt, stream};
use lambda_runtime::LambdaEvent;
use landfall_aws::advance::{self, Advanced, Clients, START_MAY_TAKE};
use landfall_aws::clock::{has_time, now};
use landfall_aws::ledger::Waiting;
use landfall_aws::metrics::{self, Metrics};
use landfall_aws::settings::Settings;
use landfall_core::batch::{Batch, PARKED, Seen};
use landfall_core::moment::Time;
use landfall_core::run_events::{RunEvent, RunMessage, Wakeup};
use serde::Serialize;
use serde_json::value::RawValue;

pub use error::Error;
use wake::Woken;

/// Batches that are advanced at a time.
const CONCURRENT: usize = 8;

/// The most parked batches that a tick counts.
const MOST_PARKED: i32 = 1_000;

/// What an invocation borrows.
#[derive(Debug)]
pub struct Context {
    clients: Clients,
    metrics: Metrics,
}

impl Context {
    /// Builds the clients once; makes no call.
    pub fn new(settings: &Settings, config: &SdkConfig, metrics: Metrics) -> Self {
        Self { clients: Clients::new(settings, config), metrics }
    }
}

/// What the function answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Response {
    /// To SQS: the messages to deliver again.
    Sqs(SqsBatchResponse),
    Tick(Ticked),
}

/// What became of a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Ticked {
    /// Batches that were due when it began, of those that it read.
    pub due: usize,
    /// Of these, how many are left to the next.
    pub left: usize,
    /// Whether more are due than one tick reads.
    pub more: bool,
    pub oldest_due_seconds: u64,
    /// Of those that it looked at, how many get no further, time and again.
    pub stuck: usize,
    /// How long the oldest of them has waited for its start.
    pub oldest_waiting_seconds: u64,
    /// The same of those that no limit of their job holds up.
    pub oldest_blocked_seconds: u64,
    /// Batches that wait for somebody to return them, of those that it counts.
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

/// Handles one invocation.
///
/// # Errors
/// The event is none that is known, or nobody could look at what is due. Messages of the queue fail one
/// by one in the response instead.
pub async fn handle(
    context: &Context,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<Response, Error> {
    let deadline = event.context.deadline();
    let answer = match Wakeup::read(&event.payload) {
        Ok(Wakeup::Tick) => tick(context, deadline).await.map(Response::Tick),
        Ok(Wakeup::Runs(messages)) => Ok(Response::Sqs(runs(context, messages, deadline).await)),
        Err(error) => Err(error.into()),
    };
    answer.inspect_err(|error| {
        error.log();
        context.metrics.failures([error.code()]);
    })
}

/// Takes all that is due as far as it goes, the most overdue first.
async fn tick(context: &Context, deadline: SystemTime) -> Result<Ticked, Error> {
    let Context { clients, metrics } = context;
    let began = now();
    let (due, more) = clients.ledger.due(began).await?;
    let oldest = due.first().map_or(0, |waiting| began.since(waiting.at).as_secs());
    // What there is no time for is still due.
    let taken = due.iter().take_while(|_| has_time(deadline, START_MAY_TAKE));
    let batches = taken.map(async |Waiting { id, .. }| {
        let woken = wake::batch(clients, id, &Seen::Nothing, deadline).await;
        if let Some(error) = &woken.error {
            tracing::error!(code = error.code(), batch_id = id, %error, "batch not advanced");
        }
        woken
    });
    let outcomes: Vec<Woken> = stream::iter(batches).buffer_unordered(CONCURRENT).collect().await;
    let left = due.len() - outcomes.iter().filter(|woken| woken.is_done()).count();
    let errors = outcomes.iter().filter_map(|woken| woken.error.as_ref());
    metrics.failures(errors.map(Error::code));
    let advanced: Vec<Advanced> = outcomes.into_iter().flat_map(|woken| woken.advanced).collect();
    advance::report(metrics, &advanced);
    advance::tell_lineage(clients, metrics, &advanced, deadline).await;
    let stuck = advanced.iter().filter(|advanced| advanced.batch.is_stuck()).count();
    let parked = clients.ledger.awaiting(PARKED, MOST_PARKED).await?.len();
    let age = |since: fn(&Batch) -> Option<Time>| {
        let all = advanced.iter().filter_map(|advanced| since(&advanced.batch));
        all.min().map_or(0, |oldest| now().since(oldest).as_secs())
    };
    let ticked = Ticked {
        due: due.len(),
        left,
        more,
        oldest_due_seconds: oldest,
        stuck,
        oldest_waiting_seconds: age(Batch::waiting_since),
        oldest_blocked_seconds: age(Batch::blocked_since),
        parked,
    };
    metrics.tick(&ticked.metrics());
    if ticked.due > 0 {
        let Ticked { due, left, more, stuck, parked, .. } = ticked;
        tracing::info!(due, left, more, oldest_due_seconds = oldest, stuck, parked, "tick");
    }
    Ok(ticked)
}

/// Looks at the batches whose runs have ended.
async fn runs(
    context: &Context,
    messages: Vec<RunMessage>,
    deadline: SystemTime,
) -> SqsBatchResponse {
    let Context { clients, metrics } = context;
    let outcomes = stream::iter(messages).map(async |RunMessage { id, content }| {
        let woken = match content {
            Ok(Some(run)) => {
                let woken = wake::run(clients, &run, deadline).await;
                let RunEvent { job, run_id: job_run_id, .. } = &run;
                match (woken.advanced.first(), &woken.error) {
                    (Some(advanced), _) => {
                        let Batch { id: batch_id, route, .. } = &advanced.batch;
                        tracing::info!(
                            message_id = id,
                            job,
                            job_run_id,
                            batch_id,
                            route,
                            "run ended"
                        );
                    }
                    (None, None) => {
                        tracing::info!(
                            message_id = id,
                            job,
                            job_run_id,
                            "no batch follows the run"
                        );
                    }
                    // Logged below.
                    (None, Some(_)) => {}
                }
                woken
            }
            Ok(None) => Woken::default(),
            Err(error) => Woken { error: Some(error.into()), ..Woken::default() },
        };
        if let Some(error) = &woken.error {
            tracing::error!(code = error.code(), message_id = id, %error, "message goes back");
        }
        (id, woken)
    });
    let outcomes: Vec<_> = outcomes.buffer_unordered(CONCURRENT).collect().await;
    let mut response = SqsBatchResponse::default();
    let mut all = Vec::new();
    for (id, woken) in outcomes {
        if !woken.is_done() {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id;
            // One id twice would make Lambda fail the whole batch.
            if !response.batch_item_failures.contains(&failure) {
                response.batch_item_failures.push(failure);
            }
        }
        metrics.failures(woken.error.iter().map(Error::code));
        all.extend(woken.advanced);
    }
    advance::report(metrics, &all);
    advance::tell_lineage(clients, metrics, &all, deadline).await;
    response
}
