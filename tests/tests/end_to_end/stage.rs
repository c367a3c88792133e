//! What the tests share: the local cloud with additional stacks, and functions that find runs,
//! batches and dead letters.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Mutex as Locked;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_sdk_glue::types::{JobRun, JobRunState};
use landfall_aws::ledger::Ledger;
use landfall_core::batch::Batch;
use landfall_tests::aws_cli::ARTIFACT_PREFIX;
use landfall_tests::cloud::{
    ANALYTICS_ARTIFACTS, DATA_ARTIFACTS, EXTERNAL_ID, LANDING_BUCKET, LocalCloud, Setup, has_ended,
    wait_until,
};
use landfall_tests::package::LIBRARY;
use landfall_tests::{ANALYTICS, DATA, progress, root};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::faults;

/// A generous limit, because other tests, and perhaps a compiler, run at the same time. Only a test
/// that fails waits this long.
pub const SOON: Duration = Duration::from_secs(400);

/// The time limit of a test's own call. While several stacks change, the emulator may answer nobody for seconds.
pub const A_CALL: Duration = Duration::from_secs(90);

/// Every job that a route of the tests, or a mistake, could start.
const JOBS: [&str; 9] = [
    "csv-to-parquet",
    "claims",
    "crowd",
    "flood",
    "forbidden",
    "plain",
    "plain-repeated",
    "probe",
    "scoped",
];

/// The buckets of the routes, and of tests that have one of their own.
const BUCKETS: &str = "provisioner:LandingBucketArns=arn:aws:s3:::acme-landing,arn:aws:s3:::acme-envelopes,\
    arn:aws:s3:::acme-shared,arn:aws:s3:::acme-encrypted,arn:aws:s3:::acme-backfilled";

pub struct Stage {
    pub cloud: LocalCloud,
    /// All messages that were found in the dead-letter queue. Several tests look for theirs here.
    dead: Mutex<BTreeSet<String>>,
    pub ledger: Ledger,
    /// The URLs in manifests, which never change.
    manifests: Locked<BTreeMap<String, Vec<String>>>,
}

impl Stage {
    pub fn set() -> Result<Stage> {
        eprintln!("\npreparing the local cloud");
        let fixtures = root().join("tests/fixtures");
        let routes = fixtures.join("routes.yaml");
        let text = fs::read_to_string(&routes).context("failed to read the routes")?;
        // The trigger's routes are newer in one respect: no policy admits that job yet.
        let admitted = text.replace("job: forbidden", "job: flood");
        ensure!(admitted != text, "the routes name no job `forbidden`");
        let cloud = LocalCloud::start(&Setup {
            routes_of_policies: Some(admitted),
            routes,
            // The limits are short, so that messages that can't be served reach the dead-letter
            // queue in seconds. AWS would refuse a queue whose visibility timeout is less than the
            // function's timeout. On a busy machine a start may get no answer, and Landfall then
            // waits for it.
            parameters: vec![
                "data:VisibilityTimeoutSeconds=6",
                "data:MaxReceiveCount=3",
                "data:ReconciliationSeconds=60",
                // The other buckets of the routes exist for events that tests send themselves.
                "data:LandingBucketNames=acme-landing",
                // Tests deploy stacks of their own, which these provisioners serve too.
                "provisioner:TrustedAccountIds=111111111111,222222222222",
                BUCKETS,
                "provisioner:PolicyBucketArns=arn:aws:s3:::acme-by-policy",
            ],
            target: Some("analytics"),
            minute: None,
        })?;
        let scripts = ["probe.py", "claims.py", "plain.py", "scoped.py"];
        for name in ["data-extras.yaml", "analytics-extras.yaml"].iter().chain(&scripts) {
            let text = fs::read_to_string(fixtures.join(name))
                .with_context(|| format!("failed to read the fixture `{name}`"))?;
            cloud.stage(name, &text)?;
        }
        progress::step("deploying the stacks that the tests add", || {
            let library = format!("s3://{ANALYTICS_ARTIFACTS}/{ARTIFACT_PREFIX}/landfall.whl");
            cloud.analytics.cli.upload(Path::new(LIBRARY), &library)?;
            let parameters = [("DataAccountId", DATA), ("ExternalId", EXTERNAL_ID)];
            let cli = &cloud.analytics.cli;
            cli.deploy("extras", "analytics-extras.yaml", ANALYTICS_ARTIFACTS, &parameters)?;
            let parameters = [("AnalyticsAccountId", ANALYTICS)];
            cloud.data.cli.deploy("extras", "data-extras.yaml", DATA_ARTIFACTS, &parameters)
        })?;
        let ledger = ledger(&cloud);
        Ok(Stage { cloud, dead: Mutex::default(), ledger, manifests: Locked::default() })
    }

    /// Uploads an object to the landing bucket.
    pub async fn upload(&self, key: &str, body: impl Into<Vec<u8>>) -> Result<()> {
        self.cloud.put(LANDING_BUCKET, key, body).await
    }

    /// Returns the run of `job` that was given `url`, once it has ended.
    pub async fn run_of(&self, job: &str, url: &str) -> Result<JobRun> {
        let what = format!("no run of job `{job}` with `{url}` ended");
        wait_until(&what, SOON, async || {
            for run in self.cloud.runs(job).await? {
                if has_ended(&run) && self.inputs(&run).await?.iter().any(|input| input == url) {
                    return Ok(Some(run));
                }
            }
            Ok(None)
        })
        .await
    }

    /// Fails if any run of any job was given `url`.
    pub async fn assert_not_started(&self, url: &str) -> Result<()> {
        for job in JOBS {
            for run in self.cloud.runs(job).await? {
                let given = self.inputs(&run).await?.iter().any(|input| input == url);
                ensure!(!given, "run `{:?}` of job `{job}` was given `{url}`", run.id());
            }
        }
        Ok(())
    }

    /// Returns the URLs that a run was given, from its manifest, or none if the run isn't
    /// Landfall's.
    pub async fn inputs(&self, run: &JobRun) -> Result<Vec<String>> {
        let Some(uri) = run.arguments().and_then(|arguments| arguments.get("--landfall-manifest"))
        else {
            return Ok(Vec::new());
        };
        let known =
            self.manifests.lock().expect("no thread panics with the lock").get(uri).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let (bucket, key) = uri
            .strip_prefix("s3://")
            .and_then(|rest| rest.split_once('/'))
            .with_context(|| format!("`{uri}` names no object"))?;
        let object = self.cloud.data.s3.get_object().bucket(bucket).key(key).send().await;
        let body = object.with_context(|| format!("failed to read `{uri}`"))?.body;
        let manifest: Value = serde_json::from_slice(&body.collect().await?.into_bytes())
            .with_context(|| format!("`{uri}` is not JSON"))?;
        let entries = manifest["entries"].as_array().context("a manifest has no entries")?;
        let url = |entry: &Value| entry["url"].as_str().map(str::to_owned).context("no URL");
        let urls = entries.iter().map(url).collect::<Result<Vec<String>>>()?;
        self.manifests
            .lock()
            .expect("no thread panics with the lock")
            .insert(uri.clone(), urls.clone());
        Ok(urls)
    }

    /// Returns the batch of a route that holds an object, once it satisfies `wanted`.
    pub async fn batch_of(
        &self,
        route: &str,
        key: &str,
        limit: Duration,
        wanted: impl Fn(&Batch) -> bool,
    ) -> Result<Batch> {
        let last = Locked::new(None);
        let found = wait_until("the batch does not reach the expected state", limit, async || {
            let found = self.ledger.find(LANDING_BUCKET, key).await?;
            let Some(found) = found.into_iter().find(|found| found.route == route) else {
                return Ok(None);
            };
            let batch = self.ledger.batch(&found.batch).await?;
            *last.lock().expect("no thread panics with the lock") = batch.clone();
            Ok(batch.filter(|batch| wanted(batch)))
        });
        found.await.with_context(|| format!("route `{route}`, key `{key}`, last seen: {last:?}"))
    }

    /// Returns a dead letter that `wanted` accepts.
    pub async fn dead_letter(&self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        wait_until(&format!("no dead letter {what}"), SOON, async || {
            Ok(self.dead_letters().await?.into_iter().find(|body| wanted(body)))
        })
        .await
    }

    /// Returns all dead letters so far.
    pub async fn dead_letters(&self) -> Result<BTreeSet<String>> {
        // One test at a time: a message that one receives would be hidden from the others.
        let mut dead = self.dead.lock().await;
        let url = self.queue_url("landfall-arrivals-dlq").await?;
        let sqs = &self.cloud.data.sqs;
        loop {
            let received = sqs.receive_message().queue_url(&url).max_number_of_messages(10);
            let received = received.send().await.context("failed to read the dead letters")?;
            if received.messages().is_empty() {
                return Ok(dead.clone());
            }
            for message in received.messages() {
                dead.insert(message.body().unwrap_or_default().to_owned());
                let handle = message.receipt_handle().unwrap_or_default();
                let delete = sqs.delete_message().queue_url(&url).receipt_handle(handle);
                delete.send().await.context("failed to delete a dead letter")?;
            }
        }
    }

    pub async fn queue_url(&self, name: &str) -> Result<String> {
        let found = self.cloud.data.sqs.get_queue_url().queue_name(name).send().await;
        let found = found.with_context(|| format!("failed to find the queue `{name}`"))?;
        found.queue_url().map(str::to_owned).context("the queue has no URL")
    }
}

/// Returns the ledger of the deployment that all tests share, as the data account's root sees it.
pub fn ledger(cloud: &LocalCloud) -> Ledger {
    ledger_of(cloud, "landfall")
}

/// Returns the ledger of the deployment with this name prefix.
pub fn ledger_of(cloud: &LocalCloud, prefix: &str) -> Ledger {
    let config = faults::config(cloud.emulator.endpoint(), DATA, A_CALL);
    let client = aws_sdk_dynamodb::Client::new(&config);
    Ledger::new(client, format!("{prefix}-ledger"), Duration::from_secs(86_400))
}

pub fn assert_succeeded(run: &JobRun) -> Result<()> {
    let state = run.job_run_state();
    let message = run.error_message().unwrap_or_default();
    ensure!(state == Some(&JobRunState::Succeeded), "the run ended {state:?}: {message}");
    Ok(())
}

/// Returns a CSV file with this many rows, in the columns of the example job.
pub fn csv(rows: usize) -> String {
    let mut text = String::from("day,weather\n");
    for row in 0..rows {
        text.push_str(if row % 3 == 0 { "1,sun\n" } else { "2,rain\n" });
    }
    text
}
