//! The time and the memory of the trigger, above those of a process that has already worked.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;

use crate::process::{cpu_time, forget_peak, memory_kb, peak_kb};
use crate::report::Report;
use crate::stage::{AT_ONCE, Stage, event};

/// The number of arrivals in an invocation, and how often the invocation is repeated.
const SIZES: [(usize, usize); 7] =
    [(1, 300), (100, 60), (1_000, 10), (1_250, 8), (2_500, 6), (5_000, 4), (10_000, 4)];

/// The number of arrivals that the others are compared with.
const REFERENCE: usize = 100;
/// From this size on, each is twice the previous one.
const DOUBLED_FROM: usize = 1_250;

struct Measured {
    arrivals: usize,
    /// The size as Lambda counts it. The limit is 6 MB.
    event_bytes: usize,
    /// The CPU time of an invocation, on average.
    cpu: Duration,
    /// The median.
    wall: Duration,
    idle_kb: u64,
    peak_kb: u64,
}

impl Measured {
    fn above_kb(&self) -> u64 {
        self.peak_kb.saturating_sub(self.idle_kb)
    }

    fn each(&self, whole: Duration) -> f64 {
        whole.as_secs_f64() / self.arrivals as f64
    }
}

pub async fn measure(functions: &Path, report: &mut Report) -> Result<()> {
    let mut measured = Vec::new();
    for (arrivals, repetitions) in SIZES {
        measured.push(of_size(functions, report, arrivals, repetitions).await?);
    }
    print(report, &measured);
    Ok(())
}

async fn of_size(
    functions: &Path,
    report: &mut Report,
    arrivals: usize,
    repetitions: usize,
) -> Result<Measured> {
    let stage = Stage::new(functions)?;
    let trigger = stage.start("trigger")?;
    let id = trigger.id();
    // After this, it has its connections, its session and all code in memory.
    stage.arrive(&trigger, event(AT_ONCE, 0, 1, 1)).await?;
    forget_peak(id)?;
    let idle_kb = memory_kb(id)?;
    let before = cpu_time(id)?;
    let mut walls = Vec::new();
    let event_bytes = event(AT_ONCE, 1, arrivals, 1).to_string().len();
    for round in 1..=repetitions {
        let event = event(AT_ONCE, round, arrivals, 1);
        let began = Instant::now();
        stage.arrive(&trigger, event).await?;
        walls.push(began.elapsed());
    }
    let cpu = cpu_time(id)?.saturating_sub(before) / u32::try_from(repetitions)?;
    let assumed = stage.aws.usage().calls.get("AssumeRole").copied().unwrap_or(0);
    report.check(assumed == 1, || {
        format!("{} invocations of a process assume the role once: {assumed}", repetitions + 1)
    });
    walls.sort_unstable();
    let wall = walls[walls.len() / 2];
    Ok(Measured { arrivals, event_bytes, cpu, wall, idle_kb, peak_kb: peak_kb(id)? })
}

fn print(report: &mut Report, measured: &[Measured]) {
    let reference = measured.iter().find(|one| one.arrivals == REFERENCE);
    let columns = [
        "arrivals",
        "event MB",
        "CPU ms",
        "wall ms",
        "CPU an object, 100 = 1",
        "wall an object, 100 = 1",
        "idle MB",
        "peak MB above idle",
        "KB an object",
    ];
    let rows = measured.iter().map(|one| {
        let compared = |whole: fn(&Measured) -> Duration| {
            let of = reference.map(|of| one.each(whole(one)) / of.each(whole(of)));
            of.map_or(Value::Null, Value::from)
        };
        vec![
            one.arrivals.into(),
            megabytes(one.event_bytes as f64 / 1_024.0),
            milliseconds(one.cpu),
            milliseconds(one.wall),
            compared(|one| one.cpu),
            compared(|one| one.wall),
            megabytes(one.idle_kb as f64),
            megabytes(one.above_kb() as f64),
            (one.above_kb() as f64 / one.arrivals as f64).into(),
        ]
    });
    report.table(
        "Time and memory of an invocation: one group that closes at once, in a process that has worked",
        &columns,
        &rows.collect::<Vec<_>>(),
    );
    let doubled: Vec<&Measured> =
        measured.iter().filter(|one| one.arrivals >= DOUBLED_FROM).collect();
    let rows = doubled.windows(2).map(|pair| {
        let (one, twice) = (pair[0], pair[1]);
        vec![
            format!("{} to {}", one.arrivals, twice.arrivals).into(),
            (twice.cpu.as_secs_f64() / one.cpu.as_secs_f64()).into(),
            (twice.wall.as_secs_f64() / one.wall.as_secs_f64()).into(),
            (twice.above_kb() as f64 / one.above_kb() as f64).into(),
        ]
    });
    report.table(
        "Growth with twice the arrivals (2 is proportional)",
        &["arrivals", "CPU", "wall", "peak above idle"],
        &rows.collect::<Vec<_>>(),
    );
}

fn milliseconds(time: Duration) -> Value {
    (time.as_secs_f64() * 1_000.0).into()
}

fn megabytes(kb: f64) -> Value {
    (kb / 1_024.0).into()
}
