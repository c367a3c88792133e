//! Builds a response, within the 4,096 bytes that CloudFormation accepts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Envelope;

/// CloudFormation silently ignores a longer response, and waits until its time-out.
pub(crate) const MAX_RESPONSE_BYTES: usize = 4_096;

/// A reason that is longer than this is shortened first, and at least half of this much is kept.
const MIN_REASON_BYTES: usize = 256;

/// How a request ends, in CloudFormation's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// The resource is as the request asks for.
    Success,
    /// The resource is not; CloudFormation rolls the stack back.
    Failed,
}

/// The outcome of a request. It can be stored, and sent again unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// Whether the request was served.
    pub status: Status,
    /// Why the request failed. The response may shorten it, so the log needs the whole text.
    pub reason: String,
    /// The physical ID by which CloudFormation knows the resource from now on.
    pub physical_id: String,
    /// The attributes for `Fn::GetAtt`.
    pub data: BTreeMap<String, String>,
}

impl Response {
    /// Returns the body to send, of at most [`MAX_RESPONSE_BYTES`]. If it would be too long,
    /// shortens first the reason, which the stack's events show, and then the longest attributes.
    pub fn body(&self, envelope: &Envelope) -> String {
        let mut response = self.clone();
        loop {
            let body = json!({
                "Status": response.status,
                "Reason": response.reason,
                "PhysicalResourceId": response.physical_id,
                "StackId": envelope.stack_id,
                "RequestId": envelope.request_id,
                "LogicalResourceId": envelope.logical_id,
                "NoEcho": false,
                "Data": response.data,
            })
            .to_string();
            let Some(excess) = body.len().checked_sub(MAX_RESPONSE_BYTES + 1) else {
                return body;
            };
            if response.reason.len() > MIN_REASON_BYTES {
                let keep = response.reason.len().saturating_sub(excess + 64);
                shorten(&mut response.reason, keep.max(MIN_REASON_BYTES / 2));
                continue;
            }
            match response.data.values_mut().max_by_key(|value| value.len()) {
                Some(value) if !value.is_empty() => shorten(value, value.len() / 2),
                // Only IDs are left, and CloudFormation's are far shorter than the limit.
                _ => return body,
            }
        }
    }
}

fn shorten(text: &mut String, keep: usize) {
    let mut end = keep.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    if end > 0 {
        text.push_str("… (whole in the log)");
    }
    if text.len() > keep + 32 || end <= 32 {
        text.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ResponseUrl;

    fn envelope() -> Envelope {
        Envelope {
            response_url: ResponseUrl::new("https://marked".to_owned()),
            stack_id: "arn:aws:cloudformation:eu-west-1:1:stack/s/1".to_owned(),
            request_id: "r".to_owned(),
            logical_id: "Role".to_owned(),
            physical_id: None,
        }
    }

    fn body(reason: &str, data: &[(&str, String)]) -> serde_json::Value {
        let response = Response {
            status: Status::Failed,
            reason: reason.to_owned(),
            physical_id: "Role-1".to_owned(),
            data: data.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        };
        let body = response.body(&envelope());
        assert!(body.len() <= MAX_RESPONSE_BYTES, "{} bytes", body.len());
        serde_json::from_str(&body).expect("JSON")
    }

    #[test]
    fn a_response_that_fits_is_sent_whole() {
        let body = body("no", &[("Arn", "arn".to_owned())]);
        assert_eq!(body["Status"], "FAILED");
        assert_eq!(body["Reason"], "no");
        assert_eq!(body["PhysicalResourceId"], "Role-1");
        assert_eq!(body["Data"]["Arn"], "arn");
    }

    #[test]
    fn a_long_reason_is_shortened_before_any_data() {
        for unit in ["x", "é", "日", "\"", "\u{1}", "🦀"] {
            let body = body(&unit.repeat(5_000), &[("Arn", "arn".repeat(100))]);
            assert_eq!(body["Data"]["Arn"], "arn".repeat(100), "{unit:?}");
            assert!(body["Reason"].as_str().is_some_and(|r| r.starts_with(unit)), "{unit:?}");
        }
    }

    #[test]
    fn long_data_is_shortened_at_last_and_its_longest_value_first() {
        for unit in ["x", "\"", "\u{1}", "🦀"] {
            let body = body("no", &[("Arn", "arn".to_owned()), ("Long", unit.repeat(9_000))]);
            assert_eq!(body["Data"]["Arn"], "arn", "{unit:?}");
            assert_eq!(body["Reason"], "no", "{unit:?}");
        }
    }
}
