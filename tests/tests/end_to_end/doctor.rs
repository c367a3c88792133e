//! `landfall doctor` and the auditors against a deployment of their own, in which the test breaks one link at a time.
//!
//! While a link is broken, `doctor` names it first and an auditor keeps it as a finding. It is mended with the command that
//! `doctor` prints if that is one of the `aws` command line, and then the finding is resolved. The emulator has no state of a function other than `Active`, and evaluates few policies of
//! buckets and queues: golden tests of the core show what `doctor` makes of those.

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
use landfall_tests::{ANALYTICS, DATA, REGION, root};
use libtest_mimic::Trial;
use serde_json::{Value, json};

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

/// A link that the test breaks.
struct Fault {
    /// The code of the problem that is named.
    problem: &'static str,
    breaks: fn(&LocalCloud) -> Result<()>,
    mend: Mend,
}

enum Mend {
    /// By the command that `doctor` prints.
    AsPrinted,
    /// By something else: `doctor` can't know what the resource was.
    By(fn(&LocalCloud) -> Result<()>),
}

const FAULTS: [Fault; 12] = [
    Fault {
        problem: "notification_missing",
        breaks: |cloud| {
            let get =
                ["s3api", "get-bucket-notification-configuration", "--bucket", LANDING_BUCKET];
            cloud.stage("notifications.json", &cloud.data.cli.run(get)?)?;
            put_notifications(cloud, "{}")
        },
        mend: Mend::By(|cloud| put_notifications(cloud, "file://notifications.json")),
    },
    Fault {
        problem: "mapping_disabled",
        breaks: |cloud| {
            let cli = &cloud.data.cli;
            let list =
                ["lambda", "list-event-source-mappings", "--function-name", "landfall-trigger"];
            let found = cli.json(list)?;
            let uuid = found["EventSourceMappings"][0]["UUID"].as_str().context("no mapping")?;
            let update = ["lambda", "update-event-source-mapping", "--no-enabled", "--uuid", uuid];
            cli.run(update).map(drop)
        },
        mend: Mend::AsPrinted,
    },
    Fault {
        problem: "function_concurrency_zero",
        breaks: |cloud| {
            let put = ["lambda", "put-function-concurrency", "--function-name", "landfall-trigger"];
            let none = ["--reserved-concurrent-executions", "0"];
            cloud.data.cli.run([&put[..], &none].concat()).map(drop)
        },
        mend: Mend::AsPrinted,
    },
    Fault {
        problem: "schedule_disabled",
        breaks: |cloud| {
            let rule = tick(cloud)?;
            cloud.data.cli.run(["events", "disable-rule", "--name", &rule]).map(drop)
        },
        mend: Mend::AsPrinted,
    },
    Fault {
        problem: "job_missing",
        breaks: |cloud| {
            let cli = &cloud.analytics.cli;
            let found = cli.json(["glue", "get-job", "--job-name", JOB])?;
            cloud.stage("job.json", &found["Job"].to_string())?;
            cli.run(["glue", "delete-job", "--job-name", JOB]).map(drop)
        },
        mend: Mend::By(create_the_job_again),
    },
    Fault {
        problem: "queue_policy_changed",
        breaks: |cloud| {
            let url = url_of(cloud, ARRIVALS)?;
            let get = cloud.data.sqs.get_queue_attributes().queue_url(url);
            let found = cloud.wait(get.attribute_names(QueueAttributeName::Policy).send())?;
            let policies = found.attributes.unwrap_or_default();
            let policy = policies.get(&QueueAttributeName::Policy).context("no policy")?;
            cloud.stage("policy.json", policy)?;
            set_policy(cloud, "")
        },
        mend: Mend::By(|cloud| set_policy(cloud, &staged(cloud, "policy.json")?)),
    },
    Fault {
        problem: "dead_letters",
        breaks: |cloud| {
            let send = cloud.data.sqs.send_message().queue_url(url_of(cloud, DEAD_LETTERS)?);
            cloud.wait(send.message_body("{}").send()).context("failed to send").map(drop)
        },
        mend: Mend::By(|cloud| {
            let purge = cloud.data.sqs.purge_queue().queue_url(url_of(cloud, DEAD_LETTERS)?);
            cloud.wait(purge.send()).context("failed to purge").map(drop)
        }),
    },
    Fault {
        problem: "job_max_retries",
        breaks: |cloud| update_job(cloud, |job| job["MaxRetries"] = 1.into()),
        mend: Mend::By(|cloud| update_job(cloud, |job| job["MaxRetries"] = 0.into())),
    },
    Fault {
        problem: "script_missing",
        breaks: |cloud| {
            let script = script(cloud)?;
            let cli = &cloud.analytics.cli;
            cli.run(["s3", "mv", &script, &format!("{script}.away")]).map(drop)
        },
        mend: Mend::By(|cloud| {
            let script = script(cloud)?;
            let cli = &cloud.analytics.cli;
            cli.run(["s3", "mv", &format!("{script}.away"), &script]).map(drop)
        }),
    },
    Fault {
        problem: "rule_of_runs_disabled",
        breaks: |cloud| {
            let rules = cloud.analytics.cli.json(["events", "list-rules"])?;
            let rules = rules["Rules"].as_array().context("no rules")?;
            let of_runs = |rule: &&Value| {
                rule["EventPattern"].as_str().is_some_and(|it| it.contains("Glue Job State Change"))
            };
            let rule = rules.iter().find(of_runs).context("no rule of runs")?;
            let name = rule["Name"].as_str().context("the rule has no name")?;
            cloud.analytics.cli.run(["events", "disable-rule", "--name", name]).map(drop)
        },
        mend: Mend::AsPrinted,
    },
    Fault {
        problem: "role_narrower",
        breaks: |cloud| {
            let cli = &cloud.analytics.cli;
            let role = ["--role-name", STARTER];
            let policies = cli.json([&["iam", "list-role-policies"], &role[..]].concat())?;
            let name = policies["PolicyNames"][0].as_str().context("no policy")?;
            let policy = [&role[..], &["--policy-name", name]].concat();
            let found = cli.json([&["iam", "get-role-policy"], &policy[..]].concat())?;
            cloud.stage("policy.json", &found["PolicyDocument"].to_string())?;
            cloud.stage("policy-name", name)?;
            cli.run([&["iam", "delete-role-policy"], &policy[..]].concat()).map(drop)
        },
        mend: Mend::By(|cloud| {
            let name = staged(cloud, "policy-name")?;
            let put = ["iam", "put-role-policy", "--role-name", STARTER, "--policy-name", &name];
            let put = [&put[..], &["--policy-document", "file://policy.json"]].concat();
            cloud.analytics.cli.run(put).map(drop)
        }),
    },
    Fault {
        problem: "role_missing",
        breaks: |cloud| {
            let reader = format!("landfall-reader-{ANALYTICS}");
            let cli = &cloud.data.cli;
            let name = ["--role-name", &reader];
            let policies = cli.json([&["iam", "list-role-policies"], &name[..]].concat())?;
            for policy in policies["PolicyNames"].as_array().into_iter().flatten() {
                let policy = policy.as_str().context("a policy without a name")?;
                let delete = ["iam", "delete-role-policy", "--policy-name", policy];
                cli.run([&delete[..], &name].concat())?;
            }
            cli.run([&["iam", "delete-role"], &name[..]].concat()).map(drop)
        },
        // It is the last one: a deployment makes the role again only if its resource changes.
        mend: Mend::By(|_| Ok(())),
    },
];

/// The queue that S3 sends to.
const ARRIVALS: &str = "landfall-arrivals";

const DEAD_LETTERS: &str = "landfall-arrivals-dlq";

const STARTER: &str = "landfall-starter";

fn url_of(cloud: &LocalCloud, queue: &str) -> Result<String> {
    let found = cloud.wait(cloud.data.sqs.get_queue_url().queue_name(queue).send())?;
    found.queue_url.context("the queue has no URL")
}

/// Sets the policy of the queue that S3 sends to.
fn set_policy(cloud: &LocalCloud, policy: &str) -> Result<()> {
    let set = cloud.data.sqs.set_queue_attributes().queue_url(url_of(cloud, ARRIVALS)?);
    let set = set.attributes(QueueAttributeName::Policy, policy);
    cloud.wait(set.send()).context("failed to set the queue's policy").map(drop)
}

/// Returns the URI of the job's script.
fn script(cloud: &LocalCloud) -> Result<String> {
    let found = cloud.analytics.cli.json(["glue", "get-job", "--job-name", JOB])?;
    let script = found["Job"]["Command"]["ScriptLocation"].as_str();
    script.map(str::to_owned).context("the job has no script")
}

fn update_job(cloud: &LocalCloud, change: impl Fn(&mut Value)) -> Result<()> {
    let cli = &cloud.analytics.cli;
    let found = cli.json(["glue", "get-job", "--job-name", JOB])?;
    let mut update = settings(&found["Job"]);
    change(&mut update);
    let update = update.to_string();
    cli.run(["glue", "update-job", "--job-name", JOB, "--job-update", &update]).map(drop)
}

/// Returns what a job is made of.
fn settings(job: &Value) -> Value {
    json!({
        "Role": job["Role"],
        "Command": job["Command"],
        "DefaultArguments": job["DefaultArguments"],
        "MaxRetries": job["MaxRetries"],
        "ExecutionProperty": job["ExecutionProperty"],
    })
}

/// What auditors leave to alarms, or have no right to read.
const NOT_AUDITED: [&str; 2] = ["dead_letters", "script_missing"];

fn put_notifications(cloud: &LocalCloud, configuration: &str) -> Result<()> {
    let put = ["s3api", "put-bucket-notification-configuration", "--bucket", LANDING_BUCKET];
    let put = [&put[..], &["--notification-configuration", configuration]].concat();
    cloud.data.cli.run(put).map(drop)
}

/// Returns the name of the rule that runs the monitor.
fn tick(cloud: &LocalCloud) -> Result<String> {
    let ids = ["cloudformation", "describe-stack-resource", "--stack-name", "landfall"];
    let found = [&ids[..], &["--logical-resource-id", "MonitorTick"]].concat();
    let found = cloud.data.cli.json(found)?;
    let id = found["StackResourceDetail"]["PhysicalResourceId"].as_str();
    id.map(str::to_owned).context("the rule has no ID")
}

/// Returns what was staged before a link was broken.
fn staged(cloud: &LocalCloud, name: &str) -> Result<String> {
    let file = cloud.emulator.folder().join("stage").join(name);
    std::fs::read_to_string(&file).with_context(|| format!("failed to read `{name}`"))
}

fn create_the_job_again(cloud: &LocalCloud) -> Result<()> {
    let job: Value = serde_json::from_str(&staged(cloud, "job.json")?)?;
    let mut input = settings(&job);
    input["Name"] = JOB.into();
    let create = ["glue", "create-job", "--cli-input-json", &input.to_string()];
    cloud.analytics.cli.run(create).map(drop)
}

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
    for fault in &FAULTS {
        let Fault { problem, breaks, mend } = fault;
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
        let found = audit(cloud)?;
        let expected = Some(i32::from(is_audited && is_broken));
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
            let found = audit(cloud)?;
            ensure!(found.status == Some(0), "{problem} is not resolved: {found:#?}");
            let expected = if is_audited { "resolved" } else { "not kept" };
            ensure!(state(&found, problem) == expected, "{problem} is not {expected}: {found:#?}");
        }
        if *problem == "mapping_disabled" {
            the_object_gets_into_the_ledger(cloud)?;
        }
    }
    queue.has_heard_of_all(cloud)?;
    one_account_alone_is_half_known(cloud)
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

/// Returns the state of the finding with this problem, in whichever account it is.
fn state(audit: &Diagnosis, problem: &str) -> String {
    let accounts = audit.document["accounts"].as_array().into_iter().flatten();
    let mut findings = accounts.flat_map(|it| it["findings"].as_array().into_iter().flatten());
    let finding = findings.find(|finding| finding["code"] == problem);
    finding.and_then(|it| it["state"].as_str()).unwrap_or("not kept").to_owned()
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
        let data = [
            "notification_missing",
            "mapping_disabled",
            "function_concurrency_zero",
            "schedule_disabled",
            "queue_policy_changed",
        ];
        let both = data
            .iter()
            .flat_map(|code| ["opened", "resolved"].map(|state| format!("{code} {state}")));
        for news in both.chain(["role_missing opened".to_owned()]) {
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
