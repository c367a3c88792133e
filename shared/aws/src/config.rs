//! The SDK's configuration, shared by all clients of a process.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader};
use aws_smithy_http_client::{Builder, Connector, tls};
use aws_smithy_runtime_api::client::http::SharedHttpConnector;

/// The most that one call may take, its retries included. Longer than AWS takes for any call made
/// here; shorter than a function's time-out by far.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// A loader that takes region, endpoints and credentials from the environment, as Lambda sets them,
/// with one HTTP client for all services.
///
/// No connection outlives its request: Lambda freezes a process between invocations, and a request
/// that is sent on a connection that died meanwhile has an ambiguous outcome.
pub fn loader() -> ConfigLoader {
    with_http(Builder::new().pool_max_idle_per_host(0))
}

/// The same with connections that are used again, for a process that is never frozen: the command
/// line, which reads many items in a row.
pub fn loader_with_pool() -> ConfigLoader {
    with_http(Builder::new())
}

fn with_http(http: Builder) -> ConfigLoader {
    let tls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
    let http = http.tls_provider(tls).build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_timeout(CALL_TIMEOUT)
        .build();
    aws_config::defaults(BehaviorVersion::latest()).http_client(http).timeout_config(timeouts)
}

/// What sends a request that is no call of AWS's API: a presigned URL.
pub fn connector() -> SharedHttpConnector {
    let tls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
    let connector = Connector::builder().pool_max_idle_per_host(0).tls_provider(tls).build();
    SharedHttpConnector::new(connector)
}
