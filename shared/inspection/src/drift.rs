//! Compares what a deployed stack asks the provisioner for with what is there. Reads only.
//!
//! The core decides what differs, as it does for the provisioner. External IDs are the exception: CloudFormation
//! doesn't show them, so a role that requires any one counts as one that requires the right one.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use landfall_aws::sdk_error::chain;
use landfall_core::bucket_access::{self, Policy};
use landfall_core::bucket_notifications::{self, Configuration, Destination};
use landfall_core::bucket_plan::Look;
use landfall_core::chain::drift::{Difference, differences};
use landfall_core::lifecycle;
use landfall_core::roles::{Kind, Observed, Owner, Purpose, Role, RoleSpec, Step, Trust, diff};
use landfall_core::secret::Secret;
use landfall_provisioning::{bucket_notifications as s3_notifications, bucket_policies, iam, kms};
use serde_json::Value;
use tokio::time::Instant;

use crate::Clients;
use crate::requested::{Requested, Resource};

/// How long to try to look at one bucket.
const TO_LOOK: Duration = Duration::from_secs(20);

const OURS: &str = "Custom::Landfall";

/// A resource that the provisioner makes, compared with what the stack asks for.
#[derive(Debug)]
pub struct Compared {
    /// The resource.
    pub resource: Resource,
    /// What the resource is called in messages, such as ``reader role `landfall-reader` ``.
    pub name: String,
    /// The name of the role, if it is one.
    pub role: Option<String>,
    /// How it compares.
    pub state: State,
}

/// How a resource compares with what the stack asks for.
#[derive(Debug)]
pub enum State {
    /// It doesn't differ.
    AsDesired,
    /// It differs, and a repair removes the differences.
    Drifted {
        /// The differences, a sentence each.
        differences: Vec<String>,
        /// `true` if everything that differs is gone: a role that isn't there, or a bucket that has nothing of ours.
        /// A repair then only adds what the stack asks for.
        is_gone: bool,
        /// The buckets that differ.
        buckets: Vec<String>,
    },
    /// The reasons why the provisioner could not remove differences.
    Stuck(Vec<String>),
    /// The reason why it could not be looked at.
    Unknown(String),
}

impl State {
    fn of_buckets(differences: Vec<OfBucket>, hindrances: Vec<String>) -> Self {
        match (differences.is_empty(), hindrances.is_empty()) {
            (true, true) => Self::AsDesired,
            (_, false) => Self::Stuck(hindrances),
            (false, true) => Self::Drifted {
                is_gone: differences.iter().all(|it| it.is_gone),
                buckets: differences.iter().map(|it| it.bucket.clone()).collect(),
                differences: differences.iter().map(OfBucket::to_string).collect(),
            },
        }
    }
}

/// How one bucket differs.
struct OfBucket {
    bucket: String,
    text: String,
    /// `true` if the bucket has nothing of ours.
    is_gone: bool,
}

impl fmt::Display for OfBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bucket `{}`: {}", self.bucket, self.text)
    }
}

/// A resource with what the stack asks for.
struct Asked<'a> {
    clients: &'a Clients,
    requested: &'a Requested,
    owner: Owner,
    properties: Value,
}

/// Compares everything that the stack has the provisioner make.
pub async fn compare(clients: &Clients, requested: &Requested) -> Vec<Compared> {
    let mut all = Vec::new();
    for resource in requested.resources() {
        if !resource.kind.starts_with(OURS) {
            continue;
        }
        let (mut name, mut role_name) = (name(&resource), None);
        let state = match Asked::new(clients, requested, &resource) {
            Err(error) => Err(error),
            Ok(asked) => {
                if let Some(role) = asked.properties["RoleName"].as_str() {
                    name = format!("{name} `{role}`");
                    role_name = Some(role.to_owned());
                }
                asked.compare(&resource.kind).await
            }
        };
        let state = state.unwrap_or_else(|error| State::Unknown(format!("{error:#}")));
        all.push(Compared { resource, name, role: role_name, state });
    }
    all
}

/// Returns how a role differs from the one that the stack asks for. `presented` is the external ID that callers
/// present to the role, if that is known.
///
/// # Errors
/// Says in words why that isn't known.
pub(crate) async fn of_role(
    clients: &Clients,
    requested: &Requested,
    kind: Kind,
    presented: Option<&Secret>,
    observed: &Observed,
) -> Result<Vec<Difference>, String> {
    let compared = async {
        let all = requested.resources();
        let is_it = |it: &&Resource| Kind::of_resource(&it.kind) == Some(kind);
        let resource = all.iter().find(is_it).context("the stack asks for no such role")?;
        let mut role = Asked::new(clients, requested, resource)?.desired_role(kind).await?;
        let is_admitted = |id: &Secret| observed.external_ids().contains(id.expose());
        if presented.is_none_or(is_admitted) {
            take_external_ids(&mut role, observed);
        }
        anyhow::Ok(differences(&role, observed))
    };
    compared.await.map_err(|error| format!("{error:#}"))
}

fn name(resource: &Resource) -> String {
    let is_event_bridge = resource.logical_id.starts_with("EventBridge");
    match (Kind::of_resource(&resource.kind), resource.kind.trim_start_matches(OURS)) {
        (Some(role), _) => format!("{} role", role.name()),
        (None, "BucketNotifications") if is_event_bridge => {
            "notifications to EventBridge".to_owned()
        }
        (None, "BucketNotifications") => "notifications to the queue".to_owned(),
        (None, "BucketAccess") => "statements in buckets' policies".to_owned(),
        (None, _) => format!("resource `{}`", resource.logical_id),
    }
}

impl<'a> Asked<'a> {
    fn new(
        clients: &'a Clients,
        requested: &'a Requested,
        resource: &Resource,
    ) -> anyhow::Result<Self> {
        let properties = requested.properties(&resource.logical_id)?;
        let owner = Owner {
            stack_id: requested.id.clone(),
            logical_id: resource.logical_id.clone(),
            physical_id: resource.physical_id.clone(),
        };
        Ok(Self { clients, requested, owner, properties })
    }

    async fn compare(&self, kind: &str) -> anyhow::Result<State> {
        match (Kind::of_resource(kind), kind.trim_start_matches(OURS)) {
            (Some(role), _) => self.role(role).await,
            (None, "BucketNotifications") => self.notifications().await,
            (None, "BucketAccess") => self.policies().await,
            (None, _) => bail!("this version knows no `{kind}`"),
        }
    }

    async fn role(&self, kind: Kind) -> anyhow::Result<State> {
        let mut role = self.desired_role(kind).await?;
        let observed = iam::observe(&self.clients.iam, &role.name).await;
        let observed = observed.map_err(|error| anyhow!(chain(&error)))?;
        if let Some(observed) = &observed {
            take_external_ids(&mut role, observed);
        }
        Ok(compared(kind, &role, observed.as_ref()))
    }

    async fn desired_role(&self, kind: Kind) -> anyhow::Result<Role> {
        let home = &self.requested.home;
        let spec = RoleSpec::read(kind, &self.properties, home)?;
        if spec.identity.account != home.account {
            bail!("the role is in account `{}`", spec.identity.account);
        }
        Ok(spec.role(&self.owner, &self.keys(&spec).await?)?)
    }

    /// Finds the keys that a reader role may decrypt with, as the provisioner does, unless the properties give them.
    async fn keys(&self, spec: &RoleSpec) -> anyhow::Result<BTreeSet<String>> {
        let Purpose::Read { buckets, manifests, keys: None, .. } = &spec.purpose else {
            return Ok(BTreeSet::new());
        };
        let Clients { s3, kms, .. } = self.clients;
        let buckets = buckets.keys().chain(manifests).map(String::as_str);
        let found = kms::keys_of_buckets(s3, kms, buckets, &self.requested.home.account).await;
        found.map_err(|error| anyhow!(chain(&error)))
    }

    /// Returns the token that marks the resource's part in buckets.
    fn token(&self) -> String {
        lifecycle::token(&self.owner.stack_id, &self.owner.logical_id)
    }

    async fn notifications(&self) -> anyhow::Result<State> {
        let spec = bucket_notifications::Spec::read(&self.properties);
        let spec = spec.map_err(|problems| anyhow!("{}", problems.join("; ")))?;
        let (s3, id) = (&self.clients.s3, &self.requested.home.account);
        let (mut differences, mut hindrances) = (Vec::new(), Vec::new());
        for (bucket, desired) in spec.all_desired(&self.token()) {
            let current = s3_notifications::look(s3, &bucket, id, Instant::now() + TO_LOOK).await;
            let current = found(&bucket, current)?;
            match bucket_notifications::merge(&current, &desired) {
                Ok(None) => {}
                Ok(Some(merged)) => {
                    let text = missing(&current, &merged, &desired);
                    let is_gone = bucket_notifications::is_gone(&current, &desired);
                    differences.push(OfBucket { bucket, text, is_gone });
                }
                Err(conflict) => hindrances.push(format!("bucket `{bucket}`: {conflict}")),
            }
        }
        Ok(State::of_buckets(differences, hindrances))
    }

    async fn policies(&self) -> anyhow::Result<State> {
        let spec = bucket_access::Spec::read(&self.properties, &self.requested.home);
        let spec = spec.map_err(|problems| anyhow!("{}", problems.join("; ")))?;
        let (s3, id) = (&self.clients.s3, &self.requested.home.account);
        let (mut differences, mut hindrances) = (Vec::new(), Vec::new());
        for (bucket, desired) in spec.all_desired(&self.token()) {
            let current = bucket_policies::look(s3, &bucket, id, Instant::now() + TO_LOOK).await;
            let current: Option<Policy> = found(&bucket, current)?;
            match bucket_access::merge(current.as_ref(), &desired) {
                Ok(None) => {}
                Ok(Some(_)) => {
                    let text =
                        "the policy doesn't have exactly the statements that the routes need";
                    let is_gone = bucket_access::is_gone(current.as_ref(), &desired.owner);
                    differences.push(OfBucket { bucket, text: text.to_owned(), is_gone });
                }
                Err(conflict) => hindrances.push(format!("bucket `{bucket}`: {conflict}")),
            }
        }
        Ok(State::of_buckets(differences, hindrances))
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
        Ok(_) if observed.is_none() => State::Drifted {
            differences: match kind {
                Kind::Job => vec!["the role is missing".to_owned(), others.to_owned()],
                Kind::Starter | Kind::Reader => vec!["the role is missing".to_owned()],
            },
            is_gone: true,
            buckets: Vec::new(),
        },
        Ok(steps) if steps.is_empty() => State::AsDesired,
        Ok(steps) => State::Drifted {
            differences: steps.iter().map(Step::to_string).collect(),
            is_gone: false,
            buckets: Vec::new(),
        },
    }
}

/// Takes the external IDs that the role requires for the right ones. A role that requires none keeps its difference.
fn take_external_ids(role: &mut Role, observed: &Observed) {
    let Trust::Roles { external_ids, .. } = &mut role.trust else { return };
    let live = observed.external_ids();
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
