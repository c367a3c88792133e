//! Reads the function's settings from its environment.

/// The settings of the repairer.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name of the stack that it repairs.
    pub stack: String,
    /// The name of the auditor's table of findings, which also has the history of the repairs.
    pub findings_table: String,
    /// The account's ID.
    pub account: String,
    /// The region.
    pub region: String,
}

/// Why the function cannot work with its settings.
#[derive(Debug, thiserror::Error)]
#[error("failed to learn {what}: `{variable}` is not set")]
pub struct SettingsError {
    what: &'static str,
    variable: &'static str,
}

impl SettingsError {
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        "settings_invalid"
    }
}

impl Settings {
    /// Reads the settings. `variable` returns the value of an environment variable.
    ///
    /// # Errors
    /// Fails if a variable is missing or empty.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let get = |what, name| {
            let value = variable(name).filter(|value| !value.is_empty());
            value.ok_or(SettingsError { what, variable: name })
        };
        Ok(Self {
            stack: get("the stack", "LANDFALL_STACK")?,
            findings_table: get("the table of findings", "LANDFALL_FINDINGS_TABLE")?,
            account: get("the account's ID", "LANDFALL_ACCOUNT_ID")?,
            region: get("the region", "AWS_REGION")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_is_missing_or_empty_is_named() {
        let all =
            ["LANDFALL_STACK", "LANDFALL_FINDINGS_TABLE", "LANDFALL_ACCOUNT_ID", "AWS_REGION"];
        for missing in all {
            let empty = |name: &str| Some(if name == missing { "" } else { "x" }.to_owned());
            let absent = |name: &str| (name != missing).then(|| "x".to_owned());
            let errors = [Settings::from_env(empty), Settings::from_env(absent)];
            for error in errors {
                let error = error.expect_err(missing).to_string();
                assert!(error.contains(&format!("`{missing}`")), "{error}");
            }
        }
        let settings = Settings::from_env(|name| Some(name.to_lowercase())).expect("settings");
        assert_eq!(settings.stack, "landfall_stack");
    }
}
