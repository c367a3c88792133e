//! Batches as they are deployed: when they close, how limits hold them back, and what follows a
//! failure.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use landfall_core::batch::{Batch, HistoryEvent, RunState, State, Why};
use landfall_core::moment::Time;
use landfall_tests::cloud::LANDING_BUCKET;

use crate::stage::{Stage, csv};

/// A batch that closes by time waits for a tick, which comes every minute. Its run takes a while,
/// and so does finding out about a start that got no answer.
const A_FEW_TICKS: Duration = Duration::from_secs(600);

pub fn a_window_closes_what_came_while_it_was_open(stage: &Stage) -> Result<()> {
    stage.cloud.wait(async {
        upload(stage, &["in/window/1/a.csv", "in/window/1/b.csv", "in/window/2/a.csv"]).await?;
        let one = done(stage, "window", "in/window/1/a.csv").await?;
        let two = done(stage, "window", "in/window/2/a.csv").await?;
        ensure!(one.id != two.id, "another day shares the batch");
        has_members(stage, &one, &["in/window/1/a.csv", "in/window/1/b.csv"]).await?;
        has_members(stage, &two, &["in/window/2/a.csv"]).await?;
        let first = one.first_arrival_at.context("no first arrival")?;
        let lasted = closed_at(&one)?.since(first);
        ensure!(lasted >= Duration::from_secs(5), "closed after {lasted:?}");
        // Objects that arrive now belong to the next batch.
        upload(stage, &["in/window/1/c.csv"]).await?;
        let next = stage.batch_of("window", "in/window/1/c.csv", A_FEW_TICKS, |_| true).await?;
        ensure!(next.id != one.id, "a closed batch takes further members");
        Ok(())
    })
}

pub fn quiet_closes_a_batch_to_which_nothing_came(stage: &Stage) -> Result<()> {
    stage.cloud.wait(async {
        upload(stage, &["in/quiet/a.csv"]).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        upload(stage, &["in/quiet/b.csv"]).await?;
        let batch = done(stage, "quiet", "in/quiet/a.csv").await?;
        has_members(stage, &batch, &["in/quiet/a.csv", "in/quiet/b.csv"]).await?;
        let last = batch.last_arrival_at.context("no last arrival")?;
        let lasted = closed_at(&batch)?.since(last);
        ensure!(lasted >= Duration::from_secs(4), "closed {lasted:?} after the last arrival");
        Ok(())
    })
}

pub fn max_objects_closes_a_batch_that_is_full(stage: &Stage) -> Result<()> {
    stage.cloud.wait(async {
        let keys: Vec<String> = (0..7).map(|n| format!("in/full/{n}.csv")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        upload(stage, &keys).await?;
        let mut batches: Vec<Batch> = Vec::new();
        for key in &keys {
            let batch = stage
                .batch_of("full", key, A_FEW_TICKS, |batch| batch.members == 3 || batch.is_open())
                .await?;
            if !batches.iter().any(|known| known.id == batch.id) {
                batches.push(batch);
            }
        }
        let mut sizes = BTreeSet::new();
        for batch in &batches {
            let now = stage.ledger.batch(&batch.id).await?.context("the batch is gone")?;
            ensure!(now.members <= 3, "{} members in `{}`", now.members, now.id);
            sizes.insert((now.id.clone(), now.members));
        }
        let total: u64 = sizes.iter().map(|(_, members)| members).sum();
        ensure!(total == 7, "{total} members: {sizes:?}");
        for (id, _) in sizes.iter().filter(|(_, members)| *members == 3) {
            let key = stage.ledger.batch(id).await?.context("the batch is gone")?;
            let member = stage.ledger.members(&key).await?.remove(0);
            done(stage, "full", &member.key).await?;
        }
        ensure!(sizes.iter().filter(|(_, members)| *members == 3).count() == 2, "{sizes:?}");
        Ok(())
    })
}

pub fn a_marker_closes_its_folder_and_what_comes_late_forms_a_follow_up(
    stage: &Stage,
) -> Result<()> {
    stage.cloud.wait(async {
        // The marker overtakes the data: it arrives first, and twice.
        for _ in 0..2 {
            stage.upload("in/marked/1/_SUCCESS", "").await?;
        }
        upload(stage, &["in/marked/1/a.csv", "in/marked/1/b.csv", "in/marked/2/a.csv"]).await?;
        let batch = done(stage, "marked", "in/marked/1/a.csv").await?;
        has_members(stage, &batch, &["in/marked/1/a.csv", "in/marked/1/b.csv"]).await?;
        upload(stage, &["in/marked/1/late.csv"]).await?;
        let late = "in/marked/1/late.csv";
        let follow_up = stage.batch_of("marked", late, A_FEW_TICKS, |_| true).await?;
        ensure!(follow_up.id != batch.id, "a closed batch takes further members");
        let other = stage.batch_of("marked", "in/marked/2/a.csv", A_FEW_TICKS, |_| true).await?;
        ensure!(other.is_open(), "a folder without a marker was closed: {other:?}");
        Ok(())
    })
}

pub fn a_job_that_runs_once_at_a_time_drains_twenty_batches_without_a_dead_letter(
    stage: &Stage,
) -> Result<()> {
    stage.cloud.wait(async {
        let keys: Vec<String> = (0..20).map(|n| format!("in/drain/{n}.csv")).collect();
        for key in &keys {
            stage.upload(key, csv(1)).await?;
        }
        let mut ids = BTreeSet::new();
        for key in &keys {
            let batch = done(stage, "drain", key).await?;
            ensure!(batch.runs.len() == 1, "`{}` has {} runs", batch.id, batch.runs.len());
            ensure!(batch.failures == 0, "`{}` failed", batch.id);
            ids.insert(batch.id);
        }
        ensure!(ids.len() == 20, "{} batches", ids.len());
        let runs = stage.cloud.runs("one-at-a-time").await?;
        ensure!(runs.len() == 20, "{} runs of 20 batches", runs.len());
        let dead = stage.dead_letters().await?;
        ensure!(
            !dead.iter().any(|body| body.contains("in/drain/")),
            "a message is in the dead-letter queue"
        );
        Ok(())
    })
}

pub fn a_flood_against_max_runs_per_hour_waits_and_loses_nothing(stage: &Stage) -> Result<()> {
    stage.cloud.wait(async {
        let keys: Vec<String> = (0..6).map(|n| format!("in/hourly/{n}.csv")).collect();
        for key in &keys {
            stage.upload(key, csv(1)).await?;
        }
        let mut started = 0;
        for key in &keys {
            let is_settled = |batch: &Batch| !batch.runs.is_empty() || batch.deferrals > 0;
            let batch = stage.batch_of("hourly", key, A_FEW_TICKS, is_settled).await?;
            has_members(stage, &batch, &[key]).await?;
            match &batch.state {
                State::Sealed { due, .. } => {
                    let last = batch.history.last().context("no history")?;
                    ensure!(last.detail == "max_runs_per_hour", "{last:?}");
                    // The batch waits until the first start of the hour is an hour old.
                    let waits = due.since(last.at);
                    ensure!(waits > Duration::from_secs(58 * 60), "the batch waits {waits:?}");
                }
                _ => started += 1,
            }
        }
        ensure!(started == 2, "{started} of 6 were started");
        ensure!(stage.cloud.runs("hourly").await?.len() == 2, "the job does not have two runs");
        Ok(())
    })
}

pub fn a_run_that_fails_is_followed_by_one_more_and_then_parked_and_returned(
    stage: &Stage,
) -> Result<()> {
    let key = "in/retried/a.csv";
    let batch = stage.cloud.wait(async {
        upload(stage, &[key]).await?;
        let is_parked = |batch: &Batch| matches!(batch.state, State::Parked { .. });
        stage.batch_of("retried", key, A_FEW_TICKS, is_parked).await
    })?;
    let State::Parked { why, .. } = &batch.state else {
        anyhow::bail!("the batch is not parked");
    };
    ensure!(*why == Why::AttemptsExhausted, "parked for another reason: {why:?}");
    ensure!(batch.runs.len() == 2, "{} runs of 2 attempts", batch.runs.len());
    let failed = |run: &landfall_core::batch::Run| run.state == Some(RunState::Failed);
    ensure!(batch.runs.iter().all(failed), "not every run failed: {:?}", batch.runs);

    // Return the batch as `landfall retry` does. The third run succeeds.
    stage.cloud.wait(async {
        let returned =
            batch.returned(landfall_aws::clock::now()).context("the batch cannot be returned")?;
        stage.ledger.write(returned).await?.context("another process wrote the batch")?;
        let batch = done(stage, "retried", key).await?;
        ensure!(batch.epoch == 3 && batch.runs.len() == 3, "{batch:?}");
        Ok(())
    })
}

async fn upload(stage: &Stage, keys: &[&str]) -> Result<()> {
    for key in keys {
        stage.upload(key, csv(1)).await?;
    }
    Ok(())
}

/// Returns the batch of an object once it has succeeded.
async fn done(stage: &Stage, route: &str, key: &str) -> Result<Batch> {
    let is_done = |batch: &Batch| matches!(batch.state, State::Succeeded { .. });
    stage.batch_of(route, key, A_FEW_TICKS, is_done).await
}

async fn has_members(stage: &Stage, batch: &Batch, keys: &[&str]) -> Result<()> {
    let members = stage.ledger.members(batch).await?;
    let found: BTreeSet<&str> = members.iter().map(|member| member.key.as_str()).collect();
    let expected: BTreeSet<&str> = keys.iter().copied().collect();
    ensure!(
        found == expected,
        "the members in `s3://{LANDING_BUCKET}` are {found:?}, not {expected:?}"
    );
    Ok(())
}

fn closed_at(batch: &Batch) -> Result<Time> {
    let sealed = batch.history.iter().find(|entry| entry.what == HistoryEvent::Sealed);
    Ok(sealed.context("the batch was never sealed")?.at)
}
