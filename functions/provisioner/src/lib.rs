//! The provisioner: CloudFormation's requests for Landfall's roles and notifications → IAM and S3, and
//! an answer on every path.
//!
//! A request goes through its stations in this order: read → lock, and recall what came before →
//! decide (`landfall_core::lifecycle`) → remember the decision → carry it out → remember the answer
//! and unlock → send the answer. It may come late, twice, or be cut off between any two stations.

mod asked;
mod notifications;
mod protocol;
mod resource;
mod settings;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use futures_util::FutureExt;
use lambda_runtime::{Diagnostic, LambdaEvent};
use landfall_aws::lifecycle_table::{Held, Table};
use landfall_core::lifecycle::{self, Decision, Memory, decide};
use landfall_core::roles::{Home, Owner};
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use notifications::Notifications;
pub use protocol::{Envelope, Request, RequestType, Response, ResponseUrl, SendError, Status};
use resource::{Failure, Resource};
pub use settings::{Check, Settings, SettingsError};

/// Kept for sending the answer; a quarter of the time if that is less.
const TO_SEND: Duration = Duration::from_secs(10);

/// Kept for recording the answer before it is sent.
const TO_RECORD: Duration = Duration::from_secs(5);

/// How far the clocks of two machines of Lambda's may be apart.
const CLOCK_SKEW: Duration = Duration::from_secs(5);

/// A request that was issued longer ago, or so far in the future, has no effect. Events are dropped after
/// ten minutes, so none of CloudFormation's is; one that pretends to be of next year would make all that
/// come after it seem late.
const ISSUED_WITHIN: Duration = Duration::from_secs(15 * 60);

/// For so long Lambda is certain to deliver an event again: it does so twice, after one minute and after
/// two more, and the last one waits for the lock until 285 seconds after the request was issued at least.
const DELIVERED_AGAIN: Duration = Duration::from_secs(240);

/// What an invocation borrows.
#[derive(Debug)]
pub struct Context {
    settings: Settings,
    table: Table,
    config: SdkConfig,
    http: SharedHttpConnector,
}

impl Context {
    /// Builds the clients once; makes no call.
    pub fn new(settings: Settings, config: SdkConfig, http: SharedHttpConnector) -> Self {
        let dynamodb = aws_sdk_dynamodb::Client::new(&config);
        let table = Table::new(dynamodb, settings.table.clone());
        Self { settings, table, config, http }
    }

    fn s3(&self) -> aws_sdk_s3::Client {
        aws_sdk_s3::Client::new(&self.config)
    }
}

/// What a request is about.
#[derive(Debug)]
enum Subject<'a> {
    Role(Resource<'a>),
    Notifications(Notifications<'a>),
}

impl<'a> Subject<'a> {
    fn of(request: &'a Request, home: &'a Home) -> Result<Self, Failure> {
        match request.resource_type.as_str() {
            Notifications::TYPE => Ok(Self::Notifications(Notifications::of(request, home))),
            _ => Resource::of(request, home).map(Self::Role),
        }
    }

    /// Whether an Update makes another one.
    fn is_replaced(&self) -> bool {
        matches!(self, Self::Role(role) if role.is_replaced)
    }

    async fn carry_out(
        &self,
        context: &Context,
        owner: &Owner,
        memory: &Memory,
        is_removal: bool,
        deadlines: Deadlines,
    ) -> Result<BTreeMap<String, String>, Failure> {
        match self {
            Self::Role(role) => {
                role.carry_out(context, owner, memory, is_removal, deadlines.work).await
            }
            // The rules belong to whichever id stands: a late clean-up of an older one leaves them.
            Self::Notifications(_) if is_removal && !memory.standing.is_empty() => {
                Ok(BTreeMap::new())
            }
            Self::Notifications(notifications) => {
                notifications.carry_out(context, owner, is_removal, deadlines).await
            }
        }
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
        let left = deadline.duration_since(SystemTime::now()).unwrap_or_default();
        let end = Instant::now() + left;
        let to_send = TO_SEND.min(left / 4);
        let record = end - to_send;
        Self { work: record - TO_RECORD.min(left / 8), record, end, lease: left + CLOCK_SKEW }
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
    let work = AssertUnwindSafe(respond(context, &request, deadlines)).catch_unwind();
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
    let sent = url.send(&context.http, &body, deadline, settings.admit_loopback, settings.region());
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

/// What to answer, after everything that the request asks for has been done.
///
/// # Errors
/// Another request is at work on the same, and this one will be delivered again.
async fn respond(
    context: &Context,
    request: &Request,
    deadlines: Deadlines,
) -> Result<Response, Error> {
    let Envelope { stack_id, request_id, logical_id, physical_id, response_url } =
        &request.envelope;
    let refused = |reason: &str| failed(&request.envelope, reason);
    let settings = &context.settings;
    if response_url.check(settings.admit_loopback, settings.region()).is_err() {
        // Nothing is done for who cannot be CloudFormation; sending will refuse the URL too.
        return Ok(refused("the response URL is not CloudFormation's"));
    }
    if response_url
        .issued_at()
        .is_some_and(|issued| apart(issued, SystemTime::now()) > ISSUED_WITHIN)
    {
        return Ok(refused("the request was issued too long ago, or is of the future"));
    }
    let Some(home) = Home::of_stack(stack_id).filter(|home| settings.is_of(home)) else {
        return Ok(refused("the stack is not of this function's account and region"));
    };
    let subject = match Subject::of(request, &home) {
        Ok(subject) => subject,
        // What was never made needs no removal.
        Err(_) if request.request_type == RequestType::Delete => {
            return Ok(Response { status: Status::Success, reason: String::new(), ..refused("") });
        }
        Err(failure) => return Ok(refused(&failure.reason)),
    };
    let own_id = match (request.request_type, physical_id) {
        (RequestType::Delete, Some(id)) => id.clone(),
        (RequestType::Update, Some(id)) if !subject.is_replaced() => id.clone(),
        _ => lifecycle::physical_id(stack_id, logical_id, request_id),
    };
    let of_own_id = |response: Response| Response { physical_id: own_id.clone(), ..response };
    let key = format!("{stack_id}/{logical_id}");
    let mut held = match context.table.lock(&key, deadlines.lease, deadlines.work).await {
        Ok(held) => held,
        Err(error) => {
            tracing::error!(code = error.code(), %error, "no lock");
            return match error.is_locked() && is_delivered_again(response_url) {
                true => Err(busy(&request.envelope, error.to_string())),
                false => Ok(of_own_id(refused(&error.to_string()))),
            };
        }
    };
    let decision = decide(
        &held.memory,
        &lifecycle::Request {
            request_type: match request.request_type {
                RequestType::Create => lifecycle::RequestType::Create,
                RequestType::Update => lifecycle::RequestType::Update,
                RequestType::Delete => lifecycle::RequestType::Delete,
            },
            request_id,
            named: physical_id.as_deref(),
            physical_id: &own_id,
            issued: response_url.issued(),
        },
    );
    let (memory, is_removal) = match decision {
        Decision::Converge(memory) => (memory, false),
        Decision::Remove(memory) => (memory, true),
        other => {
            let memory = held.memory.clone();
            unlock(held, memory, deadlines.record).await;
            return Ok(match other {
                Decision::Replay(answer) => serde_json::from_str(&answer).unwrap_or_else(|_| {
                    of_own_id(refused("the answer that was given before cannot be read"))
                }),
                Decision::Gone => of_own_id(refused("the resource was deleted by a later request")),
                _ => of_own_id(refused("a later request took the place of this one")),
            });
        }
    };
    let cloudformation = aws_sdk_cloudformation::Client::new(&context.config);
    if let Err(failure) =
        asked::check(&cloudformation, settings.check, request, deadlines.work).await
    {
        tracing::error!(code = failure.code, reason = failure.reason, "nothing begun");
        let memory = held.memory.clone();
        unlock(held, memory, deadlines.record).await;
        return Ok(of_own_id(refused(&failure.reason)));
    }
    if let Err(error) = held.save(memory.clone(), deadlines.work).await {
        // The lease ends by itself; whether the memory was written is not known.
        tracing::error!(code = error.code(), %error, "nothing begun");
        return Ok(of_own_id(refused(&error.to_string())));
    }
    let owner = Owner {
        stack_id: stack_id.clone(),
        logical_id: logical_id.clone(),
        physical_id: own_id.clone(),
    };
    let effects = subject.carry_out(context, &owner, &memory, is_removal, deadlines);
    let outcome = match timeout_at(deadlines.work, AssertUnwindSafe(effects).catch_unwind()).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(Failure::new("panicked", "the provisioner panicked; its log says where")),
        // A call may still be on its way: the lock is kept until its lease ends.
        Err(_) => {
            let reason = "there was not enough time; the log tells how far it got";
            return Ok(of_own_id(refused(reason)));
        }
    };
    let response = match outcome {
        Ok(data) => {
            Response { status: Status::Success, reason: String::new(), physical_id: own_id, data }
        }
        // No answer is remembered: the next delivery does the same work again.
        Err(failure) if failure.is_busy && is_delivered_again(response_url) => {
            unlock(held, memory, deadlines.record).await;
            return Err(busy(&request.envelope, failure.reason));
        }
        Err(failure) => {
            tracing::error!(code = failure.code, reason = failure.reason, "not done");
            of_own_id(refused(&failure.reason))
        }
    };
    let mut memory = memory;
    if let Ok(answer) = serde_json::to_string(&response) {
        memory.answered(request_id, &answer);
    }
    unlock(held, memory, deadlines.record).await;
    Ok(response)
}

fn busy(envelope: &Envelope, reason: String) -> Error {
    let Envelope { request_id, logical_id, .. } = envelope.clone();
    Error::Busy { request_id, logical_id, reason }
}

/// Whether it is certain, by the time at which the request was issued.
fn is_delivered_again(url: &ResponseUrl) -> bool {
    url.issued_at().is_some_and(|issued| apart(issued, SystemTime::now()) < DELIVERED_AGAIN)
}

fn apart(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other).or_else(|_| other.duration_since(one)).unwrap_or_default()
}

/// Without the record a repetition does the same again, with the same result; without the unlocking
/// it waits for the lease to end.
async fn unlock(held: Held, memory: Memory, deadline: Instant) {
    if let Err(error) = held.release(memory, deadline).await {
        tracing::warn!(code = error.code(), %error, "the answer is not remembered");
    }
}
