//! Reads the function's settings from its environment.

use std::time::Duration;

use landfall_core::chain::Side;
use landfall_core::partition;
use landfall_inspection::Place;

/// How many days without a new batch make a route unused, unless the settings say.
const UNUSED_DAYS: u32 = 90;

/// The settings of the auditor.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name of the stack whose half of the chain it looks at.
    pub stack: String,
    /// Which half that is.
    pub side: Side,
    /// After how long without a new batch a route counts as unused.
    pub unused_after: Duration,
    /// `true` if it asks IAM Access Analyzer whom the account's resources let in.
    pub asks_access_analyzer: bool,
    /// `true` if it looks whether IAM's events are forwarded to it. Without the variable, nobody asks for that.
    pub expects_iam_events: bool,
    /// The name of the table of findings.
    pub findings_table: String,
    /// Where the function is.
    pub place: Place,
}

/// Why the function cannot work with its settings.
#[derive(Debug, thiserror::Error)]
#[error("failed to learn {what}: `{variable}` is not set to one")]
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
    /// Fails if a variable is missing, empty, or has no meaning.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let get = |what, name| {
            let value = variable(name).filter(|value| !value.is_empty());
            value.ok_or(SettingsError { what, variable: name })
        };
        let region = get("the region", "AWS_REGION")?;
        let partition = partition::of_region(&region);
        let partition =
            partition.ok_or(SettingsError { what: "the region", variable: "AWS_REGION" })?;
        let side = get("the account's part", "LANDFALL_SIDE")?;
        let side = Side::ALL.into_iter().find(|it| it.name() == side);
        let days = match get("the days", "LANDFALL_UNUSED_DAYS") {
            Ok(days) => days.parse().ok().filter(|days| *days > 0),
            Err(_) => Some(UNUSED_DAYS),
        };
        let days = days.ok_or(SettingsError {
            what: "after how many days a route is unused, a whole number",
            variable: "LANDFALL_UNUSED_DAYS",
        })?;
        Ok(Self {
            stack: get("the stack", "LANDFALL_STACK")?,
            side: side.ok_or(SettingsError {
                what: "the account's part, `data` or `analytics`",
                variable: "LANDFALL_SIDE",
            })?,
            asks_access_analyzer: variable("LANDFALL_ACCESS_ANALYZER")
                .is_some_and(|it| it == "true"),
            expects_iam_events: variable("LANDFALL_IAM_EVENTS").is_some_and(|it| it == "true"),
            unused_after: Duration::from_secs(u64::from(days) * 24 * 3_600),
            findings_table: get("the table of findings", "LANDFALL_FINDINGS_TABLE")?,
            place: Place {
                partition: partition.to_owned(),
                account: get("the account's ID", "LANDFALL_ACCOUNT_ID")?,
                region,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(&str, &str); 5] = [
        ("LANDFALL_STACK", "landfall"),
        ("LANDFALL_SIDE", "data"),
        ("LANDFALL_ACCOUNT_ID", "111111111111"),
        ("LANDFALL_FINDINGS_TABLE", "landfall-findings"),
        ("AWS_REGION", "eu-west-1"),
    ];

    fn read(changed: &str, value: &str) -> Result<Settings, String> {
        let variable = |name: &str| {
            let (name, default) = ALL.into_iter().find(|(known, _)| *known == name)?;
            Some(if name == changed { value } else { default }.to_owned())
        };
        Settings::from_env(variable).map_err(|error| error.to_string())
    }

    #[test]
    fn a_setting_that_is_missing_or_means_nothing_is_named() {
        let settings = read("", "").expect("settings");
        assert_eq!((settings.side, settings.place.partition.as_str()), (Side::Data, "aws"));
        for (name, _) in ALL {
            let error = read(name, "").expect_err(name);
            assert!(error.contains(&format!("`{name}`")), "{error}");
        }
        assert!(read("LANDFALL_SIDE", "both").is_err());
        assert!(read("AWS_REGION", "nowhere").is_err());
    }

    #[test]
    fn a_route_is_unused_after_90_days_unless_the_settings_say_otherwise() {
        let days = |value: &'static str| {
            let variable = |name: &str| match name {
                "LANDFALL_UNUSED_DAYS" => Some(value.to_owned()),
                name => {
                    ALL.iter().find(|(known, _)| *known == name).map(|(_, it)| (*it).to_owned())
                }
            };
            let settings = Settings::from_env(variable).map_err(|error| error.to_string());
            settings.map(|settings| settings.unused_after.as_secs() / (24 * 3_600))
        };
        assert_eq!((days(""), days("30")), (Ok(90), Ok(30)));
        for nothing in ["0", "-1", "a month"] {
            let error = days(nothing).expect_err(nothing);
            assert!(error.contains("`LANDFALL_UNUSED_DAYS`"), "{error}");
        }
    }
}
