//! The templates' alarms. Each goes off because of the fault that it is for, notifies its topic,
//! and returns to OK once the fault is repaired. They have deployments of their own, because
//! other tests cause the same faults. There the minutes of schedules and alarms are shorter.
//!
//! The emulator implements what an alarm does, as CloudWatch documents it. The metric, statistic,
//! threshold and treatment of missing data come from the template.

mod fixture;

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use landfall_aws::clock::now;
use landfall_core::batch::{Batch, HistoryEvent, State};
use landfall_tests::cloud::JOB;
use landfall_tests::root;
use landfall_tests::shared::Shared;
use libtest_mimic::{Failed, Trial};
use serde_json::json;

use self::fixture::{Fixture, SOON};
use crate::stage::csv;

/// Alarms that the local cloud can set off, with the fault that they have in common.
struct Driven {
    /// The alarms' names, without the stack's prefix.
    alarms: &'static [&'static str],
    /// Causes the fault.
    cause: fn(&Fixture) -> Result<()>,
    /// Runs again and again until the topic hears of the alarms.
    keep_up: fn(&Fixture) -> Result<()>,
    /// Repairs the fault.
    repair: fn(&Fixture) -> Result<()>,
}

/// The alarms that are tested. Every alarm of the templates is here or in [`OUT_OF_REACH`].
const DRIVEN: [Driven; 12] = [
    Driven {
        alarms: &["arrivals-dlq", "messages-failed"],
        cause: |fixture| fixture.send("landfall-arrivals", "no notification"),
        keep_up: nothing,
        repair: |fixture| fixture.purge("landfall-arrivals-dlq"),
    },
    Driven {
        alarms: &["runs-dlq"],
        cause: |fixture| fixture.send("landfall-runs", "no event of a run"),
        keep_up: nothing,
        repair: |fixture| fixture.purge("landfall-runs-dlq"),
    },
    Driven {
        alarms: &["batches-parked"],
        cause: |fixture| fixture.upload("in/parked/a.csv", csv(1)),
        keep_up: nothing,
        repair: make_the_job_and_return_the_batch,
    },
    Driven {
        alarms: &["oldest-due"],
        cause: leave_a_batch_due_without_ticks,
        keep_up: nothing,
        repair: nothing,
    },
    Driven {
        alarms: &["start-blocked", "oldest-waiting", "assume-role-denied"],
        cause: |fixture| {
            fixture.trust_of_the_starter("Deny")?;
            fixture.upload("in/blocked/a.csv", csv(1))
        },
        keep_up: |fixture| has_waited(fixture, "in/blocked/a.csv", 5 * 3_600),
        repair: |fixture| {
            fixture.trust_of_the_starter("Allow")?;
            has_waited(fixture, "in/blocked/a.csv", 0)
        },
    },
    Driven {
        alarms: &["job-runs-failed"],
        // The job fails on a file that lacks the column by which it partitions.
        cause: |fixture| fixture.upload("in/failing/a.csv", "day\n1\n".to_owned()),
        keep_up: nothing,
        repair: settle_the_batch_that_failed,
    },
    Driven {
        alarms: &["trigger-throttles", "monitor-throttles"],
        cause: |fixture| {
            fixture.reserve("landfall-trigger", Some(0))?;
            fixture.reserve("landfall-monitor", Some(0))
        },
        keep_up: |fixture| {
            fixture.invoke("landfall-trigger")?;
            fixture.invoke("landfall-monitor")
        },
        repair: |fixture| {
            fixture.reserve("landfall-trigger", None)?;
            fixture.reserve("landfall-monitor", None)
        },
    },
    Driven {
        alarms: &["trigger-errors", "monitor-errors"],
        cause: |fixture| {
            fixture.set("landfall-monitor", "LANDFALL_RETENTION_DAYS", "for ever")?;
            fixture.set("landfall-trigger", "LANDFALL_RETENTION_DAYS", "for ever")?;
            fixture.send("landfall-arrivals", "whatever")
        },
        keep_up: nothing,
        repair: |fixture| {
            fixture.set("landfall-monitor", "LANDFALL_RETENTION_DAYS", "30")?;
            fixture.set("landfall-trigger", "LANDFALL_RETENTION_DAYS", "30")?;
            fixture.purge("landfall-arrivals")?;
            fixture.purge("landfall-arrivals-dlq")
        },
    },
    Driven {
        alarms: &["requests-refused"],
        cause: Fixture::speak_for_a_stack,
        keep_up: nothing,
        repair: nothing,
    },
    Driven {
        alarms: &["monitor-silent"],
        cause: |fixture| fixture.schedule("disable-rule"),
        keep_up: nothing,
        repair: |fixture| fixture.schedule("enable-rule"),
    },
    Driven {
        alarms: &["audit-findings"],
        // A role that may do more than intended. It keeps nothing from working.
        cause: |fixture| {
            let document = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:ListAllMyBuckets","Resource":"*"}]}"#;
            fixture.policy_of_the_reader("put-role-policy", &["--policy-document", document])
        },
        keep_up: nothing,
        repair: |fixture| fixture.policy_of_the_reader("delete-role-policy", &[]),
    },
    Driven {
        alarms: &["auditor-silent"],
        cause: |fixture| fixture.reserve("landfall-auditor", Some(0)),
        keep_up: nothing,
        repair: |fixture| fixture.reserve("landfall-auditor", None),
    },
];

/// Alarms that the local cloud can't set off, and why.
const OUT_OF_REACH: [(&str, &str); 6] = [
    ("rule-dlq", "the emulator models no dead-letter queue of a rule"),
    ("arrivals-late", "a message would have to wait for 15 minutes of real time"),
    ("arrivals-missed", "a run of the reconciler comes every 15 minutes of real time"),
    ("reconciler-errors", "the same, and it takes three of them"),
    ("unusual-bytes", "CloudWatch learns over weeks what is usual; the emulator has no such model"),
    ("unusual-runs", "the same"),
];

fn nothing(_: &Fixture) -> Result<()> {
    Ok(())
}

/// The job is a copy of one that succeeds: if the run failed, the batch would be parked again.
fn make_the_job_and_return_the_batch(fixture: &Fixture) -> Result<()> {
    let cli = &fixture.cloud.analytics.cli;
    let found = cli.json(["glue", "get-job", "--job-name", JOB])?;
    let mut copy = json!({ "Name": "not-yet-there" });
    for field in ["Role", "Command", "DefaultArguments", "GlueVersion"] {
        copy[field] = found["Job"][field].clone();
    }
    cli.run(["glue", "create-job", "--cli-input-json", &copy.to_string()])?;
    let returned = fixture.parked("in/parked/a.csv")?.returned(now()).context("not parked")?;
    fixture.cloud.wait(async {
        fixture.ledger.write(returned).await?.context("somebody else wrote the batch")?;
        Ok(())
    })
}

fn leave_a_batch_due_without_ticks(fixture: &Fixture) -> Result<()> {
    fixture.schedule("disable-rule")?;
    fixture.upload("in/due/a.csv", csv(1))?;
    let batch = fixture.batch_of("in/due/a.csv")?;
    ensure!(matches!(batch.state, State::Open { .. }), "not open: {batch:?}");
    // Act as if there had been no tick for that long.
    let state = State::Open { closes_at: now() - Duration::from_secs(1000) };
    fixture.write(Batch { state, ..batch })?;
    fixture.schedule("enable-rule")
}

/// Makes a batch that was put off due at once, and makes it look as if it had waited this long.
/// Real attempts would take hours.
fn has_waited(fixture: &Fixture, key: &str, seconds: u64) -> Result<()> {
    let mut batch = fixture.batch_of(key)?;
    let State::Sealed { due, waits_for_slot } = batch.state else { return Ok(()) };
    if due > now() {
        batch.state = State::Sealed { due: now(), waits_for_slot };
        for entry in batch.history.iter_mut().filter(|entry| entry.what == HistoryEvent::Sealed) {
            entry.at = now() - Duration::from_secs(seconds);
        }
        fixture.write(batch)?;
    }
    Ok(())
}

/// Settles the batch so that nothing more is started for it. The batch is parked, which sets off
/// another alarm too. Wait until that one has come and gone, because its own test counts how often
/// it goes off.
fn settle_the_batch_that_failed(fixture: &Fixture) -> Result<()> {
    let parked = fixture.parked("in/failing/a.csv")?;
    fixture.until("landfall-batches-parked", "ALARM")?;
    fixture.write(Batch { state: State::Empty, ..parked })?;
    fixture.until("landfall-batches-parked", "OK")
}

/// Returns a test for each alarm, and one that checks that the list is complete.
pub fn trials() -> Vec<Trial> {
    // In a deployment, cause one fault at a time. A fault may remove what another one needs, and an
    // alarm on a metric of another fault would go off too. Alarms take minutes, so there are two
    // deployments.
    let shared: [Shared<Mutex<Fixture>>; 2] = Default::default();
    let mut trials: Vec<Trial> = DRIVEN
        .iter()
        .zip(shared.iter().cycle())
        .map(|(driven, shared)| {
            let names = driven.alarms.join("_and_").replace('-', "_");
            let name = format!("the_alarm_{names}_tells_of_its_fault");
            let deploy = || Fixture::deploy().map(Mutex::new);
            shared.trial(&name, deploy, move |fixture| {
                // If a test panicked, the others must not fail because of the poisoned lock.
                let fixture = fixture.lock().unwrap_or_else(PoisonError::into_inner);
                each_alarm_tells_of_its_fault_and_is_quiet_once_it_is_mended(driven, &fixture)
            })
        })
        .collect();
    trials.push(Trial::test("every_alarm_of_the_templates_is_set_off_or_out_of_reach", || {
        every_alarm_of_the_templates_is_set_off_or_out_of_reach()
            .map_err(|error| Failed::from(format!("{error:#}")))
    }));
    trials
}

fn each_alarm_tells_of_its_fault_and_is_quiet_once_it_is_mended(
    driven: &Driven,
    fixture: &Fixture,
) -> Result<()> {
    let Driven { alarms, cause, keep_up, repair } = driven;
    let names: Vec<String> = alarms.iter().map(|alarm| format!("landfall-{alarm}")).collect();
    let mut silent = Vec::new();
    for name in &names {
        fixture.until(name, "OK").context("before the fault")?;
        silent.push((name, fixture.cloud.wait(fixture.times_heard(name))?));
    }
    let heard = cause(fixture).context("failed to cause the fault").and_then(|()| {
        let deadline = Instant::now() + SOON;
        while let Some((name, before)) = silent.last() {
            if fixture.cloud.wait(fixture.times_heard(name))? > *before {
                silent.pop();
                continue;
            }
            ensure!(Instant::now() < deadline, "the topic was not notified of `{name}`");
            keep_up(fixture).context("failed to keep the fault up")?;
            thread::sleep(Duration::from_millis(500));
        }
        Ok(())
    });
    let states = || names.iter().map(|name| fixture.describe(name)).collect::<Vec<_>>().join("\n");
    let heard = heard.with_context(states);
    let repaired = repair(fixture).context("failed to repair the fault");
    heard.and(repaired)?;
    names
        .iter()
        .try_for_each(|name| fixture.until(name, "OK").context("after the fault was repaired"))
}

fn every_alarm_of_the_templates_is_set_off_or_out_of_reach() -> Result<()> {
    let mut named = BTreeSet::new();
    let mut alarms = 0;
    for entry in fs::read_dir(root().join("infra")).context("failed to list the templates")? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = fs::read_to_string(&path).context("failed to read a template")?;
        alarms += text.matches("Type: AWS::CloudWatch::Alarm\n").count();
        let names = text.split("AlarmName: !Sub ${NamePrefix}-").skip(1);
        named.extend(
            names.filter_map(|rest| rest.lines().next().map(|name| name.trim().to_owned())),
        );
    }
    ensure!(alarms > 0 && named.len() == alarms, "{alarms} alarms, by name {named:?}");
    let driven = DRIVEN.iter().flat_map(|driven| driven.alarms.iter().copied());
    let listed: Vec<&str> = driven.chain(OUT_OF_REACH.iter().map(|(alarm, _)| *alarm)).collect();
    let once: BTreeSet<String> = listed.iter().map(|&alarm| alarm.to_owned()).collect();
    ensure!(once.len() == listed.len(), "an alarm is listed twice: {listed:?}");
    ensure!(once == named, "in the templates: {named:?}, listed: {once:?}");
    Ok(())
}
