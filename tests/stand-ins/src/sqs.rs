//! SQS: `SendMessageBatch`. Every queue exists, and keeps its messages until a test takes them.
//! `settings` has the attributes of those that a test sets.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::call::Answer;

const MAX_BYTES: usize = 262_144;

pub(crate) fn serve(
    messages: &mut BTreeMap<String, Vec<Value>>,
    operation: &str,
    body: &Value,
) -> Answer {
    let error = |code: &str| Answer::error("sqs", 400, &format!("com.amazonaws.sqs#{code}"), code);
    if operation != "SendMessageBatch" {
        return error("UnsupportedOperation");
    }
    let Some(url) = body["QueueUrl"].as_str() else { return error("QueueDoesNotExist") };
    let entries = body["Entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    let bytes = |entry: &Value| {
        let text = entry["MessageBody"].as_str().map_or(0, str::len);
        text + entry["MessageAttributes"].as_object().map_or(0, |all| json!(all).to_string().len())
    };
    let ids: BTreeSet<&str> = entries.iter().filter_map(|entry| entry["Id"].as_str()).collect();
    match entries.len() {
        0 => return error("EmptyBatchRequest"),
        11.. => return error("TooManyEntriesInBatchRequest"),
        _ if ids.len() != entries.len() => return error("BatchEntryIdsNotDistinct"),
        _ if entries.iter().map(bytes).sum::<usize>() > MAX_BYTES => {
            return error("BatchRequestTooLong");
        }
        _ => {}
    }
    messages.entry(url.to_owned()).or_default().extend_from_slice(entries);
    let sent = ids.iter().map(|id| json!({ "Id": id, "MessageId": format!("message-{id}") }));
    Answer::json(200, &json!({ "Successful": sent.collect::<Vec<_>>(), "Failed": [] }))
}
