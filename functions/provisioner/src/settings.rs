//! Reads the function's settings from its environment.

use std::time::Duration;

use landfall_core::arn::is_account;
use landfall_core::limits::Limits;
use landfall_core::partition;
use landfall_core::roles::Home;

/// Default: CloudFormation itself waits about this long for its own roles.
const PROPAGATION: Duration = Duration::from_secs(15);

/// The settings of the provisioner. A setting without a value allows nothing.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The table of locks and memories.
    pub table: String,
    /// Whether responses may go to this machine, which only an emulated AWS needs.
    pub admit_loopback: bool,
    /// How long to wait, before the answer, for a new role to become usable everywhere.
    pub propagation: Duration,
    /// Where the function is. Requests from stacks in other accounts and regions are refused.
    pub home: Home,
    /// What requests may name.
    pub limits: Limits,
    /// What to check with CloudFormation before the work.
    pub check: Check,
}

/// How thoroughly to check that CloudFormation waits for the answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Checks that the stack, and the resource in it, are being changed.
    Resource,
    /// Checks only that the stack is being changed, for an emulated AWS that reports resources
    /// late.
    Stack,
    /// Checks nothing. The environment cannot choose this.
    Nothing,
}

/// Why the function cannot work with its settings.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum SettingsError {
    #[error("failed to learn the table: `LANDFALL_TABLE` is not set")]
    NoTable,
    #[error("failed to use `LANDFALL_PROPAGATION_SECONDS`: it is no whole number")]
    BadPropagation,
    #[error("failed to use `LANDFALL_ADMIT_LOOPBACK_RESPONSE_URL`: it is neither true nor false")]
    BadSwitch,
    #[error(
        "failed to learn where the function is: `LANDFALL_ACCOUNT_ID` is not set to an account's id"
    )]
    NoAccount,
    #[error(
        "failed to learn where the function is: `AWS_REGION` is not set to a region that is known"
    )]
    NoRegion,
    #[error(
        "failed to use `LANDFALL_TRUSTED_ACCOUNT_IDS`: it is neither `*` nor a list of account ids"
    )]
    BadAccounts,
    #[error(
        "failed to use `LANDFALL_LANDING_BUCKETS`: it is neither `*` nor a list of buckets or their ARNs"
    )]
    BadBuckets,
    #[error(
        "failed to use `LANDFALL_NOTIFICATION_TARGETS`: it is neither `*` nor a list of queues' ARNs"
    )]
    BadTargets,
    #[error("failed to use `LANDFALL_KEY_ACCOUNT_IDS`: it is no list of account ids")]
    BadKeyAccounts,
    #[error(
        "failed to use `LANDFALL_POLICY_BUCKETS`: it is no list of buckets or their ARNs, or it has a `*`"
    )]
    BadPolicyBuckets,
    #[error("failed to use `LANDFALL_CHECK_REQUESTS`: it is neither resource nor stack")]
    BadCheck,
}

impl SettingsError {
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoTable => "table_missing",
            Self::BadPropagation => "propagation_malformed",
            Self::BadSwitch => "switch_malformed",
            Self::NoAccount => "account_missing",
            Self::NoRegion => "region_missing",
            Self::BadAccounts => "accounts_malformed",
            Self::BadBuckets => "buckets_malformed",
            Self::BadTargets => "targets_malformed",
            Self::BadKeyAccounts => "key_accounts_malformed",
            Self::BadPolicyBuckets => "policy_buckets_malformed",
            Self::BadCheck => "check_malformed",
        }
    }
}

impl Settings {
    /// Reads `LANDFALL_TABLE`, `LANDFALL_ACCOUNT_ID` and Lambda's own `AWS_REGION`, which must be
    /// set; `LANDFALL_TRUSTED_ACCOUNT_IDS`, `LANDFALL_LANDING_BUCKETS` and
    /// `LANDFALL_NOTIFICATION_TARGETS` (separated by commas; `*` allows any; the default is none);
    /// `LANDFALL_KEY_ACCOUNT_IDS` and `LANDFALL_POLICY_BUCKETS` (where `*` is not allowed);
    /// `LANDFALL_PROPAGATION_SECONDS` (default: 15), `LANDFALL_ADMIT_LOOPBACK_RESPONSE_URL`
    /// (default: false) and `LANDFALL_CHECK_REQUESTS` (default: resource). An empty variable counts
    /// as not set.
    ///
    /// # Errors
    /// Returns the first problem: a variable that is missing or malformed.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let admit_loopback = match variable("LANDFALL_ADMIT_LOOPBACK_RESPONSE_URL") {
            None => false,
            Some(text) => text.parse().map_err(|_| SettingsError::BadSwitch)?,
        };
        let propagation = match variable("LANDFALL_PROPAGATION_SECONDS") {
            None => PROPAGATION,
            Some(text) => {
                Duration::from_secs(text.parse().map_err(|_| SettingsError::BadPropagation)?)
            }
        };
        let list = |name: &str| variable(name).unwrap_or_default();
        let limits = Limits::parse(
            &list("LANDFALL_TRUSTED_ACCOUNT_IDS"),
            &list("LANDFALL_LANDING_BUCKETS"),
            &list("LANDFALL_NOTIFICATION_TARGETS"),
        );
        let limits = limits.map_err(|which| match which {
            "accounts" => SettingsError::BadAccounts,
            "buckets" => SettingsError::BadBuckets,
            _ => SettingsError::BadTargets,
        })?;
        let limits = limits.with_keys_of(&list("LANDFALL_KEY_ACCOUNT_IDS"));
        let limits = limits.ok_or(SettingsError::BadKeyAccounts)?;
        let limits = limits.with_policies_of(&list("LANDFALL_POLICY_BUCKETS"));
        let limits = limits.ok_or(SettingsError::BadPolicyBuckets)?;
        let account = variable("LANDFALL_ACCOUNT_ID").filter(|id| is_account(id));
        let region = variable("AWS_REGION").ok_or(SettingsError::NoRegion)?;
        let partition = partition::of_region(&region).ok_or(SettingsError::NoRegion)?;
        let account = account.ok_or(SettingsError::NoAccount)?;
        let home = Home { partition: partition.to_owned(), account, region };
        let check = match variable("LANDFALL_CHECK_REQUESTS").as_deref() {
            None | Some("resource") => Check::Resource,
            Some("stack") => Check::Stack,
            Some(_) => return Err(SettingsError::BadCheck),
        };
        let table = variable("LANDFALL_TABLE").ok_or(SettingsError::NoTable)?;
        Ok(Self { table, admit_loopback, propagation, home, limits, check })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use landfall_core::limits::Admitted;

    use super::*;

    fn read(given: &[(&str, &str)]) -> Result<Settings, &'static str> {
        const NEEDED: [(&str, &str); 3] = [
            ("LANDFALL_TABLE", "t"),
            ("LANDFALL_ACCOUNT_ID", "111111111111"),
            ("AWS_REGION", "eu-west-1"),
        ];
        let variable = |name: &str| {
            let mut all = given.iter().chain(&NEEDED);
            all.find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::from_env(variable).map_err(|error| error.code())
    }

    #[test]
    fn what_is_not_said_is_as_strict_as_can_be() {
        let settings = read(&[]).expect("settings");
        assert_eq!(settings.check, Check::Resource);
        assert!(!settings.admit_loopback);
        let none = || Admitted::Only([].into());
        let (key_accounts, policy_buckets) = (BTreeSet::new(), BTreeSet::new());
        let (accounts, buckets, queues) = (none(), none(), none());
        let nothing = Limits { accounts, buckets, queues, key_accounts, policy_buckets };
        assert_eq!(settings.limits, nothing);
        let any = [
            ("LANDFALL_TRUSTED_ACCOUNT_IDS", "*"),
            ("LANDFALL_LANDING_BUCKETS", "*"),
            ("LANDFALL_NOTIFICATION_TARGETS", "*"),
        ];
        assert_eq!(read(&any).expect("settings").limits, Limits::ANY);
    }

    #[test]
    fn settings_that_cannot_be_read_are_refused() {
        for (name, value, code) in [
            ("LANDFALL_TRUSTED_ACCOUNT_IDS", "2", "accounts_malformed"),
            ("LANDFALL_LANDING_BUCKETS", "No_Bucket", "buckets_malformed"),
            ("LANDFALL_NOTIFICATION_TARGETS", "q", "targets_malformed"),
            ("LANDFALL_POLICY_BUCKETS", "*", "policy_buckets_malformed"),
            ("LANDFALL_POLICY_BUCKETS", "arn:aws:s3:::acme-*", "policy_buckets_malformed"),
            ("LANDFALL_CHECK_REQUESTS", "nothing", "check_malformed"),
            ("LANDFALL_ADMIT_LOOPBACK_RESPONSE_URL", "yes", "switch_malformed"),
            ("LANDFALL_PROPAGATION_SECONDS", "-1", "propagation_malformed"),
            ("LANDFALL_TABLE", "", "table_missing"),
            ("LANDFALL_ACCOUNT_ID", "", "account_missing"),
            ("LANDFALL_ACCOUNT_ID", "acme", "account_missing"),
            ("AWS_REGION", "", "region_missing"),
            ("AWS_REGION", "nowhere", "region_missing"),
        ] {
            assert_eq!(read(&[(name, value)]).map(|_| ()), Err(code), "{name}");
        }
    }
}
