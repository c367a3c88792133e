//! Finds out where to look and what should be there, and has it looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

use anyhow::{Context, anyhow, bail};
use landfall_aws::clock::now;
use landfall_core::batch::ClaimMode;
use landfall_core::bucket_notifications::{self, Filter};
use landfall_core::chain::drift::{self, Difference, Kind as Drift};
use landfall_core::chain::observed::{AnalyticsAccount, DataAccount, Observations, RouteFacts};
use landfall_core::problem::did_you_mean;
use landfall_core::roles::{DEFAULT_PATH, Kind, Observed};
use landfall_core::routes::{Access, Routes};
use landfall_core::secret::Secret;
use landfall_core::shell;
use landfall_inspection::cloudformation::{self, Deployed};
use landfall_inspection::{Clients, Place, Seen, analytics, data};
use serde_json::json;

use crate::accounts::target::{DeploymentTarget, EXTERNAL_ID_VARIABLE};
use crate::accounts::{self, Side, stack_name};
use crate::args::deploy::{StackArgs, TemplateName};
use crate::args::doctor::DoctorArgs;
use crate::args::roles::{Account, RolesArgs, RolesFormat};
use crate::desired::{self, Composed, Desired};
use crate::diff::compare::{ExternalIds, NOT_OWNED, admitted, align};
use crate::terminal::phrases::quoted;
use crate::terminal::progress::say;

/// What to look at, and what the routes say should be there.
pub struct Question<'a> {
    stacks: &'a StackArgs,
    only: Option<Account>,
    target: &'a DeploymentTarget,
    routes: Routes,
    facts: Vec<RouteFacts>,
    deploy: String,
}

impl<'a> Question<'a> {
    /// Chooses the routes that start jobs with the target's starter role, or the one that `args` name.
    pub fn new(
        args: &'a DoctorArgs,
        file: &OsStr,
        target: &'a DeploymentTarget,
    ) -> anyhow::Result<Self> {
        let routes = Routes::parse(&target.text).routes.context("the routes have errors")?;
        let is_its = |target_name: &String| {
            let of = routes.targets.get(target_name);
            of.is_some_and(|of| of.starter_role_arn == target.starter_role_arn)
        };
        let its = routes.routes.iter().filter(|route| is_its(&route.target));
        let facts = its.map(|route| RouteFacts {
            name: route.name.clone(),
            bucket: route.bucket.clone(),
            job: route.job.clone(),
            must_claim: route.claim == ClaimMode::Required,
            by_bucket_policy: route.access == Access::BucketPolicy,
            max_concurrent_runs: route.limits.max_concurrent_runs,
        });
        let mut facts: Vec<RouteFacts> = facts.collect();
        if let Some(name) = &args.route {
            let known: Vec<String> = facts.iter().map(|route| route.name.clone()).collect();
            facts.retain(|route| route.name == *name);
            if facts.is_empty() {
                let hint = did_you_mean(name, known.iter().map(String::as_str));
                let hint = hint.unwrap_or_else(|| format!("there are {}", quoted(&known)));
                bail!("there is no route `{name}` of this target; {hint}");
            }
        }
        let deploy = deploy_command(file, &args.stacks);
        Ok(Self { stacks: &args.stacks, only: args.only, target, routes, facts, deploy })
    }

    /// Looks at both accounts, as far as the credentials reach.
    pub async fn look(self) -> anyhow::Result<Observations> {
        let data = self.connect(Side::Data).await;
        let analytics = self.connect(Side::Analytics).await;
        let stack = stack_name(&self.stacks.name_prefix, TemplateName::Data);
        let of_stack = async |account: &Result<Connected, String>| match account {
            Ok(account) => Some(cloudformation::stack(&account.clients, &stack).await),
            Err(_) => None,
        };
        let (data_stack, analytics_stack) = tokio::join!(of_stack(&data), of_stack(&analytics));
        let known = Known {
            data_account: data.as_ref().ok().map(|account| account.place.account.clone()),
            data_stack: data_stack.as_ref().and_then(|stack| stack.as_ref().ok()),
            analytics_stack: analytics_stack.as_ref().and_then(|stack| stack.as_ref().ok()),
        };
        let mut external_id = None;
        let data = match (&data, &data_stack) {
            (Ok(account), Some(stack)) => {
                say(&format!("looking at the data account ({})", account.place.account));
                let inspected = self.data(account, stack, &known).await?;
                external_id = inspected.external_id;
                Ok(inspected.account)
            }
            (Err(why), _) => Err(why.clone()),
            (Ok(_), None) => Err("nobody looked".to_owned()),
        };
        let analytics = match (&analytics, &analytics_stack) {
            (Ok(account), Some(stack)) => {
                say(&format!("looking at the analytics account ({})", account.place.account));
                Ok(self.analytics(account, stack, &known, external_id.as_ref()).await)
            }
            (Err(why), _) => Err(why.clone()),
            (Ok(_), None) => Err("nobody looked".to_owned()),
        };
        Ok(self.observations(data, analytics))
    }

    fn observations(
        self,
        data: Result<DataAccount, String>,
        analytics: Result<AnalyticsAccount, String>,
    ) -> Observations {
        Observations { at: now(), deploy: self.deploy, routes: self.facts, data, analytics }
    }

    /// Connects to an account, or says why nobody looks at it.
    async fn connect(&self, side: Side) -> Result<Connected, String> {
        let DeploymentTarget { account, region, .. } = self.target;
        let connected = match (side, self.only) {
            (Side::Data, Some(Account::Analytics)) => Err(anyhow!("--only analytics was given")),
            (Side::Analytics, Some(Account::Data)) => Err(anyhow!("--only data was given")),
            (Side::Data, _) => accounts::Account::data(self.stacks, account, region).await,
            (Side::Analytics, _) => {
                accounts::Account::analytics(self.stacks, account, region).await
            }
        };
        let connected = connected.map_err(|error| format!("{error:#}"))?;
        let place = Place {
            partition: self.target.partition.clone(),
            account: connected.id,
            region: connected.region,
        };
        Ok(Connected { clients: Clients::new(&connected.config), place })
    }

    async fn data(
        &self,
        account: &Connected,
        stack: &Seen<Deployed>,
        known: &Known<'_>,
    ) -> anyhow::Result<data::Inspected> {
        let Connected { clients, place } = account;
        let composed = self.compose(Account::Data, known);
        let path = known.parameter(Side::Data, "ProvisionedRolePath").unwrap_or(DEFAULT_PATH);
        let reader = format!(
            "arn:{}:iam::{}:role{path}{}-reader-{}",
            place.partition, place.account, self.stacks.name_prefix, self.target.account
        );
        let expected = data::Expected {
            place: place.clone(),
            name_prefix: self.stacks.name_prefix.clone(),
            buckets: self.buckets(place)?,
            reader,
            keys: known.parameter(Side::Data, "KmsKeyArns").map(|keys| listed(keys).collect()),
        };
        let is_deployed = async || {
            let deployed = cloudformation::routes(clients, &self.stacks.name_prefix).await?;
            Ok(desired::included(&deployed) == desired::included(&self.target.text))
        };
        let compare = |observed: &Observed, keys: &BTreeSet<String>| {
            // The keys are known only now.
            let composed = if keys.is_empty() {
                composed
            } else {
                self.compose_with(Account::Data, known, keys)
            };
            differences(&composed?, Kind::Reader, observed, None)
        };
        Ok(data::inspect(clients, &expected, stack, is_deployed, compare).await)
    }

    async fn analytics(
        &self,
        account: &Connected,
        stack: &Seen<Deployed>,
        known: &Known<'_>,
        external_id: Option<&Secret>,
    ) -> AnalyticsAccount {
        let Connected { clients, place } = account;
        let composed = self.compose(Account::Analytics, known);
        let path = known.parameter(Side::Analytics, "ProvisionedRolePath").unwrap_or(DEFAULT_PATH);
        let Place { partition, account, .. } = place;
        let prefix = &self.stacks.name_prefix;
        let expected = analytics::Expected {
            place: place.clone(),
            name_prefix: prefix.clone(),
            jobs: self.facts.iter().map(|route| route.job.clone()).collect(),
            starter: self.target.starter_role_arn.clone(),
            job_role: format!("arn:{partition}:iam::{account}:role{path}{prefix}-job"),
        };
        let compare = |kind, observed: &Observed| match &composed {
            Ok(composed) => differences(composed, kind, observed, external_id),
            Err(why) => Err(why.clone()),
        };
        analytics::inspect(clients, &expected, stack, compare).await
    }

    /// Returns the buckets of the chosen routes, each with the filters of all routes that take objects from it.
    fn buckets(&self, place: &Place) -> anyhow::Result<BTreeMap<String, Vec<Filter>>> {
        let Place { partition, account, region } = place;
        let queue =
            format!("arn:{partition}:sqs:{region}:{account}:{}-arrivals", self.stacks.name_prefix);
        let file = desired::included(&self.target.text);
        let properties = json!({ "Version": "1", "Routes": file, "QueueArn": queue });
        let spec = bucket_notifications::Spec::read(&properties);
        let spec = spec.map_err(|problems| anyhow!("{}", problems.join("; ")))?;
        let is_chosen = |name: &String| self.facts.iter().any(|route| route.bucket == *name);
        let buckets = spec.buckets.into_iter().filter(|(name, _)| is_chosen(name));
        Ok(buckets.map(|(name, filters)| (name, filters.filters)).collect())
    }

    /// Composes the roles of an account as its stack asks for them, or says why that isn't possible.
    fn compose(&self, account: Account, known: &Known<'_>) -> Result<Composed, String> {
        let keys = known.parameter(Side::Data, "KmsKeyArns").map(|keys| listed(keys).collect());
        self.compose_with(account, known, &keys.unwrap_or_default())
    }

    fn compose_with(
        &self,
        account: Account,
        known: &Known<'_>,
        keys: &BTreeSet<String>,
    ) -> Result<Composed, String> {
        let side = match account {
            Account::Data => Side::Data,
            Account::Analytics => Side::Analytics,
        };
        let parameter = |name| known.parameter(side, name);
        let text = |name, default: &str| parameter(name).unwrap_or(default).to_owned();
        let list = |name| parameter(name).map(listed).into_iter().flatten().collect();
        let data_account = known.data_account.clone();
        let data_account = data_account.or_else(|| parameter("DataAccountId").map(str::to_owned));
        let region = self.stacks.region.clone().unwrap_or_else(|| self.target.region.clone());
        let data_region = self.stacks.data_region.clone();
        let args = RolesArgs {
            routes: "routes".into(),
            data_account: data_account.ok_or("the data account's ID is not known")?,
            target: self.stacks.target.clone(),
            name_prefix: None,
            data_name_prefix: Some(text("DataNamePrefix", &self.stacks.name_prefix)),
            analytics_name_prefix: Some(text("AnalyticsNamePrefix", &self.stacks.name_prefix)),
            provisioner_name_prefix: text("ProvisionerNamePrefix", "landfall"),
            role_path: text("RolePath", "/"),
            provisioned_role_path: text("ProvisionedRolePath", DEFAULT_PATH),
            permissions_boundary: list("PermissionsBoundaryArn"),
            data_region: data_region.or_else(|| parameter("DataRegion").map(str::to_owned)),
            region: Some(region),
            kms_key_arn: keys.iter().cloned().collect(),
            other_job_role_arn: list("OtherJobRoleArns"),
            bucket_policy_job_role_arn: list("BucketPolicyJobRoleArns"),
            admits_former_batches: parameter("AdmitsFormerBatches") == Some("true"),
            format: RolesFormat::Text,
        };
        desired::compose_from(&self.target.text, &self.routes, &args, Some(account))
            .map_err(|error| format!("{error:#}"))
    }
}

/// An account that the credentials reach.
struct Connected {
    clients: Clients,
    place: Place,
}

/// What is known about the stacks before anybody looks at what they made.
struct Known<'a> {
    data_account: Option<String>,
    data_stack: Option<&'a Deployed>,
    analytics_stack: Option<&'a Deployed>,
}

impl Known<'_> {
    fn parameter(&self, side: Side, name: &str) -> Option<&str> {
        let stack = match side {
            Side::Data => self.data_stack,
            Side::Analytics => self.analytics_stack,
        };
        stack?.parameter(name)
    }
}

fn listed(list: &str) -> impl Iterator<Item = String> {
    list.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned)
}

/// Compares the role of this kind with the one that was composed.
fn differences(
    composed: &Composed,
    kind: Kind,
    observed: &Observed,
    presented: Option<&Secret>,
) -> Result<Vec<Difference>, String> {
    let Some(desired) = composed.roles.iter().find(|desired| desired.kind == kind) else {
        return Err(composed.errors.join("; "));
    };
    let aligned = align(desired, observed, &external_ids(desired, observed, presented));
    let mut differences = drift::differences(&aligned.role, &aligned.observed);
    if !aligned.is_owned {
        differences.push(Difference { kind: Drift::NotOurs, text: NOT_OWNED.to_owned() });
    }
    Ok(differences)
}

/// Returns what is known about the external ID. The one that the trigger presents counts most. While an ID is changed,
/// the role admits a second one, which the stack doesn't tell.
fn external_ids(desired: &Desired, observed: &Observed, presented: Option<&Secret>) -> ExternalIds {
    let variable = |name: &str| match presented {
        Some(id) if name == EXTERNAL_ID_VARIABLE => Some(id.expose().to_owned()),
        _ => std::env::var(name).ok(),
    };
    match ExternalIds::of(desired, variable) {
        ExternalIds::Known(id, source) if admitted(observed).contains(id.expose()) => {
            ExternalIds::Unknown(format!("the one of {source} is admitted"))
        }
        other => other,
    }
}

/// Returns the command that deploys the routes.
fn deploy_command(file: &OsStr, stacks: &StackArgs) -> String {
    let mut command = format!("landfall deploy {}", shell::word(&file.to_string_lossy()));
    let options = [
        ("--data-profile", &stacks.data_profile),
        ("--analytics-profile", &stacks.analytics_profile),
        ("--target", &stacks.target),
        ("--region", &stacks.region),
        ("--data-region", &stacks.data_region),
    ];
    for (option, value) in options {
        if let Some(value) = value {
            command.push_str(&format!(" {option} {}", shell::word(value)));
        }
    }
    if stacks.name_prefix != "landfall" {
        command.push_str(&format!(" --name-prefix {}", stacks.name_prefix));
    }
    command
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn the_command_that_deploys_has_the_options_that_were_given() {
        let mut stacks = StackArgs {
            data_profile: Some("acme data".to_owned()),
            analytics_profile: None,
            target: None,
            region: Some("eu-west-1".to_owned()),
            data_region: None,
            name_prefix: "landfall".to_owned(),
        };
        let command = |stacks: &StackArgs| deploy_command(OsStr::new("infra/routes.yaml"), stacks);
        assert_eq!(
            command(&stacks),
            "landfall deploy infra/routes.yaml --data-profile 'acme data' --region eu-west-1"
        );
        stacks.name_prefix = "billing".to_owned();
        assert!(command(&stacks).ends_with(" --name-prefix billing"));
    }
}
