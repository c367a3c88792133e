//! The memory of the largest event that Lambda admits, and of the largest batch.

use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use crate::process::{forget_peak, memory_kb, peak_kb};
use crate::report::Report;
use crate::stage::{AT_ONCE, Stage, WINDOW, event};

/// The maximum payload of an invocation: 6 MB.
const PAYLOAD_BYTES: usize = 6 * 1_024 * 1_024;
/// The maximum memory above that of an idle process, as a multiple of the payload.
const TO_PAYLOAD: f64 = 5.0;
const PER_GROUP: usize = 100;

pub async fn measure(functions: &Path, report: &mut Report) -> Result<()> {
    let one = event(AT_ONCE, 1, 1_000, 1).to_string().len() as f64 / 1_000.0;
    let arrivals = (PAYLOAD_BYTES as f64 / one) as usize;
    let shapes = [
        ("one group that closes at once", AT_ONCE, 1),
        ("groups of 100 that close at once", AT_ONCE, arrivals.div_ceil(PER_GROUP)),
        ("one group with a window", WINDOW, 1),
    ];
    let mut rows = Vec::new();
    for (what, bucket, groups) in shapes {
        let stage = Stage::new(functions)?;
        let trigger = stage.start("trigger")?;
        let id = trigger.id();
        // After this, it has its connections, its session and all code in memory.
        stage.arrive(&trigger, event(AT_ONCE, 0, 1, 1)).await?;
        forget_peak(id)?;
        let idle = memory_kb(id)?;
        let event = event(bucket, 1, arrivals, groups);
        let payload = event.to_string().len() as f64 / 1_024.0;
        stage.arrive(&trigger, event).await?;
        let above = peak_kb(id)?.saturating_sub(idle) as f64;
        let ratio = above / payload;
        report.check(ratio <= TO_PAYLOAD, || {
            format!("{what}: memory is at most {TO_PAYLOAD} times the payload: {ratio:.2}")
        });
        rows.push(vec![
            what.into(),
            arrivals.into(),
            megabytes(payload),
            megabytes(idle as f64),
            megabytes(above),
            ratio.into(),
        ]);
    }
    report.table(
        "The memory of an event of 6 MB, above that of a process that has worked",
        &["", "arrivals", "payload MB", "idle MB", "peak MB above idle", "payload = 1"],
        &rows,
    );
    largest(functions, report).await
}

/// Measures the memory of the process that starts the largest possible batch. The batch is full, so
/// the last invocation starts it.
async fn largest(functions: &Path, report: &mut Report) -> Result<()> {
    const INVOCATIONS: usize = 25;
    const EACH: usize = 4_000;
    const FUNCTIONS_HAVE_MB: f64 = 512.0;
    let stage = Stage::new(functions)?;
    let trigger = stage.start("trigger")?;
    for round in 0..INVOCATIONS {
        stage.arrive(&trigger, event(WINDOW, round, EACH, 1)).await?;
    }
    let started = stage.aws.usage().calls.get("StartJobRun").copied().unwrap_or(0);
    report.check(started == 1, || format!("a full batch is started once: {started}"));
    let peak = peak_kb(trigger.id())? as f64;
    report.check(peak < FUNCTIONS_HAVE_MB * 1_024.0, || {
        format!("{peak} KB exceed the memory of the functions")
    });
    report.table(
        "The largest batch: what it takes to record its last objects and to start it",
        &["objects", "peak MB", "of the functions' 512 MB"],
        &[vec![
            (INVOCATIONS * EACH).into(),
            megabytes(peak),
            (peak / 1_024.0 / FUNCTIONS_HAVE_MB).into(),
        ]],
    );
    Ok(())
}

fn megabytes(kb: f64) -> Value {
    (kb / 1_024.0).into()
}
