//! The scene `role-deleted`: somebody deletes the reader role while a job runs and a batch waits.
//! `landfall doctor` names the role, `landfall deploy --repair` makes it again, and nothing is lost.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use aws_sdk_glue::types::{JobRun, JobRunState};
use serde_json::Value;

use super::{TIME_TO_END, TIME_TO_START, TIME_TO_TELL, find, indented, started, succeeded, table};
use crate::aws_cli::ARTIFACT_PREFIX;
use crate::cloud::{ANALYTICS_ARTIFACTS, LANDING_BUCKET, LocalCloud, has_ended, wait_until};
use crate::package::LIBRARY;
use crate::{ANALYTICS, DATA, progress, root};

/// The routes of the scene, next to those that users deploy.
pub const ROUTES: &str = "tests/demo/slow-routes.yaml";
/// How long a minute of schedules and alarms lasts here.
pub const MINUTE: Duration = Duration::from_secs(10);

const JOB: &str = "weather-slow";
const ALARM: &str = "landfall-batches-parked";
/// Its run is at work when the role is deleted.
const AT_WORK: &str = "at-work/a.csv";
/// Its batch waits for a second object when the role is deleted.
const WAITING: &str = "waiting/a.csv";
/// The object that this batch waits for. It lands once the role is there again.
const LATE: &str = "waiting/b.csv";
const TIME_TO_ALARM: Duration = Duration::from_secs(180);

pub fn show(cloud: &LocalCloud) -> Result<()> {
    progress::step("creating a job in the analytics account that takes 20 s to begin", || {
        for name in ["slow.py", "slow.yaml"] {
            cloud.stage(name, &std::fs::read_to_string(root().join("tests/demo").join(name))?)?;
        }
        let library = format!("s3://{ANALYTICS_ARTIFACTS}/{ARTIFACT_PREFIX}/landfall.whl");
        cloud.analytics.cli.upload(Path::new(LIBRARY), &library)?;
        cloud.analytics.cli.deploy("slow", "slow.yaml", ANALYTICS_ARTIFACTS, &[])
    })?;

    println!("\n1. A job runs, and a batch waits.\n");
    land(cloud, AT_WORK)?;
    let first = started(cloud, JOB)?;
    land(cloud, WAITING)?;
    find_says(cloud, WAITING, "open", TIME_TO_START)?;
    println!("  → its batch is open, and waits for another file");

    println!("\n2. Somebody deletes the reader role of the data account.\n");
    let reader = format!("landfall-reader-{ANALYTICS}");
    cloud.wait(delete(cloud, &reader))?;
    println!("  $ aws iam delete-role --role-name {reader}        # in account {DATA}");

    println!("\n3. The run tries to read as that role, and fails. Landfall parks its batch.\n");
    failed(cloud, &first)?;
    let found = find_says(cloud, AT_WORK, "parked", TIME_TO_TELL)?;
    println!("  $ landfall find s3://{LANDING_BUCKET}/{AT_WORK}\n{}", indented(&found));
    goes_off(cloud)?;
    println!("  The alarm `{ALARM}` goes off.");

    println!(
        "\n4. `landfall doctor` walks from the bucket to the job, and names the first link that is broken.\n"
    );
    let doctor = ["--routes", "stage/routes.yaml"];
    let said = said(cloud, "doctor", &doctor, 1)?;
    let (first_block, checks) =
        said.split_once("\nall checks").context("`landfall doctor` lists no checks")?;
    ensure!(
        first_block.contains("role_missing") && first_block.contains(&reader),
        "`landfall doctor` names something else first: {said}"
    );
    println!(
        "{}{}  … and then all checks, in {} lines",
        typed("doctor", &doctor),
        indented(first_block),
        checks.lines().count()
    );

    println!("\n5. One command makes the role again, exactly as the deployed stack asks for it.\n");
    let deploy = ["stage/routes.yaml", "--repair", "--yes"];
    let repaired = self::said(cloud, "deploy", &deploy, 0)?;
    println!("{}{}", typed("deploy", &deploy), indented(&repaired));
    println!(
        "6. The parked batch is returned. The other one goes on by itself when its second file lands.\n"
    );
    let returned = self::returned(cloud)?;
    println!("  $ landfall retry --all-parked --yes\n{}", indented(&returned));
    land(cloud, LATE)?;
    let runs = cloud.wait(wait_until("not every batch had its run", TIME_TO_END, async || {
        let runs = cloud.runs(JOB).await?;
        Ok((runs.len() >= 3 && runs.iter().all(has_ended)).then_some(runs))
    }))?;
    ensure!(runs.len() == 3, "{} runs, and not three: {runs:?}", runs.len());
    for key in [AT_WORK, WAITING, LATE] {
        find_says(cloud, key, "succeeded", TIME_TO_TELL)?;
    }
    let others = runs.iter().filter(|run| run.id() != Some(first.as_str()));
    let read = others.map(|run| rows(cloud, run)).collect::<Result<Vec<_>>>()?.concat();
    let healthy = self::said(cloud, "doctor", &doctor, 0)?;
    let healthy = healthy.lines().next().unwrap_or_default();
    println!("\n{}{}", typed("doctor", &doctor), indented(healthy));
    nothing_is_lost(&read)
}

/// Uploads a file with two rows.
fn land(cloud: &LocalCloud, key: &str) -> Result<()> {
    cloud.wait(cloud.put(LANDING_BUCKET, key, "day,weather\n1,sun\n2,rain\n"))?;
    println!("  a file lands: s3://{LANDING_BUCKET}/{key}");
    Ok(())
}

/// Waits until `landfall find` says this of the object, and returns all that it says.
fn find_says(cloud: &LocalCloud, key: &str, expected: &str, limit: Duration) -> Result<String> {
    let what = format!("`landfall find` doesn't say `{expected}` of `{key}`");
    cloud.wait(wait_until(&what, limit, async || {
        // It fails as long as the trigger hasn't recorded the object.
        Ok(find(cloud, key).ok().filter(|found| found.contains(expected)))
    }))
}

/// Deletes a role with its policies, as an administrator of the data account can.
async fn delete(cloud: &LocalCloud, role: &str) -> Result<()> {
    let iam = &cloud.data.iam;
    let policies = iam.list_role_policies().role_name(role).send().await;
    for policy in policies.context("failed to list the role's policies")?.policy_names() {
        let delete = iam.delete_role_policy().role_name(role).policy_name(policy);
        delete.send().await.with_context(|| format!("failed to delete policy `{policy}`"))?;
    }
    let deleted = iam.delete_role().role_name(role).send().await;
    deleted.with_context(|| format!("failed to delete role `{role}`")).map(drop)
}

/// Waits until the run has failed.
fn failed(cloud: &LocalCloud, id: &str) -> Result<()> {
    let run = cloud.wait(wait_until("the job run did not end", TIME_TO_END, async || {
        let runs = cloud.runs(JOB).await?;
        Ok(runs.into_iter().find(|run| run.id() == Some(id) && has_ended(run)))
    }))?;
    let state = run.job_run_state();
    ensure!(state == Some(&JobRunState::Failed), "run `{id}` didn't fail: {state:?}");
    Ok(())
}

/// Waits until the alarm on parked batches goes off.
fn goes_off(cloud: &LocalCloud) -> Result<()> {
    let alarms = ["cloudwatch", "describe-alarms", "--alarm-names", ALARM];
    cloud.wait(wait_until("no alarm goes off", TIME_TO_ALARM, async || {
        let found = cloud.data.cli.json(alarms)?;
        Ok((found["MetricAlarms"][0]["StateValue"] == "ALARM").then_some(()))
    }))
}

/// Runs `landfall` with the profiles of both accounts, and returns what it printed on standard output.
fn said(cloud: &LocalCloud, command: &str, arguments: &[&str], status: i32) -> Result<String> {
    let mut landfall = cloud.landfall(command)?;
    output(landfall.args(arguments), command, status)
}

/// Returns the command of [`said`] as somebody would type it.
fn typed(command: &str, arguments: &[&str]) -> String {
    let arguments = arguments.join(" ");
    format!(
        "  $ landfall {command} {arguments} --data-profile data --analytics-profile analytics\n"
    )
}

fn output(landfall: &mut Command, command: &str, status: i32) -> Result<String> {
    let ran = landfall.output().with_context(|| format!("failed to run `landfall {command}`"))?;
    let stdout = String::from_utf8_lossy(&ran.stdout).into_owned();
    if ran.status.code() != Some(status) {
        let stderr = String::from_utf8_lossy(&ran.stderr);
        bail!("`landfall {command}` ended with {}:\n{stdout}{stderr}", ran.status);
    }
    Ok(stdout)
}

/// Returns all parked batches, and what the command says.
fn returned(cloud: &LocalCloud) -> Result<String> {
    let mut landfall = cloud.landfall_without_profiles("retry")?;
    landfall.args(["--all-parked", "--yes", "--table", "landfall-ledger"]);
    landfall.env_remove("AWS_CONFIG_FILE").envs(cloud.data.cli.variables());
    output(&mut landfall, "retry", 0)
}

/// Returns the objects that a run read, with the number of their rows.
fn rows(cloud: &LocalCloud, run: &JobRun) -> Result<Vec<(String, u64)>> {
    let id = run.id().context("a run has no ID")?;
    succeeded(cloud, JOB, id)?;
    let printed = cloud.printed_by(run);
    let last = printed.last().with_context(|| format!("run `{id}` printed nothing"))?;
    let read: BTreeMap<String, Value> = serde_json::from_str(last)
        .with_context(|| format!("failed to read what run `{id}` printed: `{last}`"))?;
    Ok(read.into_iter().map(|(key, rows)| (key, rows.as_u64().unwrap_or_default())).collect())
}

/// Checks that each object was read by exactly one run that succeeded, and says so.
fn nothing_is_lost(read: &[(String, u64)]) -> Result<()> {
    let mut sorted = read.to_vec();
    sorted.sort();
    let expected = [AT_WORK, WAITING, LATE].map(|key| (key.to_owned(), 2));
    ensure!(sorted == expected, "the runs that succeeded read {sorted:?}, and not {expected:?}");
    println!("Nothing is lost: each file was read by exactly one run that succeeded.");
    table(&[
        (AT_WORK, "its run failed; returned, and read by the next run".to_owned()),
        (WAITING, "its batch stayed open, and was read by its first run".to_owned()),
        (LATE, "read by the same run".to_owned()),
    ]);
    Ok(())
}
