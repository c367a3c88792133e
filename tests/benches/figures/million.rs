//! A million arrivals through the trigger and the ledger, in one process. They show whether an
//! object takes as much at the end as at the beginning.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::instructions::Counter;
use crate::process::{cpu_time, memory_kb};
use crate::report::Report;
use crate::stage::{AT_ONCE, LEDGER, Stage, event};

const ARRIVALS: usize = 1_000_000;
/// The number of arrivals in an invocation. It fits the payload and divides a million.
const EACH: usize = 2_500;
const PER_GROUP: usize = 100;
const FIRST: usize = 10_000;
/// By how much an object may take more or less at the end than at the beginning.
const FLAT: f64 = 0.1;
/// The number of invocations at the end whose instructions are counted.
const COUNTED: usize = 3;

struct Stretch {
    until: usize,
    calls: f64,
    write_units: f64,
    cpu_us: f64,
    wall_us: f64,
    memory_kb: u64,
}

pub async fn measure(functions: &Path, report: &mut Report) -> Result<()> {
    let stage = Stage::new(functions)?;
    let rounds = ARRIVALS / EACH;
    // Count with an empty ledger. Arrivals that are counted don't come again.
    let at_first = instructions(&Stage::new(functions)?, rounds).await?;
    let trigger = stage.start("trigger")?;
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut round = 0;
    let mut until = FIRST;
    while round < rounds {
        stage.aws.clear_calls();
        let (before, began) = (cpu_time(trigger.id())?, Instant::now());
        let from = round;
        while round * EACH < until {
            stage.arrive(&trigger, event(AT_ONCE, round, EACH, EACH / PER_GROUP)).await?;
            round += 1;
        }
        let objects = ((round - from) * EACH) as f64;
        let usage = stage.aws.usage();
        let calls: u64 = usage.calls.values().sum();
        let cpu = cpu_time(trigger.id())?.saturating_sub(before);
        stretches.push(Stretch {
            until,
            calls: calls as f64 / objects,
            write_units: usage.write_units / objects,
            cpu_us: cpu.as_secs_f64() * 1e6 / objects,
            wall_us: began.elapsed().as_secs_f64() * 1e6 / objects,
            memory_kb: memory_kb(trigger.id())?,
        });
        until = (until * 2).min(ARRIVALS);
    }
    let at_last = instructions(&stage, rounds).await?;
    let recorded = stage.aws.count(LEDGER, "object#");
    let expected = ARRIVALS + COUNTED * EACH;
    ensure!(recorded == expected, "{recorded} arrivals recorded, not {expected}");
    print(report, &stretches, at_first, at_last);
    judge(report, &stretches, at_first, at_last);
    Ok(())
}

/// Counts the instructions for each object, in a process beside the one that is measured.
async fn instructions(stage: &Stage, from_round: usize) -> Result<f64> {
    let mut counted = [0; 2];
    for (at, count) in counted.iter_mut().enumerate() {
        let counter = Counter::new(stage.folder());
        let trigger = stage.run(counter.wrap(&Command::new(stage.binary("trigger"))), "trigger")?;
        stage.arrive(&trigger, event(AT_ONCE, from_round + at, EACH, EACH / PER_GROUP)).await?;
        if at == 1 {
            let more = event(AT_ONCE, from_round + 2, EACH, EACH / PER_GROUP);
            stage.arrive(&trigger, more).await?;
        }
        trigger.terminate()?;
        *count = counter.counted()?;
    }
    Ok((counted[1] - counted[0]) as f64 / EACH as f64)
}

fn print(report: &mut Report, stretches: &[Stretch], at_first: f64, at_last: f64) {
    let rows = stretches.iter().map(|one| {
        vec![
            one.until.into(),
            one.calls.into(),
            one.write_units.into(),
            one.cpu_us.into(),
            one.wall_us.into(),
            (one.memory_kb as f64 / 1_024.0).into(),
        ]
    });
    report.table(
        "A million arrivals, 2,500 an invocation in groups of 100 that close at once: an object of each stretch",
        &["until", "calls", "write units", "CPU us", "wall us", "memory MB after it"],
        &rows.collect::<Vec<_>>(),
    );
    report.table(
        "Instructions an object",
        &["with an empty ledger", "with a million objects in it", "growth"],
        &[vec![at_first.round().into(), at_last.round().into(), (at_last / at_first).into()]],
    );
}

fn judge(report: &mut Report, stretches: &[Stretch], at_first: f64, at_last: f64) {
    let (Some(first), Some(last)) = (stretches.first(), stretches.last()) else {
        report.check(false, || "nothing was measured".to_owned());
        return;
    };
    let growths = [
        ("calls", last.calls / first.calls),
        ("write units", last.write_units / first.write_units),
        ("instructions", at_last / at_first),
    ];
    for (what, growth) in growths {
        report.check((growth - 1.0).abs() <= FLAT, || {
            format!("an object takes as many {what} at the end as at the beginning: {growth:.2}")
        });
    }
}
