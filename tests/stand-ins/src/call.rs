//! A call as a service gets it, and the answer as a service gives it.

use std::time::SystemTime;

use hyper::body::Bytes;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LAST_MODIFIED};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc2822;

/// A call as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The service: `access-analyzer`, `cloudformation`, `dynamodb`, `events`, `glue`, `iam`, `kms`,
    /// `lambda`, `s3`, `secretsmanager`, `sqs` or `sts`.
    pub service: &'static str,
    /// The operation, such as `StartJobRun`. For S3 it is `PutObject` or `GetObject`.
    pub operation: String,
    /// The body as it was sent. A form becomes an object of texts. For S3 it is an object with
    /// `Bucket`, `Key` and further parameters.
    pub body: Value,
}

/// An answer before it goes on the wire.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
    pub(crate) etag: Option<String>,
    /// The length to report where it isn't that of the body, as in the answer to a `HEAD`.
    pub(crate) length: Option<usize>,
    pub(crate) modified: Option<SystemTime>,
    pub(crate) version_id: Option<String>,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Answer {
        Answer::new(status, "application/x-amz-json-1.0", body.to_string())
    }

    pub(crate) fn xml(status: u16, body: String) -> Answer {
        Answer::new(status, "text/xml", body)
    }

    /// Returns the result of an operation of a query protocol.
    pub(crate) fn result(operation: &str, result: &str) -> Answer {
        Answer::xml(
            200,
            format!(
                "<{operation}Response><{operation}Result>{result}</{operation}Result>\
                 </{operation}Response>"
            ),
        )
    }

    pub(crate) fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
        Answer {
            status,
            content_type,
            body: body.into(),
            etag: None,
            length: None,
            modified: None,
            version_id: None,
        }
    }

    /// Returns an error in the words of a service's protocol. The codes and messages of tests need
    /// no escaping.
    pub(crate) fn error(service: &str, status: u16, code: &str, message: &str) -> Answer {
        let xml = format!("<Code>{code}</Code><Message>{message}</Message>");
        match service {
            "sts" => Answer::xml(
                status,
                format!(
                    "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error>\
                     <Type>Sender</Type>{xml}</Error></ErrorResponse>"
                ),
            ),
            "query" | "cloudformation" | "iam" => Answer::xml(
                status,
                format!("<ErrorResponse><Error><Type>Sender</Type>{xml}</Error></ErrorResponse>"),
            ),
            "s3" => Answer::xml(status, format!("<Error>{xml}</Error>")),
            _ => Answer::json(status, &json!({ "__type": code, "message": message })),
        }
    }

    pub(crate) fn response(self) -> Response<Bytes> {
        let mut response = Response::new(self.body);
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if let Some(etag) = self.etag.and_then(|etag| HeaderValue::from_str(&etag).ok()) {
            headers.insert("etag", etag);
        }
        if let Some(id) = self.version_id.and_then(|id| HeaderValue::from_str(&id).ok()) {
            headers.insert("x-amz-version-id", id);
        }
        let modified = self.modified.map(time::OffsetDateTime::from);
        let modified = modified.and_then(|at| at.format(&Rfc2822).ok());
        if let Some(modified) = modified.map(|text| text.replace("+0000", "GMT"))
            && let Ok(modified) = HeaderValue::from_str(&modified)
        {
            headers.insert(LAST_MODIFIED, modified);
        }
        if let Some(length) = self.length {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        response
    }
}
