//! The trigger: S3 events in whatever envelope → batches in the ledger → job runs in the analytics
//! accounts.
//!
//! Takes an SQS batch of any size, or S3's or EventBridge's event directly. A message is
//! acknowledged once the ledger holds every arrival in it; one that cannot be read, or that could not
//! be recorded, is left in the queue, and its siblings are not. One that could not be recorded often is sent anew,
//! so that only what cannot be read ends in the dead-letter queue. What is not started here, whatever the
//! reason, is in the ledger, and the monitor starts it: starts have a few seconds, so that messages do not wait for them.
//!
//! A handler reads like its sentence: take the event apart, plan, record, start, answer.

mod error;
mod metrics;
mod record;
mod redelivery;
mod work;

use aws_config::SdkConfig;
use aws_lambda_events::sqs::SqsBatchResponse;
use lambda_runtime::LambdaEvent;
use landfall_aws::advance::{self, Clients};
use landfall_aws::metrics::Metrics;
use landfall_aws::settings::Settings;
use landfall_aws::work_queue::WorkQueue;
use landfall_core::arrivals::{Ignored, Intake};
use landfall_core::routes::Routes;
use serde::Serialize;
use serde_json::value::RawValue;

pub use error::Error;
use redelivery::Redelivery;
use work::Work;

/// What an invocation borrows: the routes, and the clients.
#[derive(Debug)]
pub struct Context {
    routes: Routes,
    clients: Clients,
    redelivery: Option<Redelivery>,
    work: Option<WorkQueue>,
    metrics: Metrics,
}

impl Context {
    /// Builds the clients once; makes no call.
    pub fn new(settings: Settings, config: &SdkConfig, metrics: Metrics) -> Self {
        let clients = Clients::new(&settings, config);
        let redelivery = Redelivery::new(&settings.queues, config);
        let work = WorkQueue::new(&settings.queues, config);
        Self { clients, redelivery, work, routes: settings.routes, metrics }
    }
}

/// What the function answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Response {
    /// To SQS: the messages to deliver again.
    Sqs(SqsBatchResponse),
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
    let Context { routes, clients, redelivery, work: work_queue, metrics } = context;
    let intake = Intake::read(&event.payload).map_err(Error::from).inspect_err(|error| {
        error.log();
        metrics.failures([error.code()]);
    })?;
    let deadline = event.context.deadline();
    let mut work = Work::new(intake);
    let plan = work.plan(routes);
    let recorded = record::all(clients, &work, &plan.requests, deadline).await;
    let mut failed = work.failed(&plan, &recorded);
    metrics::report(metrics, &work, &plan, &recorded, failed.len());
    if let Some(redelivery) = redelivery {
        let waiting = work.waiting(&plan, &recorded, &failed);
        let sent = redelivery.send(&event.payload, &waiting, deadline).await;
        work.acknowledge(&sent, &mut failed);
    }
    let started =
        record::start(clients, work_queue.as_ref(), &plan.requests, &recorded, deadline).await;
    advance::report(metrics, &started.advanced);
    advance::tell_lineage(clients, metrics, &started.advanced, deadline).await;
    work.respond(&plan, recorded, &started, &failed)
}
