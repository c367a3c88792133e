//! Runs commands of the AWS command line in one process, which all local clouds of a program share.
//! `tests/emulator/aws_commands.py` is that process, and says why there is one.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;

use crate::command::last_lines;
use crate::emulator::surroundings;
use crate::python::Python;
use crate::{keeper, root};

const TIME_TO_START: Duration = Duration::from_secs(60);

/// How a command ended, and what it printed.
#[derive(Deserialize)]
pub struct Ran {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `aws …` in `folder`, with `variables` as its whole environment.
///
/// # Errors
/// The command can't be run. One that fails is no error.
pub fn run(
    python: &Python,
    arguments: &[String],
    folder: &Path,
    variables: &BTreeMap<&str, String>,
) -> Result<Ran> {
    static RUNNING: OnceLock<Result<Running, String>> = OnceLock::new();
    let running =
        RUNNING.get_or_init(|| Running::start(python).map_err(|error| format!("{error:#}")));
    let running = running.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
    let request = json!({ "arguments": arguments, "variables": variables, "folder": folder });
    let mut stream = UnixStream::connect(&running.socket).context("nobody runs commands")?;
    stream.write_all(format!("{request}\n").as_bytes()).context("nobody takes the command")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("the command has no outcome")?;
    serde_json::from_str(&answer).with_context(|| {
        let log = std::fs::read_to_string(&running.log).unwrap_or_default();
        format!("the command has no outcome; the log ends:\n{}", last_lines(&log, 30))
    })
}

/// The process. It ends with this program.
struct Running {
    socket: PathBuf,
    log: PathBuf,
    /// The process's keeper removes it.
    _folder: TempDir,
}

impl Running {
    fn start(python: &Python) -> Result<Running> {
        let folder = tempfile::Builder::new().prefix("landfall-aws-").tempdir()?;
        let path = folder.path();
        let (socket, log) = (path.join("socket"), path.join("log"));
        let mut command = Command::new(python.program("python"));
        command
            .arg(root().join("tests/emulator/aws_commands.py"))
            .arg(&socket)
            .envs(surroundings(python, path))
            .env("TMPDIR", path);
        let keeper = keeper::start(&command, path, &log)?;
        let deadline = Instant::now() + TIME_TO_START;
        while UnixStream::connect(&socket).is_err() {
            if keeper::has_ended(keeper) || Instant::now() > deadline {
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                bail!(
                    "failed to start the AWS command line; its log ends:\n{}",
                    last_lines(&log, 30)
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Running { socket, log, _folder: folder })
    }
}
