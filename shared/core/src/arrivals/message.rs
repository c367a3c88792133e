//! Messages, which are acknowledged or delivered again as a whole, and what is in them.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::arrival::Arrival;
use super::error::ArrivalError;

/// What is acknowledged or delivered again as a whole.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// SQS's message ID; `None` if the function was invoked directly.
    pub id: Option<String>,
    /// The ARN of its queue, if it holds what a listing found and SQS brought it.
    pub listings_from: Option<String>,
    /// What the message holds, or why it cannot be read.
    pub content: Result<Content, ArrivalError>,
}

impl Message {
    /// Returns a message of SQS. `queue` is the ARN of its queue.
    pub(super) fn of_queue(
        id: String,
        queue: Option<&str>,
        content: Result<Content, ArrivalError>,
    ) -> Self {
        let listings_from = queue.filter(|_| content.as_ref().is_ok_and(Content::is_listed));
        Self { id: Some(id), listings_from: listings_from.map(str::to_owned), content }
    }

    /// Returns the message, or an error in its place if it holds what a listing found and comes from another queue than
    /// this one. Everybody who may upload can have an event sent, and only operators may say what a listing found.
    #[must_use]
    pub(super) fn trusted(self, listings: Option<&str>) -> Self {
        let is_trusted = self.listings_from.is_some() && self.listings_from.as_deref() == listings;
        match self.content {
            Ok(content) if content.is_listed() && !is_trusted => {
                Self { content: Err(ArrivalError::UntrustedListing), ..self }
            }
            content => Self { content, ..self },
        }
    }
}

/// What a message holds that can be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// The objects that were created.
    pub arrivals: Vec<Arrival>,
    /// The events that Landfall ignores, such as deletions, counted by name.
    pub ignored: Ignored,
}

impl Content {
    fn is_listed(&self) -> bool {
        self.arrivals.iter().any(|arrival| arrival.listing.is_some())
    }
}

impl std::ops::AddAssign for Content {
    fn add_assign(&mut self, other: Self) {
        self.arrivals.extend(other.arrivals);
        self.ignored += other.ignored;
    }
}

/// The number of event records that are known to be about no created object, by S3's names: `s3:TestEvent`, `ObjectRemoved`,
/// `Object Deleted`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Ignored(BTreeMap<&'static str, u64>);

impl Ignored {
    pub(super) fn add(&mut self, name: &'static str) {
        *self.0.entry(name).or_default() += 1;
    }

    /// Returns the number of all ignored events.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl std::ops::AddAssign for Ignored {
    fn add_assign(&mut self, other: Self) {
        for (name, count) in other.0 {
            *self.0.entry(name).or_default() += count;
        }
    }
}

/// `2 × ObjectRemoved, 1 × s3:TestEvent`.
impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, count)) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            write!(f, "{separator}{count} × {name}")?;
        }
        Ok(())
    }
}

/// Messages laid out for planning: the arrivals of all that can be read, each with its message.
#[derive(Debug, Default)]
pub struct Delivery {
    /// SQS's IDs of the messages; `None` where the function was invoked directly.
    pub message_ids: Vec<Option<String>>,
    /// Why messages cannot be read, by their index.
    pub unreadable: BTreeMap<usize, ArrivalError>,
    /// The arrivals of all messages that can be read.
    pub arrivals: Vec<Arrival>,
    /// For each arrival the index of its message.
    pub message_of: Vec<usize>,
    /// The ignored events of all messages that can be read, counted by name.
    pub ignored: Ignored,
}

impl Delivery {
    /// Returns the ID of the message that brought this arrival.
    pub fn message_id(&self, arrival: usize) -> Option<&str> {
        self.message_ids[self.message_of[arrival]].as_deref()
    }
}

impl FromIterator<Message> for Delivery {
    fn from_iter<M: IntoIterator<Item = Message>>(messages: M) -> Self {
        let mut delivery = Self::default();
        for (index, Message { id, content, .. }) in messages.into_iter().enumerate() {
            match content {
                Ok(Content { arrivals, ignored }) => {
                    delivery.message_of.extend(arrivals.iter().map(|_| index));
                    delivery.arrivals.extend(arrivals);
                    delivery.ignored += ignored;
                }
                Err(error) => {
                    delivery.unreadable.insert(index, error);
                }
            }
            delivery.message_ids.push(id);
        }
        delivery
    }
}
