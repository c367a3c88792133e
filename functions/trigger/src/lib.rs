//! The trigger: S3 events in whatever envelope → job runs in the analytics accounts.
//!
//! Takes an SQS batch of any size, or S3's or EventBridge's event directly. A message is
//! acknowledged when every run that it asks for has been started; one that cannot be read, or for
//! which a run could not be started, is left in the queue, and its siblings are not.

mod error;
mod metrics;
mod settings;
mod start;

use std::collections::BTreeSet;

use aws_config::SdkConfig;
use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse};
use lambda_runtime::LambdaEvent;
use landfall_aws::telemetry::Metrics;
use landfall_core::arrivals::{Arrival, Ignored, Intake, Message};
use landfall_core::plan::{self, Plan};
use landfall_core::routes::Routes;
use serde::Serialize;
use serde_json::value::RawValue;

pub use error::Error;
pub use settings::{Settings, SettingsError};
use start::{Outcome, Targets};

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
            plan_settings: plan::Settings { reader_role_arn: settings.reader_role_arn },
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
    let intake = Intake::read(&event.payload).map_err(Error::from).inspect_err(Error::log)?;
    let work = Work::new(intake);
    let plan = plan::plan(&context.routes, &work.arrivals, &context.plan_settings);
    let outcomes = start::all(&context.targets, &plan.requests, event.context.deadline()).await;
    let failed = work.failed_messages(&plan, &outcomes);
    metrics::report(&context.metrics, &work, &plan, &outcomes, failed.len());
    work.respond(&plan, outcomes, &failed)
}

/// An intake laid out for planning: all arrivals in one list, and whose each is.
struct Work {
    messages: Vec<Message>,
    arrivals: Vec<Arrival>,
    /// For each arrival its message.
    message_of: Vec<usize>,
    ignored: Ignored,
}

impl Work {
    fn new(intake: Intake) -> Self {
        let mut work = Self {
            messages: intake.messages,
            arrivals: Vec::new(),
            message_of: Vec::new(),
            ignored: Ignored::default(),
        };
        for (index, message) in work.messages.iter_mut().enumerate() {
            match &mut message.content {
                Ok(content) => {
                    work.ignored += content.ignored;
                    work.message_of.extend(content.arrivals.iter().map(|_| index));
                    work.arrivals.append(&mut content.arrivals);
                }
                Err(error) => {
                    let message_id = message.id.as_deref().unwrap_or("none");
                    tracing::error!(code = error.code(), message_id, %error, "message not read");
                }
            }
        }
        work
    }

    /// Every message of which anything was not done.
    fn failed_messages(&self, plan: &Plan, outcomes: &[Outcome]) -> BTreeSet<usize> {
        let unread = self.messages.iter().enumerate().filter(|(_, m)| m.content.is_err());
        let not_started = plan.requests.iter().zip(outcomes).filter(|(_, o)| o.is_err());
        let arrivals = not_started
            .flat_map(|(request, _)| request.arrivals.iter())
            .chain(plan.refusals.iter().map(|refusal| &refusal.arrival));
        let of_arrivals = arrivals.filter_map(|arrival| self.message_of.get(*arrival).copied());
        unread.map(|(index, _)| index).chain(of_arrivals).collect()
    }

    fn respond(
        mut self,
        plan: &Plan,
        outcomes: Vec<Outcome>,
        failed: &BTreeSet<usize>,
    ) -> Result<Response, Error> {
        for refusal in &plan.refusals {
            let key = &self.arrivals[refusal.arrival].key;
            let (code, route, reason) = (refusal.reason.code(), &refusal.route, &refusal.reason);
            tracing::error!(code, route, key, %reason, "no run can be asked for the object");
        }
        if let [Message { id: None, content }] = self.messages.as_mut_slice() {
            if let Err(error) = std::mem::replace(content, Ok(Default::default())) {
                return Err(error.into());
            }
            if let Some(refusal) = plan.refusals.first() {
                return Err(refusal.clone().into());
            }
            let started = plan.requests.iter().zip(outcomes).map(|(request, outcome)| {
                Ok(StartedRun {
                    route: request.route.clone(),
                    batch_id: request.batch_id.clone(),
                    job_run_id: outcome?,
                })
            });
            return Ok(Response::Direct(Summary {
                started: started.collect::<Result<_, Error>>()?,
                ignored: self.ignored,
                unmatched: plan.unmatched.len(),
            }));
        }
        // A set: SQS may deliver a message twice in one batch, and an id that stands twice in the
        // answer makes Lambda fail the whole batch.
        let ids: BTreeSet<String> =
            failed.iter().filter_map(|index| self.messages[*index].id.take()).collect();
        let mut response = SqsBatchResponse::default();
        response.batch_item_failures = ids
            .into_iter()
            .map(|id| {
                let mut failure = BatchItemFailure::default();
                failure.item_identifier = id;
                failure
            })
            .collect();
        Ok(Response::Sqs(response))
    }
}
