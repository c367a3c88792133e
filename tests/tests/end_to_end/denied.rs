//! What IAM refuses starts nothing, and is kept: the message ends in the dead-letter queue intact.

use anyhow::{Context, Result, ensure};
use landfall_tests::cloud::LANDING_BUCKET;
use serde_json::Value;

use crate::stage::{Stage, csv};

pub fn a_wrong_external_id_starts_nothing_and_the_message_ends_in_the_dlq(
    stage: &Stage,
) -> Result<()> {
    refused(stage, "wrong-id", "assume_role_denied")
}

pub fn a_missing_external_id_starts_nothing_and_the_message_ends_in_the_dlq(
    stage: &Stage,
) -> Result<()> {
    refused(stage, "missing-id", "assume_role_denied")
}

pub fn a_role_that_is_not_trusted_starts_nothing_and_the_message_ends_in_the_dlq(
    stage: &Stage,
) -> Result<()> {
    refused(stage, "untrusted", "assume_role_denied")
}

pub fn a_starter_role_that_the_trigger_may_not_assume_starts_nothing(stage: &Stage) -> Result<()> {
    refused(stage, "unlisted", "assume_role_denied")
}

pub fn the_trigger_cannot_start_a_job_that_the_starter_role_does_not_name(
    stage: &Stage,
) -> Result<()> {
    refused(stage, "other-job", "start_access_denied")
}

/// Each of these routes differs from one that works in one thing (see `fixtures/routes.yaml`).
fn refused(stage: &Stage, why: &str, code: &str) -> Result<()> {
    let key = format!("in/denied/{why}/sales.csv");
    stage.cloud.wait(async {
        stage.upload(&key, csv(3)).await?;
        let head = stage.cloud.data.s3.head_object().bucket(LANDING_BUCKET).key(&key);
        let version = head.send().await.context("failed to look at the object")?;
        let letter = stage.dead_letter(&format!("for `{key}`"), |body| body.contains(&key)).await?;

        let letter: Value = serde_json::from_str(&letter).context("the message is not JSON")?;
        let records = letter["Records"].as_array().context("the message has no records")?;
        ensure!(records.len() == 1, "the message has {} records", records.len());
        let s3 = &records[0]["s3"];
        ensure!(s3["bucket"]["name"] == LANDING_BUCKET, "another bucket: {s3}");
        ensure!(s3["object"]["key"] == key.as_str(), "another key: {s3}");
        ensure!(s3["object"]["size"] == csv(3).len(), "another size: {s3}");
        ensure!(
            s3["object"]["versionId"].as_str() == version.version_id(),
            "another version: {s3}"
        );
        ensure!(s3["object"]["sequencer"].is_string(), "no sequencer: {s3}");

        stage.assert_not_started(&format!("s3://{LANDING_BUCKET}/{key}")).await
    })?;
    // Not for another reason than the one that this is about.
    let lines = stage.cloud.data.cli.log_lines("/aws/lambda/landfall-trigger", None);
    let logged = |line: &Value| line["route"] == why && line["code"] == code;
    let said = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).any(|l| logged(&l));
    ensure!(said, "the trigger did not log code `{code}` for route `{why}`");
    Ok(())
}
