//! `Custom::LandfallBucketNotifications`: Landfall's rules in the buckets of the routes.
//!
//! The resource is never replaced: its rules are told by a token of the stack and the logical id.

use std::collections::BTreeMap;

use landfall_aws::bucket_notifications as s3_notifications;
use landfall_core::bucket_notifications::Spec;
use landfall_core::lifecycle;
use landfall_core::limits::Named;
use landfall_core::roles::{Home, Owner};
use serde_json::Value;

use crate::protocol::Request;
use crate::resource::Failure;
use crate::{Context, Deadlines};

/// The buckets that a request is about.
#[derive(Debug)]
pub struct Notifications<'a> {
    properties: &'a Value,
    old_properties: Option<&'a Value>,
    home: &'a Home,
}

impl<'a> Notifications<'a> {
    pub const TYPE: &'static str = "Custom::LandfallBucketNotifications";

    pub fn of(request: &'a Request, home: &'a Home) -> Self {
        Self {
            properties: &request.properties,
            old_properties: request.old_properties.as_ref(),
            home,
        }
    }

    fn spec(&self) -> Result<Spec, Failure> {
        Spec::read(self.properties).map_err(|problems| {
            let reason = format!("the properties cannot be used: {}", problems.join("; "));
            Failure::new("properties_invalid", reason)
        })
    }

    /// The buckets, and the queue of elsewhere, that the properties name.
    ///
    /// # Errors
    /// The properties are wrong.
    pub fn names(&self) -> Result<Named, Failure> {
        Ok(Named::by_notifications(&self.spec()?, self.home))
    }

    /// What this resource's rules name as they are: the buckets that have some, and the queues that these
    /// tell. A bucket that cannot be looked at counts as one without.
    pub async fn names_now(&self, context: &Context, owner: &Owner) -> Named {
        let (s3, token) = (context.s3(), token(owner));
        let mut buckets = Spec::buckets_of(self.properties);
        buckets.extend(self.old_properties.map(Spec::buckets_of).unwrap_or_default());
        let mut named = Named::default();
        for bucket in buckets {
            let read = s3_notifications::read(&s3, &bucket, &self.home.account).await;
            let Ok(found) = read.inspect_err(|error| {
                tracing::info!(code = error.code(), %error, "the rules before are not known");
            }) else {
                continue;
            };
            for (_, rule) in found.rules().filter(|(_, rule)| rule.is_of(&token)) {
                named.insert_queue(&rule.arn, self.home);
                named.buckets.insert(bucket.clone());
            }
        }
        named
    }

    /// Does what was decided; returns what `Fn::GetAtt` gives.
    ///
    /// # Errors
    /// The properties are wrong, another rule overlaps, or S3 refuses.
    pub async fn carry_out(
        &self,
        context: &Context,
        owner: &Owner,
        is_removal: bool,
        deadlines: Deadlines,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let s3 = context.s3();
        let token = token(owner);
        let spec = match is_removal {
            true => None,
            false => Some(self.spec()?),
        };
        let is_kept =
            |bucket: &String| spec.as_ref().is_some_and(|spec| spec.buckets.contains_key(bucket));
        // What is to go is told by names alone: properties that another version wrote, or that are
        // wrong otherwise, must not leave rules behind.
        let mut left = Spec::buckets_of(self.properties);
        left.extend(self.old_properties.map(Spec::buckets_of).unwrap_or_default());
        for bucket in left.iter().filter(|bucket| !is_kept(bucket)) {
            let held = lock(context, bucket, deadlines).await?;
            let removed =
                s3_notifications::remove(&s3, bucket, &self.home.account, &token, deadlines.work)
                    .await;
            unlock(held, deadlines).await;
            tracing::info!(bucket, outcome = ?removed.map_err(failure)?, "rules removed");
        }
        let Some(spec) = spec else {
            return Ok(BTreeMap::new());
        };
        for bucket in spec.buckets.keys() {
            let Some(desired) = spec.desired(bucket, &token) else { continue };
            let held = lock(context, bucket, deadlines).await?;
            let put = s3_notifications::converge(
                &s3,
                bucket,
                &self.home.account,
                &desired,
                deadlines.work,
            )
            .await;
            unlock(held, deadlines).await;
            tracing::info!(bucket, outcome = ?put.map_err(failure)?, "rules put");
        }
        let notes = spec.notes();
        for note in &notes {
            tracing::info!(code = "wider_than_the_routes", "{note}");
        }
        let buckets: Vec<&str> = spec.buckets.keys().map(String::as_str).collect();
        Ok(BTreeMap::from([
            ("Buckets".to_owned(), buckets.join(",")),
            ("Notes".to_owned(), notes.join("\n")),
        ]))
    }
}

/// What the ids of this resource's rules have in common.
fn token(owner: &Owner) -> String {
    let id = lifecycle::physical_id(&owner.stack_id, &owner.logical_id, "");
    id.rsplit('-').next().unwrap_or_default().to_owned()
}

/// Two stacks may write to one bucket, and S3 has no way to tell that they do.
async fn lock(
    context: &Context,
    bucket: &str,
    deadlines: Deadlines,
) -> Result<landfall_aws::lifecycle_table::Held, Failure> {
    let id = format!("bucket/{bucket}");
    let held = context.table.lock(&id, deadlines.lease, deadlines.work);
    held.await.map_err(|error| Failure {
        is_busy: error.is_locked(),
        ..Failure::new(error.code(), error.to_string())
    })
}

async fn unlock(held: landfall_aws::lifecycle_table::Held, deadlines: Deadlines) {
    let memory = held.memory.clone();
    if let Err(error) = held.release(memory, deadlines.work).await {
        tracing::warn!(code = error.code(), %error, "the lock of the bucket is kept until its lease ends");
    }
}

fn failure(error: s3_notifications::Error) -> Failure {
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        reason.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    Failure::new(error.code(), reason)
}
