//! Repairs that begin by themselves: the auditor finds that something is gone, and the repairer has CloudFormation bring it
//! back.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use landfall_core::batch::State;
use landfall_core::roles::Observed;
use landfall_provisioning::iam::observe;
use landfall_tests::ANALYTICS;
use landfall_tests::cloud::{Account, has_ended, wait_until};
use serde_json::Value;

use crate::deploy::{Deployment, alone};
use crate::repair::delete;
use crate::stage::{SOON, Stage, assert_succeeded, csv, ledger_of};
use crate::upgrade::real_functions;

const PREFIX: &str = "mended";
const REPAIRER: &str = "mended-repairer";
const JOB: &str = "mended-job";
const BUCKET: &str = "acme-mended";

/// A batch that waits is tried again after a few minutes at most.
const ONCE_REPAIRED: Duration = Duration::from_secs(400);

pub fn roles_that_were_deleted_come_back_by_themselves_and_what_waited_for_them_is_processed(
    stage: &Stage,
) -> Result<()> {
    let deployment = Deployment::new(stage, PREFIX)?;
    let staged = stage.cloud.emulator.folder().join("stage");
    real_functions(&staged, &deployment.package)?;
    for function in ["auditor", "repairer"] {
        let file = format!("{function}/bootstrap");
        std::fs::copy(staged.join(&file), deployment.package.join(&file))?;
    }
    // The schedules don't come in between.
    let parameters = [
        "auditor:Repair=missing",
        // The local cloud has no CloudTrail, so each repair would wait.
        "auditor:RepairPauseMinutes=0",
        "auditor:AuditMinutes=60",
    ];
    let parameters = parameters.map(|it| ["--parameter", it]).concat();
    deployment.deploy(&[&["--yes"][..], &parameters].concat())?.expect(0)?;

    let before = roles(stage)?;
    ensure!(before.len() == 2, "not all roles are there: {before:?}");
    for (account, name) in accounts(stage) {
        stage.cloud.wait(delete(account, &name))?;
    }
    let key = format!("{JOB}/waits.csv");
    stage.cloud.wait(stage.cloud.put(BUCKET, &key, csv(3)))?;
    let ledger = ledger_of(&stage.cloud, PREFIX);
    stage.cloud.wait(wait_until("no batch waits for the starter role", SOON, async || {
        let Some(found) = ledger.find(BUCKET, &key).await?.pop() else { return Ok(None) };
        let batch = ledger.batch(&found.batch).await?;
        Ok(batch.filter(|it| matches!(it.state, State::Sealed { .. }) && it.deferrals > 0))
    }))?;

    // Nobody invokes the repairers: the events about the findings do.
    let unhindered = alone(stage)?;
    for (account, _) in accounts(stage) {
        invoke(stage, account, &format!("{PREFIX}-auditor"), "audited")?;
    }
    let back = stage.cloud.wait(wait_until("the roles don't come back", SOON, async || {
        let now = observed(stage).await?;
        Ok((now.len() == before.len()).then_some(()))
    }));
    back.with_context(|| said(stage))?;
    settled(stage)?;
    drop(unhindered);
    ensure!(roles(stage)? == before, "the roles were {before:?}, and are {:?}", roles(stage)?);
    stage.cloud.wait(wait_until("what waited has no run", ONCE_REPAIRED, async || {
        let runs = stage.cloud.runs(JOB).await?;
        ensure!(runs.len() < 2, "one object has several runs: {runs:?}");
        match runs.first().filter(|run| has_ended(run)) {
            Some(run) => assert_succeeded(run).map(Some),
            None => Ok(None),
        }
    }))?;

    of_two_invocations_at_once_one_has_the_notifications_put_back(stage)?;
    let again = deployment.deploy(&["--yes"])?.expect(0)?;
    ensure!(again.unchanged() == 8, "deploying again changes something: {again:?}");
    let nothing = deployment.repair(&["--yes"])?.expect(0)?;
    ensure!(nothing.stderr.ends_with("nothing has drifted\n"), "{nothing:?}");
    Ok(())
}

fn of_two_invocations_at_once_one_has_the_notifications_put_back(stage: &Stage) -> Result<()> {
    let data = &stage.cloud.data;
    let put = ["s3api", "put-bucket-notification-configuration", "--bucket", BUCKET];
    let ours = notifications(stage)?;
    ensure!(!ours.is_null(), "the bucket has no notifications");
    data.cli.run([&put[..], &["--notification-configuration", "{}"]].concat())?;
    ensure!(notifications(stage)?.is_null(), "the bucket still has notifications");
    let started = started(stage);
    let _unhindered = alone(stage)?;
    let outcomes: Result<Vec<String>> = thread::scope(|scope| {
        let invocations =
            ["one", "other"].map(|name| scope.spawn(move || invoke(stage, data, REPAIRER, name)));
        invocations.into_iter().map(|it| it.join().expect("nobody panics")).collect()
    });
    let outcomes = outcomes?;
    let has_begun = |outcome: &&String| *outcome == "\"started\"";
    ensure!(outcomes.iter().filter(has_begun).count() == 1, "{outcomes:?}");
    stage.cloud.wait(wait_until("the notifications don't come back", SOON, async || {
        Ok((notifications(stage)? == ours).then_some(()))
    }))?;
    settled(stage)?;
    let repairs = self::started(stage) - started;
    ensure!(repairs == 1, "{repairs} repairs of the notifications were started");
    Ok(())
}

fn accounts(stage: &Stage) -> [(&Account, String); 2] {
    [
        (&stage.cloud.data, format!("{PREFIX}-reader-{ANALYTICS}")),
        (&stage.cloud.analytics, format!("{PREFIX}-starter")),
    ]
}

fn roles(stage: &Stage) -> Result<BTreeMap<String, Observed>> {
    stage.cloud.wait(observed(stage))
}

/// Returns the roles that are there, by name, without the ID that IAM gives each new role.
async fn observed(stage: &Stage) -> Result<BTreeMap<String, Observed>> {
    let mut roles = BTreeMap::new();
    for (account, name) in accounts(stage) {
        if let Some(role) = observe(&account.iam, &name).await? {
            roles.insert(name, Observed { role_id: String::new(), ..role });
        }
    }
    Ok(roles)
}

/// Invokes a function, and returns what it answers.
pub fn invoke(stage: &Stage, account: &Account, function: &str, name: &str) -> Result<String> {
    let answer = stage.cloud.emulator.folder().join(format!("{function}-{name}.json"));
    let answer = answer.to_str().context("the folder has no name")?;
    let invoke = ["lambda", "invoke", "--function-name", function, "--payload", "{}", answer];
    let invoked = account.cli.run(invoke)?;
    let answered = std::fs::read_to_string(answer).context("the function answered nothing")?;
    ensure!(!invoked.contains("FunctionError"), "`{function}` failed: {answered}");
    Ok(answered)
}

/// Waits until both accounts' stacks are as CloudFormation leaves them.
fn settled(stage: &Stage) -> Result<()> {
    stage.cloud.wait(wait_until("a stack is still changing", SOON, async || {
        for (account, _) in accounts(stage) {
            let describe = ["cloudformation", "describe-stacks", "--stack-name", PREFIX];
            let found = account.cli.json(describe)?;
            let status = found["Stacks"][0]["StackStatus"].as_str().context("no status")?;
            ensure!(!status.contains("ROLLBACK"), "a repair failed: {status}");
            if status.ends_with("_IN_PROGRESS") {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }))
}

/// Returns the rules that send to the queue; null if there is none.
fn notifications(stage: &Stage) -> Result<Value> {
    let get = ["s3api", "get-bucket-notification-configuration", "--bucket", BUCKET];
    let printed = stage.cloud.data.cli.run(get)?;
    let found: Value = serde_json::from_str(&printed).unwrap_or_default();
    Ok(found["QueueConfigurations"].clone())
}

/// Returns what auditors and repairers have logged.
fn said(stage: &Stage) -> String {
    let functions = ["auditor", "repairer"].map(|it| format!("/aws/lambda/{PREFIX}-{it}"));
    let lines = accounts(stage).map(|(account, _)| {
        functions.clone().map(|group| account.cli.log_lines(&group, None).join("\n")).join("\n")
    });
    lines.join("\n")
}

/// Counts the repairs that the data account's repairer has started.
fn started(stage: &Stage) -> usize {
    let group = format!("/aws/lambda/{PREFIX}-repairer");
    let lines = stage.cloud.data.cli.log_lines(&group, None);
    lines.iter().filter(|line| line.contains("repair_started")).count()
}
