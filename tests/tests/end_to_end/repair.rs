//! `landfall deploy --repair`: roles that somebody deleted, and a bucket whose notifications another tool removed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_sdk_glue::types::{JobRun, JobRunState};
use landfall_core::batch::{Batch, State};
use landfall_core::roles::Observed;
use landfall_provisioning::iam::observe;
use landfall_tests::cloud::{Account, has_ended, wait_until};
use landfall_tests::{ANALYTICS, DATA, root};
use serde_json::{Value, json};

use crate::deploy::{Deployment, Shown};
use crate::stage::{SOON, Stage, assert_succeeded, csv, ledger_of};
use crate::upgrade::real_functions;

const PREFIX: &str = "repaired";
const JOB: &str = "repaired-job";
const BUCKET: &str = "acme-repaired";

/// A job that takes 20 s before it reads, with a route that has a second attempt.
const SLOW: &str = "repaired-slow";
const AT_WORK: &str = "repaired-slow/at-work.csv";
const SLOW_ROUTE: &str = "{ name: repaired-slow, bucket: acme-repaired, key: \"repaired-slow/{file}.csv\", \
    start: { target: analytics, job: repaired-slow, retry: { attempts: 2, states: [FAILED] } } }";

/// A batch that waits is tried again after a few minutes at most.
const ONCE_REPAIRED: Duration = Duration::from_secs(400);

pub fn what_was_deleted_by_hand_is_repaired_and_what_waited_for_it_is_processed(
    stage: &Stage,
) -> Result<()> {
    let deployment = Deployment::new(stage, PREFIX)?;
    deployment.add_route(SLOW_ROUTE)?;
    real_functions(&stage.cloud.emulator.folder().join("stage"), &deployment.package)?;
    deployment.deploy(&["--yes"])?.expect(0)?;
    let nothing = deployment.repair(&["--yes"])?.expect(0)?;
    ensure!(nothing.stderr.ends_with("nothing has drifted\n"), "{nothing:?}");

    let before = roles(stage)?;
    ensure!(before.len() == 3, "not all roles are there: {before:?}");
    make_slow_job(stage)?;
    stage.cloud.wait(stage.cloud.put(BUCKET, AT_WORK, csv(3)))?;
    slow_run(stage, "no run is at work", |run| !has_ended(run))?;
    let [reader, starter, job] = accounts(stage);
    for (account, name) in [&reader, &starter] {
        stage.cloud.wait(delete(account, name))?;
    }
    // The run that is at work reads as the reader role, so it fails.
    let failed = slow_run(stage, "the run that was at work goes on", has_ended)?;
    let why = failed.error_message().unwrap_or_default();
    ensure!(failed.job_run_state() == Some(&JobRunState::Failed), "{failed:?}");
    ensure!(why.contains(&reader.1), "the run failed for another reason: {why}");
    stage.cloud.wait(delete(job.0, &job.1))?;
    let arrived = arrive(stage, "waits")?;
    let waits = |it: &Batch| matches!(it.state, State::Sealed { .. }) && it.deferrals > 0;
    batch_of(stage, &arrived, "no batch waits for the starter role", waits)?;

    // A deployment without changes doesn't mend it, and says what does.
    let deployed = deployment.deploy(&["--yes"])?.expect(0)?;
    ensure!(deployed.unchanged() == 8, "something changed: {deployed:?}");
    ensure!(deployed.stderr.contains("the role is missing"), "{deployed:?}");
    ensure!(deployed.stderr.contains("`landfall deploy --repair`"), "{deployed:?}");
    let shown = deployment.repair(&["--dry-run"])?.expect(0)?;
    for role in ["ReaderRole ", "StarterRole ", "JobRole "] {
        ensure!(shown.stdout.contains(&format!("Modify  {role}")), "`{role}`: {shown:?}");
    }
    ensure!(roles(stage)?.is_empty(), "a dry run made a role");

    let repaired = deployment.repair(&["--yes"])?.expect(0)?;
    changes_only(&repaired, &["ReaderRole", "StarterRole", "JobRole", "JobPolicy", "Job"])?;
    ensure!(roles(stage)? == before, "the roles were {before:?}, and are {:?}", roles(stage)?);
    has_run(stage, 1, ONCE_REPAIRED)?;
    is_retried(stage, &failed)?;

    // Another team's tool replaces the bucket's notifications by its own.
    let queue = format!("arn:aws:sqs:us-east-1:{DATA}:{PREFIX}-arrivals");
    let theirs = json!({ "QueueConfigurations": [
        { "Id": "theirs", "QueueArn": queue, "Events": ["s3:ObjectRemoved:*"] }] });
    put_notifications(stage, &theirs)?;
    let repaired = deployment.repair(&["--yes"])?.expect(0)?;
    changes_only(&repaired, &["Notifications"])?;
    ensure!(repaired.stdout.contains("2 of Landfall's 2 rules are missing"), "{repaired:?}");
    let found = notifications(stage)?;
    let ids: Vec<&str> = found.iter().filter_map(|rule| rule["Id"].as_str()).collect();
    ensure!(ids.len() == 3 && ids.contains(&"theirs"), "a rule is missing or too many: {ids:?}");
    arrive(stage, "next")?;
    has_run(stage, 2, SOON)?;

    // The next deployment keeps the times of the repairs, and nothing is left to repair.
    let again = deployment.deploy(&["--yes"])?.expect(0)?;
    ensure!(again.unchanged() == 8, "deploying again changes something: {again:?}");
    ensure!(!again.stderr.contains("--repair"), "something is told to have drifted: {again:?}");
    let nothing = deployment.repair(&["--yes"])?.expect(0)?;
    ensure!(nothing.stderr.ends_with("nothing has drifted\n"), "{nothing:?}");
    Ok(())
}

/// Fails if a change set changes, adds or removes any other resource.
fn changes_only(shown: &Shown, resources: &[&str]) -> Result<()> {
    let is_change = |line: &&str| {
        ["Add ", "Modify ", "Remove ", "Import "].iter().any(|action| line.starts_with(action))
    };
    for line in shown.stdout.lines().filter(is_change) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_expected = words.first() == Some(&"Modify")
            && words.get(1).is_some_and(|resource| resources.contains(resource))
            && (!line.ends_with("REPLACED") || line.ends_with("MAYBE REPLACED"));
        ensure!(is_expected, "`{line}` is not expected: {shown:?}");
    }
    ensure!(shown.stdout.contains(&format!("Modify  {} ", resources[0])), "{shown:?}");
    Ok(())
}

fn accounts(stage: &Stage) -> [(&Account, String); 3] {
    [
        (&stage.cloud.data, format!("{PREFIX}-reader-{ANALYTICS}")),
        (&stage.cloud.analytics, format!("{PREFIX}-starter")),
        (&stage.cloud.analytics, format!("{PREFIX}-job")),
    ]
}

/// Returns the roles that are there, by name, without the ID that IAM gives each new role.
fn roles(stage: &Stage) -> Result<BTreeMap<String, Observed>> {
    let mut roles = BTreeMap::new();
    for (account, name) in accounts(stage) {
        if let Some(role) = stage.cloud.wait(observe(&account.iam, &name))? {
            roles.insert(name, Observed { role_id: String::new(), ..without_mark(role) });
        }
    }
    Ok(roles)
}

/// Leaves out of the example job's own policy the mark that has CloudFormation put it again.
fn without_mark(mut role: Observed) -> Observed {
    if let Some(policy) = role.policies.get_mut("job") {
        *policy = policy.as_ref().and_then(|policy| {
            let mut value = policy.value().clone();
            let sid = &mut value["Statement"][0]["Sid"];
            let is_marked = sid.as_str().is_some_and(|sid| sid.starts_with("LoadScriptAndLibrary"));
            if is_marked {
                *sid = json!("LoadScriptAndLibrary");
            }
            landfall_core::policy::Document::parse(&value.to_string())
        });
    }
    role
}

pub async fn delete(account: &Account, name: &str) -> Result<()> {
    let iam = &account.iam;
    let policies = iam.list_role_policies().role_name(name).send().await?;
    for policy in policies.policy_names() {
        iam.delete_role_policy().role_name(name).policy_name(policy).send().await?;
    }
    iam.delete_role().role_name(name).send().await?;
    Ok(())
}

/// Uploads an object. Returns its key.
fn arrive(stage: &Stage, name: &str) -> Result<String> {
    let key = format!("{JOB}/{name}.csv");
    stage.cloud.wait(stage.cloud.put(BUCKET, &key, csv(3)))?;
    Ok(key)
}

/// Makes the slow job, with all else as the example job has it.
fn make_slow_job(stage: &Stage) -> Result<()> {
    let cli = &stage.cloud.analytics.cli;
    let example = cli.json(["glue", "get-job", "--job-name", JOB])?;
    let mut job = json!({ "Name": SLOW });
    for field in ["Role", "Command", "DefaultArguments"] {
        job[field] = example["Job"][field].clone();
    }
    let script = job["Command"]["ScriptLocation"].as_str().context("the job has no script")?;
    let (folder, _) = script.rsplit_once('/').context("the script has no folder")?;
    let script = format!("{folder}/slow.py");
    cli.upload(&root().join("tests/demo/slow.py"), &script)?;
    job["Command"]["ScriptLocation"] = script.into();
    cli.run(["glue", "create-job", "--cli-input-json", &job.to_string()]).map(drop)
}

/// Waits until the slow job's only run is as wanted, and returns it.
fn slow_run(stage: &Stage, what: &str, wanted: impl Fn(&JobRun) -> bool) -> Result<JobRun> {
    stage.cloud.wait(wait_until(what, SOON, async || {
        let mut runs = stage.cloud.runs(SLOW).await?;
        ensure!(runs.len() < 2, "one object has several runs: {runs:?}");
        Ok(runs.pop().filter(&wanted))
    }))
}

/// Waits until the batch of an object is as wanted, and returns it.
fn batch_of(
    stage: &Stage,
    key: &str,
    what: &str,
    wanted: impl Fn(&Batch) -> bool,
) -> Result<Batch> {
    let ledger = ledger_of(&stage.cloud, PREFIX);
    let found = stage.cloud.wait(wait_until(what, ONCE_REPAIRED, async || {
        let Some(found) = ledger.find(BUCKET, key).await?.pop() else { return Ok(None) };
        Ok(ledger.batch(&found.batch).await?.filter(&wanted))
    }));
    found.with_context(|| format!("`{key}`"))
}

/// Fails unless Landfall by itself has a second run read what the run that failed did not.
fn is_retried(stage: &Stage, failed: &JobRun) -> Result<()> {
    let is_done = |batch: &Batch| matches!(batch.state, State::Succeeded { .. });
    let batch = batch_of(stage, AT_WORK, "the run that failed isn't retried", is_done)?;
    ensure!(batch.runs.len() == 2, "not one retry: {batch:?}");
    let runs = stage.cloud.wait(stage.cloud.runs(SLOW))?;
    let (first, others): (Vec<_>, Vec<_>) = runs.iter().partition(|run| run.id() == failed.id());
    ensure!(first.len() == 1 && others.len() == 1, "not one retry: {runs:?}");
    assert_succeeded(others[0])?;
    ensure!(stage.cloud.printed_by(first[0]).is_empty(), "the run that failed read something");
    let read = stage.cloud.printed_by(others[0]).pop().context("the retry printed nothing")?;
    let read: Value = serde_json::from_str(&read).context("the retry printed no JSON")?;
    ensure!(read == json!({ AT_WORK: 3 }), "the retry read something else: {read}");
    Ok(())
}

/// Fails unless this many runs, and no more, succeed in time.
fn has_run(stage: &Stage, count: usize, limit: Duration) -> Result<()> {
    stage.cloud.wait(async {
        let runs = wait_until("not every object had its run", limit, async || {
            let runs = stage.cloud.runs(JOB).await?;
            Ok((runs.len() >= count && runs.iter().all(has_ended)).then_some(runs))
        });
        let runs = runs.await?;
        ensure!(runs.len() == count, "{} runs for {count} objects: {runs:?}", runs.len());
        runs.iter().try_for_each(assert_succeeded)
    })
}

fn put_notifications(stage: &Stage, configuration: &Value) -> Result<()> {
    let put = ["s3api", "put-bucket-notification-configuration", "--bucket", BUCKET];
    let configuration = configuration.to_string();
    let skip = ["--skip-destination-validation", "--notification-configuration", &configuration];
    stage.cloud.data.cli.run([&put[..], &skip].concat()).map(drop)
}

fn notifications(stage: &Stage) -> Result<Vec<Value>> {
    let get = ["s3api", "get-bucket-notification-configuration", "--bucket", BUCKET];
    let found = stage.cloud.data.cli.json(get)?;
    found["QueueConfigurations"].as_array().cloned().context("the bucket has no rules")
}
