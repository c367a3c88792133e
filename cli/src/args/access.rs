//! The arguments of all commands that call AWS: whose credentials to use, and in which region.

use clap::Args;
use landfall_core::shell;

use super::roles::region;

/// Selects the credentials and the region of the data account.
#[derive(Args, Clone, Default)]
pub struct AccessArgs {
    /// The profile that credentials and region come from. Default: AWS_PROFILE, or the environment's credentials.
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<String>,
    /// The region of the data account's stack. Default: the region of the environment or the profile.
    #[arg(long, value_name = "REGION", value_parser = region)]
    pub region: Option<String>,
}

impl AccessArgs {
    /// Returns the options with which another command has the same access.
    pub fn options(&self) -> String {
        let all = [("--profile", &self.profile), ("--region", &self.region)];
        let given = all.into_iter().filter_map(|(option, value)| Some((option, value.as_ref()?)));
        given.map(|(option, value)| format!(" {option} {}", shell::word(value))).collect()
    }
}
