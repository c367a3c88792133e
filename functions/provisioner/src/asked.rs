//! Whether CloudFormation waits for what a request asks.
//!
//! Who may invoke the function can send it anything, in the name of any stack. So CloudFormation is
//! asked before the first effect: it waits only while the stack is being changed, and for a Create or
//! an Update while the resource is. What replaced another, or was taken out of a template, is deleted
//! while the stack cleans up, with a status of its own that says nothing; there the stack's must do.

use std::time::Duration;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use tokio::time::{Instant, sleep};

use crate::protocol::{Request, RequestType};
use crate::resource::Failure;
use crate::settings::Check;

/// How long CloudFormation is given to tell of what it has begun, and to answer at all.
const PATIENCE: Duration = Duration::from_secs(8);
const PAUSE: Duration = Duration::from_secs(1);

/// What CloudFormation says of a request.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Waits,
    Not(String),
    Unknown(String),
}

/// Returns if CloudFormation waits for the answer to `request`.
///
/// # Errors
/// It does not, or does not say.
pub async fn check(
    client: &Client,
    check: Check,
    request: &Request,
    deadline: Instant,
) -> Result<(), Failure> {
    let deadline = deadline.min(Instant::now() + PATIENCE);
    loop {
        let said = match check {
            Check::Nothing => return Ok(()),
            Check::Stack => of_stack(client, request).await,
            Check::Resource if request.request_type == RequestType::Delete => {
                of_stack(client, request).await
            }
            Check::Resource => match of_stack(client, request).await {
                Said::Waits => of_resource(client, request).await,
                other => other,
            },
        };
        let failure = match said {
            Said::Waits => return Ok(()),
            Said::Not(what) => {
                let reason = format!("CloudFormation does not wait for this request: {what}");
                Failure::new("request_not_asked_for", reason)
            }
            Said::Unknown(what) => {
                let reason =
                    format!("failed to learn whether CloudFormation asks for this: {what}");
                Failure::new("request_not_checked", reason)
            }
        };
        if Instant::now() + PAUSE >= deadline {
            return Err(failure);
        }
        sleep(PAUSE).await;
    }
}

async fn of_stack(client: &Client, request: &Request) -> Said {
    let stack_id = &request.envelope.stack_id;
    match client.describe_stacks().stack_name(stack_id).send().await {
        Ok(answer) => match answer.stacks().iter().find_map(|stack| stack.stack_status()) {
            Some(status) if is_at_work(status.as_str()) => Said::Waits,
            Some(status) => Said::Not(format!("the stack's status is {status}")),
            None => Said::Not("there is no such stack".to_owned()),
        },
        Err(error) => refused(&error),
    }
}

async fn of_resource(client: &Client, request: &Request) -> Said {
    let envelope = &request.envelope;
    let describe = client.describe_stack_resource().stack_name(&envelope.stack_id);
    match describe.logical_resource_id(&envelope.logical_id).send().await {
        Ok(answer) => {
            let detail = answer.stack_resource_detail();
            let status = detail.and_then(|detail| detail.resource_status());
            let kind = detail.and_then(|detail| detail.resource_type()).unwrap_or_default();
            match status {
                _ if kind != request.resource_type => {
                    Said::Not(format!("the resource is of type `{}`", kind.escape_debug()))
                }
                Some(status) if is_at_work(status.as_str()) => Said::Waits,
                Some(status) => Said::Not(format!("the resource's status is {status}")),
                None => Said::Not("there is no such resource".to_owned()),
            }
        }
        Err(error) => refused(&error),
    }
}

/// A stack that waits for a change set to be carried out is under review, and nothing is done.
fn is_at_work(status: &str) -> bool {
    status.ends_with("_IN_PROGRESS") && status != "REVIEW_IN_PROGRESS"
}

fn refused<E, R>(error: &SdkError<E, R>) -> Said
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    match (error.code(), error.message()) {
        // There is no other code for a stack, or a resource, that does not exist.
        (Some("ValidationError"), message) => Said::Not(message.unwrap_or_default().to_owned()),
        (Some(code), message) => Said::Unknown(format!("{code}: {}", message.unwrap_or_default())),
        (None, _) => Said::Unknown(DisplayErrorContext(error).to_string()),
    }
}

#[cfg(test)]
mod tests;
