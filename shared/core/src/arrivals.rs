//! Arrivals: objects that were created, whatever envelope their S3 events came in.
//!
//! [`Intake::read`] takes a function's whole event apart. A *message* is what is acknowledged or delivered again as a
//! whole: one SQS message, or the whole event if S3, SNS or EventBridge invokes the function directly. A message that
//! cannot be read fails alone and as a whole. The others go on.

mod arrival;
mod envelope;
mod error;
mod events;
mod listed;
mod message;
mod notification;

use serde_json::value::RawValue;

pub use arrival::{Arrival, EventTime, Listing, compare_sequencers};
pub use error::ArrivalError;
pub use listed::{Listed, messages};
pub use message::{Content, Delivery, Ignored, Message};
pub use notification::decode_key;

/// A function's event, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Intake {
    /// The messages in the order of the event. An event that no queue delivered is one message.
    pub messages: Vec<Message>,
}

impl Intake {
    /// Takes a function's event apart. `listings` is the ARN of the queue whose messages may say what a listing found.
    ///
    /// # Errors
    /// The event is not JSON, or SQS messages in it have no ID by which they could fail alone.
    pub fn read(event: &RawValue, listings: Option<&str>) -> Result<Self, ArrivalError> {
        let messages = envelope::read(event.get())?.into_iter();
        Ok(Self { messages: messages.map(|message| message.trusted(listings)).collect() })
    }
}

#[cfg(test)]
pub(crate) mod tests;
