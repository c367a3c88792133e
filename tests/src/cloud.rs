//! The local cloud as a whole: started, deployed into, and looked at.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aws_credential_types::Credentials;
use aws_sdk_glue::types::{JobRun, JobRunState};
use aws_smithy_http_client::Builder;
use tokio::runtime::Runtime;

use crate::aws_cli::{ARTIFACT_PREFIX, AwsCli};
use crate::emulator::Emulator;
use crate::package::{Profile, package};
use crate::progress::step;
use crate::python::{self, Python};
use crate::stacks::Stacks;
use crate::{ANALYTICS, DATA, REGION};

pub const LANDING_BUCKET: &str = "acme-landing";
pub const OUTPUT_BUCKET: &str = "acme-analytics";
pub const DATA_ARTIFACTS: &str = "acme-data-artifacts";
pub const ANALYTICS_ARTIFACTS: &str = "acme-analytics-artifacts";
pub const JOB: &str = "csv-to-parquet";
pub const EXTERNAL_ID: &str = "local-cloud-7f3a";

/// What differs between the demo and the tests.
pub struct Setup {
    pub routes: PathBuf,
    /// The routes that the roles follow from, if they are not the trigger's yet.
    pub routes_of_policies: Option<String>,
    /// Parameters of the data account's stack beyond the necessary.
    pub data_parameters: Vec<(&'static str, &'static str)>,
    /// The same of the analytics account's.
    pub analytics_parameters: Vec<(&'static str, &'static str)>,
}

/// Both accounts, deployed. Dropping it tears everything down.
pub struct LocalCloud {
    pub data: Account,
    pub analytics: Account,
    pub emulator: Emulator,
    pub python: Python,
    runtime: Runtime,
}

/// One account, as its root.
pub struct Account {
    pub cli: AwsCli,
    pub s3: aws_sdk_s3::Client,
    pub sqs: aws_sdk_sqs::Client,
    pub glue: aws_sdk_glue::Client,
    pub iam: aws_sdk_iam::Client,
    pub stacks: Stacks,
}

impl LocalCloud {
    pub fn start(setup: &Setup) -> Result<LocalCloud> {
        let python = python::environment()?;
        let emulator = step("starting the local cloud", || Emulator::start(&python))?;
        let stage = emulator.folder().join("stage");
        step("building the functions", || package(&python, Profile::Debug, &setup.routes, &stage))?;
        if let Some(text) = &setup.routes_of_policies {
            fs::write(stage.join("routes.yaml"), text).context("failed to stage the routes")?;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("failed to start the asynchronous runtime")?;
        let cloud = LocalCloud {
            data: Account::new(DATA, &emulator, &python),
            analytics: Account::new(ANALYTICS, &emulator, &python),
            emulator,
            python,
            runtime,
        };
        step("deploying the provisioner in both accounts", || cloud.deploy_provisioners())?;
        step("deploying the data account", || cloud.deploy_data(setup))?;
        step("deploying the analytics account", || cloud.deploy_analytics(setup))?;
        Ok(cloud)
    }

    fn deploy_provisioners(&self) -> Result<()> {
        // The emulator takes the responses itself, instead of CloudFormation's buckets, and a role is
        // usable there at once. It tells of a resource only once it is made.
        let parameters = [
            ("AdmitLoopbackResponseUrl", "true"),
            ("PropagationSeconds", "0"),
            ("CheckRequests", "stack"),
        ];
        for (account, artifacts) in
            [(&self.data, DATA_ARTIFACTS), (&self.analytics, ANALYTICS_ARTIFACTS)]
        {
            account.cli.make_bucket(artifacts)?;
            account.cli.deploy(
                "landfall-provisioner",
                "provisioner.yaml",
                artifacts,
                &parameters,
            )?;
        }
        Ok(())
    }

    fn deploy_data(&self, setup: &Setup) -> Result<()> {
        let cli = &self.data.cli;
        cli.make_bucket(LANDING_BUCKET)?;
        let versioned = ["s3api", "put-bucket-versioning", "--bucket", LANDING_BUCKET];
        let status = ["--versioning-configuration", "Status=Enabled"];
        cli.run([&versioned[..], &status].concat())?;
        let mut parameters = vec![
            ("LandingBucketNames", LANDING_BUCKET),
            ("AnalyticsAccountId", ANALYTICS),
            ("ExternalId", EXTERNAL_ID),
        ];
        parameters.extend(&setup.data_parameters);
        cli.deploy("landfall", "data-account.yaml", DATA_ARTIFACTS, &parameters)
    }

    fn deploy_analytics(&self, setup: &Setup) -> Result<()> {
        let cli = &self.analytics.cli;
        let library = format!("s3://{ANALYTICS_ARTIFACTS}/{ARTIFACT_PREFIX}/landfall.py");
        cli.upload(Path::new("glue/landfall.py"), &library)?;
        let mut parameters = vec![
            ("OutputBucketName", OUTPUT_BUCKET),
            ("DataAccountId", DATA),
            ("ExternalId", EXTERNAL_ID),
            ("ArtifactBucketName", ANALYTICS_ARTIFACTS),
            // Tests side by side share the job; what a limit does is the matter of jobs of their own.
            ("MaxConcurrentRuns", "1000"),
        ];
        parameters.extend(&setup.analytics_parameters);
        cli.deploy("landfall", "analytics-account.yaml", ANALYTICS_ARTIFACTS, &parameters)
    }

    /// Runs a future to its end on the cloud's own runtime, to which its connections belong.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Puts an object into a bucket of the data account.
    pub async fn put(&self, bucket: &str, key: &str, body: impl Into<Vec<u8>>) -> Result<()> {
        let put = self.data.s3.put_object().bucket(bucket).key(key).body(body.into().into());
        put.send().await.with_context(|| format!("failed to put `s3://{bucket}/{key}`"))?;
        Ok(())
    }

    /// All runs of a job, in no order.
    pub async fn runs(&self, job: &str) -> Result<Vec<JobRun>> {
        let mut pages =
            self.analytics.glue.get_job_runs().job_name(job).into_paginator().items().send();
        let mut runs = Vec::new();
        while let Some(run) = pages.next().await {
            runs.push(run.with_context(|| format!("failed to list the runs of job `{job}`"))?);
        }
        Ok(runs)
    }

    /// What the run printed.
    pub fn printed_by(&self, run: &JobRun) -> Vec<String> {
        self.analytics.cli.log_lines("/aws-glue/python-jobs/output", run.id())
    }

    /// Where to look when something did not happen: what the functions logged, and the emulator.
    pub fn hints(&self) -> String {
        let logged = |function: &str| {
            let mut lines =
                self.data.cli.log_lines(&format!("/aws/lambda/landfall-{function}"), None);
            lines.drain(..lines.len().saturating_sub(20));
            if lines.is_empty() { "(none)".to_owned() } else { lines.join("\n") }
        };
        let emulator = self.emulator.log();
        // Its poller's own copies of the functions' output would only repeat what is above.
        let emulator: Vec<_> = emulator.lines().filter(|line| line.contains("] ")).collect();
        let emulator = crate::command::last_lines(&emulator.join("\n"), 20);
        format!(
            "The trigger's last log lines:\n{}\n\nThe monitor's:\n{}\n\nThe emulator's:\n{emulator}",
            logged("trigger"),
            logged("monitor"),
        )
    }

    /// Writes `text` into the staging folder, from where it can be deployed.
    pub fn stage(&self, name: &str, text: &str) -> Result<()> {
        let file = self.emulator.folder().join("stage").join(name);
        fs::write(&file, text).with_context(|| format!("failed to write `{}`", file.display()))
    }
}

impl Account {
    fn new(id: &str, emulator: &Emulator, python: &Python) -> Account {
        // The access key id of twelve digits is the root of that account to the emulator.
        let credentials = Credentials::new(id, "any", None, None, "local-cloud");
        Account {
            cli: AwsCli {
                account: id.to_owned(),
                endpoint: emulator.endpoint(),
                python: python.clone(),
                folder: emulator.folder().to_owned(),
            },
            s3: s3(emulator, credentials.clone()),
            sqs: aws_sdk_sqs::Client::from_conf(
                aws_sdk_sqs::Config::builder()
                    .region(aws_sdk_sqs::config::Region::new(REGION))
                    .endpoint_url(emulator.endpoint())
                    .credentials_provider(credentials.clone())
                    .http_client(Builder::new().build_http())
                    .build(),
            ),
            iam: aws_sdk_iam::Client::from_conf(
                aws_sdk_iam::Config::builder()
                    .region(aws_sdk_iam::config::Region::new(REGION))
                    .endpoint_url(emulator.endpoint())
                    .credentials_provider(credentials.clone())
                    .http_client(Builder::new().build_http())
                    .build(),
            ),
            stacks: Stacks::new(emulator, credentials.clone()),
            glue: aws_sdk_glue::Client::from_conf(
                aws_sdk_glue::Config::builder()
                    .region(aws_sdk_glue::config::Region::new(REGION))
                    .endpoint_url(emulator.endpoint())
                    .credentials_provider(credentials)
                    .http_client(Builder::new().build_http())
                    .build(),
            ),
        }
    }
}

/// An S3 client with any credentials, for what a test asserts about a role.
pub fn s3(emulator: &Emulator, credentials: Credentials) -> aws_sdk_s3::Client {
    aws_sdk_s3::Client::from_conf(
        aws_sdk_s3::Config::builder()
            .region(aws_sdk_s3::config::Region::new(REGION))
            .endpoint_url(emulator.endpoint())
            .credentials_provider(credentials)
            .http_client(Builder::new().build_http())
            .force_path_style(true)
            .build(),
    )
}

/// Whether the run will change no more.
pub fn has_ended(run: &JobRun) -> bool {
    use JobRunState::{Error, Expired, Failed, Stopped, Succeeded, Timeout};
    matches!(run.job_run_state(), Some(Succeeded | Failed | Error | Timeout | Stopped | Expired))
}

/// Asks `condition` until it answers, at most for `limit`; ever less often, up to every second.
pub async fn wait_until<T, F>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> F,
) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(50);
    loop {
        if let Some(answer) = condition().await? {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            bail!("{what}: not within {} s", limit.as_secs());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 5 / 4).min(Duration::from_secs(1));
    }
}
