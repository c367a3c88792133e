//! What the provisioner may serve: the accounts that roles may trust, the buckets that they may read or
//! that may announce what lands, and the queues of elsewhere that may be told.
//!
//! [`Limits`] are what whoever deployed it said; [`Named`] is what a request names. What was admitted
//! before is remembered as a [`Scope`], since the inverse of an update that fails must be admitted: a
//! stack whose way back is barred can neither go on nor back. It admits what was in force when the update
//! began, and nothing else, so that nobody gets in by pretending to undo.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arn::{KeyArn, QueueArn, RoleArn, is_account};
use crate::bucket_notifications::{self, Destination};
use crate::roles::{Home, Observed, POLICY_NAME, Purpose, Spec, Trust};
use crate::routes::resolve::has_form_of_bucket;

/// Any, or exactly these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    Any,
    Only(BTreeSet<String>),
}

/// What whoever deployed the provisioner said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The accounts that a role may trust beside its own.
    pub accounts: Admitted,
    /// The buckets that can be read and that can announce, as patterns in which `*` and `?` mean what they
    /// mean in a policy.
    pub buckets: Admitted,
    /// The queues of another account or region that can be told, by ARN.
    pub queues: Admitted,
    /// The accounts, beside a role's own, of whose KMS keys it can be told by name.
    pub key_accounts: BTreeSet<String>,
}

/// What the properties of a resource name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Named {
    /// Other accounts than the role's own.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub accounts: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub buckets: BTreeSet<String>,
    /// Queues of another account or region than the stack's.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub queues: BTreeSet<String>,
    /// KMS keys of another account or partition than the role's own, and what is no key's ARN.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub keys: BTreeSet<String>,
    /// Buckets that a reader reads all of, though no route asks for it.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub whole: BTreeSet<String>,
}

/// What a resource was admitted to name by the request that began last, and by the one before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Scope {
    pub now: Named,
    pub before: Named,
}

/// How a request comes to what it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Something new, or an Update that goes forward.
    Forward,
    /// The same as the request that began last, whose handling died.
    Again,
    /// An Update while CloudFormation takes the stack's update back.
    Back,
}

/// What is named and not admitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Outside {
    #[error(
        "the trust names account `{account}`, and the provisioner was told to trust {admitted}: name it in \
         `TrustedAccountIds` of the provisioner's stack, or mend `TrustedRoleArns`"
    )]
    Account { account: String, admitted: String },
    #[error(
        "bucket `{bucket}` is named, and the provisioner was told of {admitted}: name it in \
         `LandingBucketArns` of the provisioner's stack, or mend the routes"
    )]
    Bucket { bucket: String, admitted: String },
    #[error(
        "queue `{arn}` is not of the stack's account and region, and the provisioner was told of \
         {admitted}: name it in `NotificationTargetArns` of the provisioner's stack, or mend `QueueArn`"
    )]
    Queue { arn: String, admitted: String },
    #[error(
        "`{arn}` is not a KMS key of the role's own account, and the provisioner was told of keys of \
         {admitted}: name its account in `KeyAccountIds` of the provisioner's stack, or mend `KmsKeyArns`"
    )]
    Key { arn: String, admitted: String },
    #[error(
        "the role could read all of bucket `{bucket}`, and no route asks for it: begin the route's key with \
         text that a policy can hold, or write `wide: true` in the route"
    )]
    Whole { bucket: String },
}

impl Outside {
    /// A stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Account { .. } => "account_not_trusted",
            Self::Bucket { .. } => "bucket_not_admitted",
            Self::Queue { .. } => "queue_not_admitted",
            Self::Key { .. } => "key_not_admitted",
            Self::Whole { .. } => "bucket_read_wholly",
        }
    }
}

impl Admitted {
    /// Reads a list with commas: `*` is any; `none`, and nothing at all, is none. `None` if `read` refuses an entry.
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

    /// In words, behind "told to trust" and "told of".
    fn in_words(&self) -> String {
        match self {
            Self::Only(names) if names.is_empty() => "none".to_owned(),
            Self::Only(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                format!("`{}` only", names.join("`, `"))
            }
            Self::Any => "any".to_owned(),
        }
    }
}

impl Limits {
    /// Everything. For tests, and for who opts out of each.
    pub const ANY: Self = Self {
        accounts: Admitted::Any,
        buckets: Admitted::Any,
        queues: Admitted::Any,
        key_accounts: BTreeSet::new(),
    };

    /// Reads the three lists as the function's environment has them.
    ///
    /// # Errors
    /// Which of them cannot be read: `accounts`, `buckets` or `queues`.
    pub fn parse(accounts: &str, buckets: &str, queues: &str) -> Result<Self, &'static str> {
        let account = |text: &str| is_account(text).then(|| text.to_owned());
        let queue = |text: &str| QueueArn::parse(text).map(|_| text.to_owned());
        Ok(Self {
            accounts: Admitted::parse(accounts, account).ok_or("accounts")?,
            buckets: Admitted::parse(buckets, bucket_pattern).ok_or("buckets")?,
            queues: Admitted::parse(queues, queue).ok_or("queues")?,
            key_accounts: BTreeSet::new(),
        })
    }

    /// Admits keys of these accounts, too: a list with commas, in which there is no `*`. `None` if it
    /// cannot be read.
    pub fn with_keys_of(self, accounts: &str) -> Option<Self> {
        let account = |text: &str| is_account(text).then(|| text.to_owned());
        match Admitted::parse(accounts, account)? {
            Admitted::Only(key_accounts) => Some(Self { key_accounts, ..self }),
            Admitted::Any => None,
        }
    }

    /// What a role has that a new one would not get, in words.
    pub fn kept(&self, named: &Named) -> Vec<String> {
        let keys = named.keys.iter().filter(|arn| !self.admits_key(arn)).map(|arn| {
            format!(
                "the role may decrypt with `{arn}`, as it could before: a new role would be refused, unless \
                 `KeyAccountIds` of the provisioner's stack names the key's account"
            )
        });
        let whole = named.whole.iter().map(|bucket| {
            format!(
                "the role may read all of bucket `{bucket}`, as it could before: a new role would be \
                 refused, unless the route says `wide: true`"
            )
        });
        keys.chain(whole).collect()
    }

    fn admits_key(&self, arn: &str) -> bool {
        KeyArn::parse(arn).is_some_and(|key| self.key_accounts.contains(key.account))
    }

    /// Refuses the first that is `named` and neither admitted nor among `also`.
    fn check(&self, named: &Named, also: &Named) -> Result<(), Outside> {
        let is_fine =
            |known: bool, also: &BTreeSet<String>, name: &str| known || also.contains(name);
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
        Ok(())
    }
}

impl Named {
    /// What a role's valid properties name.
    pub fn by_role(spec: &Spec) -> Self {
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
        let whole = spec.unasked.keys().cloned().collect();
        Self { accounts, buckets, queues: BTreeSet::new(), keys, whole }
    }

    /// What valid properties of notifications name, in a stack at `home`.
    pub fn by_notifications(spec: &bucket_notifications::Spec, home: &Home) -> Self {
        let mut named = Self { buckets: spec.buckets.keys().cloned().collect(), ..Self::default() };
        if let Destination::Queue(arn) = &spec.destination {
            named.insert_queue(arn, home);
        }
        named
    }

    /// Adds a queue, unless it is of the stack's own account and region.
    pub fn insert_queue(&mut self, arn: &str, home: &Home) {
        let is_own = QueueArn::parse(arn).is_some_and(|queue| {
            (queue.partition, queue.region, queue.account)
                == (&home.partition, &home.region, &home.account)
        });
        if !is_own {
            self.queues.insert(arn.to_owned());
        }
    }

    /// What a role of ours names as it is: the accounts of its trust, and the buckets and keys of its
    /// policy. What was told by name and what was found, what was asked for and what was not, are the same
    /// there.
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
        }
    }

    fn and(mut self, other: &Self) -> Self {
        self.accounts.extend(other.accounts.iter().cloned());
        self.buckets.extend(other.buckets.iter().cloned());
        self.queues.extend(other.queues.iter().cloned());
        self.keys.extend(other.keys.iter().cloned());
        self.whole.extend(other.whole.iter().cloned());
        self
    }
}

impl Scope {
    /// What was in force when nobody remembered it: what was found to be so.
    pub fn found(named: Named) -> Self {
        Self { before: named.clone(), now: named }
    }

    /// Admits a request, and returns what is to be remembered of it before it has any effect.
    ///
    /// # Errors
    /// It names what is not admitted: nothing must be done.
    pub fn admit(&self, limits: &Limits, wanted: Named, way: Way) -> Result<Self, Outside> {
        let also = match way {
            Way::Back => self.now.clone().and(&self.before),
            // What nobody could ask for before these limits were there goes on until it is given up.
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

/// The texts at the end of `path` in each statement of a document.
fn texts<'v>(document: &'v Value, path: &[&str]) -> Vec<&'v str> {
    let statements = document["Statement"].as_array().map(Vec::as_slice).unwrap_or_default();
    let at_end = |statement: &'v Value| path.iter().fold(statement, |value, name| &value[*name]);
    let list = |value: &'v Value| {
        value.as_array().map(Vec::as_slice).unwrap_or(std::slice::from_ref(value))
    };
    statements.iter().map(at_end).flat_map(list).filter_map(Value::as_str).collect()
}

/// A bucket's name or ARN, or a pattern of such; an ARN of objects means their bucket.
fn bucket_pattern(text: &str) -> Option<String> {
    let name = match text.split_once(":s3:::") {
        Some((arn, rest)) if arn.starts_with("arn:aws") => rest.split('/').next()?,
        Some(_) => return None,
        None => text,
    };
    let is_fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.*?".contains(&b);
    (!name.is_empty() && name.bytes().all(is_fine)).then(|| name.to_owned())
}

/// Whether a pattern with `*` and `?` matches all of `text`, which is ASCII.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut read) = (0, 0);
    // Where the last `*` stands, and how far it has reached.
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
