//! Reads and puts a bucket's policy, and repeats this until S3 agrees.
//!
//! `landfall_core::bucket_access` decides what to put. A put replaces the whole policy, so `buckets`
//! reads before and after it.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use landfall_aws::sdk_error::{AwsError, chain};
use landfall_core::bucket_access::{Conflict, Desired, Look, Policy, is_same, merge, without};
use tokio::time::Instant;

use crate::buckets::{self, Store, Unread, settle};
pub use crate::buckets::{Outcome, Refusal};

/// Why a bucket's policy could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum Error {
    #[error("failed to {operation} the policy of bucket `{bucket}`")]
    Refused { operation: &'static str, bucket: String, refusal: Refusal, source: AwsError },
    #[error(
        "failed to {operation} the policy of bucket `{bucket}` (the bucket must be one of \
        `PolicyBucketArns` of the provisioner's stack; if it is, see whether another statement makes the \
        bucket public, because Block Public Access then refuses the whole policy)"
    )]
    Denied { operation: &'static str, bucket: String, source: AwsError },
    /// Landfall's own statements are never public: they name an account and its roles.
    #[error(
        "failed to put the policy of bucket `{bucket}`: a statement of another owner makes the bucket public, and \
        Block Public Access refuses the whole policy (narrow or remove that statement)"
    )]
    Public { bucket: String, source: AwsError },
    #[error(
        "failed to put the policy of bucket `{bucket}`: S3 takes it for malformed (see whether a statement of \
        another owner names a principal that was deleted)"
    )]
    Malformed { bucket: String, source: AwsError },
    /// Nothing was put.
    #[error("failed to read the policy of bucket `{bucket}`: it has {what}")]
    Unknown { bucket: String, what: String },
    /// Nothing was put.
    #[error("failed to change the policy of bucket `{bucket}`")]
    Conflict {
        bucket: String,
        #[source]
        conflict: Conflict,
    },
    /// Someone else wrote before or after us. What they wrote stands.
    #[error("someone else is changing the policy of bucket `{bucket}`")]
    Contended { bucket: String },
    /// S3 accepted what was put, but does not return it yet.
    #[error("the policy of bucket `{bucket}` does not read back as it was put")]
    Unsettled { bucket: String },
}

impl Error {
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "bucket_policy_unknown_content",
            Self::Conflict { conflict, .. } => conflict.code(),
            Self::Contended { .. } => "bucket_policy_contended",
            Self::Unsettled { .. } => "bucket_policy_unsettled",
            Self::Public { .. } => "bucket_policy_public",
            Self::Malformed { .. } => "bucket_policy_malformed",
            Self::Denied { .. } => "bucket_policy_access_denied",
            Self::Refused { refusal, .. } => match refusal {
                Refusal::NoSuchBucket => "bucket_policy_no_such_bucket",
                Refusal::Elsewhere => "bucket_policy_other_region",
                Refusal::AccessDenied => "bucket_policy_access_denied",
                Refusal::Invalid | Refusal::Destination => "bucket_policy_invalid",
                Refusal::Throttled => "bucket_policy_throttled",
                Refusal::Other => "bucket_policy_failed",
            },
        }
    }

    /// Returns `true` if the same call can succeed later although nobody changes anything:
    /// permissions take a while to take effect.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unknown { .. }
            | Self::Conflict { .. }
            | Self::Public { .. }
            | Self::Malformed { .. } => false,
            Self::Contended { .. } | Self::Unsettled { .. } | Self::Denied { .. } => true,
            Self::Refused { refusal, .. } => refusal.is_retryable(),
        }
    }
}

/// Reads the policy of `bucket`, which must belong to `account`. Returns `None` if it has none.
///
/// # Errors
/// Fails if S3 refuses, or the policy could not be put back as it is.
pub async fn read(s3: &Client, bucket: &str, account: &str) -> Result<Option<Policy>, Error> {
    let unknown = |what| Error::Unknown { bucket: bucket.to_owned(), what };
    match s3.get_bucket_policy().bucket(bucket).expected_bucket_owner(account).send().await {
        Ok(answer) => {
            let text = answer.policy.ok_or_else(|| unknown("no text".to_owned()))?;
            Policy::parse(&text).map(Some).map_err(unknown)
        }
        Err(error) if error.code() == Some("NoSuchBucketPolicy") => Ok(None),
        Err(error) => Err(refused("read", bucket, &error)),
    }
}

/// Puts the policy of `bucket`, which must belong to `account`, or deletes it. Idempotent.
///
/// # Errors
/// Fails if S3 refuses. Without an answer, the call may have had its effect.
pub async fn write(
    s3: &Client,
    bucket: &str,
    account: &str,
    policy: Option<&Policy>,
) -> Result<(), Error> {
    let once = Builder::new().retry_config(RetryConfig::disabled());
    let Some(policy) = policy else {
        let delete = s3.delete_bucket_policy().bucket(bucket).expected_bucket_owner(account);
        let deleted = delete.customize().config_override(once).send().await;
        return deleted.map(|_| ()).map_err(|error| refused("delete", bucket, &error));
    };
    let put = s3.put_bucket_policy().bucket(bucket).expected_bucket_owner(account);
    let put = put.policy(policy.to_text()).customize().config_override(once).send().await;
    put.map(|_| ()).map_err(|error| refused("put", bucket, &error))
}

/// Adds what `desired` says to the policy of `bucket`, which must belong to `account`, and keeps
/// everything that others have there. Idempotent. Retries what may heal until `deadline`, and awaits
/// a call that is then under way.
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
    let next = |current: &Option<Policy>| {
        merge(current.as_ref(), desired)
            .map(|merged| merged.map(Some))
            .map_err(|conflict| Error::Conflict { bucket: bucket.to_owned(), conflict })
    };
    settle(&Bucket { s3, name: bucket, account }, next, deadline).await
}

/// Removes the statements that [`converge`] added for `owner` from the policy of `bucket`, which must
/// belong to `account`. Deletes the policy if it has no other statement. A bucket that does not exist
/// has none. Idempotent.
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
    let next = |current: &Option<Policy>| {
        without(current.as_ref(), owner)
            .map_err(|conflict| Error::Conflict { bucket: bucket.to_owned(), conflict })
    };
    match settle(&Bucket { s3, name: bucket, account }, next, deadline).await {
        Err(Error::Refused { refusal: Refusal::NoSuchBucket | Refusal::Elsewhere, .. }) => {
            Ok(Outcome::Unchanged)
        }
        outcome => outcome,
    }
}

/// Looks at `bucket`, which should belong to `account`, until `deadline` at the latest.
pub async fn look(s3: &Client, bucket: &str, account: &str, deadline: Instant) -> Look {
    let once = async || read(s3, bucket, account).await.map_err(Unread::from);
    buckets::look(s3, bucket, account, deadline, once).await
}

struct Bucket<'a> {
    s3: &'a Client,
    name: &'a str,
    account: &'a str,
}

impl Store for Bucket<'_> {
    type Document = Option<Policy>;
    type Error = Error;

    async fn read(&self) -> Result<Option<Policy>, Error> {
        read(self.s3, self.name, self.account).await
    }

    async fn write(&self, wanted: &Option<Policy>) -> Result<(), Error> {
        write(self.s3, self.name, self.account, wanted.as_ref()).await
    }

    fn is_same(one: &Option<Policy>, other: &Option<Policy>) -> bool {
        is_same(one.as_ref(), other.as_ref())
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

fn refused<E>(operation: &'static str, bucket: &str, error: &SdkError<E>) -> Error
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let (bucket, source) = (bucket.to_owned(), AwsError::new(error));
    let said = error.message().unwrap_or_default();
    match (Refusal::of(error), error.code()) {
        (Refusal::AccessDenied, _) if said.contains("BlockPublicPolicy") => {
            Error::Public { bucket, source }
        }
        (Refusal::AccessDenied, _) if operation != "read" => {
            Error::Denied { operation, bucket, source }
        }
        (_, Some("MalformedPolicy")) => Error::Malformed { bucket, source },
        (refusal, _) => Error::Refused { operation, bucket, refusal, source },
    }
}

#[cfg(test)]
mod tests;
