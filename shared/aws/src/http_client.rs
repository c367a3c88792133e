//! What sends requests. Certificates are loaded with the first request that goes over TLS, once: the SDK's own
//! client loads them when it is built, and parses them anew for each service.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_smithy_http_client::{Connector, ConnectorBuilder, tls};
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// What becomes of a connection when its request is answered.
#[derive(Debug, Clone, Copy)]
pub enum Connections {
    /// It serves the next, unless it idles for too long.
    Kept,
    /// None outlives its request.
    SingleUse,
}

/// How long a connection may idle, as far as the clock runs while Lambda freezes the process.
const IDLE: Duration = Duration::from_secs(15);

/// For clients of AWS's services, which share what they share of their settings.
pub fn client(connections: Connections) -> SharedHttpClient {
    SharedHttpClient::new(Client { connections, connectors: Mutex::default() })
}

/// For requests that are no call of AWS's API.
pub fn connector_of(connections: Connections) -> SharedHttpConnector {
    SharedHttpConnector::new(OnDemand::new(connections, HttpConnectorSettings::default()))
}

#[derive(Debug)]
struct Client {
    connections: Connections,
    /// By their time-outs, for connecting and for reading.
    connectors: Mutex<HashMap<[Option<Duration>; 2], SharedHttpConnector>>,
}

impl HttpClient for Client {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let mut connectors = self.connectors.lock().unwrap_or_else(PoisonError::into_inner);
        let timeouts = [settings.connect_timeout(), settings.read_timeout()];
        let made = || SharedHttpConnector::new(OnDemand::new(self.connections, settings.clone()));
        connectors.entry(timeouts).or_insert_with(made).clone()
    }

    /// As the SDK's own says it, for the user agent.
    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        Some(ConnectorMetadata::new("hyper", Some(Cow::Borrowed("1.x"))))
    }
}

/// Two connectors, each made for the first request that it takes.
#[derive(Debug)]
struct OnDemand {
    connections: Connections,
    settings: HttpConnectorSettings,
    plain: OnceLock<Connector>,
    tls: OnceLock<Connector>,
}

impl OnDemand {
    fn new(connections: Connections, settings: HttpConnectorSettings) -> Self {
        Self { connections, settings, plain: OnceLock::new(), tls: OnceLock::new() }
    }

    fn builder(&self) -> ConnectorBuilder {
        let builder = Connector::builder().connector_settings(self.settings.clone());
        match self.connections {
            Connections::Kept => builder.pool_idle_timeout(IDLE),
            Connections::SingleUse => builder.pool_max_idle_per_host(0),
        }
    }
}

impl HttpConnector for OnDemand {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = match request.uri().starts_with("http://") {
            true => self.plain.get_or_init(|| self.builder().build_http()),
            false => self.tls.get_or_init(|| {
                let ring = tls::rustls_provider::CryptoMode::Ring;
                self.builder().tls_provider(tls::Provider::Rustls(ring)).build()
            }),
        };
        connector.call(request)
    }
}

#[cfg(test)]
mod tests {
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers};

    use super::*;

    #[tokio::test]
    async fn no_certificate_is_loaded_before_a_request_goes_over_tls() {
        let server = MockServer::start().await;
        Mock::given(matchers::any()).respond_with(ResponseTemplate::new(204)).mount(&server).await;
        for connections in [Connections::Kept, Connections::SingleUse] {
            let connector = OnDemand::new(connections, HttpConnectorSettings::default());
            assert!(connector.plain.get().is_none() && connector.tls.get().is_none());
            let mut request = HttpRequest::empty();
            request.set_uri(server.uri()).expect("a URI");
            let answer = connector.call(request).await.expect("an answer");
            assert_eq!(answer.status().as_u16(), 204);
            assert!(connector.tls.get().is_none());
            let mut request = HttpRequest::empty();
            request.set_uri(server.uri().replace("http:", "https:")).expect("a URI");
            connector.call(request).await.expect_err("nobody speaks TLS there");
            assert!(connector.tls.get().is_some());
        }
    }
}
