//! Whether CloudFormation waits for what a request asks.
//!
//! Who may invoke the function can send it anything, in the name of any stack. So CloudFormation is
//! asked before the first effect.
//!
//! - A Create or an Update is waited for only while the resource itself is created or updated.
//! - A Delete is waited for only while the stack is deleted, rolled back or cleaned up; and what
//!   CloudFormation reports as standing goes only while it is being deleted itself. What replaced another
//!   is deleted while the resource that took its place is complete, and what was taken out of a template
//!   may not be reported at all: there the stack's status must do.
//! - A request that does not say when it was issued could be one of long ago. CloudFormation has to
//!   confirm that very request: an Update by the physical id, a Delete by its event.

use std::time::Duration;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_cloudformation::types::StackResourceDetail;
use tokio::time::{Instant, sleep};

use crate::protocol::{Request, RequestType};
use crate::resource::Failure;
use crate::settings::Check;

/// The code of a failure that means a clear no.
pub const NOT_ASKED_FOR: &str = "request_not_asked_for";

/// How long CloudFormation is given to tell of what it has begun, and to answer at all.
const PATIENCE: Duration = Duration::from_secs(8);
const PAUSE: Duration = Duration::from_secs(1);

/// How many pages of a stack's events are read, the newest first; a page has 100. What is deleted now has
/// its event among the newest.
const MAX_PAGES: usize = 10;

/// What a stack's status is while it is deleted, rolled back or cleaned up.
const TAKES_AWAY: [&str; 6] = [
    "DELETE_IN_PROGRESS",
    "ROLLBACK_IN_PROGRESS",
    "UPDATE_ROLLBACK_IN_PROGRESS",
    "IMPORT_ROLLBACK_IN_PROGRESS",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
];

/// What is asked about.
pub struct Question<'a> {
    pub request: &'a Request,
    /// Whether the request says when it was issued.
    pub is_dated: bool,
    /// Whether what bears a physical id would not be left standing.
    pub goes: &'a dyn Fn(&str) -> bool,
}

/// How long a "no" is asked about again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// CloudFormation may tell a moment late of what it has begun.
    ForTheBeginning,
    /// It told of it before. Only an answer is waited for.
    ForAnAnswer,
}

/// What CloudFormation told beside its yes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// Whether the stack takes an update back.
    pub is_taken_back: bool,
}

/// Why a request is not served.
#[derive(Debug, PartialEq, Eq)]
enum No {
    Not(String),
    Unknown(String),
}

/// Returns if CloudFormation waits for the answer to the request.
///
/// # Errors
/// It does not (`request_not_asked_for`), or does not say (`request_not_checked`).
pub async fn check(
    client: &Client,
    check: Check,
    question: &Question<'_>,
    patience: Patience,
    deadline: Instant,
) -> Result<Told, Failure> {
    let deadline = deadline.min(Instant::now() + PATIENCE);
    loop {
        let said = match check {
            Check::Nothing => return Ok(Told::default()),
            Check::Stack => of_stack(client, question.request, is_at_work).await,
            Check::Resource => of_resource(client, question).await,
        };
        let (failure, is_final) = match said {
            Ok(told) => return Ok(told),
            Err(No::Not(what)) => {
                let reason = format!("CloudFormation does not wait for this request: {what}");
                let failure = Failure::new(NOT_ASKED_FOR, reason);
                (failure, patience == Patience::ForAnAnswer)
            }
            Err(No::Unknown(what)) => {
                let reason =
                    format!("failed to learn whether CloudFormation asks for this: {what}");
                (Failure::new("request_not_checked", reason), false)
            }
        };
        if is_final || Instant::now() + PAUSE >= deadline {
            return Err(failure);
        }
        sleep(PAUSE).await;
    }
}

/// Asks about the stack, then the resource, then the event where nothing else tells.
async fn of_resource(client: &Client, question: &Question<'_>) -> Result<Told, No> {
    let request = question.request;
    match request.request_type {
        RequestType::Create | RequestType::Update => {
            let told = of_stack(client, request, is_at_work).await?;
            let Some(detail) = detail(client, request).await? else {
                return Err(No::Not("there is no such resource".to_owned()));
            };
            is_changed(&detail, question)?;
            Ok(told)
        }
        RequestType::Delete => {
            let told = of_stack(client, request, |status| TAKES_AWAY.contains(&status)).await?;
            // What is not reported any more does not stand.
            if let Some(detail) = detail(client, request).await? {
                is_let_go(&detail, question)?;
            }
            if !question.is_dated {
                is_deleted_now(client, request).await?;
            }
            Ok(told)
        }
    }
}

async fn of_stack(
    client: &Client,
    request: &Request,
    is_fine: impl Fn(&str) -> bool,
) -> Result<Told, No> {
    let stack_id = &request.envelope.stack_id;
    let answer = client.describe_stacks().stack_name(stack_id).send().await;
    let answer = answer.map_err(|error| refused(&error))?;
    match answer.stacks().iter().find_map(|stack| stack.stack_status()) {
        Some(status) if is_fine(status.as_str()) => {
            let is_taken_back = status.as_str() == "UPDATE_ROLLBACK_IN_PROGRESS";
            Ok(Told { is_taken_back })
        }
        Some(status) => Err(No::Not(format!("the stack's status is {status}"))),
        None => Err(No::Not("there is no such stack".to_owned())),
    }
}

/// What CloudFormation reports of the resource; nothing if it knows none of this name in the stack.
async fn detail(client: &Client, request: &Request) -> Result<Option<StackResourceDetail>, No> {
    let envelope = &request.envelope;
    let describe = client.describe_stack_resource().stack_name(&envelope.stack_id);
    let detail = match describe.logical_resource_id(&envelope.logical_id).send().await {
        Ok(answer) => answer.stack_resource_detail,
        Err(error) => match refused(&error) {
            // The stack was told of just now, so this is about the resource.
            No::Not(_) => None,
            no => return Err(no),
        },
    };
    let kind = detail.as_ref().and_then(StackResourceDetail::resource_type).unwrap_or_default();
    if detail.is_some() && kind != request.resource_type {
        return Err(No::Not(format!("the resource is of type `{}`", kind.escape_debug())));
    }
    Ok(detail)
}

fn status(detail: &StackResourceDetail) -> &str {
    detail.resource_status().map_or("none", |status| status.as_str())
}

/// Whether the resource is being created or updated, as the request says.
fn is_changed(detail: &StackResourceDetail, question: &Question<'_>) -> Result<(), No> {
    let is_create = question.request.request_type == RequestType::Create;
    let status = status(detail);
    let is_fine = match is_create {
        true => status == "CREATE_IN_PROGRESS",
        false => {
            let is_another =
                ["CREATE_", "DELETE_", "IMPORT_"].iter().any(|it| status.starts_with(it));
            is_at_work(status) && !is_another
        }
    };
    if !is_fine {
        return Err(No::Not(format!("the resource's status is {status}")));
    }
    let named = question.request.envelope.physical_id.as_deref();
    if !question.is_dated && !is_create && detail.physical_resource_id() != named {
        return Err(No::Not("it changes another physical id, and the request has no date".into()));
    }
    Ok(())
}

/// Whether what is reported as standing stays, or is being deleted itself. If no physical id is reported,
/// nothing says that it is not the one.
fn is_let_go(detail: &StackResourceDetail, question: &Question<'_>) -> Result<(), No> {
    let status = status(detail);
    let standing = detail.physical_resource_id().filter(|id| !id.is_empty());
    let would_go = standing.is_none_or(question.goes);
    match would_go && !matches!(status, "DELETE_IN_PROGRESS" | "DELETE_COMPLETE") {
        true => Err(No::Not(format!("what would be deleted stands, with status {status}"))),
        false => Ok(()),
    }
}

/// Whether the newest event of the physical id says that its deletion has begun.
async fn is_deleted_now(client: &Client, request: &Request) -> Result<(), No> {
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
            return match status == "DELETE_IN_PROGRESS" {
                true => Ok(()),
                false => Err(No::Not(format!(
                    "the last event of its physical id is {status}, and the request has no date"
                ))),
            };
        }
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    Err(No::Not("no event tells of its physical id, and the request has no date".to_owned()))
}

/// A stack that waits for a change set to be carried out is under review, and nothing is done.
fn is_at_work(status: &str) -> bool {
    status.ends_with("_IN_PROGRESS") && status != "REVIEW_IN_PROGRESS"
}

fn refused<E, R>(error: &SdkError<E, R>) -> No
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    match (error.code(), error.message()) {
        // There is no other code for a stack, or a resource, that does not exist.
        (Some("ValidationError"), message) => No::Not(message.unwrap_or_default().to_owned()),
        (Some(code), message) => No::Unknown(format!("{code}: {}", message.unwrap_or_default())),
        (None, _) => No::Unknown(DisplayErrorContext(error).to_string()),
    }
}

#[cfg(test)]
mod tests;
