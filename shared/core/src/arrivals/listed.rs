//! What a listing found, in messages of the shape of S3's event notifications, so that both take one way. Only the key is
//! not encoded.

use serde_json::json;

use super::arrival::{Arrival, EventTime};
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
    /// Returns the arrival that it becomes through the listing of this ID.
    pub fn arrival(&self, bucket: &str, listing: &str) -> Arrival {
        Arrival {
            bucket: bucket.to_owned(),
            key: self.key.clone(),
            size: Some(self.size),
            etag: Some(self.etag.clone()),
            version_id: self.version_id.clone(),
            sequencer: None,
            event_time: Some(self.last_modified),
            listing: Some(listing.to_owned()),
        }
    }

    fn record(&self, bucket: &str, listing: &str) -> serde_json::Value {
        let mut object = json!({ "key": self.key, "size": self.size, "eTag": self.etag });
        if let Some(version_id) = &self.version_id {
            object["versionId"] = json!(version_id);
        }
        json!({
            "eventVersion": "2.1",
            "eventSource": SOURCE,
            "eventTime": self.last_modified.to_string(),
            "listing": listing,
            "s3": { "bucket": { "name": bucket }, "object": object },
        })
    }
}

/// Returns the message that brings these objects to the trigger.
pub fn message(bucket: &str, listing: &str, found: &[Listed]) -> String {
    let records: Vec<_> = found.iter().map(|listed| listed.record(bucket, listing)).collect();
    json!({ "Records": records }).to_string()
}

/// Returns what a record says, if it says what listings are compared by.
pub(super) fn checked(arrival: Arrival) -> Result<Arrival, ArrivalError> {
    let missing = |name| Err(ArrivalError::Missing(name));
    match &arrival {
        Arrival { etag: None, .. } => missing("object.eTag"),
        Arrival { size: None, .. } => missing("object.size"),
        Arrival { event_time: None, .. } => missing("eventTime"),
        Arrival { listing: Some(id), .. } if id.is_empty() => missing("listing"),
        _ => Ok(arrival),
    }
}
