//! Stacks: how they are, what they ask for, and which routes they were deployed with.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::types::{Parameter, Stack, StackStatus, TemplateStage};
use landfall_aws::sdk_error::sdk_error_parts;
use landfall_core::moment::Time;

use crate::look::{Call, Seen, Unseen};
use crate::requested::Requested;
use crate::{Clients, s3};

const DESCRIBE: Call = Call { operation: "DescribeStacks", missing: &[] };
const RESOURCES: Call = Call { operation: "ListStackResources", missing: &[] };
const TEMPLATE: Call = Call { operation: "GetTemplate", missing: &[] };

/// The output in which each of Landfall's templates says which version it belongs to.
pub const VERSION: &str = "LandfallVersion";

/// A stack that exists.
#[derive(Debug, Clone)]
pub struct Deployed {
    /// The stack's name.
    pub name: String,
    /// Its ARN.
    pub id: String,
    /// Its status, such as `UPDATE_COMPLETE`.
    pub status: String,
    /// The values of its parameters. CloudFormation shows asterisks for secrets.
    pub parameters: BTreeMap<String, String>,
    /// The version of Landfall that its template belongs to; `None` if the template is older than that output.
    pub version: Option<String>,
    /// The physical IDs of its resources by their logical IDs.
    pub ids: Seen<BTreeMap<String, String>>,
}

impl Deployed {
    /// Returns the value of a parameter that isn't empty.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns the physical ID of a resource.
    pub(crate) fn id(&self, logical_id: &str) -> Seen<&str> {
        match &self.ids {
            Ok(ids) => ids.get(logical_id).map(String::as_str).ok_or(Unseen::Missing),
            Err(unseen) => Err(unseen.clone()),
        }
    }
}

/// Looks at the stack of this name.
///
/// # Errors
/// Says why it wasn't seen.
pub async fn stack(clients: &Clients, name: &str) -> Seen<Deployed> {
    let stack = described(&clients.cloudformation, name).await?;
    let status = stack.stack_status.as_ref().map(|status| status.as_str().to_owned());
    let version = version_of(&stack);
    let parameter =
        |it: Parameter| Some((it.parameter_key?, it.parameter_value.unwrap_or_default()));
    let parameters = stack.parameters.into_iter().flatten().filter_map(parameter).collect();
    Ok(Deployed {
        name: name.to_owned(),
        id: stack.stack_id.unwrap_or_default(),
        status: status.unwrap_or_default(),
        parameters,
        version,
        ids: ids(clients, name).await,
    })
}

/// Returns when CloudFormation began to change the stack last, or to make it.
///
/// # Errors
/// Says why the stack wasn't seen.
pub async fn changed_at(clients: &Clients, name: &str) -> Seen<Time> {
    let stack = described(&clients.cloudformation, name).await?;
    let at = stack.last_updated_time.or(stack.creation_time);
    let at = at.and_then(|at| u64::try_from(at.to_millis().ok()?).ok());
    at.map(Time).ok_or_else(|| DESCRIBE.failed("the stack has no time"))
}

/// Returns the version of Landfall that a stack's template belongs to; `None` if the template is older than that output.
///
/// # Errors
/// Says why the stack wasn't seen.
pub async fn version(clients: &Clients, name: &str) -> Seen<Option<String>> {
    Ok(version_of(&described(&clients.cloudformation, name).await?))
}

/// Looks at the status of the stack of this name, and at nothing else of it.
pub(crate) async fn status(client: &Client, name: &str) -> Seen<String> {
    let status = described(client, name).await?.stack_status;
    let status = status.ok_or_else(|| DESCRIBE.failed("the answer has no status"))?;
    Ok(status.as_str().to_owned())
}

/// Returns the value of a stack's parameter; `None` if its template has no such parameter.
///
/// # Errors
/// Says why the stack wasn't seen.
pub async fn parameter(clients: &Clients, stack: &str, name: &str) -> Seen<Option<String>> {
    let parameters = described(&clients.cloudformation, stack).await?.parameters;
    let mut all = parameters.into_iter().flatten();
    let found = all.find(|it| it.parameter_key.as_deref() == Some(name));
    Ok(found.and_then(|it| it.parameter_value))
}

/// Returns the value of a stack's output; `None` if its template has no such output.
///
/// # Errors
/// Says why the stack wasn't seen.
pub async fn output(clients: &Clients, stack: &str, name: &str) -> Seen<Option<String>> {
    Ok(output_of(&described(&clients.cloudformation, stack).await?, name))
}

fn version_of(stack: &Stack) -> Option<String> {
    output_of(stack, VERSION)
}

fn output_of(stack: &Stack, name: &str) -> Option<String> {
    let output = stack.outputs().iter().find(|output| output.output_key() == Some(name))?;
    output.output_value().filter(|value| !value.is_empty()).map(str::to_owned)
}

async fn described(client: &Client, name: &str) -> Seen<Stack> {
    let answer = client.describe_stacks().stack_name(name).send().await;
    if let Err(error) = &answer {
        let (code, message) = sdk_error_parts(error);
        if code == "ValidationError" && message.contains("does not exist") {
            return Err(Unseen::Missing);
        }
    }
    let stacks = DESCRIBE.seen(answer)?.stacks.unwrap_or_default();
    let stack = stacks.into_iter().next().ok_or(Unseen::Missing)?;
    // A stack that consists of a change set only has nothing yet.
    if stack.stack_status == Some(StackStatus::ReviewInProgress) {
        return Err(Unseen::Missing);
    }
    Ok(stack)
}

async fn ids(clients: &Clients, stack: &str) -> Seen<BTreeMap<String, String>> {
    let list = clients.cloudformation.list_stack_resources().stack_name(stack);
    let mut pages = list.into_paginator().send();
    let mut ids = BTreeMap::new();
    while let Some(page) = pages.next().await {
        for it in RESOURCES.seen(page)?.stack_resource_summaries.unwrap_or_default() {
            ids.extend(it.logical_resource_id.zip(it.physical_resource_id));
        }
    }
    Ok(ids)
}

/// Reads what a stack asks for.
///
/// # Errors
/// Says why it wasn't seen. If the stack wasn't seen, this wasn't either.
pub async fn requested(clients: &Clients, stack: &Seen<Deployed>) -> Seen<Requested> {
    let stack = stack.as_ref().map_err(Clone::clone)?;
    let get = clients.cloudformation.get_template().stack_name(&stack.name);
    let answer = get.template_stage(TemplateStage::Processed).send().await;
    let template = TEMPLATE.seen(answer)?.template_body.unwrap_or_default();
    let ids = stack.ids.clone()?;
    let read = Requested::new(&template, &stack.id, &stack.parameters, ids);
    read.map_err(|error| TEMPLATE.failed(format!("{error:#}")))
}

/// Reads the routes file that the stack was deployed with, which its template names.
///
/// # Errors
/// Says why it wasn't seen.
pub async fn routes(clients: &Clients, stack: &str) -> Seen<String> {
    let get = clients.cloudformation.get_template().stack_name(stack);
    let answer = get.template_stage(TemplateStage::Original).send().await;
    let template = TEMPLATE.seen(answer)?.template_body.unwrap_or_default();
    let (bucket, key) = place_of_routes(&template)
        .ok_or_else(|| TEMPLATE.failed("the template names no routes file in S3"))?;
    s3::object(clients, bucket, key).await
}

/// Finds the object that `AWS::Include` inserts the routes from. Every deployment tool writes `s3://BUCKET/KEY` there.
fn place_of_routes(template: &str) -> Option<(&str, &str)> {
    let is_between = |c: char| c.is_whitespace() || "\"':,{}".contains(c);
    let mut rest = template;
    while let Some((_, after)) = rest.split_once("AWS::Include") {
        // The location comes soon, in YAML and in JSON.
        let until = after.find("AWS::Include").unwrap_or(after.len());
        let mut words = after[..until].split(is_between).filter(|word| !word.is_empty());
        // The colon of `s3://` separates words too.
        if let Some(path) = words.by_ref().skip_while(|word| *word != "s3").nth(1)
            && let Some((bucket, key)) = path.strip_prefix("//").and_then(|it| it.split_once('/'))
        {
            return Some((bucket, key));
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_routes_are_where_the_template_includes_them_from() {
        let yaml = "      Routes:\n        Fn::Transform:\n          Name: AWS::Include\n          Parameters:\n            \
            Location: s3://acme-artifacts/landfall/0f/routes.yaml\n      BucketNames: !Ref X\n";
        let json = r#"{"Fn::Transform":{"Name":"AWS::Include","Parameters":{"Location":"s3://b/k.yaml"}}}"#;
        let local = "Name: AWS::Include\nParameters:\n  Location: routes.yaml\nCodeUri: s3 x\n";
        assert_eq!(place_of_routes(yaml), Some(("acme-artifacts", "landfall/0f/routes.yaml")));
        assert_eq!(place_of_routes(json), Some(("b", "k.yaml")));
        assert_eq!(place_of_routes(&format!("{local}{yaml}")), place_of_routes(yaml));
        assert_eq!(place_of_routes(local), None);
        assert_eq!(place_of_routes("Resources: {}"), None);
    }
}
