//! The runtime and the credentials for calls to AWS.

use std::process::Command;

use anyhow::{Context, anyhow, bail};
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{ConfigLoader, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityOutput;
use landfall_aws::config;
use landfall_aws::sdk_error::sdk_error_parts;
use landfall_inspection::Place;
use serde::Deserialize;

use crate::terminal::printable;

const NO_CREDENTIALS: &str = "found no credentials";

/// Runs `calls` to their end.
pub fn wait<T>(calls: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("failed to start a runtime")?.block_on(calls)
}

/// Loads the configuration, and checks that it has credentials: without them each call would fail, and say less.
pub async fn load(loader: ConfigLoader) -> anyhow::Result<SdkConfig> {
    let config = loader.load().await;
    let credentials = config.credentials_provider().context(NO_CREDENTIALS)?;
    credentials.provide_credentials().await.map_err(no_credentials)?;
    Ok(config)
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

/// Returns an error that lists in one line what was tried.
fn no_credentials(error: CredentialsError) -> anyhow::Error {
    let tried = format!("{:#}", anyhow::Error::new(error));
    let tried: Vec<&str> = tried.lines().map(str::trim).collect();
    anyhow!(
        "{NO_CREDENTIALS}: set AWS_PROFILE; with SSO, or with a profile that runs a process, first run: \
         eval \"$(aws configure export-credentials --format env)\" ({})",
        tried.join("; ")
    )
}

/// Loads the configuration of a profile; without a profile, that of the environment. Without a region, the profile or the
/// environment has one.
pub async fn of_profile(profile: Option<&str>, region: Option<&str>) -> anyhow::Result<SdkConfig> {
    let loader = || match region {
        Some(region) => config::loader().region(Region::new(region.to_owned())),
        None => config::loader(),
    };
    let Some(profile) = profile else { return load(loader()).await };
    // Only the profile's credentials count: variables of the environment would take precedence.
    let base = loader().profile_name(profile).no_credentials().load().await;
    let mut provider = ProviderConfig::default().with_region(base.region().cloned());
    if let Some(client) = base.http_client() {
        provider = provider.with_http_client(client);
    }
    let provider = ProfileFileCredentialsProvider::builder().configure(&provider);
    let provider = provider.profile_name(profile).build();
    match load(loader().profile_name(profile).credentials_provider(provider)).await {
        Ok(config) => Ok(config),
        Err(error) => {
            let exported = exported(profile);
            let exported = exported.with_context(|| format!("{error:#}"))?;
            let loader = config::loader().region(base.region().cloned()).profile_name(profile);
            load(loader.credentials_provider(exported)).await
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Exported {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

/// Gets the credentials of a profile that uses SSO or a process from the `aws` command.
fn exported(profile: &str) -> anyhow::Result<Credentials> {
    let arguments =
        ["configure", "export-credentials", "--format", "process", "--profile", profile];
    let ran = Command::new("aws").args(arguments).output();
    let ran = ran.context("failed to run `aws configure export-credentials`")?;
    if !ran.status.success() {
        let said = String::from_utf8_lossy(&ran.stderr);
        bail!("`aws configure export-credentials` says: {}", printable(said.trim()));
    }
    // The error does not repeat the output, which contains a key.
    let Ok(exported) = serde_json::from_slice::<Exported>(&ran.stdout) else {
        bail!("`aws configure export-credentials` printed no credentials");
    };
    let Exported { access_key_id, secret_access_key, session_token } = exported;
    Ok(Credentials::new(access_key_id, secret_access_key, session_token, None, "aws-cli"))
}
