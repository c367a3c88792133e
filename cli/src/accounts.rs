//! The two accounts: which the routes lead to, whose credentials reach each, and which stacks of Landfall are in it.

pub mod target;

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use aws_config::retry::RetryConfig;
use landfall_aws::config;
use landfall_aws::sdk_error::sdk_error_parts;

use crate::args::deploy::{Order, PlaceArgs, TemplateName};
use crate::aws;
use crate::cloudformation::stack::{Observed, Stacks, Standing};
use crate::terminal::printable;

/// What a function of some megabytes may take to upload.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(900);
/// A change set of many changes takes CloudFormation its time to tell.
const CALL_TIMEOUT: Duration = Duration::from_secs(120);
/// Many look at stacks at once, and CloudFormation throttles early.
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

/// The name of a stack.
pub fn stack_name(prefix: &str, template: TemplateName) -> String {
    match template {
        TemplateName::Provisioner => format!("{prefix}-provisioner"),
        TemplateName::Analytics | TemplateName::Data => prefix.to_owned(),
    }
}

/// All stacks that there can be, in the order in which they are deployed.
pub fn stacks(prefix: &str, order: Order) -> Vec<(Side, TemplateName, String)> {
    let mut stacks = vec![
        (Side::Data, TemplateName::Provisioner),
        (Side::Analytics, TemplateName::Provisioner),
        (Side::Analytics, TemplateName::Analytics),
        (Side::Data, TemplateName::Data),
    ];
    if order == Order::DataFirst {
        stacks.swap(2, 3);
    }
    let named = |(side, template)| (side, template, stack_name(prefix, template));
    stacks.into_iter().map(named).collect()
}

/// The clients of an account, in one region.
pub struct Account {
    pub side: Side,
    pub id: String,
    pub region: String,
    pub stacks: Stacks,
    pub s3: aws_sdk_s3::Client,
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// Where buckets are, if not at AWS.
    pub endpoint: Option<String>,
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

    /// Both accounts, once it is clear that the credentials are theirs.
    pub async fn find(
        args: &PlaceArgs,
        target_account: &str,
        target_region: &str,
    ) -> anyhow::Result<Self> {
        let region = args.region.as_deref().unwrap_or(target_region);
        let data_region = args.data_region.as_deref().unwrap_or(region);
        let analytics =
            Account::load(Side::Analytics, args.analytics_profile.as_deref(), region).await?;
        ensure!(
            analytics.id == target_account,
            "the credentials for the analytics account ({}) are of account `{}`, the routes' target is \
             account `{target_account}`",
            whose(args.analytics_profile.as_deref()),
            analytics.id
        );
        let data = Account::load(Side::Data, args.data_profile.as_deref(), data_region).await?;
        ensure!(
            data.id != analytics.id,
            "the credentials for the data account ({}) are of account `{}` too, which is the analytics \
             account: name the data account's profile with --data-profile",
            whose(args.data_profile.as_deref()),
            data.id
        );
        Ok(Self { data, analytics })
    }

    /// # Errors
    /// The stack has the name, and is another: none of Landfall's, or that of another account.
    pub async fn check_owner(
        &self,
        side: Side,
        template: TemplateName,
        stack: &str,
        found: &Observed,
    ) -> anyhow::Result<()> {
        // What is nothing but a change set has no template yet.
        if found.standing() == Standing::Absent {
            return Ok(());
        }
        let (description, other) = match template {
            TemplateName::Provisioner => ("Landfall, in either account: the provisioner", None),
            TemplateName::Analytics => {
                ("Landfall, analytics account:", Some(("DataAccountId", &self.data.id)))
            }
            TemplateName::Data => {
                ("Landfall, data account:", Some(("AnalyticsAccountId", &self.analytics.id)))
            }
        };
        let is_ours = match found.description.as_str() {
            "" => self.of(side).stacks.template(stack).await?.contains(description),
            its => its.starts_with(description),
        };
        ensure!(
            is_ours,
            "stack `{stack}` is none of Landfall's {} stacks: choose another --name-prefix",
            template.name()
        );
        let Some((parameter, id)) = other else { return Ok(()) };
        if let Some(its) = found.parameters.get(parameter).filter(|its| *its != id) {
            bail!(
                "stack `{stack}` has the {parameter} `{its}`, and these credentials are of account \
                 `{id}`: choose another --name-prefix"
            );
        }
        Ok(())
    }
}

impl Account {
    async fn load(side: Side, profile: Option<&str>, region: &str) -> anyhow::Result<Self> {
        let of = || format!("failed to reach the {} ({})", side.name(), whose(profile));
        let config = aws::of_profile(profile, region).await.with_context(of)?;
        let timeouts = |limit| config::timeouts().operation_timeout(limit).build();
        let retries = RetryConfig::standard().with_max_attempts(ATTEMPTS);
        let config = config
            .to_builder()
            .timeout_config(timeouts(CALL_TIMEOUT))
            .retry_config(retries)
            .build();
        let identity = aws_sdk_sts::Client::new(&config).get_caller_identity().send().await;
        let identity = identity.map_err(|error| {
            let (code, message) = sdk_error_parts(&error);
            let message = printable(&message);
            anyhow::anyhow!("{}: failed to ask STS who it is: {code}: {message}", of())
        })?;
        let id = identity.account().context("STS names no account")?.to_owned();
        let endpoint = config.endpoint_url().map(|url| url.trim_end_matches('/').to_owned());
        let s3 = aws_sdk_s3::config::Builder::from(&config)
            // Elsewhere than at AWS a bucket has no host name of its own.
            .force_path_style(endpoint.is_some())
            .timeout_config(timeouts(UPLOAD_TIMEOUT))
            .build();
        Ok(Self {
            side,
            stacks: Stacks {
                client: aws_sdk_cloudformation::Client::new(&config),
                place: format!("account `{id}`, region `{region}`"),
            },
            id,
            region: region.to_owned(),
            s3: aws_sdk_s3::Client::from_conf(s3),
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            endpoint,
        })
    }
}

fn whose(profile: Option<&str>) -> String {
    match profile {
        Some(profile) => format!("profile `{}`", printable(profile)),
        None => "the environment's credentials".to_owned(),
    }
}
