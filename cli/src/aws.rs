//! The runtime and the credentials for calls to AWS.

use anyhow::{Context, anyhow};
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{Region, SdkConfig};
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityOutput;
use landfall_aws::config;
use landfall_aws::sdk_error::sdk_error_parts;
use landfall_core::shell;
use landfall_inspection::Place;

use crate::args::access::AccessArgs;
use crate::terminal::printable;

const NO_CREDENTIALS: &str = "found no credentials";

/// Runs `calls` to their end.
pub fn wait<T>(calls: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("failed to start a runtime")?.block_on(calls)
}

/// Asks STS whose the credentials are.
pub async fn identity(config: &SdkConfig) -> anyhow::Result<GetCallerIdentityOutput> {
    let identity = aws_sdk_sts::Client::new(config).get_caller_identity().send().await;
    identity.map_err(|error| {
        let (code, message) = sdk_error_parts(&error);
        anyhow!("failed to get the caller's identity from STS: {code}: {message}")
    })
}

/// Returns the account and the region that calls with this configuration go to.
pub fn place(identity: &GetCallerIdentityOutput, config: &SdkConfig) -> anyhow::Result<Place> {
    let partition = identity.arn().and_then(|arn| arn.split(':').nth(1)).unwrap_or("aws");
    Ok(Place {
        partition: partition.to_owned(),
        account: identity.account().context("STS returned no account")?.to_owned(),
        region: config.region().map(ToString::to_string).unwrap_or_default(),
    })
}

/// Loads the configuration that these arguments select.
///
/// # Errors
/// Fails if there are no credentials.
pub async fn of_access(access: &AccessArgs) -> anyhow::Result<SdkConfig> {
    of_profile(access.profile.as_deref(), access.region.as_deref()).await
}

/// Loads the configuration of a profile; without a profile, that of the environment. Without a region, the profile or the
/// environment has one.
///
/// # Errors
/// Fails if there are no credentials: without them each call would fail, and say less.
pub async fn of_profile(profile: Option<&str>, region: Option<&str>) -> anyhow::Result<SdkConfig> {
    let loader = || match region {
        Some(region) => config::loader().region(Region::new(region.to_owned())),
        None => config::loader(),
    };
    let config = match profile {
        None => loader().load().await,
        Some(profile) => {
            // Only the profile's credentials count: variables of the environment would take precedence.
            let base = loader().profile_name(profile).no_credentials().load().await;
            let mut provider = ProviderConfig::default().with_region(base.region().cloned());
            if let Some(client) = base.http_client() {
                provider = provider.with_http_client(client);
            }
            let provider = ProfileFileCredentialsProvider::builder().configure(&provider);
            let provider = provider.profile_name(profile).build();
            loader().profile_name(profile).credentials_provider(provider).load().await
        }
    };
    let credentials = config.credentials_provider().context(NO_CREDENTIALS)?;
    let found = credentials.provide_credentials().await;
    found.map_err(|error| no_credentials(profile, error))?;
    Ok(config)
}

/// Returns an error that says in one line why no credentials were found, and what to do.
fn no_credentials(profile: Option<&str>, error: CredentialsError) -> anyhow::Error {
    let why = format!("{:#}", anyhow::Error::new(error));
    let why: Vec<&str> = why.lines().map(str::trim).collect();
    let why = printable(&why.join("; "));
    let (place, option) = match profile {
        Some(profile) => (
            printable(&format!(" in profile `{profile}`")),
            format!(" --profile {}", shell::word(profile)),
        ),
        None => (String::new(), String::new()),
    };
    let advice = if why.contains("credentials-login") {
        format!(
            "run this first: eval \"$(aws configure export-credentials --format env{option})\", and leave out --profile"
        )
    } else if why.to_lowercase().contains("sso") {
        format!("log in with `aws sso login{option}`")
    } else {
        "name a profile that has some with --profile or AWS_PROFILE".to_owned()
    };
    anyhow!("{NO_CREDENTIALS}{place}: {advice} ({why})")
}
