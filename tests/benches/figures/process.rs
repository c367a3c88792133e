//! What Linux reports about a process.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Returns the CPU time that its threads have used so far, including the kernel's. It excludes
/// threads that have ended.
pub fn cpu_time(id: u32) -> Result<Duration> {
    let threads = format!("/proc/{id}/task");
    let threads = fs::read_dir(&threads).with_context(|| format!("failed to read `{threads}`"))?;
    let mut nanoseconds = 0;
    for thread in threads {
        let file = thread?.path().join("schedstat");
        let text = fs::read_to_string(&file);
        let text = text.with_context(|| format!("failed to read `{}`", file.display()))?;
        let first = text.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
        nanoseconds += first.with_context(|| format!("failed to parse `{}`", file.display()))?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Returns its memory now, in KB.
pub fn memory_kb(id: u32) -> Result<u64> {
    status(id, "VmRSS:")
}

/// Returns its peak memory in KB, since it began or since [`forget_peak`].
pub fn peak_kb(id: u32) -> Result<u64> {
    status(id, "VmHWM:")
}

/// Resets its peak memory to what it uses now.
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
