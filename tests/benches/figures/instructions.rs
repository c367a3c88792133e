//! The instructions of a process, counted by valgrind. The count doesn't depend on how busy the
//! machine is. It excludes the kernel's instructions.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Counts the instructions of one process.
pub struct Counter {
    file: PathBuf,
}

impl Counter {
    /// Makes a counter that writes its count to `folder`.
    pub fn new(folder: &Path) -> Self {
        Self { file: folder.join("callgrind.out") }
    }

    /// Returns the command that runs `command` and counts.
    pub fn wrap(&self, command: &Command) -> Command {
        let mut wrapped = Command::new("valgrind");
        wrapped
            .args(["--quiet", "--tool=callgrind"])
            .arg(format!("--callgrind-out-file={}", self.file.display()))
            .arg(command.get_program())
            .args(command.get_args());
        if let Some(folder) = command.get_current_dir() {
            wrapped.current_dir(folder);
        }
        wrapped
    }

    /// Returns the count, once the process has ended.
    pub fn counted(&self) -> Result<u64> {
        let text = std::fs::read_to_string(&self.file)
            .with_context(|| format!("failed to read `{}`", self.file.display()))?;
        let totals = text.lines().find_map(|line| line.strip_prefix("totals: "));
        totals
            .and_then(|totals| totals.trim().parse().ok())
            .with_context(|| format!("`{}` has no total", self.file.display()))
    }

    /// Runs `command` to its end, and returns its instructions and its output.
    pub fn run(&self, command: &Command) -> Result<(u64, String)> {
        let output = self.wrap(command).output().context("failed to run valgrind")?;
        ensure!(
            output.status.success(),
            "{} failed: {}",
            command.get_program().display(),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok((self.counted()?, String::from_utf8_lossy(&output.stdout).into_owned()))
    }
}

/// Returns `true` if valgrind is installed.
pub fn is_there() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success())
}
