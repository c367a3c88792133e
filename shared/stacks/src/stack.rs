//! The stacks of one account and region, as they stand, and what can be done with them.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::SdkError;
use aws_sdk_cloudformation::types::{Parameter, Stack, Tag, TemplateStage};
use landfall_aws::sdk_error::{ServiceError, sdk_error_parts};

use crate::change_set::token;

/// The stacks of an account in a region.
#[derive(Debug)]
pub struct Stacks {
    /// The client for the account and region.
    pub client: Client,
    /// The account and the region, for messages: ``account `1…`, region `…` ``.
    pub place: String,
}

/// A stack as CloudFormation describes it.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The stack's ARN.
    pub id: String,
    /// Its status, such as `UPDATE_COMPLETE`.
    pub status: String,
    /// The values of its parameters. CloudFormation shows asterisks for secrets.
    pub parameters: BTreeMap<String, String>,
    /// Whether it is protected from deletion.
    pub is_protected: bool,
    /// The description in the template.
    pub description: String,
    /// Its tags without AWS's own.
    pub tags: BTreeMap<String, String>,
}

impl Observed {
    /// Returns what can be done with the stack.
    pub fn standing(&self) -> Standing {
        Standing::of(Some(&self.status))
    }

    /// Checks that the stack can be changed.
    ///
    /// # Errors
    /// Says what to do first, if the stack cannot be changed in its present state.
    pub fn can_change(&self, stack: &str) -> anyhow::Result<()> {
        match self.standing() {
            Standing::Absent | Standing::Updatable | Standing::FailedFirst => Ok(()),
            Standing::Broken(hint) => bail!("stack `{stack}` is {}: {hint}", self.status),
            Standing::Busy => bail!(
                "stack `{stack}` is changing ({}): wait until the change has ended",
                self.status
            ),
        }
    }

    /// Checks that the stack can be deleted.
    ///
    /// # Errors
    /// Says what to do first, if the stack cannot be deleted in its present state.
    pub fn can_delete(&self, stack: &str) -> anyhow::Result<()> {
        ensure!(
            !self.is_protected,
            "stack `{stack}` is protected from deletion: turn its termination protection off first"
        );
        // A broken stack can need its deletion.
        if self.standing() == Standing::Busy { self.can_change(stack) } else { Ok(()) }
    }
}

/// What can be done with a stack in its present state.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    /// A change set can create it, even if an earlier change set was never executed.
    Absent,
    /// A change set can update it.
    Updatable,
    /// Its first creation failed, so it can only be deleted.
    FailedFirst,
    /// A change is under way.
    Busy,
    /// A person has to repair it first. The text says how.
    Broken(&'static str),
}

impl Standing {
    /// Returns what can be done with a stack of this status; `None` if there is no stack.
    pub fn of(status: Option<&str>) -> Self {
        match status {
            None | Some("REVIEW_IN_PROGRESS" | "DELETE_COMPLETE") => Self::Absent,
            Some("ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" | "CREATE_FAILED") => Self::FailedFirst,
            Some("DELETE_FAILED") => Self::Broken(
                "its deletion failed: find the reason in its events, remove it, and delete the stack again",
            ),
            Some("UPDATE_ROLLBACK_FAILED") => Self::Broken(
                "an update couldn't be rolled back: remove the cause, then run \
                 `aws cloudformation continue-update-rollback`",
            ),
            Some(status) if status.ends_with("_IN_PROGRESS") => Self::Busy,
            Some(_) => Self::Updatable,
        }
    }
}

impl Stacks {
    /// Returns the stack with this name or ID; `None` if there is none.
    ///
    /// # Errors
    /// Fails if CloudFormation refuses to tell or doesn't answer.
    pub async fn find(&self, stack: &str) -> anyhow::Result<Option<Observed>> {
        match self.client.describe_stacks().stack_name(stack).send().await {
            Ok(found) => Ok(found.stacks().first().map(observed)),
            Err(error) => {
                let (code, message) = sdk_error_parts(&error);
                if code == "ValidationError" && message.contains("does not exist") {
                    return Ok(None);
                }
                Err(self.failure(&format!("read stack `{stack}`"), (code, message)))
            }
        }
    }

    /// Returns the template of a stack as it was uploaded, before transforms.
    pub async fn template(&self, stack: &str) -> anyhow::Result<String> {
        self.template_at(stack, TemplateStage::Original).await
    }

    /// Returns the template of a stack after transforms, with what it includes.
    pub async fn processed_template(&self, stack: &str) -> anyhow::Result<String> {
        self.template_at(stack, TemplateStage::Processed).await
    }

    async fn template_at(&self, stack: &str, stage: TemplateStage) -> anyhow::Result<String> {
        let get = self.client.get_template().stack_name(stack);
        let got = get.template_stage(stage).send().await;
        let got = got.map_err(self.failed(format!("read the template of stack `{stack}`")))?;
        got.template_body().map(str::to_owned).context("a stack has no template")
    }

    /// Returns the physical IDs of a stack's resources by their logical IDs.
    pub async fn physical_ids(&self, stack: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let mut pages =
            self.client.list_stack_resources().stack_name(stack).into_paginator().send();
        let mut ids = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page =
                page.map_err(self.failed(format!("list the resources of stack `{stack}`")))?;
            for resource in page.stack_resource_summaries() {
                let logical = resource.logical_resource_id().unwrap_or_default();
                let physical = resource.physical_resource_id().unwrap_or_default();
                ids.insert(logical.to_owned(), physical.to_owned());
            }
        }
        Ok(ids)
    }

    /// Starts the deletion of a stack.
    ///
    /// # Errors
    /// Fails if CloudFormation refuses it or doesn't answer.
    pub async fn start_deletion(&self, stack_id: &str) -> anyhow::Result<()> {
        let delete = self.client.delete_stack().stack_name(stack_id);
        let deleted = delete.client_request_token(token()?).send().await;
        deleted.map_err(self.failed(format!("delete stack `{stack_id}`"))).map(drop)
    }

    /// Returns what turns the SDK's error into one that says what failed and where.
    pub fn failed<E: ServiceError, R: std::fmt::Debug>(
        &self,
        doing: String,
    ) -> impl FnOnce(SdkError<E, R>) -> anyhow::Error + use<'_, E, R> {
        move |error| self.failure(&doing, sdk_error_parts(&error))
    }

    /// Returns an error that says what failed and where, with AWS's code and message.
    pub fn failure(&self, doing: &str, (code, message): (String, String)) -> anyhow::Error {
        anyhow::anyhow!("failed to {doing} in {}: {code}: {message}", self.place)
    }
}

fn observed(stack: &Stack) -> Observed {
    let value = |parameter: &Parameter| {
        let [key, value] = [parameter.parameter_key(), parameter.parameter_value()];
        (key.unwrap_or_default().to_owned(), value.unwrap_or_default().to_owned())
    };
    Observed {
        id: stack.stack_id().unwrap_or_default().to_owned(),
        status: stack.stack_status().map_or("", |status| status.as_str()).to_owned(),
        parameters: stack.parameters().iter().map(value).collect(),
        is_protected: stack.enable_termination_protection().unwrap_or_default(),
        description: stack.description().unwrap_or_default().to_owned(),
        tags: stack.tags().iter().filter_map(tag).collect(),
    }
}

/// Returns a tag, unless it is one of AWS's own.
fn tag(tag: &Tag) -> Option<(String, String)> {
    let is_own = tag.key()?.starts_with("aws:");
    (!is_own).then_some((tag.key()?.to_owned(), tag.value()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_done_with_a_stack_follows_from_its_status() {
        for (status, standing) in [
            (None, Standing::Absent),
            (Some("REVIEW_IN_PROGRESS"), Standing::Absent),
            (Some("ROLLBACK_COMPLETE"), Standing::FailedFirst),
            (Some("CREATE_IN_PROGRESS"), Standing::Busy),
            (Some("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"), Standing::Busy),
            (Some("UPDATE_ROLLBACK_COMPLETE"), Standing::Updatable),
            (Some("CREATE_COMPLETE"), Standing::Updatable),
        ] {
            assert_eq!(Standing::of(status), standing, "{status:?}");
        }
        assert!(matches!(Standing::of(Some("UPDATE_ROLLBACK_FAILED")), Standing::Broken(_)));
        assert!(matches!(Standing::of(Some("DELETE_FAILED")), Standing::Broken(_)));
    }
}
