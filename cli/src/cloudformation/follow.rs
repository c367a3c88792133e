//! Executes and discards change sets, and deletes stacks. Says meanwhile what happens.

use landfall_stacks::change_set::Prepared;
use landfall_stacks::stack::Stacks;

use super::events::{follow, mark};
use crate::terminal::consent::Stopped;
use crate::terminal::printable;
use crate::terminal::progress::say;

/// Deletes a change set, and the stack if it consists of this change set only. A failure is only
/// a warning, because the result of the command does not depend on it.
pub async fn discard(stacks: &Stacks, prepared: &Prepared) {
    if let Err(error) = stacks.discard(prepared).await {
        say(&format!("warning: {}", printable(&format!("{error:#}"))));
    }
}

/// Executes a change set and follows the stack until it is done.
///
/// # Errors
/// Returns [`Stopped::Failed`] if the change fails.
pub async fn execute(stacks: &Stacks, stack: &str, prepared: &Prepared) -> anyhow::Result<()> {
    let mark = mark(stacks, &prepared.stack_id).await?;
    stacks.start(prepared).await?;
    let ended = follow(stacks, &prepared.stack_id, mark).await?;
    if matches!(ended.status.as_str(), "CREATE_COMPLETE" | "UPDATE_COMPLETE") {
        // CloudFormation does not try again to delete what it replaced or removed.
        if let Some(failure) = ended.failure {
            say(&format!("warning: a resource is left over: {failure}"));
        }
        return Ok(());
    }
    let mut why = ended.failure.unwrap_or_default();
    // The stack's events only hint at what CloudFormation found wrong before it began.
    if why.contains("DescribeEvents") {
        let found = stacks.validation_errors(&prepared.stack_id, None).await?;
        why = format!("{why} {}", found.join("; "));
    }
    Err(stopped(stacks, stack, &ended.status, &why))
}

/// Deletes a stack and follows it until it is gone.
///
/// # Errors
/// Returns [`Stopped::Failed`] if the deletion fails.
pub async fn delete(stacks: &Stacks, stack: &str, stack_id: &str) -> anyhow::Result<()> {
    let mark = mark(stacks, stack_id).await?;
    stacks.start_deletion(stack_id).await?;
    let ended = follow(stacks, stack_id, mark).await?;
    if ended.status == "DELETE_COMPLETE" {
        return Ok(());
    }
    Err(stopped(stacks, stack, &ended.status, &ended.failure.unwrap_or_default()))
}

fn stopped(stacks: &Stacks, stack: &str, status: &str, why: &str) -> anyhow::Error {
    let why = if why.is_empty() { "its events give no reason" } else { why };
    let place = &stacks.place;
    Stopped::Failed(printable(&format!("stack `{stack}` in {place} is {status}: {why}"))).into()
}
