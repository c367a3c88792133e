//! The provisioner serves CloudFormation's requests for Landfall's roles, notifications and
//! bucket policies: it changes IAM and S3, and sends an answer on every path.
//!
//! [`handle`] reads a request, `respond` serves it, and [`handle`] sends the answer. A request may
//! come late or twice, it may be cut off at any moment, and it may come from someone who may invoke
//! the function but is not CloudFormation.

#![warn(missing_docs, unreachable_pub)]

mod access;
mod buckets;
mod context;
mod failure;
mod guard;
mod notifications;
mod protocol;
mod respond;
mod role;
mod settings;
mod stack_check;
mod subject;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use lambda_runtime::{Diagnostic, LambdaEvent};
use landfall_aws::sdk_error::chain;
use landfall_core::lifecycle;
use serde_json::value::RawValue;
use tokio::time::timeout_at;

use context::Deadlines;
use failure::Failure;

pub use context::Context;
pub use protocol::{Envelope, Request, RequestType, Response, ResponseUrl, SendError, Status};
pub use settings::{Check, Settings, SettingsError};

/// Why an invocation fails, so that Lambda delivers the event again: the answer did not arrive, or
/// it is too early for an answer.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum Error {
    #[error(transparent)]
    Unreadable(#[from] protocol::Unreadable),
    #[error("failed to answer request `{request_id}` of `{logical_id}`")]
    NotSent { request_id: String, logical_id: String, source: SendError },
    #[error("failed to serve request `{request_id}` of `{logical_id}` for now")]
    Busy { request_id: String, logical_id: String, source: Box<Failure> },
}

impl Error {
    /// Returns a stable identifier for logs and metrics.
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
        Self { error_type: error.code().to_owned(), error_message: chain(&error) }
    }
}

/// Handles one request from CloudFormation.
///
/// # Errors
/// Fails if the answer could not be sent, if it is too early for one, or if the event cannot be
/// answered.
pub async fn handle(context: &Context, event: LambdaEvent<Box<RawValue>>) -> Result<(), Error> {
    let deadlines = Deadlines::new(event.context.deadline());
    let request = match Request::read(event.payload.get()) {
        Ok(request) => request,
        Err(mut unreadable) => {
            tracing::error!(code = "request_unreadable", error = %unreadable, "request refused");
            // CloudFormation sends nothing that can't be read.
            context.metrics.request_refused("request_unreadable");
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
    // The box limits how deep the compiler must lay out nested futures.
    let work = Box::pin(respond::respond(context, &request, deadlines));
    let work = AssertUnwindSafe(work).catch_unwind();
    let response = match timeout_at(deadlines.record, work).await {
        Ok(Ok(Ok(response))) => response,
        Ok(Ok(Err(error))) => {
            tracing::warn!(code = error.code(), error = chain(&error), "to be delivered again");
            return Err(error);
        }
        Ok(Err(_)) => failed(&request.envelope, &Failure::Panicked.reason()),
        Err(_) => failed(&request.envelope, &Failure::OutOfTime.reason()),
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
    // The rest of the time is for Lambda itself.
    let deadline = deadlines.end - (deadlines.end - deadlines.record) / 10;
    let region = &settings.home.region;
    let sent = url.send(&context.http, &body, deadline, settings.admit_loopback, region);
    sent.await.map_err(|source| {
        let error = Error::NotSent {
            request_id: envelope.request_id.clone(),
            logical_id: envelope.logical_id.clone(),
            source,
        };
        tracing::error!(code = error.code(), error = chain(&error), "no answer");
        error
    })
}

/// Returns the answer for a failure that has had no effect and leaves nothing to remember.
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
