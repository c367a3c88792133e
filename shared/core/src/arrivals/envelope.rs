//! Takes envelopes off: Lambda's event for SQS or SNS, an EventBridge pipe's batch of SQS messages, an SNS notification in a
//! message, or none.
//!
//! An event in its usual form is read in one pass. Any other event is read again with care: in layers that stay text until
//! each is read by itself, so that one ill-typed field does not fail a whole batch. If the first pass gives a result, both
//! give the same.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::error::{ArrivalError, not_json, parse};
use super::message::{Content, Message};
use super::notification::{self, Payload, Text};

/// An event in which every record is a well-formed SQS message.
#[derive(Deserialize)]
struct SqsEvent {
    #[serde(rename = "Records")]
    records: Vec<Whole>,
}

/// A message that is read in place, so that only one body is unescaped at a time.
struct Whole(Message);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Record<'a> {
            message_id: String,
            #[serde(borrow)]
            body: Cow<'a, str>,
            #[serde(borrow)]
            event_source: Cow<'a, str>,
            #[serde(borrow, rename = "eventSourceARN")]
            queue: Option<Text<'a>>,
        }
        let record = Record::deserialize(deserializer)?;
        if record.event_source != SQS {
            return Err(serde::de::Error::custom("not a message of SQS"));
        }
        let content = body_content(&record.body);
        Ok(Self(Message::of_queue(record.message_id, record.queue.as_deref(), content)))
    }
}

const SQS: &str = "aws:sqs";
const SNS: &str = "aws:sns";

/// The outermost layer, read with care.
#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow, rename = "Records")]
    records: Option<Vec<&'a RawValue>>,
}

/// The part of an SQS message that matters here, as Lambda delivers it.
#[derive(Deserialize)]
struct SqsRecord {
    #[serde(rename = "messageId")]
    message_id: String,
    body: String,
    #[serde(rename = "eventSourceARN")]
    queue: Option<String>,
}

/// Enough of a record to see where it comes from and to fail it alone.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnyRecord {
    /// SNS starts its names with capitals.
    #[serde(alias = "EventSource")]
    event_source: Option<String>,
    message_id: Option<serde_json::Value>,
}

/// An SNS message as Lambda delivers it.
#[derive(Deserialize)]
struct SnsRecord {
    #[serde(rename = "Sns")]
    notification: SnsNotification,
}

/// An SNS notification, in Lambda's event or in a queue without raw delivery.
#[derive(Deserialize)]
struct SnsNotification {
    #[serde(rename = "Message")]
    message: String,
}

pub(crate) fn read(event: &str) -> Result<Vec<Message>, ArrivalError> {
    match whole(event) {
        Some(messages) => Ok(messages),
        None => with_care(event),
    }
}

/// Reads the messages of an event in one pass; `None` for anything that must be read with care.
pub(crate) fn whole(event: &str) -> Option<Vec<Message>> {
    let SqsEvent { records } = serde_json::from_str(event).ok()?;
    let messages: Vec<Message> = records.into_iter().map(|Whole(message)| message).collect();
    (!messages.is_empty()).then_some(messages)
}

pub(crate) fn with_care(event: &str) -> Result<Vec<Message>, ArrivalError> {
    let records: Option<Vec<&RawValue>> = if event.starts_with('[') {
        // A pipe sends an array, even for one message. It takes the same answer as Lambda does for SQS.
        Some(parse(event)?)
    } else {
        parse::<Outer<'_>>(event)?.records
    };
    let content = match records {
        Some(records) if is_of(SQS, &records) => {
            return records.into_iter().map(sqs_message).collect();
        }
        Some(records) if is_of(SNS, &records) => sns_content(&records),
        Some(_) if event.starts_with('[') => Err(ArrivalError::UnknownEnvelope),
        _ => Payload::parse(event)?.content(),
    };
    Ok(vec![Message { id: None, listings_from: None, content }])
}

fn is_of(source: &str, records: &[&RawValue]) -> bool {
    records.iter().any(|record| {
        serde_json::from_str::<AnyRecord>(record.get())
            .is_ok_and(|record| record.event_source.as_deref() == Some(source))
    })
}

/// Reads SNS messages. SNS has no queue that could keep one of them, so all succeed or the invocation fails.
fn sns_content(records: &[&RawValue]) -> Result<Content, ArrivalError> {
    let mut content = Content::default();
    for record in records {
        let SnsRecord { notification } = parse(record.get())?;
        content += Payload::parse(&notification.message)?.content()?;
    }
    Ok(content)
}

/// Reads an SQS message. This fails only if the message has no ID by which it could fail alone.
fn sqs_message(record: &RawValue) -> Result<Message, ArrivalError> {
    match serde_json::from_str::<SqsRecord>(record.get()) {
        Ok(SqsRecord { message_id, body, queue }) => {
            Ok(Message::of_queue(message_id, queue.as_deref(), body_content(&body)))
        }
        Err(error) => {
            let record: AnyRecord = parse(record.get())?;
            let Some(serde_json::Value::String(id)) = record.message_id else {
                return Err(ArrivalError::Missing("messageId"));
            };
            Ok(Message::of_queue(id, None, Err(not_json(&error))))
        }
    }
}

fn body_content(body: &str) -> Result<Content, ArrivalError> {
    if let Some(content) = notification::whole(body) {
        return content;
    }
    let payload = Payload::parse(body)?;
    if !payload.is_sns()? {
        return payload.content();
    }
    let notification: SnsNotification = parse(body)?;
    Payload::parse(&notification.message)?.content()
}
