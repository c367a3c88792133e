//! Runs another program to its end and reports what went wrong.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::interrupt;

/// How many lines of a failed program's output an error shows.
pub(crate) const SHOWN_LINES: usize = 40;

/// Runs `command` to its end and returns what it printed.
///
/// The program leads a process group of its own. An interrupt ends the whole group: a build tool
/// would otherwise leave compilers behind.
pub fn run(command: &mut Command, doing: &str) -> Result<String> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("failed to {doing}: cannot start {}", name_of(command)))?;
    let _group = interrupt::end_with_us(child.id());
    let output = child.wait_with_output().with_context(|| format!("failed to {doing}"))?;
    if !output.status.success() {
        let printed = [output.stdout, output.stderr].concat();
        let printed = last_lines(&String::from_utf8_lossy(&printed), SHOWN_LINES);
        bail!("failed to {doing}: {} ended with {}\n{printed}", name_of(command), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Finds a program that was built beside this one.
pub fn beside_us(program: &str) -> Result<PathBuf> {
    let us = std::env::current_exe().context("failed to find this program")?;
    // The program of a test lies one folder deeper.
    let found = us.ancestors().skip(1).take(2).map(|folder| folder.join(program));
    let found = found.into_iter().find(|path| path.exists());
    found.with_context(|| {
        format!("`{program}` is not built: run `cargo build --locked --workspace` first")
    })
}

/// Returns the program and its first argument. Later arguments may be secret.
fn name_of(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let first = command.get_args().next().map(OsStr::to_string_lossy).unwrap_or_default();
    format!("`{program} {first}`")
}

pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
