//! What a listing found, in messages of the shape of S3's event notifications, so that both take one way. Only the key is
//! not encoded.

use serde_json::json;

use super::arrival::{Arrival, EventTime, Listing};
use super::error::ArrivalError;

/// The source of a record that a listing made.
pub(super) const SOURCE: &str = "landfall:listing";

/// An object that a listing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// As in S3, not URL-encoded.
    pub key: String,
    /// In bytes.
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    /// `None` if the bucket has no versioning or has suspended it.
    pub version_id: Option<String>,
    /// When S3 saw the object written last.
    pub last_modified: EventTime,
}

impl Listed {
    /// Returns the arrival that it becomes.
    pub fn arrival(&self, bucket: &str, listing: &Listing) -> Arrival {
        Arrival {
            bucket: bucket.to_owned(),
            key: self.key.clone(),
            size: Some(self.size),
            etag: Some(self.etag.clone()),
            version_id: self.version_id.clone(),
            sequencer: None,
            event_time: Some(self.last_modified),
            listing: Some(listing.clone()),
        }
    }

    /// Returns the record that brings it to the trigger.
    pub fn record(&self, bucket: &str, listing: &Listing) -> String {
        let mut object = json!({ "key": self.key, "size": self.size, "eTag": self.etag });
        if let Some(version_id) = &self.version_id {
            object["versionId"] = json!(version_id);
        }
        let record = json!({
            "eventVersion": "2.1",
            "eventSource": SOURCE,
            "eventTime": self.last_modified.to_string(),
            "listing": listing,
            "s3": { "bucket": { "name": bucket }, "object": object },
        });
        record.to_string()
    }
}

/// Returns messages of these records, each of `max_bytes` at most unless a single record is longer.
pub fn messages(records: &[String], max_bytes: usize) -> Vec<String> {
    let mut messages = Vec::new();
    let mut rest = records;
    while !rest.is_empty() {
        let mut bytes = 16;
        let fitting = rest.iter().take_while(|record| {
            bytes += record.len() + 1;
            bytes <= max_bytes
        });
        let (some, behind) = rest.split_at(fitting.count().max(1));
        messages.push(format!("{{\"Records\":[{}]}}", some.join(",")));
        rest = behind;
    }
    messages
}

/// Returns what a record says, if it says by what listings are compared.
pub(super) fn checked(arrival: Arrival) -> Result<Arrival, ArrivalError> {
    match &arrival {
        Arrival { etag: None, .. } => Err(ArrivalError::Missing("object.eTag")),
        Arrival { size: None, .. } => Err(ArrivalError::Missing("object.size")),
        Arrival { event_time: None, .. } => Err(ArrivalError::Missing("eventTime")),
        _ => Ok(arrival),
    }
}
