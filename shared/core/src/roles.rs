//! Landfall's roles: what they should be, what they are, and the steps from one to the other.
//!
//! [`Spec::read`] takes the properties of a custom resource apart; [`Spec::role`] is the role that
//! follows from them and from nothing else; [`diff`] compares it with what was observed and returns
//! steps in their order. Carrying them out (`landfall-aws`) chooses nothing.

mod brakes;
mod diff;
pub mod external_ids;
mod spec;
mod written;

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

pub use diff::{Conflict, New, Step, diff, removal};
pub use spec::{Assumption, Batches, Home, Identity, Purpose, Spec, SpecError};
pub use written::{DEFAULT_PATH, json_schema};

use crate::policy::{Document, Statement, literal};
pub use crate::reach::Reach;
use crate::secret::Secret;

/// The name of the one inline policy that Landfall writes.
pub const POLICY_NAME: &str = "landfall";

/// The tags that say whose a role is. The roles of a stack are told by the first two; the third says
/// which physical resource of it a role belongs to.
pub const OWNER_TAGS: [&str; 3] =
    ["landfall:stack-id", "landfall:logical-id", "landfall:physical-id"];

/// The three kinds of role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Assumed by the trigger to start jobs; in the analytics account.
    Starter,
    /// Assumed by jobs to read what landed; in the data account.
    Reader,
    /// What Glue runs jobs with; in the analytics account.
    Job,
}

/// Whose a role is: a resource of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub stack_id: String,
    pub logical_id: String,
    pub physical_id: String,
}

impl Owner {
    fn tags(&self) -> BTreeMap<String, String> {
        let values = [&self.stack_id, &self.logical_id, &self.physical_id];
        let names = OWNER_TAGS.map(str::to_owned);
        names.into_iter().zip(values.map(String::clone)).collect()
    }

    /// The owner that `tags` name, if they name one wholly.
    pub fn of_tags(tags: &BTreeMap<String, String>) -> Option<Self> {
        let [stack_id, logical_id, physical_id] = OWNER_TAGS.map(|name| tags.get(name).cloned());
        Some(Self { stack_id: stack_id?, logical_id: logical_id?, physical_id: physical_id? })
    }

    /// Whether both are the same resource of the same stack, be it before or after a replacement.
    pub fn is_same_resource(&self, other: &Self) -> bool {
        self.stack_id == other.stack_id && self.logical_id == other.logical_id
    }
}

/// Who may assume a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Exactly these roles of one other account, with one of these external IDs if there are any.
    Roles { partition: String, account: String, arns: BTreeSet<String>, external_ids: Vec<Secret> },
    /// An AWS service.
    Service(&'static str),
}

impl Trust {
    /// The trust policy. The principal is the account, the roles stand in a condition: IAM would
    /// store a role's unique id in the principal's place, which breaks when the role is recreated,
    /// and would refuse one that does not exist yet.
    pub fn document(&self) -> Document {
        let statement = match self {
            Self::Service(service) => {
                Statement::allow("ServiceOnly", ["sts:AssumeRole"]).by("Service", service)
            }
            Self::Roles { partition, account, arns, external_ids } => {
                let root = format!("arn:{partition}:iam::{account}:root");
                let arns = arns.iter().map(|arn| literal(arn));
                let statement = Statement::allow("TheseRolesOnly", ["sts:AssumeRole"])
                    .by("AWS", &root)
                    .when("ArnEquals", "aws:PrincipalArn", arns);
                let external_ids = external_ids.iter().map(|id| id.expose().to_owned());
                match external_ids.len() {
                    0 => statement,
                    _ => statement.when("StringEquals", "sts:ExternalId", external_ids),
                }
            }
        };
        Document::new([statement])
    }
}

/// A role as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    pub arn: String,
    pub name: String,
    /// Begins and ends with `/`.
    pub path: String,
    pub description: String,
    pub trust: Trust,
    pub permissions: Document,
    /// The ARN of a managed policy.
    pub permissions_boundary: Option<String>,
    /// 3,600 to 43,200.
    pub max_session_secs: i32,
    /// Those that say whose it is among them.
    pub tags: BTreeMap<String, String>,
    /// Whether it may have no policies of others that grant. The job role's owner adds to it.
    pub is_exclusive: bool,
    /// Inline policies of others that only deny, by name: what a replacement takes along. Those that the
    /// role has stay in any case.
    pub brakes: BTreeMap<String, Document>,
    /// What its policy had to leave wider than it should be, in words.
    pub notes: Vec<String>,
}

impl Role {
    /// A digest of what the role may do and who may assume it: 64 hexadecimal digits. External IDs do
    /// not go into it, so that nobody can try out guesses.
    pub fn policy_digest(&self) -> String {
        let trust = self.trust.document().without_external_ids().to_json();
        let text = format!("{trust}\n{}", self.permissions.to_json());
        Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What `Fn::GetAtt` gives of it.
    pub fn attributes(&self, observed: &Observed) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("Arn".to_owned(), observed.arn.clone()),
            ("RoleName".to_owned(), self.name.clone()),
            ("RoleId".to_owned(), observed.role_id.clone()),
            ("PolicyDigest".to_owned(), self.policy_digest()),
        ])
    }

    /// Whose it is.
    pub fn owner(&self) -> Option<Owner> {
        Owner::of_tags(&self.tags)
    }
}

/// A role as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    pub arn: String,
    /// IAM's unique id, `AROA…`.
    pub role_id: String,
    pub path: String,
    pub description: String,
    pub trust: Option<Document>,
    pub max_session_secs: i32,
    pub permissions_boundary: Option<String>,
    pub tags: BTreeMap<String, String>,
    /// Inline policies by name; `None` for one that cannot be read as JSON.
    pub policies: BTreeMap<String, Option<Document>>,
    /// Managed policies by ARN, each in the version that is in force; `None` for one that could not be
    /// read.
    pub attached: BTreeMap<String, Option<Document>>,
}

#[cfg(test)]
mod tests;
