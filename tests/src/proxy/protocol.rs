//! Names calls, and writes errors in the words of their protocol.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};

pub(super) enum Protocol {
    Query,
    /// The code that the service uses for "too often", and the content type of its answers.
    Json {
        too_often: &'static str,
        content_type: String,
    },
    S3,
    Other,
}

impl Protocol {
    pub(super) fn broken(&self) -> Response<Full<Bytes>> {
        let code = if matches!(self, Protocol::S3) { "InternalError" } else { "InternalFailure" };
        self.error(StatusCode::INTERNAL_SERVER_ERROR, code)
    }

    pub(super) fn throttled(&self) -> Response<Full<Bytes>> {
        match self {
            Protocol::Query => self.error(StatusCode::BAD_REQUEST, "Throttling"),
            Protocol::Json { too_often, .. } => self.error(StatusCode::BAD_REQUEST, too_often),
            Protocol::S3 => self.error(StatusCode::SERVICE_UNAVAILABLE, "SlowDown"),
            Protocol::Other => self.error(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
        }
    }

    fn error(&self, status: StatusCode, code: &str) -> Response<Full<Bytes>> {
        let error = format!("<Code>{code}</Code><Message>as planned</Message>");
        let body = match self {
            Protocol::Json { .. } => format!(r#"{{"__type":"{code}","message":"as planned"}}"#),
            Protocol::S3 => format!("<Error>{error}</Error>"),
            Protocol::Query => format!("<ErrorResponse><Error>{error}</Error></ErrorResponse>"),
            Protocol::Other => code.to_owned(),
        };
        self.answer(status, body)
    }

    pub(super) fn answer(&self, status: StatusCode, body: String) -> Response<Full<Bytes>> {
        let content_type = match self {
            Protocol::Json { content_type, .. } => content_type.as_str(),
            Protocol::S3 => "application/xml",
            Protocol::Query => "text/xml",
            Protocol::Other => "text/plain",
        };
        let mut answer = Response::new(Full::new(Bytes::from(body)));
        *answer.status_mut() = status;
        if let Ok(value) = content_type.parse() {
            answer.headers_mut().insert(CONTENT_TYPE, value);
        }
        answer
    }
}

/// Identifies a call by the service that it is signed for and by that service's protocol.
pub(super) fn identify(parts: &Parts, body: &[u8]) -> (Protocol, String) {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let (method, path) = (&parts.method, parts.uri.path());
    // `AWS4-HMAC-SHA256 Credential=ID/DATE/REGION/SERVICE/aws4_request, …`
    let scope = header(AUTHORIZATION.as_str()).and_then(|value| value.split("Credential=").nth(1));
    let Some(service) = scope.and_then(|scope| scope.split('/').nth(3)) else {
        return (Protocol::Other, format!("unsigned {method}"));
    };
    let content_type = header(CONTENT_TYPE.as_str()).unwrap_or_default();
    if let Some(target) = header("x-amz-target") {
        let too_often = match service {
            "dynamodb" => "ProvisionedThroughputExceededException",
            _ => "ThrottlingException",
        };
        let operation = target.rsplit('.').next().unwrap_or(target);
        let content_type = content_type.to_owned();
        return (Protocol::Json { too_often, content_type }, format!("{service}:{operation}"));
    }
    if content_type.starts_with("application/x-www-form-urlencoded") {
        let form = String::from_utf8_lossy(body);
        let action = form.split('&').find_map(|pair| pair.strip_prefix("Action="));
        return (Protocol::Query, format!("{service}:{}", action.unwrap_or("?")));
    }
    if service != "s3" {
        return (Protocol::Other, format!("{service}:{method} {path}"));
    }
    let bucket_only = !path.trim_matches('/').contains('/');
    let names = parts.uri.query().unwrap_or_default().split('&');
    let mut names = names.map(|pair| pair.split('=').next().unwrap_or_default());
    let subresource = names.find(|name| !name.is_empty() && *name != "x-id");
    let subresource = subresource.map(|name| format!("?{name}")).unwrap_or_default();
    let what = if bucket_only { "bucket" } else { "object" };
    (Protocol::S3, format!("s3:{method} {what}{subresource}"))
}
