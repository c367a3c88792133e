//! Arrivals: whatever envelope an S3 event came in, one object that was created.
//!
//! [`Intake::read`] takes a function's whole event apart. A *message* is what is acknowledged or
//! delivered again as a whole: one SQS message, or the whole event where S3, SNS or EventBridge invokes
//! the function directly. One that cannot be read fails alone and whole; its siblings go on.

mod envelope;
mod events;
mod notification;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// One object that was created, its key decoded.
///
/// Its order means nothing; it makes choices among equals independent of the order of arrival.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival {
    pub bucket: String,
    /// As in S3, not URL-encoded.
    pub key: String,
    /// In bytes.
    pub size: Option<u64>,
    /// Without quotes.
    pub etag: Option<String>,
    /// `None` where the bucket has no versions, or has suspended them (`null`).
    pub version_id: Option<String>,
    /// Hexadecimal; later events of the same key have greater ones, see [`compare_sequencers`].
    pub sequencer: Option<String>,
    pub event_time: Option<EventTime>,
}

impl Arrival {
    /// An empty object whose key ends with `/`, as the S3 console makes for a folder.
    pub fn is_directory_marker(&self) -> bool {
        self.key.ends_with('/') && self.size == Some(0)
    }

    /// `s3://bucket/key`, nothing encoded.
    pub fn uri(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }
}

/// Orders two sequencers of one key: the shorter is padded with zeros on the right, upper and lower
/// case are the same (S3 user guide, "Event message structure").
pub fn compare_sequencers(one: &str, other: &str) -> std::cmp::Ordering {
    let length = one.len().max(other.len());
    let padded = |text: &str| {
        let digits: Vec<u8> = text.bytes().map(|b| b.to_ascii_lowercase()).collect();
        digits.into_iter().chain(std::iter::repeat(b'0')).take(length)
    };
    padded(one).cmp(padded(other))
}

/// When S3 saw the object created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventTime(OffsetDateTime);

impl EventTime {
    /// Parses RFC 3339; `None` if it is something else, or cannot be written as such in UTC.
    pub fn parse(text: &str) -> Option<Self> {
        let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let time = time.checked_to_offset(time::UtcOffset::UTC)?;
        (0..=9999).contains(&time.year()).then_some(Self(time))
    }
}

/// RFC 3339 in UTC: `2026-01-31T23:59:59.999Z`.
impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

/// What came into the function, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Intake {
    pub messages: Vec<Message>,
}

/// The unit of acknowledgement.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// SQS's message id; `None` where the function was invoked directly.
    pub id: Option<String>,
    pub content: Result<Content, ArrivalError>,
}

/// What a readable message holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Content {
    pub arrivals: Vec<Arrival>,
    pub ignored: Ignored,
}

impl std::ops::AddAssign for Content {
    fn add_assign(&mut self, other: Self) {
        self.arrivals.extend(other.arrivals);
        self.ignored += other.ignored;
    }
}

/// Records that are known to tell of no created object, counted by S3's names: `s3:TestEvent`,
/// `ObjectRemoved`, `Object Deleted`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Ignored(BTreeMap<&'static str, u64>);

impl Ignored {
    fn add(&mut self, name: &'static str) {
        *self.0.entry(name).or_default() += 1;
    }

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

/// Why a message cannot be read. No variant holds more of the message than a short piece, see [`cut`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArrivalError {
    #[error("failed to read the event as JSON: {0}")]
    NotJson(String),
    #[error("failed to read the event: a field has another type than it should")]
    IllTyped,
    #[error("failed to read the event: it is not an event of S3 in any envelope known")]
    UnknownEnvelope,
    #[error(
        "failed to read the event: `{0}` is no event that S3 lists; a created object is told as \
         `ObjectCreated:Put` and the like in a notification, and as `Object Created` by EventBridge"
    )]
    UnknownEvent(String),
    #[error(
        "failed to read the event: it is CloudTrail's record of the call `{0}`, which tells too little of the \
         object; let the bucket send its events to EventBridge, and the rule match `Object Created`"
    )]
    OfCloudTrail(String),
    #[error(
        "failed to read the event: it is SNS's `{0}`, and no notification; confirm the subscription by the \
         `SubscribeURL` in the message, or subscribe the queue from its own account"
    )]
    OfSubscription(&'static str),
    #[error("failed to read the event: version `{0}` of S3's event format is not known, 2.x is")]
    UnknownVersion(String),
    #[error("failed to read the event: `{0}` is missing")]
    Missing(&'static str),
    #[error("failed to read the event: `{field}` of `{value}` is not one")]
    BadField { field: &'static str, value: String },
    #[error("failed to decode the object key `{0}`")]
    BadKey(String),
    #[error("failed to read the event: the object key has {0} bytes, S3 admits 1,024")]
    KeyTooLong(usize),
}

impl ArrivalError {
    /// A stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotJson(_) => "event_not_json",
            Self::UnknownEnvelope => "event_unknown_envelope",
            Self::UnknownVersion(_) => "event_unknown_version",
            Self::UnknownEvent(_) => "event_unknown_name",
            Self::OfCloudTrail(_) => "event_of_cloudtrail",
            Self::OfSubscription(_) => "event_of_subscription",
            Self::IllTyped | Self::Missing(_) | Self::BadField { .. } => "event_malformed",
            Self::BadKey(_) | Self::KeyTooLong(_) => "event_bad_key",
        }
    }
}

/// The beginning of a text from a message, for an error: nobody chooses how long our log lines are.
fn cut(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl Intake {
    /// Takes a function's event apart.
    ///
    /// # Errors
    /// The event as a whole is no JSON, or SQS messages in it have no id by which they could fail
    /// alone.
    pub fn read(event: &RawValue) -> Result<Self, ArrivalError> {
        envelope::read(event.get()).map(|messages| Self { messages })
    }
}

#[cfg(test)]
pub(crate) mod tests;
