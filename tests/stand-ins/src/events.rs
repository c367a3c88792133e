//! EventBridge: `PutEvents`, as far as a caller sees it. The call is recorded, but its events go
//! nowhere. Every bus exists. `settings` has the rules.

use serde_json::{Value, json};

use crate::call::Answer;

/// The maximum size of all entries of a call, in bytes.
const MAX_BYTES: usize = 262_144;

pub(crate) fn put(body: &Value) -> Answer {
    let entries = body["Entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let bytes = |entry: &Value| {
        ["Source", "DetailType", "Detail"].iter().map(|name| text(entry, name).len()).sum::<usize>()
    };
    if entries.is_empty()
        || entries.len() > 10
        || entries.iter().map(bytes).sum::<usize>() >= MAX_BYTES
    {
        let message = "1 to 10 entries of less than 256 KB in all";
        return Answer::error("events", 400, "ValidationException", message);
    }
    let put = entries.iter().enumerate().map(|(number, entry)| {
        match serde_json::from_str::<Value>(&text(entry, "Detail")) {
            Ok(Value::Object(_)) => json!({ "EventId": format!("event-{number}") }),
            _ => json!({ "ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed." }),
        }
    });
    let put: Vec<Value> = put.collect();
    let failed = put.iter().filter(|entry| entry["ErrorCode"].is_string()).count();
    let answer = json!({ "FailedEntryCount": failed, "Entries": put });
    Answer::json(200, &answer)
}
