//! CloudFormation's side of a custom resource: reading a request, writing its response, sending it.
//!
//! Knows nothing of roles or buckets, and can serve any custom resource that is backed by a Lambda
//! function. The order of use is [`Request::read`] → [`Response::body`] → [`ResponseUrl::send`].
//! The response URL is a credential: whoever has it can answer for the resource. It is neither
//! printed nor logged, here or in any `Debug`.

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

/// What an answer needs, whatever else is wrong with a request.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// Where the answer goes.
    pub response_url: ResponseUrl,
    /// The ARN of the stack.
    pub stack_id: String,
    /// The id that CloudFormation gives the request; a repetition has the same.
    pub request_id: String,
    /// The name of the resource in the template.
    pub logical_id: String,
    /// Of an Update or a Delete.
    pub physical_id: Option<String>,
}

/// A request; the shapes are those of CloudFormation's "custom resource request objects".
#[derive(Clone)]
pub struct Request {
    /// What the answer needs.
    pub envelope: Envelope,
    /// What CloudFormation asks for.
    pub request_type: RequestType,
    /// `Custom::…`.
    pub resource_type: String,
    /// Every scalar in them is a string.
    pub properties: Value,
    /// Of an Update.
    pub old_properties: Option<Value>,
}

/// A request that cannot be read, or an event that is none.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the request: {problem}")]
pub struct Unreadable {
    /// There if an answer can be given all the same.
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
    /// Whatever is missing or ill-typed; with the envelope, if that much is there.
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

/// Properties may hold secrets and are not shown.
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
