//! Every object that lands reaches the job: through every envelope, with every key.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use landfall_tests::cloud::{JOB, LANDING_BUCKET, has_ended, wait_until};
use landfall_tests::demo::{count_rows, report};

use crate::stage::{SOON, Stage, assert_succeeded, csv};

pub fn an_upload_starts_the_job_which_writes_every_row(stage: &Stage) -> Result<()> {
    let run = stage.cloud.wait(async {
        stage.upload("in/happy/sales.csv", csv(100)).await?;
        stage.run_of(JOB, "s3://acme-landing/in/happy/sales.csv").await
    })?;
    assert_succeeded(&run)?;
    let report = report(&stage.cloud, &run)?;
    ensure!(report.read == 100, "the job read {} rows of 100", report.read);
    ensure!(report.written == 100, "the job wrote {} rows of 100", report.written);
    let (rows, files) = count_rows(&stage.cloud, "parquet/happy/")?;
    ensure!((rows, files) == (100, 2), "there are {rows} rows in {files} files, not 100 in 2");
    Ok(())
}

pub fn an_event_wrapped_by_sns_starts_the_job(stage: &Stage) -> Result<()> {
    through(stage, "sns")
}

pub fn an_event_of_raw_sns_delivery_starts_the_job(stage: &Stage) -> Result<()> {
    through(stage, "sns-raw")
}

pub fn an_eventbridge_event_in_the_queue_starts_the_job(stage: &Stage) -> Result<()> {
    through(stage, "bus-queue")
}

pub fn an_eventbridge_event_that_invokes_the_trigger_starts_the_job(stage: &Stage) -> Result<()> {
    through(stage, "bus-direct")
}

pub fn a_notification_that_invokes_the_trigger_starts_the_job(stage: &Stage) -> Result<()> {
    through(stage, "direct")
}

/// Uploads to the prefix whose events take this way. If the key were decoded once too often, or not
/// at all, it would differ.
fn through(stage: &Stage, way: &str) -> Result<()> {
    let key = format!("{way}/a b+c%20d=e.csv");
    let run = stage.cloud.wait(async {
        stage.cloud.put("acme-envelopes", &key, csv(7)).await?;
        stage.run_of(JOB, &format!("s3://acme-envelopes/{key}")).await
    })?;
    assert_succeeded(&run)?;
    let (rows, _) = count_rows(&stage.cloud, &format!("parquet/envelopes/{way}/"))?;
    ensure!(rows == 7, "there are {rows} rows, not 7");
    Ok(())
}

pub fn keys_with_any_characters_arrive_at_the_job_exactly(stage: &Stage) -> Result<()> {
    let longest = format!("in/keys/{}.csv", "ü".repeat(506));
    ensure!(longest.len() == 1024, "the longest key has {} bytes", longest.len());
    // Each file has a different number of rows, which shows that the job read exactly that file.
    let files: BTreeMap<String, usize> = [
        "in/keys/a space.csv",
        "in/keys/two  spaces .csv",
        "in/keys/plus+sign.csv",
        "in/keys/percent%sign.csv",
        "in/keys/literal%20percent.csv",
        "in/keys/literal%2Bplus+.csv",
        "in/keys/día=1/日本語-🌧.csv",
        "in/keys/a=b&c=d.csv",
        "in/keys/quote'\"{}$`.csv",
        "in/keys/-begins-with-a-dash",
        "in/keys/line\nbreak\tand\u{1}control.csv",
        &longest,
    ]
    .iter()
    .enumerate()
    .map(|(number, key)| (format!("s3://{LANDING_BUCKET}/{key}"), 1 << number))
    .collect();

    let runs = stage.cloud.wait(async {
        for (url, rows) in &files {
            stage.upload(url.split_at("s3://acme-landing/".len()).1, csv(*rows)).await?;
        }
        wait_until("not every key reached a run that ended", SOON, async || {
            let mut runs = Vec::new();
            for run in stage.cloud.runs(JOB).await? {
                let is_ours = |url: &String| url.starts_with("s3://acme-landing/in/keys/");
                let given = stage.inputs(&run).await?;
                if has_ended(&run) && given.iter().any(is_ours) {
                    runs.push((run, given));
                }
            }
            let arrived: BTreeSet<&String> = runs.iter().flat_map(|(_, given)| given).collect();
            Ok((arrived.len() >= files.len()).then_some(runs))
        })
        .await
    })?;
    let mut arrived = BTreeSet::new();
    for (run, given) in &runs {
        assert_succeeded(run)?;
        let expected: usize = given.iter().filter_map(|url| files.get(url)).sum();
        let read = report(&stage.cloud, run)?.read;
        ensure!(read == expected, "the job read {read} rows, not {expected}, of {given:?}");
        arrived.extend(given.iter().cloned());
    }
    let uploaded: BTreeSet<String> = files.into_keys().collect();
    ensure!(arrived == uploaded, "uploaded {uploaded:#?}, arrived {arrived:#?}");
    Ok(())
}
