//! `Custom::LandfallBucketNotifications`: manages Landfall's rules in the buckets of the routes.
//!
//! The resource is never replaced: a token made from the stack and the logical ID marks its rules.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use landfall_aws::sdk_error::chain;
use landfall_core::aim::Aim;
use landfall_core::bucket_notifications::{Desired, Effect, Look, Spec, plan};
use landfall_core::lifecycle::{self, Memory};
use landfall_core::limits::Named;
use landfall_core::roles::{Home, Owner, SpecError};
use landfall_provisioning::bucket_notifications as s3_notifications;
use landfall_provisioning::lifecycle_table::Held;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::context::{Context, Deadlines};
use crate::failure::Failure;
use crate::protocol::Request;

/// The most time that looking at the buckets may take, or a third of the time left if that is less.
const TO_LOOK: Duration = Duration::from_secs(20);

/// The most time to keep trying one bucket. What fails for longer does not heal by itself.
const MAX_TRIES: Duration = Duration::from_secs(30);

/// How many buckets to look at at a time.
const CONCURRENT_LOOKS: usize = 16;

/// The buckets that a request is about.
#[derive(Debug)]
pub(crate) struct Notifications<'a> {
    properties: &'a Value,
    old_properties: Option<&'a Value>,
    home: &'a Home,
}

impl<'a> Notifications<'a> {
    pub(crate) const TYPE: &'static str = "Custom::LandfallBucketNotifications";

    pub(crate) fn of(request: &'a Request, home: &'a Home) -> Self {
        Self {
            properties: &request.properties,
            old_properties: request.old_properties.as_ref(),
            home,
        }
    }

    fn spec(&self) -> Result<Spec, Failure> {
        Ok(Spec::read(self.properties).map_err(SpecError::Properties)?)
    }

    /// Returns the buckets that the properties name, and the queue if it is in another account or
    /// region.
    ///
    /// # Errors
    /// Fails if the properties are wrong.
    pub(crate) fn names(&self) -> Result<Named, Failure> {
        Ok(Named::by_notifications(&self.spec()?, self.home))
    }

    /// Returns what this resource's rules name now: the buckets that have rules, and the queues in
    /// the rules. A bucket that cannot be read counts as one without rules.
    pub(crate) async fn names_now(&self, context: &Context, owner: &Owner) -> Named {
        let token = token(owner);
        let mut named = Named::default();
        for (bucket, look) in self.look(context, Instant::now() + TO_LOOK).await {
            let Look::Found(found) = look else {
                tracing::info!(bucket, ?look, "the rules before are not known");
                continue;
            };
            for (_, rule) in found.rules().filter(|(_, rule)| rule.is_of(&token)) {
                named.insert_queue(&rule.arn, self.home);
                named.buckets.insert(bucket.clone());
            }
        }
        named
    }

    /// Carries out what was decided, and returns the attributes for `Fn::GetAtt`.
    ///
    /// # Errors
    /// Fails if the properties are wrong, a bucket cannot get its rule, or S3 fails.
    pub(crate) async fn carry_out(
        &self,
        context: &Context,
        owner: &Owner,
        resource: &mut Held,
        memory: &mut Memory,
        aim: Aim,
        deadlines: Deadlines,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let token = token(owner);
        let spec = match aim {
            Aim::Remove => None,
            Aim::Converge | Aim::Restore => Some(self.spec()?),
        };
        let desired = spec.iter().flat_map(|spec| spec.all_desired(&token)).collect();
        let left = deadlines.work.saturating_duration_since(Instant::now());
        let looks = self.look(context, Instant::now() + TO_LOOK.min(left / 3)).await;
        let announced = memory.announced.as_ref();
        let plan = plan(aim, &desired, &looks, announced).map_err(Failure::Hindered)?;
        for note in &plan.notes {
            tracing::warn!(code = "bucket_left_alone", "{note}");
        }
        let is_put = |effect: &&Effect| matches!(effect, Effect::Put(_));
        let puts: Vec<&str> = plan.effects.iter().filter(is_put).map(Effect::bucket).collect();
        if let Some(announced) = &mut memory.announced {
            let known = announced.len();
            announced.extend(puts.iter().map(|bucket| (*bucket).to_owned()));
            if announced.len() > known {
                resource.save(memory.clone(), deadlines.work).await?;
            }
        }
        let mut failures = Vec::new();
        for effect in &plan.effects {
            let Err(failure) = self.change(context, effect, &desired, &token, deadlines).await
            else {
                continue;
            };
            tracing::warn!(code = failure.code(), reason = failure.reason(), "not changed");
            failures.push(failure);
            if !aim.goes_on_after_a_failure() {
                break;
            }
        }
        if !failures.is_empty() {
            return Err(Failure::Several(failures));
        }
        let Some(spec) = spec else {
            return Ok(BTreeMap::new());
        };
        let mut notes = spec.notes();
        for note in &notes {
            tracing::info!(code = "wider_than_the_routes", "{note}");
        }
        notes.extend(plan.notes);
        Ok(BTreeMap::from([
            ("Buckets".to_owned(), puts.join(",")),
            ("Notes".to_owned(), notes.join("\n")),
        ]))
    }

    /// Looks at every bucket that the properties name, including those before an Update. Only the
    /// names count: properties from another version, or with other mistakes, must not leave rules
    /// behind.
    async fn look(&self, context: &Context, deadline: Instant) -> BTreeMap<String, Look> {
        let s3 = context.s3();
        let mut buckets = Spec::buckets_of(self.properties);
        buckets.extend(self.old_properties.map(Spec::buckets_of).unwrap_or_default());
        let looks = buckets.into_iter().map(async |bucket| {
            let look = s3_notifications::look(&s3, &bucket, &self.home.account, deadline).await;
            (bucket, look)
        });
        stream::iter(looks).buffer_unordered(CONCURRENT_LOOKS).collect().await
    }

    /// Changes one bucket, in at most half of the time left, or five sixths if it has to wait for
    /// another request's lock. The rest is for the other buckets and the answer.
    async fn change(
        &self,
        context: &Context,
        effect: &Effect,
        desired: &BTreeMap<String, Desired>,
        token: &str,
        deadlines: Deadlines,
    ) -> Result<(), Failure> {
        let (s3, bucket, account) = (context.s3(), effect.bucket(), &self.home.account);
        let left = deadlines.work.saturating_duration_since(Instant::now());
        let held = lock(context, bucket, deadlines, Instant::now() + left / 3).await?;
        let tries = Instant::now() + MAX_TRIES.min(left / 3);
        let change = async {
            match effect {
                Effect::Put(_) => {
                    s3_notifications::converge(&s3, bucket, account, &desired[bucket], tries).await
                }
                Effect::Remove(_) => {
                    s3_notifications::remove(&s3, bucket, account, token, tries).await
                }
            }
        };
        // After a time-out, a call may still be on its way, so the lock is kept until its lease
        // ends.
        let changed = timeout_at(tries + left / 6, change).await;
        let changed = changed.map_err(|_| Failure::BucketOutOfTime(bucket.to_owned()))?;
        unlock(held, deadlines).await;
        tracing::info!(?effect, outcome = ?changed?, "rules changed");
        Ok(())
    }
}

/// Returns the token that the IDs of this resource's rules share.
fn token(owner: &Owner) -> String {
    let id = lifecycle::physical_id(&owner.stack_id, &owner.logical_id, "");
    id.rsplit('-').next().unwrap_or_default().to_owned()
}

/// Locks a bucket: two stacks may write to it, and S3 has no way to notice.
async fn lock(
    context: &Context,
    bucket: &str,
    deadlines: Deadlines,
    deadline: Instant,
) -> Result<Held, Failure> {
    let id = format!("bucket/{bucket}");
    Ok(context.table.lock(&id, deadlines.lease, deadline).await?)
}

async fn unlock(held: Held, deadlines: Deadlines) {
    let memory = held.memory.clone();
    if let Err(error) = held.release(memory, deadlines.work).await {
        let (code, error) = (error.code(), chain(&error));
        tracing::warn!(code, error, "the lock of the bucket is kept until its lease ends");
    }
}
