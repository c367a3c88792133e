//! A small process between us and the emulator, which outlives us just long enough to clean up.
//!
//! Destructors don't run when a process is killed, and Ctrl-C reaches some processes of a tree and
//! not others. So the emulator is the keeper's child, and the keeper holds the reading end of a
//! pipe from us. When that pipe closes, for whatever reason, the keeper ends the emulator and
//! everything that it started, and removes the temporary folder. On Linux it adopts the processes
//! that the emulator orphans, so that a function or a job script in a session of its own can't
//! escape either.
//!
//! The keeper is this same program, started again with [`ARGUMENT`].

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

const ARGUMENT: &str = "__keep";
/// How long the emulator may take to end by itself.
const GRACE: Duration = Duration::from_secs(3);

/// The keepers of this process that have not been stopped.
static KEEPERS: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// Starts a keeper of `command`, which uses `folder`. Returns the number that identifies the
/// keeper.
///
/// The keeper takes the command's environment and current folder. `log` gets what either of them
/// prints.
pub fn start(command: &Command, folder: &Path, log: &Path) -> Result<u32> {
    let output =
        fs::File::create(log).with_context(|| format!("failed to create `{}`", log.display()))?;
    let myself = env::current_exe().context("failed to find this program's own path")?;
    let mut keeper = Command::new(myself);
    keeper.arg(ARGUMENT).arg(folder).arg(command.get_program()).args(command.get_args());
    keeper.env_clear();
    for (name, value) in command.get_envs() {
        keeper.env(name, value.unwrap_or_default());
    }
    let child = keeper
        .current_dir(folder)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(output.try_clone().context("failed to share the log file")?)
        .stderr(output)
        .spawn()
        .context("failed to start the emulator's keeper")?;
    let id = child.id();
    KEEPERS.lock().expect("no thread panics with the lock").push(child);
    Ok(id)
}

/// Returns `true` if the keeper has ended, and with it the program that it started.
pub fn has_ended(id: u32) -> bool {
    let mut keepers = KEEPERS.lock().expect("no thread panics with the lock");
    match keepers.iter_mut().find(|keeper| keeper.id() == id) {
        Some(keeper) => !matches!(keeper.try_wait(), Ok(None)),
        None => true,
    }
}

/// Stops a keeper. Returns once the keeper has cleaned up and ended.
pub fn stop(id: u32) {
    let mut keepers = KEEPERS.lock().expect("no thread panics with the lock");
    if let Some(place) = keepers.iter().position(|keeper| keeper.id() == id) {
        end(keepers.remove(place));
    }
}

pub fn stop_all() {
    let mut keepers = KEEPERS.lock().expect("no thread panics with the lock");
    keepers.drain(..).for_each(end);
}

fn end(mut keeper: Child) {
    drop(keeper.stdin.take());
    if let Err(error) = keeper.wait() {
        // Standard error may be gone together with its terminal.
        let _ = writeln!(io::stderr(), "failed to wait for the emulator's keeper: {error}");
    }
}

/// Turns this process into a keeper if it was started as one, and then doesn't return. Call it
/// first in `main`.
pub fn run_if_asked() {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == ARGUMENT) {
        if let Err(error) = keep(arguments.collect()) {
            eprintln!("{error:#}");
            process::exit(1);
        }
        process::exit(0);
    }
}

fn keep(arguments: Vec<OsString>) -> Result<()> {
    let [folder, program, rest @ ..] = arguments.as_slice() else {
        bail!("a keeper needs a folder and a program");
    };
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .context("failed to adopt orphans")?;
    let (over, until_over) = mpsc::channel();

    let signal = over.clone();
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    thread::spawn(move || signals.forever().next().map(|_| signal.send(())));

    let parent = over.clone();
    thread::spawn(move || {
        // Nobody ever writes to the pipe. The call returns when the writing end closes.
        let _ = io::stdin().read(&mut [0]);
        parent.send(())
    });

    let child = Command::new(program)
        .args(rest)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| format!("failed to start `{}`", program.to_string_lossy()))?;
    let child = Pid::from_child(&child);
    thread::spawn(move || {
        let _ = waitpid(Some(child), WaitOptions::empty());
        over.send(())
    });

    let _ = until_over.recv();
    end_tree(child);
    remove(Path::new(folder))
}

fn end_tree(child: Pid) {
    let _ = kill_process(child, Signal::TERM);
    let deadline = Instant::now() + GRACE;
    // Signal 0 only checks whether the process still exists.
    while rustix::process::test_kill_process(child).is_ok() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    let _ = kill_process_group(child, Signal::KILL);
    // Killed processes leave us their own children, so repeat this until there are none.
    while let children @ [_, ..] = &*adopted() {
        for child in children {
            let _ = kill_process(*child, Signal::KILL);
            let _ = waitpid(Some(*child), WaitOptions::empty());
        }
    }
}

/// Returns our children. The list is empty if the kernel doesn't provide it, as on macOS, which has
/// no adoption either.
fn adopted() -> Vec<Pid> {
    let me = process::id();
    let mut children = Vec::new();
    for thread in fs::read_dir(format!("/proc/{me}/task")).into_iter().flatten().flatten() {
        let listed = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        children.extend(listed.split_whitespace().filter_map(|id| Pid::from_raw(id.parse().ok()?)));
    }
    children
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove `{}`", folder.display()))
        }
        _ => Ok(()),
    }
}
