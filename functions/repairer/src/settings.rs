//! Reads the function's settings from its environment.

use std::time::Duration;

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
    /// How long a repair waits after a person's change. Zero if it doesn't wait.
    pub pause: Duration,
    /// The name of the provisioner's role, whose changes are Landfall's own.
    pub provisioner: String,
}

/// Why the function cannot work with its settings.
#[derive(Debug, thiserror::Error)]
#[error("failed to learn {what}: `{variable}` is not set, or not what it should be")]
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
        // The environment of an earlier version has neither of these.
        let minutes = variable("LANDFALL_REPAIR_PAUSE_MINUTES").unwrap_or_default();
        let minutes = if minutes.is_empty() { "0" } else { &minutes };
        let invalid =
            SettingsError { what: "the pause", variable: "LANDFALL_REPAIR_PAUSE_MINUTES" };
        let pause = minutes
            .parse::<u32>()
            .map(|it| Duration::from_secs(60 * u64::from(it)))
            .map_err(|_| invalid)?;
        Ok(Self {
            pause,
            provisioner: variable("LANDFALL_PROVISIONER_ROLE").unwrap_or_default(),
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
            let value = |name: &str| if all.contains(&name) { "x" } else { "" };
            let empty =
                |name: &str| Some(if name == missing { "" } else { value(name) }.to_owned());
            let absent = |name: &str| (name != missing).then(|| value(name).to_owned());
            let errors = [Settings::from_env(empty), Settings::from_env(absent)];
            for error in errors {
                let error = error.expect_err(missing).to_string();
                assert!(error.contains(&format!("`{missing}`")), "{error}");
            }
        }
        let with = |pause: &'static str| {
            move |name: &str| {
                let is_pause = name == "LANDFALL_REPAIR_PAUSE_MINUTES";
                Some(if is_pause { pause.to_owned() } else { name.to_lowercase() })
            }
        };
        let settings = Settings::from_env(with("15")).expect("settings");
        assert_eq!((settings.stack.as_str(), settings.pause.as_secs()), ("landfall_stack", 900));
        assert_eq!(Settings::from_env(with("")).expect("settings").pause, Duration::ZERO);
        let error = Settings::from_env(with("-1")).expect_err("no length of time");
        assert!(error.to_string().contains("`LANDFALL_REPAIR_PAUSE_MINUTES`"), "{error}");
    }
}
