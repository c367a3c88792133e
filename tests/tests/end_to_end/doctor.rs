//! `landfall doctor` and the auditors against a deployment of their own, in which the test breaks one link at a time.
//!
//! While a link is broken, `doctor` names it first and an auditor keeps it as a finding. It is mended with the command that
//! `doctor` prints if that is one of the `aws` command line, and then the finding is resolved. The emulator has no state of a function other than `Active`, and evaluates few policies of
//! buckets and queues: golden tests of the core show what `doctor` makes of those.

mod faults;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use aws_sdk_glue::types::JobRunState::Succeeded;
use aws_sdk_sqs::types::QueueAttributeName;
use landfall_tests::cloud::{JOB, LANDING_BUCKET, LocalCloud, Setup, wait_until};
use landfall_tests::command::run;
use landfall_tests::emulator::surroundings;
use landfall_tests::shared::Shared;
use landfall_tests::{DATA, REGION, root};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use self::faults::{Fault, Mend};

/// How long a message takes that waits in the queue of arrivals.
const TIME_TO_ARRIVE: Duration = Duration::from_secs(60);

pub fn trials() -> Vec<Trial> {
    let shared: Shared<LocalCloud> = Shared::default();
    let name = "doctor_and_auditor_name_each_broken_link_and_its_command_mends_it";
    vec![shared.trial(name, deploy, |cloud| {
        doctor_and_auditor_name_each_broken_link_and_its_command_mends_it(cloud)
            .map_err(|error| anyhow!("{error:#}\n{}", cloud.hints()))
    })]
}

fn deploy() -> Result<LocalCloud> {
    LocalCloud::start(&Setup {
        routes: root().join("tests/fixtures/doctor-routes.yaml"),
        routes_of_policies: None,
        parameters: Vec::new(),
        target: None,
        minute: None,
    })
}

/// What auditors leave to alarms, have no right to read, or take both accounts to see.
const NOT_AUDITED: [&str; 5] = [
    "dead_letters",
    "queue_missing",
    "reader_does_not_admit_job_role",
    "routes_not_deployed",
    "script_missing",
];

fn doctor_and_auditor_name_each_broken_link_and_its_command_mends_it(
    cloud: &LocalCloud,
) -> Result<()> {
    let healthy = diagnose(cloud, &[])?;
    ensure!(healthy.document["first_broken"].is_null(), "healthy: {healthy:#?}");
    ensure!(healthy.status == Some(0), "healthy: {healthy:#?}");
    let healthy = audit(cloud)?;
    ensure!(healthy.status == Some(0), "something is found to be wrong: {healthy:#?}");
    let blind = state(&healthy, "could_not_look");
    ensure!(blind == "not kept", "an auditor could not look at something: {healthy:#?}");
    the_trigger_itself_can_start_the_job(cloud)?;
    let queue = Announced::listen(cloud)?;
    // One fault that isn't as expected hides no other.
    let mut wrong = Vec::new();
    for fault in faults::all() {
        if let Err(error) = is_named_first_and_mended(cloud, fault) {
            wrong.push(format!("{error:#}"));
            if let Mend::By(mend) = fault.mend {
                wrong.extend(mend(cloud).err().map(|error| format!("it stays so: {error:#}")));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    queue.has_heard_of_all(cloud)?;
    one_account_alone_is_half_known(cloud)
}

fn is_named_first_and_mended(
    cloud: &LocalCloud,
    Fault { problem, breaks, mend }: &Fault,
) -> Result<()> {
    breaks(cloud).with_context(|| format!("failed to cause {problem}"))?;
    let broken = diagnose(cloud, &[])?;
    let first = named_first(&broken.document, problem);
    ensure!(first["problem"]["code"] == *problem, "{problem} is not first: {broken:#?}");
    let is_broken = first["status"] == "broken";
    ensure!(broken.status == Some(i32::from(is_broken)), "{problem}: {broken:#?}");
    match *problem {
        "mapping_disabled" => an_object_stops_at_the_broken_link(cloud)?,
        "job_missing" => the_trigger_itself_sees_no_job(cloud)?,
        _ => {}
    }
    let is_audited = !NOT_AUDITED.contains(problem);
    let is_bad = ["high", "critical"].iter().any(|it| first["problem"]["severity"] == *it);
    let found = audit(cloud)?;
    let expected = Some(i32::from(is_audited && is_bad));
    ensure!(found.status == expected, "{problem} is not found: {found:#?}");
    let expected = if is_audited { "open" } else { "not kept" };
    ensure!(state(&found, problem) == expected, "{problem} is not {expected}: {found:#?}");
    match mend {
        Mend::AsPrinted => as_printed(cloud, first).with_context(|| first.to_string())?,
        Mend::By(mend) => mend(cloud)?,
    }
    if *problem != "role_missing" {
        let mended = diagnose(cloud, &[])?;
        ensure!(mended.status == Some(0), "{problem} is not mended: {mended:#?}");
        let is_named = codes(&mended.document).contains(problem);
        ensure!(!is_named, "{problem} is not mended: {mended:#?}");
        let found = audit(cloud)?;
        ensure!(found.status == Some(0), "{problem} is not resolved: {found:#?}");
        let expected = if is_audited { "resolved" } else { "not kept" };
        ensure!(state(&found, problem) == expected, "{problem} is not {expected}: {found:#?}");
    }
    if *problem == "mapping_disabled" {
        the_object_gets_into_the_ledger(cloud)?;
    }
    Ok(())
}

/// Returns the first broken link. If none is broken, returns the one of which `doctor` warns with this problem.
fn named_first<'d>(document: &'d Value, problem: &str) -> &'d Value {
    let first = &document["first_broken"];
    let mut checks = document["checks"].as_array().into_iter().flatten();
    match first.is_null() {
        true => checks.find(|check| check["problem"]["code"] == problem).unwrap_or(first),
        false => first,
    }
}

/// Returns the codes of all problems.
fn codes(document: &Value) -> BTreeSet<&str> {
    let checks = document["checks"].as_array().into_iter().flatten();
    checks.filter_map(|check| check["problem"]["code"].as_str()).collect()
}

/// An object that lands while the trigger's mapping is disabled.
const STUCK: &str = "in/stuck.csv";

/// Has `doctor` follow the object.
fn follow(cloud: &LocalCloud) -> Result<Diagnosis> {
    let uri = format!("s3://{LANDING_BUCKET}/{STUCK}");
    said(cloud.landfall("doctor")?.args(["--json", "--object", &uri]))
}

fn an_object_stops_at_the_broken_link(cloud: &LocalCloud) -> Result<()> {
    cloud.wait(cloud.put(LANDING_BUCKET, STUCK, "day,weather\n1,sun\n"))?;
    let stuck = follow(cloud)?;
    let first = &stuck.document["first_broken"];
    ensure!(first["problem"]["code"] == "mapping_disabled", "not where it stops: {stuck:#?}");
    let object = &stuck.document["object"];
    ensure!(object["exists"] == true && object["routes_from"] == "stack", "{object:#}");
    ensure!(stuck.status == Some(1), "{stuck:#?}");
    Ok(())
}

/// Shows that it goes on by itself once the link is mended.
fn the_object_gets_into_the_ledger(cloud: &LocalCloud) -> Result<()> {
    let followed = wait_until("the object does not arrive", TIME_TO_ARRIVE, async || {
        let followed = follow(cloud)?;
        Ok((followed.status == Some(0)).then_some(followed))
    });
    let followed = cloud.wait(followed)?;
    let arrivals = followed.document["object"]["arrivals"].as_array().map_or(0, Vec::len);
    ensure!(arrivals == 1, "{followed:#?}");
    // A run that goes on, or fails, would be in the way of what comes next.
    let ended = wait_until("its job run does not succeed", TIME_TO_ARRIVE, async || {
        let runs = cloud.runs(JOB).await?;
        Ok(runs.iter().any(|run| run.job_run_state() == Some(&Succeeded)).then_some(()))
    });
    cloud.wait(ended)
}

/// Has the trigger make the calls before a start.
fn probe(cloud: &LocalCloud) -> Result<Diagnosis> {
    said(cloud.landfall("doctor")?.args(["--json", "--probe", "--yes"]))
}

fn the_trigger_itself_can_start_the_job(cloud: &LocalCloud) -> Result<()> {
    let probed = probe(cloud)?;
    ensure!(probed.status == Some(0), "{probed:#?}");
    let first = &probed.document["probes"][0];
    ensure!(first["outcome"] == "works" && first["job"] == JOB, "{probed:#?}");
    let runs = cloud.wait(cloud.runs(JOB))?;
    ensure!(runs.is_empty(), "a probe started a run: {runs:?}");
    Ok(())
}

fn the_trigger_itself_sees_no_job(cloud: &LocalCloud) -> Result<()> {
    let probed = probe(cloud)?;
    ensure!(probed.status == Some(1), "{probed:#?}");
    ensure!(probed.document["probes"][0]["outcome"] == "no_such_job", "{probed:#?}");
    Ok(())
}

/// Shows that the other half is unknown, not healthy, and asks its owners.
fn one_account_alone_is_half_known(cloud: &LocalCloud) -> Result<()> {
    let analytics = diagnose(cloud, &["--only", "analytics"])?;
    ensure!(analytics.status == Some(2), "half: {analytics:#?}");
    let requests = analytics.document["requests"].as_array().map_or(0, Vec::len);
    ensure!(requests == 1, "half: {analytics:#?}");
    Ok(())
}

/// Has both auditors look, and returns everything that they keep.
fn audit(cloud: &LocalCloud) -> Result<Diagnosis> {
    let mut command = cloud.landfall("audit")?;
    said(command.args(["stage/routes.yaml", "--now", "--all", "--json"]))
}

/// Returns the state of the finding with this problem. If several resources had it, the open one counts.
fn state(audit: &Diagnosis, problem: &str) -> String {
    let accounts = audit.document["accounts"].as_array().into_iter().flatten();
    let findings = accounts.flat_map(|it| it["findings"].as_array().into_iter().flatten());
    let its = findings.filter(|finding| finding["code"] == problem);
    let states: BTreeSet<&str> = its.filter_map(|finding| finding["state"].as_str()).collect();
    let worst = ["open", "suspected", "resolved"].into_iter().find(|state| states.contains(state));
    worst.unwrap_or("not kept").to_owned()
}

/// A queue that gets the data account's events about findings.
struct Announced {
    url: String,
}

impl Announced {
    fn listen(cloud: &LocalCloud) -> Result<Self> {
        let policy = json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*",
            "Principal": { "Service": "events.amazonaws.com" } }] });
        let create = cloud.data.sqs.create_queue().queue_name("findings");
        let create = create.attributes(QueueAttributeName::Policy, policy.to_string());
        let created = cloud.wait(create.send()).context("failed to create a queue")?;
        let url = created.queue_url().context("the queue has no URL")?.to_owned();
        let cli = &cloud.data.cli;
        let pattern = r#"{"source":["landfall"],"detail-type":["Landfall Finding"]}"#;
        cli.run(["events", "put-rule", "--name", "findings", "--event-pattern", pattern])?;
        let target = format!("Id=queue,Arn=arn:aws:sqs:{REGION}:{DATA}:findings");
        cli.run(["events", "put-targets", "--rule", "findings", "--targets", &target])?;
        Ok(Self { url })
    }

    /// Checks that each finding of the data account was announced when it opened and when it was resolved.
    fn has_heard_of_all(&self, cloud: &LocalCloud) -> Result<()> {
        let heard = cloud.wait(self.heard(cloud))?;
        let is_audited = |fault: &&Fault| !NOT_AUDITED.contains(&fault.problem);
        let data = faults::all().filter(|fault| faults::is_of_data(fault)).filter(is_audited);
        let news = data.flat_map(|Fault { problem, .. }| {
            let states: &[&str] = match *problem {
                "role_missing" => &["opened"],
                _ => &["opened", "resolved"],
            };
            states.iter().map(move |state| format!("{problem} {state}"))
        });
        for news in news {
            ensure!(heard.contains(&news), "nobody heard of {news}: {heard:?}");
        }
        Ok(())
    }

    /// Receives all events, and returns the problem and the state of each.
    async fn heard(&self, cloud: &LocalCloud) -> Result<BTreeSet<String>> {
        let sqs = &cloud.data.sqs;
        let mut heard = BTreeSet::new();
        loop {
            let receive = sqs.receive_message().queue_url(&self.url).max_number_of_messages(10);
            let received = receive.send().await.context("failed to receive events")?;
            if received.messages().is_empty() {
                return Ok(heard);
            }
            for message in received.messages() {
                let event: Value = serde_json::from_str(message.body().unwrap_or_default())?;
                let text = |name: &str| event["detail"][name].as_str().unwrap_or_default();
                heard.insert(format!("{} {}", text("code"), text("state")));
                let handle = message.receipt_handle().unwrap_or_default();
                let delete = sqs.delete_message().queue_url(&self.url).receipt_handle(handle);
                delete.send().await.context("failed to delete an event")?;
            }
        }
    }
}

/// What a command says.
#[derive(Debug)]
struct Diagnosis {
    status: Option<i32>,
    document: Value,
    #[allow(dead_code, reason = "`Debug` shows it")]
    stderr: String,
}

fn diagnose(cloud: &LocalCloud, more: &[&str]) -> Result<Diagnosis> {
    let mut command = cloud.landfall("doctor")?;
    said(command.args(["--routes", "stage/routes.yaml", "--json"]).args(more))
}

fn said(command: &mut Command) -> Result<Diagnosis> {
    let ran = command.output().context("failed to run `landfall`")?;
    let stderr = String::from_utf8_lossy(&ran.stderr).into_owned();
    let document = serde_json::from_slice(&ran.stdout)
        .with_context(|| format!("`landfall` printed no JSON: {stderr}"))?;
    Ok(Diagnosis { status: ran.status.code(), document, stderr })
}

/// Runs the command of a check in a shell, with credentials of the check's account.
fn as_printed(cloud: &LocalCloud, check: &Value) -> Result<()> {
    let command = check["problem"]["command"].as_str().context("there is no command")?;
    ensure!(command.starts_with("aws "), "not a command of AWS: {command}");
    let cli = if check["account"] == DATA { &cloud.data.cli } else { &cloud.analytics.cli };
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .env_clear()
        .envs(surroundings(&cloud.python, cloud.emulator.folder()))
        .envs(cli.variables());
    run(&mut shell, "mend a link").map(drop)
}
