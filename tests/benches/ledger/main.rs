//! What arrivals cost: calls and units of AWS, and the time and the memory of the functions.
//!
//! The compiled functions run as on Lambda, against AWS in memory. Counts do not depend on the machine,
//! and are judged: it fails where one is not as it should be. Times are printed, and nobody judges them.
//!
//! The one argument is the folder of the functions to measure; without it, those that were built beside
//! this program. `make bench` gives it.

mod counts;
mod monitor;
mod process;
mod report;
mod stage;
mod times;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use landfall_tests::target_dir;

use crate::report::Report;

fn main() -> Result<ExitCode> {
    let functions = match std::env::args().skip(1).find(|argument| !argument.starts_with('-')) {
        Some(folder) => PathBuf::from(folder),
        None => beside_us()?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut report = Report::default();
    println!("functions of {}", functions.display());
    runtime.block_on(measure(&functions, &mut report))?;
    let file = target_dir().join("results-bench").join("ledger.jsonl");
    report.write(&file)?;
    println!("\nas JSON lines: {}", file.display());
    Ok(report.verdict())
}

async fn measure(functions: &Path, report: &mut Report) -> Result<()> {
    counts::measure(functions, report).await?;
    monitor::measure(functions, report).await?;
    times::measure(functions, report).await
}

/// Where cargo puts the functions of the profile that this program was built with.
fn beside_us() -> Result<PathBuf> {
    let us = std::env::current_exe().context("failed to find this program")?;
    let folder = us.parent().and_then(Path::parent).context("this program is not in `deps`")?;
    Ok(folder.to_owned())
}
