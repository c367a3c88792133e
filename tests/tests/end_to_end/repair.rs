//! `landfall deploy --repair`: roles that somebody deleted, and a bucket whose notifications another tool removed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use landfall_core::batch::State;
use landfall_core::roles::Observed;
use landfall_provisioning::iam::observe;
use landfall_tests::cloud::{Account, has_ended, wait_until};
use landfall_tests::{ANALYTICS, DATA};
use serde_json::{Value, json};

use crate::deploy::{Deployment, Shown};
use crate::stage::{SOON, Stage, assert_succeeded, csv, ledger_of};
use crate::upgrade::real_functions;

const PREFIX: &str = "repaired";
const JOB: &str = "repaired-job";
const BUCKET: &str = "acme-repaired";

/// A batch that waits is tried again after a few minutes at most.
const ONCE_REPAIRED: Duration = Duration::from_secs(400);

pub fn what_was_deleted_by_hand_is_repaired_and_what_waited_for_it_is_processed(
    stage: &Stage,
) -> Result<()> {
    let deployment = Deployment::new(stage, PREFIX)?;
    real_functions(&stage.cloud.emulator.folder().join("stage"), &deployment.package)?;
    deployment.deploy(&["--yes"])?.expect(0)?;
    let nothing = deployment.repair(&["--yes"])?.expect(0)?;
    ensure!(nothing.stderr.ends_with("nothing has drifted\n"), "{nothing:?}");

    let before = roles(stage)?;
    ensure!(before.len() == 3, "not all roles are there: {before:?}");
    for (account, name) in accounts(stage) {
        stage.cloud.wait(delete(account, &name))?;
    }
    let arrived = arrive(stage, "waits")?;
    let ledger = ledger_of(&stage.cloud, PREFIX);
    stage.cloud.wait(wait_until("no batch waits for the starter role", SOON, async || {
        let Some(found) = ledger.find(BUCKET, &arrived).await?.pop() else { return Ok(None) };
        let batch = ledger.batch(&found.batch).await?;
        Ok(batch.filter(|it| matches!(it.state, State::Sealed { .. }) && it.deferrals > 0))
    }))?;

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

    // Another team's tool replaces the bucket's notifications by its own.
    let queue = format!("arn:aws:sqs:us-east-1:{DATA}:{PREFIX}-arrivals");
    let theirs = json!({ "QueueConfigurations": [
        { "Id": "theirs", "QueueArn": queue, "Events": ["s3:ObjectRemoved:*"] }] });
    put_notifications(stage, &theirs)?;
    let repaired = deployment.repair(&["--yes"])?.expect(0)?;
    changes_only(&repaired, &["Notifications"])?;
    ensure!(repaired.stdout.contains("1 of Landfall's 1 rules are missing"), "{repaired:?}");
    let found = notifications(stage)?;
    let ids: Vec<&str> = found.iter().filter_map(|rule| rule["Id"].as_str()).collect();
    ensure!(ids.len() == 2 && ids.contains(&"theirs"), "a rule is missing or too many: {ids:?}");
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
