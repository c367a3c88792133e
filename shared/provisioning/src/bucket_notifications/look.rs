//! Looks at a bucket before any change: finds out its notifications, or why they cannot be read.
//!
//! S3 gives the same refusal for a bucket of another account and for one of ours that a policy
//! closes to us, and the second can have our rule. So this module checks whether the account's own
//! list of buckets has the bucket.

use std::time::Duration;

use aws_sdk_s3::Client;
use landfall_aws::sdk_error::{AwsError, chain};
use landfall_core::bucket_notifications::Look;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Error, Refusal, read};

/// How long to retry after a refusal: a policy that was just changed takes a while to take effect.
const PATIENCE: Duration = Duration::from_secs(10);

const PAUSE: Duration = Duration::from_millis(500);

/// The most that S3 lists in one answer.
const MAX_LISTED: i32 = 10_000;

/// Looks at `bucket`, which should belong to `account`, until `deadline` at the latest.
pub async fn look(s3: &Client, bucket: &str, account: &str, deadline: Instant) -> Look {
    let begun = Instant::now();
    let mut look = Look::Failed("S3 did not answer in time".to_owned());
    while let Ok(next) = timeout_at(deadline, once(s3, bucket, account)).await {
        look = next;
        let until = match look {
            Look::Found(_) | Look::NotOurs(_) => break,
            Look::Refused(_) => deadline.min(begun + PATIENCE),
            Look::Failed(_) => deadline,
        };
        if Instant::now() + PAUSE >= until {
            break;
        }
        sleep(PAUSE).await;
    }
    look
}

async fn once(s3: &Client, bucket: &str, account: &str) -> Look {
    let error = match read(s3, bucket, account).await {
        Ok(found) => return Look::Found(found),
        Err(error) => error,
    };
    let Error::Refused { refusal, source, .. } = &error else {
        return Look::Refused(chain(&error));
    };
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
