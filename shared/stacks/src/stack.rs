//! The stacks of one account and region, as they stand, and what can be done with them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::SdkError;
use aws_sdk_cloudformation::types::{Parameter, Stack, Tag, TemplateStage};
use landfall_aws::sdk_error::{ServiceError, sdk_error_parts};

use crate::pace::Pace;

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

/// What tells a state of a stack from a later one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    id: String,
    status: String,
    updated: String,
}

/// Returns `true` if somebody changes a stack, or has changed it since it was as in `before`.
pub fn has_moved_on(before: Option<&Revision>, now: Option<&Revision>) -> bool {
    let is_busy = now.is_some_and(|it| Standing::of(Some(&it.status)) == Standing::Busy);
    is_busy || now != before
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
        Ok(self.stack(stack).await?.as_ref().map(observed))
    }

    /// Waits until nobody changes the stack, and returns it as [`Self::find`] does. Tells `say` once that it waits.
    ///
    /// # Errors
    /// Says what to do if the stack is still changing after `limit`.
    pub async fn settled(
        &self,
        stack: &str,
        limit: Duration,
        say: impl Fn(&str),
    ) -> anyhow::Result<Option<Observed>> {
        let begin = Instant::now();
        let mut pace = Pace::default();
        let mut is_told = false;
        loop {
            let found = self.find(stack).await?;
            let Some(busy) = found.as_ref().filter(|it| it.standing() == Standing::Busy) else {
                return Ok(found);
            };
            let (place, status) = (&self.place, &busy.status);
            ensure!(
                begin.elapsed() < limit,
                "stack `{stack}` in {place} is still changing ({status}) after {} minutes: find out what keeps it \
                 (`aws cloudformation describe-stack-events --stack-name {stack}`), and try again",
                limit.as_secs() / 60
            );
            if !is_told {
                say(&format!(
                    "stack {stack} in {place} is changing ({status}), perhaps by another deployment: waiting until \
                     that has ended"
                ));
                is_told = true;
            }
            pace.wait().await;
        }
    }

    /// Returns what tells the stack's state from a later one; `None` as long as the stack has at most change sets.
    ///
    /// # Errors
    /// Fails if CloudFormation refuses to tell or doesn't answer.
    pub async fn revision(&self, stack: &str) -> anyhow::Result<Option<Revision>> {
        let found = self.stack(stack).await?;
        Ok(found.as_ref().and_then(|found| {
            let Observed { id, status, .. } = observed(found);
            let updated = found.last_updated_time().map(ToString::to_string).unwrap_or_default();
            let is_there = Standing::of(Some(&status)) != Standing::Absent;
            is_there.then_some(Revision { id, status, updated })
        }))
    }

    async fn stack(&self, stack: &str) -> anyhow::Result<Option<Stack>> {
        match self.client.describe_stacks().stack_name(stack).send().await {
            Ok(found) => Ok(found.stacks.unwrap_or_default().into_iter().next()),
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

/// Makes a random name for a change set, or a token for a call that can be repeated.
pub(crate) fn token() -> anyhow::Result<String> {
    let number = getrandom::u64().map_err(|error| anyhow::anyhow!("{error}"));
    Ok(format!("landfall-{:016x}", number.context("failed to name a change set")?))
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudformation::Config;
    use aws_sdk_cloudformation::config::{BehaviorVersion, Credentials, Region};
    use landfall_aws::config::http_client;
    use wiremock::matchers::any;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    /// Answers DescribeStacks with each status in turn, and with the last one from then on.
    async fn stacks_that_are(statuses: &[&str]) -> (MockServer, Stacks) {
        let server = MockServer::start().await;
        for (place, status) in statuses.iter().enumerate() {
            let body = format!(
                "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackId>arn</StackId>\
                 <StackName>shared</StackName><CreationTime>2026-01-31T12:00:00Z</CreationTime>\
                 <StackStatus>{status}</StackStatus></member></Stacks></DescribeStacksResult>\
                 </DescribeStacksResponse>"
            );
            let mock =
                Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_string(body));
            let is_last = place + 1 == statuses.len();
            let mock = if is_last { mock } else { mock.up_to_n_times(1) };
            mock.mount(&server).await;
        }
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("any", "any", None, None, "test"))
            .endpoint_url(server.uri())
            .http_client(http_client())
            .build();
        let place = "account `111111111111`, region `us-east-1`".to_owned();
        (server, Stacks { client: Client::from_conf(config), place })
    }

    #[tokio::test]
    async fn a_stack_that_another_deployment_changes_is_waited_for_up_to_a_limit() {
        let hour = Duration::from_secs(3600);
        let statuses = ["CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS", "CREATE_COMPLETE"];
        let (server, stacks) = stacks_that_are(&statuses).await;
        let found = stacks.settled("shared", hour, |_| {}).await.expect("it settles");
        assert_eq!(found.expect("a stack").status, "CREATE_COMPLETE");
        assert_eq!(server.received_requests().await.map(|it| it.len()), Some(3));

        let (_server, stacks) = stacks_that_are(&["UPDATE_IN_PROGRESS"]).await;
        let error =
            stacks.settled("shared", Duration::ZERO, |_| {}).await.expect_err("it never settles");
        let error = error.to_string();
        for expected in
            ["`shared`", "`111111111111`", "UPDATE_IN_PROGRESS", "describe-stack-events"]
        {
            assert!(error.contains(expected), "{expected}: {error}");
        }
        // What no time mends isn't waited for.
        let (_server, stacks) = stacks_that_are(&["UPDATE_ROLLBACK_FAILED"]).await;
        let found =
            stacks.settled("shared", hour, |_| {}).await.expect("it is found").expect("a stack");
        assert!(found.can_change("shared").is_err());
    }

    #[test]
    fn a_stack_has_moved_on_if_it_changes_or_was_changed() {
        let revision = |status: &str, updated: &str| Revision {
            id: "arn".to_owned(),
            status: status.to_owned(),
            updated: updated.to_owned(),
        };
        let made = revision("CREATE_COMPLETE", "");
        let busy = revision("UPDATE_IN_PROGRESS", "12:00");
        for (before, now, expected) in [
            (None, None, false),
            (None, Some(&made), true),
            (Some(&made), Some(&made), false),
            (Some(&made), None, true),
            (Some(&made), Some(&revision("UPDATE_COMPLETE", "12:01")), true),
            (
                Some(&revision("UPDATE_COMPLETE", "12:01")),
                Some(&revision("UPDATE_COMPLETE", "12:02")),
                true,
            ),
            // It began to change before this was noticed.
            (Some(&busy), Some(&busy), true),
        ] {
            assert_eq!(has_moved_on(before, now), expected, "{before:?} {now:?}");
        }
    }

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
