//! Creates, updates and deletes CloudFormation stacks for tests.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aws_credential_types::Credentials;
use aws_sdk_cloudformation::config::Region;
use aws_sdk_cloudformation::error::DisplayErrorContext;
use aws_sdk_cloudformation::types::{Capability, Parameter};
use aws_sdk_cloudformation::{Client, Config};
use landfall_aws::config::http_client;

use crate::REGION;
use crate::emulator::Emulator;

/// The longest time that a stack may take.
const TIME_TO_SETTLE: Duration = Duration::from_secs(180);

/// The stacks of one account.
pub struct Stacks {
    client: Client,
}

/// How a change of a stack ended.
#[derive(Debug)]
pub struct Outcome {
    /// The stack's status, such as `CREATE_COMPLETE` or `ROLLBACK_COMPLETE`.
    pub status: String,
    /// What failed, and why, oldest first.
    pub failures: Vec<String>,
}

impl Outcome {
    /// Returns the outcome if it is `status`.
    ///
    /// # Errors
    /// It ended with another status.
    pub fn expect(self, status: &str) -> Result<Outcome> {
        if self.status != status {
            bail!("the stack is {}, not {status}:\n  {}", self.status, self.failures.join("\n  "));
        }
        Ok(self)
    }
}

impl Stacks {
    pub fn new(emulator: &Emulator, credentials: Credentials) -> Stacks {
        let config = Config::builder()
            .region(Region::new(REGION))
            .endpoint_url(emulator.endpoint())
            .credentials_provider(credentials)
            .http_client(http_client())
            .build();
        Stacks { client: Client::from_conf(config) }
    }

    pub async fn create(&self, name: &str, template: &str) -> Result<Outcome> {
        let create = self.client.create_stack().stack_name(name).template_body(template);
        create.send().await.with_context(|| format!("failed to create stack `{name}`"))?;
        self.settled(name).await
    }

    pub async fn update(&self, name: &str, template: &str) -> Result<Outcome> {
        let update = self.client.update_stack().stack_name(name).template_body(template);
        update.send().await.with_context(|| format!("failed to update stack `{name}`"))?;
        self.settled(name).await
    }

    /// Sets one parameter. Everything else stays as it was deployed.
    pub async fn set(&self, name: &str, parameter: &str, value: &str) -> Result<Outcome> {
        let found = self.client.describe_stacks().stack_name(name).send().await?;
        let stack = found.stacks().first().with_context(|| format!("no stack `{name}`"))?;
        let others = stack.parameters().iter().filter_map(|parameter| parameter.parameter_key());
        let others = others
            .filter(|key| *key != parameter)
            .map(|key| Parameter::builder().parameter_key(key).use_previous_value(true).build());
        let its = Parameter::builder().parameter_key(parameter).parameter_value(value).build();
        let update = self.client.update_stack().stack_name(name).use_previous_template(true);
        let update = update
            .capabilities(Capability::CapabilityNamedIam)
            .capabilities(Capability::CapabilityAutoExpand)
            .set_parameters(Some(others.chain([its]).collect()));
        update.send().await.with_context(|| format!("failed to update stack `{name}`"))?;
        self.settled(name).await
    }

    pub async fn delete(&self, name: &str) -> Result<Outcome> {
        // Wait by ID, because a deleted stack can't be found by its name.
        let id = self.id(name).await?;
        let delete = self.client.delete_stack().stack_name(name);
        delete.send().await.with_context(|| format!("failed to delete stack `{name}`"))?;
        self.settled(&id).await
    }

    pub async fn id(&self, name: &str) -> Result<String> {
        let found = self.client.describe_stacks().stack_name(name).send().await?;
        let id = found.stacks().first().and_then(|stack| stack.stack_id());
        id.map(str::to_owned).with_context(|| format!("stack `{name}` has no ID"))
    }

    pub async fn output(&self, name: &str, key: &str) -> Result<String> {
        let found = self.client.describe_stacks().stack_name(name).send().await?;
        let outputs = found.stacks().first().map(|stack| stack.outputs()).unwrap_or_default();
        let output = outputs.iter().find(|output| output.output_key() == Some(key));
        let value = output.and_then(|output| output.output_value());
        value.map(str::to_owned).with_context(|| format!("stack `{name}` has no output `{key}`"))
    }

    async fn settled(&self, name: &str) -> Result<Outcome> {
        let deadline = Instant::now() + TIME_TO_SETTLE;
        loop {
            let found = match self.client.describe_stacks().stack_name(name).send().await {
                Ok(found) => found,
                Err(error)
                    if DisplayErrorContext(&error).to_string().contains("does not exist") =>
                {
                    return Ok(Outcome { status: "DELETE_COMPLETE".to_owned(), failures: vec![] });
                }
                Err(error) => return Err(error.into()),
            };
            let stack = found.stacks().first().with_context(|| format!("no stack `{name}`"))?;
            let status = stack.stack_status().context("the stack has no status")?;
            if !status.as_str().ends_with("_IN_PROGRESS") {
                let failures = self.failures(name).await?;
                return Ok(Outcome { status: status.as_str().to_owned(), failures });
            }
            if Instant::now() > deadline {
                bail!("stack `{name}` is still {status}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn failures(&self, name: &str) -> Result<Vec<String>> {
        let events = self.client.describe_stack_events().stack_name(name).send().await?;
        let failed = events.stack_events().iter().rev().filter(|event| {
            event.resource_status().is_some_and(|status| status.as_str().ends_with("FAILED"))
        });
        let line = |event: &aws_sdk_cloudformation::types::StackEvent| {
            let id = event.logical_resource_id().unwrap_or_default();
            format!("{id}: {}", event.resource_status_reason().unwrap_or_default())
        };
        Ok(failed.map(line).collect())
    }
}
