//! Calls services that speak AWS's JSON protocols or its query protocol, with one signed request each, over the shared
//! HTTP client. An SDK client for such a service would take a fifth of a function's size limit, for
//! a single operation.

use aws_config::SdkConfig;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::byte_stream::ByteStream;
use aws_types::service_config::ServiceConfigKey;
use landfall_core::partition::{dns_suffix, dual_stack_dns_suffix};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::{Host, Url};

use crate::clock::system_time;
use crate::config::pooled_connector;

/// An AWS service.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// The name in settings, such as `Secrets Manager`.
    pub id: &'static str,
    /// The name in endpoints and signatures.
    pub name: &'static str,
    /// The content type of requests, which the version of the protocol decides.
    pub content_type: &'static str,
}

/// A client for one service in one region.
#[derive(Debug, Clone)]
pub struct SignedClient {
    service: Service,
    region: String,
    /// `None` if there is no endpoint that can be trusted.
    endpoint: Option<String>,
    credentials: Option<SharedCredentialsProvider>,
    http: SharedHttpConnector,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "__type")]
    code: String,
}

impl SignedClient {
    /// Returns a client for `place`, a partition and a region. Without a place, every call fails.
    /// Makes no call.
    pub fn new(service: Service, place: Option<(&str, &str)>, config: &SdkConfig) -> Self {
        Self {
            service,
            region: place.map(|(_, region)| region.to_owned()).unwrap_or_default(),
            endpoint: place.and_then(|place| endpoint(service, place, config)),
            credentials: config.credentials_provider(),
            http: pooled_connector(),
        }
    }

    /// Returns the endpoint, with a slash at its end; `None` if there is none that can be trusted.
    pub(crate) fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// Makes one call, with no time-out: the caller sets a limit. If the connection breaks, the
    /// call is sent once more.
    ///
    /// # Errors
    /// Returns why there is no answer. Of what AWS answered, the text repeats only the error code.
    pub async fn call<A: DeserializeOwned>(
        &self,
        target: &'static str,
        body: &str,
    ) -> Result<A, String> {
        let (status, body) = self.exchange(Some(target), body).await?;
        if !status.is_success() {
            let refusal: Option<Refusal> = serde_json::from_slice(&body).ok();
            let status = || format!("status {}", status.as_u16());
            return Err(refusal.and_then(code_of).unwrap_or_else(status));
        }
        serde_json::from_slice(&body).map_err(|_| "the answer is not understood".to_owned())
    }

    /// Posts a form, as the query protocol asks for it. Returns the status and the answer, whatever they say.
    ///
    /// # Errors
    /// Returns why there is no answer.
    pub async fn query(&self, form: &str) -> Result<(u16, String), String> {
        let (status, body) = self.exchange(None, form).await?;
        let text = String::from_utf8(body).map_err(|_| "the answer is no text")?;
        Ok((status.as_u16(), text))
    }

    async fn exchange(
        &self,
        target: Option<&'static str>,
        body: &str,
    ) -> Result<(StatusCode, Vec<u8>), &'static str> {
        let endpoint = self.endpoint().ok_or("no endpoint that is to be trusted")?;
        let credentials = self.credentials.as_ref().ok_or("no credentials")?;
        let credentials = credentials.provide_credentials().await;
        let identity = credentials.map_err(|_| "no credentials")?.into();
        let request = || self.request(endpoint, target, body, &identity);
        let response = send(&self.http, request, "the request cannot be signed").await?;
        let status = response.status();
        let body = ByteStream::new(response.into_body()).collect().await;
        Ok((status, body.map_err(|_| "the answer broke off")?.to_vec()))
    }

    fn request(
        &self,
        endpoint: &str,
        target: Option<&'static str>,
        body: &str,
        identity: &Identity,
    ) -> Option<HttpRequest> {
        let content_type = ("content-type", self.service.content_type);
        let target = target.map(|target| ("x-amz-target", target));
        let headers = || std::iter::once(content_type).chain(target);
        let mut request = HttpRequest::new(body.into());
        request.set_method("POST").ok()?;
        request.set_uri(endpoint).ok()?;
        let parameters = v4::SigningParams::builder()
            .identity(identity)
            .region(&self.region)
            .name(self.service.name)
            .time(system_time())
            .settings(SigningSettings::default())
            .build()
            .ok()?
            .into();
        let body = SignableBody::Bytes(body.as_bytes());
        let signable = SignableRequest::new("POST", endpoint, headers(), body).ok()?;
        let (signed, _) = sign(signable, &parameters).ok()?.into_parts();
        for (name, value) in headers() {
            request.headers_mut().try_insert(name, value).ok()?;
        }
        for (name, value) in signed.headers() {
            request.headers_mut().try_insert(name.to_owned(), value.to_owned()).ok()?;
        }
        Some(request)
    }
}

/// Sends a request. If the connection breaks, sends it once more: the connection may have died
/// while the process was frozen.
///
/// # Errors
/// Returns `unusable` if there is no request, or why there is no response. The texts do not repeat
/// the error's own text, which may contain the URL.
pub(crate) async fn send(
    http: &SharedHttpConnector,
    request: impl Fn() -> Option<HttpRequest>,
    unusable: &'static str,
) -> Result<HttpResponse, &'static str> {
    let mut is_first = true;
    loop {
        match http.call(request().ok_or(unusable)?).await {
            Ok(response) => return Ok(response),
            Err(error) if error.is_io() && is_first => is_first = false,
            Err(error) if error.is_timeout() => return Err("a time-out"),
            Err(error) if error.is_io() => return Err("no connection"),
            Err(_) => return Err("a broken exchange"),
        }
    }
}

/// Returns `true` if the URL leads to this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Returns AWS's code, without the namespace that can stand before it.
fn code_of(refusal: Refusal) -> Option<String> {
    let code = refusal.code.rsplit('#').next().unwrap_or_default();
    let is_code = !code.is_empty() && code.bytes().all(|b| b.is_ascii_alphanumeric());
    is_code.then(|| code.to_owned())
}

/// Finds the endpoint as the SDK does: one that is set for this service or for all services,
/// otherwise the region's own. Returns `None` if the one that is set uses no TLS and is not on this
/// machine, or if the partition is unknown.
fn endpoint(
    service: Service,
    (partition, region): (&str, &str),
    config: &SdkConfig,
) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id(service.id)
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok()?;
    let of_service = config.service_config().and_then(|config| config.load_config(key));
    if let Some(set) = of_service.or_else(|| config.endpoint_url().map(str::to_owned)) {
        let url = Url::parse(&set).ok()?;
        let is_fine = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
        return is_fine.then(|| url.to_string());
    }
    let is_set = |switch: Option<bool>| switch.unwrap_or(false);
    let is_dual_stack = is_set(config.use_dual_stack());
    let suffix = if is_dual_stack { dual_stack_dns_suffix } else { dns_suffix }(partition)?;
    let fips = if is_set(config.use_fips()) { "-fips" } else { "" };
    Some(format!("https://{}{fips}.{region}.{suffix}/", service.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_refusal_the_code_is_told() {
        let code = |text: &str| code_of(Refusal { code: text.to_owned() });
        assert_eq!(code("AccessDeniedException").as_deref(), Some("AccessDeniedException"));
        assert_eq!(code("com.amazonaws#Denied").as_deref(), Some("Denied"));
        assert_eq!(code("what was sent: s3cr3t"), None);
    }
}
