//! What Linux tells of a process.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Linux tells the time of a process in hundredths of a second, whatever its own clock is.
const TICK: Duration = Duration::from_millis(10);

/// The time that it spent on a processor so far, in the kernel too.
pub fn cpu_time(id: u32) -> Result<Duration> {
    let text = read(id, "stat")?;
    // The name of the program stands in parentheses, and may hold anything.
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks: u32 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u32>())
        .sum::<Result<_, _>>()
        .with_context(|| format!("failed to understand the time of process {id}"))?;
    Ok(TICK * ticks)
}

/// Its memory now, in KB.
pub fn memory_kb(id: u32) -> Result<u64> {
    status(id, "VmRSS:")
}

/// The most memory that it had, in KB: since it began, or since [`forget_peak`].
pub fn peak_kb(id: u32) -> Result<u64> {
    status(id, "VmHWM:")
}

/// Lets its peak begin with what it has now.
pub fn forget_peak(id: u32) -> Result<()> {
    fs::write(format!("/proc/{id}/clear_refs"), "5")
        .with_context(|| format!("failed to reset the peak memory of process {id}"))
}

fn status(id: u32, name: &str) -> Result<u64> {
    let text = read(id, "status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())
        .with_context(|| format!("process {id} has no `{name}`"))
}

fn read(id: u32, name: &str) -> Result<String> {
    let file = format!("/proc/{id}/{name}");
    fs::read_to_string(&file).with_context(|| format!("failed to read `{file}`"))
}
