//! Stacks of one account and region: looked at, changed by change sets, deleted.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::operation::describe_change_set::DescribeChangeSetOutput;
use aws_sdk_cloudformation::types::{
    Capability, ChangeAction, ChangeSetStatus, ChangeSetType, OperationEvent, Parameter,
    PolicyAction, Replacement as Replaced, Stack, Tag, TemplateStage,
};
use landfall_aws::sdk_error::sdk_error_parts;

use super::Value;
use super::change::{Change, Replacement};
use super::events::{self, Pace};
use crate::terminal::consent::Stopped;
use crate::terminal::printable;
use crate::terminal::progress::say;

/// The stacks of an account in a region.
pub struct Stacks {
    pub client: Client,
    /// `account `1…`, region `…``.
    pub place: String,
}

/// A stack as CloudFormation has it.
#[derive(Debug, Clone)]
pub struct Observed {
    pub id: String,
    pub status: String,
    pub parameters: BTreeMap<String, String>,
    pub is_protected: bool,
    /// The template's.
    pub description: String,
    pub tags: BTreeMap<String, String>,
}

impl Observed {
    pub fn standing(&self) -> Standing {
        Standing::of(Some(&self.status))
    }

    /// # Errors
    /// Nothing can be done with the stack as it stands.
    pub fn can_change(&self, stack: &str) -> anyhow::Result<()> {
        match self.standing() {
            Standing::Absent | Standing::Updatable | Standing::FailedFirst => Ok(()),
            Standing::Broken(hint) => bail!("stack `{stack}` is {}: {hint}", self.status),
            Standing::Busy => bail!(
                "stack `{stack}` is being changed ({}): wait until that has ended",
                self.status
            ),
        }
    }

    /// # Errors
    /// The stack cannot be deleted as it stands.
    pub fn can_delete(&self, stack: &str) -> anyhow::Result<()> {
        ensure!(
            !self.is_protected,
            "stack `{stack}` is protected from deletion: turn its termination protection off first"
        );
        // Deleting is what a broken one may need.
        if self.standing() == Standing::Busy { self.can_change(stack) } else { Ok(()) }
    }
}

/// What can be done with a stack.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    /// A change set makes it; a change set that was never executed is no hindrance.
    Absent,
    Updatable,
    /// Its first creation failed: it can only be deleted.
    FailedFirst,
    /// Something is under way.
    Busy,
    /// Somebody has to look at it first; with what helps.
    Broken(&'static str),
}

impl Standing {
    pub fn of(status: Option<&str>) -> Self {
        match status {
            None | Some("REVIEW_IN_PROGRESS" | "DELETE_COMPLETE") => Self::Absent,
            Some("ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" | "CREATE_FAILED") => Self::FailedFirst,
            Some("DELETE_FAILED") => Self::Broken(
                "its deletion failed: see its events for what stands in the way, and delete it again",
            ),
            Some("UPDATE_ROLLBACK_FAILED") => Self::Broken(
                "an update could not be taken back: `aws cloudformation continue-update-rollback` does, \
                 once its reason is mended",
            ),
            Some(status) if status.ends_with("_IN_PROGRESS") => Self::Busy,
            Some(_) => Self::Updatable,
        }
    }
}

/// What a stack is to become.
pub struct Request<'a> {
    pub stack: &'a str,
    pub template: TemplateAt,
    pub parameters: &'a BTreeMap<String, Value>,
    pub tags: &'a BTreeMap<String, String>,
    /// It is there, and is updated.
    pub is_update: bool,
    /// There is nothing of that name, not even somebody's change set.
    pub is_new: bool,
}

/// Where the template is: one of more than 51,200 bytes can only be uploaded.
pub enum TemplateAt {
    Body(String),
    Url(String),
}

/// A change set that can be executed.
pub struct Prepared {
    pub change_set: String,
    pub stack_id: String,
    /// The stack is nothing but this change set.
    pub is_all: bool,
    pub changes: Vec<Change>,
}

impl Stacks {
    /// The stack of this name or id, if there is one.
    pub async fn find(&self, stack: &str) -> anyhow::Result<Option<Observed>> {
        match self.client.describe_stacks().stack_name(stack).send().await {
            Ok(found) => Ok(found.stacks().first().map(observed)),
            Err(error) => {
                let (code, message) = sdk_error_parts(&error);
                if code == "ValidationError" && message.contains("does not exist") {
                    return Ok(None);
                }
                Err(self.failed(&format!("look at stack `{stack}`"), (code, message)))
            }
        }
    }

    /// A change set, or none if nothing is to be changed.
    pub async fn prepare(&self, request: &Request<'_>) -> anyhow::Result<Option<Prepared>> {
        let Request { stack, parameters, tags, is_update, .. } = request;
        let name = token()?;
        let mut create = self
            .client
            .create_change_set()
            .stack_name(*stack)
            .change_set_name(&name)
            // Else a repetition, of a call whose answer was lost, finds the name taken.
            .client_token(&name)
            .change_set_type(if *is_update { ChangeSetType::Update } else { ChangeSetType::Create })
            .capabilities(Capability::CapabilityNamedIam)
            .capabilities(Capability::CapabilityAutoExpand)
            // Tables, queues and buckets that an earlier stack left are taken in again.
            .import_existing_resources(true)
            .set_parameters(Some(parameters.iter().map(parameter).collect()));
        create = match &request.template {
            TemplateAt::Body(text) => create.template_body(text),
            TemplateAt::Url(url) => create.template_url(url),
        };
        if !tags.is_empty() {
            let tag =
                |(key, value): (&String, &String)| Tag::builder().key(key).value(value).build();
            create = create.set_tags(Some(tags.iter().map(tag).collect()));
        }
        let created = create.send().await.map_err(|error| {
            let (code, message) = sdk_error_parts(&error);
            let parts = (code, without_secrets(&message, parameters));
            self.failed(&format!("prepare a change of stack `{stack}`"), parts)
        })?;
        let change_set = created.id().context("a change set has no id")?.to_owned();
        let stack_id = created.stack_id().context("a change set has no stack")?.to_owned();
        let described = self.described(&change_set).await?;
        if described.status() == Some(&ChangeSetStatus::CreateComplete) {
            let changes = self.changes(&change_set, described).await?;
            let is_all = request.is_new;
            return Ok(Some(Prepared { change_set, stack_id, is_all, changes }));
        }
        let mut reason = described.status_reason().unwrap_or("no reason is given").to_owned();
        if reason.contains("DescribeEvents") {
            let found = self.validation_errors(&stack_id, Some(&change_set)).await?;
            reason = format!("{reason} {}", found.join("; "));
        }
        let is_all = request.is_new;
        self.discard(&Prepared { change_set, stack_id, is_all, changes: Vec::new() }).await;
        if says_that_nothing_changes(&reason) {
            return Ok(None);
        }
        let reason = without_secrets(&reason, parameters);
        bail!(
            "failed to prepare a change of stack `{stack}` in {}: {}",
            self.place,
            printable(&reason)
        )
    }

    /// A change set once it is made, or cannot be.
    async fn described(&self, change_set: &str) -> anyhow::Result<DescribeChangeSetOutput> {
        let mut pace = Pace::default();
        loop {
            let described = self.client.describe_change_set().change_set_name(change_set);
            let described = described.send().await.map_err(|error| {
                self.failed(&format!("look at change set `{change_set}`"), sdk_error_parts(&error))
            })?;
            use ChangeSetStatus::{CreateInProgress, CreatePending};
            match described.status() {
                Some(CreatePending | CreateInProgress) | None => pace.wait().await,
                Some(_) => return Ok(described),
            }
        }
    }

    async fn changes(
        &self,
        change_set: &str,
        first: DescribeChangeSetOutput,
    ) -> anyhow::Result<Vec<Change>> {
        let mut changes: Vec<Change> = first.changes().iter().filter_map(change).collect();
        let mut next = first.next_token().map(str::to_owned);
        while let Some(token) = next {
            let page = self.client.describe_change_set().change_set_name(change_set);
            let page = page.next_token(token).send().await.map_err(|error| {
                self.failed(&format!("look at change set `{change_set}`"), sdk_error_parts(&error))
            })?;
            changes.extend(page.changes().iter().filter_map(change));
            next = page.next_token().map(str::to_owned);
        }
        Ok(changes)
    }

    /// Deletes a change set, and the stack that is nothing but it. If it cannot, it says so: what
    /// comes of the command does not depend on it.
    pub async fn discard(&self, prepared: &Prepared) {
        if let Err(error) = self.discarded(prepared).await {
            say(&format!("warning: {error:#}"));
        }
    }

    async fn discarded(&self, prepared: &Prepared) -> anyhow::Result<()> {
        let Prepared { change_set, stack_id, is_all, .. } = prepared;
        let delete = self.client.delete_change_set().change_set_name(change_set);
        delete.stack_name(stack_id).send().await.map_err(|error| {
            self.failed(&format!("delete change set `{change_set}`"), sdk_error_parts(&error))
        })?;
        if !is_all {
            return Ok(());
        }
        let stack = self.find(stack_id).await?;
        if stack.is_some_and(|stack| stack.status == "REVIEW_IN_PROGRESS") {
            self.start_deletion(stack_id).await?;
        }
        Ok(())
    }

    /// Carries a change set out, following the stack.
    ///
    /// # Errors
    /// [`Stopped::Failed`] if the stack could not be changed.
    pub async fn execute(&self, stack: &str, prepared: &Prepared) -> anyhow::Result<()> {
        let mark = self.mark(&prepared.stack_id).await?;
        let execute = self.client.execute_change_set().change_set_name(&prepared.change_set);
        let execute = execute.client_request_token(token()?).send().await;
        execute.map_err(|error| {
            let doing = format!("execute change set `{}`", prepared.change_set);
            self.failed(&doing, sdk_error_parts(&error))
        })?;
        let ended = self.follow(&prepared.stack_id, mark).await?;
        if matches!(ended.status.as_str(), "CREATE_COMPLETE" | "UPDATE_COMPLETE") {
            // Of what was replaced or removed; nobody tries again.
            if let Some(failure) = ended.failure {
                say(&format!("warning: left behind: {failure}"));
            }
            return Ok(());
        }
        let mut why = ended.failure.unwrap_or_default();
        // The events only hint at what was found wrong before anything was begun.
        if why.contains("DescribeEvents") {
            let found = self.validation_errors(&prepared.stack_id, None).await?;
            why = format!("{why} {}", found.join("; "));
        }
        Err(self.stopped(stack, &ended.status, &why))
    }

    /// Deletes a stack, following it.
    ///
    /// # Errors
    /// [`Stopped::Failed`] if the stack could not be deleted.
    pub async fn delete(&self, stack: &str, stack_id: &str) -> anyhow::Result<()> {
        let mark = self.mark(stack_id).await?;
        self.start_deletion(stack_id).await?;
        let ended = self.follow(stack_id, mark).await?;
        if ended.status == "DELETE_COMPLETE" {
            return Ok(());
        }
        Err(self.stopped(stack, &ended.status, &ended.failure.unwrap_or_default()))
    }

    fn stopped(&self, stack: &str, status: &str, why: &str) -> anyhow::Error {
        let why = if why.is_empty() { "its events name no reason" } else { why };
        let place = &self.place;
        Stopped::Failed(printable(&format!("stack `{stack}` in {place} is {status}: {why}"))).into()
    }

    /// Begins to delete a stack.
    async fn start_deletion(&self, stack_id: &str) -> anyhow::Result<()> {
        let delete = self.client.delete_stack().stack_name(stack_id);
        delete.client_request_token(token()?).send().await.map_err(|error| {
            self.failed(&format!("delete stack `{stack_id}`"), sdk_error_parts(&error))
        })?;
        Ok(())
    }

    /// The template that a stack was deployed with, as it was uploaded.
    pub async fn template(&self, stack: &str) -> anyhow::Result<String> {
        let get = self.client.get_template().stack_name(stack);
        let got = get.template_stage(TemplateStage::Original).send().await.map_err(|error| {
            self.failed(&format!("read the template of stack `{stack}`"), sdk_error_parts(&error))
        })?;
        got.template_body().map(str::to_owned).context("a stack has no template")
    }

    /// The physical ids of a stack's resources, by their logical ids.
    pub async fn physical_ids(&self, stack: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let mut pages =
            self.client.list_stack_resources().stack_name(stack).into_paginator().send();
        let mut ids = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| {
                self.failed(
                    &format!("list the resources of stack `{stack}`"),
                    sdk_error_parts(&error),
                )
            })?;
            for resource in page.stack_resource_summaries() {
                let logical = resource.logical_resource_id().unwrap_or_default();
                let physical = resource.physical_resource_id().unwrap_or_default();
                ids.insert(logical.to_owned(), physical.to_owned());
            }
        }
        Ok(ids)
    }

    /// What CloudFormation found wrong before it began, a line each.
    async fn validation_errors(
        &self,
        stack_id: &str,
        change_set: Option<&str>,
    ) -> anyhow::Result<Vec<String>> {
        let describe = self.client.describe_events().stack_name(stack_id);
        let describe = describe.set_change_set_name(change_set.map(str::to_owned));
        let found = describe.send().await.map_err(|error| {
            self.failed(&format!("read the events of stack `{stack_id}`"), sdk_error_parts(&error))
        })?;
        let line = |event: &OperationEvent| {
            let why = event.validation_status_reason()?;
            let id = event.logical_resource_id().unwrap_or_default();
            Some(format!("{id}: {}", events::harmless(why)))
        };
        Ok(found.operation_events().iter().filter_map(line).collect())
    }

    /// The error of a call, which says what it was to do.
    pub fn failed(&self, doing: &str, (code, message): (String, String)) -> anyhow::Error {
        anyhow::anyhow!("failed to {doing} in {}: {code}: {}", self.place, printable(&message))
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

/// A tag that is not AWS's own.
fn tag(tag: &Tag) -> Option<(String, String)> {
    let is_own = tag.key()?.starts_with("aws:");
    (!is_own).then_some((tag.key()?.to_owned(), tag.value()?.to_owned()))
}

fn parameter((name, value): (&String, &Value)) -> Parameter {
    let parameter = Parameter::builder().parameter_key(name);
    match value {
        Value::Text(text) => parameter.parameter_value(text),
        Value::Secret(secret) => parameter.parameter_value(secret.expose()),
        Value::Previous => parameter.use_previous_value(true),
    }
    .build()
}

fn change(change: &aws_sdk_cloudformation::types::Change) -> Option<Change> {
    let change = change.resource_change()?;
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    Some(Change {
        action: change.action().map_or("", ChangeAction::as_str).to_owned(),
        logical_id: text(change.logical_resource_id()),
        kind: text(change.resource_type()),
        replacement: match change.replacement() {
            Some(Replaced::True) => Replacement::Yes,
            Some(Replaced::False) => Replacement::No,
            Some(_) => Replacement::Maybe,
            None => Replacement::None,
        },
        is_retained: change.policy_action() == Some(&PolicyAction::Retain),
    })
}

/// CloudFormation calls a change set without changes a failure.
fn says_that_nothing_changes(reason: &str) -> bool {
    reason.contains("didn't contain changes") || reason.contains("No updates are to be performed")
}

/// What an error says may repeat what it was told.
fn without_secrets(message: &str, parameters: &BTreeMap<String, Value>) -> String {
    let secrets = parameters.values().filter_map(|value| match value {
        Value::Secret(secret) if !secret.expose().is_empty() => Some(secret.expose()),
        _ => None,
    });
    let mut secrets: Vec<&str> = secrets.collect();
    // One may begin with another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.iter().fold(message.to_owned(), |message, secret| {
        let in_json = serde_json::Value::from(*secret).to_string();
        let in_json = in_json.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        message.replace(in_json.unwrap_or(secret), "…").replace(secret, "…")
    })
}

/// A name for a change set, or for a call that may be repeated.
fn token() -> anyhow::Result<String> {
    let number = getrandom::u64().map_err(|error| anyhow::anyhow!("{error}"));
    Ok(format!("landfall-{:016x}", number.context("failed to name a change set")?))
}

#[cfg(test)]
mod tests {
    use landfall_core::secret::Secret;

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

    #[test]
    fn no_secret_comes_back_in_an_error() {
        let parameters = BTreeMap::from([
            ("ExternalId".to_owned(), Value::Secret(Secret::new("hunter2"))),
            ("Empty".to_owned(), Value::Secret(Secret::new(""))),
            ("Longer".to_owned(), Value::Secret(Secret::new("hunter23\""))),
        ]);
        let told = without_secrets("value 'hunter2' is not allowed", &parameters);
        assert_eq!(told, "value '…' is not allowed");
        let told = without_secrets(r#"{"x":"hunter23\""}, hunter23""#, &parameters);
        assert_eq!(told, r#"{"x":"…"}, …"#);
    }
}
