//! What the function is told by its environment.

use std::time::Duration;

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
}

impl SettingsError {
    /// A stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoTable => "table_missing",
            Self::BadPropagation => "propagation_malformed",
            Self::BadSwitch => "switch_malformed",
        }
    }
}

impl Settings {
    /// Reads `LANDFALL_TABLE`, `LANDFALL_PROPAGATION_SECONDS` (default: 15),
    /// `LANDFALL_ADMIT_LOOPBACK_RESPONSE_URL` (default: false), `LANDFALL_ACCOUNT_ID` and Lambda's own `AWS_REGION`.
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
        Ok(Self {
            propagation,
            table: variable("LANDFALL_TABLE").ok_or(SettingsError::NoTable)?,
            admit_loopback,
            account_and_region: variable("LANDFALL_ACCOUNT_ID").zip(variable("AWS_REGION")),
        })
    }

    /// Whether a stack at `home` may ask.
    pub fn is_of(&self, home: &Home) -> bool {
        let is_own = |(account, region): &(String, String)| {
            (account, region) == (&home.account, &home.region)
        };
        self.account_and_region.as_ref().is_none_or(is_own)
    }
}
