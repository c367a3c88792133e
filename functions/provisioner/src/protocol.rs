//! CloudFormation's protocol for a custom resource: reads a request, writes its response, sends it.
//!
//! This module knows nothing about roles or buckets, and can serve any custom resource that is
//! backed by a Lambda function. Use it in this order: [`Request::read`] → [`Response::body`] →
//! [`ResponseUrl::send`]. The response URL is a credential: anyone who has it can answer for the
//! resource. Nothing prints or logs it, and no `Debug` shows it.

mod response;
mod response_url;
mod signed;

use std::fmt;

pub use landfall_core::lifecycle::RequestType;
use serde::Deserialize;
use serde_json::{Map, Value};

pub use response::{Response, Status};
pub use response_url::{ResponseUrl, SendError};
pub(crate) use signed::Signed;

/// What an answer needs, whatever else is wrong with the request.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The URL that the answer goes to.
    pub response_url: ResponseUrl,
    /// The ARN of the stack.
    pub stack_id: String,
    /// The ID that CloudFormation gives the request. A repetition has the same one.
    pub request_id: String,
    /// The name of the resource in the template.
    pub logical_id: String,
    /// The physical ID of the resource, in an Update or a Delete.
    pub physical_id: Option<String>,
}

/// A request. The shapes are those of CloudFormation's "custom resource request objects".
#[derive(Clone)]
pub struct Request {
    /// What the answer needs.
    pub envelope: Envelope,
    /// Whether to create, update or delete the resource.
    pub request_type: RequestType,
    /// The type of the resource, `Custom::…`.
    pub resource_type: String,
    /// The properties. Every scalar in them is a string.
    pub properties: Value,
    /// The properties before an Update.
    pub old_properties: Option<Value>,
}

/// A request that cannot be read, or an event that is not a request.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the request: {problem}")]
pub struct Unreadable {
    /// What an answer needs, if one can be given all the same.
    pub envelope: Option<Box<Envelope>>,
    problem: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Wire {
    request_type: Value,
    #[serde(rename = "ResponseURL")]
    response_url: Value,
    stack_id: Value,
    request_id: Value,
    logical_resource_id: Value,
    physical_resource_id: Value,
    resource_type: Value,
    resource_properties: Value,
    old_resource_properties: Option<Value>,
}

impl Request {
    /// Reads an event.
    ///
    /// # Errors
    /// Fails if something is missing or has the wrong type. The error has the envelope, if that can
    /// be read.
    pub fn read(event: &str) -> Result<Self, Unreadable> {
        let not_answerable =
            |problem: &str| Unreadable { envelope: None, problem: problem.to_owned() };
        let wire: Wire = serde_json::from_str(event)
            .map_err(|_| not_answerable("the event is no JSON object"))?;
        let text = |value: &Value| value.as_str().filter(|s| !s.is_empty()).map(str::to_owned);
        let required = |value: &Value, name: &str| {
            text(value).ok_or_else(|| not_answerable(&format!("`{name}` is missing")))
        };
        let envelope = Envelope {
            response_url: ResponseUrl::new(required(&wire.response_url, "ResponseURL")?),
            stack_id: required(&wire.stack_id, "StackId")?,
            request_id: required(&wire.request_id, "RequestId")?,
            logical_id: required(&wire.logical_resource_id, "LogicalResourceId")?,
            physical_id: text(&wire.physical_resource_id),
        };
        let unreadable = |problem: &str| Unreadable {
            envelope: Some(Box::new(envelope.clone())),
            problem: problem.to_owned(),
        };
        let request_type = match wire.request_type.as_str() {
            Some("Create") => RequestType::Create,
            Some("Update") => RequestType::Update,
            Some("Delete") => RequestType::Delete,
            _ => return Err(unreadable("`RequestType` is none of Create, Update, Delete")),
        };
        if request_type != RequestType::Create && envelope.physical_id.is_none() {
            return Err(unreadable("`PhysicalResourceId` is missing"));
        }
        let resource_type =
            text(&wire.resource_type).ok_or_else(|| unreadable("`ResourceType` is missing"))?;
        let properties = match wire.resource_properties {
            Value::Null => Value::Object(Map::new()),
            properties => properties,
        };
        Ok(Self {
            request_type,
            resource_type,
            properties,
            old_properties: wire.old_resource_properties,
            envelope,
        })
    }
}

/// Leaves out the properties, which may hold secrets.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("envelope", &self.envelope)
            .field("request_type", &self.request_type)
            .field("resource_type", &self.resource_type)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{
        "RequestType": "Create", "ResponseURL": "https://marked/secret?X-Amz-Signature=marked",
        "StackId": "arn:aws:cloudformation:eu-west-1:1:stack/s/1", "RequestId": "r",
        "ResourceType": "Custom::X", "LogicalResourceId": "Role",
        "ResourceProperties": { "ServiceToken": "t", "ExternalId": "marked" }, "More": 1 }"#;

    #[test]
    fn a_request_is_read_and_shown_without_its_secrets() {
        let request = Request::read(EVENT).expect("a request");
        assert_eq!(request.request_type, RequestType::Create);
        assert_eq!(request.properties["ExternalId"], "marked");
        let shown = format!("{request:?}");
        assert!(shown.contains("Custom::X") && !shown.contains("marked"), "{shown}");
    }

    #[test]
    fn what_is_wrong_with_a_request_is_told_and_can_be_answered() {
        for (from, to) in [
            (r#""Create""#, r#""Recreate""#),
            (r#""Create""#, r#""Update""#),
            (r#""Custom::X""#, "7"),
        ] {
            let error = Request::read(&EVENT.replacen(from, to, 1)).expect_err("unreadable");
            assert!(error.envelope.is_some(), "{error}");
            assert!(!format!("{error} {error:?}").contains("marked"), "{error:?}");
        }
        for event in ["", "null", "[]", "{}", &EVENT.replacen("StackId", "Stack", 1)] {
            let error = Request::read(event).expect_err("unreadable");
            assert!(error.envelope.is_none(), "{error}");
        }
    }
}
