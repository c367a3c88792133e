//! The SDK's configuration, shared by all clients of a process.

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

/// The most that one call may take, its retries included. Longer than AWS takes for any call made
/// here; shorter than a function's time-out by far.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one attempt of a call may take that may be repeated: on a connection that died while the
/// process was frozen nothing ever answers.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);

/// A loader that takes region, endpoints and credentials from where all tools find them, with one HTTP client for all
/// services.
pub fn loader() -> ConfigLoader {
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client())
        .timeout_config(timeouts().build())
}

/// The configuration of a function, to which Lambda tells all in the environment: region, credentials, and which endpoints
/// are meant, in the variables that all SDKs know. Nothing else is looked for: the search takes its time at each start.
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

/// A configuration for calls that are short and may be repeated: an attempt without an answer is given up in
/// time for another.
pub fn with_short_attempts(config: &SdkConfig) -> SdkConfig {
    let timeouts = timeouts().operation_attempt_timeout(ATTEMPT_TIMEOUT).build();
    config.to_builder().timeout_config(timeouts).build()
}

/// For a call that takes its time, and for one that must not be repeated.
pub fn timeouts() -> TimeoutConfigBuilder {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_timeout(CALL_TIMEOUT)
        // Said, so that a client does not take it from the configuration that it is made from.
        .disable_operation_attempt_timeout()
}

/// For calls that must not be repeated: no connection outlives its request. Lambda freezes a process
/// between invocations, and a request that is sent on a connection that died meanwhile has an
/// ambiguous outcome.
pub fn single_use(config: &SdkConfig) -> SharedHttpClient {
    SharedHttpClient::new(Alone { by: config.http_client().unwrap_or_else(http_client) })
}

/// What sends a request that is no call of AWS's API: a presigned URL.
pub fn connector() -> SharedHttpConnector {
    SharedHttpConnector::new(Alone { by: http_client::connector() })
}

/// The same, with connections that serve several requests. For what may be sent again.
pub fn pooled_connector() -> SharedHttpConnector {
    http_client::connector()
}

/// Settings of one service: `AWS_ENDPOINT_URL_GLUE` and its like, which
/// [all SDKs know](https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html), before what is set for
/// all services.
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
