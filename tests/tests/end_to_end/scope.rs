//! What a job can reach in the data account, tried by a job that runs with the job role.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use landfall_aws::claims::Claims;
use landfall_core::batch::{Batch, State};
use landfall_tests::cloud::{DATA_ARTIFACTS, LANDING_BUCKET, has_ended, wait_until};
use landfall_tests::{ANALYTICS, DATA, REGION};
use serde::Deserialize;
use serde_json::json;

use crate::faults;
use crate::stage::{A_CALL, SOON, Stage, assert_succeeded, csv};

pub fn the_job_reads_nothing_outside_the_routed_prefix(stage: &Stage) -> Result<()> {
    let allowed = "ok";
    let denied = "AccessDenied";
    let attempts = [
        ("reader", "get", LANDING_BUCKET, "in/scope/mine.csv", allowed),
        ("reader", "list", LANDING_BUCKET, "in/scope/", allowed),
        // Prefixes beside the routed one, some of which begin with the same letters.
        ("reader", "get", LANDING_BUCKET, "in/scope-beside/other.csv", denied),
        ("reader", "get", LANDING_BUCKET, "in/scope", denied),
        ("reader", "get", LANDING_BUCKET, "other/other.csv", denied),
        ("reader", "list", LANDING_BUCKET, "", denied),
        ("reader", "list", LANDING_BUCKET, "in/", denied),
        ("reader", "list", LANDING_BUCKET, "in/scope", denied),
        ("reader", "list", LANDING_BUCKET, "other/", denied),
        // The reader role may read and nothing else.
        ("reader", "put", LANDING_BUCKET, "in/scope/mine.csv", denied),
        ("reader", "delete", LANDING_BUCKET, "in/scope/mine.csv", denied),
        // Another bucket of the account.
        ("reader", "get", DATA_ARTIFACTS, "other.csv", denied),
        ("reader", "list", DATA_ARTIFACTS, "", denied),
        // The job role itself reaches nothing there. In its own account it writes its output only.
        ("job", "get", LANDING_BUCKET, "in/scope/mine.csv", denied),
        ("job", "put", "acme-analytics", "parquet/scope/probe", allowed),
        ("job", "put", "acme-analytics", "elsewhere/probe", denied),
        ("job", "get", "acme-analytics", "parquet/scope/probe", denied),
    ];
    let cloud = &stage.cloud;
    let run = cloud.wait(async {
        for (_, operation, bucket, key, _) in attempts {
            // The object must exist for the test to be about the refusal, because a missing object
            // is refused too.
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

/// The output of a run of `fixtures/scoped.py`.
#[derive(Debug, Deserialize)]
struct Tried {
    scope: Option<String>,
    outcomes: BTreeMap<String, String>,
}

/// Uses two routes of one job, which tries the same for each.
pub fn a_run_of_scope_batch_becomes_no_other_role_and_its_session_reads_no_other_object(
    stage: &Stage,
) -> Result<()> {
    let denied = "AccessDenied";
    let expected = [
        ("the batch's objects", "ok"),
        ("its output", "ok"),
        ("another role", denied),
        ("an object of another batch", denied),
        ("the manifest, with the objects' session", denied),
        // What the library narrows is a guard against mistakes, as SEMANTICS.md says.
        ("an object of another batch, past the library", "ok"),
        ("a claim of its account's, past the library", "ok"),
    ];
    // No session of the reader role reaches another account's state, whatever the scope.
    let of_others = [
        "a claim of another account's, past the library",
        "a claim of the version before, past the library",
        "a manifest of another account's, past the library",
    ];
    stage.cloud.wait(async {
        for route in ["scoped", "unscoped"] {
            let has_scope = route == "scoped";
            let key = |name: &str| format!("in/{route}/{name}.csv");
            let done = |batch: &Batch| matches!(batch.state, State::Succeeded { .. });
            // Make another batch before the one that the test is about.
            stage.upload(&key("beside"), csv(2)).await?;
            stage.batch_of(route, &key("beside"), SOON, done).await?;
            stage.upload(&key("mine"), csv(3)).await?;
            let run =
                stage.run_of("scoped", &format!("s3://{LANDING_BUCKET}/{}", key("mine"))).await?;
            assert_succeeded(&run)?;
            let policy = run.execution_role_session_policy();
            ensure!(policy.is_some() == has_scope, "{route}: session policy {policy:?}");
            let printed = stage.cloud.printed_by(&run).pop().context("the job printed nothing")?;
            let tried: Tried = serde_json::from_str(&printed)
                .with_context(|| format!("failed to read what the job printed: `{printed}`"))?;
            ensure!(tried.scope.is_some() == has_scope, "{route}: {tried:?}");
            for (attempt, outcome) in expected {
                let outcome = if has_scope { outcome } else { "ok" };
                let found = tried.outcomes.get(attempt).map(String::as_str);
                ensure!(found == Some(outcome), "{route}: {attempt}: {found:?}, not {outcome}");
            }
            for attempt in of_others {
                let found = tried.outcomes.get(attempt).map(String::as_str);
                let is_denied = found.is_some_and(|code| code.starts_with("AccessDenied"));
                ensure!(is_denied, "{route}: {attempt}: {found:?}");
            }
            let attempts = expected.len() + of_others.len();
            ensure!(tried.outcomes.len() == attempts, "{route}: {tried:?}");
            // The library that reads claims reads the outcome that the job library reported.
            let batch = stage.batch_of(route, &key("mine"), SOON, done).await?;
            let config = faults::config(stage.cloud.emulator.endpoint(), DATA, A_CALL);
            let table = format!("arn:aws:dynamodb:{REGION}:{DATA}:table/landfall-claims");
            let said = Claims::new(&config, &table).outcome(&batch.id).await?;
            let said = said.context("the job did not report its outcome")?;
            ensure!(said.outcome == "succeeded" && said.epoch == Some(1), "{route}: {said:?}");
            ensure!(said.at.is_some() && said.error.is_none(), "{route}: {said:?}");
        }
        Ok(())
    })
}
