//! Finds out where to look and what should be there, and has it looked at.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use anyhow::{Context, anyhow, bail};
use landfall_aws::clock::now;
use landfall_core::bucket_notifications::{self, Filter};
use landfall_core::chain::observed::{
    AnalyticsAccount, DataAccount, Forwarding, Observations, RouteFacts,
};
use landfall_core::chain::permissions::needed;
use landfall_core::chain::{self, could_not_look};
use landfall_core::problem::did_you_mean;
use landfall_core::roles::{DEFAULT_PATH, Kind};
use landfall_core::routes::Routes;
use landfall_core::secret::Secret;
use landfall_core::shell;
use landfall_inspection::cloudformation::{self, Deployed};
use landfall_inspection::requested::Requested;
use landfall_inspection::{
    Clients, Place, Seen, Unseen, analytics, data, forwarding, network, organization,
};

use crate::accounts::target::DeploymentTarget;
use crate::accounts::{self, Side, stack_name};
use crate::args::deploy::{StackArgs, TemplateName};
use crate::args::doctor::DoctorArgs;
use crate::args::roles::WhichAccount;
use crate::terminal::phrases::quoted;
use crate::terminal::progress::say;
use crate::{desired, version};

/// The auditor's parameter that says whether IAM's events are forwarded to it.
const FORWARDS_IAM_EVENTS: &str = "ForwardsIamEvents";

/// What to look at, and what the routes say should be there.
pub struct Question<'a> {
    stacks: &'a StackArgs,
    only: Option<WhichAccount>,
    target: &'a DeploymentTarget,
    routes: Routes,
    facts: Vec<RouteFacts>,
    deploy: String,
}

impl<'a> Question<'a> {
    /// Chooses the routes that start jobs with the target's starter role and those that start none, or the one that `args`
    /// name.
    pub fn new(
        args: &'a DoctorArgs,
        file: &OsStr,
        target: &'a DeploymentTarget,
    ) -> anyhow::Result<Self> {
        let routes = Routes::parse(&target.text).routes.context("the routes have errors")?;
        let without_job = routes.routes.iter().filter(|route| route.job.is_none());
        let its = routes.started_by(&target.starter_role_arn).chain(without_job);
        let mut facts: Vec<RouteFacts> = its.map(RouteFacts::from).collect();
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

    /// Chooses the routes that take one object.
    pub fn of_object(
        stacks: &'a StackArgs,
        file: &OsStr,
        target: &'a DeploymentTarget,
        routes: Routes,
        facts: Vec<RouteFacts>,
    ) -> Self {
        let deploy = deploy_command(file, stacks);
        Self { stacks, only: Some(WhichAccount::Data), target, routes, facts, deploy }
    }

    /// Looks at the data account alone.
    pub async fn look_at_data(self, account: &Connected, stack: &Seen<Deployed>) -> Observations {
        let data = self.data(account, stack).await.account;
        let mut observations = self.observations(Ok(data), Err("nobody looked".to_owned()));
        account.ask_simulation(&mut observations, chain::Side::Data).await;
        observations
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
        for deployed in [&data_stack, &analytics_stack].into_iter().flatten().flatten() {
            if let Some(warning) = version::warning(&deployed.name, deployed.version.as_deref()) {
                say(&warning);
            }
        }
        let mut external_id = None;
        let seen = match (&data, &data_stack) {
            (Ok(account), Some(stack)) => {
                say(&format!("looking at the data account ({})", account.place.account));
                let inspected = self.data(account, stack).await;
                external_id = inspected.external_id;
                Ok(inspected.account)
            }
            (Err(why), _) => Err(why.clone()),
            (Ok(_), None) => Err("nobody looked".to_owned()),
        };
        let seen_analytics = match (&analytics, &analytics_stack) {
            (Ok(account), Some(stack)) => {
                say(&format!("looking at the analytics account ({})", account.place.account));
                Ok(self.analytics(account, stack, external_id.as_ref()).await)
            }
            (Err(why), _) => Err(why.clone()),
            (Ok(_), None) => Err("nobody looked".to_owned()),
        };
        let mut observations = self.observations(seen, seen_analytics);
        for (account, side) in [(&data, chain::Side::Data), (&analytics, chain::Side::Analytics)] {
            if let Ok(account) = account {
                account.ask_simulation(&mut observations, side).await;
            }
        }
        Ok(observations)
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
            (Side::Data, Some(WhichAccount::Analytics)) => {
                Err(anyhow!("--only analytics was given"))
            }
            (Side::Analytics, Some(WhichAccount::Data)) => Err(anyhow!("--only data was given")),
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
        let (clients, caller) = (Clients::new(&connected.config), connected.caller);
        Ok(Connected { clients, place, caller })
    }

    async fn data(&self, account: &Connected, stack: &Seen<Deployed>) -> data::Inspected {
        let Connected { clients, place, .. } = account;
        let requested = cloudformation::requested(clients, stack).await;
        let prefix = &self.stacks.name_prefix;
        let reader = format!("{prefix}-reader-{}", self.target.account);
        let expected = data::Expected {
            place: place.clone(),
            name_prefix: prefix.clone(),
            stack: prefix.clone(),
            buckets: self.buckets(),
            reader: role_arn(place, stack, &requested, Kind::Reader, &reader),
        };
        let is_deployed = async || {
            let deployed = cloudformation::routes(clients, prefix).await?;
            Ok(desired::included(&deployed) == desired::included(&self.target.text))
        };
        let looked = data::inspect(clients, &expected, stack, &requested, is_deployed);
        let (mut inspected, iam_events) = tokio::join!(looked, iam_events(account, prefix));
        inspected.account.iam_events = iam_events;
        inspected
    }

    async fn analytics(
        &self,
        account: &Connected,
        stack: &Seen<Deployed>,
        external_id: Option<&Secret>,
    ) -> AnalyticsAccount {
        let Connected { clients, place, .. } = account;
        let requested = cloudformation::requested(clients, stack).await;
        let prefix = &self.stacks.name_prefix;
        let expected = analytics::Expected {
            place: place.clone(),
            name_prefix: prefix.clone(),
            stack: prefix.clone(),
            jobs: self.facts.iter().filter_map(|route| route.job.clone()).collect(),
            starter: self.target.starter_role_arn.clone(),
            job_role: role_arn(place, stack, &requested, Kind::Job, &format!("{prefix}-job")),
            has_scripts_and_runs: true,
        };
        let looked = analytics::inspect(clients, &expected, stack, &requested, external_id);
        let (mut inspected, iam_events) = tokio::join!(looked, iam_events(account, prefix));
        inspected.iam_events = iam_events;
        network(clients, &mut inspected.jobs).await;
        inspected
    }

    /// Returns the buckets of the chosen routes, each with the filters of all routes that take objects from it.
    fn buckets(&self) -> BTreeMap<String, Vec<Filter>> {
        let is_chosen = |name: &String| self.facts.iter().any(|route| route.bucket == *name);
        let buckets = bucket_notifications::buckets(&self.routes).into_iter();
        let chosen = buckets.filter(|(name, _)| is_chosen(name));
        chosen.map(|(name, filters)| (name, filters.filters)).collect()
    }
}

/// Looks at what forwards IAM's events to the account's auditor. Nothing has to if there is no auditor, or if its stack was
/// deployed without.
async fn iam_events(account: &Connected, prefix: &str) -> Option<Forwarding> {
    let Connected { clients, place, .. } = account;
    let auditor = stack_name(prefix, TemplateName::Auditor);
    match cloudformation::parameter(clients, &auditor, FORWARDS_IAM_EVENTS).await {
        Err(Unseen::Missing) => None,
        Ok(Some(value)) if value == "false" => None,
        // If the auditor can't be seen, there may be one.
        Ok(_) | Err(_) => forwarding(clients, place, prefix).await,
    }
}

/// Returns the ARN of the role that the stack asks for, or of the one with this name if that isn't known.
fn role_arn(
    place: &Place,
    stack: &Seen<Deployed>,
    requested: &Seen<Requested>,
    kind: Kind,
    name: &str,
) -> String {
    let Place { partition, account, .. } = place;
    let path = stack.as_ref().ok().and_then(|stack| stack.parameter("ProvisionedRolePath"));
    let path = path.unwrap_or(DEFAULT_PATH);
    let asked_for = requested.as_ref().ok().and_then(|requested| requested.role_arn(kind));
    asked_for.unwrap_or_else(|| format!("arn:{partition}:iam::{account}:role{path}{name}"))
}

/// An account that the credentials reach.
pub struct Connected {
    pub clients: Clients,
    pub place: Place,
    /// The ARN of whoever the credentials belong to.
    pub caller: String,
}

impl Connected {
    /// If a look at this account was denied, asks IAM's policy simulation whether the organization denied it. Whoever may not ask
    /// knows no more than before.
    async fn ask_simulation(&self, observations: &mut Observations, side: chain::Side) {
        if !could_not_look(observations, side) {
            return;
        }
        let Self { clients, caller, .. } = self;
        let Ok(kept) = organization::kept(clients, caller, &needed(side)).await else { return };
        match (side, &mut observations.data, &mut observations.analytics) {
            (chain::Side::Data, Ok(data), _) => data.kept_by_organization = kept,
            (chain::Side::Analytics, _, Ok(analytics)) => analytics.kept_by_organization = kept,
            (_, _, _) => {}
        }
    }
}

/// Returns the command that deploys the routes.
fn deploy_command(file: &OsStr, stacks: &StackArgs) -> String {
    let mut command = format!("landfall deploy {}", shell::word(&file.to_string_lossy()));
    let options = [
        ("--profile", &stacks.profile),
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
            profile: None,
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
