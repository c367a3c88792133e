//! The valid properties of a role's custom resource, and the role that follows from them.

mod decrypt;
mod permissions;
mod read;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Kind, Owner, Role, Trust};
use crate::arn::{RoleArn, is_role_name};
use crate::reach::Reach;
use crate::secret::Secret;

/// IAM's quotas for a role, in characters that aren't white space: for its trust policy (the default is 2,048, which
/// can be raised to this), and for its inline policies together.
const MAX_TRUST_CHARS: usize = 4_096;
const MAX_PERMISSIONS_CHARS: usize = 10_240;

/// The partition, account and region of a stack, and of its resources unless their properties say otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// The partition, such as `aws` or `aws-cn`.
    pub partition: String,
    /// The account ID: 12 digits.
    pub account: String,
    /// The region, such as `eu-west-1`.
    pub region: String,
}

impl Home {
    /// Reads it from a stack ID, `arn:aws:cloudformation:region:account:stack/name/id`. Returns `None` if the text
    /// isn't one.
    pub fn of_stack(stack_id: &str) -> Option<Self> {
        let fields: Vec<&str> = stack_id.splitn(6, ':').collect();
        let ["arn", partition, "cloudformation", region, account, _] = fields[..] else {
            return None;
        };
        crate::arn::is_account(account).then(|| Self {
            partition: partition.to_owned(),
            account: account.to_owned(),
            region: region.to_owned(),
        })
    }
}

/// A role that the provisioner assumes before it does anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assumption {
    /// The ARN of the role.
    pub role_arn: String,
    /// The external ID to pass, if the properties give one.
    pub external_id: Option<Secret>,
}

/// The role that a resource stands for. A change of the identity replaces the role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account ID: 12 digits.
    pub account: String,
    /// The role's name without its path.
    pub name: String,
    /// How to get access to the account, if it isn't the stack's.
    pub provisioning: Option<Assumption>,
}

impl Identity {
    /// Reads only the properties that identify the role, and ignores all others. Even with older, newer or invalid
    /// properties, it must be possible to find and remove a role.
    pub fn read(properties: &Value, home: &Home) -> Option<Self> {
        let text = |name: &str| properties[name].as_str().filter(|text| !text.is_empty());
        let name = text("RoleName").filter(|name| is_role_name(name) && !name.contains('/'))?;
        let provisioning = match text("ProvisioningRoleArn") {
            None => None,
            Some(arn) => Some(Assumption {
                role_arn: RoleArn::parse(arn).map(|_| arn.to_owned())?,
                external_id: text("ProvisioningExternalId").map(Secret::new),
            }),
        };
        let account = match &provisioning {
            Some(provisioning) => RoleArn::parse(&provisioning.role_arn)?.account.to_owned(),
            None => home.account.clone(),
        };
        Some(Self { account, name: name.to_owned(), provisioning })
    }

    /// Returns `true` if both are the same role, however the provisioner gets access to it.
    pub fn is_same_role(&self, other: &Self) -> bool {
        (&self.account, &self.name) == (&other.account, &other.name)
    }
}

/// The batches whose manifests a reader role may read, and which jobs may claim with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batches {
    /// The batches of the trusted roles' account.
    Own,
    /// Those, and all former batches, whose IDs name no account. They can belong to any account.
    OwnAndFormer,
    /// All batches. The version before granted this, and a role whose properties don't say keeps it, because the
    /// inverse Update of a rollback must restore what was there.
    All,
}

/// What a role is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// To start jobs, given by their ARNs.
    Start {
        /// The ARNs of the jobs.
        jobs: BTreeSet<String>,
    },
    /// To read objects and manifests, and to claim batches.
    Read {
        /// The account ID of the jobs: 12 digits.
        account: String,
        /// What the role may read of each bucket. No reach includes another one.
        buckets: BTreeMap<String, BTreeSet<Reach>>,
        /// The batches whose manifests and claims the role reaches.
        batches: Batches,
        /// The name of Landfall's own bucket for manifests.
        manifests: Option<String>,
        /// The ARN of the claims table.
        claims: Option<String>,
        /// The KMS keys, if the properties give them. Otherwise, they are found from the buckets'
        /// default encryption.
        keys: Option<BTreeSet<String>>,
    },
    /// To run jobs that read through these reader roles.
    Run {
        /// The ARNs of the reader roles.
        readers: BTreeSet<String>,
        /// What the role reads itself, because buckets' policies admit it.
        own: Option<OwnReads>,
    },
}

/// What a job role reads without a reader role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnReads {
    /// The account ID of the buckets' owner: 12 digits.
    pub data_account: String,
    /// What the role may read of each bucket. No reach includes another one.
    pub buckets: BTreeMap<String, BTreeSet<Reach>>,
    /// The name of Landfall's own bucket for manifests.
    pub manifests: Option<String>,
}

/// The valid properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSpec {
    /// The account and name of the role, and the access to it.
    pub identity: Identity,
    /// The partition, account and region of the stack.
    pub home: Home,
    /// The path, which begins and ends with `/`.
    pub path: String,
    /// The description in IAM.
    pub description: String,
    /// The ARN of the permissions boundary, if the role is to have one.
    pub permissions_boundary: Option<String>,
    /// The longest session, from 3,600 to 43,200 seconds.
    pub max_session_secs: i32,
    /// The tags in the properties, without the ones that name the owner.
    pub tags: BTreeMap<String, String>,
    /// Who may assume the role.
    pub trust: Trust,
    /// What the role is for, which decides its permissions.
    pub purpose: Purpose,
    /// A sentence for each permission that is wider than the routes say.
    pub notes: Vec<String>,
    /// The buckets that the role may read entirely although no route takes every key or says `wide: true`, each with
    /// one such route.
    pub unrequested: BTreeMap<String, String>,
}

/// The reason why no role follows from the properties.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum SpecError {
    /// The properties are invalid. Holds a line for each problem.
    #[error("the properties are invalid: {}", .0.join("; "))]
    Properties(Vec<String>),
    #[error(
        "the {document} policy of role `{role}` has {chars} characters, but IAM allows at most {max}: {hint}"
    )]
    TooLarge { role: String, document: &'static str, chars: usize, max: usize, hint: &'static str },
}

impl SpecError {
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Properties(_) => "properties_invalid",
            Self::TooLarge { .. } => "policy_too_large",
        }
    }
}

impl RoleSpec {
    /// Reads the properties of a resource of `kind` in a stack at `home`.
    ///
    /// # Errors
    /// Returns all problems together, each with the path of its property before it.
    pub fn read(kind: Kind, properties: &Value, home: &Home) -> Result<Self, SpecError> {
        read::read(kind, properties, home).map_err(SpecError::Properties)
    }

    /// Returns the role. If the properties give no KMS keys, `keys` holds the ARNs of the keys that were found. The
    /// same properties and keys always give the same role.
    ///
    /// # Errors
    /// Returns [`SpecError::TooLarge`] if a policy document is larger than IAM allows.
    pub fn role(&self, owner: &Owner, keys: &BTreeSet<String>) -> Result<Role, SpecError> {
        let Identity { account, name, .. } = &self.identity;
        let mut tags = self.tags.clone();
        tags.extend(owner.tags());
        let (permissions, binding) =
            permissions::fitting(self, self.keys(keys), MAX_PERMISSIONS_CHARS);
        let role = Role {
            arn: format!("arn:{}:iam::{account}:role{}{name}", self.home.partition, self.path),
            name: name.clone(),
            path: self.path.clone(),
            description: self.description.clone(),
            trust: self.trust.clone(),
            permissions,
            permissions_boundary: self.permissions_boundary.clone(),
            max_session_secs: self.max_session_secs,
            tags,
            is_exclusive: !matches!(self.purpose, Purpose::Run { .. }),
            brakes: BTreeMap::new(),
            notes: binding.note().map(str::to_owned).into_iter().collect(),
        };
        let within = |document: &'static str, chars, max, hint| {
            if chars <= max {
                Ok(())
            } else {
                Err(SpecError::TooLarge { role: name.clone(), document, chars, max, hint })
            }
        };
        within(
            "trust",
            role.trust.document().counted_chars(),
            MAX_TRUST_CHARS,
            "trust fewer roles, or shorten the external IDs",
        )?;
        within(
            "permissions",
            role.permissions.counted_chars(),
            MAX_PERMISSIONS_CHARS,
            "give routes a common prefix, or split them between stacks",
        )?;
        Ok(role)
    }

    /// Returns the KMS keys in the properties if there are any, and `found` otherwise.
    pub fn keys<'a>(&'a self, found: &'a BTreeSet<String>) -> &'a BTreeSet<String> {
        match &self.purpose {
            Purpose::Read { keys: Some(keys), .. } => keys,
            _ => found,
        }
    }
}
