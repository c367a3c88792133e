//! The HTTP client: hyper, driven the way the SDK's own client drives it, over HTTP/1.1 only.
//! Landfall's calls to AWS need no HTTP/2, which would be a tenth of a function's size.
//!
//! The first connection over TLS loads the root certificates, and the process keeps them. A
//! function trusts Mozilla's certificates, which are compiled in (boto3 ships its own too): reading
//! the system's bundle of 140 takes more instructions than everything else in a cold start. Outside
//! Lambda, or if the environment names a bundle, the process reads that bundle instead.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::error::Error;
use std::iter::successors;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connection::{CaptureSmithyConnection, ConnectionMetadata};
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::ErrorKind;
use http::Uri;
use http::uri::Scheme;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{self, CaptureConnection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_native_certs::{load_certs_from_paths, load_native_certs};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tower_service::Service;

/// How long a connection may stay idle. The time that Lambda freezes the process counts only as far
/// as the process's clock runs on.
const IDLE: Duration = Duration::from_secs(15);

/// Returns a client for AWS services. Service clients with the same time-outs share its
/// connections.
pub fn http_client() -> SharedHttpClient {
    SharedHttpClient::new(Client::default())
}

thread_local! {
    static INSTEAD: RefCell<Option<SharedHttpConnector>> = const { RefCell::new(None) };
}

/// Replaces every connector that this thread requests from now on: a simulation has no network.
pub fn instead(connector: impl HttpConnector + 'static) {
    INSTEAD.set(Some(SharedHttpConnector::new(connector)));
}

/// Returns a connector for requests that no SDK client sends. It has no time-outs.
pub(crate) fn connector() -> SharedHttpConnector {
    let made = || SharedHttpConnector::new(Connector::new([None, None]));
    INSTEAD.with_borrow(|instead| instead.clone().unwrap_or_else(made))
}

/// Sends each request on a connection of its own, and otherwise does what `by` does.
#[derive(Debug)]
pub(crate) struct Alone<T> {
    /// The client or connector that sends the request.
    pub by: T,
}

/// Marks a request whose connection must serve no other.
#[derive(Debug, Clone, Copy)]
struct IsAlone;

impl HttpClient for Alone<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Alone { by: self.by.http_connector(settings, components) })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.by.connector_metadata()
    }
}

impl HttpConnector for Alone<SharedHttpConnector> {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        request.add_extension(IsAlone);
        self.by.call(request)
    }
}

/// The time-outs for connecting and for reading.
type Timeouts = [Option<Duration>; 2];

#[derive(Debug, Default)]
struct Client {
    connectors: Mutex<HashMap<Timeouts, SharedHttpConnector>>,
}

impl HttpClient for Client {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let mut connectors = self.connectors.lock().unwrap_or_else(PoisonError::into_inner);
        let timeouts = [settings.connect_timeout(), settings.read_timeout()];
        let made = || SharedHttpConnector::new(Connector::new(timeouts));
        connectors.entry(timeouts).or_insert_with(made).clone()
    }

    /// Identifies the client in the user agent, with the same words as the SDK's own client.
    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        Some(ConnectorMetadata::new("hyper", Some(Cow::Borrowed("1.x"))))
    }
}

#[derive(Debug)]
struct Connector {
    /// Reuses a connection for the next request, unless it has been idle for too long.
    kept: legacy::Client<Connect, SdkBody>,
    /// Closes each connection after its request.
    alone: legacy::Client<Connect, SdkBody>,
    read_timeout: Option<Duration>,
}

impl Connector {
    fn new([connect_timeout, read_timeout]: Timeouts) -> Self {
        let mut tcp = connect::HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let connect = Connect { tcp, timeout: connect_timeout };
        let mut kept = legacy::Client::builder(TokioExecutor::new());
        kept.pool_idle_timeout(IDLE).pool_timer(TokioTimer::new());
        let mut alone = legacy::Client::builder(TokioExecutor::new());
        alone.pool_max_idle_per_host(0).retry_canceled_requests(false);
        let (kept, alone) = (kept.build(connect.clone()), alone.build(connect));
        Self { kept, alone, read_timeout }
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => {
                return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into())));
            }
        };
        // Lets the SDK close a connection that it finds to be bad.
        let captured = capture_connection(&mut request);
        if let Some(of_sdk) = request.extensions().get::<CaptureSmithyConnection>() {
            of_sdk.set_connection_retriever(move || metadata(&captured));
        }
        let is_alone = request.extensions().get::<IsAlone>().is_some();
        let http = if is_alone { &self.alone } else { &self.kept };
        let answer = http.request(request);
        let limit = self.read_timeout;
        HttpConnectorFuture::new(async move {
            let answer = within(limit, "the answer", answer).await;
            let answer = answer.map_err(|late| ConnectorError::timeout(late.into()))?;
            let answer = answer.map_err(failed)?.map(SdkBody::from_body_1_x);
            HttpResponse::try_from(answer)
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

fn metadata(captured: &CaptureConnection) -> Option<ConnectionMetadata> {
    let is_proxied = captured.connection_metadata().as_ref()?.is_proxied();
    let captured = captured.clone();
    let poison = move || {
        if let Some(connection) = captured.connection_metadata().as_ref() {
            connection.poison();
        }
    };
    Some(ConnectionMetadata::builder().proxied(is_proxied).poison_fn(poison).build())
}

/// Classifies a failed request for the SDK, which decides by it whether to retry.
fn failed(error: legacy::Error) -> ConnectorError {
    let chain = || successors(Some(&error as &(dyn Error + 'static)), |&error| error.source());
    let of_hyper = chain().find_map(|error| error.downcast_ref::<hyper::Error>());
    let is_io = || chain().any(|error| error.is::<std::io::Error>());
    let kind = match of_hyper {
        _ if chain().any(|error| error.is::<Late>()) => ConnectorError::timeout,
        Some(hyper) if hyper.is_timeout() => ConnectorError::timeout,
        Some(hyper) if hyper.is_user() => ConnectorError::user,
        // The response broke off.
        Some(hyper) if hyper.is_incomplete_message() => {
            |error| ConnectorError::other(error, Some(ErrorKind::TransientError))
        }
        Some(hyper) if hyper.is_closed() || hyper.is_canceled() => ConnectorError::io,
        _ if error.is_connect() || is_io() => ConnectorError::io,
        _ => |error| ConnectorError::other(error, None),
    };
    kind(error.into())
}

/// Returns `true` if the failed request never got a connection: then nobody has received it.
pub(crate) fn has_not_connected(error: &ConnectorError) -> bool {
    successors(error.source(), |&error| error.source())
        .find_map(|error| error.downcast_ref::<legacy::Error>())
        .is_some_and(legacy::Error::is_connect)
}

/// Something took longer than its limit.
#[derive(Debug, thiserror::Error)]
#[error("{what} took longer than {} ms", .limit.as_millis())]
struct Late {
    what: &'static str,
    limit: Duration,
}

async fn within<F: Future>(
    limit: Option<Duration>,
    what: &'static str,
    work: F,
) -> Result<F::Output, Late> {
    match limit {
        Some(limit) => timeout(limit, work).await.map_err(|_| Late { what, limit }),
        None => Ok(work.await),
    }
}

/// Opens connections, over TLS if the URI's scheme says so.
#[derive(Debug, Clone)]
struct Connect {
    tcp: connect::HttpConnector,
    timeout: Option<Duration>,
}

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

impl Service<Uri> for Connect {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(BoxError::from)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { mut tcp, timeout: limit } = self.clone();
        let connected = async move {
            if uri.scheme() == Some(&Scheme::HTTP) {
                return Ok(MaybeHttpsStream::Http(tcp.call(uri).await?));
            }
            HttpsConnector::from((tcp, tls().await?)).call(uri).await
        };
        Box::pin(async move { within(limit, "to connect", connected).await? })
    }
}

/// Returns the TLS configuration and the trusted roots, which all connections of the process share.
async fn tls() -> Result<Arc<rustls::ClientConfig>, BoxError> {
    static TLS: OnceCell<Arc<rustls::ClientConfig>> = OnceCell::const_new();
    let made = || async {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(trusted()?)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    };
    TLS.get_or_try_init(made).await.cloned()
}

/// Returns the trusted roots: those of the bundle that the environment names; otherwise the ones
/// that are compiled in if this is a function, and the system's if it is not.
fn trusted() -> Result<rustls::RootCertStore, BoxError> {
    let named = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty());
    let bundle = named("AWS_CA_BUNDLE").or_else(|| named("SSL_CERT_FILE")).map(PathBuf::from);
    let found = match &bundle {
        Some(bundle) => load_certs_from_paths(Some(bundle), None),
        None if named("AWS_LAMBDA_FUNCTION_NAME").is_some() => {
            return Ok(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect());
        }
        None => load_native_certs(),
    };
    let mut roots = rustls::RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    let of = bundle.map_or("this system".to_owned(), |path| format!("`{}`", path.display()));
    let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
    if added == 0 {
        return Err(format!("found no certificate to trust in {of}{why}").into());
    }
    if !why.is_empty() || ignored > 0 {
        let errors = found.errors.len();
        tracing::warn!(added, ignored, errors, "not every certificate of {of} is understood{why}");
    }
    Ok(roots)
}

#[cfg(test)]
mod tests;
