//! Sends a message to its queue again if recording it keeps failing, before SQS moves it to the
//! dead-letter queue, which is for unreadable messages.
//!
//! The copy is sent before the original is acknowledged. If the process dies in between, there are
//! two messages, and the ledger already knows the arrivals in the second.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use aws_config::SdkConfig;
use landfall_aws::queue::{Message, Queue};
use landfall_aws::settings::Queues;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// How long SQS holds a copy back: about as long as the original would have waited.
const DELAY_SECONDS: u32 = 300;

/// The queue of arrivals, and when to send a message again.
#[derive(Debug)]
pub(crate) struct Redelivery {
    queue: Queue,
    /// The number of deliveries from which on a message is sent again.
    from_count: u64,
}

/// A message as Lambda delivers it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Received<'a> {
    message_id: String,
    #[serde(borrow)]
    body: Cow<'a, str>,
    #[serde(rename = "eventSourceARN")]
    queue: String,
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    message_attributes: BTreeMap<String, Attribute>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attribute {
    data_type: String,
    string_value: Option<String>,
    /// In base64, both as received and as sent.
    binary_value: Option<String>,
}

impl Redelivery {
    /// Returns `None` if the environment does not describe the queue. Makes no call.
    pub(crate) fn new(queues: &Queues, config: &SdkConfig) -> Option<Self> {
        let queue = Queue::new(queues.arrivals.as_deref()?, config);
        Some(Self { queue, from_count: queues.late_deliveries()? })
    }

    /// Sends copies of those of these messages that were delivered often. Returns the IDs of those
    /// that SQS accepted.
    pub(crate) async fn send(
        &self,
        event: &RawValue,
        ids: &BTreeSet<&str>,
        deadline: SystemTime,
    ) -> BTreeSet<String> {
        #[derive(Deserialize)]
        struct Event<'a> {
            #[serde(borrow, rename = "Records")]
            records: Vec<&'a RawValue>,
        }
        let event: Option<Event<'_>> = serde_json::from_str(event.get()).ok();
        let records = event.into_iter().flat_map(|event| event.records);
        let received = records.filter_map(|record| serde_json::from_str(record.get()).ok());
        let often = received.filter(|received: &Received<'_>| {
            ids.contains(received.message_id.as_str()) && self.is_to_be_sent(received)
        });
        // SQS may deliver a message twice.
        let often: BTreeMap<String, Message> =
            often.map(|received| (received.message_id.clone(), received.message())).collect();
        let (ids, messages): (Vec<String>, Vec<Message>) = often.into_iter().unzip();
        let (sent, error) = self.queue.send(&messages, deadline).await;
        if let Some(error) = error {
            tracing::warn!(code = "message_not_sent", %error, "messages go back");
        }
        let sent = ids.into_iter().zip(sent).filter_map(|(id, is_sent)| is_sent.then_some(id));
        sent.inspect(|message_id| tracing::info!(message_id, "message sent anew")).collect()
    }

    fn is_to_be_sent(&self, received: &Received<'_>) -> bool {
        let count = received.attributes.get("ApproximateReceiveCount");
        let count = count.and_then(|count| count.parse::<u64>().ok());
        received.queue == self.queue.arn() && count.is_some_and(|count| count >= self.from_count)
    }
}

impl Received<'_> {
    /// Returns a copy to send.
    fn message(self) -> Message {
        let attributes = self.message_attributes.into_iter().map(|(name, attribute)| {
            let Attribute { data_type, string_value, binary_value } = attribute;
            let mut value = Map::from_iter([("DataType".to_owned(), json!(data_type))]);
            value.extend(string_value.map(|text| ("StringValue".to_owned(), json!(text))));
            value.extend(binary_value.map(|bytes| ("BinaryValue".to_owned(), json!(bytes))));
            (name, Value::Object(value))
        });
        Message {
            body: self.body.into_owned(),
            attributes: attributes.collect(),
            delay_seconds: DELAY_SECONDS,
        }
    }
}
