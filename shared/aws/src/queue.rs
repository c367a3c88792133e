//! Sends to an SQS queue, and builds a function's answer to one.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse};
use futures_util::{StreamExt, stream};
use landfall_core::arn::QueueArn;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::clock::{has_time, within};
use crate::signed::{Service, SignedClient};

const SQS: Service = Service { id: "SQS", name: "sqs", content_type: "application/x-amz-json-1.0" };

/// The most messages in one call, and the most bytes in them. SQS accepts 262,144 bytes.
const MAX_MESSAGES: usize = 10;
const MAX_BYTES: usize = 200_000;

/// How many calls are under way at a time.
const CONCURRENT: usize = 8;

/// How long one call may take. This is less than for other calls, because messages are sent when
/// the time for everything else is over.
const SEND_TIMEOUT: Duration = Duration::from_secs(4);

/// Returns a function's answer to SQS, which delivers these messages again. Each ID occurs once: SQS
/// may deliver a message twice in one batch, and an ID that occurs twice in the answer makes Lambda
/// fail the whole batch.
pub fn deliver_again(message_ids: impl IntoIterator<Item = String>) -> SqsBatchResponse {
    let message_ids: BTreeSet<String> = message_ids.into_iter().collect();
    let mut answer = SqsBatchResponse::default();
    answer.batch_item_failures = message_ids
        .into_iter()
        .map(|id| {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id;
            failure
        })
        .collect();
    answer
}

/// An SQS queue to send messages to.
#[derive(Debug)]
pub struct Queue {
    arn: String,
    url: Option<String>,
    client: SignedClient,
}

/// A message to send.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The body.
    pub body: String,
    /// The attributes as SQS writes them: `{"NAME": {"DataType": "String", "StringValue": "…"}}`.
    pub attributes: Map<String, Value>,
    /// How long SQS holds the message back.
    pub delay_seconds: u32,
}

/// Why a message counts as not sent. It may have been sent all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to send to queue `{arn}`: {reason}")]
pub struct QueueError {
    /// The ARN of the queue.
    pub arn: String,
    /// AWS's code, or what went wrong.
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    successful: Vec<Sent>,
    #[serde(default)]
    failed: Vec<NotSent>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sent {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NotSent {
    code: String,
}

impl Queue {
    /// Returns the queue with this ARN. If `arn` is not the ARN of a queue, every send fails. Makes
    /// no call.
    pub fn new(arn: &str, config: &SdkConfig) -> Self {
        let parsed = QueueArn::parse(arn);
        let place = parsed.map(|arn| (arn.partition, arn.region));
        let client = SignedClient::new(SQS, place, config);
        let url = parsed.and_then(|QueueArn { account, name, .. }| {
            Some(format!("{}{account}/{name}", client.endpoint()?))
        });
        Self { arn: arn.to_owned(), url, client }
    }

    /// Returns the ARN of the queue.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// Sends these messages, ten per call, and makes no call that `deadline` could cut off. Returns
    /// for each message whether SQS accepted it, and why the first failure happened.
    pub async fn send(
        &self,
        messages: &[Message],
        deadline: SystemTime,
    ) -> (Vec<bool>, Option<QueueError>) {
        let calls = stream::iter(calls(messages)).map(async |messages| {
            if has_time(deadline, SEND_TIMEOUT) {
                self.send_some(messages).await
            } else {
                (vec![false; messages.len()], Some("no time is left".to_owned()))
            }
        });
        let calls: Vec<(Vec<bool>, Option<String>)> = calls.buffered(CONCURRENT).collect().await;
        let (sent, reasons): (Vec<Vec<bool>>, Vec<Option<String>>) = calls.into_iter().unzip();
        let reason = reasons.into_iter().flatten().next();
        let error = reason.map(|reason| QueueError { arn: self.arn.clone(), reason });
        (sent.concat(), error)
    }

    async fn send_some(&self, messages: &[Message]) -> (Vec<bool>, Option<String>) {
        let entries = messages.iter().enumerate().map(|(number, message)| {
            let Message { body, attributes, delay_seconds } = message;
            json!({
                "Id": number.to_string(), "MessageBody": body, "DelaySeconds": delay_seconds,
                "MessageAttributes": attributes,
            })
        });
        let entries: Vec<Value> = entries.collect();
        let body = json!({ "QueueUrl": self.url, "Entries": entries }).to_string();
        let call = self.client.call("AmazonSQS.SendMessageBatch", &body);
        let answer: Result<Answer, String> =
            within(SEND_TIMEOUT, call).await.unwrap_or_else(|| Err("a time-out".to_owned()));
        let none = |reason| (vec![false; messages.len()], Some(reason));
        let Answer { successful, failed } = match answer {
            Ok(answer) => answer,
            Err(reason) => return none(reason),
        };
        let is_sent = |number: usize| successful.iter().any(|sent| sent.id == number.to_string());
        let sent = (0..messages.len()).map(is_sent).collect();
        (sent, failed.into_iter().next().map(|failed| failed.code))
    }
}

/// Splits the messages into what each call sends.
fn calls(messages: &[Message]) -> Vec<&[Message]> {
    let mut calls = Vec::new();
    let mut rest = messages;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |message: &&Message| {
            let attributes = Value::Object(message.attributes.clone()).to_string();
            bytes += message.body.len() + attributes.len();
            bytes <= MAX_BYTES
        };
        let fitting = rest.iter().take(MAX_MESSAGES).take_while(fits).count();
        let (call, others) = rest.split_at(fitting.max(1));
        calls.push(call);
        rest = others;
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_ten_messages_at_most_and_no_more_bytes_than_sqs_takes() {
        let message = |bytes: usize| Message {
            body: "x".repeat(bytes),
            attributes: Map::new(),
            delay_seconds: 0,
        };
        let sizes = |messages: &[Message]| -> Vec<usize> {
            calls(messages).into_iter().map(<[Message]>::len).collect()
        };
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&vec![message(10); 25]), [10, 10, 5]);
        assert_eq!(sizes(&vec![message(90_000); 5]), [2, 2, 1]);
        // What is larger than any is sent alone, and SQS judges it.
        assert_eq!(sizes(&[message(10), message(300_000), message(10)]), [1, 1, 1]);
    }

    #[tokio::test]
    async fn nothing_is_sent_where_nobody_is_to_be_trusted() {
        let config = SdkConfig::builder().endpoint_url("http://queues.example.com").build();
        let queue = Queue::new("arn:aws:sqs:eu-west-1:111111111111:q", &config);
        let message = Message { body: String::new(), attributes: Map::new(), delay_seconds: 0 };
        let deadline = SystemTime::now() + 2 * SEND_TIMEOUT;
        let (sent, error) = queue.send(&[message], deadline).await;
        let reason = error.map(|error| error.reason);
        assert_eq!(
            (sent, reason.as_deref()),
            (vec![false], Some("no endpoint that is to be trusted"))
        );
    }
}
