//! The two accounts: which ones the routes lead to, which credentials reach them, and which stacks they hold.

pub mod target;

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{Region, SdkConfig};
use landfall_aws::config;
use landfall_stacks::stack::{Observed, Stacks, Standing};

use crate::args::deploy::{Order, StackArgs, TemplateName};
use crate::aws;
use crate::terminal::printable;

/// The time limit for an upload: a function has some megabytes.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(900);
/// The time limit for any other call: CloudFormation is slow to describe a change set with many changes.
const CALL_TIMEOUT: Duration = Duration::from_secs(120);
/// The attempts for each call: CloudFormation throttles early, and other clients may read stacks too.
const ATTEMPTS: u32 = 8;

/// One of the two accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Data,
    Analytics,
}

impl Side {
    pub const BOTH: [Self; 2] = [Self::Data, Self::Analytics];

    pub fn name(self) -> &'static str {
        match self {
            Self::Data => "data account",
            Self::Analytics => "analytics account",
        }
    }
}

/// Returns the name of a template's stack.
pub fn stack_name(prefix: &str, template: TemplateName) -> String {
    match template {
        TemplateName::Provisioner => format!("{prefix}-provisioner"),
        TemplateName::Auditor => format!("{prefix}-auditor"),
        TemplateName::Analytics | TemplateName::Data => prefix.to_owned(),
    }
}

/// Returns all possible stacks, in the order of their deployment.
pub fn stacks(prefix: &str, order: Order) -> Vec<(Side, TemplateName, String)> {
    let mut stacks = vec![
        (Side::Data, TemplateName::Provisioner),
        (Side::Analytics, TemplateName::Provisioner),
        (Side::Analytics, TemplateName::Analytics),
        (Side::Data, TemplateName::Data),
        // An auditor that came before the stack that it audits would find everything missing.
        (Side::Data, TemplateName::Auditor),
        (Side::Analytics, TemplateName::Auditor),
    ];
    if order == Order::DataFirst {
        stacks.swap(2, 3);
    }
    let named = |(side, template)| (side, template, stack_name(prefix, template));
    stacks.into_iter().map(named).collect()
}

/// The clients for an account, in one region.
pub struct Account {
    pub side: Side,
    pub id: String,
    /// The ARN of whoever the credentials belong to.
    pub caller: String,
    pub region: String,
    pub stacks: Stacks,
    pub s3: aws_sdk_s3::Client,
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// The endpoint of S3, if it is not AWS's.
    pub endpoint: Option<String>,
    /// What further clients are made with.
    pub config: SdkConfig,
}

/// The two accounts.
pub struct Accounts {
    pub data: Account,
    pub analytics: Account,
}

impl Accounts {
    pub fn of(&self, side: Side) -> &Account {
        match side {
            Side::Data => &self.data,
            Side::Analytics => &self.analytics,
        }
    }

    /// Connects to both accounts, and checks that the credentials belong to them.
    pub async fn find(
        args: &StackArgs,
        target_account: &str,
        target_region: &str,
    ) -> anyhow::Result<Self> {
        let analytics = Account::analytics(args, target_account, target_region).await?;
        let data = Account::data(args, target_account, target_region).await?;
        Ok(Self { data, analytics })
    }

    /// Checks that a stack with this name is Landfall's, and belongs to these two accounts.
    ///
    /// # Errors
    /// Fails if the name belongs to another stack.
    pub async fn check_owner(
        &self,
        side: Side,
        template: TemplateName,
        stack: &str,
        found: &Observed,
    ) -> anyhow::Result<()> {
        // A stack that consists of a change set only has no template yet.
        if found.standing() == Standing::Absent {
            return Ok(());
        }
        let (description, other) = match template {
            TemplateName::Provisioner => ("Landfall, in either account: the provisioner", None),
            TemplateName::Auditor => ("Landfall, in either account: the auditor", None),
            TemplateName::Analytics => {
                ("Landfall, analytics account:", Some(("DataAccountId", &self.data.id)))
            }
            TemplateName::Data => {
                ("Landfall, data account:", Some(("AnalyticsAccountId", &self.analytics.id)))
            }
        };
        check_description(&self.of(side).stacks, stack, found, description, template.name())
            .await?;
        let Some((parameter, id)) = other else { return Ok(()) };
        if let Some(its) = found.parameters.get(parameter).filter(|its| *its != id) {
            bail!(
                "stack `{stack}` has the {parameter} `{its}`, but these credentials belong to account \
                 `{id}`: choose another --name-prefix"
            );
        }
        Ok(())
    }
}

impl Account {
    /// Connects to the analytics account, and checks that the credentials belong to it.
    pub async fn analytics(
        args: &StackArgs,
        target_account: &str,
        target_region: &str,
    ) -> anyhow::Result<Self> {
        let region = args.region.as_deref().unwrap_or(target_region);
        let profile = args.analytics_profile();
        let analytics = Self::load(Side::Analytics, profile, region).await?;
        ensure!(
            analytics.id == target_account,
            "the credentials for the analytics account ({}) belong to account `{}`, but the routes' target \
             is account `{target_account}`",
            whose(profile),
            analytics.id
        );
        Ok(analytics)
    }

    /// Connects to the data account, and checks that the credentials don't belong to the analytics account.
    pub async fn data(
        args: &StackArgs,
        target_account: &str,
        target_region: &str,
    ) -> anyhow::Result<Self> {
        let region = args.data_region.as_deref().or(args.region.as_deref());
        let profile = args.data_profile();
        let data = Self::load(Side::Data, profile, region.unwrap_or(target_region)).await?;
        ensure!(
            data.id != target_account,
            "the credentials for the data account ({}) belong to account `{}`, which is the analytics \
             account: name the data account's profile with --data-profile",
            whose(profile),
            data.id
        );
        Ok(data)
    }

    async fn load(side: Side, profile: Option<&str>, region: &str) -> anyhow::Result<Self> {
        let of = || format!("failed to reach the {} ({})", side.name(), whose(profile));
        let config = aws::of_profile(profile, Some(region)).await.with_context(of)?;
        let retries = RetryConfig::standard().with_max_attempts(ATTEMPTS);
        let config = config
            .to_builder()
            .timeout_config(timeouts(CALL_TIMEOUT))
            .retry_config(retries)
            .build();
        let identity = aws::identity(&config).await.with_context(of)?;
        let id = identity.account().context("STS returned no account")?;
        let caller = identity.arn().context("STS returned no ARN")?;
        Ok(Self::of(side, (id, caller), region, config))
    }

    /// Returns this account in another region.
    pub fn in_region(&self, region: &str) -> Self {
        let config = self.config.to_builder().region(Region::new(region.to_owned())).build();
        Self::of(self.side, (&self.id, &self.caller), region, config)
    }

    fn of(side: Side, (id, caller): (&str, &str), region: &str, config: SdkConfig) -> Self {
        let s3 = landfall_aws::config::s3(&config).timeout_config(timeouts(UPLOAD_TIMEOUT)).build();
        Self {
            side,
            stacks: Stacks {
                client: aws_sdk_cloudformation::Client::new(&config),
                place: format!("account `{id}`, region `{region}`"),
            },
            id: id.to_owned(),
            caller: caller.to_owned(),
            region: region.to_owned(),
            s3: aws_sdk_s3::Client::from_conf(s3),
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            endpoint: config.endpoint_url().map(|url| url.trim_end_matches('/').to_owned()),
            config,
        }
    }
}

fn timeouts(limit: Duration) -> TimeoutConfig {
    config::timeouts().operation_timeout(limit).build()
}

/// Checks that a stack with this name has Landfall's description of its kind.
///
/// # Errors
/// Fails if the name belongs to another stack.
pub async fn check_description(
    stacks: &Stacks,
    stack: &str,
    found: &Observed,
    description: &str,
    kind: &str,
) -> anyhow::Result<()> {
    let is_ours = match found.description.as_str() {
        "" => stacks.template(stack).await?.contains(description),
        its => its.starts_with(description),
    };
    ensure!(
        is_ours,
        "stack `{stack}` is not Landfall's {kind} stack: choose another --name-prefix"
    );
    Ok(())
}

fn whose(profile: Option<&str>) -> String {
    match profile {
        Some(profile) => format!("profile `{}`", printable(profile)),
        None => "the environment's credentials".to_owned(),
    }
}
