//! Change sets: prepared, read back, and executed or discarded.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use aws_sdk_cloudformation::operation::describe_change_set::DescribeChangeSetOutput;
use aws_sdk_cloudformation::types::{
    Capability, ChangeSetStatus, ChangeSetType, OperationEvent, Parameter, Tag,
};
use landfall_aws::sdk_error::sdk_error_parts;

use crate::Value;
use crate::change::Change;
use crate::pace::Pace;
use crate::stack::{Observed, Stacks, token};

/// The desired form of a stack.
#[derive(Debug)]
pub struct Request<'a> {
    /// The stack's name.
    pub stack: &'a str,
    /// Where its template is.
    pub template: TemplateAt,
    /// The values of its parameters.
    pub parameters: &'a BTreeMap<String, Value>,
    /// Its tags. If there are none, it keeps those that it has.
    pub tags: &'a BTreeMap<String, String>,
    /// Whether the stack exists, so that the change set updates it.
    pub is_update: bool,
    /// Whether nothing has that name, not even somebody's change set.
    pub is_new: bool,
}

/// The place of a template. CloudFormation takes a template of more than 51,200 bytes only from S3.
#[derive(Debug)]
pub enum TemplateAt {
    /// The template itself.
    Body(String),
    /// The URL of the template in S3.
    Url(String),
    /// The template that the stack has. Nothing that earlier stacks left is imported.
    Previous,
}

/// A change set that is ready to execute.
#[derive(Debug)]
pub struct Prepared {
    /// The change set's ARN.
    pub change_set: String,
    /// The stack's ARN.
    pub stack_id: String,
    /// Whether the stack consists of this change set only.
    pub is_all: bool,
    /// What it would change, read back completely.
    pub changes: Vec<Change>,
}

/// What came of the request for a change set.
#[derive(Debug)]
pub enum Preparation {
    /// The change set is ready.
    Ready(Prepared),
    /// Nothing would change. The change set is there all the same, and is to be discarded.
    Unchanged(Prepared),
}

impl Stacks {
    /// Creates a change set and waits until it is ready.
    ///
    /// # Errors
    /// Fails if CloudFormation refuses it, can't make the change set, or doesn't answer. No error repeats a secret.
    pub async fn prepare(&self, request: &Request<'_>) -> anyhow::Result<Preparation> {
        let Request { stack, parameters, tags, is_update, .. } = request;
        let name = token()?;
        let mut create = self
            .client
            .create_change_set()
            .stack_name(*stack)
            .change_set_name(&name)
            // Without it, a retry after a lost answer finds the name taken.
            .client_token(&name)
            .change_set_type(if *is_update { ChangeSetType::Update } else { ChangeSetType::Create })
            .capabilities(Capability::CapabilityNamedIam)
            .capabilities(Capability::CapabilityAutoExpand)
            .set_parameters(Some(parameters.iter().map(parameter).collect()));
        // The stack adopts the tables, queues and buckets that an earlier stack left.
        create = match &request.template {
            TemplateAt::Body(text) => create.template_body(text).import_existing_resources(true),
            TemplateAt::Url(url) => create.template_url(url).import_existing_resources(true),
            TemplateAt::Previous => create.use_previous_template(true),
        };
        if !tags.is_empty() {
            let tag =
                |(key, value): (&String, &String)| Tag::builder().key(key).value(value).build();
            create = create.set_tags(Some(tags.iter().map(tag).collect()));
        }
        let created = create.send().await.map_err(|error| {
            let (code, message) = sdk_error_parts(&error);
            let parts = (code, without_secrets(&message, parameters));
            self.failure(&format!("prepare a change of stack `{stack}`"), parts)
        })?;
        let change_set = created.id().context("a change set has no id")?.to_owned();
        let stack_id = created.stack_id().context("a change set has no stack")?.to_owned();
        let mut prepared =
            Prepared { change_set, stack_id, is_all: request.is_new, changes: Vec::new() };
        let described = self.described(&prepared).await?;
        if described.status() == Some(&ChangeSetStatus::CreateComplete) {
            prepared.changes = self.changes(&prepared, described).await?;
            return Ok(Preparation::Ready(prepared));
        }
        let mut reason = described.status_reason().unwrap_or("no reason is given").to_owned();
        if reason.contains("DescribeEvents") {
            let Prepared { change_set, stack_id, .. } = &prepared;
            let found = self.validation_errors(stack_id, Some(change_set)).await?;
            reason = format!("{reason} {}", found.join("; "));
        }
        if says_that_nothing_changes(&reason) {
            return Ok(Preparation::Unchanged(prepared));
        }
        let mut reason = without_secrets(&reason, parameters);
        if let Err(error) = self.discard(&prepared).await {
            reason = format!("{reason}; {error:#}");
        }
        bail!("failed to prepare a change of stack `{stack}` in {}: {reason}", self.place)
    }

    /// The call names the stack too, because permissions are given on the stack.
    async fn describe(
        &self,
        prepared: &Prepared,
        token: Option<String>,
    ) -> anyhow::Result<DescribeChangeSetOutput> {
        let Prepared { change_set, stack_id, .. } = prepared;
        let describe = self.client.describe_change_set().change_set_name(change_set);
        let described = describe.stack_name(stack_id).set_next_token(token).send().await;
        described.map_err(self.failed(format!("read change set `{change_set}`")))
    }

    /// Waits until CloudFormation has made the change set or has given up, and returns it.
    async fn described(&self, prepared: &Prepared) -> anyhow::Result<DescribeChangeSetOutput> {
        let mut pace = Pace::default();
        loop {
            let described = self.describe(prepared, None).await?;
            use ChangeSetStatus::{CreateInProgress, CreatePending};
            match described.status() {
                Some(CreatePending | CreateInProgress) | None => pace.wait().await,
                Some(_) => return Ok(described),
            }
        }
    }

    async fn changes(
        &self,
        prepared: &Prepared,
        first: DescribeChangeSetOutput,
    ) -> anyhow::Result<Vec<Change>> {
        let mut changes: Vec<Change> = first.changes().iter().filter_map(Change::read).collect();
        let mut next = first.next_token().map(str::to_owned);
        while next.is_some() {
            let page = self.describe(prepared, next).await?;
            changes.extend(page.changes().iter().filter_map(Change::read));
            next = page.next_token().map(str::to_owned);
        }
        Ok(changes)
    }

    /// Deletes a change set, and the stack if it consists of this change set only.
    ///
    /// # Errors
    /// Fails if CloudFormation refuses it or doesn't answer.
    pub async fn discard(&self, prepared: &Prepared) -> anyhow::Result<()> {
        let Prepared { change_set, stack_id, is_all, .. } = prepared;
        let delete = self.client.delete_change_set().change_set_name(change_set);
        let deleted = delete.stack_name(stack_id).send().await;
        deleted.map_err(self.failed(format!("delete change set `{change_set}`")))?;
        let is_empty = |stack: Observed| stack.status == "REVIEW_IN_PROGRESS";
        if *is_all && self.find(stack_id).await?.is_some_and(is_empty) {
            self.start_deletion(stack_id).await?;
        }
        Ok(())
    }

    /// Starts the execution of a change set. CloudFormation goes on by itself.
    ///
    /// # Errors
    /// Fails if CloudFormation refuses it or doesn't answer.
    pub async fn start(&self, prepared: &Prepared) -> anyhow::Result<()> {
        let Prepared { change_set, stack_id, .. } = prepared;
        let execute = self.client.execute_change_set().change_set_name(change_set);
        let execute = execute.stack_name(stack_id).client_request_token(token()?);
        let executed = execute.send().await;
        let failed = self.failed(format!("execute change set `{change_set}`"));
        executed.map_err(failed).map(drop)
    }

    /// Returns what CloudFormation found wrong before it began, one line for each error.
    ///
    /// # Errors
    /// Fails if CloudFormation refuses to tell or doesn't answer.
    pub async fn validation_errors(
        &self,
        stack_id: &str,
        change_set: Option<&str>,
    ) -> anyhow::Result<Vec<String>> {
        let describe = self.client.describe_events().stack_name(stack_id);
        let describe = describe.set_change_set_name(change_set.map(str::to_owned));
        let found = describe.send().await;
        let found = found.map_err(self.failed(format!("read the events of stack `{stack_id}`")))?;
        let line = |event: &OperationEvent| {
            let why = event.validation_status_reason()?;
            let id = event.logical_resource_id().unwrap_or_default();
            Some(format!("{id}: {}", harmless(why)))
        };
        Ok(found.operation_events().iter().filter_map(line).collect())
    }
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

/// Tells a change set without changes from a failure: CloudFormation reports both as failed.
fn says_that_nothing_changes(reason: &str) -> bool {
    reason.contains("didn't contain changes") || reason.contains("No updates are to be performed")
}

/// Hides secrets in an error message, which can repeat the parameters of the call.
fn without_secrets(message: &str, parameters: &BTreeMap<String, Value>) -> String {
    let secrets = parameters.values().filter_map(|value| match value {
        Value::Secret(secret) if !secret.expose().is_empty() => Some(secret.expose()),
        _ => None,
    });
    let mut secrets: Vec<&str> = secrets.collect();
    // Longer secrets go first, because one can begin with another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.iter().fold(message.to_owned(), |message, secret| {
        let in_json = serde_json::Value::from(*secret).to_string();
        let in_json = in_json.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        message.replace(in_json.unwrap_or(secret), "…").replace(secret, "…")
    })
}

/// Cuts off what a reason can repeat: if a function's variables are too long, Lambda shows all of them.
pub fn harmless(reason: &str) -> &str {
    reason.split("String measured").next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use landfall_core::secret::Secret;

    use super::*;

    #[test]
    fn a_reason_repeats_no_variables_of_a_function() {
        assert_eq!(harmless("over 4KB. String measured: {\"X\":\"hush\"}"), "over 4KB. ");
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
