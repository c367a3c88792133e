//! Looks at what a deployed stack asks the provisioner for, and finds what differs. Reads only.
//!
//! The core decides what differs, as it does for the provisioner. External IDs are the exception: CloudFormation
//! doesn't show them, so a role that requires any one counts as one that requires the right one.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{anyhow, bail};
use landfall_aws::sdk_error::chain;
use landfall_core::bucket_access::{self, Policy};
use landfall_core::bucket_notifications::{self, Configuration, Destination};
use landfall_core::bucket_plan::Look;
use landfall_core::lifecycle;
use landfall_core::roles::{Home, Kind, Observed, Owner, Purpose, Role, Spec, Step, Trust, diff};
use landfall_core::secret::Secret;
use landfall_provisioning::{bucket_notifications as s3_notifications, bucket_policies, iam, kms};
use serde_json::Value;
use tokio::time::Instant;

use crate::accounts::Account;
use crate::cloudformation::deployed::{Deployed, Resource};
use crate::desired;
use crate::diff::admitted;

/// How long to try to look at one bucket.
const TO_LOOK: Duration = Duration::from_secs(20);

const OURS: &str = "Custom::Landfall";

/// What was found of a resource of the provisioner's.
#[derive(Debug)]
pub struct Finding {
    pub resource: Resource,
    /// What the resource is called in messages, such as ``reader role `arn:…` ``.
    pub name: String,
    pub state: State,
}

/// How a resource compares with what the stack asks for.
#[derive(Debug)]
pub enum State {
    AsDesired,
    /// The differences that a repair removes, a sentence each.
    Drifted(Vec<String>),
    /// The reasons why the provisioner could not remove differences.
    Stuck(Vec<String>),
    /// The reason why it could not be looked at.
    Unknown(String),
}

impl State {
    fn of(differences: Vec<String>, hindrances: Vec<String>) -> Self {
        match (differences.is_empty(), hindrances.is_empty()) {
            (true, true) => Self::AsDesired,
            (_, false) => Self::Stuck(hindrances),
            (false, true) => Self::Drifted(differences),
        }
    }
}

/// A resource with what the stack asks for.
struct Asked<'a> {
    account: &'a Account,
    home: &'a Home,
    owner: Owner,
    properties: Value,
}

/// Looks at everything that the stack has the provisioner make.
pub async fn look(account: &Account, stack: &Deployed) -> Vec<Finding> {
    let mut findings = Vec::new();
    for resource in stack.resources() {
        let Some(kind) = resource.kind.strip_prefix(OURS) else { continue };
        let mut name = name(kind, &resource.logical_id);
        let state = match stack.properties(&resource.logical_id) {
            Err(error) => Err(error),
            Ok(properties) => {
                let owner = Owner {
                    stack_id: stack.id.clone(),
                    logical_id: resource.logical_id.clone(),
                    physical_id: resource.physical_id.clone(),
                };
                if let Some(role) = properties["RoleName"].as_str() {
                    name = format!("{name} `{role}`");
                }
                Asked { account, home: &stack.home, owner, properties }.look(kind).await
            }
        };
        let state = state.unwrap_or_else(|error| State::Unknown(format!("{error:#}")));
        findings.push(Finding { resource, name, state });
    }
    findings
}

fn role_of(kind: &str) -> Option<Kind> {
    match kind {
        "StarterRole" => Some(Kind::Starter),
        "ReaderRole" => Some(Kind::Reader),
        "JobRole" => Some(Kind::Job),
        _ => None,
    }
}

fn name(kind: &str, logical_id: &str) -> String {
    match (role_of(kind), kind) {
        (Some(role), _) => desired::name(role),
        (None, "BucketNotifications") if logical_id.starts_with("EventBridge") => {
            "notifications to EventBridge".to_owned()
        }
        (None, "BucketNotifications") => "notifications to the queue".to_owned(),
        (None, "BucketAccess") => "statements in buckets' policies".to_owned(),
        (None, _) => format!("resource `{logical_id}`"),
    }
}

impl Asked<'_> {
    async fn look(&self, kind: &str) -> anyhow::Result<State> {
        match (role_of(kind), kind) {
            (Some(role), _) => self.role(role).await,
            (None, "BucketNotifications") => self.notifications().await,
            (None, "BucketAccess") => self.policies().await,
            (None, _) => bail!("this version knows no `{OURS}{kind}`"),
        }
    }

    async fn role(&self, kind: Kind) -> anyhow::Result<State> {
        let spec = Spec::read(kind, &self.properties, self.home)?;
        if spec.identity.account != self.account.id {
            bail!("the role is in account `{}`", spec.identity.account);
        }
        let mut role = spec.role(&self.owner, &self.keys(&spec).await?)?;
        let client = aws_sdk_iam::Client::new(&self.account.config);
        let observed = iam::observe(&client, &role.name).await.map_err(|it| anyhow!(chain(&it)))?;
        if let Some(observed) = &observed {
            take_external_ids(&mut role, observed);
        }
        Ok(compared(kind, &role, observed.as_ref()))
    }

    /// Finds the keys that a reader role may decrypt with, as the provisioner does, unless the properties give them.
    async fn keys(&self, spec: &Spec) -> anyhow::Result<BTreeSet<String>> {
        let Purpose::Read { buckets, manifests, keys: None, .. } = &spec.purpose else {
            return Ok(BTreeSet::new());
        };
        let Account { s3, id, config, .. } = self.account;
        let client = aws_sdk_kms::Client::new(config);
        let buckets = buckets.keys().chain(manifests).map(String::as_str);
        let found = kms::keys_of_buckets(s3, &client, buckets, id).await;
        found.map_err(|error| anyhow!(chain(&error)))
    }

    /// Returns the token that marks the resource's part in buckets.
    fn token(&self) -> String {
        lifecycle::token(&self.owner.stack_id, &self.owner.logical_id)
    }

    async fn notifications(&self) -> anyhow::Result<State> {
        let spec = bucket_notifications::Spec::read(&self.properties);
        let spec = spec.map_err(|problems| anyhow!("{}", problems.join("; ")))?;
        let Account { s3, id, .. } = self.account;
        let (mut differences, mut hindrances) = (Vec::new(), Vec::new());
        for (bucket, desired) in spec.all_desired(&self.token()) {
            let current = s3_notifications::look(s3, &bucket, id, Instant::now() + TO_LOOK).await;
            let current = found(&bucket, current)?;
            match bucket_notifications::merge(&current, &desired) {
                Ok(None) => {}
                Ok(Some(merged)) => {
                    let what = missing(&current, &merged, &desired);
                    differences.push(format!("bucket `{bucket}`: {what}"));
                }
                Err(conflict) => hindrances.push(format!("bucket `{bucket}`: {conflict}")),
            }
        }
        Ok(State::of(differences, hindrances))
    }

    async fn policies(&self) -> anyhow::Result<State> {
        let spec = bucket_access::Spec::read(&self.properties, self.home);
        let spec = spec.map_err(|problems| anyhow!("{}", problems.join("; ")))?;
        let Account { s3, id, .. } = self.account;
        let (mut differences, mut hindrances) = (Vec::new(), Vec::new());
        for (bucket, desired) in spec.all_desired(&self.token()) {
            let current = bucket_policies::look(s3, &bucket, id, Instant::now() + TO_LOOK).await;
            let current: Option<Policy> = found(&bucket, current)?;
            match bucket_access::merge(current.as_ref(), &desired) {
                Ok(None) => {}
                Ok(Some(_)) => differences.push(format!(
                    "bucket `{bucket}`: the policy doesn't have exactly the statements that the routes need"
                )),
                Err(conflict) => hindrances.push(format!("bucket `{bucket}`: {conflict}")),
            }
        }
        Ok(State::of(differences, hindrances))
    }
}

/// Returns the document of a bucket that could be looked at.
fn found<C>(bucket: &str, look: Look<C>) -> anyhow::Result<C> {
    match look {
        Look::Found(document) => Ok(document),
        Look::NotOurs(why) | Look::Refused(why) | Look::Failed(why) => {
            bail!("bucket `{bucket}`: {why}")
        }
    }
}

/// Compares a role with the desired one. Says that it is missing rather than how it would be made.
fn compared(kind: Kind, role: &Role, observed: Option<&Observed>) -> State {
    let others =
        "policies that others gave it went with it, and only those of this stack come back";
    match diff(role, observed) {
        Err(conflict) => State::Stuck(vec![conflict.to_string()]),
        Ok(_) if observed.is_none() => State::Drifted(match kind {
            Kind::Job => vec!["the role is missing".to_owned(), others.to_owned()],
            Kind::Starter | Kind::Reader => vec!["the role is missing".to_owned()],
        }),
        Ok(steps) => State::of(steps.iter().map(Step::to_string).collect(), Vec::new()),
    }
}

/// Takes the external IDs that the role requires for the right ones. A role that requires none keeps its difference.
fn take_external_ids(role: &mut Role, observed: &Observed) {
    let Trust::Roles { external_ids, .. } = &mut role.trust else { return };
    let live = admitted(observed);
    if !external_ids.is_empty() && !live.is_empty() {
        *external_ids = live.iter().map(|id| Secret::new(id.as_str())).collect();
    }
}

/// Describes what a bucket's notifications lack, or have too much, of ours.
fn missing(
    current: &Configuration,
    merged: &Configuration,
    desired: &bucket_notifications::Desired,
) -> String {
    if desired.destination == Destination::EventBridge && !current.event_bridge {
        return "it doesn't send its events to EventBridge".to_owned();
    }
    let ids = |of: &Configuration| -> BTreeSet<String> {
        let ours = of.rules().filter(|(_, rule)| rule.is_of(&desired.owner));
        ours.filter_map(|(_, rule)| rule.id.clone()).collect()
    };
    let (is, should_be) = (ids(current), ids(merged));
    match should_be.difference(&is).count() {
        0 => "Landfall's rules differ from what the routes need".to_owned(),
        count => format!("{count} of Landfall's {} rules are missing", should_be.len()),
    }
}

#[cfg(test)]
mod tests;
