//! Handles Ctrl-C and SIGTERM: ends everything that this process started before the process itself
//! ends.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::process;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::keeper;

static GROUPS: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Makes an interrupt end the programs of [`end_with_us`], then the emulators, then this process.
pub fn handle() -> Result<()> {
    let mut signals =
        Signals::new([SIGHUP, SIGINT, SIGTERM]).context("failed to listen to signals")?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // The terminal, and whoever read it, may be gone. The teardown continues anyway.
            let _ = writeln!(io::stderr(), "\ninterrupted; tearing down");
            end_groups();
            keeper::stop_all();
            process::exit(128 + signal);
        }
    });
    Ok(())
}

/// Makes an interrupt end the process group that `leader` leads, until the returned value is
/// dropped.
pub fn end_with_us(leader: u32) -> Group {
    GROUPS.lock().expect("no thread panics with the lock").insert(leader);
    Group(leader)
}

pub struct Group(u32);

impl Drop for Group {
    fn drop(&mut self) {
        GROUPS.lock().expect("no thread panics with the lock").remove(&self.0);
    }
}

fn end_groups() {
    for leader in GROUPS.lock().expect("no thread panics with the lock").iter() {
        if let Some(leader) = Pid::from_raw(*leader as i32) {
            // It may have ended by itself in the meantime.
            let _ = kill_process_group(leader, Signal::TERM);
        }
    }
}
