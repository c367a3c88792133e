//! What the job can reach in the data account, tried by a job that runs with the job role.

use anyhow::{Context, Result, ensure};
use landfall_tests::cloud::{DATA_ARTIFACTS, LANDING_BUCKET, has_ended, wait_until};
use landfall_tests::{ANALYTICS, DATA};
use serde_json::json;

use crate::stage::{SOON, Stage, assert_succeeded};

pub fn the_job_reads_nothing_outside_the_routed_prefix(stage: &Stage) -> Result<()> {
    let allowed = "ok";
    let denied = "AccessDenied";
    let attempts = [
        ("reader", "get", LANDING_BUCKET, "in/scope/mine.csv", allowed),
        ("reader", "list", LANDING_BUCKET, "in/scope/", allowed),
        // Prefixes beside the routed one, with and without its first letters.
        ("reader", "get", LANDING_BUCKET, "in/scope-beside/other.csv", denied),
        ("reader", "get", LANDING_BUCKET, "in/scope", denied),
        ("reader", "get", LANDING_BUCKET, "other/other.csv", denied),
        ("reader", "list", LANDING_BUCKET, "", denied),
        ("reader", "list", LANDING_BUCKET, "in/", denied),
        ("reader", "list", LANDING_BUCKET, "in/scope", denied),
        ("reader", "list", LANDING_BUCKET, "other/", denied),
        // Reading is all that it may.
        ("reader", "put", LANDING_BUCKET, "in/scope/mine.csv", denied),
        ("reader", "delete", LANDING_BUCKET, "in/scope/mine.csv", denied),
        // Another bucket of the account.
        ("reader", "get", DATA_ARTIFACTS, "other.csv", denied),
        ("reader", "list", DATA_ARTIFACTS, "", denied),
        // The job role itself reaches nothing there, and in its own account writes its output only.
        ("job", "get", LANDING_BUCKET, "in/scope/mine.csv", denied),
        ("job", "put", "acme-analytics", "parquet/scope/probe", allowed),
        ("job", "put", "acme-analytics", "elsewhere/probe", denied),
        ("job", "get", "acme-analytics", "parquet/scope/probe", denied),
    ];
    let cloud = &stage.cloud;
    let run = cloud.wait(async {
        for (_, operation, bucket, key, _) in attempts {
            // What is refused must exist: that there is no such object is another refusal.
            if operation == "get" && bucket != "acme-analytics" {
                cloud.put(bucket, key, "day,weather\n1,sun\n").await?;
            }
        }
        let wanted: Vec<_> = attempts.iter().map(|(a, b, c, d, _)| json!([a, b, c, d])).collect();
        let started = cloud.analytics.glue.start_job_run().job_name("probe").set_arguments(Some(
            [
                ("--attempts".to_owned(), json!(wanted).to_string()),
                (
                    "--reader-role".to_owned(),
                    format!("arn:aws:iam::{DATA}:role/landfall/landfall-reader-{ANALYTICS}"),
                ),
            ]
            .into(),
        ));
        let started = started.send().await.context("failed to start job `probe`")?;
        wait_until("the probe did not end", SOON, async || {
            let runs = cloud.runs("probe").await?;
            let ours = |run: &_| has_ended(run) && run.id() == started.job_run_id();
            Ok(runs.into_iter().find(ours))
        })
        .await
    })?;
    assert_succeeded(&run)?;
    let printed = cloud.printed_by(&run).pop().context("the probe printed nothing")?;
    let outcomes: Vec<String> = serde_json::from_str(&printed)
        .with_context(|| format!("failed to read what the probe printed: `{printed}`"))?;
    ensure!(outcomes.len() == attempts.len(), "not every attempt has an outcome: {printed}");
    for ((who, operation, bucket, key, expected), outcome) in attempts.iter().zip(&outcomes) {
        ensure!(
            outcome == expected,
            "{who}: {operation} `s3://{bucket}/{key}`: {outcome}, not {expected}"
        );
    }
    Ok(())
}
