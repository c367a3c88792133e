//! The templates' alarms: each is set off by the fault that it is for, tells its topic, and is quiet
//! again once the fault is mended. They have a deployment of their own, since other tests cause the
//! same faults, and shorter minutes: of schedules and of alarms alike.
//!
//! What an alarm does is the emulator's, as CloudWatch documents it; which metric, statistic, threshold
//! and treatment of missing data it is judged by, is the template's.

mod ground;

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use landfall_aws::clock::now;
use landfall_core::batch::{Batch, HistoryEvent, State};
use landfall_tests::cloud::{LANDING_BUCKET, wait_until};
use landfall_tests::shared::Shared;
use landfall_tests::{ANALYTICS, root};
use libtest_mimic::{Failed, Trial};

use self::ground::{Ground, SOON};
use crate::stage::csv;

/// Alarms that the local cloud can set off, by a fault that they have in common.
struct Driven {
    /// Their names, without the stack's prefix.
    alarms: &'static [&'static str],
    /// Causes the fault.
    cause: fn(&Ground) -> Result<()>,
    /// Done again and again until the alarms are heard.
    insist: fn(&Ground) -> Result<()>,
    mend: fn(&Ground) -> Result<()>,
}

/// Every alarm of the templates is here or in [`OUT_OF_REACH`].
const DRIVEN: [Driven; 10] = [
    Driven {
        alarms: &["arrivals-dlq", "messages-failed"],
        cause: |ground| ground.send("landfall-arrivals", "no notification"),
        insist: nothing,
        mend: |ground| ground.purge("landfall-arrivals-dlq"),
    },
    Driven {
        alarms: &["runs-dlq"],
        cause: |ground| ground.send("landfall-runs", "no event of a run"),
        insist: nothing,
        mend: |ground| ground.purge("landfall-runs-dlq"),
    },
    Driven {
        alarms: &["batches-parked"],
        cause: |ground| ground.upload("in/parked/a.csv", csv(1)),
        insist: nothing,
        mend: make_the_job_and_return_the_batch,
    },
    Driven {
        alarms: &["oldest-due"],
        cause: leave_a_batch_due_without_ticks,
        insist: nothing,
        mend: nothing,
    },
    Driven {
        alarms: &["start-blocked", "oldest-waiting", "assume-role-denied"],
        cause: |ground| {
            ground.trust_of_the_starter("Deny")?;
            ground.upload("in/blocked/a.csv", csv(1))
        },
        insist: |ground| has_waited(ground, "in/blocked/a.csv", 5 * 3_600),
        mend: |ground| {
            ground.trust_of_the_starter("Allow")?;
            has_waited(ground, "in/blocked/a.csv", 0)
        },
    },
    Driven {
        alarms: &["job-runs-failed"],
        // Its job fails on a file without the column that it partitions by.
        cause: |ground| ground.upload("in/failing/a.csv", "day\n1\n".to_owned()),
        insist: nothing,
        mend: settle_the_batch_that_failed,
    },
    Driven {
        alarms: &["trigger-throttles", "monitor-throttles"],
        cause: |ground| {
            ground.reserve("landfall-trigger", Some(0))?;
            ground.reserve("landfall-monitor", Some(0))
        },
        insist: |ground| {
            ground.invoke("landfall-trigger")?;
            ground.invoke("landfall-monitor")
        },
        mend: |ground| {
            ground.reserve("landfall-trigger", None)?;
            ground.reserve("landfall-monitor", None)
        },
    },
    Driven {
        alarms: &["trigger-errors", "monitor-errors"],
        cause: |ground| {
            ground.set("landfall-monitor", "LANDFALL_RETENTION_DAYS", "for ever")?;
            ground.set("landfall-trigger", "LANDFALL_RETENTION_DAYS", "for ever")?;
            ground.send("landfall-arrivals", "whatever")
        },
        insist: nothing,
        mend: |ground| {
            ground.set("landfall-monitor", "LANDFALL_RETENTION_DAYS", "30")?;
            ground.set("landfall-trigger", "LANDFALL_RETENTION_DAYS", "30")?;
            ground.purge("landfall-arrivals")?;
            ground.purge("landfall-arrivals-dlq")
        },
    },
    Driven {
        alarms: &["requests-refused"],
        cause: Ground::speak_for_a_stack,
        insist: nothing,
        mend: nothing,
    },
    Driven {
        alarms: &["monitor-silent"],
        cause: |ground| ground.schedule("disable-rule"),
        insist: nothing,
        mend: |ground| ground.schedule("enable-rule"),
    },
];

/// Alarms that the local cloud cannot set off, and why.
const OUT_OF_REACH: [(&str, &str); 4] = [
    ("rule-dlq", "the emulator models no dead-letter queue of a rule"),
    ("arrivals-late", "a message would have to wait for a quarter of an hour, by the clock"),
    ("unusual-bytes", "what is usual, CloudWatch learns in weeks; the emulator has no such model"),
    ("unusual-runs", "the same"),
];

fn nothing(_: &Ground) -> Result<()> {
    Ok(())
}

fn make_the_job_and_return_the_batch(ground: &Ground) -> Result<()> {
    let role = format!("arn:aws:iam::{ANALYTICS}:role/landfall/landfall-job");
    let command = "Name=glueetl,ScriptLocation=s3://acme-analytics/none.py";
    let job = ["glue", "create-job", "--name", "not-yet-there", "--role", &role];
    ground.cloud.analytics.cli.run([&job[..], &["--command", command]].concat())?;
    let batch = ground.batch_of("in/parked/a.csv")?;
    let returned = batch.returned(now()).context("the batch is not parked")?;
    ground.cloud.wait(async {
        ground.ledger.write(returned).await?.context("somebody else wrote the batch")?;
        Ok(())
    })
}

fn leave_a_batch_due_without_ticks(ground: &Ground) -> Result<()> {
    ground.schedule("disable-rule")?;
    ground.upload("in/due/a.csv", csv(1))?;
    let batch = ground.batch_of("in/due/a.csv")?;
    ensure!(matches!(batch.state, State::Open { .. }), "not open: {batch:?}");
    // As if no tick had come for that long.
    let state = State::Open { closes_at: now() - Duration::from_secs(1000) };
    ground.write(Batch { state, ..batch })?;
    ground.schedule("enable-rule")
}

/// What was put off is due at once, and has waited for so long: an attempt after the other would take
/// hours.
fn has_waited(ground: &Ground, key: &str, seconds: u64) -> Result<()> {
    let mut batch = ground.batch_of(key)?;
    let State::Sealed { due, waits_for_slot } = batch.state else { return Ok(()) };
    if due > now() {
        batch.state = State::Sealed { due: now(), waits_for_slot };
        for entry in batch.history.iter_mut().filter(|entry| entry.what == HistoryEvent::Sealed) {
            entry.at = now() - Duration::from_secs(seconds);
        }
        ground.write(batch)?;
    }
    Ok(())
}

/// Nothing is started for it any more.
fn settle_the_batch_that_failed(ground: &Ground) -> Result<()> {
    let parked = wait_until("the batch is not parked", ground::SOON, async || {
        let found = ground.ledger.find(LANDING_BUCKET, "in/failing/a.csv").await?;
        let id = &found.first().context("no batch")?.batch;
        let batch = ground.ledger.batch(id).await?;
        Ok(batch.filter(|batch| matches!(batch.state, State::Parked { .. })))
    });
    let batch = ground.cloud.wait(parked)?;
    ground.write(Batch { state: State::Empty, ..batch })
}

/// A test for each alarm, and one that none is forgotten.
pub fn trials() -> Vec<Trial> {
    // One fault at a time: it may take away what another needs, and an alarm that follows the metric of
    // another would go off by that one's fault.
    let shared: Shared<Mutex<Ground>> = Shared::default();
    let mut trials: Vec<Trial> = DRIVEN
        .iter()
        .map(|driven| {
            let names = driven.alarms.join("_and_").replace('-', "_");
            let name = format!("the_alarm_{names}_tells_of_its_fault");
            let lay = || Ground::lay().map(Mutex::new);
            shared.trial(&name, lay, move |ground| {
                // A test that panicked does not make the others fail for another reason than their own.
                let ground = ground.lock().unwrap_or_else(PoisonError::into_inner);
                each_alarm_tells_of_its_fault_and_is_quiet_once_it_is_mended(driven, &ground)
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
    ground: &Ground,
) -> Result<()> {
    let Driven { alarms, cause, insist, mend } = driven;
    let names: Vec<String> = alarms.iter().map(|alarm| format!("landfall-{alarm}")).collect();
    let mut silent = Vec::new();
    for name in &names {
        ground.until(name, "OK").context("before the fault")?;
        silent.push((name, ground.cloud.wait(ground.times_heard(name))?));
    }
    let heard = cause(ground).context("the fault is not caused").and_then(|()| {
        let deadline = Instant::now() + SOON;
        while let Some((name, before)) = silent.last() {
            if ground.cloud.wait(ground.times_heard(name))? > *before {
                silent.pop();
                continue;
            }
            ensure!(Instant::now() < deadline, "the topic hears nothing of `{name}`");
            insist(ground).context("the fault does not last")?;
            thread::sleep(Duration::from_millis(500));
        }
        Ok(())
    });
    let told = || names.iter().map(|name| ground.told(name)).collect::<Vec<_>>().join("\n");
    let heard = heard.with_context(told);
    let mended = mend(ground).context("the fault is not mended");
    heard.and(mended)?;
    names.iter().try_for_each(|name| ground.until(name, "OK").context("after the fault was mended"))
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
