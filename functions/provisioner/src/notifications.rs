//! `Custom::LandfallBucketNotifications`: manages Landfall's rules in the buckets of the routes.
//!
//! The resource is never replaced: a token made from the stack and the logical ID marks its rules.

use std::collections::BTreeMap;

use landfall_core::aim::Aim;
use landfall_core::bucket_notifications::{Desired, Effect, Look, Spec, is_gone, plan};
use landfall_core::lifecycle::Memory;
use landfall_core::limits::Named;
use landfall_core::repair;
use landfall_core::roles::{Home, Owner, SpecError};
use landfall_provisioning::bucket_notifications as s3_notifications;
use landfall_provisioning::lifecycle_table::Held;
use serde_json::Value;
use tokio::time::Instant;

use crate::buckets::{self, TO_LOOK, token};
use crate::context::{Context, Deadlines};
use crate::failure::Failure;
use crate::protocol::Request;

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
        let desired: BTreeMap<String, Desired> =
            spec.iter().flat_map(|spec| spec.all_desired(&token)).collect();
        let looks = self.look(context, buckets::end_of_looks(deadlines)).await;
        let announced = memory.announced.as_ref();
        let mut plan = plan(aim, &desired, &looks, announced).map_err(Failure::Hindered)?;
        let puts = buckets::remember(&plan, resource, memory, deadlines).await?;
        if repair::is_of_missing(self.properties, self.old_properties) {
            plan = plan.of_missing(|bucket| match (&looks[bucket], desired.get(bucket)) {
                (Look::Found(current), Some(desired)) => is_gone(current, desired),
                _ => false,
            });
        }
        let (s3, account) = (context.s3(), &self.home.account);
        let change = async |effect: &Effect, tries: Instant| {
            let bucket = effect.bucket();
            let changed = match effect {
                Effect::Put(_) => {
                    s3_notifications::converge(&s3, bucket, account, &desired[bucket], tries).await
                }
                Effect::Remove(_) => {
                    s3_notifications::remove(&s3, bucket, account, &token, tries).await
                }
            };
            tracing::info!(?effect, outcome = ?changed?, "rules changed");
            Ok(())
        };
        buckets::carry_out(context, "bucket", &plan, aim, deadlines, change).await?;
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
        let (s3, account) = (context.s3(), &self.home.account);
        let mut buckets = Spec::buckets_of(self.properties);
        buckets.extend(self.old_properties.map(Spec::buckets_of).unwrap_or_default());
        let look =
            async |bucket: &str| s3_notifications::look(&s3, bucket, account, deadline).await;
        buckets::look_at(buckets, look).await
    }
}
