//! The arguments of all commands that call AWS: whose credentials to use, and in which region.

use aws_config::SdkConfig;
use clap::Args;
use landfall_core::shell;

use super::roles::region;
use crate::aws;

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
    /// Loads the configuration of calls, and checks that it has credentials.
    ///
    /// # Errors
    /// Fails if there are no credentials.
    pub async fn load(&self) -> anyhow::Result<SdkConfig> {
        aws::of_profile(self.profile.as_deref(), self.region.as_deref()).await
    }

    /// Returns the options with which another command has the same access.
    pub fn options(&self) -> String {
        let all = [("--profile", &self.profile), ("--region", &self.region)];
        let given = all.into_iter().filter_map(|(option, value)| Some((option, value.as_ref()?)));
        given.map(|(option, value)| format!(" {option} {}", shell::word(value))).collect()
    }
}
