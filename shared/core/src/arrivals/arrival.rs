//! One object that was created, whatever envelope its event came in.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::moment::Time;

/// One object that was created, with its key decoded.
///
/// The order of arrivals has no meaning. It makes a choice among equals independent of the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival {
    /// The name of the bucket.
    pub bucket: String,
    /// As in S3, not URL-encoded.
    pub key: String,
    /// In bytes.
    pub size: Option<u64>,
    /// Without quotes.
    pub etag: Option<String>,
    /// `None` if the bucket has no versioning or has suspended it (`null`).
    pub version_id: Option<String>,
    /// Hexadecimal. Later events of the same key have greater ones (see [`compare_sequencers`]).
    pub sequencer: Option<String>,
    /// When the event happened, as it says itself; `None` if it does not say so. If a listing found the object, this is its
    /// `LastModified`.
    pub event_time: Option<EventTime>,
    /// The listing that found it; `None` if S3 announced it.
    pub listing: Option<Listing>,
}

impl Arrival {
    /// Returns `true` for an empty object whose key ends with `/`, which the S3 console makes for a folder.
    pub fn is_directory_marker(&self) -> bool {
        self.key.ends_with('/') && self.size == Some(0)
    }

    /// Returns `s3://bucket/key`, with nothing encoded.
    pub fn uri(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }
}

/// A listing of a bucket, and what is to become of what it finds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Listing {
    /// Its ID.
    pub id: String,
    /// The name of the route that takes what it finds. Other routes don't.
    pub route: String,
    /// `true` if the route takes it again, though it is in a batch already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// How many runs of its batches may start in an hour; `None` if it sets no limit of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_runs_per_hour: Option<u32>,
}

/// Compares two sequencers of one key. The shorter one is padded with zeros on the right, and case does not matter (S3 user
/// guide, "Event message structure").
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
    /// Parses RFC 3339; `None` if `text` is something else, or cannot be written as RFC 3339 in UTC.
    pub fn parse(text: &str) -> Option<Self> {
        let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let time = time.checked_to_offset(time::UtcOffset::UTC)?;
        (0..=9999).contains(&time.year()).then_some(Self(time))
    }

    /// Returns the time, to the millisecond; 1970 for a time before.
    pub fn time(self) -> Time {
        let milliseconds = self.0.unix_timestamp_nanos() / 1_000_000;
        Time(u64::try_from(milliseconds).unwrap_or_default())
    }
}

/// RFC 3339 in UTC: `2026-01-31T23:59:59.999Z`.
impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}
