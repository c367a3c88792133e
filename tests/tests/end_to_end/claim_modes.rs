//! Jobs that know nothing of Landfall, under both claim modes. The tests of the recovery have two
//! runs of which none claimed.

use anyhow::{Result, ensure};
use landfall_core::batch::{Batch, State, Why};
use landfall_tests::cloud::LANDING_BUCKET;

use crate::stage::{SOON, Stage, assert_succeeded, csv};

pub fn a_job_as_it_is_succeeds_where_it_need_not_claim_and_is_parked_where_it_must(
    stage: &Stage,
) -> Result<()> {
    stage.cloud.wait(async {
        for route in ["plain", "plain-required"] {
            stage.upload(&format!("in/{route}/works.csv"), csv(2)).await?;
        }
        let done = |batch: &Batch| matches!(batch.state, State::Succeeded { claimed: false, .. });
        let key = "in/plain/works.csv";
        let batch = stage.batch_of("plain", key, SOON, done).await?;
        ensure!(batch.v == 3 && batch.runs.len() == 1, "{batch:?}");
        assert_succeeded(&stage.run_of("plain", &format!("s3://{LANDING_BUCKET}/{key}")).await?)?;
        let parked =
            |batch: &Batch| matches!(batch.state, State::Parked { why: Why::NotClaimed, .. });
        stage.batch_of("plain-required", "in/plain-required/works.csv", SOON, parked).await?;
        Ok(())
    })
}

pub fn a_job_that_glue_itself_repeats_is_followed_where_it_need_not_claim_and_waits_where_it_must(
    stage: &Stage,
) -> Result<()> {
    stage.cloud.wait(async {
        stage.upload("in/plain-repeated/fails.csv", csv(2)).await?;
        stage.upload("in/plain-refused/works.csv", csv(2)).await?;
        let parked = |batch: &Batch| {
            matches!(batch.state, State::Parked { why: Why::AttemptsExhausted, .. })
        };
        let key = "in/plain-repeated/fails.csv";
        let batch = stage.batch_of("plain-repeated", key, SOON, parked).await?;
        // Both attempts are one run of the batch, which failed once.
        let ids: Vec<&str> = batch.runs.iter().map(|run| run.run_id.as_str()).collect();
        let is_last = matches!(&ids[..], [id] if id.ends_with("_attempt_1"));
        ensure!(is_last && (batch.failures, batch.epoch) == (1, 1), "{batch:?}");
        let refused = |batch: &Batch| batch.history.iter().any(|entry| entry.what.is_put_off());
        let key = "in/plain-refused/works.csv";
        let batch = stage.batch_of("plain-refused", key, SOON, refused).await?;
        let why = batch.history.last().map(|entry| entry.detail.as_str()).unwrap_or_default();
        ensure!(why.starts_with("job_repeats_by_itself"), "{batch:?}");
        stage.assert_not_started(&format!("s3://{LANDING_BUCKET}/{key}")).await
    })
}
