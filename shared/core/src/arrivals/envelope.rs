//! Takes envelopes off: Lambda's event for SQS or SNS, what an EventBridge pipe brings of SQS, an SNS notification in
//! a message, or none.
//!
//! What is as it nearly always is, is read in one pass. Whatever is not is read again with care: in layers that
//! stay text until each is read by itself, so that one ill-typed field does not fail a whole batch. Both give the
//! same, where the first gives anything.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::notification::{self, Payload};
use super::{ArrivalError, Content, Message};

/// An event in which every record is a well-formed message of SQS.
#[derive(Deserialize)]
struct SqsEvent {
    #[serde(rename = "Records")]
    records: Vec<Whole>,
}

/// A message, read where it stands: no more than one body is unescaped at a time.
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
        }
        let record = Record::deserialize(deserializer)?;
        if record.event_source != SQS {
            return Err(serde::de::Error::custom("not a message of SQS"));
        }
        let content = body_content(&record.body);
        Ok(Self(Message { id: Some(record.message_id), content }))
    }
}

const SQS: &str = "aws:sqs";
const SNS: &str = "aws:sns";

/// The outermost layer, with care.
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
    /// SNS begins its names with capitals.
    #[serde(alias = "EventSource")]
    event_source: Option<String>,
    message_id: Option<serde_json::Value>,
}

/// A message of SNS as Lambda delivers it.
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

pub fn read(event: &str) -> Result<Vec<Message>, ArrivalError> {
    match whole(event) {
        Some(messages) => Ok(messages),
        None => with_care(event),
    }
}

/// The messages of an event, read in one pass; `None` for whatever is to be read with care.
pub fn whole(event: &str) -> Option<Vec<Message>> {
    let SqsEvent { records } = serde_json::from_str(event).ok()?;
    let messages: Vec<Message> = records.into_iter().map(|Whole(message)| message).collect();
    (!messages.is_empty()).then_some(messages)
}

pub fn with_care(event: &str) -> Result<Vec<Message>, ArrivalError> {
    let records: Option<Vec<&RawValue>> = match event.starts_with('[') {
        // Of a pipe: an array even of one message. It takes the answer that Lambda takes for SQS.
        true => Some(parse(event)?),
        false => parse::<Outer<'_>>(event)?.records,
    };
    let content = match records {
        Some(records) if is_of(SQS, &records) => {
            return records.into_iter().map(sqs_message).collect();
        }
        Some(records) if is_of(SNS, &records) => sns_content(&records),
        Some(_) if event.starts_with('[') => Err(ArrivalError::UnknownEnvelope),
        _ => Payload::parse(event)?.content(),
    };
    Ok(vec![Message { id: None, content }])
}

fn is_of(source: &str, records: &[&RawValue]) -> bool {
    records.iter().any(|record| {
        serde_json::from_str::<AnyRecord>(record.get())
            .is_ok_and(|record| record.event_source.as_deref() == Some(source))
    })
}

/// SNS has no queue that could keep one of them: all succeed, or the invocation fails.
fn sns_content(records: &[&RawValue]) -> Result<Content, ArrivalError> {
    let mut content = Content::default();
    for record in records {
        let SnsRecord { notification } = parse(record.get())?;
        content += Payload::parse(&notification.message)?.content()?;
    }
    Ok(content)
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
