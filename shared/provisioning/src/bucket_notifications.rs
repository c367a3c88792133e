//! Reads and puts a bucket's notification configuration, and repeats this until S3 agrees.
//!
//! `landfall_core::bucket_notifications` decides what to put. A put replaces everything, and S3
//! offers neither a version nor an ETag to make it conditional. So this module reads the
//! configuration twice before each put, and after it until it reads back. If someone else writes
//! before the second reading, their change is merged; if they write after our put, we notice. A
//! change between the two is overwritten, and nobody can notice that.
//!
//! A configuration that the SDK does not know in full is refused, because the put would drop what
//! the SDK does not know. `known` checks the XML for that, `wire` translates, and `look` finds out
//! what has to be known before any change.

mod known;
mod look;
mod wire;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use landfall_aws::sdk_error::AwsError;
use landfall_core::bucket_notifications::{Configuration, Conflict, Desired, merge, without};
use tokio::time::{Instant, sleep};

pub use look::look;

/// The waits between the readings after a put: S3 may answer with the old configuration for a
/// while.
const READ_BACK_PAUSES_MS: [u64; 5] = [200, 400, 800, 1_600, 3_200];

/// The wait before the next pass. It doubles each time, from the first value up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));

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

/// What a failed call means. A put without an answer may have had an effect; it is safe to repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no bucket of this name.
    NoSuchBucket,
    /// The bucket is in another region.
    Elsewhere,
    /// Access is denied, or the bucket belongs to another account: S3 does not distinguish the two.
    AccessDenied,
    /// S3 may not write to the queue, or not yet: a queue's policy takes a while to take effect.
    Destination,
    /// The request itself is wrong.
    Invalid,
    /// S3 throttles calls.
    Throttled,
    /// S3 failed, was busy with another put, or did not answer.
    Other,
}

/// Whether a change was needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was put.
    Unchanged,
    /// The configuration was put, and read back.
    Changed,
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
    Bucket { s3, name: bucket, account, is_removal: false }.settle(next, deadline).await
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
    match (Bucket { s3, name: bucket, account, is_removal: true }).settle(next, deadline).await {
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

impl Bucket<'_> {
    /// Makes passes until one succeeds. `next` returns what to put, or `None` if nothing.
    async fn settle(
        &self,
        next: impl Fn(&Configuration) -> Result<Option<Configuration>, Error>,
        deadline: Instant,
    ) -> Result<Outcome, Error> {
        let (mut pause, longest) = PAUSE;
        let mut outcome = Outcome::Unchanged;
        loop {
            match self.pass(&next, deadline, &mut outcome).await {
                Ok(()) => return Ok(outcome),
                Err(error) if error.is_retryable() && Instant::now() + pause < deadline => {}
                Err(error) => return Err(error),
            }
            sleep(pause).await;
            pause = longest.min(pause * 2);
        }
    }

    async fn pass(
        &self,
        next: &impl Fn(&Configuration) -> Result<Option<Configuration>, Error>,
        deadline: Instant,
        outcome: &mut Outcome,
    ) -> Result<(), Error> {
        let before = self.read().await?;
        let Some(wanted) = next(&before)? else {
            return Ok(());
        };
        if !self.read().await?.is_equivalent(&before) {
            return Err(Error::Contended { bucket: self.name.to_owned() });
        }
        write(self.s3, self.name, self.account, &wanted, self.is_removal).await?;
        *outcome = Outcome::Changed;
        for pause in READ_BACK_PAUSES_MS.map(Duration::from_millis) {
            let after = self.read().await?;
            if after.is_equivalent(&wanted) || next(&after)?.is_none() {
                return Ok(());
            }
            if !after.is_equivalent(&before) {
                return Err(Error::Contended { bucket: self.name.to_owned() });
            }
            if Instant::now() + pause >= deadline {
                break;
            }
            sleep(pause).await;
        }
        Err(Error::Unsettled { bucket: self.name.to_owned() })
    }

    async fn read(&self) -> Result<Configuration, Error> {
        read(self.s3, self.name, self.account).await
    }
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
    let (code, said) = (error.code(), error.message().unwrap_or("no message"));
    let refusal = match code {
        Some("NoSuchBucket") => Refusal::NoSuchBucket,
        Some("PermanentRedirect") => Refusal::Elsewhere,
        Some("AccessDenied") => Refusal::AccessDenied,
        // S3 uses this code for other mistakes too, and only the message shows the difference.
        Some("InvalidArgument")
            if said.contains("Unable to validate the following destination") =>
        {
            Refusal::Destination
        }
        Some("SlowDown" | "ServiceUnavailable" | "Throttling") => Refusal::Throttled,
        _ => match error.raw_response().map(|answer| answer.status().as_u16()) {
            // Status 409 means that two puts met.
            Some(status) if status < 500 && status != 409 => Refusal::Invalid,
            _ => Refusal::Other,
        },
    };
    let source = AwsError::new(error);
    Error::Refused { operation, bucket: bucket.to_owned(), refusal, source }
}

#[cfg(test)]
mod tests;
