//! Starts the local cloud, deploys Landfall into it, and looks at what happens there.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aws_credential_types::Credentials;
use aws_sdk_glue::types::{JobRun, JobRunState};
use landfall_aws::config::http_client;
use tokio::runtime::Runtime;

use crate::aws_cli::AwsCli;
use crate::command::{beside_us, run};
use crate::emulator::{Emulator, surroundings};
use crate::package::package;
use crate::progress::step;
use crate::python::{self, Python};
use crate::stacks::Stacks;
use crate::{ANALYTICS, DATA, REGION};

pub const LANDING_BUCKET: &str = "acme-landing";
pub const OUTPUT_BUCKET: &str = "acme-analytics";
/// The buckets that `landfall deploy` creates and uploads to.
pub const DATA_ARTIFACTS: &str = "landfall-artifacts-111111111111-us-east-1";
pub const ANALYTICS_ARTIFACTS: &str = "landfall-artifacts-222222222222-us-east-1";
pub const JOB: &str = "csv-to-parquet";
pub const EXTERNAL_ID: &str = "local-cloud-7f3a";

/// The emulator takes the provisioner's responses itself, instead of CloudFormation's buckets, and
/// a role is usable there at once. It lists a resource only after it has created it.
pub const FOR_AN_EMULATOR: [&str; 5] = [
    "provisioner:AdmitLoopbackResponseUrl=true",
    "provisioner:PropagationSeconds=0",
    "provisioner:CheckRequests=stack",
    "analytics:OutputBucketName=acme-analytics",
    // Tests that run side by side share the job. Tests of limits use jobs of their own.
    "analytics:MaxConcurrentRuns=1000",
];

/// What differs between the demo and the tests.
pub struct Setup {
    pub routes: PathBuf,
    /// The routes that the roles follow from, if they differ from the trigger's.
    pub routes_of_policies: Option<String>,
    /// Additional parameters of the stacks, as `landfall deploy` takes them.
    pub parameters: Vec<&'static str>,
    /// The target whose stacks to deploy, if the routes have several.
    pub target: Option<&'static str>,
    /// How long a minute of schedules and alarms lasts, if it isn't a real minute.
    pub minute: Option<Duration>,
}

/// Both accounts, with Landfall deployed. Dropping it tears everything down.
pub struct LocalCloud {
    pub data: Account,
    pub analytics: Account,
    pub emulator: Emulator,
    pub python: Python,
    runtime: Runtime,
}

/// One account, seen as its root.
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
        LocalCloud::start_with(setup, &[])
    }

    /// Starts it as `start` does, with additional variables for the launcher, which documents them.
    pub fn start_with(setup: &Setup, variables: &[(&str, String)]) -> Result<LocalCloud> {
        let python = python::environment()?;
        let emulator =
            step("starting the local cloud", || Emulator::start(&python, setup.minute, variables))?;
        let stage = emulator.folder().join("stage");
        step("building the functions", || package(&python, &setup.routes, &stage))?;
        if let Some(text) = &setup.routes_of_policies {
            fs::write(stage.join("routes.yaml"), text).context("failed to stage the routes")?;
        }
        let profiles = format!("{}{}", profile("data", DATA), profile("analytics", ANALYTICS));
        fs::write(emulator.folder().join("profiles"), profiles)
            .context("failed to write profiles")?;
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
        step("deploying both accounts with `landfall deploy`", || cloud.deploy(setup))?;
        Ok(cloud)
    }

    /// Deploys as users do, with the command line that was built beside this program.
    fn deploy(&self, setup: &Setup) -> Result<()> {
        let cli = &self.data.cli;
        cli.make_bucket(LANDING_BUCKET)?;
        let versioned = ["s3api", "put-bucket-versioning", "--bucket", LANDING_BUCKET];
        let status = ["--versioning-configuration", "Status=Enabled"];
        cli.run([&versioned[..], &status].concat())?;
        let mut landfall = self.landfall("deploy")?;
        landfall.args(["stage/routes.yaml", "--package", "stage", "--yes"]);
        if let Some(target) = setup.target {
            landfall.args(["--target", target]);
        }
        for parameter in FOR_AN_EMULATOR.iter().chain(&setup.parameters) {
            landfall.args(["--parameter", parameter]);
        }
        run(&mut landfall, "deploy both accounts")?;
        Ok(())
    }

    /// Returns a `landfall` command that has both accounts' profiles and runs in the emulator's
    /// folder.
    pub fn landfall(&self, command: &str) -> Result<Command> {
        let mut landfall = self.landfall_without_profiles(command)?;
        landfall.args(["--data-profile", "data", "--analytics-profile", "analytics"]);
        Ok(landfall)
    }

    /// Returns the same command without the profiles, which are `data` and `analytics`.
    pub fn landfall_without_profiles(&self, command: &str) -> Result<Command> {
        Ok(self.program(&beside_us("landfall")?, command))
    }

    /// Returns the same command of another `landfall` than the one that was built beside this program.
    pub fn program(&self, landfall: &Path, command: &str) -> Command {
        let folder = self.emulator.folder();
        let mut landfall = Command::new(landfall);
        landfall
            .arg(command)
            .current_dir(folder)
            .env_clear()
            .envs(surroundings(&self.python, folder))
            .env("AWS_CONFIG_FILE", folder.join("profiles"))
            .env("AWS_ENDPOINT_URL", self.emulator.endpoint())
            .env("LANDFALL_EXTERNAL_ID", EXTERNAL_ID);
        landfall
    }

    /// Runs a future to completion on the cloud's own runtime, which its connections belong to.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Puts an object into a bucket of the data account.
    pub async fn put(&self, bucket: &str, key: &str, body: impl Into<Vec<u8>>) -> Result<()> {
        let put = self.data.s3.put_object().bucket(bucket).key(key).body(body.into().into());
        put.send().await.with_context(|| format!("failed to put `s3://{bucket}/{key}`"))?;
        Ok(())
    }

    /// Returns all runs of a job, in no particular order.
    pub async fn runs(&self, job: &str) -> Result<Vec<JobRun>> {
        let mut pages =
            self.analytics.glue.get_job_runs().job_name(job).into_paginator().items().send();
        let mut runs = Vec::new();
        while let Some(run) = pages.next().await {
            runs.push(run.with_context(|| format!("failed to list the runs of job `{job}`"))?);
        }
        Ok(runs)
    }

    /// Returns the lines that a run of a Python shell job printed.
    pub fn printed_by(&self, run: &JobRun) -> Vec<String> {
        self.analytics.cli.log_lines("/aws-glue/python-jobs/output", run.id())
    }

    /// Returns the lines that a run of a Spark job printed. `kind` is `output` or `error`.
    pub fn printed_by_spark(&self, kind: &str, run_id: &str) -> Vec<String> {
        self.analytics.cli.log_lines(&format!("/aws-glue/jobs/{kind}"), Some(run_id))
    }

    /// Returns what helps to find out why something did not happen: the last lines that the
    /// functions and the emulator logged.
    pub fn hints(&self) -> String {
        let logged = |account: &Account, function: &str| {
            let group = format!("/aws/lambda/landfall-{function}");
            let mut lines = account.cli.log_lines(&group, None);
            lines.drain(..lines.len().saturating_sub(20));
            if lines.is_empty() { "(none)".to_owned() } else { lines.join("\n") }
        };
        let emulator = self.emulator.log();
        // The emulator's poller repeats the functions' output, which is already shown above.
        let emulator: Vec<_> = emulator.lines().filter(|line| line.contains("] ")).collect();
        let emulator = crate::command::last_lines(&emulator.join("\n"), 20);
        format!(
            "The trigger's last log lines:\n{}\n\nThe monitor's:\n{}\n\nThe provisioner's:\n{}\n\n\
             The emulator's:\n{emulator}",
            logged(&self.data, "trigger"),
            logged(&self.data, "monitor"),
            logged(&self.analytics, "provisioner"),
        )
    }

    /// Writes `text` into the staging folder, from which it can be deployed.
    pub fn stage(&self, name: &str, text: &str) -> Result<()> {
        let file = self.emulator.folder().join("stage").join(name);
        fs::write(&file, text).with_context(|| format!("failed to write `{}`", file.display()))
    }
}

impl Account {
    fn new(id: &str, emulator: &Emulator, python: &Python) -> Account {
        // The emulator takes an access key ID of twelve digits as the root of that account.
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
                    .http_client(http_client())
                    .build(),
            ),
            iam: aws_sdk_iam::Client::from_conf(
                aws_sdk_iam::Config::builder()
                    .region(aws_sdk_iam::config::Region::new(REGION))
                    .endpoint_url(emulator.endpoint())
                    .credentials_provider(credentials.clone())
                    .http_client(http_client())
                    .build(),
            ),
            stacks: Stacks::new(emulator, credentials.clone()),
            glue: aws_sdk_glue::Client::from_conf(
                aws_sdk_glue::Config::builder()
                    .region(aws_sdk_glue::config::Region::new(REGION))
                    .endpoint_url(emulator.endpoint())
                    .credentials_provider(credentials)
                    .http_client(http_client())
                    .build(),
            ),
        }
    }
}

/// Returns an S3 client with the given credentials, for what a test asserts about a role.
pub fn s3(emulator: &Emulator, credentials: Credentials) -> aws_sdk_s3::Client {
    aws_sdk_s3::Client::from_conf(
        aws_sdk_s3::Config::builder()
            .region(aws_sdk_s3::config::Region::new(REGION))
            .endpoint_url(emulator.endpoint())
            .credentials_provider(credentials)
            .http_client(http_client())
            .force_path_style(true)
            .build(),
    )
}

/// Returns the profile of an account's root.
fn profile(name: &str, account: &str) -> String {
    format!("[profile {name}]\naws_access_key_id = {account}\naws_secret_access_key = any\n")
}

/// Returns `true` if the run has reached its final state.
pub fn has_ended(run: &JobRun) -> bool {
    use JobRunState::{Error, Expired, Failed, Stopped, Succeeded, Timeout};
    matches!(run.job_run_state(), Some(Succeeded | Failed | Error | Timeout | Stopped | Expired))
}

/// Evaluates `condition` until it returns an answer, for at most `limit`. The pauses grow to one
/// second.
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
