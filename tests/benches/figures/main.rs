//! Measures what Landfall uses: AWS calls and units, time, memory, instructions, sizes and money,
//! next to a floor and a peer.
//!
//! The compiled functions run as in Lambda, against AWS in memory. Counts and instructions don't
//! depend on the machine, so the bench judges them. It also judges ratios of CPU and memory, which
//! it measures side by side in one run. It fails if one of them is out of bounds. It prints wall
//! times but never judges them.
//!
//! `make bench` passes the folder of the functions and the parts to measure.

mod auditor;
mod cost;
mod counts;
mod instructions;
mod listing;
mod memory;
mod million;
mod monitor;
mod parsing;
mod process;
mod report;
mod sizes;
mod stage;
mod starts;
mod times;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use landfall_tests::target_dir;

use crate::report::Report;
use crate::starts::Setting;

#[derive(Parser)]
struct Arguments {
    /// The folder of the functions. The default is the folder of those built beside this program
    #[arg(long)]
    functions: Option<PathBuf>,
    /// How many milliseconds AWS takes to answer a call, in `starts`
    #[arg(long, default_value_t = 0)]
    latency: u64,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
    /// The parts to measure; all by default
    parts: Vec<Part>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Calls and units of trigger and monitor, and calls of the auditors
    Counts,
    /// Starts and events of the trigger, beside a floor and peers
    Starts,
    /// Instructions of reading, routing and grouping
    Parsing,
    /// The memory of the largest events and batches
    Memory,
    /// CPU and memory of events of all sizes
    Times,
    /// A million arrivals
    Million,
    /// A backfill of a million listed objects
    Listing,
    /// Sizes of the packages
    Sizes,
    /// Dollars for a million objects, and for a month of the auditors
    Cost,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let functions = match arguments.functions {
        Some(folder) => folder,
        None => beside_us()?,
    };
    let parts = match arguments.parts.as_slice() {
        [] => Part::value_variants(),
        parts => parts,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut report = Report::default();
    println!("functions of {}", functions.display());
    for part in parts {
        let latency = Duration::from_millis(arguments.latency);
        let setting = Setting { functions: &functions, latency };
        runtime.block_on(measure(*part, setting, &mut report))?;
    }
    let file = target_dir().join("results-bench").join("figures.jsonl");
    report.write(&file)?;
    println!("\nas JSON lines: {}", file.display());
    Ok(report.verdict())
}

async fn measure(part: Part, setting: Setting<'_>, report: &mut Report) -> Result<()> {
    let functions = setting.functions;
    if matches!(part, Part::Starts | Part::Parsing | Part::Million) {
        ensure!(
            instructions::is_there(),
            "valgrind is missing; install it with `apt-get install valgrind`"
        );
    }
    match part {
        Part::Counts => {
            auditor::measure(functions, report).await?;
            counts::measure(functions, report).await?;
            monitor::measure(functions, report).await
        }
        Part::Starts => starts::measure(setting, report).await,
        Part::Parsing => parsing::measure(functions, report),
        Part::Memory => memory::measure(functions, report).await,
        Part::Times => times::measure(functions, report).await,
        Part::Million => million::measure(functions, report).await,
        Part::Listing => listing::measure(functions, report),
        Part::Sizes => sizes::measure(functions, report),
        Part::Cost => cost::measure(functions, report).await,
    }
}

/// Returns the folder in which cargo puts the functions of the profile that this program was built
/// with.
fn beside_us() -> Result<PathBuf> {
    let us = std::env::current_exe().context("failed to find this program")?;
    let folder = us.parent().and_then(Path::parent).context("this program is not in `deps`")?;
    Ok(folder.to_owned())
}
