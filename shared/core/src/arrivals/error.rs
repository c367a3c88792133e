//! Why a message cannot be read, and the reader of JSON whose errors say no more than that.

use serde::Deserialize;

/// Why a message cannot be read. No variant holds more than a short piece of the message (see [`cut`]).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum ArrivalError {
    #[error("failed to read the event as JSON: {0}")]
    NotJson(String),
    #[error("failed to read the event: a field has another type than it should")]
    IllTyped,
    #[error("failed to read the event: it is not an event of S3 in any envelope known")]
    UnknownEnvelope,
    #[error(
        "failed to read the event: S3 lists no event `{0}`; S3 reports a created object as \
         `ObjectCreated:Put` and the like in a notification, and as `Object Created` through EventBridge"
    )]
    UnknownEvent(String),
    #[error(
        "failed to read the event: it is CloudTrail's record of the call `{0}`, which says too little about the \
         object; let the bucket send its events to EventBridge, and the rule match `Object Created`"
    )]
    OfCloudTrail(String),
    #[error(
        "failed to read the event: it is SNS's `{0}`, and no notification; confirm the subscription by the \
         `SubscribeURL` in the message, or subscribe the queue from its own account"
    )]
    OfSubscription(&'static str),
    #[error(
        "failed to read the event: it says that a listing found the object, and it did not come from the queue of \
         backfills"
    )]
    UntrustedListing,
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
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotJson(_) => "event_not_json",
            Self::UnknownEnvelope => "event_unknown_envelope",
            Self::UnknownVersion(_) => "event_unknown_version",
            Self::UnknownEvent(_) => "event_unknown_name",
            Self::UntrustedListing => "event_untrusted_listing",
            Self::OfCloudTrail(_) => "event_of_cloudtrail",
            Self::OfSubscription(_) => "event_of_subscription",
            Self::IllTyped | Self::Missing(_) | Self::BadField { .. } => "event_malformed",
            Self::BadKey(_) | Self::KeyTooLong(_) => "event_bad_key",
        }
    }
}

/// Returns the beginning of a text from a message, for an error. Nobody outside chooses how long our log lines are.
pub(crate) fn cut(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Reads JSON.
pub(crate) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, ArrivalError> {
    serde_json::from_str(text).map_err(|error| not_json(&error))
}

/// Keeps only the kind and place of an error, because serde's message can quote values. A type error has no place either:
/// it is found in a fragment, whose places mean nothing to anybody.
pub(crate) fn not_json(error: &serde_json::Error) -> ArrivalError {
    let kind = match error.classify() {
        serde_json::error::Category::Data => return ArrivalError::IllTyped,
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "syntax error",
    };
    ArrivalError::NotJson(format!("{kind}, line {} column {}", error.line(), error.column()))
}
