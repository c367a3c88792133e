//! S3's own words: event notifications and EventBridge events, in the lean form of their wire
//! types. `aws_lambda_events` has complete ones, which cost twice the time and fail on the first
//! ill-typed field, also on one that nobody here reads.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::envelope::parse;
use super::{Arrival, ArrivalError, Content, EventTime, cut};

/// Of an object's key, in bytes of UTF-8.
const LONGEST_KEY: usize = 1024;

/// Whichever of S3's events a text is.
#[derive(Deserialize)]
pub struct Payload<'a> {
    /// An event notification.
    #[serde(borrow, rename = "Records")]
    records: Option<Vec<&'a RawValue>>,
    /// `s3:TestEvent`.
    #[serde(borrow, rename = "Event")]
    event: Option<&'a RawValue>,
    /// SNS: `Notification`.
    #[serde(borrow, rename = "Type")]
    sns_type: Option<&'a RawValue>,
    /// EventBridge.
    source: Option<String>,
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
    time: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    event_source: Option<String>,
    event_version: Option<String>,
    event_name: Option<String>,
    event_time: Option<String>,
    #[serde(borrow)]
    s3: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Entity {
    bucket: Option<Bucket>,
    object: Option<Object>,
}

#[derive(Deserialize)]
struct Bucket {
    name: Option<String>,
}

/// Notifications write `eTag` and `versionId`, EventBridge `etag` and `version-id`.
#[derive(Deserialize)]
struct Object {
    key: Option<String>,
    size: Option<u64>,
    #[serde(alias = "eTag")]
    etag: Option<String>,
    #[serde(rename = "version-id", alias = "versionId")]
    version_id: Option<String>,
    sequencer: Option<String>,
}

impl<'a> Payload<'a> {
    pub fn parse(text: &'a str) -> Result<Self, ArrivalError> {
        parse(text)
    }

    pub fn is_sns(&self) -> bool {
        self.sns_type.is_some_and(|kind| kind.get() == "\"Notification\"")
    }

    pub fn content(&self) -> Result<Content, ArrivalError> {
        let mut content = Content::default();
        match self {
            Self { records: Some(records), .. } => {
                for record in records {
                    match notified(record)? {
                        Some(arrival) => content.arrivals.push(arrival),
                        None => content.ignored.other_events += 1,
                    }
                }
            }
            Self { event: Some(event), .. } if event.get() == "\"s3:TestEvent\"" => {
                content.ignored.test_events += 1;
            }
            Self { source: Some(source), detail_type: Some(detail_type), .. }
                if source == "aws.s3" =>
            {
                if detail_type == "Object Created" {
                    content.arrivals.push(self.object_created()?);
                } else {
                    content.ignored.other_events += 1;
                }
            }
            _ => return Err(ArrivalError::UnknownEnvelope),
        }
        Ok(content)
    }

    /// EventBridge's keys are not encoded.
    fn object_created(&self) -> Result<Arrival, ArrivalError> {
        let entity = parse(self.detail.ok_or(ArrivalError::Missing("detail"))?.get())?;
        arrival(entity, self.time.as_deref(), |key| Ok(key.into()))
    }
}

/// A record of an event notification; `None` if it tells of anything but a created object.
fn notified(record: &RawValue) -> Result<Option<Arrival>, ArrivalError> {
    let record: Record<'_> = parse(record.get())?;
    if record.event_source.as_deref().is_some_and(|source| source != "aws:s3") {
        return Err(ArrivalError::UnknownEnvelope);
    }
    if let Some(version) = record.event_version
        && version != "2"
        && !version.starts_with("2.")
    {
        return Err(ArrivalError::UnknownVersion(cut(&version)));
    }
    let name = record.event_name.ok_or(ArrivalError::Missing("eventName"))?;
    if !name.strip_prefix("s3:").unwrap_or(&name).starts_with("ObjectCreated:") {
        return Ok(None);
    }
    let entity = parse(record.s3.ok_or(ArrivalError::Missing("s3"))?.get())?;
    arrival(entity, record.event_time.as_deref(), decode_key).map(Some)
}

fn arrival(
    entity: Entity,
    event_time: Option<&str>,
    decode: impl Fn(&str) -> Result<Cow<'_, str>, ArrivalError>,
) -> Result<Arrival, ArrivalError> {
    let bucket = entity.bucket.and_then(|bucket| bucket.name).unwrap_or_default();
    if bucket.is_empty() {
        return Err(ArrivalError::Missing("bucket.name"));
    }
    let object = entity.object.ok_or(ArrivalError::Missing("object"))?;
    let key =
        object.key.filter(|key| !key.is_empty()).ok_or(ArrivalError::Missing("object.key"))?;
    let event_time = match event_time {
        None => None,
        Some(text) => Some(
            EventTime::parse(text)
                .ok_or_else(|| ArrivalError::BadField { field: "event time", value: cut(text) })?,
        ),
    };
    let key = decode(&key)?.into_owned();
    if key.len() > LONGEST_KEY {
        return Err(ArrivalError::KeyTooLong(key.len()));
    }
    Ok(Arrival {
        key,
        bucket,
        size: object.size,
        etag: object.etag.filter(|etag| !etag.is_empty()),
        version_id: object.version_id.filter(|id| !id.is_empty() && id != "null"),
        sequencer: object.sequencer.filter(|sequencer| !sequencer.is_empty()),
        event_time,
    })
}

/// Notifications form-encode keys: `+` is a space, `%XX` a byte of UTF-8. What is encoded in
/// another way is refused: a guess could start a job on another object.
fn decode_key(encoded: &str) -> Result<Cow<'_, str>, ArrivalError> {
    let bad = || ArrivalError::BadKey(cut(encoded));
    let mut escapes = encoded.split('%');
    escapes.next();
    let is_escape = |text: &str| {
        text.as_bytes().get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    };
    if !escapes.all(is_escape) {
        return Err(bad());
    }
    let spaced = encoded.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map_err(|_| bad())?;
    Ok(Cow::Owned(decoded.into_owned()))
}
