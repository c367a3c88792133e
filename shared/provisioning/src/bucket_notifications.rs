//! Reads and puts a bucket's notification configuration, and repeats this until S3 agrees.
//!
//! `landfall_core::bucket_notifications` decides what to put. A put replaces everything, so
//! `buckets` reads before and after it.
//!
//! A configuration that the SDK does not know in full is refused, because the put would drop what
//! the SDK does not know. `known` checks the XML for that, and `wire` translates.

mod known;
mod wire;

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use landfall_aws::sdk_error::{AwsError, chain};
use landfall_core::bucket_notifications::{Configuration, Conflict, Desired, Look, merge, without};
use tokio::time::Instant;

use crate::buckets::{self, Store, Unread, settle};
pub use crate::buckets::{Outcome, Refusal};

/// Why a bucket's notification configuration could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum Error {
    #[error("failed to {operation} the notification configuration of bucket `{bucket}`")]
    Refused { operation: &'static str, bucket: String, refusal: Refusal, source: AwsError },
    /// Nothing was put.
    #[error(
        "failed to read the notification configuration of bucket `{bucket}`: it has {what}, which \
        would be lost if it were put again"
    )]
    Unknown { bucket: String, what: String },
    /// Nothing was put.
    #[error("failed to add to the notification configuration of bucket `{bucket}`")]
    Conflict {
        bucket: String,
        #[source]
        conflict: Conflict,
    },
    /// Someone else wrote before or after us. What they wrote stands.
    #[error("someone else is changing the notification configuration of bucket `{bucket}`")]
    Contended { bucket: String },
    /// S3 accepted what was put, but does not return it yet.
    #[error("the notification configuration of bucket `{bucket}` does not read back as it was put")]
    Unsettled { bucket: String },
}

impl Error {
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "notifications_unknown_content",
            Self::Conflict { conflict, .. } => conflict.code(),
            Self::Contended { .. } => "notifications_contended",
            Self::Unsettled { .. } => "notifications_unsettled",
            Self::Refused { refusal, .. } => match refusal {
                Refusal::NoSuchBucket => "notifications_no_such_bucket",
                Refusal::Elsewhere => "notifications_other_region",
                Refusal::AccessDenied => "notifications_access_denied",
                Refusal::Destination => "notifications_destination_refused",
                Refusal::Invalid => "notifications_invalid",
                Refusal::Throttled => "notifications_throttled",
                Refusal::Other => "notifications_failed",
            },
        }
    }

    /// Returns `true` if the same call can succeed later although nobody changes anything:
    /// permissions take a while to take effect.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unknown { .. } | Self::Conflict { .. } => false,
            Self::Contended { .. } | Self::Unsettled { .. } => true,
            Self::Refused { refusal, .. } => {
                !matches!(refusal, Refusal::NoSuchBucket | Refusal::Elsewhere | Refusal::Invalid)
            }
        }
    }
}

/// Reads the notification configuration of `bucket`, which must belong to `account`.
///
/// # Errors
/// Fails if S3 refuses, or the configuration has something that the SDK does not know.
pub async fn read(s3: &Client, bucket: &str, account: &str) -> Result<Configuration, Error> {
    let body = Body::default();
    let answer = s3
        .get_bucket_notification_configuration()
        .bucket(bucket)
        .expected_bucket_owner(account)
        .customize()
        .interceptor(body.clone())
        .send()
        .await
        .map_err(|error| refused("read", bucket, &error))?;
    let unknown = |what| Error::Unknown { bucket: bucket.to_owned(), what };
    known::check(&body.take()).map_err(unknown)?;
    wire::from_sdk(&answer).map_err(unknown)
}

/// Puts the notification configuration of `bucket`, which must belong to `account`. Idempotent.
///
/// S3 sends an `s3:TestEvent` to each destination, and refuses the whole configuration if it may
/// not write to one of them, including other people's. With `is_removal`, S3 skips this check. The
/// call is made only once: an SDK retry would overwrite what someone else wrote meanwhile.
///
/// # Errors
/// Fails if S3 refuses. Without an answer, the put may have had its effect.
pub async fn write(
    s3: &Client,
    bucket: &str,
    account: &str,
    configuration: &Configuration,
    is_removal: bool,
) -> Result<(), Error> {
    let configuration = wire::to_sdk(configuration)
        .map_err(|what| Error::Unknown { bucket: bucket.to_owned(), what })?;
    s3.put_bucket_notification_configuration()
        .bucket(bucket)
        .expected_bucket_owner(account)
        .notification_configuration(configuration)
        .set_skip_destination_validation(is_removal.then_some(true))
        .customize()
        .config_override(aws_sdk_s3::config::Builder::new().retry_config(RetryConfig::disabled()))
        .send()
        .await
        .map(|_| ())
        .map_err(|error| refused("put", bucket, &error))
}

/// Adds what `desired` says to `bucket`, which must belong to `account`, and keeps everything that
/// others have there. Idempotent. Retries what may heal until `deadline`, and awaits a call that is
/// then under way.
///
/// # Errors
/// See [`Error`]. If the error may heal, this is the last one.
pub async fn converge(
    s3: &Client,
    bucket: &str,
    account: &str,
    desired: &Desired,
    deadline: Instant,
) -> Result<Outcome, Error> {
    let next = |current: &Configuration| {
        merge(current, desired)
            .map_err(|conflict| Error::Conflict { bucket: bucket.to_owned(), conflict })
    };
    settle(&Bucket { s3, name: bucket, account, is_removal: false }, next, deadline).await
}

/// Removes the rules that [`converge`] added for `owner` from `bucket`, which must belong to
/// `account`. A bucket that does not exist has none. Idempotent. EventBridge stays switched on. A
/// missing queue, ours or someone else's, does not get in the way.
///
/// # Errors
/// See [`Error`].
pub async fn remove(
    s3: &Client,
    bucket: &str,
    account: &str,
    owner: &str,
    deadline: Instant,
) -> Result<Outcome, Error> {
    let next = |current: &Configuration| Ok(without(current, owner));
    let bucket = Bucket { s3, name: bucket, account, is_removal: true };
    match settle(&bucket, next, deadline).await {
        Err(Error::Refused { refusal: Refusal::NoSuchBucket | Refusal::Elsewhere, .. }) => {
            Ok(Outcome::Unchanged)
        }
        outcome => outcome,
    }
}

struct Bucket<'a> {
    s3: &'a Client,
    name: &'a str,
    account: &'a str,
    is_removal: bool,
}

impl Store for Bucket<'_> {
    type Document = Configuration;
    type Error = Error;

    async fn read(&self) -> Result<Configuration, Error> {
        read(self.s3, self.name, self.account).await
    }

    async fn write(&self, wanted: &Configuration) -> Result<(), Error> {
        write(self.s3, self.name, self.account, wanted, self.is_removal).await
    }

    fn is_same(one: &Configuration, other: &Configuration) -> bool {
        one.is_equivalent(other)
    }

    fn is_retryable(error: &Error) -> bool {
        error.is_retryable()
    }

    fn contended(&self) -> Error {
        Error::Contended { bucket: self.name.to_owned() }
    }

    fn unsettled(&self) -> Error {
        Error::Unsettled { bucket: self.name.to_owned() }
    }
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused { refusal, source, .. } => Self::Refused(refusal, source),
            error => Self::Unusable(chain(&error)),
        }
    }
}

/// Looks at `bucket`, which should belong to `account`, until `deadline` at the latest.
pub async fn look(s3: &Client, bucket: &str, account: &str, deadline: Instant) -> Look {
    let once = async || read(s3, bucket, account).await.map_err(Unread::from);
    buckets::look(s3, bucket, account, deadline, once).await
}

/// Keeps the body of the answer, which the SDK reads into memory and then drops.
#[derive(Debug, Clone, Default)]
struct Body(Arc<Mutex<Vec<u8>>>);

impl Body {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Intercept for Body {
    fn name(&self) -> &'static str {
        "Body"
    }

    /// Stores the body: this is the first moment at which the SDK has read it. The last attempt
    /// counts.
    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // Without a body, `known` finds no document and refuses.
        let bytes = context.response().body().bytes().unwrap_or_default();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = bytes.to_vec();
        Ok(())
    }
}

fn refused<E>(operation: &'static str, bucket: &str, error: &SdkError<E>) -> Error
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let said = error.message().unwrap_or("no message");
    // S3 uses this code for other mistakes too, and only the message shows the difference.
    let is_destination = error.code() == Some("InvalidArgument")
        && said.contains("Unable to validate the following destination");
    let refusal = if is_destination { Refusal::Destination } else { Refusal::of(error) };
    let source = AwsError::new(error);
    Error::Refused { operation, bucket: bucket.to_owned(), refusal, source }
}

#[cfg(test)]
mod tests;
