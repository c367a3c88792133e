//! Checks that CloudFormation waits for the answer to a request.
//!
//! Anyone who may invoke the function can send it anything, in the name of any stack. So the
//! function queries CloudFormation before the first effect.
//!
//! - CloudFormation waits for a Create or an Update only while the resource itself is being created
//!   or updated.
//! - CloudFormation waits for a Delete only while the stack is being deleted, rolled back or
//!   cleaned up. What CloudFormation reports as standing may be removed only while it is itself
//!   being deleted. A replaced resource is deleted while its replacement is already complete, and a
//!   resource that was taken out of a template may not be reported at all: then the stack's status
//!   must do.
//! - A request that does not say when it was issued could be an old one. CloudFormation has to
//!   confirm that very request: an Update by its physical ID, a Delete by its event.

use std::time::Duration;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudformation::types::StackResourceDetail;
use landfall_aws::sdk_error::{AwsError, ServiceError};
use tokio::time::{Instant, sleep};

use crate::failure::Failure;
use crate::protocol::{Request, RequestType};
use crate::settings::Check;

/// How long to wait for CloudFormation to report what it has begun, and to answer at all.
const PATIENCE: Duration = Duration::from_secs(8);
const PAUSE: Duration = Duration::from_secs(1);

/// How many pages of a stack's events to read, the newest first; a page has 100. A deletion that is
/// under way has its event among the newest.
const MAX_PAGES: usize = 10;

/// The statuses of a stack that is being deleted, rolled back or cleaned up.
const DELETING: [&str; 6] = [
    "DELETE_IN_PROGRESS",
    "ROLLBACK_IN_PROGRESS",
    "UPDATE_ROLLBACK_IN_PROGRESS",
    "IMPORT_ROLLBACK_IN_PROGRESS",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
];

/// A request that CloudFormation may wait for.
pub(crate) struct Question<'a> {
    /// The request.
    pub request: &'a Request,
    /// Whether the request says when it was issued.
    pub is_dated: bool,
    /// Returns `true` if the request would delete the resource with this physical ID.
    pub is_deleted: &'a dyn Fn(&str) -> bool,
}

/// How long the check repeats a query that CloudFormation answers with "no".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// CloudFormation may report what it has begun a moment late.
    UntilItBegins,
    /// CloudFormation has reported it before, so the check waits only for an answer.
    ForAnAnswer,
}

/// The state of a stack that waits for a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StackState {
    /// Whether CloudFormation is rolling back an update of the stack.
    pub is_rolling_back_update: bool,
}

/// Checks that CloudFormation waits for the answer to the request.
///
/// # Errors
/// Returns [`Failure::NotAwaited`] if it does not, or [`Failure::NotChecked`] if it does not say.
pub(crate) async fn check(
    client: &Client,
    check: Check,
    question: &Question<'_>,
    patience: Patience,
    deadline: Instant,
) -> Result<StackState, Failure> {
    let deadline = deadline.min(Instant::now() + PATIENCE);
    loop {
        let checked = match check {
            Check::Nothing => return Ok(StackState::default()),
            Check::Stack => check_stack(client, question.request, is_at_work).await,
            Check::Resource => check_resource(client, question).await,
        };
        let Err(failure) = checked else { return checked };
        let is_no = matches!(failure, Failure::NotAwaited(_));
        let is_final = is_no && patience == Patience::ForAnAnswer;
        if is_final || Instant::now() + PAUSE >= deadline {
            return Err(failure);
        }
        sleep(PAUSE).await;
    }
}

/// Checks the stack, then the resource, and then the event if nothing else shows the answer.
async fn check_resource(client: &Client, question: &Question<'_>) -> Result<StackState, Failure> {
    let request = question.request;
    match request.request_type {
        RequestType::Create | RequestType::Update => {
            let stack = check_stack(client, request, is_at_work).await?;
            let Some(detail) = detail(client, request).await? else {
                return not_awaited("there is no such resource");
            };
            is_changed(&detail, question)?;
            Ok(stack)
        }
        RequestType::Delete => {
            let stack = check_stack(client, request, |status| DELETING.contains(&status)).await?;
            // A resource that CloudFormation no longer reports does not stand.
            if let Some(detail) = detail(client, request).await? {
                is_let_go(&detail, question)?;
            }
            if !question.is_dated {
                is_deleted_now(client, request).await?;
            }
            Ok(stack)
        }
    }
}

async fn check_stack(
    client: &Client,
    request: &Request,
    is_fine: impl Fn(&str) -> bool,
) -> Result<StackState, Failure> {
    let stack_id = &request.envelope.stack_id;
    let answer = client.describe_stacks().stack_name(stack_id).send().await;
    let answer = answer.map_err(|error| refused(&error))?;
    match answer.stacks().iter().find_map(|stack| stack.stack_status()) {
        Some(status) if is_fine(status.as_str()) => {
            let is_rolling_back_update = status.as_str() == "UPDATE_ROLLBACK_IN_PROGRESS";
            Ok(StackState { is_rolling_back_update })
        }
        Some(status) => not_awaited(format!("the stack's status is {status}")),
        None => not_awaited("there is no such stack"),
    }
}

/// Returns what CloudFormation reports about the resource; `None` if the stack has none of this
/// name.
async fn detail(
    client: &Client,
    request: &Request,
) -> Result<Option<StackResourceDetail>, Failure> {
    let envelope = &request.envelope;
    let describe = client.describe_stack_resource().stack_name(&envelope.stack_id);
    let detail = match describe.logical_resource_id(&envelope.logical_id).send().await {
        Ok(answer) => answer.stack_resource_detail,
        Err(error) => match refused(&error) {
            // CloudFormation knew the stack just now, so this is about the resource.
            Failure::NotAwaited(_) => None,
            failure => return Err(failure),
        },
    };
    let kind = detail.as_ref().and_then(StackResourceDetail::resource_type).unwrap_or_default();
    if detail.is_some() && kind != request.resource_type {
        return not_awaited(format!("the resource is of type `{}`", kind.escape_debug()));
    }
    Ok(detail)
}

fn status(detail: &StackResourceDetail) -> &str {
    detail.resource_status().map_or("none", |status| status.as_str())
}

/// Checks that the resource is being created or updated, as the request says.
fn is_changed(detail: &StackResourceDetail, question: &Question<'_>) -> Result<(), Failure> {
    let is_create = question.request.request_type == RequestType::Create;
    let status = status(detail);
    let is_another = ["CREATE_", "DELETE_", "IMPORT_"].iter().any(|it| status.starts_with(it));
    let is_as_requested =
        if is_create { status == "CREATE_IN_PROGRESS" } else { is_at_work(status) && !is_another };
    if !is_as_requested {
        return not_awaited(format!("the resource's status is {status}"));
    }
    let named = question.request.envelope.physical_id.as_deref();
    if !question.is_dated && !is_create && detail.physical_resource_id() != named {
        return not_awaited("it changes another physical ID, and the request has no date");
    }
    Ok(())
}

/// Checks that the resource which CloudFormation reports as standing stays, or is itself being
/// deleted. If no physical ID is reported, it could be the one that the request would delete.
fn is_let_go(detail: &StackResourceDetail, question: &Question<'_>) -> Result<(), Failure> {
    let status = status(detail);
    let standing = detail.physical_resource_id().filter(|id| !id.is_empty());
    let is_deleted = standing.is_none_or(question.is_deleted);
    if is_deleted && !matches!(status, "DELETE_IN_PROGRESS" | "DELETE_COMPLETE") {
        return not_awaited(format!("what would be deleted stands, with status {status}"));
    }
    Ok(())
}

/// Checks that, by the newest event of the physical ID, its deletion has begun.
async fn is_deleted_now(client: &Client, request: &Request) -> Result<(), Failure> {
    let envelope = &request.envelope;
    let mut token = None;
    for _ in 0..MAX_PAGES {
        let describe = client.describe_stack_events().stack_name(&envelope.stack_id);
        let page = describe.set_next_token(token).send().await.map_err(|error| refused(&error))?;
        let newest = page.stack_events().iter().find(|event| {
            event.logical_resource_id() == Some(&envelope.logical_id)
                && event.physical_resource_id() == envelope.physical_id.as_deref()
        });
        if let Some(event) = newest {
            let status = event.resource_status().map_or("none", |status| status.as_str());
            if status == "DELETE_IN_PROGRESS" {
                return Ok(());
            }
            return not_awaited(format!(
                "the last event of its physical ID is {status}, and the request has no date"
            ));
        }
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    not_awaited("no event has its physical ID, and the request has no date")
}

fn not_awaited<T>(why: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::NotAwaited(why.into()))
}

/// Returns `true` if work is going on. A stack under review waits for its change set to be
/// executed, so nothing is going on.
fn is_at_work(status: &str) -> bool {
    status.ends_with("_IN_PROGRESS") && status != "REVIEW_IN_PROGRESS"
}

fn refused<E: ServiceError, R: std::fmt::Debug>(error: &SdkError<E, R>) -> Failure {
    match error.code() {
        // CloudFormation has no other code for a stack or a resource that does not exist.
        Some("ValidationError") => {
            Failure::NotAwaited(error.message().unwrap_or_default().to_owned())
        }
        _ => Failure::NotChecked(AwsError::new(error)),
    }
}

#[cfg(test)]
mod tests;
