//! What the resources for buckets share: they look at all buckets first, and then change one after the
//! other, each under a lock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use landfall_aws::sdk_error::chain;
use landfall_core::aim::Aim;
use landfall_core::bucket_plan::{Effect, Look, Plan};
use landfall_core::lifecycle::{self, Memory};
use landfall_core::roles::Owner;
use landfall_provisioning::lifecycle_table::Held;
use tokio::time::{Instant, timeout_at};

use crate::context::{Context, Deadlines};
use crate::failure::Failure;

/// The most time that looking at the buckets may take, or a third of the time left if that is less.
pub(crate) const TO_LOOK: Duration = Duration::from_secs(20);

/// The most time to keep trying one bucket. What fails for longer does not heal by itself.
const MAX_TRIES: Duration = Duration::from_secs(30);

/// How many buckets to look at at a time.
const CONCURRENT_LOOKS: usize = 16;

/// Returns the token that everything of this resource in buckets shares.
pub(crate) fn token(owner: &Owner) -> String {
    lifecycle::token(&owner.stack_id, &owner.logical_id)
}

/// Returns when looking at the buckets must be over.
pub(crate) fn end_of_looks(deadlines: Deadlines) -> Instant {
    let left = deadlines.work.saturating_duration_since(Instant::now());
    Instant::now() + TO_LOOK.min(left / 3)
}

/// Looks at each of the buckets.
pub(crate) async fn look_at<C>(
    buckets: BTreeSet<String>,
    look: impl AsyncFn(&str) -> Look<C>,
) -> BTreeMap<String, Look<C>> {
    let looks = buckets.into_iter().map(async |bucket| {
        let found = look(&bucket).await;
        (bucket, found)
    });
    stream::iter(looks).buffer_unordered(CONCURRENT_LOOKS).collect().await
}

/// Returns the buckets that the plan puts something into. Saves their names before anything is put, so
/// that a bucket which never got anything holds no removal up when it refuses.
///
/// # Errors
/// Fails if the names cannot be saved. Nothing was put.
pub(crate) async fn remember(
    plan: &Plan,
    resource: &mut Held,
    memory: &mut Memory,
    deadlines: Deadlines,
) -> Result<Vec<String>, Failure> {
    let is_put = |effect: &&Effect| matches!(effect, Effect::Put(_));
    let puts = plan.effects.iter().filter(is_put);
    let puts: Vec<String> = puts.map(|effect| effect.bucket().to_owned()).collect();
    if let Some(announced) = &mut memory.announced {
        let known = announced.len();
        announced.extend(puts.iter().cloned());
        if announced.len() > known {
            resource.save(memory.clone(), deadlines.work).await?;
        }
    }
    Ok(puts)
}

/// Carries out the effects of a plan. `kind` tells locks apart; `change` makes one change, and tries
/// until the time that it is given.
///
/// # Errors
/// Fails with everything that failed. On the way forward, nothing comes after the first failure.
pub(crate) async fn carry_out(
    context: &Context,
    kind: &str,
    plan: &Plan,
    aim: Aim,
    deadlines: Deadlines,
    change: impl AsyncFn(&Effect, Instant) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for note in &plan.notes {
        tracing::warn!(code = "bucket_left_alone", "{note}");
    }
    let mut failures = Vec::new();
    for effect in &plan.effects {
        let Err(failure) = one(context, kind, effect, deadlines, &change).await else {
            continue;
        };
        tracing::warn!(code = failure.code(), reason = failure.reason(), "not changed");
        failures.push(failure);
        if !aim.goes_on_after_a_failure() {
            break;
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(Failure::Several(failures)) }
}

/// Changes one bucket, in at most half of the time left, or five sixths if it has to wait for
/// another request's lock. The rest is for the other buckets and the answer.
async fn one(
    context: &Context,
    kind: &str,
    effect: &Effect,
    deadlines: Deadlines,
    change: impl AsyncFn(&Effect, Instant) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let bucket = effect.bucket();
    let left = deadlines.work.saturating_duration_since(Instant::now());
    let id = format!("{kind}/{bucket}");
    // Two stacks may write to a bucket, and S3 has no way to notice.
    let held = context.table.lock(&id, deadlines.lease, Instant::now() + left / 3).await?;
    let tries = Instant::now() + MAX_TRIES.min(left / 3);
    // After a time-out, a call may still be on its way, so the lock is kept until its lease
    // ends.
    let changed = timeout_at(tries + left / 6, change(effect, tries)).await;
    let changed = changed.map_err(|_| Failure::BucketOutOfTime(bucket.to_owned()))?;
    unlock(held, deadlines).await;
    changed
}

async fn unlock(held: Held, deadlines: Deadlines) {
    let memory = held.memory.clone();
    if let Err(error) = held.release(memory, deadlines.work).await {
        let (code, error) = (error.code(), chain(&error));
        tracing::warn!(code, error, "the lock of the bucket is kept until its lease ends");
    }
}
