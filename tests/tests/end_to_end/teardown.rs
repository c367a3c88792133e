//! However a local cloud ends, it leaves no process and no folder behind.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use landfall_tests::root;
use rustix::process::{Pid, Signal, kill_process};

use crate::stage::Stage;

const TIME_TO_CLEAN_UP: Duration = Duration::from_secs(20);

pub fn a_local_cloud_that_is_interrupted_leaves_nothing_behind(_: &Stage) -> Result<()> {
    ended_by(Signal::INT)
}

pub fn a_local_cloud_that_is_killed_leaves_nothing_behind(_: &Stage) -> Result<()> {
    ended_by(Signal::KILL)
}

pub fn a_local_cloud_whose_terminal_is_closed_leaves_nothing_behind(_: &Stage) -> Result<()> {
    ended_by(Signal::HUP)
}

fn ended_by(signal: Signal) -> Result<()> {
    let folder = tempfile::tempdir().context("failed to make a folder")?;
    let (mut errors, stderr) = std::io::pipe().context("failed to make a pipe")?;
    let mut cloud = Command::new(env!("CARGO_BIN_EXE_local-cloud"))
        .args(["demo", "--keep"])
        .current_dir(root())
        // Everything that the demo starts or writes has this path in its environment or in its own
        // path.
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .context("failed to start the demo")?;
    let stays = wait_until_it_stays(&mut cloud);
    if stays.is_err() {
        cloud.kill().context("failed to kill the demo")?;
        cloud.wait().context("failed to wait for the demo")?;
        let mut said = String::new();
        errors.read_to_string(&mut said).context("failed to read what the demo printed")?;
        return stays.context(said);
    }
    ensure!(!processes_of(folder.path()).is_empty(), "no process can be identified by its folder");
    // When a terminal closes, nobody reads the output any more, and further output is lost.
    drop(errors);
    kill_process(Pid::from_child(&cloud), signal).context("failed to signal the demo")?;
    cloud.wait().context("failed to wait for the demo")?;
    let deadline = Instant::now() + TIME_TO_CLEAN_UP;
    loop {
        let files = fs::read_dir(folder.path())?.count();
        let processes = processes_of(folder.path());
        if files == 0 && processes.is_empty() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{files} files and {processes:?} are left");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn wait_until_it_stays(cloud: &mut Child) -> Result<()> {
    let output = cloud.stdout.take().context("the demo has no output")?;
    let mut lines = BufReader::new(output).lines();
    let stays = lines.any(|line| line.is_ok_and(|line| line.contains("The local cloud stays")));
    ensure!(stays, "the demo ended before its end");
    // A pipe that nobody reads would end the demo in another way.
    std::thread::spawn(move || lines.for_each(drop));
    Ok(())
}

/// Returns the IDs of the processes whose environment or arguments name `folder`.
fn processes_of(folder: &Path) -> Vec<String> {
    let needle = folder.as_os_str().as_encoded_bytes();
    let names_it = |file: &Path| {
        fs::read(file).is_ok_and(|bytes| bytes.windows(needle.len()).any(|bytes| bytes == needle))
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .map(|process| process.path())
        .filter(|path| names_it(&path.join("environ")) || names_it(&path.join("cmdline")))
        .map(|path| path.display().to_string())
        .collect()
}
