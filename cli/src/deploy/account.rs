//! An account that is deployed into: whose credentials, and its clients.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use landfall_aws::config;
use landfall_aws::ledger::{Ledger, LedgerError, Left, Listing};
use landfall_aws::sdk_error::sdk_error_parts;
use landfall_core::batch::Batch;
use landfall_core::plan::printable;
use serde::Deserialize;

use super::package::Artifact;
use super::plan::Side;
use super::stack::{Observed, Stacks, Standing, TemplateAt};
use super::words::say;
use crate::args::deploy::{PlaceArgs, TemplateName};
use crate::aws;

/// What a function of some megabytes may take to upload.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(900);
/// A change set of many changes takes CloudFormation its time to tell.
const CALL_TIMEOUT: Duration = Duration::from_secs(120);
/// Many look at stacks at once, and CloudFormation throttles early.
const ATTEMPTS: u32 = 8;

pub struct Account {
    pub side: Side,
    pub id: String,
    pub region: String,
    pub stacks: Stacks,
    s3: aws_sdk_s3::Client,
    dynamodb: aws_sdk_dynamodb::Client,
    /// Where buckets are, if not at AWS.
    endpoint: Option<String>,
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

    /// Both accounts, once it is clear that they are those that are meant.
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
    pub async fn is_meant(
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
        let config = credentials(profile, region).await.with_context(of)?;
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

    /// The name of the bucket that its artifacts stack makes.
    pub fn default_artifacts(&self) -> String {
        format!("landfall-artifacts-{}-{}", self.id, self.region)
    }

    /// Whether the account has this bucket.
    pub async fn has_bucket(&self, bucket: &str) -> anyhow::Result<bool> {
        let head = self.s3.head_bucket().bucket(bucket).expected_bucket_owner(&self.id);
        match head.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.raw_response().is_some_and(|raw| raw.status().as_u16() == 404) => {
                Ok(false)
            }
            Err(error) => Err(self.failed(
                &format!("look at bucket `{bucket}` (is it another account's?)"),
                sdk_error_parts(&error),
            )),
        }
    }

    /// Uploads what is not there yet, and returns its key.
    pub async fn upload(
        &self,
        bucket: &str,
        prefix: &str,
        artifact: &Artifact,
    ) -> anyhow::Result<String> {
        let key = artifact.key(prefix);
        let head = self.s3.head_object().bucket(bucket).key(&key).expected_bucket_owner(&self.id);
        match head.send().await {
            Ok(_) => return Ok(key),
            Err(error) if error.raw_response().is_some_and(|raw| raw.status().as_u16() == 404) => {}
            Err(error) => {
                return Err(
                    self.failed(&format!("look at `s3://{bucket}/{key}`"), sdk_error_parts(&error))
                );
            }
        }
        say(&format!("  uploading {} to s3://{bucket}/{key}", artifact.name));
        let put = self.s3.put_object().bucket(bucket).key(&key).expected_bucket_owner(&self.id);
        let put = put.body(artifact.bytes.clone().into()).send().await;
        put.map_err(|error| {
            self.failed(&format!("upload `s3://{bucket}/{key}`"), sdk_error_parts(&error))
        })?;
        Ok(key)
    }

    /// Whether a ledger that a stack left here may have batches of the version before that are not done.
    /// Where it cannot be read, it may.
    pub async fn has_former_batches(&self, table: &str) -> bool {
        // Nothing is written.
        let ledger = Ledger::new(self.dynamodb.clone(), table.to_owned(), Duration::ZERO);
        match ledger.unfinished(Batch::is_former).await {
            Ok(Listing { batches, unreadable, left }) => {
                !batches.is_empty() || !unreadable.is_empty() || left != Left::None
            }
            Err(LedgerError::Call { code, .. }) if code == "ResourceNotFoundException" => false,
            Err(error) => {
                say(&format!(
                    "warning: {}; so it is taken to have batches of the version before",
                    printable(&error.to_string())
                ));
                true
            }
        }
    }

    /// As CloudFormation takes it.
    pub fn template_at(&self, bucket: &str, key: &str) -> TemplateAt {
        let suffix = if self.region.starts_with("cn-") { ".cn" } else { "" };
        TemplateAt::Url(match &self.endpoint {
            Some(endpoint) => format!("{endpoint}/{bucket}/{key}"),
            None => format!("https://{bucket}.s3.{}.amazonaws.com{suffix}/{key}", self.region),
        })
    }

    fn failed(&self, doing: &str, (code, message): (String, String)) -> anyhow::Error {
        anyhow::anyhow!(
            "failed to {doing} in {}: {code}: {}",
            self.stacks.place,
            printable(&message)
        )
    }
}

fn whose(profile: Option<&str>) -> String {
    match profile {
        Some(profile) => format!("profile `{}`", printable(profile)),
        None => "the environment's credentials".to_owned(),
    }
}

/// The configuration of a profile, or of the environment.
async fn credentials(profile: Option<&str>, region: &str) -> anyhow::Result<SdkConfig> {
    let region = Region::new(region.to_owned());
    let loader = config::loader().region(region.clone());
    let Some(profile) = profile else { return aws::load(loader).await };
    // Of the profile and nothing else: variables of the environment would come before it.
    let base = config::loader().region(region.clone()).no_credentials().load().await;
    let mut provider = ProviderConfig::default().with_region(Some(region));
    if let Some(client) = base.http_client() {
        provider = provider.with_http_client(client);
    }
    let provider = ProfileFileCredentialsProvider::builder().configure(&provider);
    let loader =
        loader.profile_name(profile).credentials_provider(provider.profile_name(profile).build());
    match aws::load(loader).await {
        Ok(config) => Ok(config),
        Err(error) => {
            let exported = exported(profile);
            let exported = exported.with_context(|| format!("{error:#}"))?;
            let loader = config::loader().region(base.region().cloned()).profile_name(profile);
            aws::load(loader.credentials_provider(exported)).await
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Exported {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

/// What the aws command line has for a profile that signs in by itself: with SSO, or by a process.
fn exported(profile: &str) -> anyhow::Result<Credentials> {
    let arguments =
        ["configure", "export-credentials", "--format", "process", "--profile", profile];
    let ran = Command::new("aws").args(arguments).output();
    let ran = ran.context("`aws configure export-credentials` could not be run")?;
    if !ran.status.success() {
        let said = String::from_utf8_lossy(&ran.stderr);
        bail!("`aws configure export-credentials` says: {}", printable(said.trim()));
    }
    // What cannot be read is not repeated: it holds a key.
    let Ok(exported) = serde_json::from_slice::<Exported>(&ran.stdout) else {
        bail!("`aws configure export-credentials` printed no credentials");
    };
    let Exported { access_key_id, secret_access_key, session_token } = exported;
    Ok(Credentials::new(access_key_id, secret_access_key, session_token, None, "aws-cli"))
}
