//! The monitor follows job runs, starts due batches, and recovers what was cut off.
//!
//! Three things invoke it: events about the end of runs, through a queue; a tick every minute,
//! which does all the work, so that no event is needed; and, through the work queue, batches that a
//! tick or the trigger hands on, so that many invocations can work at a time. As for the trigger,
//! the core decides what to do about a batch. Several invocations at once are safe.

#![warn(missing_docs, unreachable_pub)]

mod due;
mod error;
mod slots;
mod tick;
mod wake;

use std::collections::BTreeMap;
use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_lambda_events::sqs::SqsBatchResponse;
use futures_util::{StreamExt, stream};
use lambda_runtime::LambdaEvent;
use landfall_aws::advance::{self, Clients};
use landfall_aws::clock::now;
use landfall_aws::metrics::Metrics;
use landfall_aws::queue::deliver_again;
use landfall_aws::sdk_error::chain;
use landfall_aws::settings::Settings;
use landfall_aws::work_queue::WorkQueue;
use landfall_core::batch::Batch;
use landfall_core::run_events::{Hint, HintMessage, RunEvent, Wakeup};
use serde::Serialize;
use serde_json::value::RawValue;

use due::{CONCURRENT_STARTS, Taken};
pub use error::Error;
use slots::Slots;
pub use tick::Ticked;
use wake::Woken;

/// How many batches are advanced at a time.
const CONCURRENT: usize = 8;

const RUN_EVENT_GIVEN_UP: &str = "run_event_given_up";

/// What invocations share.
#[derive(Debug)]
pub struct Context {
    clients: Clients,
    /// The names of the routes.
    routes: Vec<String>,
    /// The jobs of the routes that have a limit of concurrent runs, by their keys.
    limited: BTreeMap<String, u32>,
    work_queue: Option<WorkQueue>,
    /// See [`landfall_aws::settings::Queues::late_deliveries`].
    late_deliveries: Option<u64>,
    metrics: Metrics,
    /// See [`Context::at_scale`].
    scale: usize,
}

impl Context {
    /// Builds the clients. Makes no call.
    pub fn new(settings: &Settings, config: &SdkConfig, metrics: Metrics) -> Self {
        let work_queue = WorkQueue::new(&settings.queues, config);
        let late_deliveries = settings.queues.late_deliveries();
        let routes = settings.routes.routes.iter().map(|route| route.name.clone()).collect();
        let limited = slots::limited(&settings.routes);
        let clients = Clients::new(settings, config);
        Self { clients, routes, limited, work_queue, late_deliveries, metrics, scale: 1 }
    }

    /// Divides how much a tick finds, takes up and hands on by `scale`, for simulations, whose load
    /// is smaller by as much.
    #[must_use]
    pub fn at_scale(mut self, scale: u64) -> Self {
        self.scale = usize::try_from(scale).unwrap_or(usize::MAX).max(1);
        self.clients.ledger = self.clients.ledger.at_scale(self.scale);
        self
    }
}

/// The function's answer.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Response {
    /// The answer to SQS: the messages to deliver again.
    Sqs(SqsBatchResponse),
    /// The answer to a tick.
    Tick(Ticked),
}

/// Handles one invocation.
///
/// # Errors
/// Fails if the event is of no known kind, or the monitor could not find out what is due. Messages
/// of a queue fail one by one, in the response.
pub async fn handle(
    context: &Context,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<Response, Error> {
    let deadline = event.context.deadline();
    let answer = match Wakeup::read(&event.payload) {
        // Boxed, because the type of a future that holds all others is too deep for the compiler.
        Ok(Wakeup::Tick) => Box::pin(tick::tick(context, deadline)).await.map(Response::Tick),
        Ok(Wakeup::Messages(all)) => {
            Ok(Response::Sqs(Box::pin(messages(context, all, deadline)).await))
        }
        Err(error) => Err(error.into()),
    };
    answer.inspect_err(|error| {
        error.log();
        context.metrics.failures([error.code()]);
    })
}

/// Takes up the batches that messages name: those whose runs have ended, and those that are due.
///
/// The end of a run that is still not dealt with after many deliveries is left to the tick, which
/// asks Glue: the dead-letter queue is for what cannot be read.
async fn messages(
    context: &Context,
    messages: Vec<HintMessage>,
    deadline: SystemTime,
) -> SqsBatchResponse {
    let Context { clients, metrics, .. } = context;
    let is_late = |deliveries: Option<u64>| {
        let late = context.late_deliveries;
        deliveries.zip(late).is_some_and(|(deliveries, late)| deliveries >= late)
    };
    let outcomes = stream::iter(messages).map(async |HintMessage { id, deliveries, content }| {
        let may_be_given_up = matches!(content, Ok(Some(Hint::Run(_)))) && is_late(deliveries);
        let woken = match content {
            Ok(Some(Hint::Run(run))) => ended(clients, &id, &run, deadline).await,
            Ok(Some(Hint::Due(ids))) => {
                handed_on(context, &ids, deadline).await;
                Woken::default()
            }
            Ok(None) => Woken::default(),
            Err(error) => Woken { error: Some(error.into()), ..Woken::default() },
        };
        let goes_back = !woken.is_done() && !may_be_given_up;
        if let Some(error) = woken.error.as_ref().filter(|_| goes_back) {
            tracing::error!(
                code = error.code(),
                message_id = id,
                error = chain(error),
                "message goes back"
            );
        }
        if !woken.is_done() && may_be_given_up {
            let error = woken.error.as_ref().map(tracing::field::display);
            let code = RUN_EVENT_GIVEN_UP;
            tracing::warn!(code, message_id = id, error, "run event given up: the tick asks Glue");
            metrics.failures([code]);
        }
        (id, goes_back, woken)
    });
    let outcomes: Vec<_> = outcomes.buffer_unordered(CONCURRENT).collect().await;
    let mut failed = Vec::new();
    let mut all = Vec::new();
    for (id, goes_back, woken) in outcomes {
        if goes_back {
            failed.push(id);
        }
        metrics.failures(woken.error.iter().map(Error::code));
        all.extend(woken.advanced);
    }
    advance::report(metrics, &all);
    advance::send_lineage(clients, metrics, &all, deadline).await;
    deliver_again(failed)
}

/// Takes up the batch whose run has ended.
async fn ended(clients: &Clients, message_id: &str, run: &RunEvent, deadline: SystemTime) -> Woken {
    let woken = wake::run(clients, run, deadline).await;
    let RunEvent { job, run_id: job_run_id, .. } = run;
    match (woken.advanced.first(), &woken.error) {
        (Some(advanced), _) => {
            let Batch { id: batch_id, route, .. } = &advanced.batch;
            tracing::info!(message_id, job, job_run_id, batch_id, route, "run ended");
        }
        (None, None) => {
            tracing::info!(message_id, job, job_run_id, "no batch follows the run");
        }
        (None, Some(error)) if error.is_of_item() => {
            tracing::warn!(
                code = error.code(),
                message_id,
                error = chain(error),
                "batch left alone"
            );
        }
        // The caller logs this error with its message.
        (None, Some(_)) => {}
    }
    woken
}

/// Takes up those of these batches that are due. The tick does whatever this leaves undone.
async fn handed_on(context: &Context, ids: &[String], deadline: SystemTime) {
    let Context { clients, metrics, .. } = context;
    let now = now();
    let taken = match clients.ledger.look(ids, deadline).await {
        Ok(seen) => {
            let due = seen.into_iter().filter(|due| due.at.is_some_and(|at| at <= now));
            due::take_up(clients, &Slots::default(), (due.collect(), CONCURRENT_STARTS), deadline)
                .await
        }
        Err(error) => {
            tracing::error!(code = error.code(), error = chain(&error), "batches not looked at");
            Taken { errors: vec![error.into()], ..Taken::default() }
        }
    };
    metrics.failures(taken.errors.iter().map(Error::code));
    advance::report(metrics, &taken.advanced);
    advance::send_lineage(clients, metrics, &taken.advanced, deadline).await;
}
