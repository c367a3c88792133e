//! Landfall's roles: what they should be, what they are, and the steps from one to the other.
//!
//! [`RoleSpec::read`] reads the properties of a custom resource. [`RoleSpec::role`] returns the role that follows from
//! them and from nothing else. [`diff`] compares that role with the observed one and returns the steps in their
//! order. The code that carries them out (`landfall-provisioning`) chooses nothing.

mod brakes;
mod diff;
pub mod external_ids;
mod keys;
mod spec;
mod step;
mod written;

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

pub use diff::{Conflict, diff, removal};
pub use spec::{Assumption, Batches, Home, Identity, OwnReads, Purpose, RoleSpec, SpecError};
pub use step::{New, Step};
pub use written::{DEFAULT_PATH, json_schema};

use crate::policy::{Document, Statement, literal};
pub use crate::reach::Reach;
use crate::secret::Secret;

/// The name of the one inline policy that Landfall writes.
pub const POLICY_NAME: &str = "landfall";

/// The tags that say who owns a role. The first two identify the resource of a stack. The third one says which
/// physical resource the role belongs to.
pub const OWNER_TAGS: [&str; 3] =
    ["landfall:stack-id", "landfall:logical-id", "landfall:physical-id"];

/// The three kinds of role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The role in the analytics account that the trigger assumes to start jobs.
    Starter,
    /// The role in the data account that jobs assume to read what landed.
    Reader,
    /// The role in the analytics account that Glue runs jobs with.
    Job,
}

impl Kind {
    /// Returns the word for it: `starter`, `reader` or `job`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starter => "starter",
            Self::Reader => "reader",
            Self::Job => "job",
        }
    }

    /// Returns the kind of role that a custom resource of this type makes, such as `Custom::LandfallJobRole`.
    pub fn of_resource(kind: &str) -> Option<Self> {
        match kind {
            "Custom::LandfallStarterRole" => Some(Self::Starter),
            "Custom::LandfallReaderRole" => Some(Self::Reader),
            "Custom::LandfallJobRole" => Some(Self::Job),
            _ => None,
        }
    }
}

/// The owner of a role: a resource of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The ARN of the stack (tag `landfall:stack-id`).
    pub stack_id: String,
    /// The resource's logical ID in the template (tag `landfall:logical-id`).
    pub logical_id: String,
    /// The resource's physical ID (tag `landfall:physical-id`).
    pub physical_id: String,
}

impl Owner {
    fn tags(&self) -> BTreeMap<String, String> {
        let values = [&self.stack_id, &self.logical_id, &self.physical_id];
        let names = OWNER_TAGS.map(str::to_owned);
        names.into_iter().zip(values.map(String::clone)).collect()
    }

    /// Returns the owner that `tags` name, or `None` unless all three tags are there.
    pub fn of_tags(tags: &BTreeMap<String, String>) -> Option<Self> {
        let [stack_id, logical_id, physical_id] = OWNER_TAGS.map(|name| tags.get(name).cloned());
        Some(Self { stack_id: stack_id?, logical_id: logical_id?, physical_id: physical_id? })
    }

    /// Returns `true` if both are the same resource of the same stack, whether before or after a replacement.
    pub fn is_same_resource(&self, other: &Self) -> bool {
        self.stack_id == other.stack_id && self.logical_id == other.logical_id
    }
}

/// Who may assume a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Exactly these roles of one account, with one of these external IDs if there are any.
    Roles {
        /// The partition of the roles, such as `aws`.
        partition: String,
        /// The account ID of the roles: 12 digits.
        account: String,
        /// The ARNs of the roles.
        arns: BTreeSet<String>,
        /// The external IDs. Any one of them is enough.
        external_ids: Vec<Secret>,
    },
    /// An AWS service.
    Service(&'static str),
}

impl Trust {
    /// Returns the trust policy. The principal is the account, and a condition names the roles. If the roles were
    /// the principals, IAM would store their unique IDs, which break when a role is created again, and would
    /// refuse a role that doesn't exist yet.
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

/// The desired role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// The ARN that the role has as soon as it exists.
    pub arn: String,
    /// The name without the path.
    pub name: String,
    /// The path, which begins and ends with `/`.
    pub path: String,
    /// The description in IAM.
    pub description: String,
    /// Who may assume the role.
    pub trust: Trust,
    /// The inline policy [`POLICY_NAME`].
    pub permissions: Document,
    /// The ARN of a managed policy.
    pub permissions_boundary: Option<String>,
    /// The longest session, from 3,600 to 43,200 seconds.
    pub max_session_secs: i32,
    /// The tags, including the ones that name the owner.
    pub tags: BTreeMap<String, String>,
    /// `true` if the role may have no granting policies besides ours. Owners of a job role add their own policies
    /// to it, so it isn't exclusive.
    pub is_exclusive: bool,
    /// The inline policies of others that only deny and that a replacement takes along, by name. Such policies that
    /// the role already has stay in any case.
    pub brakes: BTreeMap<String, Document>,
    /// A sentence for each part of the policy that is wider than it should be.
    pub notes: Vec<String>,
}

impl Role {
    /// Returns a digest of what the role may do and who may assume it: 64 hexadecimal digits. It leaves out external
    /// IDs, so that nobody can use it to verify guesses.
    pub fn policy_digest(&self) -> String {
        let trust = self.trust.document().without_external_ids().to_json();
        let text = format!("{trust}\n{}", self.permissions.to_json());
        Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Returns the attributes that `Fn::GetAtt` can read.
    pub fn attributes(&self, observed: &Observed) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("Arn".to_owned(), observed.arn.clone()),
            ("RoleName".to_owned(), self.name.clone()),
            ("RoleId".to_owned(), observed.role_id.clone()),
            ("PolicyDigest".to_owned(), self.policy_digest()),
        ])
    }

    /// Returns the owner that the tags name.
    pub fn owner(&self) -> Option<Owner> {
        Owner::of_tags(&self.tags)
    }
}

/// The observed role, as IAM describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The role's ARN.
    pub arn: String,
    /// IAM's unique ID, `AROA…`.
    pub role_id: String,
    /// The path, which begins and ends with `/`.
    pub path: String,
    /// The description. Empty if the role has none.
    pub description: String,
    /// The trust policy, or `None` if it can't be read as JSON.
    pub trust: Option<Document>,
    /// The longest session, in seconds.
    pub max_session_secs: i32,
    /// The ARN of the permissions boundary, if the role has one.
    pub permissions_boundary: Option<String>,
    /// All tags of the role.
    pub tags: BTreeMap<String, String>,
    /// The inline policies by name. A policy that can't be read as JSON is `None`.
    pub policies: BTreeMap<String, Option<Document>>,
    /// The attached managed policies by ARN, each in its default version. A policy that couldn't be read is `None`.
    pub attached: BTreeMap<String, Option<Document>>,
}

#[cfg(test)]
mod tests;
