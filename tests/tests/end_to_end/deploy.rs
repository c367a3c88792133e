//! `landfall deploy` and `landfall destroy`, as users run them. The tests make deployments of their
//! own, with their own name prefixes, beside the one that all tests share.

mod former;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use landfall_tests::cloud::{ANALYTICS_ARTIFACTS, DATA_ARTIFACTS};
use landfall_tests::package::LIBRARY;
use landfall_tests::{ANALYTICS, DATA};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};

pub use self::former::a_new_stack_admits_former_batches_if_its_ledger_has_any_until_it_is_told_not_to;
use crate::stage::Stage;

/// How many commands deploy at once. With more, a busy machine would be slower than the time limits of other tests allow.
const AT_ONCE: u32 = 3;
static COMMANDS: Semaphore = Semaphore::const_new(AT_ONCE as usize);

/// Waits until nothing is deployed, and keeps it so.
pub fn alone(stage: &Stage) -> Result<SemaphorePermit<'static>> {
    slots(stage, AT_ONCE)
}

fn slots(stage: &Stage, count: u32) -> Result<SemaphorePermit<'static>> {
    stage.cloud.wait(async { COMMANDS.acquire_many(count).await.map_err(anyhow::Error::from) })
}

/// A deployment that belongs to one test.
pub struct Deployment<'a> {
    stage: &'a Stage,
    slots: u32,
    prefix: &'static str,
    pub package: PathBuf,
    options: Vec<String>,
}

/// The output of a command.
#[derive(Debug)]
pub struct Shown {
    status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Shown {
    #[track_caller]
    pub fn expect(self, status: i32) -> Result<Shown> {
        let Shown { stdout, stderr, .. } = &self;
        let line = std::panic::Location::caller().line();
        ensure!(self.status == Some(status), "line {line}: {:?}\n{stdout}{stderr}", self.status);
        Ok(self)
    }

    /// Returns the number of stacks that needed no change.
    pub fn unchanged(&self) -> usize {
        self.stdout.matches(": no change\n").count()
    }
}

impl<'a> Deployment<'a> {
    pub fn new(stage: &'a Stage, prefix: &'static str) -> Result<Deployment<'a>> {
        let package = stage.cloud.emulator.folder().join(format!("package-{prefix}"));
        small_package(&stage.cloud.emulator.folder().join("stage"), &package)?;
        let deployment = Deployment { stage, slots: 1, prefix, package, options: Vec::new() };
        stage.cloud.data.cli.make_bucket(&format!("acme-{prefix}"))?;
        deployment.write_routes(&[format!("{prefix}-job").as_str()])?;
        let mut parameters = landfall_tests::cloud::FOR_AN_EMULATOR.map(str::to_owned).to_vec();
        parameters.extend([
            format!("analytics:OutputBucketName=out-{prefix}"),
            format!("analytics:JobName={prefix}-job"),
        ]);
        let options = parameters.into_iter().flat_map(|one| ["--parameter".to_owned(), one]);
        Ok(Deployment { options: options.collect(), ..deployment })
    }

    /// Adds a route, in YAML's flow style.
    pub fn add_route(&self, route: &str) -> Result<()> {
        let mut text = fs::read_to_string(self.routes()).context("failed to read routes")?;
        text.push_str(&format!("  - {route}\n"));
        fs::write(self.routes(), text).context("failed to write routes")
    }

    pub fn routes(&self) -> PathBuf {
        self.package.join("changed.yaml")
    }

    /// Writes routes, one for each job.
    fn write_routes(&self, jobs: &[&str]) -> Result<()> {
        self.write_routes_of(&format!("acme-{}", self.prefix), jobs)
    }

    /// Writes the same routes for objects that land in this bucket.
    pub fn write_routes_of(&self, bucket: &str, jobs: &[&str]) -> Result<()> {
        let prefix = self.prefix;
        let mut text = format!(
            "version: 1\ntargets:\n  analytics: {{ account: \"{ANALYTICS}\", region: us-east-1, \
             starter_role: landfall/{prefix}-starter, external_id: \"${{LANDFALL_EXTERNAL_ID}}\" }}\nroutes:\n"
        );
        for job in jobs {
            text.push_str(&format!(
                "  - {{ name: {job}, bucket: {bucket}, key: \"{job}/{{file}}.csv\", start: {{ target: \
                 analytics, job: {job} }} }}\n"
            ));
        }
        fs::write(self.routes(), text).context("failed to write routes")
    }

    /// Deploys without an external ID in the environment.
    pub fn deploy(&self, more: &[&str]) -> Result<Shown> {
        self.run("deploy", |command| {
            command.arg("--package").arg(&self.package).args(&self.options).args(more);
        })
    }

    /// Repairs what drifted.
    pub fn repair(&self, more: &[&str]) -> Result<Shown> {
        self.run("deploy", |command| {
            command.arg("--repair").args(more);
        })
    }

    /// Deploys with another `landfall`, and with the packages that it finds itself.
    pub fn deploy_with(&self, landfall: Command, more: &[&str]) -> Result<Shown> {
        self.run_command(landfall, |command| {
            command.args(["--data-profile", "data", "--analytics-profile", "analytics"]);
            command.args(&self.options).args(more);
        })
    }

    pub fn run(&self, what: &str, add: impl FnOnce(&mut Command)) -> Result<Shown> {
        self.run_command(self.stage.cloud.landfall(what)?, add)
    }

    fn run_command(&self, mut command: Command, add: impl FnOnce(&mut Command)) -> Result<Shown> {
        let _slots = slots(self.stage, self.slots)?;
        command.arg(self.routes()).args(["--name-prefix", self.prefix]);
        command.env_remove("LANDFALL_EXTERNAL_ID").stdin(std::process::Stdio::null());
        add(&mut command);
        let ran = command.output().with_context(|| format!("failed to run {command:?}"))?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Shown { status: ran.status.code(), stdout: text(ran.stdout), stderr: text(ran.stderr) })
    }

    /// Returns the external IDs that the starter role admits.
    fn admitted(&self) -> Result<Vec<String>> {
        let name = format!("{}-starter", self.prefix);
        let found =
            self.stage.cloud.analytics.cli.json(["iam", "get-role", "--role-name", &name])?;
        let statement = &found["Role"]["AssumeRolePolicyDocument"]["Statement"][0];
        let ids = &statement["Condition"]["StringEquals"]["sts:ExternalId"];
        let text = |id: &Value| id.as_str().map(str::to_owned).context("no external ID");
        match ids.as_array() {
            Some(ids) => ids.iter().map(text).collect(),
            None => Ok(vec![text(ids)?]),
        }
    }

    fn status(&self, account: &str) -> Result<Option<String>> {
        let cloud = &self.stage.cloud;
        let cli = if account == DATA { &cloud.data.cli } else { &cloud.analytics.cli };
        let found = cli.json(["cloudformation", "describe-stacks"])?;
        let stacks = found["Stacks"].as_array().cloned().unwrap_or_default();
        let its = stacks.iter().find(|stack| stack["StackName"] == self.prefix);
        Ok(its.and_then(|stack| stack["StackStatus"].as_str()).map(str::to_owned))
    }
}

/// Makes a package from the local cloud's, with stubs for all functions but one. They never run,
/// and the real ones would be zipped and uploaded again and again.
fn small_package(stage: &Path, package: &Path) -> Result<()> {
    for name in
        ["trigger", "monitor", "provisioner", "auditor", "repairer", "reconciler", "glue/jobs"]
    {
        fs::create_dir_all(package.join(name))?;
    }
    for file in [
        "provisioner.yaml",
        "data-account.yaml",
        "analytics-account.yaml",
        "auditor.yaml",
        "routes.yaml",
        "trigger/routes.yaml",
        "monitor/routes.yaml",
        "reconciler/routes.yaml",
        "provisioner/bootstrap",
        LIBRARY,
        "glue/jobs/csv_to_parquet.py",
    ] {
        let copied = fs::copy(stage.join(file), package.join(file));
        copied.with_context(|| format!("failed to copy `{file}`"))?;
    }
    for function in ["trigger", "monitor", "auditor", "repairer", "reconciler"] {
        let binary = fs::read(stage.join(function).join("bootstrap"))?;
        let header = binary.get(..64).context("a function is not a program")?;
        fs::write(package.join(function).join("bootstrap"), header)?;
    }
    Ok(())
}

pub fn a_dry_run_leaves_nothing_behind(stage: &Stage) -> Result<()> {
    let deployment = Deployment::new(stage, "dry")?;
    let shown = deployment.deploy(&["--dry-run"])?.expect(0)?;
    for expected in [
        "stack dry in the data account (111111111111, us-east-1) would be created",
        "  LandingBucketNames = acme-dry\n",
        "  ExternalId = (not shown)\n",
        "Ledger ",
    ] {
        ensure!(shown.stdout.contains(expected), "`{expected}` is not shown: {shown:?}");
    }
    for account in [DATA, ANALYTICS] {
        ensure!(
            deployment.status(account)?.is_none(),
            "a stack was created in account `{account}`"
        );
    }
    // An existing stack is compared by a change set, which is deleted again.
    let cloud = &stage.cloud;
    let mut command = cloud.landfall("deploy")?;
    command.args(["stage/routes.yaml", "--package", "stage", "--target", "analytics", "--dry-run"]);
    command.args(["--parameter", "data:LogLevel=DEBUG"]);
    command.args(["--parameter", "data:LandingBucketNames=acme-landing"]);
    let its_slot = alone(stage)?;
    let ran = command.output()?;
    drop(its_slot);
    let output = String::from_utf8_lossy(&ran.stdout).into_owned();
    ensure!(ran.status.success(), "{output}{}", String::from_utf8_lossy(&ran.stderr));
    ensure!(output.contains("Modify  Trigger "), "the change is not shown: {output}");
    for (cli, bucket) in
        [(&cloud.data.cli, DATA_ARTIFACTS), (&cloud.analytics.cli, ANALYTICS_ARTIFACTS)]
    {
        let sets = cli.json(["cloudformation", "list-change-sets", "--stack-name", "landfall"])?;
        let sets = sets["Summaries"].as_array().cloned().unwrap_or_default();
        let left = sets.iter().filter(|set| set["ExecutionStatus"] == "AVAILABLE").count();
        ensure!(left == 0, "{left} change sets are left: {sets:?}");
        let listed = ["s3api", "list-objects-v2", "--bucket", bucket, "--prefix", "dry/"];
        let objects = cli.json(listed)?["KeyCount"].as_u64().unwrap_or_default();
        ensure!(objects == 0, "{objects} objects were uploaded for a stack that does not exist");
    }
    Ok(())
}

/// All deployments of an account share the stack of the artifacts, and both want to change it here:
/// each tag is new to it.
pub fn deployments_of_an_account_at_the_same_time_all_succeed(stage: &Stage) -> Result<()> {
    const PREFIXES: [&str; 2] = ["twin-a", "twin-b"];
    let twin = |prefix| anyhow::Ok(Deployment { slots: 0, ..Deployment::new(stage, prefix)? });
    let deployments = PREFIXES.map(twin).into_iter().collect::<Result<Vec<_>>>()?;
    // Neither waits for its slot alone.
    let _slots = slots(stage, 2)?;
    thread::scope(|scope| {
        let run = |deployment: &Deployment| -> Result<()> {
            let tag = format!("{}=deployed", deployment.prefix);
            deployment.deploy(&["--yes", "--tag", &tag])?.expect(0).map(drop)
        };
        let running: Vec<_> =
            deployments.iter().map(|deployment| scope.spawn(move || run(deployment))).collect();
        running
            .into_iter()
            .try_for_each(|one| one.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })?;
    for deployment in &deployments {
        for account in [DATA, ANALYTICS] {
            let status = deployment.status(account)?;
            ensure!(status.as_deref() == Some("CREATE_COMPLETE"), "{status:?}");
        }
    }
    for cli in [&stage.cloud.data.cli, &stage.cloud.analytics.cli] {
        let found =
            cli.json(["cloudformation", "describe-stacks", "--stack-name", "landfall-artifacts"])?;
        let tags = found["Stacks"][0]["Tags"].to_string();
        ensure!(PREFIXES.iter().any(|prefix| tags.contains(prefix)), "no tag is there: {tags}");
    }
    Ok(())
}

pub fn a_change_that_is_declined_leaves_nothing_behind(stage: &Stage) -> Result<()> {
    let deployment = Deployment::new(stage, "declined")?;
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).context("no terminal")?;
    grantpt(&terminal).and_then(|()| unlockpt(&terminal)).context("no terminal to use")?;
    let path = ptsname(&terminal, Vec::new()).context("the terminal has no name")?;
    let stdin = File::options().read(true).write(true).open(path.to_str()?)?;
    // The second answer is Ctrl-C.
    for answer in ["no\n", "\u{3}"] {
        let (typed, stdin) = (terminal.try_clone()?, stdin.try_clone()?);
        let ended = AtomicBool::new(false);
        // While the command asks, Ctrl-C is text.
        let asks = || tcgetattr(&typed).is_ok_and(|it| !it.local_modes.contains(LocalModes::ISIG));
        let shown = thread::scope(|scope| {
            scope.spawn(|| {
                while !asks() && !ended.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(50));
                }
                rustix::io::write(&typed, answer.as_bytes())
            });
            let shown = deployment.run("deploy", |command| {
                let package = command.arg("--package").arg(&deployment.package);
                package.args(&deployment.options).stdin(stdin);
            });
            ended.store(true, Ordering::Relaxed);
            shown
        })?;
        let shown = shown.expect(1)?;
        ensure!(
            shown.stdout.contains("Add     Provisioner "),
            "the declined change is not shown: {shown:?}"
        );
        ensure!(
            shown.stderr.contains("make this change? [y/N] ") && shown.stderr.contains("declined"),
            "no confirmation was requested: {shown:?}"
        );
    }
    let cli = &stage.cloud.data.cli;
    let stacks = cli.json(["cloudformation", "describe-stacks"])?;
    let stacks = stacks["Stacks"].as_array().cloned().unwrap_or_default();
    let names: Vec<&str> = stacks.iter().filter_map(|stack| stack["StackName"].as_str()).collect();
    ensure!(!names.iter().any(|name| name.starts_with("declined")), "stacks are left: {names:?}");
    Ok(())
}

pub fn the_same_again_changes_nothing_and_changed_routes_change_what_follows_from_them(
    stage: &Stage,
) -> Result<()> {
    let deployment = Deployment::new(stage, "again")?;
    // The order differs from that of the shared deployment.
    let first =
        deployment.deploy(&["--yes", "--order", "data-first", "--tag", "team=data"])?.expect(0)?;
    let place =
        |text: &str| first.stdout.find(text).with_context(|| format!("`{text}`: {first:?}"));
    ensure!(
        place("stack again in the data")? < place("stack again in the analytics")?,
        "{first:?}"
    );
    let [id] = &deployment.admitted()?[..] else { anyhow::bail!("not exactly one external ID") };
    ensure!(
        id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()),
        "the external ID is not random"
    );
    ensure!(!format!("{first:?}").contains(id), "the external ID is shown");

    let second = deployment.deploy(&["--yes"])?.expect(0)?;
    ensure!(second.unchanged() == 8, "something changed: {second:?}");

    deployment.write_routes(&["again-job", "added"])?;
    let third = deployment.deploy(&["--yes"])?.expect(0)?;
    for (resource, is_changed) in [
        ("StarterRole ", true),
        ("ReaderRole ", true),
        ("Notifications ", true),
        ("Ledger ", false),
    ] {
        let is_told = third.stdout.contains(&format!("Modify  {resource}"));
        ensure!(is_told == is_changed, "{resource}: {third:?}");
    }
    let policy =
        ["iam", "get-role-policy", "--role-name", "again-starter", "--policy-name", "landfall"];
    let policy = stage.cloud.analytics.cli.run(policy)?;
    ensure!(policy.contains("job/added"), "the starter role may not start the added job: {policy}");
    ensure!(deployment.admitted()? == [id.clone()], "the external ID was not kept");
    Ok(())
}

pub fn a_change_that_fails_is_taken_back_and_what_failed_first_is_told(
    stage: &Stage,
) -> Result<()> {
    let deployment = Deployment::new(stage, "bad")?;
    deployment.deploy(&["--yes"])?.expect(0)?;
    // The routes don't name this bucket, so the provisioner refuses it.
    let bucket = "data:LandingBucketNames=acme-nowhere";
    let failed = deployment.deploy(&["--yes", "--parameter", bucket])?.expect(1)?;
    let last = failed.stderr.lines().last().unwrap_or_default();
    for expected in
        ["stack `bad`", "UPDATE_ROLLBACK_COMPLETE", "Notifications (Custom::", "acme-nowhere"]
    {
        ensure!(last.contains(expected), "`{expected}` is not shown: {failed:?}");
    }
    let status = deployment.status(DATA)?;
    ensure!(status.as_deref() == Some("UPDATE_ROLLBACK_COMPLETE"), "the stack is {status:?}");
    let repaired = deployment.deploy(&["--yes"])?.expect(0)?;
    ensure!(repaired.unchanged() == 8, "the rollback did not restore the stacks: {repaired:?}");
    Ok(())
}

pub fn a_first_creation_that_fails_leaves_nothing_in_the_way_of_the_next(
    stage: &Stage,
) -> Result<()> {
    let deployment = Deployment::new(stage, "first")?;
    // The role belongs to somebody else, so Landfall never touches it.
    let cli = &stage.cloud.analytics.cli;
    let anybody = r#"{"Version": "2012-10-17", "Statement": []}"#;
    let role = ["iam", "create-role", "--role-name", "first-job", "--path", "/landfall/"];
    cli.run([&role[..], &["--assume-role-policy-document", anybody]].concat())?;
    let failed = deployment.deploy(&["--yes"])?.expect(1)?;
    for expected in ["is ROLLBACK_COMPLETE: ", "Role (Custom::LandfallJobRole)"] {
        ensure!(failed.stderr.contains(expected), "`{expected}` is not shown: {failed:?}");
    }
    ensure!(deployment.status(DATA)?.is_none(), "the deployment went on: {failed:?}");
    cli.run(["iam", "delete-role", "--role-name", "first-job"])?;
    deployment.deploy(&["--yes"])?.expect(0)?;
    Ok(())
}

pub fn what_destroy_says_stays_does_and_is_taken_in_again(stage: &Stage) -> Result<()> {
    let deployment = Deployment::new(stage, "gone")?;
    deployment.deploy(&["--yes"])?.expect(0)?;
    let looked = deployment.run("destroy", |command| {
        command.arg("--dry-run");
    })?;
    let looked = looked.expect(0)?;
    ensure!(deployment.status(DATA)?.is_some(), "a dry run deleted a stack");
    let destroyed = deployment.run("destroy", |command| {
        command.arg("--yes");
    })?;
    let destroyed = destroyed.expect(0)?;
    ensure!(
        looked.stdout == destroyed.stdout,
        "the dry run shows something else: {looked:?} {destroyed:?}"
    );
    for account in [DATA, ANALYTICS] {
        ensure!(deployment.status(account)?.is_none(), "the stack of account `{account}` is left");
    }
    let cloud = &stage.cloud;
    for table in ["gone-ledger", "gone-claims"] {
        let removed_by =
            format!("aws dynamodb delete-table --table-name {table} --region us-east-1");
        ensure!(looked.stdout.contains(&removed_by), "`{table}` is not shown: {looked:?}");
        cloud.data.cli.run(["dynamodb", "describe-table", "--table-name", table])?;
    }
    for (cli, bucket) in [
        (&cloud.data.cli, format!("gone-manifests-{DATA}-us-east-1")),
        (&cloud.analytics.cli, "out-gone".to_owned()),
    ] {
        ensure!(looked.stdout.contains(&format!("AWS::S3::Bucket {bucket} ")), "{looked:?}");
        cli.run(["s3api", "head-bucket", "--bucket", &bucket])?;
    }
    let roles = cloud.data.cli.run(["iam", "list-roles"])?;
    ensure!(!roles.contains("gone-reader"), "a role outlived its stack");

    let again = deployment.deploy(&["--yes"])?.expect(0)?;
    for resource in ["Ledger ", "Claims ", "Manifests ", "OutputBucket "] {
        ensure!(again.stdout.contains(&format!("Import  {resource}")), "{resource}: {again:?}");
    }
    Ok(())
}

pub fn an_external_id_is_changed_while_both_are_admitted(stage: &Stage) -> Result<()> {
    let deployment = Deployment::new(stage, "rotated")?;
    deployment.deploy(&["--yes"])?.expect(0)?;
    let before = deployment.admitted()?;
    let refused = deployment.deploy(&["--yes", "--rotate-external-id"])?.expect(2)?;
    ensure!(refused.stderr.contains("LANDFALL_PREVIOUS_EXTERNAL_ID"), "{refused:?}");
    // Read it where the refusal says: from the trigger's configuration.
    let cli = &stage.cloud.data.cli;
    let presented = || {
        let function =
            ["lambda", "get-function-configuration", "--function-name", "rotated-trigger"];
        let found = cli.json(function)?;
        let id = found["Environment"]["Variables"]["LANDFALL_EXTERNAL_ID"].as_str();
        id.map(str::to_owned).context("the trigger has no external ID")
    };
    let previous = presented()?;
    ensure!(
        before == [previous.clone()],
        "the trigger presents an external ID that is not admitted"
    );
    let rotated = deployment.run("deploy", |command| {
        command.env("LANDFALL_PREVIOUS_EXTERNAL_ID", &previous);
        command.arg("--package").arg(&deployment.package).args(&deployment.options);
        command.args(["--yes", "--rotate-external-id"]);
    })?;
    let rotated = rotated.expect(0)?;
    let place =
        |text: &str| rotated.stdout.find(text).with_context(|| format!("`{text}`: {rotated:?}"));
    let [both, new, alone] = [
        "accepts both external IDs",
        "presents the new external ID",
        "accepts only the new external ID",
    ];
    ensure!(place(both)? < place(new)? && place(new)? < place(alone)?, "{rotated:?}");
    let now = presented()?;
    ensure!(
        now != previous && deployment.admitted()? == [now.clone()],
        "the external ID was not changed"
    );
    let output = format!("{rotated:?}");
    ensure!(!output.contains(&now) && !output.contains(&previous), "an external ID is shown");
    Ok(())
}

pub fn credentials_of_another_account_than_the_routes_name_are_refused(
    stage: &Stage,
) -> Result<()> {
    let deployment = Deployment::new(stage, "astray")?;
    for (option, profile, expected) in [
        ("--analytics-profile", "data", "the routes' target is account `222222222222`"),
        ("--data-profile", "analytics", "which is the analytics account"),
        ("--data-profile", "nobody", "profile `nobody`"),
    ] {
        let mut command = stage.cloud.landfall_without_profiles("deploy")?;
        let other = match option {
            "--data-profile" => ["--analytics-profile", "analytics"],
            _ => ["--data-profile", "data"],
        };
        command
            .arg(deployment.routes())
            .args(["--name-prefix", "astray"])
            .args([option, profile])
            .args(other)
            .arg("--yes");
        let ran = command.output()?;
        let output = String::from_utf8_lossy(&ran.stderr);
        ensure!(
            ran.status.code() == Some(2) && output.contains(expected),
            "{option} {profile}: {output}"
        );
    }
    Ok(())
}
