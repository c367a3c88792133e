//! The trigger: S3 events in whatever envelope → batches in the ledger → job runs in the analytics
//! accounts.
//!
//! Takes an SQS batch of any size, or S3's or EventBridge's event directly. A message is
//! acknowledged once the ledger holds every arrival in it; one that cannot be read, or that could not
//! be recorded, is left in the queue, and its siblings are not. One that could not be recorded often is sent anew,
//! so that only what cannot be read ends in the dead-letter queue. What is not started here, whatever the
//! reason, is in the ledger, and the monitor starts it: starts have a few seconds, so that messages do not wait for them.
//!
//! [`handle`] reads like its sentence: take the event apart, plan, record, start, answer.

mod error;
mod messages;
mod metrics;
mod record;
mod redelivery;

use aws_config::SdkConfig;
use lambda_runtime::LambdaEvent;
use landfall_aws::advance::{self, Clients};
use landfall_aws::metrics::Metrics;
use landfall_aws::queue::SqsAnswer;
use landfall_aws::settings::Settings;
use landfall_aws::work_queue::WorkQueue;
use landfall_core::arrivals::{Delivery, Ignored, Intake};
use landfall_core::plan::plan_messages;
use landfall_core::routes::Routes;
use serde::Serialize;
use serde_json::value::RawValue;

pub use error::Error;
use redelivery::Redelivery;

/// What an invocation borrows: the routes, and the clients.
#[derive(Debug)]
pub struct Context {
    routes: Routes,
    clients: Clients,
    redelivery: Option<Redelivery>,
    work_queue: Option<WorkQueue>,
    metrics: Metrics,
}

impl Context {
    /// Builds the clients once; makes no call.
    pub fn new(settings: Settings, config: &SdkConfig, metrics: Metrics) -> Self {
        let clients = Clients::new(&settings, config);
        let redelivery = Redelivery::new(&settings.queues, config);
        let work_queue = WorkQueue::new(&settings.queues, config);
        Self { clients, redelivery, work_queue, routes: settings.routes, metrics }
    }
}

/// What the function answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Response {
    /// To SQS: the messages to deliver again.
    Sqs(SqsAnswer),
    /// To who invoked it directly.
    Direct(Summary),
}

/// What became of a direct invocation.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// The batches that took its arrivals.
    pub batches: Vec<RecordedBatch>,
    /// Arrivals that the ledger knew already.
    pub duplicates: usize,
    pub ignored: Ignored,
    /// Objects that no route takes.
    pub unmatched: usize,
}

/// A batch as the invocation leaves it.
#[derive(Debug, Serialize)]
pub struct RecordedBatch {
    pub route: String,
    pub batch_id: String,
    pub state: &'static str,
    /// Of the run that was started for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_run_id: Option<String>,
}

/// Handles one invocation.
///
/// # Errors
/// The event is none that is known, or a direct invocation could not be recorded; Lambda then delivers
/// it again. Messages of a queue fail one by one in the response instead.
pub async fn handle(
    context: &Context,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<Response, Error> {
    let Context { routes, clients, redelivery, work_queue, metrics } = context;
    let intake = Intake::read(&event.payload).map_err(Error::from).inspect_err(|error| {
        error.log();
        metrics.failures([error.code()]);
    })?;
    let delivery: Delivery = intake.messages.into_iter().collect();
    let plan = plan_messages(routes, &delivery.arrivals, &delivery.message_of);
    let refused = messages::refused(&delivery, &plan);
    let deadline = event.context.deadline();
    let recorded = record::all(clients, &delivery, &plan.requests, deadline).await;
    let mut failed = messages::failed(&delivery, &plan, &refused, &recorded);
    metrics::report(metrics, &delivery, &plan, &refused, &recorded, failed.len());
    if let Some(redelivery) = redelivery {
        let waiting = messages::waiting(&delivery, &plan, &refused, &recorded, &failed);
        let sent = redelivery.send(&event.payload, &waiting, deadline).await;
        let is_sent = |id: &Option<String>| id.as_ref().is_some_and(|id| sent.contains(id));
        failed.retain(|message| !is_sent(&delivery.message_ids[*message]));
    }
    let started =
        record::start(clients, work_queue.as_ref(), &plan.requests, &recorded, deadline).await;
    advance::report(metrics, &started.advanced);
    advance::tell_lineage(clients, metrics, &started.advanced, deadline).await;
    messages::answer(delivery, &plan, refused, recorded, &started, &failed)
}
