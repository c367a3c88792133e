//! CloudFormation: reports stacks, their templates, resources and events. It changes nothing: a
//! test sets the state of a stack.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::call::Answer;

/// The number of events or resources on a page.
const PAGE: usize = 100;

/// A resource of a stack, or an event about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StackResource {
    pub logical_id: String,
    /// The physical ID, or an empty text if the resource has none.
    pub physical_id: String,
    /// The type, such as `Custom::…`.
    pub resource_type: String,
    /// A status such as `CREATE_IN_PROGRESS`.
    pub status: String,
}

impl StackResource {
    pub fn new(logical_id: &str, physical_id: &str, resource_type: &str, status: &str) -> Self {
        let [logical_id, physical_id, resource_type, status] =
            [logical_id, physical_id, resource_type, status].map(str::to_owned);
        Self { logical_id, physical_id, resource_type, status }
    }

    fn xml(&self) -> String {
        let Self { logical_id, physical_id, resource_type, status } = self;
        let physical_id = match physical_id.is_empty() {
            true => String::new(),
            false => format!("<PhysicalResourceId>{physical_id}</PhysicalResourceId>"),
        };
        format!(
            "<LogicalResourceId>{logical_id}</LogicalResourceId>{physical_id}\
             <ResourceType>{resource_type}</ResourceType><ResourceStatus>{status}</ResourceStatus>"
        )
    }
}

/// A stack as CloudFormation reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    pub status: String,
    pub resources: Vec<StackResource>,
    /// The events, newest first.
    pub events: Vec<StackResource>,
    /// The outputs by name.
    pub outputs: BTreeMap<String, String>,
    /// The parameters by name, with the values that CloudFormation shows.
    pub parameters: BTreeMap<String, String>,
    /// The processed template.
    pub template: String,
}

impl Stack {
    fn outputs(&self) -> String {
        let output = |(name, value): (&String, &String)| {
            format!(
                "<member><OutputKey>{name}</OutputKey><OutputValue>{value}</OutputValue></member>"
            )
        };
        self.outputs.iter().map(output).collect()
    }

    fn parameters(&self) -> String {
        let parameter = |(name, value): (&String, &String)| {
            let value = escaped(value);
            format!(
                "<member><ParameterKey>{name}</ParameterKey><ParameterValue>{value}\
                 </ParameterValue></member>"
            )
        };
        self.parameters.iter().map(parameter).collect()
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[derive(Debug, Default)]
pub(crate) struct CloudFormation {
    /// The stacks by ID.
    pub(crate) stacks: BTreeMap<String, Stack>,
}

impl CloudFormation {
    pub(crate) fn serve(&self, operation: &str, form: &Value) -> Answer {
        let text = |name: &str| form[name].as_str().unwrap_or_default();
        let missing = |what: String| Answer::error("query", 400, "ValidationError", &what);
        let name = text("StackName");
        let is_it = |(id, _): &(&String, &Stack)| *id == name || name_of(id) == name;
        let Some((id, stack)) = self.stacks.iter().find(is_it) else {
            return missing(format!("Stack with id {name} does not exist"));
        };
        let result = match operation {
            "DescribeStacks" => format!(
                "<Stacks><member><StackId>{id}</StackId><StackName>{}</StackName>\
                 <CreationTime>2026-01-31T12:00:00Z</CreationTime><StackStatus>{}</StackStatus>\
                 <Outputs>{}</Outputs><Parameters>{}</Parameters></member></Stacks>",
                name_of(id),
                stack.status,
                stack.outputs(),
                stack.parameters()
            ),
            "GetTemplate" => {
                format!("<TemplateBody>{}</TemplateBody>", escaped(&stack.template))
            }
            "ListStackResources" => {
                let of_page = page(&stack.resources, form);
                let members = of_page.iter().map(|it| format!("<member>{}</member>", it.xml()));
                let members: String = members.collect();
                let next = next(&stack.resources, form);
                format!("<StackResourceSummaries>{members}</StackResourceSummaries>{next}")
            }
            "DescribeStackResource" => {
                let logical_id = text("LogicalResourceId");
                match stack.resources.iter().find(|it| it.logical_id == logical_id) {
                    Some(it) => format!("<StackResourceDetail>{}</StackResourceDetail>", it.xml()),
                    None => {
                        let what = format!("Resource {logical_id} does not exist for stack {id}");
                        return missing(what);
                    }
                }
            }
            "DescribeStackEvents" => {
                let members = page(&stack.events, form).iter().map(|event| {
                    format!("<member><StackId>{id}</StackId>{}</member>", event.xml())
                });
                let members: String = members.collect();
                format!("<StackEvents>{members}</StackEvents>{}", next(&stack.events, form))
            }
            _ => {
                return Answer::error(
                    "query",
                    400,
                    "InvalidAction",
                    "the stand-in does not know it",
                );
            }
        };
        Answer::result(operation, &result)
    }
}

/// Returns the name in the ID of a stack, or the ID if it is no ARN.
fn name_of(id: &str) -> &str {
    id.split('/').nth(1).unwrap_or(id)
}

/// Returns the page that a call asks for.
fn page<'a>(all: &'a [StackResource], form: &Value) -> &'a [StackResource] {
    let from = from(form).min(all.len());
    &all[from..(from + PAGE).min(all.len())]
}

/// Returns what says how to get the next page, if there is one.
fn next(all: &[StackResource], form: &Value) -> String {
    match from(form) + PAGE {
        next if next < all.len() => format!("<NextToken>{next}</NextToken>"),
        _ => String::new(),
    }
}

fn from(form: &Value) -> usize {
    form["NextToken"].as_str().and_then(|token| token.parse().ok()).unwrap_or(0)
}
