//! The calls and the units of one invocation of the trigger.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use landfall_stand_ins::Usage;
use serde_json::Value;

use crate::report::Report;
use crate::stage::{AT_ONCE, LEDGER, Stage, WINDOW, event};

const SIZES: [usize; 4] = [1, 100, 1_000, 10_000];

/// The operations, each in a column of its own.
const OPERATIONS: [&str; 7] = [
    "TransactWriteItems",
    "GetItem",
    "PutItem",
    "PutObject",
    "AssumeRole",
    "GetJob",
    "StartJobRun",
];

/// The maximum number of arrivals in one transaction.
const MAX_ARRIVALS: usize = 98;
/// The transactions of a group besides the full ones: its last, and the one that is written before
/// the start.
const PER_GROUP: usize = 2;
/// By how much the units of an object may differ between 10,000 and 1,000 objects.
const FLAT: f64 = 0.1;

struct Shape {
    title: &'static str,
    bucket: &'static str,
    groups: fn(usize) -> usize,
}

const SHAPES: [Shape; 3] = [
    Shape { title: "(a) one group that closes at once", bucket: AT_ONCE, groups: |_| 1 },
    Shape { title: "(b) one group with a window of an hour", bucket: WINDOW, groups: |_| 1 },
    Shape {
        title: "(c) a group for each 100 objects, each closes at once",
        bucket: AT_ONCE,
        groups: |arrivals| arrivals.div_ceil(100),
    },
];

/// What `data-account.yaml` gives an invocation of the trigger by default. How soon a run is first
/// looked at depends on it, and with that the units of a start.
const AS_DEPLOYED: Duration = Duration::from_secs(60);
/// The number of arrivals that come one by one.
const TRICKLE: usize = 100;

/// Measures one invocation in a process of its own with an empty ledger, then invocations of one
/// arrival each.
pub async fn measure(functions: &Path, report: &mut Report) -> Result<()> {
    for shape in &SHAPES {
        let mut counted = Vec::new();
        for arrivals in SIZES {
            counted.push((arrivals, count(functions, shape, arrivals).await?));
        }
        print(report, shape, &counted);
        judge(report, shape, &counted);
    }
    trickle(functions, report).await
}

/// Measures objects that come one by one.
async fn trickle(functions: &Path, report: &mut Report) -> Result<()> {
    let mut rows = Vec::new();
    let shapes = [("each starts", AT_ONCE, (4, 13.0)), ("a window of an hour", WINDOW, (3, 6.0))];
    for (what, bucket, most) in shapes {
        let mut stage = Stage::new(functions)?;
        stage.left = AS_DEPLOYED;
        let trigger = stage.start("trigger")?;
        // Measure the second and later arrivals, which are all alike.
        stage.arrive(&trigger, event(bucket, 0, 1, 1)).await?;
        stage.aws.clear_calls();
        for round in 1..=TRICKLE {
            stage.arrive(&trigger, event(bucket, round, 1, 1)).await?;
        }
        let usage = stage.aws.usage();
        let each = |number: f64| Value::from(number / TRICKLE as f64);
        let calls: u64 = usage.calls.values().sum();
        let mut row = vec![what.into()];
        row.extend([calls as f64, usage.write_units, usage.read_units].map(each));
        rows.push(row);
        let (most_calls, most_units) = most;
        let is_within = calls <= most_calls * TRICKLE as u64
            && usage.write_units <= most_units * TRICKLE as f64;
        report.check(is_within, || {
            let (calls, units) = (calls as f64 / TRICKLE as f64, usage.write_units / TRICKLE as f64);
            format!(
                "an arrival alone ({what}) takes at most {most_calls} calls and {most_units} write units: \
                 {calls}, {units}"
            )
        });
    }
    report.table(
        "An arrival that comes alone, in a process that has worked",
        &["its group", "calls", "write units", "read units"],
        &rows,
    );
    Ok(())
}

async fn count(functions: &Path, shape: &Shape, arrivals: usize) -> Result<Usage> {
    let stage = Stage::new(functions)?;
    let trigger = stage.start("trigger")?;
    let groups = (shape.groups)(arrivals);
    stage.arrive(&trigger, event(shape.bucket, 0, arrivals, groups)).await?;
    let usage = stage.aws.usage();
    let items = stage.aws.items(LEDGER);
    let are = |kind: &str| {
        let is = |item: &&Value| item["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with(kind));
        items.iter().filter(is).count()
    };
    // If these differ, something else was measured.
    ensure!(are("object#") == arrivals, "{} arrivals of {arrivals} recorded", are("object#"));
    ensure!(are("batch#") == groups, "{} batches, not {groups}", are("batch#"));
    Ok(usage)
}

fn print(report: &mut Report, shape: &Shape, counted: &[(usize, Usage)]) {
    let Shape { title, .. } = shape;
    let columns = [&["arrivals", "groups"], &OPERATIONS[..], &["others", "an object"]].concat();
    let rows = counted.iter().map(|(arrivals, usage)| {
        let known = OPERATIONS.map(|operation| of(usage, operation));
        let all: u64 = usage.calls.values().sum();
        let others = all - known.iter().sum::<u64>();
        let mut row: Vec<Value> = vec![(*arrivals).into(), (shape.groups)(*arrivals).into()];
        row.extend(known.map(Value::from));
        row.extend([others.into(), (all as f64 / *arrivals as f64).into()]);
        row
    });
    report.table(&format!("Calls of an invocation: {title}"), &columns, &rows.collect::<Vec<_>>());
    let columns = [
        "arrivals",
        "write units",
        "of these of indexes",
        "read units",
        "write units an object",
        "read units an object",
    ];
    let rows = counted.iter().map(|(arrivals, usage)| {
        let each = |units: f64| Value::from(units / *arrivals as f64);
        vec![
            (*arrivals).into(),
            whole(usage.write_units),
            whole(usage.index_write_units),
            whole(usage.read_units),
            each(usage.write_units),
            each(usage.read_units),
        ]
    });
    report.table(&format!("Units of the ledger: {title}"), &columns, &rows.collect::<Vec<_>>());
}

fn judge(report: &mut Report, shape: &Shape, counted: &[(usize, Usage)]) {
    let Shape { title, bucket, groups } = shape;
    for (arrivals, usage) in counted {
        let groups = groups(*arrivals);
        let started = if *bucket == WINDOW { 0 } else { groups };
        let most = arrivals.div_ceil(MAX_ARRIVALS) + PER_GROUP * groups;
        let transactions = of(usage, "TransactWriteItems");
        report.check(transactions <= most as u64, || {
            format!("{title}: {arrivals} arrivals take at most {most} transactions: {transactions}")
        });
        let starts = of(usage, "StartJobRun");
        report.check(starts == started as u64, || {
            format!("{title}: {started} batches take as many starts: {starts}")
        });
        let assumed = of(usage, "AssumeRole");
        report.check(assumed == u64::from(started > 0), || {
            format!("{title}: a process that starts runs assumes the role once: {assumed}")
        });
    }
    let each = |size: usize| {
        let found = counted.iter().find(|(arrivals, _)| *arrivals == size);
        found.map_or(f64::NAN, |(arrivals, usage)| usage.write_units / *arrivals as f64)
    };
    let ratio = each(10_000) / each(1_000);
    report.check((ratio - 1.0).abs() <= FLAT, || {
        format!(
            "{title}: among 10,000 an object takes the units that it takes among 1,000: {ratio}"
        )
    });
}

fn of(usage: &Usage, operation: &str) -> u64 {
    usage.calls.get(operation).copied().unwrap_or(0)
}

/// Read units come in halves, so round to a whole number where possible.
fn whole(units: f64) -> Value {
    match units.fract() == 0.0 {
        true => Value::from(units as u64),
        false => units.into(),
    }
}
