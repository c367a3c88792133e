//! Node's packages: the IAM engine that judges policies, and cfn-guard with its rules.
//!
//! Every package is pinned. `npm ci` checks each against its hash and runs none of their scripts.
//! The packages are kept between runs, in the target folder, under a name that changes with the
//! lock file. None of them is shipped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::command::run;
use crate::{progress, root, target_dir};

const OLDEST: u32 = 20;
const WRITTEN: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];

/// A folder that holds all packages.
#[derive(Clone)]
pub struct Node {
    folder: PathBuf,
}

impl Node {
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns a command that runs one of our scripts in the folder of the packages.
    pub fn script(&self, name: &str) -> Command {
        let mut command = clean("node");
        command.arg(root().join("tests/node").join(name)).current_dir(&self.folder);
        command
    }
}

/// Returns the packages, and installs them first if necessary.
pub fn environment() -> Result<Node> {
    demand_tools()?;
    let written = root().join("tests/node");
    let mut digest = Sha256::new();
    for name in WRITTEN {
        let file = written.join(name);
        let text =
            fs::read(&file).with_context(|| format!("failed to read `{}`", file.display()))?;
        digest.update(text);
    }
    let digest: String = digest.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
    let parent = target_dir().join("node");
    fs::create_dir_all(&parent)
        .with_context(|| format!("failed to create `{}`", parent.display()))?;

    // One process installs while others wait. The lock is released when its holder ends, however it
    // ends.
    let lock = File::create(parent.join(".lock")).context("failed to create the lock file")?;
    lock.lock().context("failed to lock Node's packages")?;
    let folder = parent.join(digest);
    if !folder.exists() {
        progress::step("setting up Node's packages (once)", || install(&written, &folder))?;
    }
    Ok(Node { folder })
}

/// Installs into a temporary folder, then moves the complete result into place.
fn install(written: &Path, folder: &Path) -> Result<()> {
    let new = tempfile::Builder::new()
        .prefix("new-")
        .tempdir_in(folder.parent().context("the packages have a folder")?)?;
    for name in WRITTEN {
        fs::copy(written.join(name), new.path().join(name))
            .with_context(|| format!("failed to copy `{name}`"))?;
    }
    let mut npm = clean("npm");
    npm.args(["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(new.path());
    run(&mut npm, "install Node's packages")?;
    fs::rename(new.path(), folder).context("failed to move Node's packages into place")
}

fn demand_tools() -> Result<()> {
    let found = clean("node").arg("--version").output().ok();
    let printed = found.and_then(|output| String::from_utf8(output.stdout).ok());
    let has_npm =
        clean("npm").arg("--version").output().is_ok_and(|output| output.status.success());
    let major = printed.as_deref().and_then(major_of);
    if !has_npm || major.is_none_or(|major| major < OLDEST) {
        bail!(
            "judging policies and templates needs Node.js {OLDEST} or newer with npm; get it from \
             https://nodejs.org, or with `brew install node`"
        );
    }
    Ok(())
}

/// Returns the first number that `node --version` prints.
fn major_of(printed: &str) -> Option<u32> {
    printed.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// Returns a command without the variables that would bring in other code or other packages.
fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    for name in ["NODE_OPTIONS", "NODE_PATH", "NODE_ENV"] {
        command.env_remove(name);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::major_of;

    #[test]
    fn the_version_of_node_is_read_from_what_it_prints() {
        assert_eq!(major_of("v20.20.2\n"), Some(20));
        assert_eq!(major_of("v9.11.2"), Some(9));
        assert_eq!(major_of("command not found"), None);
    }
}
