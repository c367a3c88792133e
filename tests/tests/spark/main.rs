//! Real Spark, started by the trigger through the ledger as Glue would start it, on the local cloud
//! with IAM switched on: `make spark`. Each run has a driver and two executors, each in a process
//! of its own.
//!
//! Spark is 3.5 with Hadoop 3.3 and S3A of the AWS SDK's version 1, as in Glue 4.0. Nothing else of
//! Glue is here.

mod keys;
mod stage;

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use aws_sdk_glue::types::{JobRun, JobRunState};
use landfall_core::batch::RunState;
use landfall_tests::cloud::LANDING_BUCKET;
use landfall_tests::demo::count_rows;
use landfall_tests::shared::Shared;
use landfall_tests::{interrupt, keeper};
use libtest_mimic::Arguments;
use serde_json::json;

use crate::stage::{Stage, csv};

fn main() -> ExitCode {
    keeper::run_if_asked();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(8);
    if let Err(error) = interrupt::handle() {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    let shared: Shared<Stage> = Shared::default();
    macro_rules! trials {
        ($($test:path),+ $(,)?) => { vec![$(shared.trial(stringify!($test), Stage::set, $test)),+] };
    }
    let trials = trials![
        keys::spark_reads_every_key_that_is_named_to_it_and_none_that_is_refused,
        a_batch_is_read_as_the_reader_and_written_once_however_often_it_is_started,
        a_run_that_fails_halfway_is_followed_by_one_that_replaces_what_it_wrote,
        a_row_that_does_not_fit_fails_the_run_and_is_told_to_nobody,
        a_job_outlives_its_session,
        what_is_not_the_batchs_is_refused,
        a_route_without_a_wildcard_is_read_like_any_other,
        a_script_that_knows_nothing_of_landfall_runs_as_it_is,
    ];
    let conclusion = libtest_mimic::run(&arguments, trials);
    shared.conclude(&conclusion, |stage| stage.cloud.hints())
}

fn a_batch_is_read_as_the_reader_and_written_once_however_often_it_is_started(
    stage: &Stage,
) -> Result<()> {
    let folder = "in/orders/once";
    let keys = [("a b", 30), ("[x]{1}*", 300), ("50%25+ä", 3000)]
        .map(|(name, rows)| (format!("{folder}/{name}.csv"), rows));
    stage.cloud.wait(async {
        for (key, rows) in &keys {
            stage.upload(key, csv(*rows)).await?;
        }
        // This object is in the same folder but not in the batch, so the run must not read it.
        stage.upload(&format!("{folder}/notes.txt"), "day,weather\n1000000,snow\n").await?;
        stage.upload(&format!("{folder}/_SUCCESS"), "").await?;
        // As soon as it has claimed the batch, start it again with the same arguments, as somebody
        // other than Landfall would.
        let batch = stage.batch_of("orders", &keys[0].0, |batch| !batch.runs.is_empty()).await?;
        let first = batch.runs[0].run_id.clone();
        stage.claimed(&batch.id).await?;
        let second = stage.start_again("csv-to-parquet-spark", &first).await?;
        let batch = stage.succeeded("orders", &keys[0].0).await?;
        ensure!(batch.runs.len() == 1, "the ledger knows {} runs", batch.runs.len());
        ensure!(batch.members == 3, "{} objects", batch.members);
        let expected = sums(&keys.each_ref().map(|(_, rows)| *rows));
        let runs = stage.ended("csv-to-parquet-spark", &[&first, &second]).await?;
        for run in &runs {
            match run.id() {
                Some(id) if id == first => stage.ensure_succeeded(run)?,
                _ => ensure_kept_out(run)?,
            }
        }
        let printed: Vec<_> = [&first, &second].map(|run| stage.printed(run)).concat();
        ensure!(printed.len() == 1, "not exactly one of two runs did the work: {printed:?}");
        ensure!(printed[0]["objects"] == 3 && printed[0]["rows_written"] == 3330, "{printed:?}");
        let output = stage.output("parquet/orders/once/")?;
        ensure!(output["batches"] == json!([batch.id]), "{output:#}");
        ensure!(output["rows"] == expected.0 && output["sum"] == expected.1, "{output:#}");
        ensure!(output["weather"] == json!(expected.2), "{output:#}");

        // Start it once more after it is done.
        let third = stage.start_again("csv-to-parquet-spark", &first).await?;
        let runs = stage.ended("csv-to-parquet-spark", &[&third]).await?;
        ensure_kept_out(&runs[0])?;
        ensure!(stage.printed(&third).is_empty(), "it did the work again");
        ensure!(stage.output("parquet/orders/once/")? == output, "the output has changed");
        Ok(())
    })
}

/// A second process of the same start fails, and says why.
fn ensure_kept_out(run: &JobRun) -> Result<()> {
    let message = run.error_message().unwrap_or_default();
    ensure!(
        run.job_run_state() == Some(&JobRunState::Failed)
            && message.contains("an earlier process of the same start has claimed it"),
        "the run ended {:?}: {message}",
        run.job_run_state()
    );
    Ok(())
}

/// One of the two keys is a pattern that matches the other, which Spark would read with it.
fn a_script_that_knows_nothing_of_landfall_runs_as_it_is(stage: &Stage) -> Result<()> {
    let objects = [("in/as-it-is/a*b.csv", 40), ("in/as-it-is/axb.csv", 7)];
    let batches = stage.cloud.wait(async {
        for (key, rows) in objects {
            stage.upload(key, csv(rows)).await?;
        }
        let mut batches = Vec::new();
        for (key, rows) in objects {
            batches.push((stage.succeeded("as-it-is", key).await?, rows));
        }
        anyhow::Ok(batches)
    })?;
    for (batch, rows) in batches {
        ensure!(batch.runs.len() == 1, "{:?}", batch.runs);
        let output = count_rows(&stage.cloud, &format!("parquet/as-it-is/{}/", batch.id))?;
        ensure!(output.0 == rows, "{} of {rows} rows", output.0);
    }
    Ok(())
}

fn a_run_that_fails_halfway_is_followed_by_one_that_replaces_what_it_wrote(
    stage: &Stage,
) -> Result<()> {
    let key = "in/retried/a.csv";
    stage.cloud.wait(async {
        stage.upload(key, csv(600)).await?;
        let batch = stage.succeeded("retried", key).await?;
        let states: Vec<_> = batch.runs.iter().map(|run| run.state.clone()).collect();
        ensure!(states == [Some(RunState::Failed), Some(RunState::Succeeded)], "{states:?}");
        let failed = stage.ended("fails-halfway", &[&batch.runs[0].run_id]).await?;
        let message = failed[0].error_message().unwrap_or_default();
        ensure!(
            message == "RuntimeError: failed halfway",
            "the run failed with another error: {message}"
        );
        let output = stage.output("parquet/retried/")?;
        let (rows, sum, weather) = sums(&[600]);
        ensure!(output["rows"] == rows && output["sum"] == sum, "{output:#}");
        ensure!(output["weather"] == json!(weather), "{output:#}");
        Ok(())
    })
}

fn a_row_that_does_not_fit_fails_the_run_and_is_told_to_nobody(stage: &Stage) -> Result<()> {
    let secrets = ["4711-secret", "4712-secret"];
    // A value of the wrong type, and a row that is too short.
    let bodies = [format!("{},rain\n", secrets[0]), format!("{}\n", secrets[1])];
    stage.cloud.wait(async {
        for (name, row) in ["a", "b"].iter().zip(bodies) {
            stage.upload(&format!("in/unfit/{name}.csv"), csv(4) + &row).await?;
        }
        stage.upload("in/unfit/_SUCCESS", "").await?;
        let batch =
            stage.batch_of("unfit", "in/unfit/a.csv", |batch| !batch.runs.is_empty()).await?;
        let id = &batch.runs[0].run_id;
        let run = &stage.ended("csv-to-parquet-spark", &[id]).await?[0];
        let message = run.error_message().unwrap_or_default();
        let expected = format!("JobError: failed to convert batch `{}`: ", batch.id);
        ensure!(message.starts_with(&expected), "the run failed with another error: {message}");
        let said = stage.cloud.printed_by_spark("error", id).join("\n");
        ensure!(said.contains("TaskSetManager: Lost task"), "Spark's own log is not in it: {said}");
        for secret in secrets {
            ensure!(
                !message.contains(secret) && !said.contains(secret),
                "a row is in the log: {said}"
            );
        }
        Ok(())
    })
}

fn a_job_outlives_its_session(stage: &Stage) -> Result<()> {
    let keys = ["in/long/a.csv", "in/long/b.csv"];
    stage.cloud.wait(async {
        for (key, rows) in keys.iter().zip([5, 50]) {
            stage.upload(key, csv(rows)).await?;
        }
        stage.upload("in/long/_SUCCESS", "").await?;
        let batch = stage.succeeded("long", keys[0]).await?;
        let printed = stage.printed(&batch.runs[0].run_id);
        let report = printed.first().context("the run printed nothing")?;
        ensure!(report["first"] == "" && report["last"] == "ExpiredToken", "{report}");
        let mut counted: Vec<_> =
            report["counted"].as_array().context("no counts")?.iter().map(|n| n.as_u64()).collect();
        counted.sort();
        ensure!(counted == [Some(5), Some(50)], "{report}");
        // The stream is the first object's.
        let rows = report["counted"][0].as_u64().context("no number")?;
        let read = json!(["d", csv(rows.try_into()?)]);
        ensure!(report["stream"] == read, "the open stream did not go on: {report}");
        ensure!(report["unrefreshed"] == true, "an expired session could still be used: {report}");
        Ok(())
    })
}

fn what_is_not_the_batchs_is_refused(stage: &Stage) -> Result<()> {
    stage.cloud.wait(async {
        stage.cloud.put(LANDING_BUCKET, "private/secret.csv", csv(1)).await?;
        // The reader role can read all keys of a route, whether they are in the batch or not. Of
        // the folder above them, it may not even learn whether it is an object.
        let report = stage.reached("reach").await?;
        ensure!(report["batch"] == "5 rows" && report["other"] == "2 rows", "{report}");
        ensure!(report["folder"] == "403" && report["bucket"] == "403", "{report}");
        // The work is done in processes of their own.
        ensure!(report["master"] == "local-cluster[2,1,1024]", "{report}");
        // If a run is held to its batch, it reads nothing else.
        let report = stage.reached("narrow").await?;
        ensure!(report["batch"] == "5 rows", "{report}");
        for place in ["other", "folder", "bucket"] {
            ensure!(report[place] == "403", "{report}");
        }
        Ok(())
    })
}

fn a_route_without_a_wildcard_is_read_like_any_other(stage: &Stage) -> Result<()> {
    let key = "in/single.csv";
    stage.cloud.wait(async {
        stage.upload(key, csv(9)).await?;
        let batch = stage.succeeded("single", key).await?;
        let printed = stage.printed(&batch.runs[0].run_id);
        let report = printed.first().context("the run printed nothing")?;
        ensure!(report["rows_written"] == 9, "{report}");
        Ok(())
    })
}

/// Returns the number of rows, the sum of `day`, and the number of rows by `weather`, of CSV files
/// with this many rows.
fn sums(files: &[usize]) -> (usize, usize, BTreeMap<&'static str, usize>) {
    let sun = files.iter().map(|rows| rows.div_ceil(3)).sum::<usize>();
    let rain = files.iter().sum::<usize>() - sun;
    (sun + rain, sun + 2 * rain, BTreeMap::from([("rain", rain), ("sun", sun)]))
}
