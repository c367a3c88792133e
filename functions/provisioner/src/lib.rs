//! The provisioner: CloudFormation's requests for Landfall's roles and notifications → IAM and S3, and
//! an answer on every path.
//!
//! A request is read, goes through its `stations`, and is answered. It may come late, twice, or be cut off
//! between any two stations; or come from somebody who may invoke the function and is not CloudFormation.

mod asked;
mod guard;
mod notifications;
mod protocol;
mod resource;
mod settings;
mod stations;
mod subject;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use futures_util::FutureExt;
use lambda_runtime::{Diagnostic, LambdaEvent};
use landfall_aws::clock;
use landfall_aws::metrics::Metrics;
use landfall_core::lifecycle;
use landfall_provisioning::lifecycle_table::Table;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

pub use protocol::{Envelope, Request, RequestType, Response, ResponseUrl, SendError, Status};
pub use settings::{Check, Settings, SettingsError};

/// Kept for sending the answer; a quarter of the time if that is less.
const TO_SEND: Duration = Duration::from_secs(10);

/// Kept for recording the answer before it is sent.
const TO_RECORD: Duration = Duration::from_secs(5);

/// What an invocation borrows.
#[derive(Debug)]
pub struct Context {
    settings: Settings,
    table: Table,
    config: SdkConfig,
    http: SharedHttpConnector,
    metrics: Metrics,
}

impl Context {
    /// Builds the clients once; makes no call.
    pub fn new(settings: Settings, config: SdkConfig, http: SharedHttpConnector) -> Self {
        let dynamodb = aws_sdk_dynamodb::Client::new(&config);
        let table = Table::new(dynamodb, settings.table.clone());
        let metrics = Metrics::of_provisioner(std::io::stdout(), &settings.table);
        Self { settings, table, config, http, metrics }
    }

    fn s3(&self) -> aws_sdk_s3::Client {
        aws_sdk_s3::Client::new(&self.config)
    }
}

/// Why an invocation fails, so that Lambda delivers the event again: the answer did not arrive, or it is
/// too early for one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Unreadable(#[from] protocol::Unreadable),
    #[error("failed to answer request `{request_id}` of `{logical_id}`: {source}")]
    NotSent { request_id: String, logical_id: String, source: SendError },
    #[error("failed to serve request `{request_id}` of `{logical_id}` yet: {reason}")]
    Busy { request_id: String, logical_id: String, reason: String },
}

impl Error {
    /// A stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "request_unreadable",
            Self::NotSent { source, .. } => source.code(),
            Self::Busy { .. } => "resource_locked",
        }
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        Self { error_type: error.code().to_owned(), error_message: error.to_string() }
    }
}

/// The times at which an invocation must be done with its stations.
#[derive(Debug, Clone, Copy)]
struct Deadlines {
    /// With the side effects.
    work: Instant,
    /// With the record of the answer.
    record: Instant,
    /// With all.
    end: Instant,
    /// For how long a lock must be held that outlasts the invocation.
    lease: Duration,
}

impl Deadlines {
    fn new(deadline: SystemTime) -> Self {
        let left = clock::left(deadline);
        let end = Instant::now() + left;
        let to_send = TO_SEND.min(left / 4);
        let record = end - to_send;
        Self {
            work: record - TO_RECORD.min(left / 8),
            record,
            end,
            lease: left + guard::CLOCK_SKEW,
        }
    }
}

/// Handles one request of CloudFormation's.
///
/// # Errors
/// The answer could not be sent, or the event is none that could be answered.
pub async fn handle(context: &Context, event: LambdaEvent<Box<RawValue>>) -> Result<(), Error> {
    let deadlines = Deadlines::new(event.context.deadline());
    let request = match Request::read(event.payload.get()) {
        Ok(request) => request,
        Err(mut unreadable) => {
            tracing::error!(code = "request_unreadable", error = %unreadable, "request refused");
            let Some(envelope) = unreadable.envelope.take() else {
                return Err(unreadable.into());
            };
            let response = failed(&envelope, &unreadable.to_string());
            return send(context, &envelope, &response, deadlines).await;
        }
    };
    let Envelope { stack_id, request_id, logical_id, .. } = &request.envelope;
    tracing::info!(
        request_type = ?request.request_type, resource_type = request.resource_type, stack_id,
        logical_id, request_id, "request"
    );
    // In a box: what the compiler lays out in one piece can be nested only so deep.
    let work = Box::pin(stations::respond(context, &request, deadlines));
    let work = AssertUnwindSafe(work).catch_unwind();
    let response = match timeout_at(deadlines.record, work).await {
        Ok(Ok(Ok(response))) => response,
        Ok(Ok(Err(error))) => {
            tracing::warn!(code = error.code(), %error, "to be delivered again");
            return Err(error);
        }
        Ok(Err(_)) => failed(&request.envelope, "the provisioner panicked; its log says where"),
        Err(_) => {
            failed(&request.envelope, "there was not enough time; the log tells how far it got")
        }
    };
    match response.status {
        Status::Success => tracing::info!(request_id, logical_id, "request served"),
        Status::Failed => {
            tracing::error!(request_id, logical_id, reason = response.reason, "request failed");
        }
    }
    send(context, &request.envelope, &response, deadlines).await
}

async fn send(
    context: &Context,
    envelope: &Envelope,
    response: &Response,
    deadlines: Deadlines,
) -> Result<(), Error> {
    let body = response.body(envelope);
    let url = &envelope.response_url;
    let settings = &context.settings;
    // What is left at the end is for Lambda itself.
    let deadline = deadlines.end - (deadlines.end - deadlines.record) / 10;
    let region = &settings.home.region;
    let sent = url.send(&context.http, &body, deadline, settings.admit_loopback, region);
    sent.await.map_err(|source| {
        let error = Error::NotSent {
            request_id: envelope.request_id.clone(),
            logical_id: envelope.logical_id.clone(),
            source,
        };
        tracing::error!(code = error.code(), %error, "no answer");
        error
    })
}

/// A failure that has had no effect and leaves nothing to remember.
fn failed(envelope: &Envelope, reason: &str) -> Response {
    let physical_id = envelope.physical_id.clone().unwrap_or_else(|| {
        let Envelope { stack_id, logical_id, request_id, .. } = envelope;
        lifecycle::physical_id(stack_id, logical_id, request_id)
    });
    Response {
        status: Status::Failed,
        reason: reason.to_owned(),
        physical_id,
        data: BTreeMap::new(),
    }
}
