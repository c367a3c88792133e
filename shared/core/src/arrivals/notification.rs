//! S3's event notifications and EventBridge events, as lean wire types. The types of the crate `aws_lambda_events` are
//! complete. They cost twice the time and fail on the first ill-typed field, even on one that nobody here reads.

use std::borrow::Cow;
use std::ops::Deref;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::arrival::{Arrival, EventTime};
use super::error::{ArrivalError, cut, parse};
use super::events::{self, Tells};
use super::listed;
use super::message::Content;

/// The most bytes of an object's key in UTF-8.
const MAX_KEY_BYTES: usize = 1024;

/// A text that is borrowed if nothing in it is escaped. Serde borrows a `Cow` that is a field, and never one in an `Option`.
#[derive(Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

/// One of S3's events, whichever it is.
#[derive(Deserialize)]
pub(crate) struct Payload<'a> {
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

/// A notification and nothing else, with only well-formed records.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole<'a> {
    #[serde(borrow, rename = "Records")]
    records: Vec<Record<'a, Entity<'a>>>,
}

/// An event record. `S` is what it says about the object, as a value or still as text.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "S: Deserialize<'de>"))]
struct Record<'a, S> {
    #[serde(borrow)]
    event_source: Option<Text<'a>>,
    #[serde(borrow)]
    event_version: Option<Text<'a>>,
    #[serde(borrow)]
    event_name: Option<Text<'a>>,
    #[serde(borrow)]
    event_time: Option<Text<'a>>,
    /// The listing that found the object, if the event is none of S3's.
    #[serde(borrow)]
    listing: Option<&'a RawValue>,
    s3: Option<S>,
}

#[derive(Deserialize)]
struct Entity<'a> {
    #[serde(borrow)]
    bucket: Option<Bucket<'a>>,
    #[serde(borrow)]
    object: Option<Object<'a>>,
}

#[derive(Deserialize)]
struct Bucket<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
}

/// Notifications write `eTag` and `versionId`, EventBridge `etag` and `version-id`.
#[derive(Deserialize)]
struct Object<'a> {
    /// It is decoded, so a copy would be for nothing. The other texts are kept as they are.
    #[serde(borrow)]
    key: Option<Text<'a>>,
    size: Option<u64>,
    #[serde(borrow, alias = "eTag")]
    etag: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "version-id", alias = "versionId")]
    version_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    sequencer: Option<Cow<'a, str>>,
}

/// Reads a notification in one pass; `None` for anything that must be read with care.
pub(crate) fn whole(text: &str) -> Option<Result<Content, ArrivalError>> {
    let Whole { records } = serde_json::from_str(text).ok()?;
    let mut content = Content::default();
    let read = records.into_iter().try_for_each(|record| content.add(record, Ok));
    Some(read.map(|()| content))
}

impl<'a> Payload<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, ArrivalError> {
        parse(text)
    }

    /// Returns `true` if it is SNS's envelope and not what the envelope holds.
    ///
    /// # Errors
    /// It is from SNS and is not an envelope.
    pub(crate) fn is_sns(&self) -> Result<bool, ArrivalError> {
        match self.sns_type.map(RawValue::get) {
            Some("\"Notification\"") => Ok(true),
            Some("\"SubscriptionConfirmation\"") => {
                Err(ArrivalError::OfSubscription("SubscriptionConfirmation"))
            }
            Some("\"UnsubscribeConfirmation\"") => {
                Err(ArrivalError::OfSubscription("UnsubscribeConfirmation"))
            }
            _ => Ok(false),
        }
    }

    pub(crate) fn content(&self) -> Result<Content, ArrivalError> {
        let mut content = Content::default();
        match self {
            Self { records: Some(records), .. } => {
                for record in records {
                    let record: Record<'_, &RawValue> = parse(record.get())?;
                    content.add(record, |s3| parse(s3.get()))?;
                }
            }
            Self { event: Some(event), .. } if event.get() == "\"s3:TestEvent\"" => {
                content.ignored.add(events::TEST);
            }
            Self { source: Some(source), detail_type: Some(detail_type), .. }
                if source == "aws.s3" =>
            {
                match events::by_eventbridge(detail_type)? {
                    Tells::OfCreation => content.arrivals.push(self.object_created()?),
                    Tells::Of(name) => content.ignored.add(name),
                    Tells::OfCall => return Err(ArrivalError::OfCloudTrail(self.call())),
                }
            }
            _ => return Err(ArrivalError::UnknownEnvelope),
        }
        Ok(content)
    }

    /// Returns the call that CloudTrail reports, as far as it can be read.
    fn call(&self) -> String {
        #[derive(Deserialize)]
        struct Detail<'a> {
            #[serde(borrow, rename = "eventName")]
            event_name: Cow<'a, str>,
        }
        let detail = self.detail.and_then(|detail| parse::<Detail<'_>>(detail.get()).ok());
        detail.map_or_else(String::new, |detail| cut(&detail.event_name))
    }

    /// Reads an EventBridge event, whose key is not encoded.
    fn object_created(&self) -> Result<Arrival, ArrivalError> {
        let entity = parse(self.detail.ok_or(ArrivalError::Missing("detail"))?.get())?;
        arrival(entity, self.time.as_deref(), |key| Ok(key.into()))
    }
}

impl Content {
    /// Adds an event record. `entity` reads what it says about the object.
    fn add<'a, S>(
        &mut self,
        record: Record<'a, S>,
        entity: impl FnOnce(S) -> Result<Entity<'a>, ArrivalError>,
    ) -> Result<(), ArrivalError> {
        let is_listed = match record.event_source.as_deref() {
            None | Some("aws:s3") => false,
            Some(listed::SOURCE) => true,
            Some(_) => return Err(ArrivalError::UnknownEnvelope),
        };
        if let Some(version) = record.event_version
            && &*version != "2"
            && !version.starts_with("2.")
        {
            return Err(ArrivalError::UnknownVersion(cut(&version)));
        }
        if is_listed {
            let entity = entity(record.s3.ok_or(ArrivalError::Missing("s3"))?)?;
            let arrival = arrival(entity, record.event_time.as_deref(), |key| Ok(key.into()))?;
            let listing = record.listing.ok_or(ArrivalError::Missing("listing"))?;
            let listing = Some(parse(listing.get())?);
            self.arrivals.push(listed::checked(Arrival { listing, ..arrival })?);
            return Ok(());
        }
        let name = record.event_name.ok_or(ArrivalError::Missing("eventName"))?;
        match events::notified(&name)? {
            Tells::Of(name) => self.ignored.add(name),
            // No notification is about a call.
            Tells::OfCall => return Err(ArrivalError::OfCloudTrail(cut(&name))),
            Tells::OfCreation => {
                let entity = entity(record.s3.ok_or(ArrivalError::Missing("s3"))?)?;
                self.arrivals.push(arrival(entity, record.event_time.as_deref(), decode_key)?);
            }
        }
        Ok(())
    }
}

fn arrival(
    entity: Entity<'_>,
    event_time: Option<&str>,
    decode: impl Fn(&str) -> Result<Cow<'_, str>, ArrivalError>,
) -> Result<Arrival, ArrivalError> {
    let bucket = entity.bucket.and_then(|bucket| bucket.name).filter(|name| !name.is_empty());
    let bucket = bucket.ok_or(ArrivalError::Missing("bucket.name"))?;
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
    if key.len() > MAX_KEY_BYTES {
        return Err(ArrivalError::KeyTooLong(key.len()));
    }
    let filled = |text: Option<Cow<'_, str>>| {
        text.filter(|text| !text.is_empty()).map(|text| text.into_owned())
    };
    Ok(Arrival {
        key,
        bucket: bucket.into_owned(),
        size: object.size,
        etag: filled(object.etag),
        version_id: filled(object.version_id).filter(|id| id != "null"),
        sequencer: filled(object.sequencer),
        event_time,
        listing: None,
    })
}

/// Decodes a key. Notifications form-encode keys: `+` is a space, and `%XX` is a byte of UTF-8. Any other encoding is refused,
/// because a guess could start a job on another object.
pub fn decode_key(encoded: &str) -> Result<Cow<'_, str>, ArrivalError> {
    let bad = || ArrivalError::BadKey(cut(encoded));
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    loop {
        rest = match rest {
            [] => break,
            [b'+', behind @ ..] => {
                decoded.push(b' ');
                behind
            }
            [b'%', high, low, behind @ ..] => {
                let (high, low) = (digit(*high).ok_or_else(bad)?, digit(*low).ok_or_else(bad)?);
                decoded.push(high << 4 | low);
                behind
            }
            [b'%', ..] => return Err(bad()),
            [byte, behind @ ..] => {
                decoded.push(*byte);
                behind
            }
        };
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| bad())
}
