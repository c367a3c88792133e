//! The properties of a role's custom resource, valid; and the role that follows from them.

mod decrypt;
mod permissions;
mod read;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Kind, Owner, Role, Trust};
use crate::arn::{RoleArn, is_role_name};
use crate::reach::Reach;
use crate::secret::Secret;

/// IAM's quotas for a role, in characters that are not white space: its trust policy (the default is
/// 2,048, and can be raised to this), and its inline policies together.
const MAX_TRUST_CHARS: usize = 4_096;
const MAX_PERMISSIONS_CHARS: usize = 10_240;

/// Where a stack is, and what it makes unless it is told otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    pub partition: String,
    /// 12 digits.
    pub account: String,
    pub region: String,
}

impl Home {
    /// Takes it from a stack's id, `arn:aws:cloudformation:region:account:stack/name/id`.
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

/// A role to assume before anything is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assumption {
    pub role_arn: String,
    pub external_id: Option<Secret>,
}

/// Which role a resource is about. When it changes, the role is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// 12 digits.
    pub account: String,
    pub name: String,
    /// How to get into the account, if it is not the stack's.
    pub provisioning: Option<Assumption>,
}

impl Identity {
    /// Reads just what tells the role: older and newer properties, and such that are wrong otherwise,
    /// must not keep a role from being found and removed.
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

    /// Whether both are the same role, however one gets to it.
    pub fn is_same_role(&self, other: &Self) -> bool {
        (&self.account, &self.name) == (&other.account, &other.name)
    }
}

/// The batches whose manifests a reader reads, and which it claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batches {
    /// Those of its account.
    Own,
    /// And those of the version before, whose ids name no account: whoever's they are.
    OwnAndFormer,
    /// All. What the version before granted, and a role whose properties do not say still has: the
    /// inverse update of a rollback gives back what was there.
    All,
}

/// What a role is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// To start jobs: their ARNs.
    Start { jobs: BTreeSet<String> },
    /// To read objects: what of each bucket, none within another; the manifests in a bucket of
    /// Landfall's own; and to claim batches in a table, which is named by its ARN. `account` is that of
    /// the jobs, `batches` whose manifests and claims these are. `keys` are the KMS keys if they were
    /// given, else they are to be found from the buckets' default encryption.
    Read {
        account: String,
        buckets: BTreeMap<String, BTreeSet<Reach>>,
        batches: Batches,
        manifests: Option<String>,
        claims: Option<String>,
        keys: Option<BTreeSet<String>>,
    },
    /// To run jobs that read through these roles.
    Run { readers: BTreeSet<String> },
}

/// Valid properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    pub identity: Identity,
    pub home: Home,
    pub path: String,
    pub description: String,
    pub permissions_boundary: Option<String>,
    pub max_session_secs: i32,
    pub tags: BTreeMap<String, String>,
    pub trust: Trust,
    pub purpose: Purpose,
    /// What is wider than the routes say, in words.
    pub notes: Vec<String>,
    /// The buckets of which the role may read everything, though no route takes every key of it or says
    /// `wide: true`; with a route of each.
    pub unasked: BTreeMap<String, String>,
}

/// Why there is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A line each.
    #[error("the properties cannot be used: {}", .0.join("; "))]
    Properties(Vec<String>),
    #[error(
        "the {document} policy of role `{role}` has {chars} characters, IAM admits {most}: {hint}"
    )]
    TooLarge { role: String, document: &'static str, chars: usize, most: usize, hint: &'static str },
}

impl SpecError {
    /// A stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Properties(_) => "properties_invalid",
            Self::TooLarge { .. } => "policy_too_large",
        }
    }
}

impl Spec {
    /// Reads the properties of a resource of `kind` in a stack at `home`.
    ///
    /// # Errors
    /// All that is wrong with them, together; a path stands before each.
    pub fn read(kind: Kind, properties: &Value, home: &Home) -> Result<Self, SpecError> {
        read::read(kind, properties, home).map_err(SpecError::Properties)
    }

    /// The role. `keys` are the ARNs of the KMS keys that were found, if none were given; the same
    /// properties and keys give the same role.
    ///
    /// # Errors
    /// A policy document is larger than IAM admits.
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
        let within = |document: &'static str, chars, most, hint| match chars <= most {
            true => Ok(()),
            false => Err(SpecError::TooLarge { role: name.clone(), document, chars, most, hint }),
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

    /// The KMS keys that were given, or those in `found`.
    pub fn keys<'a>(&'a self, found: &'a BTreeSet<String>) -> &'a BTreeSet<String> {
        match &self.purpose {
            Purpose::Read { keys: Some(keys), .. } => keys,
            _ => found,
        }
    }
}
