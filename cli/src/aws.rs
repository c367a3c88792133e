//! Calls to AWS: the runtime that they are made in, and whose credentials they are made with.

use anyhow::{Context, anyhow};
use aws_config::{ConfigLoader, SdkConfig};
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;

const NO_CREDENTIALS: &str = "found no credentials";

/// Waits for `calls`.
pub fn wait<T>(calls: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("failed to start a runtime")?.block_on(calls)
}

/// What `loader` loads, if there are credentials: without, each call would fail with less to say.
pub async fn load(loader: ConfigLoader) -> anyhow::Result<SdkConfig> {
    let config = loader.load().await;
    let credentials = config.credentials_provider().context(NO_CREDENTIALS)?;
    credentials.provide_credentials().await.map_err(no_credentials)?;
    Ok(config)
}

/// With what was tried, in one line.
fn no_credentials(error: CredentialsError) -> anyhow::Error {
    let tried = format!("{:#}", anyhow::Error::new(error));
    let tried: Vec<&str> = tried.lines().map(str::trim).collect();
    anyhow!(
        "{NO_CREDENTIALS}; with SSO, or a profile that runs a process, do first: \
         eval \"$(aws configure export-credentials --format env)\" ({})",
        tried.join("; ")
    )
}
