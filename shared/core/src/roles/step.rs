//! The calls to IAM that change a role, each with its arguments.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::policy::Document;

/// One call to IAM about one role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `CreateRole`, with the tags in the same call, so that the role is never without an owner.
    Create(Box<New>),
    /// `TagRole`.
    Tag(BTreeMap<String, String>),
    /// `PutRolePermissionsBoundary`.
    PutBoundary(String),
    /// `DetachRolePolicy`.
    Detach(String),
    /// `DeleteRolePolicy`.
    DeletePolicy(String),
    /// `UpdateAssumeRolePolicy`.
    UpdateTrust(Document),
    /// `PutRolePolicy`.
    PutPolicy {
        /// The name of the inline policy.
        name: String,
        /// The policy.
        document: Document,
    },
    /// `UpdateRole`, which sets both fields.
    Update {
        /// The description in IAM.
        description: String,
        /// The longest session, in seconds.
        max_session_secs: i32,
    },
    /// `UntagRole`.
    Untag(BTreeSet<String>),
    /// `DeleteRolePermissionsBoundary`.
    DeleteBoundary,
    /// `DeleteRole`.
    Delete,
}

/// The arguments of `CreateRole`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct New {
    /// The path, which begins and ends with `/`.
    pub path: String,
    /// The description in IAM.
    pub description: String,
    /// The trust policy.
    pub trust: Document,
    /// The ARN of the permissions boundary, if the role gets one.
    pub permissions_boundary: Option<String>,
    /// The longest session, in seconds.
    pub max_session_secs: i32,
    /// All tags, including the ones that name the owner.
    pub tags: BTreeMap<String, String>,
}

impl Step {
    /// Returns the name of the operation in IAM's API.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Create(_) => "CreateRole",
            Self::Tag(_) => "TagRole",
            Self::PutBoundary(_) => "PutRolePermissionsBoundary",
            Self::Detach(_) => "DetachRolePolicy",
            Self::DeletePolicy(_) => "DeleteRolePolicy",
            Self::UpdateTrust(_) => "UpdateAssumeRolePolicy",
            Self::PutPolicy { .. } => "PutRolePolicy",
            Self::Update { .. } => "UpdateRole",
            Self::Untag(_) => "UntagRole",
            Self::DeleteBoundary => "DeleteRolePermissionsBoundary",
            Self::Delete => "DeleteRole",
        }
    }
}

/// Describes the step, without external IDs.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(new) => write!(f, "create the role at path `{}`", new.path),
            Self::Tag(tags) => write!(f, "set tags {}", names(tags.keys())),
            Self::PutBoundary(arn) => write!(f, "set permissions boundary `{arn}`"),
            Self::Detach(arn) => write!(f, "detach policy `{arn}`"),
            Self::DeletePolicy(name) => write!(f, "delete inline policy `{name}`"),
            Self::UpdateTrust(document) => {
                write!(f, "set the trust policy to {}", document.without_external_ids().to_json())
            }
            Self::PutPolicy { name, document } => {
                write!(f, "set inline policy `{name}` to {}", document.to_json())
            }
            Self::Update { max_session_secs, .. } => {
                write!(f, "set the description, and sessions to at most {max_session_secs} s")
            }
            Self::Untag(keys) => write!(f, "remove tags {}", names(keys)),
            Self::DeleteBoundary => f.write_str("remove the permissions boundary"),
            Self::Delete => f.write_str("delete the role"),
        }
    }
}

fn names<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
