//! Builds the SDK configuration that all clients of a process share.

use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::timeout::{TimeoutConfig, TimeoutConfigBuilder};
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{SharedHttpClient, SharedHttpConnector};
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use crate::http_client::{self, Alone};

pub use crate::http_client::{http_client, instead};

/// The most time that one call may take, including its retries. This is longer than AWS takes for
/// any call here, and far shorter than a function's time-out.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one attempt of a retryable call may take. A connection that died while the process was
/// frozen never answers.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);

/// Returns the settings of a client of S3 for a program that may have another endpoint than AWS's. Only AWS gives each
/// bucket a host name of its own, so elsewhere the path names the bucket.
pub fn s3(config: &SdkConfig) -> aws_sdk_s3::config::Builder {
    aws_sdk_s3::config::Builder::from(config).force_path_style(config.endpoint_url().is_some())
}

/// Returns a loader that finds region, endpoints and credentials where all AWS tools look for them,
/// with one HTTP client for all services.
pub fn loader() -> ConfigLoader {
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client())
        .timeout_config(timeouts().build())
}

/// Returns the configuration of a function. Lambda sets region, credentials and endpoints in the
/// environment variables that all SDKs know. Nothing else is read: searching further would slow
/// down each cold start.
pub fn of_function() -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http_client())
        .timeout_config(timeouts().build())
        .retry_config(RetryConfig::standard())
        .identity_cache(IdentityCache::lazy().build())
        .credentials_provider(SharedCredentialsProvider::new(
            EnvironmentVariableCredentialsProvider::new(),
        ))
        .region(variable("AWS_REGION").map(Region::new))
        .use_fips(is_true("AWS_USE_FIPS_ENDPOINT"))
        .use_dual_stack(is_true("AWS_USE_DUALSTACK_ENDPOINT"))
        .service_config(OfService)
        .build()
}

/// Returns a configuration for calls that are short and retryable: an attempt without an answer
/// ends in time for another one.
pub fn with_short_attempts(config: &SdkConfig) -> SdkConfig {
    let timeouts = timeouts().operation_attempt_timeout(ATTEMPT_TIMEOUT).build();
    config.to_builder().timeout_config(timeouts).build()
}

/// Returns the time-outs for a slow call, and for a call that must not be repeated.
pub fn timeouts() -> TimeoutConfigBuilder {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_timeout(CALL_TIMEOUT)
        // Set explicitly, or a client would inherit it from the configuration that it is built
        // from.
        .disable_operation_attempt_timeout()
}

/// Returns an HTTP client for calls that must not be repeated: each connection serves one request.
/// Lambda freezes a process between invocations, and if a connection dies meanwhile, a request on
/// it has an ambiguous outcome.
pub fn single_use(config: &SdkConfig) -> SharedHttpClient {
    SharedHttpClient::new(Alone { by: config.http_client().unwrap_or_else(http_client) })
}

/// Returns a connector for requests that are not AWS API calls, such as one to a presigned URL.
/// Each connection serves one request.
pub fn connector() -> SharedHttpConnector {
    SharedHttpConnector::new(Alone { by: http_client::connector() })
}

/// Returns a connector whose connections serve several requests, for what may be sent again.
pub fn pooled_connector() -> SharedHttpConnector {
    http_client::connector()
}

/// Reads the settings of one service, such as `AWS_ENDPOINT_URL_GLUE`, which [all SDKs
/// know](https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html). They take
/// precedence over the settings for all services.
#[derive(Debug)]
struct OfService;

impl LoadServiceConfig for OfService {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        if key.env() == "AWS_ENDPOINT_URL" && is_true("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") {
            return None;
        }
        let service = key.service_id().to_ascii_uppercase().replace(' ', "_");
        variable(&format!("{}_{service}", key.env())).or_else(|| variable(key.env()))
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn is_true(name: &str) -> bool {
    variable(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}
