//! The trigger turns S3 events, in any envelope, into batches in the ledger, and starts job runs in
//! the analytics accounts.
//!
//! It takes an SQS batch of any size, or an event directly from S3 or EventBridge. It acknowledges
//! a message once the ledger holds every arrival in it. A message that it cannot read, or cannot
//! record, stays in the queue without holding up the others. If recording a message keeps failing,
//! the trigger sends a copy of it, so that only unreadable messages end in the dead-letter queue.
//! Starts get a few seconds, so that messages do not wait for them. Whatever the trigger does not
//! start is in the ledger, and the monitor starts it.
//!
//! Somebody who may invoke it directly can ask it for a probe, which starts and records nothing.
//!
//! [`handle`] does this in order: it takes the event apart, plans, records, starts and answers.

#![warn(missing_docs, unreachable_pub)]

mod error;
mod messages;
mod metrics;
mod record;
mod redelivery;

use aws_config::SdkConfig;
use aws_lambda_events::sqs::SqsBatchResponse;
use lambda_runtime::LambdaEvent;
use landfall_aws::advance::{self, Clients};
use landfall_aws::metrics::Metrics;
use landfall_aws::settings::Settings;
use landfall_aws::work_queue::WorkQueue;
use landfall_core::arrivals::{Delivery, Ignored, Intake};
use landfall_core::plan::plan_messages;
use landfall_core::probe;
use landfall_core::routes::Routes;
use serde::Serialize;
use serde_json::value::RawValue;

pub use error::Error;
use redelivery::Redelivery;

/// What invocations share: the routes, and the clients.
#[derive(Debug)]
pub struct Context {
    routes: Routes,
    clients: Clients,
    redelivery: Option<Redelivery>,
    /// The ARN of the queue that brings what listings found.
    backfill_queue: Option<String>,
    work_queue: Option<WorkQueue>,
    metrics: Metrics,
}

impl Context {
    /// Builds the clients. Makes no call.
    pub fn new(settings: Settings, config: &SdkConfig, metrics: Metrics) -> Self {
        let clients = Clients::new(&settings, config);
        let redelivery = Redelivery::new(&settings.queues, config);
        let work_queue = WorkQueue::new(&settings.queues, config);
        let (routes, backfill_queue) = (settings.routes, settings.queues.backfill);
        Self { clients, redelivery, backfill_queue, work_queue, routes, metrics }
    }
}

/// The function's answer.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Response {
    /// The answer to SQS: the messages to deliver again.
    Sqs(SqsBatchResponse),
    /// The answer to a direct invocation.
    Direct(Summary),
    /// The answer to a probe: see [`landfall_core::probe`].
    Probe(probe::Answer),
}

/// What became of a direct invocation.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// The batches that took its arrivals.
    pub batches: Vec<RecordedBatch>,
    /// How many arrivals the ledger already knew.
    pub duplicates: usize,
    /// How many event records are not arrivals, by kind.
    pub ignored: Ignored,
    /// How many objects no route takes.
    pub unmatched: usize,
}

/// A batch as the invocation leaves it.
#[derive(Debug, Serialize)]
pub struct RecordedBatch {
    /// Its route.
    pub route: String,
    /// Its ID.
    pub batch_id: String,
    /// Its state.
    pub state: &'static str,
    /// The ID of the run that was started for it, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_run_id: Option<String>,
}

/// Handles one invocation.
///
/// # Errors
/// Fails if the event is of no known kind, or the arrivals of a direct invocation could not be
/// recorded. Lambda then delivers the event again. Messages of a queue fail one by one, in the
/// response.
pub async fn handle(
    context: &Context,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<Response, Error> {
    let Context { routes, clients, redelivery, backfill_queue, work_queue, metrics } = context;
    if probe::is_asked(event.payload.get()) {
        let answer = landfall_aws::probe::probe(clients, routes, event.context.deadline()).await;
        tracing::info!(code = "probed", jobs = answer.probes.len(), "answered a probe");
        return Ok(Response::Probe(answer));
    }
    let intake = Intake::read(&event.payload, backfill_queue.as_deref());
    let intake = intake.map_err(Error::from).inspect_err(|error| {
        error.log();
        metrics.failures([error.code()]);
    })?;
    let delivery: Delivery = intake.messages.into_iter().collect();
    let plan = plan_messages(routes, &delivery.arrivals, &delivery.message_of);
    let refused = messages::refused(&delivery, &plan);
    let deadline = event.context.deadline();
    let (recorded, ready) = record::all(clients, &delivery, &plan.requests, deadline).await;
    let mut failed = messages::failed(&delivery, &plan, &refused, &recorded);
    metrics::report(metrics, &delivery, &plan, &refused, &recorded, failed.len());
    if let Some(redelivery) = redelivery {
        let waiting = messages::waiting(&delivery, &plan, &refused, &recorded, &failed);
        let sent = redelivery.send(&event.payload, &waiting, deadline).await;
        let is_sent = |id: &Option<String>| id.as_ref().is_some_and(|id| sent.contains(id));
        failed.retain(|message| !is_sent(&delivery.message_ids[*message]));
    }
    let queue = work_queue.as_ref();
    let started = record::start(clients, queue, &plan.requests, &recorded, &ready, deadline).await;
    advance::report(metrics, &started.advanced);
    advance::send_lineage(clients, metrics, &started.advanced, deadline).await;
    messages::answer(delivery, &plan, refused, recorded, &started, &failed)
}
