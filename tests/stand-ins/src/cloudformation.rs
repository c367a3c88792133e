//! CloudFormation: reports stacks, their resources and their events. It changes nothing: a test
//! sets the state of a stack.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::call::Answer;

/// The number of events on a page.
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
        let id = text("StackName");
        let Some(stack) = self.stacks.get(id) else {
            return missing(format!("Stack with id {id} does not exist"));
        };
        let result = match operation {
            "DescribeStacks" => format!(
                "<Stacks><member><StackId>{id}</StackId><StackName>landfall</StackName>\
                 <CreationTime>2026-01-31T12:00:00Z</CreationTime><StackStatus>{}</StackStatus>\
                 <Outputs>{}</Outputs></member></Stacks>",
                stack.status,
                stack.outputs()
            ),
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
                let from = text("NextToken").parse().unwrap_or(0);
                let events = stack.events.iter().skip(from).take(PAGE);
                let members = events.map(|event| {
                    format!("<member><StackId>{id}</StackId>{}</member>", event.xml())
                });
                let next = match from + PAGE < stack.events.len() {
                    true => format!("<NextToken>{}</NextToken>", from + PAGE),
                    false => String::new(),
                };
                format!("<StackEvents>{}</StackEvents>{next}", members.collect::<String>())
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
