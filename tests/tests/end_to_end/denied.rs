//! If IAM refuses a call, Landfall starts nothing and keeps the batch: it waits in the ledger and
//! starts once the refusal is repaired.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use landfall_core::batch::{HistoryEvent, State};
use landfall_tests::DATA;
use landfall_tests::cloud::LANDING_BUCKET;
use serde_json::json;

use crate::stage::{SOON, Stage, csv};

/// The time for a tick, which comes every minute, and for the pause before another attempt, which
/// has grown by then.
const ONCE_MENDED: Duration = Duration::from_secs(400);

pub fn a_wrong_external_id_starts_nothing_and_the_batch_waits(stage: &Stage) -> Result<()> {
    refused(stage, "wrong-id", "assume_role_denied")
}

pub fn a_missing_external_id_starts_nothing_and_the_batch_waits(stage: &Stage) -> Result<()> {
    refused(stage, "missing-id", "assume_role_denied")
}

pub fn a_starter_role_that_the_trigger_may_not_assume_starts_nothing(stage: &Stage) -> Result<()> {
    refused(stage, "unlisted", "assume_role_denied")
}

pub fn the_trigger_cannot_start_a_job_that_the_starter_role_does_not_name(
    stage: &Stage,
) -> Result<()> {
    // The role may not read the job either, which Landfall does first.
    refused(stage, "other-job", "job_not_seen")
}

pub fn what_waits_for_a_role_that_is_not_trusted_starts_once_the_role_is_repaired(
    stage: &Stage,
) -> Result<()> {
    refused(stage, "untrusted", "assume_role_denied")?;
    let trusted =
        ["trigger", "monitor"].map(|name| format!("arn:aws:iam::{DATA}:role/landfall-{name}"));
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": { "AWS": format!("arn:aws:iam::{DATA}:root") },
        "Condition": { "ArnEquals": { "aws:PrincipalArn": trusted } } }] });
    let trust = trust.to_string();
    let update = ["iam", "update-assume-role-policy", "--role-name", "stranger-starter"];
    let document = ["--policy-document", &trust];
    stage.cloud.analytics.cli.run([&update[..], &document].concat())?;
    stage.cloud.wait(async {
        let is_started =
            |state: &State| !matches!(state, State::Sealed { .. } | State::Starting { .. });
        let batch = stage
            .batch_of("untrusted", &key("untrusted"), ONCE_MENDED, |batch| is_started(&batch.state))
            .await?;
        ensure!(batch.runs.len() == 1, "not exactly one run: {batch:?}");
        Ok(())
    })
}

fn key(why: &str) -> String {
    format!("in/denied/{why}/sales.csv")
}

/// Uses a route that differs from a working one in a single thing (see `fixtures/routes.yaml`).
fn refused(stage: &Stage, why: &str, code: &str) -> Result<()> {
    let key = key(why);
    stage.cloud.wait(async {
        stage.upload(&key, csv(3)).await?;
        let waits = |state: &State| matches!(state, State::Sealed { .. });
        let batch = stage
            .batch_of(why, &key, SOON, |batch| waits(&batch.state) && batch.deferrals > 0)
            .await?;
        // The batch waits for this reason and no other.
        let last = batch.history.last().context("no history")?;
        ensure!(last.what == HistoryEvent::Deferred, "the batch is not deferred: {last:?}");
        ensure!(
            last.detail.starts_with(&format!("{code}: ")),
            "deferred for another reason: {last:?}"
        );
        let members = stage.ledger.members(&batch).await?;
        ensure!(members.len() == 1 && members[0].key == key, "wrong members: {members:?}");
        ensure!(members[0].size == Some(csv(3).len() as u64), "wrong size: {members:?}");
        let dead = stage.dead_letters().await?;
        ensure!(
            !dead.iter().any(|body| body.contains(&key)),
            "the message is in the dead-letter queue"
        );
        stage.assert_not_started(&format!("s3://{LANDING_BUCKET}/{key}")).await
    })
}
