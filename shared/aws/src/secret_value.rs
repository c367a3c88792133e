//! A secret's value, from Secrets Manager: one signed request over what sends all others. A client of the
//! SDK's for it would be a fifth of a function's limit of size, for one call.

use aws_config::SdkConfig;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::byte_stream::ByteStream;
use aws_types::service_config::ServiceConfigKey;
use landfall_core::arn::SecretArn;
use landfall_core::partition::{dns_suffix, dual_stack_dns_suffix};
use landfall_core::secret::Secret;
use serde::Deserialize;
use serde_json::json;
use url::{Host, Url};

use crate::clock::system_time;
use crate::config::pooled_connector;

const TARGET: &str = "secretsmanager.GetSecretValue";

/// Where a secret is, and what it takes to read it.
#[derive(Debug)]
pub struct SecretValue {
    arn: String,
    region: String,
    /// `None` if there is none to trust.
    endpoint: Option<String>,
    credentials: Option<SharedCredentialsProvider>,
    http: SharedHttpConnector,
}

/// Why a value is not known. It repeats nothing that was answered but AWS's code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to read secret `{arn}`: {reason}")]
pub struct SecretError {
    pub arn: String,
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    secret_string: Option<Secret>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "__type")]
    code: String,
}

impl SecretValue {
    /// Makes no call. `arn` is that of a secret.
    pub fn new(arn: &str, config: &SdkConfig) -> Self {
        let parsed = SecretArn::parse(arn);
        Self {
            arn: arn.to_owned(),
            region: parsed.map(|arn| arn.region.to_owned()).unwrap_or_default(),
            endpoint: parsed.and_then(|arn| endpoint(&arn, config)),
            credentials: config.credentials_provider(),
            http: pooled_connector(),
        }
    }

    /// Asks for the value, each time anew. It takes as long as it takes: the caller has a limit.
    ///
    /// # Errors
    /// AWS refuses or cannot be reached, or the secret is no text.
    pub async fn read(&self) -> Result<Secret, SecretError> {
        let mut is_first = true;
        loop {
            let request = self.request().await?;
            match self.http.call(request).await {
                Ok(response) => {
                    let status = response.status();
                    let body = ByteStream::new(response.into_body()).collect().await;
                    let body = body.map_err(|_| self.failed("the answer broke off"))?.into_bytes();
                    if !status.is_success() {
                        let status = format!("status {}", status.as_u16());
                        let refusal: Option<Refusal> = serde_json::from_slice(&body).ok();
                        return Err(self.failed(&refusal.and_then(code_of).unwrap_or(status)));
                    }
                    let answer: Option<Answer> = serde_json::from_slice(&body).ok();
                    let value = answer.and_then(|answer| answer.secret_string);
                    return value.ok_or_else(|| self.failed("it has no `SecretString`"));
                }
                // A connection that died while the process was frozen.
                Err(error) if error.is_io() && is_first => is_first = false,
                Err(error) if error.is_timeout() => return Err(self.failed("a time-out")),
                Err(error) if error.is_io() => return Err(self.failed("no connection")),
                Err(_) => return Err(self.failed("a broken exchange")),
            }
        }
    }

    pub(crate) fn failed(&self, reason: &str) -> SecretError {
        SecretError { arn: self.arn.clone(), reason: reason.to_owned() }
    }

    async fn request(&self) -> Result<HttpRequest, SecretError> {
        let endpoint = self.endpoint.as_deref();
        let endpoint = endpoint.ok_or_else(|| self.failed("no endpoint that is to be trusted"))?;
        let credentials = self.credentials.as_ref();
        let credentials = credentials.ok_or_else(|| self.failed("no credentials"))?;
        let credentials = credentials.provide_credentials().await;
        let identity = credentials.map_err(|_| self.failed("no credentials"))?.into();
        let body = json!({ "SecretId": self.arn }).to_string();
        let made = || {
            let headers =
                [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", TARGET)];
            let mut request = HttpRequest::new(body.clone().into());
            request.set_method("POST").ok()?;
            request.set_uri(endpoint).ok()?;
            let parameters = v4::SigningParams::builder()
                .identity(&identity)
                .region(&self.region)
                .name("secretsmanager")
                .time(system_time())
                .settings(SigningSettings::default())
                .build()
                .ok()?
                .into();
            let body = SignableBody::Bytes(body.as_bytes());
            let signable =
                SignableRequest::new("POST", endpoint, headers.into_iter(), body).ok()?;
            let (signed, _) = sign(signable, &parameters).ok()?.into_parts();
            for (name, value) in headers {
                request.headers_mut().try_insert(name, value).ok()?;
            }
            for (name, value) in signed.headers() {
                request.headers_mut().try_insert(name.to_owned(), value.to_owned()).ok()?;
            }
            Some(request)
        };
        made().ok_or_else(|| self.failed("the request cannot be signed"))
    }
}

/// AWS's code, without the namespace that can stand before it.
fn code_of(refusal: Refusal) -> Option<String> {
    let code = refusal.code.rsplit('#').next().unwrap_or_default();
    let is_code = !code.is_empty() && code.bytes().all(|b| b.is_ascii_alphanumeric());
    is_code.then(|| code.to_owned())
}

/// As the SDK finds it: one that is set for this service or for all, else the region's own. `None` if the first
/// would be asked without TLS and is not on this machine, or if the partition is not known.
fn endpoint(arn: &SecretArn<'_>, config: &SdkConfig) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id("Secrets Manager")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok()?;
    let of_service = config.service_config().and_then(|config| config.load_config(key));
    if let Some(set) = of_service.or_else(|| config.endpoint_url().map(str::to_owned)) {
        let url = Url::parse(&set).ok()?;
        let is_loopback = match url.host()? {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        let is_fine = url.scheme() == "https" || (url.scheme() == "http" && is_loopback);
        return is_fine.then(|| url.to_string());
    }
    let is_set = |switch: Option<bool>| switch.unwrap_or(false);
    let suffix = match is_set(config.use_dual_stack()) {
        false => dns_suffix(arn.partition)?,
        true => dual_stack_dns_suffix(arn.partition)?,
    };
    let fips = if is_set(config.use_fips()) { "-fips" } else { "" };
    Some(format!("https://secretsmanager{fips}.{}.{suffix}/", arn.region))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:lineage-a1B2c3";

    fn endpoint_of(arn: &str, config: aws_types::sdk_config::Builder) -> Option<String> {
        SecretValue::new(arn, &config.build()).endpoint
    }

    #[test]
    fn a_secret_is_asked_for_in_its_own_region_over_tls() {
        let plain = SdkConfig::builder;
        let own = "https://secretsmanager.eu-west-1.amazonaws.com/";
        assert_eq!(endpoint_of(ARN, plain()).as_deref(), Some(own));
        let fips = "https://secretsmanager-fips.eu-west-1.api.aws/";
        let both = plain().use_fips(true).use_dual_stack(true);
        assert_eq!(endpoint_of(ARN, both).as_deref(), Some(fips));
        let china = ARN.replace("arn:aws:", "arn:aws-cn:").replace("eu-west-1", "cn-north-1");
        let own = "https://secretsmanager.cn-north-1.amazonaws.com.cn/";
        assert_eq!(endpoint_of(&china, plain()).as_deref(), Some(own));
        let endpoint = "https://vpce-1.secretsmanager.example.com/";
        let set = plain().endpoint_url(endpoint);
        assert_eq!(endpoint_of(ARN, set).as_deref(), Some(endpoint));
    }

    #[tokio::test]
    async fn a_secret_is_not_asked_for_where_nobody_is_to_be_trusted() {
        let elsewhere = ARN.replace("arn:aws:", "arn:aws-iso-z:");
        let plain = SdkConfig::builder().endpoint_url("http://secrets.example.com");
        for (arn, config) in [(ARN, plain), (&elsewhere, SdkConfig::builder())] {
            let secret = SecretValue::new(arn, &config.build());
            let error = secret.read().await.expect_err("not asked");
            assert_eq!(error.reason, "no endpoint that is to be trusted");
        }
    }

    #[test]
    fn of_a_refusal_the_code_is_told() {
        let code = |text: &str| code_of(Refusal { code: text.to_owned() });
        assert_eq!(code("AccessDeniedException").as_deref(), Some("AccessDeniedException"));
        assert_eq!(code("com.amazonaws#Denied").as_deref(), Some("Denied"));
        assert_eq!(code("what was sent: s3cr3t"), None);
    }
}
