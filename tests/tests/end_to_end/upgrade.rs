//! Stacks of 0.1.0 that today's `landfall deploy` updates. Everything that they made stays, and the batches that they left
//! on their way come to their end.
//!
//! The stacks have the templates, parameters and properties of 0.1.0, which `tests/fixtures/0.1.0` has unchanged. The
//! functions are today's from the beginning, and find a ledger whose documents 0.1.0 wrote.

mod left;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use landfall_aws::ledger::Ledger;
use landfall_core::batch::Batch;
use landfall_core::roles::Observed;
use landfall_provisioning::iam::observe;
use landfall_tests::cloud::{has_ended, wait_until};
use landfall_tests::{ANALYTICS, DATA, root};
use serde_json::Value;

use crate::deploy::Deployment;
use crate::stage::{SOON, Stage, assert_succeeded, csv, ledger_of};

const PREFIX: &str = "upgraded";
const JOB: &str = "upgraded-job";
const BUCKET: &str = "acme-upgraded";

/// A route whose batch stays open, and the object that opens it.
const WINDOWED: &str = "windowed";
const OPEN: &str = "windowed/1";

/// The longest time for which a run is held, so that none stays if the test fails.
const HELD_AT_MOST: Duration = Duration::from_secs(600);

/// In the previous version the function took an unset variable for "any". Today's function then
/// serves nobody, so the previous template says "any" in today's words. Its parameters stay as they
/// were.
const VARIABLE: (&str, &str) = (
    "LANDFALL_TRUSTED_ACCOUNT_IDS: !Ref TrustedAccountIds",
    "LANDFALL_TRUSTED_ACCOUNT_IDS: \"111111111111,222222222222\"\n          LANDFALL_LANDING_BUCKETS: \"*\"",
);

/// The command line of the previous version named the wheel `landfall`, and its template took no other name. Today's
/// deploys both templates here, with today's wheel.
const WHEEL: (&str, &str) = ("/landfall-[0-9A-Za-z.]+-py3", "/landfall(_glue)?-[0-9A-Za-z.]+-py3");

/// Everything that must stay.
#[derive(Debug, PartialEq, Eq)]
struct Standing {
    /// What identifies each role to everyone who trusts it: its unique ID, its boundary and its
    /// trust policy.
    roles: BTreeMap<String, (String, Option<String>, Vec<Value>)>,
    notifications: Value,
    rules: Vec<String>,
}

pub fn stacks_of_0_1_0_keep_every_role_rule_and_notification_and_their_batches_come_to_their_end(
    stage: &Stage,
) -> Result<()> {
    let deployment = Deployment::new(stage, PREFIX)?;
    real_functions(&stage.cloud.emulator.folder().join("stage"), &deployment.package)?;
    deployment.add_route(&format!(
        "{{ name: {WINDOWED}, bucket: {BUCKET}, key: \"{JOB}/{WINDOWED}/{{file}}.csv\", \
         batch: {{ window: 1h, max_objects: 2 }}, start: {{ target: analytics, job: {JOB} }} }}"
    ))?;
    let held = hold(&deployment.package)?;
    // These objects were there before any event could come.
    left::put_objects(stage)?;
    let today = templates(&deployment.package)?;
    put(&deployment.package, &before()?)?;
    let unset = ["TrustedAccountIds=", "LandingBucketArns="].map(|it| format!("provisioner:{it}"));
    let unset: Vec<&str> = unset.iter().flat_map(|it| ["--parameter", it.as_str()]).collect();
    // The previous version had no auditors.
    let first = [&["--yes", "--without-auditor"], &unset[..]].concat();
    deployment.deploy(&first)?.expect(0)?;
    let stood = standing(stage)?;
    ensure!(stood.roles.len() == 3, "readers, starters and jobs have roles: {stood:?}");
    let announced = stood.notifications["QueueConfigurations"].as_array().map(Vec::len);
    ensure!(
        announced == Some(1) && !stood.rules.is_empty(),
        "the notifications are missing: {stood:?}"
    );

    let left = left::put_batches(stage)?;
    put(&deployment.package, &today)?;
    // One batch has a run that goes on, and another is open, while the stacks change and roll back.
    let ledger = ledger_of(&stage.cloud, PREFIX);
    arrive(stage, "live")?;
    arrive(stage, OPEN)?;
    let live = batch_in(stage, &ledger, "live", "started")?;
    let open = batch_in(stage, &ledger, OPEN, "open")?;
    // The update fails once the provisioners are updated, and rolls the data account's stack back
    // to the previous properties.
    let nowhere = ["--yes", "--parameter", "data:LandingBucketNames=acme-nowhere"];
    let failed = deployment.deploy(&nowhere)?.expect(1)?;
    let last = failed.stderr.lines().last().unwrap_or_default();
    ensure!(last.contains("UPDATE_ROLLBACK_COMPLETE"), "the stack was not rolled back: {failed:?}");
    ensure!(failed.stderr.contains("--narrow-provisioner"), "the warning is missing: {failed:?}");
    ensure!(
        standing(stage)? == stood,
        "a failed update changed {stood:?} to {:?}",
        standing(stage)?
    );
    for (batch, state) in [(&live, "started"), (&open, "open")] {
        let now = stage.cloud.wait(ledger.batch(&batch.id))?.context("a batch is gone")?;
        ensure!(now.state.name() == state, "it is not {state} any more: {now:?}");
        ensure!(now.epoch == batch.epoch, "it was started again: {now:?}");
    }
    fs::remove_file(&held).context("failed to let the run go on")?;
    // The window's second object closes its batch.
    arrive(stage, &format!("{WINDOWED}/2"))?;
    arrive(stage, "taken-back")?;
    left::come_to_their_end(stage, &ledger, &left)?;
    all_have_run(stage, 3 + left::RUNS)?;
    for (batch, name) in [(&live, "live"), (&open, OPEN)] {
        let ended = batch_in(stage, &ledger, name, "succeeded")?;
        ensure!(ended.id == batch.id && ended.epoch == 1, "another batch or run: {ended:?}");
    }
    for (account, name) in [(DATA, "TrustedAccountIds"), (ANALYTICS, "LandingBucketArns")] {
        ensure!(
            parameter_of(stage, account, name)? == "*",
            "the provisioner was narrowed before everything had succeeded"
        );
    }

    let narrowed = deployment.deploy(&["--yes", "--narrow-provisioner"])?.expect(0)?;
    ensure!(narrowed.stdout.contains("narrowed: its roles may trust"), "{narrowed:?}");
    ensure!(standing(stage)? == stood, "the update changed {stood:?} to {:?}", standing(stage)?);
    for (account, trusted, buckets) in
        [(DATA, ANALYTICS, "arn:aws:s3:::acme-upgraded"), (ANALYTICS, DATA, "none")]
    {
        ensure!(parameter_of(stage, account, "TrustedAccountIds")? == trusted);
        ensure!(parameter_of(stage, account, "LandingBucketArns")? == buckets);
    }
    for made in ["Add     Auditor ", "Add     Findings "] {
        ensure!(narrowed.stdout.matches(made).count() == 2, "no auditor is new: {narrowed:?}");
    }
    let again = deployment.deploy(&["--yes", "--narrow-provisioner"])?.expect(0)?;
    ensure!(again.unchanged() == 8, "deploying again changes something: {again:?}");

    arrive(stage, "updated")?;
    all_have_run(stage, 4 + left::RUNS)
}

/// Lets the job's runs wait as long as the file is there that this returns.
fn hold(package: &Path) -> Result<PathBuf> {
    let held = package.join("held");
    fs::write(&held, "").context("failed to write the file that holds runs")?;
    let script = package.join("glue/jobs/csv_to_parquet.py");
    let text = fs::read_to_string(&script).context("failed to read the job's script")?;
    let (imports, last) = ("from __future__ import annotations\n", HELD_AT_MOST.as_secs());
    ensure!(text.contains(imports), "the job's script begins in another way");
    let wait = format!(
        "{imports}\nimport os\nimport time\n\nended = time.monotonic() + {last}\n\
         while os.path.exists({held:?}) and time.monotonic() < ended:\n    time.sleep(0.2)\n"
    );
    fs::write(&script, text.replacen(imports, &wait, 1)).context("failed to write the script")?;
    Ok(held)
}

/// Returns the batch with this object once it is in this state.
fn batch_in(stage: &Stage, ledger: &Ledger, name: &str, state: &str) -> Result<Batch> {
    let key = format!("{JOB}/{name}.csv");
    let what = format!("the batch with `{key}` is not {state}");
    stage.cloud.wait(wait_until(&what, SOON, async || {
        let Some(found) = ledger.find(BUCKET, &key).await?.pop() else { return Ok(None) };
        let batch = ledger.batch(&found.batch).await?;
        Ok(batch.filter(|batch| batch.state.name() == state))
    }))
}

fn arrive(stage: &Stage, name: &str) -> Result<()> {
    stage.cloud.wait(stage.cloud.put(BUCKET, &format!("{JOB}/{name}.csv"), csv(3)))
}

/// Fails unless each of this many objects gets one run and no other.
fn all_have_run(stage: &Stage, objects: usize) -> Result<()> {
    stage.cloud.wait(async {
        let runs = wait_until("not every object had its run", SOON, async || {
            let runs = stage.cloud.runs(JOB).await?;
            Ok((runs.len() >= objects && runs.iter().all(has_ended)).then_some(runs))
        });
        let runs = runs.await?;
        ensure!(runs.len() == objects, "{} runs for {objects} objects: {runs:?}", runs.len());
        runs.iter().try_for_each(assert_succeeded)
    })
}

/// Packs the real functions. `Deployment` packs stubs, which never run.
pub fn real_functions(stage: &Path, package: &Path) -> Result<()> {
    for function in ["trigger", "monitor"] {
        let file = Path::new(function).join("bootstrap");
        let copied = fs::copy(stage.join(&file), package.join(&file));
        copied.with_context(|| format!("failed to copy the {function}"))?;
    }
    Ok(())
}

const TEMPLATES: [&str; 3] = ["provisioner.yaml", "data-account.yaml", "analytics-account.yaml"];

fn templates(folder: &Path) -> Result<BTreeMap<&'static str, String>> {
    let read = |name: &'static str| {
        let text = fs::read_to_string(folder.join(name));
        Ok((name, text.with_context(|| format!("failed to read `{name}`"))?))
    };
    TEMPLATES.into_iter().map(read).collect()
}

fn before() -> Result<BTreeMap<&'static str, String>> {
    let mut before = templates(&root().join("tests/fixtures/0.1.0"))?;
    for (name, (was, is)) in [("provisioner.yaml", VARIABLE), ("analytics-account.yaml", WHEEL)] {
        let template = before.get_mut(name).with_context(|| format!("there is no `{name}`"))?;
        ensure!(template.contains(was), "the previous `{name}` has no `{was}`");
        *template = template.replace(was, is);
    }
    Ok(before)
}

fn put(package: &Path, templates: &BTreeMap<&str, String>) -> Result<()> {
    for (name, text) in templates {
        fs::write(package.join(name), text).with_context(|| format!("failed to write `{name}`"))?;
    }
    Ok(())
}

fn standing(stage: &Stage) -> Result<Standing> {
    let cloud = &stage.cloud;
    let mut roles = BTreeMap::new();
    for (account, name) in [
        (&cloud.data, format!("{PREFIX}-reader-{ANALYTICS}")),
        (&cloud.analytics, format!("{PREFIX}-starter")),
        (&cloud.analytics, format!("{PREFIX}-job")),
    ] {
        let found = cloud.wait(observe(&account.iam, &name))?;
        let Observed { role_id, permissions_boundary, trust, .. } =
            found.with_context(|| format!("role `{name}` is gone"))?;
        let trust = trust.context("a role trusts nobody")?.value().clone();
        let statements = trust["Statement"].as_array().context("no statements")?;
        let principals = statements.iter().map(|statement| statement["Principal"].clone());
        roles.insert(name, (role_id, permissions_boundary, principals.collect()));
    }
    let get = ["s3api", "get-bucket-notification-configuration", "--bucket", BUCKET];
    let list = ["events", "list-rules", "--name-prefix", PREFIX];
    let found = cloud.analytics.cli.json(list)?;
    let rules = found["Rules"].as_array().context("no rules")?;
    let rules = rules.iter().filter_map(|rule| rule["Name"].as_str().map(str::to_owned));
    let of_the_auditor = [format!("{PREFIX}-auditor-"), format!("{PREFIX}-changes")];
    let rules = rules.filter(|name| !of_the_auditor.iter().any(|its| name.starts_with(its)));
    Ok(Standing { roles, notifications: cloud.data.cli.json(get)?, rules: rules.collect() })
}

/// Returns the value of a parameter of an account's provisioner stack.
fn parameter_of(stage: &Stage, account: &str, parameter: &str) -> Result<String> {
    let cloud = &stage.cloud;
    let cli = if account == DATA { &cloud.data.cli } else { &cloud.analytics.cli };
    let stack = format!("{PREFIX}-provisioner");
    let found = cli.json(["cloudformation", "describe-stacks", "--stack-name", &stack])?;
    let parameters = found["Stacks"][0]["Parameters"].as_array().context("no parameters")?;
    let its = parameters.iter().find(|one| one["ParameterKey"] == parameter);
    let value = its.and_then(|one| one["ParameterValue"].as_str());
    value.map(str::to_owned).with_context(|| format!("the stack has no `{parameter}`"))
}
