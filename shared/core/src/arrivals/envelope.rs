//! Takes envelopes off: Lambda's event for SQS, an SNS notification in a message, or none.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::notification::Payload;
use super::{ArrivalError, Content, Message};

/// The outermost layer. Its records stay text until each is read by itself, so that one ill-typed
/// field does not fail a whole batch.
#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow, rename = "Records")]
    records: Option<Vec<&'a RawValue>>,
}

/// An SQS message as Lambda delivers it; what of it matters here.
#[derive(Deserialize)]
struct SqsRecord {
    #[serde(rename = "messageId")]
    message_id: String,
    body: String,
}

/// Enough of a record to tell where it comes from, and to fail it alone.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnyRecord {
    event_source: Option<String>,
    message_id: Option<serde_json::Value>,
}

/// An SNS notification in a queue without raw delivery.
#[derive(Deserialize)]
struct SnsNotification {
    #[serde(rename = "Message")]
    message: String,
}

pub fn read(event: &str) -> Result<Vec<Message>, ArrivalError> {
    let outer: Outer<'_> = parse(event)?;
    match outer.records {
        Some(records) if is_sqs(&records) => records.into_iter().map(sqs_message).collect(),
        _ => Ok(vec![Message { id: None, content: Payload::parse(event)?.content() }]),
    }
}

fn is_sqs(records: &[&RawValue]) -> bool {
    records.iter().any(|record| {
        serde_json::from_str::<AnyRecord>(record.get())
            .is_ok_and(|record| record.event_source.as_deref() == Some("aws:sqs"))
    })
}

/// Fails only if the message could not be failed alone: it has no id.
fn sqs_message(record: &RawValue) -> Result<Message, ArrivalError> {
    match serde_json::from_str::<SqsRecord>(record.get()) {
        Ok(SqsRecord { message_id, body }) => {
            Ok(Message { id: Some(message_id), content: body_content(&body) })
        }
        Err(error) => {
            let record: AnyRecord = parse(record.get())?;
            let Some(serde_json::Value::String(id)) = record.message_id else {
                return Err(ArrivalError::Missing("messageId"));
            };
            Ok(Message { id: Some(id), content: Err(not_json(&error)) })
        }
    }
}

fn body_content(body: &str) -> Result<Content, ArrivalError> {
    let payload = Payload::parse(body)?;
    if !payload.is_sns() {
        return payload.content();
    }
    let notification: SnsNotification = parse(body)?;
    Payload::parse(&notification.message)?.content()
}

pub fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, ArrivalError> {
    serde_json::from_str(text).map_err(|error| not_json(&error))
}

/// Serde's message can quote values, so only kind and place are kept. What is ill-typed is found in a
/// fragment, whose places mean nothing to anybody.
fn not_json(error: &serde_json::Error) -> ArrivalError {
    let kind = match error.classify() {
        serde_json::error::Category::Data => return ArrivalError::IllTyped,
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "syntax error",
    };
    ArrivalError::NotJson(format!("{kind}, line {} column {}", error.line(), error.column()))
}
