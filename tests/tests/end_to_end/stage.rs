//! What the tests share: the local cloud with its extras, and how to look at runs and dead letters.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_sdk_glue::types::{JobRun, JobRunState};
use landfall_tests::cloud::{
    ANALYTICS_ARTIFACTS, DATA_ARTIFACTS, EXTERNAL_ID, LANDING_BUCKET, LocalCloud, Setup, has_ended,
    wait_until,
};
use landfall_tests::{ANALYTICS, DATA, progress, root};
use serde_json::Value;
use tokio::sync::Mutex;

/// Generous: other tests and, at worst, a compiler run beside it.
pub const SOON: Duration = Duration::from_secs(120);

/// Every job that a route of the tests, or a mistake, could start.
const JOBS: [&str; 5] = ["csv-to-parquet", "crowd", "flood", "forbidden", "probe"];

pub struct Stage {
    pub cloud: LocalCloud,
    /// All messages that were found in the dead-letter queue; several tests look for theirs.
    dead: Mutex<BTreeSet<String>>,
}

impl Stage {
    pub fn set() -> Result<Stage> {
        eprintln!("\nsetting the stage");
        let fixtures = root().join("tests/fixtures");
        let routes = fixtures.join("routes.yaml");
        let text = fs::read_to_string(&routes).context("failed to read the routes")?;
        // The trigger's routes are newer in one thing: no policy admits that job yet.
        let admitted = text.replace("job: forbidden", "job: flood");
        ensure!(admitted != text, "the routes name no job `forbidden`");
        let cloud = LocalCloud::start(&Setup {
            routes_of_policies: Some(admitted),
            routes,
            // Short, so that what cannot be served is in the dead-letter queue in seconds. AWS
            // would refuse a queue that hides messages for less than the function's timeout.
            data_parameters: vec![("VisibilityTimeoutSeconds", "6"), ("MaxReceiveCount", "3")],
        })?;
        for name in ["data-extras.yaml", "analytics-extras.yaml", "probe.py"] {
            let text = fs::read_to_string(fixtures.join(name))
                .with_context(|| format!("failed to read the fixture `{name}`"))?;
            cloud.stage(name, &text)?;
        }
        progress::step("deploying what the tests add", || {
            let parameters = [("DataAccountId", DATA), ("ExternalId", EXTERNAL_ID)];
            let cli = &cloud.analytics.cli;
            cli.deploy("extras", "analytics-extras.yaml", ANALYTICS_ARTIFACTS, &parameters)?;
            let parameters = [("AnalyticsAccountId", ANALYTICS)];
            cloud.data.cli.deploy("extras", "data-extras.yaml", DATA_ARTIFACTS, &parameters)
        })?;
        Ok(Stage { cloud, dead: Mutex::default() })
    }

    /// Uploads to the landing bucket.
    pub async fn upload(&self, key: &str, body: impl Into<Vec<u8>>) -> Result<()> {
        self.cloud.put(LANDING_BUCKET, key, body).await
    }

    /// The run of `job` that was given `url`, once it has ended.
    pub async fn run_of(&self, job: &str, url: &str) -> Result<JobRun> {
        let what = format!("no run of job `{job}` with `{url}` ended");
        wait_until(&what, SOON, async || {
            for run in self.cloud.runs(job).await? {
                if has_ended(&run) && inputs(&run)?.iter().any(|input| input == url) {
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
                let given = inputs(&run)?.iter().any(|input| input == url);
                ensure!(!given, "run `{:?}` of job `{job}` was given `{url}`", run.id());
            }
        }
        Ok(())
    }

    /// A dead letter that `wanted` accepts.
    pub async fn dead_letter(&self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        wait_until(&format!("no dead letter {what}"), SOON, async || {
            Ok(self.dead_letters().await?.into_iter().find(|body| wanted(body)))
        })
        .await
    }

    /// All dead letters until now.
    pub async fn dead_letters(&self) -> Result<BTreeSet<String>> {
        // One at a time: a message that one test receives would be hidden from the others.
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

/// The URLs that the trigger gave a run.
pub fn inputs(run: &JobRun) -> Result<Vec<String>> {
    let Some(text) = run.arguments().and_then(|arguments| arguments.get("--landfall-inputs"))
    else {
        return Ok(Vec::new());
    };
    let value: Value = serde_json::from_str(text)
        .with_context(|| format!("failed to read the inputs of a run: `{text}`"))?;
    let entries = value["entries"].as_array().context("the inputs of a run have no entries")?;
    let url = |entry: &Value| entry["url"].as_str().map(str::to_owned).context("no URL");
    entries.iter().map(url).collect()
}

pub fn assert_succeeded(run: &JobRun) -> Result<()> {
    let state = run.job_run_state();
    let message = run.error_message().unwrap_or_default();
    ensure!(state == Some(&JobRunState::Succeeded), "the run ended {state:?}: {message}");
    Ok(())
}

/// A CSV file of so many rows, in the columns of the example job.
pub fn csv(rows: usize) -> String {
    let mut text = String::from("day,weather\n");
    for row in 0..rows {
        text.push_str(if row % 3 == 0 { "1,sun\n" } else { "2,rain\n" });
    }
    text
}
