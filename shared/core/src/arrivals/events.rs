//! The names of S3's events: which are about a created object, and which are known to be about none.
//!
//! An event that is ignored is lost, so only names that S3 lists are ignored, in S3's spelling. The lists are from the S3
//! user guide: "Supported event types for SQS, SNS, and Lambda" and "Using EventBridge".

use super::error::{ArrivalError, cut};

/// The families of notifications that create no object. `ObjectRemoved:Delete` is in the first one.
const NO_CREATION: [&str; 9] = [
    "ObjectRemoved",
    "ObjectRestore",
    "ObjectTagging",
    "ObjectAcl",
    "LifecycleExpiration",
    "LifecycleTransition",
    "IntelligentTiering",
    "Replication",
    "ReducedRedundancyLostObject",
];

/// The types of EventBridge's events that create no object.
const NO_CREATION_BY_EVENTBRIDGE: [&str; 9] = [
    "Object Deleted",
    "Object Restore Initiated",
    "Object Restore Completed",
    "Object Restore Expired",
    "Object Storage Class Changed",
    "Object Access Tier Changed",
    "Object ACL Updated",
    "Object Tags Added",
    "Object Tags Deleted",
];

/// What S3 sends when a notification is configured.
pub(crate) const TEST: &str = "s3:TestEvent";

/// What an event with this name is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tells {
    OfCreation,
    /// No created object. It is counted by this name.
    Of(&'static str),
    /// An API call, as CloudTrail reports it.
    OfCall,
}

/// Returns what a notification with this `eventName` is about.
///
/// # Errors
/// S3 lists no such name.
pub(crate) fn notified(name: &str) -> Result<Tells, ArrivalError> {
    let listed = name.strip_prefix("s3:").unwrap_or(name);
    let (family, kind) = listed.split_once(':').unwrap_or((listed, ""));
    if family == "ObjectCreated" && !kind.is_empty() {
        return Ok(Tells::OfCreation);
    }
    let known = NO_CREATION.iter().find(|known| **known == family);
    known.map(|known| Tells::Of(known)).ok_or_else(|| ArrivalError::UnknownEvent(cut(name)))
}

/// Returns what an EventBridge event with this `detail-type` is about.
///
/// # Errors
/// S3 lists no such type.
pub(crate) fn by_eventbridge(detail_type: &str) -> Result<Tells, ArrivalError> {
    if detail_type == "Object Created" {
        return Ok(Tells::OfCreation);
    }
    if detail_type.ends_with(" via CloudTrail") {
        return Ok(Tells::OfCall);
    }
    let known = NO_CREATION_BY_EVENTBRIDGE.iter().find(|known| **known == detail_type);
    known.map(|known| Tells::Of(known)).ok_or_else(|| ArrivalError::UnknownEvent(cut(detail_type)))
}
