//! The Python environments. One has the emulator, the AWS command line, cargo-lambda and the
//! linters. Others have the template scanners, whose pins contradict those of the first, Spark, and
//! the peer that the bench compares with.
//!
//! Every package is pinned and checked against its hash. An environment is kept between runs, in
//! the target folder, under a name that changes with the requirements and with Python's version.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::command::run;
use crate::{progress, root, target_dir};

mod spark;

/// The interpreters to try after the one that `PYTHON` names. The first is the version that the
/// requirements were resolved with.
const NAMES: [&str; 5] = ["python3.11", "python3.12", "python3.13", "python3.14", "python3"];
const OLDEST: (u32, u32) = (3, 11);

/// An environment that is complete and ready to use.
#[derive(Clone)]
pub struct Python {
    folder: PathBuf,
}

impl Python {
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    /// Returns the search path: this environment's programs first, then the system's.
    pub fn path(&self) -> String {
        format!("{}:/usr/local/bin:/usr/bin:/bin", self.folder.join("bin").display())
    }
}

/// Returns the main environment, and sets it up first if there is none for these requirements yet.
pub fn environment() -> Result<Python> {
    set_up_once(&["tests/requirements.txt"], "setting up Python's packages (once)", set_up)
}

/// Returns the template scanners' environment, and sets it up first if necessary.
pub fn scanners() -> Result<Python> {
    let requirements = ["tests/scanners/requirements.txt"];
    set_up_once(&requirements, "setting up the template scanners (once)", set_up)
}

/// Returns Spark's environment, which has S3A among its jars, and sets it up first if necessary.
pub fn spark() -> Result<Python> {
    let requirements =
        ["tests/spark/requirements.txt", "tests/spark/pyspark.txt", "tests/spark/jars.txt"];
    set_up_once(&requirements, "setting up Spark (once; 500 MB)", spark::set_up)
}

/// Returns the environment of the peer that `make bench` compares the functions with, and sets it
/// up first if necessary.
pub fn peer() -> Result<Python> {
    let requirements = ["tests/benches/peer/requirements.txt"];
    set_up_once(&requirements, "setting up the bench's peer (once)", set_up)
}

/// Returns the environment that is kept for these files, and creates it if there is none.
fn set_up_once(
    requirements: &[&str],
    doing: &str,
    set_up: impl FnOnce(&Path, &Path, &[PathBuf]) -> Result<()>,
) -> Result<Python> {
    let requirements: Vec<PathBuf> = requirements.iter().map(|file| root().join(file)).collect();
    let (interpreter, version) = find_interpreter()?;
    let mut digest = Sha256::new_with_prefix(format!("{version}\n"));
    for file in &requirements {
        let text =
            fs::read(file).with_context(|| format!("failed to read `{}`", file.display()))?;
        digest.update(text);
    }
    let digest: String =
        digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let parent = target_dir().join("python");
    fs::create_dir_all(&parent)
        .with_context(|| format!("failed to create `{}`", parent.display()))?;

    // One process sets it up while others wait. The lock is released when its holder ends, however
    // it ends.
    let lock = File::create(parent.join(".lock")).context("failed to create the lock file")?;
    lock.lock().context("failed to lock the Python environment")?;
    let folder = parent.join(format!("venv-{digest}"));
    let whole = folder.join(".whole");
    if !whole.exists() {
        // The environment's programs hold its absolute path. So it is created in place, and marked
        // once it is complete.
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("failed to remove `{}`", folder.display()))?;
        }
        progress::step(doing, || set_up(&interpreter, &folder, &requirements))?;
        File::create(&whole).context("failed to mark the Python environment as whole")?;
    }
    Ok(Python { folder })
}

fn set_up(interpreter: &Path, folder: &Path, requirements: &[PathBuf]) -> Result<()> {
    let mut venv = clean(interpreter);
    venv.args(["-m", "venv"]).arg(folder);
    run(&mut venv, "create the Python environment")?;
    for file in requirements {
        // Most of what is installed is never imported, so compiling it would waste time.
        let mut install = pip(folder, "install", file);
        install.args(["--no-compile", "--only-binary", ":all:"]);
        run(&mut install, "install the Python packages")?;
    }
    Ok(())
}

/// Returns a `pip` command of an environment, for exactly what `requirements` lists.
fn pip(folder: &Path, command: &str, requirements: &Path) -> Command {
    let mut pip = clean(folder.join("bin/python"));
    pip.args(["-m", "pip", command, "--quiet", "--disable-pip-version-check", "--no-input"])
        .args(["--no-deps", "--require-hashes", "-r"])
        .arg(requirements);
    pip
}

fn find_interpreter() -> Result<(PathBuf, String)> {
    let wanted = env::var("PYTHON").ok();
    let names = wanted.as_deref().into_iter().chain(NAMES);
    let mut without_venv = None;
    for name in names {
        match version_of(name) {
            Some((version, true)) if version >= OLDEST => {
                return Ok((name.into(), format!("{name} {}.{}", version.0, version.1)));
            }
            Some((version, false)) if version >= OLDEST => without_venv = Some((name, version)),
            _ => {}
        }
    }
    if let Some((name, (major, minor))) = without_venv {
        bail!(
            "`{name}` has no `venv` module with pip; get it with `apt-get install \
             python{major}.{minor}-venv`, or use a Python that has it: `make PYTHON=/path/to/python3 …`"
        );
    }
    bail!(
        "Landfall's tests need Python 3.11 or newer; get it with `apt-get install python3 python3-venv`, \
         `brew install python`, or from https://www.python.org/downloads/, \
         or name an interpreter: `make PYTHON=/path/to/python3 …`"
    )
}

/// Returns the interpreter's version, and whether it can create environments. Returns `None` if it
/// doesn't run.
fn version_of(name: &str) -> Option<((u32, u32), bool)> {
    let script = "import sys\nprint(*sys.version_info[:2])\nimport venv, ensurepip\nprint('venv')";
    let output = clean(name).args(["-c", script]).output().ok()?;
    let printed = String::from_utf8(output.stdout).ok()?;
    let mut words = printed.split_whitespace();
    let version = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some((version, words.next() == Some("venv")))
}

/// Returns a command without the variables that would show it another environment's packages.
fn clean(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for name in ["PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "PIP_USER"] {
        command.env_remove(name);
    }
    command
}
