//! The SDK's configuration, shared by all clients of a process.

use std::time::{Duration, SystemTime};

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::timeout::{TimeoutConfig, TimeoutConfigBuilder};
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_smithy_runtime_api::client::http::{SharedHttpClient, SharedHttpConnector};

use crate::http_client::{Connections, client, connector_of};

/// The most that one call may take, its retries included. Longer than AWS takes for any call made
/// here; shorter than a function's time-out by far.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one attempt of a call may take that may be repeated: on a connection that died while the
/// process was frozen nothing ever answers.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);

/// A loader that takes region, endpoints and credentials from the environment, as Lambda sets them,
/// with one HTTP client for all services.
pub fn loader() -> ConfigLoader {
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(client(Connections::Kept))
        .timeout_config(timeouts().build())
}

/// The same for a function: Lambda hands credentials over in the environment and nowhere else. To look for them
/// in all places that the SDK knows would build more clients than a function has.
pub fn of_function() -> ConfigLoader {
    loader().credentials_provider(EnvironmentVariableCredentialsProvider::new())
}

/// The same for calls that are short and may be repeated: an attempt without an answer is given up in
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
pub fn single_use() -> SharedHttpClient {
    client(Connections::SingleUse)
}

/// Whether a call, or several, that may take so long can be finished before `deadline`.
pub fn has_time(deadline: SystemTime, needed: Duration) -> bool {
    deadline.duration_since(SystemTime::now()).is_ok_and(|left| left >= needed)
}

/// What sends a request that is no call of AWS's API: a presigned URL.
pub fn connector() -> SharedHttpConnector {
    connector_of(Connections::SingleUse)
}

/// The same, with connections that serve several requests. For what may be sent again.
pub fn pooled_connector() -> SharedHttpConnector {
    connector_of(Connections::Kept)
}
