//! The trigger: S3 events in whatever envelope → job runs in the analytics accounts.
//!
//! Takes an SQS batch of any size, or S3's or EventBridge's event directly. A message is
//! acknowledged when every run that it asks for has been started; one that cannot be read, or for
//! which a run could not be started, is left in the queue, and its siblings are not.
//!
//! A handler reads like its sentence: take the event apart, plan, start, answer.

mod error;
mod metrics;
mod settings;
mod start;
mod work;

use aws_config::SdkConfig;
use aws_lambda_events::sqs::SqsBatchResponse;
use lambda_runtime::LambdaEvent;
use landfall_aws::telemetry::Metrics;
use landfall_core::arrivals::{Ignored, Intake};
use landfall_core::plan;
use landfall_core::routes::Routes;
use serde::Serialize;
use serde_json::value::RawValue;

pub use error::Error;
pub use settings::{Settings, SettingsError};
use start::Targets;
use work::Work;

/// What an invocation borrows: the routes, and a client for each target.
#[derive(Debug)]
pub struct Context {
    routes: Routes,
    plan_settings: plan::Settings,
    targets: Targets,
    metrics: Metrics,
}

impl Context {
    /// Builds the clients once; makes no call.
    pub fn new(settings: Settings, config: &SdkConfig, metrics: Metrics) -> Self {
        Self {
            targets: Targets::new(&settings, config),
            plan_settings: plan::Settings { reader_role_arn: Some(settings.reader_role_arn) },
            routes: settings.routes,
            metrics,
        }
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
    pub started: Vec<StartedRun>,
    pub ignored: Ignored,
    /// Objects that no route takes.
    pub unmatched: usize,
}

/// A job run that was started.
#[derive(Debug, Serialize)]
pub struct StartedRun {
    pub route: String,
    pub batch_id: String,
    pub job_run_id: String,
}

/// Handles one invocation.
///
/// # Errors
/// The event is none that is known, or a direct invocation did not start all it asks for; Lambda
/// then delivers it again. Messages of a queue fail one by one in the response instead.
pub async fn handle(
    context: &Context,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<Response, Error> {
    let intake = Intake::read(&event.payload).map_err(Error::from).inspect_err(|error| {
        error.log();
        metrics::report_failures(&context.metrics, [error]);
    })?;
    let mut work = Work::new(intake);
    let plan = work.plan(&context.routes, &context.plan_settings);
    let outcomes = start::all(&context.targets, &plan.requests, event.context.deadline()).await;
    let failed = work.failed(&plan, &outcomes);
    metrics::report(&context.metrics, &work, &plan, &outcomes, failed.len());
    work.respond(plan, outcomes, &failed)
}
