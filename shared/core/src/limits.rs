//! What the provisioner may serve: the accounts that roles may trust, the buckets that roles may read or that
//! may send notifications, and the queues elsewhere that may receive them.
//!
//! [`Limits`] hold what the person who deployed the provisioner admitted. [`Named`] is what a request names. A
//! [`Scope`] remembers what was admitted before, because the inverse of an update that fails must be admitted:
//! a stack that can't roll back can go neither forward nor back. A rollback admits only what was in force when
//! the update began, so nobody gets in by pretending to undo something.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arn::{KeyArn, QueueArn, RoleArn, is_account};
use crate::bucket_access;
use crate::bucket_notifications::{self, Destination};
use crate::roles::{Home, Observed, POLICY_NAME, Purpose, RoleSpec, Trust};
use crate::routes::resolve::has_form_of_bucket;

/// The names that are admitted: any, or exactly these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// Every name is admitted.
    Any,
    /// Only these names are admitted.
    Only(BTreeSet<String>),
}

/// The limits that were set when the provisioner was deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The accounts that a role may trust, besides its own.
    pub accounts: Admitted,
    /// The buckets that roles may read and that may send notifications, as patterns with `*` and `?` as in a
    /// policy.
    pub buckets: Admitted,
    /// The queues of another account or region that may receive notifications, by ARN.
    pub queues: Admitted,
    /// The accounts, besides a role's own, whose KMS keys the properties may name.
    pub key_accounts: BTreeSet<String>,
    /// The buckets whose policies may be changed, by name. There is no way to admit any, because IAM can't bound what
    /// a policy says that somebody may put.
    pub policy_buckets: BTreeSet<String>,
}

/// What the properties of a resource name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Named {
    /// The accounts other than the role's own.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub accounts: BTreeSet<String>,
    /// The buckets, by name.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub buckets: BTreeSet<String>,
    /// The queues of another account or region than the stack's.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub queues: BTreeSet<String>,
    /// The KMS keys of another account or partition than the role's own, and texts that aren't the ARN of a key.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub keys: BTreeSet<String>,
    /// The buckets that a reader role may read entirely although no route requests it.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub whole: BTreeSet<String>,
    /// The buckets whose policies get statements, by name.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub policies: BTreeSet<String>,
}

/// What a resource was admitted to name in the request that began last, and in the one before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Scope {
    /// What the request that began last was admitted to name.
    pub now: Named,
    /// What the request before it was admitted to name.
    pub before: Named,
}

/// How a request relates to the requests before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A new resource, or an Update that goes forward.
    Forward,
    /// The request that began last once more, because its handling died.
    Again,
    /// An Update while CloudFormation rolls the stack back.
    Back,
}

/// Something that a request names but that isn't admitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum Outside {
    #[error(
        "the provisioner doesn't admit roles of account `{account}` (it admits {admitted}): add the account to \
         `TrustedAccountIds` of the provisioner's stack, or correct the roles' ARNs"
    )]
    Account { account: String, admitted: String },
    #[error(
        "the provisioner doesn't admit bucket `{bucket}` (it admits {admitted}): add the bucket to \
         `LandingBucketArns` of the provisioner's stack, or correct the routes"
    )]
    Bucket { bucket: String, admitted: String },
    #[error(
        "queue `{arn}` isn't in the stack's account and region, and the provisioner doesn't admit it (it admits \
         {admitted}): add the queue to `NotificationTargetArns` of the provisioner's stack, or correct `QueueArn`"
    )]
    Queue { arn: String, admitted: String },
    #[error(
        "`{arn}` isn't a KMS key of the role's own account or of another account that the provisioner admits (it \
         admits {admitted}): add the key's account to `KeyAccountIds` of the provisioner's stack, or correct \
         `KmsKeyArns`"
    )]
    Key { arn: String, admitted: String },
    #[error(
        "the role could read the whole bucket `{bucket}`, but no route requests that: begin the route's key with \
         text that a policy can contain, or set `wide: true` in the route"
    )]
    Whole { bucket: String },
    #[error(
        "the provisioner may not change the policy of bucket `{bucket}` (it may change that of {admitted}): add the \
         bucket to `PolicyBucketArns` of the provisioner's stack, or use `access: role` in its routes"
    )]
    Policy { bucket: String, admitted: String },
}

impl Outside {
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Account { .. } => "account_not_trusted",
            Self::Bucket { .. } => "bucket_not_admitted",
            Self::Queue { .. } => "queue_not_admitted",
            Self::Key { .. } => "key_not_admitted",
            Self::Whole { .. } => "bucket_read_wholly",
            Self::Policy { .. } => "bucket_policy_not_admitted",
        }
    }
}

impl Admitted {
    /// Reads a comma-separated list. `*` admits any name; `none` and an empty text admit no name. Returns `None` if
    /// `read` refuses an entry.
    pub fn parse(text: &str, read: impl Fn(&str) -> Option<String>) -> Option<Self> {
        match text.trim() {
            "*" => Some(Self::Any),
            "" | "none" => Some(Self::Only(BTreeSet::new())),
            list => list
                .split(',')
                .map(|entry| read(entry.trim()))
                .collect::<Option<_>>()
                .map(Self::Only),
        }
    }

    fn admits(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(names) => names.contains(name),
        }
    }

    fn admits_by_pattern(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(patterns) => patterns.iter().any(|pattern| fits(pattern, name)),
        }
    }

    /// Describes what is admitted, for use after "it admits".
    fn in_words(&self) -> String {
        match self {
            Self::Only(names) if names.is_empty() => "none".to_owned(),
            Self::Only(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                format!("only `{}`", names.join("`, `"))
            }
            Self::Any => "any".to_owned(),
        }
    }
}

impl Limits {
    /// Admits every account, bucket and queue, and no foreign keys. For tests, and for deployments that opt out of
    /// each limit.
    pub const ANY: Self = Self {
        accounts: Admitted::Any,
        buckets: Admitted::Any,
        queues: Admitted::Any,
        key_accounts: BTreeSet::new(),
        policy_buckets: BTreeSet::new(),
    };

    /// Reads the three lists from the function's environment.
    ///
    /// # Errors
    /// Returns the name of the first list that can't be read: `accounts`, `buckets` or `queues`.
    pub fn parse(accounts: &str, buckets: &str, queues: &str) -> Result<Self, &'static str> {
        let account = |text: &str| is_account(text).then(|| text.to_owned());
        let queue = |text: &str| QueueArn::parse(text).map(|_| text.to_owned());
        Ok(Self {
            accounts: Admitted::parse(accounts, account).ok_or("accounts")?,
            buckets: Admitted::parse(buckets, bucket_pattern).ok_or("buckets")?,
            queues: Admitted::parse(queues, queue).ok_or("queues")?,
            key_accounts: BTreeSet::new(),
            policy_buckets: BTreeSet::new(),
        })
    }

    /// Also admits KMS keys of these accounts, given as a comma-separated list without `*`. Returns `None` if the
    /// list can't be read.
    pub fn with_keys_of(self, accounts: &str) -> Option<Self> {
        let account = |text: &str| is_account(text).then(|| text.to_owned());
        match Admitted::parse(accounts, account)? {
            Admitted::Only(key_accounts) => Some(Self { key_accounts, ..self }),
            Admitted::Any => None,
        }
    }

    /// Also admits changes of the policies of these buckets, given as a comma-separated list of names or ARNs without
    /// any `*` or `?`. Returns `None` if the list can't be read.
    pub fn with_policies_of(self, buckets: &str) -> Option<Self> {
        let bucket = |text: &str| bucket_pattern(text).filter(|name| has_form_of_bucket(name));
        match Admitted::parse(buckets, bucket)? {
            Admitted::Only(policy_buckets) => Some(Self { policy_buckets, ..self }),
            Admitted::Any => None,
        }
    }

    /// Describes, in a sentence each, what an existing role keeps although a new role wouldn't get it.
    pub fn kept(&self, named: &Named) -> Vec<String> {
        let keys = named.keys.iter().filter(|arn| !self.admits_key(arn)).map(|arn| {
            format!(
                "the role may still decrypt with `{arn}`, as before: a new role would be refused, unless \
                 `KeyAccountIds` of the provisioner's stack names the key's account"
            )
        });
        let whole = named.whole.iter().map(|bucket| {
            format!(
                "the role may still read the whole bucket `{bucket}`, as before: a new role would be refused, \
                 unless the route says `wide: true`"
            )
        });
        keys.chain(whole).collect()
    }

    fn admits_key(&self, arn: &str) -> bool {
        KeyArn::parse(arn).is_some_and(|key| self.key_accounts.contains(key.account))
    }

    /// Refuses the first name in `named` that is neither admitted nor in `also`.
    fn check(&self, named: &Named, also: &Named) -> Result<(), Outside> {
        let is_fine =
            |admitted: bool, also: &BTreeSet<String>, name: &str| admitted || also.contains(name);
        for account in &named.accounts {
            if !is_fine(self.accounts.admits(account), &also.accounts, account) {
                let admitted = self.accounts.in_words();
                return Err(Outside::Account { account: account.clone(), admitted });
            }
        }
        for bucket in &named.buckets {
            if !is_fine(self.buckets.admits_by_pattern(bucket), &also.buckets, bucket) {
                let admitted = self.buckets.in_words();
                return Err(Outside::Bucket { bucket: bucket.clone(), admitted });
            }
        }
        for arn in &named.queues {
            if !is_fine(self.queues.admits(arn), &also.queues, arn) {
                return Err(Outside::Queue { arn: arn.clone(), admitted: self.queues.in_words() });
            }
        }
        for arn in &named.keys {
            if !is_fine(self.admits_key(arn), &also.keys, arn) {
                let admitted = Admitted::Only(self.key_accounts.clone()).in_words();
                return Err(Outside::Key { arn: arn.clone(), admitted });
            }
        }
        if let Some(bucket) = named.whole.difference(&also.whole).next() {
            return Err(Outside::Whole { bucket: bucket.clone() });
        }
        for bucket in &named.policies {
            if !is_fine(self.policy_buckets.contains(bucket), &also.policies, bucket) {
                let admitted = Admitted::Only(self.policy_buckets.clone()).in_words();
                return Err(Outside::Policy { bucket: bucket.clone(), admitted });
            }
        }
        Ok(())
    }
}

impl Named {
    /// Returns what valid properties of a role name.
    pub fn by_role(spec: &RoleSpec) -> Self {
        let accounts = match &spec.trust {
            Trust::Roles { account, .. } if *account != spec.identity.account => {
                BTreeSet::from([account.clone()])
            }
            _ => BTreeSet::new(),
        };
        let buckets = match &spec.purpose {
            Purpose::Read { buckets, .. } => buckets.keys().cloned().collect(),
            _ => BTreeSet::new(),
        };
        let own = (spec.home.partition.as_str(), spec.identity.account.as_str());
        let is_own = |arn: &&String| {
            KeyArn::parse(arn).is_some_and(|key| (key.partition, key.account) == own)
        };
        let keys = match &spec.purpose {
            Purpose::Read { keys: Some(keys), .. } => {
                keys.iter().filter(|arn| !is_own(arn)).cloned().collect()
            }
            _ => BTreeSet::new(),
        };
        let whole = spec.unrequested.keys().cloned().collect();
        Self { accounts, buckets, keys, whole, ..Self::default() }
    }

    /// Returns what valid properties of notifications name, for a stack at `home`.
    pub fn by_notifications(spec: &bucket_notifications::Spec, home: &Home) -> Self {
        let mut named = Self { buckets: spec.buckets.keys().cloned().collect(), ..Self::default() };
        if let Destination::Queue(arn) = &spec.destination {
            named.insert_queue(arn, home);
        }
        named
    }

    /// Returns what valid properties of access to buckets name, for a stack at `home`.
    pub fn by_access(spec: &bucket_access::Spec, home: &Home) -> Self {
        let accounts = spec.roles.keys().filter(|account| **account != home.account);
        Self {
            accounts: accounts.cloned().collect(),
            policies: spec.buckets.keys().cloned().collect(),
            whole: spec.unrequested.keys().cloned().collect(),
            ..Self::default()
        }
    }

    /// Adds a queue, unless it is in the stack's own account and region.
    pub fn insert_queue(&mut self, arn: &str, home: &Home) {
        let is_own = QueueArn::parse(arn).is_some_and(|queue| {
            (queue.partition, queue.region, queue.account)
                == (&home.partition, &home.region, &home.account)
        });
        if !is_own {
            self.queues.insert(arn.to_owned());
        }
    }

    /// Returns what an existing role of ours names: the accounts in its trust policy, and the buckets and keys in
    /// its permissions policy. A policy doesn't show whether the properties named a key or Landfall found it, nor
    /// whether a route requested a whole bucket.
    pub fn by_observed(role: &Observed) -> Self {
        let own = RoleArn::parse(&role.arn).map(|arn| arn.account).unwrap_or_default();
        let trust = role.trust.as_ref().map(|trust| texts(trust.value(), &["Principal", "AWS"]));
        let accounts = trust.into_iter().flatten().filter_map(|principal| {
            let account = principal.split(':').nth(4).unwrap_or(principal);
            (is_account(account) && account != own).then(|| account.to_owned())
        });
        let policy = role.policies.get(POLICY_NAME).into_iter().flatten();
        let resources: Vec<&str> =
            policy.flat_map(|policy| texts(policy.value(), &["Resource"])).collect();
        let in_s3 = |arn: &&str| Some(arn.split_once(":s3:::")?.1.to_owned());
        let bucket = |name: &str| has_form_of_bucket(name).then(|| name.to_owned());
        let is_key = |arn: &&&str| arn.split(':').nth(2) == Some("kms");
        Self {
            accounts: accounts.collect(),
            buckets: resources
                .iter()
                .filter_map(in_s3)
                .filter_map(|name| bucket(name.split('/').next()?))
                .collect(),
            queues: BTreeSet::new(),
            keys: resources.iter().filter(is_key).map(|arn| (*arn).to_owned()).collect(),
            whole: resources
                .iter()
                .filter_map(in_s3)
                .filter_map(|name| bucket(name.strip_suffix("/*")?))
                .collect(),
            policies: BTreeSet::new(),
        }
    }

    fn and(mut self, other: &Self) -> Self {
        self.accounts.extend(other.accounts.iter().cloned());
        self.buckets.extend(other.buckets.iter().cloned());
        self.queues.extend(other.queues.iter().cloned());
        self.keys.extend(other.keys.iter().cloned());
        self.whole.extend(other.whole.iter().cloned());
        self.policies.extend(other.policies.iter().cloned());
        self
    }
}

impl Scope {
    /// Makes the scope of a resource that no scope is remembered for, from what was found in AWS.
    pub fn found(named: Named) -> Self {
        Self { before: named.clone(), now: named }
    }

    /// Admits a request, and returns the scope to save before the request has any effect.
    ///
    /// # Errors
    /// Returns the first name that isn't admitted. The caller must then do nothing.
    pub fn admit(&self, limits: &Limits, wanted: Named, way: Way) -> Result<Self, Outside> {
        let also = match way {
            Way::Back => self.now.clone().and(&self.before),
            // Keys and whole buckets from before these limits existed stay admitted until the resource gives
            // them up.
            Way::Forward | Way::Again => Named {
                keys: self.now.keys.clone(),
                whole: self.now.whole.clone(),
                ..Named::default()
            },
        };
        limits.check(&wanted, &also)?;
        let before = match way {
            Way::Forward => self.now.clone(),
            Way::Again | Way::Back => self.before.clone(),
        };
        Ok(Self { now: wanted, before })
    }
}

/// Returns the strings at the end of `path` in every statement of a document.
fn texts<'v>(document: &'v Value, path: &[&str]) -> Vec<&'v str> {
    let statements = document["Statement"].as_array().map(Vec::as_slice).unwrap_or_default();
    let at_end = |statement: &'v Value| path.iter().fold(statement, |value, name| &value[*name]);
    let list = |value: &'v Value| {
        value.as_array().map(Vec::as_slice).unwrap_or(std::slice::from_ref(value))
    };
    statements.iter().map(at_end).flat_map(list).filter_map(Value::as_str).collect()
}

/// Reads a bucket's name or ARN, or a pattern of either, and returns the name. The ARN of objects stands for their
/// bucket.
fn bucket_pattern(text: &str) -> Option<String> {
    let name = match text.split_once(":s3:::") {
        Some((arn, rest)) if arn.starts_with("arn:aws") => rest.split('/').next()?,
        Some(_) => return None,
        None => text,
    };
    let is_fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.*?".contains(&b);
    (!name.is_empty() && name.bytes().all(is_fine)).then(|| name.to_owned())
}

/// Returns `true` if a pattern with `*` and `?` matches all of `text`, which must be ASCII.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut read) = (0, 0);
    // The position of the last `*`, and how far into the text it reaches.
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[read] => {
                at += 1;
                read += 1;
            }
            _ => match star {
                Some((star_at, reached)) => {
                    star = Some((star_at, reached + 1));
                    at = star_at + 1;
                    read = reached + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests;
