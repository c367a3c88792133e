//! `Custom::LandfallBucketAccess`: manages Landfall's statements in the policies of the routes' buckets.
//!
//! The resource is never replaced: a token made from the stack and the logical ID marks its statements.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use landfall_aws::sdk_error::chain;
use landfall_core::aim::Aim;
use landfall_core::bucket_access::{Desired, Effect, Look, Spec, is_gone, plan};
use landfall_core::lifecycle::Memory;
use landfall_core::limits::Named;
use landfall_core::repair;
use landfall_core::roles::{Home, Owner, SpecError};
use landfall_provisioning::bucket_policies as s3_policies;
use landfall_provisioning::kms::{self, KeyAdmission};
use landfall_provisioning::lifecycle_table::Held;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::buckets::{self, TO_LOOK, token};
use crate::context::{Context, Deadlines};
use crate::failure::Failure;
use crate::protocol::Request;

/// The most time that the check of key policies may take, and the time to keep for what comes after
/// it.
const TO_CHECK_KEYS: Duration = Duration::from_secs(15);
const AFTER_KEYS: Duration = Duration::from_secs(1);

/// The buckets that a request is about.
#[derive(Debug)]
pub(crate) struct BucketAccess<'a> {
    properties: &'a Value,
    old_properties: Option<&'a Value>,
    home: &'a Home,
}

impl<'a> BucketAccess<'a> {
    pub(crate) const TYPE: &'static str = "Custom::LandfallBucketAccess";

    pub(crate) fn of(request: &'a Request, home: &'a Home) -> Self {
        Self {
            properties: &request.properties,
            old_properties: request.old_properties.as_ref(),
            home,
        }
    }

    fn spec(&self) -> Result<Spec, Failure> {
        Ok(Spec::read(self.properties, self.home).map_err(SpecError::Properties)?)
    }

    /// Returns the accounts of the job roles, and the buckets whose policies are to change.
    ///
    /// # Errors
    /// Fails if the properties are wrong.
    pub(crate) fn names(&self) -> Result<Named, Failure> {
        Ok(Named::by_access(&self.spec()?, self.home))
    }

    /// Returns what this resource's statements name now. A bucket whose policy cannot be read counts
    /// as one without statements.
    pub(crate) async fn names_now(&self, context: &Context, owner: &Owner) -> Named {
        let token = token(owner);
        let mut named = Named::default();
        for (bucket, look) in self.look(context, Instant::now() + TO_LOOK).await {
            let Look::Found(policy) = look else {
                tracing::info!(bucket, ?look, "the statements before are not known");
                continue;
            };
            let accounts = policy.map(|policy| policy.accounts_of(&token)).unwrap_or_default();
            if !accounts.is_empty() {
                named.policies.insert(bucket);
            }
            named.accounts.extend(accounts.into_iter().filter(|it| *it != self.home.account));
        }
        named
    }

    /// Carries out what was decided, and returns the attributes for `Fn::GetAtt`.
    ///
    /// # Errors
    /// Fails if the properties are wrong, a bucket's policy cannot get its statements, or S3 fails.
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
        let changed = memory.announced.as_ref();
        let plan = plan(&token, aim, &desired, &looks, changed);
        let mut plan = plan.map_err(Failure::PoliciesHindered)?;
        let puts = buckets::remember(&plan, resource, memory, deadlines).await?;
        if repair::is_of_missing(self.properties, self.old_properties) {
            plan = plan.of_missing(|bucket| match &looks[bucket] {
                Look::Found(current) => is_gone(current.as_ref(), &token),
                _ => false,
            });
        }
        let (s3, account) = (context.s3(), &self.home.account);
        let change = async |effect: &Effect, tries: Instant| {
            let bucket = effect.bucket();
            let changed = match effect {
                Effect::Put(_) => {
                    s3_policies::converge(&s3, bucket, account, &desired[bucket], tries).await
                }
                Effect::Remove(_) => s3_policies::remove(&s3, bucket, account, &token, tries).await,
            };
            tracing::info!(?effect, outcome = ?changed?, "statements changed");
            Ok(())
        };
        buckets::carry_out(context, "bucket-policy", &plan, aim, deadlines, change).await?;
        let Some(spec) = spec else {
            return Ok(BTreeMap::new());
        };
        for note in &spec.notes {
            tracing::warn!(code = "wider_than_the_routes", "{note}");
        }
        let (to_admit, notes_on_keys) = self.keys(context, &spec, deadlines).await;
        let mut notes = spec.notes.clone();
        notes.extend(plan.notes);
        notes.extend(notes_on_keys);
        let statements = match to_admit.is_empty() {
            true => String::new(),
            false => json!(spec.key_statements(&token)).to_string(),
        };
        Ok(BTreeMap::from([
            ("Buckets".to_owned(), puts.join(",")),
            ("KeysToAdmit".to_owned(), to_admit.into_iter().collect::<Vec<_>>().join(",")),
            ("KeyPolicyStatements".to_owned(), statements),
            ("Notes".to_owned(), notes.join("\n")),
        ]))
    }

    /// Returns the KMS keys whose policies do not admit every job role, or of which this is not known,
    /// and notes on them. This never fails a request: often someone else manages the keys, and no role
    /// has to exist yet.
    async fn keys(
        &self,
        context: &Context,
        spec: &Spec,
        deadlines: Deadlines,
    ) -> (BTreeSet<String>, Vec<String>) {
        let kms = aws_sdk_kms::Client::new(&context.config);
        let mut notes = Vec::new();
        let keys = match &spec.keys {
            Some(keys) => keys.clone(),
            None => {
                let (s3, account) = (context.s3(), &self.home.account);
                let buckets = spec.buckets.keys().map(String::as_str);
                let found = kms::keys_of_buckets(&s3, &kms, buckets, account).await;
                found.unwrap_or_else(|error| {
                    let (code, error) = (error.code(), chain(&error));
                    tracing::warn!(code, error, "the keys are not known");
                    notes.push(format!("the keys of the buckets are not known: {error}"));
                    BTreeSet::new()
                })
            }
        };
        let deadline = (Instant::now() + TO_CHECK_KEYS).min(deadlines.work - AFTER_KEYS);
        let mut to_admit = BTreeSet::new();
        for role in spec.readers() {
            let admissions = kms::check_admissions(&kms, &keys, role, deadline).await;
            let notes_on = |admission: &KeyAdmission| {
                let note =
                    admission.note()?.replace("`KeyPolicyStatement`", "`KeyPolicyStatements`");
                Some((admission.key.clone(), format!("job role `{role}`: {note}")))
            };
            for (key, note) in admissions.iter().filter_map(notes_on) {
                tracing::warn!(code = "key_policy_does_not_admit", key, "{note}");
                to_admit.insert(key);
                notes.push(note);
            }
        }
        (to_admit, notes)
    }

    /// Looks at every bucket whose policy has statements by the properties, including those before an
    /// Update. Only the names count: properties from another version, or with other mistakes, must not
    /// leave statements behind.
    async fn look(&self, context: &Context, deadline: Instant) -> BTreeMap<String, Look> {
        let (s3, account) = (context.s3(), &self.home.account);
        let mut buckets = Spec::buckets_of(self.properties);
        buckets.extend(self.old_properties.map(Spec::buckets_of).unwrap_or_default());
        let look = async |bucket: &str| s3_policies::look(&s3, bucket, account, deadline).await;
        buckets::look_at(buckets, look).await
    }
}
