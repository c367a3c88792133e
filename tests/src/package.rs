//! What is deployed, laid out by `landfall package` as `make package` has it, but not optimised.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::command::{beside_us, run};
use crate::python::Python;
use crate::{root, target_dir};

/// The jobs' library in a package.
pub const LIBRARY: &str =
    concat!("glue/landfall_glue-", env!("CARGO_PKG_VERSION"), "-py3-none-any.whl");

/// Lays everything out in `stage`, with `routes` as the functions' routes.
pub fn package(python: &Python, routes: &Path, stage: &Path) -> Result<()> {
    // cargo-lambda moves the binary out of the target folder: two at a time would miss it.
    let lock = File::create(target_dir().join("lambda.lock")).context("failed to create a lock")?;
    lock.lock().context("failed to wait for another build of the functions")?;
    let system = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(beside_us("landfall")?);
    command
        .args(["package", "--native", "--debug", "--routes"])
        .args([routes, stage])
        .current_dir(root())
        // It has cargo-lambda.
        .env("PATH", format!("{}:{system}", python.folder().join("bin").display()))
        .env("CARGO_TARGET_DIR", target_dir())
        // The same target as the Makefile's other builds: otherwise everything is compiled again.
        .env("CARGO_BUILD_TARGET", host()?);
    run(&mut command, "package what is deployed")?;
    drop(lock);
    // Half of an unoptimised function is for debuggers. Each deployment would compress and upload it.
    let folders = fs::read_dir(stage).context("failed to list the package")?;
    let binaries = folders.flatten().map(|folder| folder.path().join("bootstrap"));
    let binaries: Vec<_> = binaries.filter(|binary| binary.exists()).collect();
    ensure!(!binaries.is_empty(), "the package has no function");
    run(Command::new("strip").args(binaries), "strip the functions")?;
    Ok(())
}

fn host() -> Result<String> {
    let said = run(Command::new("rustc").arg("-vV"), "ask rustc for the host")?;
    match said.lines().find_map(|line| line.strip_prefix("host: ")) {
        Some(host) => Ok(host.to_owned()),
        None => bail!("failed to ask rustc for the host: `rustc -vV` names none"),
    }
}
