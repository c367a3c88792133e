//! What the tests share: a deployment whose local cloud has Spark, its jobs, and functions that
//! look at what the jobs did.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_glue::types::{JobRun, JobRunState};
use landfall_aws::config::http_client;
use landfall_aws::ledger::Ledger;
use landfall_core::batch::{Batch, Run, State};
use landfall_tests::aws_cli::ARTIFACT_PREFIX;
use landfall_tests::cloud::{
    ANALYTICS_ARTIFACTS, LANDING_BUCKET, LocalCloud, OUTPUT_BUCKET, Setup, has_ended, wait_until,
};
use landfall_tests::command::run;
use landfall_tests::emulator::surroundings;
use landfall_tests::package::LIBRARY;
use landfall_tests::{DATA, REGION, progress, python, root};
use serde_json::Value;

/// Spark starts within ten seconds if nothing else runs. Two start at a time while others wait.
const SOON: Duration = Duration::from_secs(480);
const MINUTE: Duration = Duration::from_secs(5);
/// The lifetime of reader sessions, so short that every test uses many of them.
/// `a_job_outlives_its_session` waits for the end of one.
const READER_SESSION: &str = "landfall-reader-222222222222=20";
const JOBS: [&str; 6] = [
    "as-it-is",
    "csv-to-parquet-spark",
    "fails-halfway",
    "outlives-its-session",
    "reaches-farther",
    "awkward-keys",
];
const SCRIPTS: [&str; 5] = [
    "as_it_is.py",
    "awkward_keys.py",
    "fails_halfway.py",
    "outlives_its_session.py",
    "reaches_farther.py",
];

pub struct Stage {
    pub cloud: LocalCloud,
    ledger: Ledger,
}

impl Stage {
    pub fn set() -> Result<Stage> {
        eprintln!("\npreparing the local cloud with Spark");
        let spark = python::spark()?;
        let fixtures = root().join("tests/spark");
        let setup = Setup {
            routes: fixtures.join("routes.yaml"),
            routes_of_policies: None,
            parameters: vec![],
            target: None,
            minute: Some(MINUTE),
        };
        let mut variables = vec![
            ("LOCAL_CLOUD_SPARK", spark.folder().display().to_string()),
            ("LOCAL_CLOUD_SHORT_SESSIONS", READER_SESSION.to_owned()),
        ];
        if let Ok(java) = std::env::var("JAVA_HOME") {
            variables.push(("JAVA_HOME", java));
        }
        let cloud = LocalCloud::start_with(&setup, &variables)?;
        for name in SCRIPTS.iter().chain(&["jobs.yaml"]) {
            let text = fs::read_to_string(fixtures.join(name))
                .with_context(|| format!("failed to read the fixture `{name}`"))?;
            cloud.stage(name, &text)?;
        }
        progress::step("deploying the Spark jobs", || {
            let cli = &cloud.analytics.cli;
            let artifacts = format!("s3://{ANALYTICS_ARTIFACTS}/{ARTIFACT_PREFIX}");
            let name = Path::new(LIBRARY).file_name().context("the library has no name")?;
            let library = format!("{artifacts}/spark/{}", name.to_string_lossy());
            cli.upload(Path::new(LIBRARY), &library)?;
            let example = Path::new("glue/jobs/csv_to_parquet_spark.py");
            cli.upload(example, &format!("{artifacts}/csv_to_parquet_spark.py"))?;
            cli.deploy("spark", "jobs.yaml", ANALYTICS_ARTIFACTS, &[("Library", &library)])
        })?;
        let ledger = ledger(&cloud);
        Ok(Stage { cloud, ledger })
    }

    pub async fn upload(&self, key: &str, body: impl Into<Vec<u8>>) -> Result<()> {
        self.cloud.put(LANDING_BUCKET, key, body).await
    }

    /// Returns the batch of a route that holds an object, once it satisfies `wanted`.
    pub async fn batch_of(
        &self,
        route: &str,
        key: &str,
        wanted: impl Fn(&Batch) -> bool,
    ) -> Result<Batch> {
        let what =
            format!("the batch of `{key}` in route `{route}` does not reach the expected state");
        let last = Mutex::new(None);
        let found = wait_until(&what, SOON, async || {
            let found = self.ledger.find(LANDING_BUCKET, key).await?;
            let Some(found) = found.into_iter().find(|found| found.route == route) else {
                return Ok(None);
            };
            let batch = self.ledger.batch(&found.batch).await?;
            if let Some(Batch { state: State::Parked { why, .. }, runs, .. }) = &batch {
                bail!("the batch is parked: {why:?}; {}", self.last_words(runs).await?);
            }
            *last.lock().expect("no thread panics with the lock") = batch.clone();
            Ok(batch.filter(|batch| wanted(batch)))
        });
        found.await.with_context(|| format!("last seen: {last:?}"))
    }

    /// Returns what the last run reported about its failure.
    async fn last_words(&self, runs: &[Run]) -> Result<String> {
        let Some(Run { run_id, .. }) = runs.last() else { return Ok("it has no run".to_owned()) };
        for job in JOBS {
            let runs = self.cloud.runs(job).await?;
            if let Some(run) = runs.iter().find(|run| run.id() == Some(run_id)) {
                let said = self.cloud.printed_by_spark("error", run_id);
                let end = said[said.len().saturating_sub(40)..].join("\n");
                return Ok(format!("{}\n{end}", run.error_message().unwrap_or_default()));
            }
        }
        Ok(format!("no job has run `{run_id}`"))
    }

    /// Returns the batch of an object, once the monitor has found that it succeeded.
    pub async fn succeeded(&self, route: &str, key: &str) -> Result<Batch> {
        let is_done = |batch: &Batch| matches!(batch.state, State::Succeeded { .. });
        self.batch_of(route, key, is_done).await
    }

    /// Waits until a run has claimed the batch.
    pub async fn claimed(&self, batch_id: &str) -> Result<()> {
        wait_until("the batch is not claimed", SOON, async || {
            let scan = ["dynamodb", "scan", "--table-name", "landfall-claims"];
            let claims = self.cloud.data.cli.run(scan)?;
            Ok(claims.contains(batch_id).then_some(()))
        })
        .await
    }

    /// Starts a job with the arguments of an existing run, and returns the new run's ID.
    pub async fn start_again(&self, job: &str, run_id: &str) -> Result<String> {
        let glue = &self.cloud.analytics.glue;
        let found = glue.get_job_run().job_name(job).run_id(run_id).send().await?;
        let arguments = found.job_run.context("there is no such run")?.arguments;
        let started = glue.start_job_run().job_name(job).set_arguments(arguments).send().await?;
        started.job_run_id.context("the run has no ID")
    }

    /// Returns runs of a job, once all of them have ended.
    pub async fn ended(&self, job: &str, ids: &[&String]) -> Result<Vec<JobRun>> {
        wait_until(&format!("runs of `{job}` do not end"), SOON, async || {
            let runs = self.cloud.runs(job).await?;
            let is_meant =
                |run: &JobRun| has_ended(run) && ids.iter().any(|id| run.id() == Some(id.as_str()));
            let runs: Vec<_> = runs.into_iter().filter(is_meant).collect();
            Ok((runs.len() == ids.len()).then_some(runs))
        })
        .await
    }

    pub fn ensure_succeeded(&self, run: &JobRun) -> Result<()> {
        let state = run.job_run_state();
        let message = run.error_message().unwrap_or_default();
        ensure!(state == Some(&JobRunState::Succeeded), "the run ended {state:?}: {message}");
        Ok(())
    }

    /// Returns the JSON lines that a run printed.
    pub fn printed(&self, run_id: &str) -> Vec<Value> {
        let lines = self.cloud.printed_by_spark("output", run_id);
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Returns what the run of a new object below `in/PLACE/` could read. Another object of two
    /// lines is beside it.
    pub async fn reached(&self, place: &str) -> Result<Value> {
        // The route excludes it, but the reader role may read it.
        self.upload(&format!("in/{place}/other.csv"), csv(1)).await?;
        let key = format!("in/{place}/a.csv");
        self.upload(&key, csv(4)).await?;
        let batch = self.succeeded(place, &key).await?;
        let printed = self.printed(&batch.runs[0].run_id);
        printed.first().cloned().with_context(|| format!("the run of `{key}` printed nothing"))
    }

    /// Returns what is below a prefix of the output bucket, as the account's root sees it.
    pub fn output(&self, prefix: &str) -> Result<Value> {
        let cli = &self.cloud.analytics.cli;
        let mut command = Command::new(cli.python.program("python"));
        command
            .arg(root().join("tests/spark/output.py"))
            .args([OUTPUT_BUCKET, prefix])
            .env_clear()
            .envs(surroundings(&cli.python, &cli.folder))
            .envs(cli.variables());
        let printed = run(&mut command, "read the output")?;
        serde_json::from_str(&printed).context("failed to parse the output")
    }
}

/// Returns the ledger of a deployment, as the data account's root sees it.
fn ledger(cloud: &LocalCloud) -> Ledger {
    let credentials = Credentials::new(DATA, "any", None, None, "local-cloud");
    let config = aws_config::SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .region(aws_config::Region::new(REGION))
        .endpoint_url(cloud.emulator.endpoint())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http_client())
        .build();
    let client = aws_sdk_dynamodb::Client::new(&config);
    Ledger::new(client, "landfall-ledger".to_owned(), Duration::from_secs(86_400))
}

/// Returns a CSV file with this many rows, in the columns of the example job.
pub fn csv(rows: usize) -> String {
    let mut text = String::from("day,weather\n");
    for row in 0..rows {
        text.push_str(if row % 3 == 0 { "1,sun\n" } else { "2,rain\n" });
    }
    text
}
