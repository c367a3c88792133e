//! What the function is told by its environment.

use std::collections::BTreeSet;
use std::time::Duration;

use landfall_core::arn::is_account;
use landfall_core::roles::Home;

/// CloudFormation itself waits about as long for a role of its own.
const PROPAGATION: Duration = Duration::from_secs(15);

/// The settings of the provisioner.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The table of locks and memories.
    pub table: String,
    /// Whether responses may go to this machine, which serves an emulated AWS and nothing else.
    pub admit_loopback: bool,
    /// How long a role that was created is given to become usable everywhere, before the answer.
    pub propagation: Duration,
    /// Where the function is, if Lambda told: requests of other accounts' stacks are refused.
    pub account_and_region: Option<(String, String)>,
    /// The accounts whose roles may be trusted; any if there are none.
    pub trusted_accounts: BTreeSet<String>,
    /// What of CloudFormation is asked before anything is done.
    pub check: Check,
}

/// How far it is checked that CloudFormation waits for what a request asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// The stack is being changed, and the resource in it.
    Resource,
    /// The stack is being changed. For an emulated AWS that does not tell of resources in time.
    Stack,
    /// Nothing is asked. The environment cannot say so.
    Nothing,
}

/// Why the function cannot work at all.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("failed to learn the table: `LANDFALL_TABLE` is not set")]
    NoTable,
    #[error("failed to use `LANDFALL_PROPAGATION_SECONDS`: it is no whole number")]
    BadPropagation,
    #[error("failed to use `LANDFALL_ADMIT_LOOPBACK_RESPONSE_URL`: it is neither true nor false")]
    BadSwitch,
    #[error("failed to use `LANDFALL_TRUSTED_ACCOUNT_IDS`: it is no list of account ids")]
    BadAccounts,
    #[error("failed to use `LANDFALL_CHECK_REQUESTS`: it is neither resource nor stack")]
    BadCheck,
}

impl SettingsError {
    /// A stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoTable => "table_missing",
            Self::BadPropagation => "propagation_malformed",
            Self::BadSwitch => "switch_malformed",
            Self::BadAccounts => "accounts_malformed",
            Self::BadCheck => "check_malformed",
        }
    }
}

impl Settings {
    /// Reads `LANDFALL_TABLE`, `LANDFALL_PROPAGATION_SECONDS` (default: 15),
    /// `LANDFALL_ADMIT_LOOPBACK_RESPONSE_URL` (default: false), `LANDFALL_TRUSTED_ACCOUNT_IDS` (commas
    /// between them; default: any), `LANDFALL_CHECK_REQUESTS` (default: resource), `LANDFALL_ACCOUNT_ID`
    /// and Lambda's own `AWS_REGION`.
    ///
    /// # Errors
    /// What is missing or malformed first.
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
        let trusted_accounts: BTreeSet<String> = variable("LANDFALL_TRUSTED_ACCOUNT_IDS")
            .map(|text| text.split(',').map(|id| id.trim().to_owned()).collect())
            .unwrap_or_default();
        if !trusted_accounts.iter().all(|id| is_account(id)) {
            return Err(SettingsError::BadAccounts);
        }
        let check = match variable("LANDFALL_CHECK_REQUESTS").as_deref() {
            None | Some("resource") => Check::Resource,
            Some("stack") => Check::Stack,
            Some(_) => return Err(SettingsError::BadCheck),
        };
        Ok(Self {
            trusted_accounts,
            check,
            propagation,
            table: variable("LANDFALL_TABLE").ok_or(SettingsError::NoTable)?,
            admit_loopback,
            account_and_region: variable("LANDFALL_ACCOUNT_ID").zip(variable("AWS_REGION")),
        })
    }

    /// The function's own region, if Lambda told.
    pub fn region(&self) -> Option<&str> {
        self.account_and_region.as_ref().map(|(_, region)| region.as_str())
    }

    /// Whether a stack at `home` may ask.
    pub fn is_of(&self, home: &Home) -> bool {
        let is_own = |(account, region): &(String, String)| {
            (account, region) == (&home.account, &home.region)
        };
        self.account_and_region.as_ref().is_none_or(is_own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &[(&str, &str)]) -> Result<Settings, &'static str> {
        let variable = |name: &str| {
            let all = given.iter().chain(&[("LANDFALL_TABLE", "t")]);
            all.clone().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::from_env(variable).map_err(|error| error.code())
    }

    #[test]
    fn what_is_not_said_is_as_strict_as_can_be() {
        let settings = read(&[]).expect("settings");
        assert_eq!(settings.check, Check::Resource);
        assert!(!settings.admit_loopback && settings.trusted_accounts.is_empty());
    }

    #[test]
    fn settings_that_cannot_be_read_are_refused() {
        let ids = "LANDFALL_TRUSTED_ACCOUNT_IDS";
        let settings = read(&[(ids, "222222222222,333333333333")]).expect("settings");
        assert_eq!(settings.trusted_accounts.len(), 2);
        for (name, value, code) in [
            (ids, "2", "accounts_malformed"),
            ("LANDFALL_CHECK_REQUESTS", "nothing", "check_malformed"),
            ("LANDFALL_ADMIT_LOOPBACK_RESPONSE_URL", "yes", "switch_malformed"),
            ("LANDFALL_PROPAGATION_SECONDS", "-1", "propagation_malformed"),
            ("LANDFALL_TABLE", "", "table_missing"),
        ] {
            assert_eq!(read(&[(name, value)]).map(|_| ()), Err(code), "{name}");
        }
    }
}
