//! Queues.

use aws_sdk_sqs::types::QueueAttributeName;
use landfall_core::chain::observed::{Named, Queue};
use landfall_core::partition;
use landfall_core::policy::Document;

use crate::look::{Call, named};
use crate::{Clients, Place, Seen};

const ATTRIBUTES: Call = Call {
    operation: "GetQueueAttributes",
    missing: &["QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"],
};

/// Looks at the queue of this name.
pub async fn queue(clients: &Clients, place: &Place, name: &str) -> Named<Queue> {
    named(place.arn("sqs", name), seen(clients, place, name).await)
}

async fn seen(clients: &Clients, place: &Place, name: &str) -> Seen<Queue> {
    let Place { partition, account, region } = place;
    let suffix = partition::dns_suffix(partition).unwrap_or("amazonaws.com");
    let get = clients.sqs.get_queue_attributes();
    let answer = get
        .queue_url(format!("https://sqs.{region}.{suffix}/{account}/{name}"))
        .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
        .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)
        .attribute_names(QueueAttributeName::Policy)
        .send()
        .await;
    let mut attributes = ATTRIBUTES.seen(answer)?.attributes.unwrap_or_default();
    let count = |text: Option<&String>| {
        text.and_then(|text| text.parse().ok())
            .ok_or_else(|| ATTRIBUTES.failed("the answer has no number of messages"))
    };
    Ok(Queue {
        visible: count(attributes.get(&QueueAttributeName::ApproximateNumberOfMessages))?,
        in_flight: count(
            attributes.get(&QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
        )?,
        policy: attributes
            .remove(&QueueAttributeName::Policy)
            .and_then(|policy| Document::parse(&policy)),
    })
}
