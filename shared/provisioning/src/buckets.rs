//! Changes a document of a bucket that a put replaces as a whole, and repeats this until S3 agrees.
//!
//! S3 offers neither a version nor an ETag to make such a put conditional. So [`settle`] reads the
//! document twice before each put, and after it until it reads back. If someone else writes before
//! the second reading, their change is merged; if they write after our put, we notice. A change
//! between the two is overwritten, and nobody can notice that.
//!
//! [`look`] finds out what has to be known before any change. S3 gives the same refusal for a bucket
//! of another account and for one of ours that a policy closes to us, and the second can have our
//! part. So it checks whether the account's own list of buckets has the bucket.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use landfall_aws::sdk_error::AwsError;
use landfall_core::bucket_plan::Look;
use tokio::time::{Instant, sleep, timeout_at};

/// The waits between the readings after a put: S3 may answer with the old configuration for a
/// while.
const READ_BACK_PAUSES_MS: [u64; 5] = [200, 400, 800, 1_600, 3_200];

/// The wait before the next pass. It doubles each time, from the first value up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));

/// How long a look retries after a refusal: a policy that was just changed takes a while to take effect.
const PATIENCE: Duration = Duration::from_secs(10);

/// The wait between two looks.
const PAUSE_OF_LOOKS: Duration = Duration::from_millis(500);

/// The most that S3 lists in one answer.
const MAX_LISTED: i32 = 10_000;

/// What a failed call means. A put without an answer may have had an effect; it is safe to repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no bucket of this name.
    NoSuchBucket,
    /// The bucket is in another region.
    Elsewhere,
    /// Access is denied, or the bucket belongs to another account: S3 does not distinguish the two.
    AccessDenied,
    /// S3 may not write to the queue of a notification, or not yet: a queue's policy takes a while to
    /// take effect.
    Destination,
    /// The request itself is wrong.
    Invalid,
    /// S3 throttles calls.
    Throttled,
    /// S3 failed, was busy with another put, or did not answer.
    Other,
}

impl Refusal {
    /// Reads what an error of S3 means. It never returns `Destination`, which only notifications have.
    pub(crate) fn of<E>(error: &SdkError<E>) -> Self
    where
        E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        match error.code() {
            Some("NoSuchBucket") => Self::NoSuchBucket,
            Some("PermanentRedirect") => Self::Elsewhere,
            Some("AccessDenied") => Self::AccessDenied,
            Some("SlowDown" | "ServiceUnavailable" | "Throttling") => Self::Throttled,
            _ => match error.raw_response().map(|answer| answer.status().as_u16()) {
                // Status 409 means that two puts met.
                Some(status) if status < 500 && status != 409 => Self::Invalid,
                _ => Self::Other,
            },
        }
    }

    /// Returns `true` if the same call can succeed later although nobody changes anything:
    /// permissions take a while to take effect.
    pub(crate) fn is_retryable(self) -> bool {
        !matches!(self, Self::NoSuchBucket | Self::Elsewhere | Self::Invalid)
    }
}

/// Whether a change was needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was put.
    Unchanged,
    /// The configuration was put, and read back.
    Changed,
}

/// A document of one bucket.
pub(crate) trait Store {
    type Document;
    type Error;

    async fn read(&self) -> Result<Self::Document, Self::Error>;

    /// Replaces the document. Makes only one call: an SDK retry would overwrite what someone else
    /// wrote meanwhile.
    async fn write(&self, wanted: &Self::Document) -> Result<(), Self::Error>;

    /// Returns `true` if S3 treats both the same.
    fn is_same(one: &Self::Document, other: &Self::Document) -> bool;

    fn is_retryable(error: &Self::Error) -> bool;

    /// Returns the error that someone else writes too.
    fn contended(&self) -> Self::Error;

    /// Returns the error that S3 does not return what was put.
    fn unsettled(&self) -> Self::Error;
}

/// Makes passes until one succeeds, or `deadline` is near. `next` returns what to put, or `None` if
/// nothing.
pub(crate) async fn settle<S: Store>(
    store: &S,
    next: impl Fn(&S::Document) -> Result<Option<S::Document>, S::Error>,
    deadline: Instant,
) -> Result<Outcome, S::Error> {
    let (mut pause, longest) = PAUSE;
    let mut outcome = Outcome::Unchanged;
    loop {
        match pass(store, &next, deadline, &mut outcome).await {
            Ok(()) => return Ok(outcome),
            Err(error) if S::is_retryable(&error) && Instant::now() + pause < deadline => {}
            Err(error) => return Err(error),
        }
        sleep(pause).await;
        pause = longest.min(pause * 2);
    }
}

async fn pass<S: Store>(
    store: &S,
    next: &impl Fn(&S::Document) -> Result<Option<S::Document>, S::Error>,
    deadline: Instant,
    outcome: &mut Outcome,
) -> Result<(), S::Error> {
    let before = store.read().await?;
    let Some(wanted) = next(&before)? else {
        return Ok(());
    };
    if !S::is_same(&store.read().await?, &before) {
        return Err(store.contended());
    }
    store.write(&wanted).await?;
    *outcome = Outcome::Changed;
    for pause in READ_BACK_PAUSES_MS.map(Duration::from_millis) {
        let after = store.read().await?;
        if S::is_same(&after, &wanted) || next(&after)?.is_none() {
            return Ok(());
        }
        if !S::is_same(&after, &before) {
            return Err(store.contended());
        }
        if Instant::now() + pause >= deadline {
            break;
        }
        sleep(pause).await;
    }
    Err(store.unsettled())
}

/// Why a document could not be read.
pub(crate) enum Unread {
    /// S3 refused, or did not answer.
    Refused(Refusal, AwsError),
    /// The document cannot be put back as it is. Holds the reason.
    Unusable(String),
}

/// Looks at `bucket`, which should belong to `account`, until `deadline` at the latest.
pub(crate) async fn look<C>(
    s3: &Client,
    bucket: &str,
    account: &str,
    deadline: Instant,
    read: impl AsyncFn() -> Result<C, Unread>,
) -> Look<C> {
    let begun = Instant::now();
    let mut look = Look::Failed("S3 did not answer in time".to_owned());
    let once = async || match read().await {
        Ok(found) => Look::Found(found),
        Err(Unread::Unusable(why)) => Look::Refused(why),
        Err(Unread::Refused(refusal, source)) => {
            meaning(s3, bucket, account, refusal, &source).await
        }
    };
    while let Ok(next) = timeout_at(deadline, once()).await {
        look = next;
        let until = match look {
            Look::Found(_) | Look::NotOurs(_) => break,
            Look::Refused(_) => deadline.min(begun + PATIENCE),
            Look::Failed(_) => deadline,
        };
        if Instant::now() + PAUSE_OF_LOOKS >= until {
            break;
        }
        sleep(PAUSE_OF_LOOKS).await;
    }
    look
}

async fn meaning<C>(
    s3: &Client,
    bucket: &str,
    account: &str,
    refusal: Refusal,
    source: &AwsError,
) -> Look<C> {
    match refusal {
        Refusal::NoSuchBucket => Look::NotOurs("there is no such bucket".to_owned()),
        Refusal::Elsewhere => Look::NotOurs("it is in another region".to_owned()),
        Refusal::AccessDenied => match is_own(s3, bucket).await {
            Ok(false) => Look::NotOurs(format!("it is no bucket of account {account}")),
            Ok(true) => Look::Refused(format!("{source}; the bucket is of account {account}")),
            Err(why) => Look::Refused(format!(
                "{source}; whether the bucket is of account {account} is not known: {why}"
            )),
        },
        Refusal::Invalid | Refusal::Destination => Look::Refused(source.to_string()),
        Refusal::Throttled | Refusal::Other => Look::Failed(source.to_string()),
    }
}

/// Returns `true` if the caller's account has the bucket.
async fn is_own(s3: &Client, bucket: &str) -> Result<bool, String> {
    let listed = s3.list_buckets().prefix(bucket).max_buckets(MAX_LISTED).send().await;
    let listed = listed.map_err(|error| AwsError::new(&error).to_string())?;
    let is_listed = listed.buckets().iter().any(|found| found.name() == Some(bucket));
    match listed.continuation_token() {
        Some(_) if !is_listed => Err("more buckets begin with its name than S3 lists".to_owned()),
        _ => Ok(is_listed),
    }
}
