//! What a change set does, as CloudFormation lists it.

use aws_sdk_cloudformation::types::{
    ChangeAction, ChangeSource, EvaluationType, PolicyAction, Replacement as Replaced,
    ResourceChangeDetail,
};

/// One resource of a change set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What happens to it, such as `Modify`.
    pub action: String,
    /// Its name in the template.
    pub logical_id: String,
    /// Its type, such as `AWS::SQS::Queue`.
    pub kind: String,
    /// Whether it is replaced.
    pub replacement: Replacement,
    /// Whether the resource stays when it leaves the stack.
    pub is_retained: bool,
    /// What makes CloudFormation change the resource; empty if it says nothing.
    pub causes: Vec<Cause>,
}

/// One reason why CloudFormation changes a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The value of this parameter.
    Parameter(String),
    /// This resource, which the changed one refers to.
    Resource(String),
    /// Something that CloudFormation can know only when it makes the change.
    Dynamic,
    /// The template, the stack's tags, or something else.
    Other,
}

/// Whether a change replaces the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replacement {
    /// The resource is new, removed or imported, so nothing is replaced.
    None,
    /// It stays.
    No,
    /// CloudFormation can't tell.
    Maybe,
    /// It is replaced.
    Yes,
}

impl Change {
    /// Reads one change; `None` if it is none of a resource.
    pub(crate) fn read(change: &aws_sdk_cloudformation::types::Change) -> Option<Self> {
        let change = change.resource_change()?;
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Some(Self {
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
            causes: change.details().iter().map(cause).collect(),
        })
    }
}

fn cause(detail: &ResourceChangeDetail) -> Cause {
    let entity = detail.causing_entity().unwrap_or_default();
    match detail.change_source() {
        Some(ChangeSource::ParameterReference) => Cause::Parameter(entity.to_owned()),
        // An attribute is `LogicalId.Attribute`.
        Some(ChangeSource::ResourceReference | ChangeSource::ResourceAttribute) => {
            Cause::Resource(entity.split('.').next().unwrap_or_default().to_owned())
        }
        _ if detail.evaluation() == Some(&EvaluationType::Dynamic) => Cause::Dynamic,
        _ => Cause::Other,
    }
}
