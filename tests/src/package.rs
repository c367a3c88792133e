//! Building the functions and laying out what is deployed, as `make package` does.
//!
//! The layout is what the templates' relative paths expect:
//! the templates that refer to them, `routes.yaml`, `{trigger,monitor}/{bootstrap,routes.yaml}`, `provisioner/bootstrap`,
//! `glue/landfall-VERSION-py3-none-any.whl`, `glue/jobs/*.py`; and `landfall.cdx.json`, of what they consist.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::run;
use crate::python::Python;
use crate::{root, target_dir};

/// The jobs' library in a package.
pub const LIBRARY: &str = concat!("glue/landfall-", env!("CARGO_PKG_VERSION"), "-py3-none-any.whl");
const FUNCTIONS: [&str; 3] = ["trigger", "monitor", "provisioner"];
/// Those of them that carry the routes; the stacks hand them to the provisioner.
const WITH_ROUTES: [&str; 2] = ["trigger", "monitor"];

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Shares every artifact with `cargo build --workspace`.
    Debug,
    Release,
}

/// Builds the functions and lays everything out in `stage`, with `routes` as the functions' routes.
pub fn package(python: &Python, profile: Profile, routes: &Path, stage: &Path) -> Result<()> {
    // Into the stage itself: two checkouts that share a target folder would overwrite each other's.
    let stage = &std::path::absolute(stage).context("failed to find the stage")?;
    build(python, profile, stage)?;
    let infra = root().join("infra");
    for template in
        ["provisioner.yaml", "data-account.yaml", "analytics-account.yaml", "target.yaml"]
    {
        copy(&infra.join(template), &stage.join(template))?;
    }
    for function in FUNCTIONS {
        let binary = stage.join(function).join("bootstrap");
        fs::set_permissions(binary, Permissions::from_mode(0o755))
            .context("failed to make the functions executable for everybody")?;
    }
    for function in WITH_ROUTES {
        copy(routes, &stage.join(function).join("routes.yaml"))?;
    }
    copy(routes, &stage.join("routes.yaml"))?;
    let glue = stage.join("glue");
    fs::create_dir_all(glue.join("jobs"))?;
    for job in fs::read_dir(root().join("python/examples")).context("failed to list the jobs")? {
        let job = job?;
        if job.path().extension().is_some_and(|extension| extension == "py") {
            copy(&job.path(), &glue.join("jobs").join(job.file_name()))?;
        }
    }
    let landfall = target_dir().join(host()?).join("debug/landfall");
    run(Command::new(landfall).arg("wheel").arg(&glue), "write the wheel of the jobs' library")?;
    if profile == Profile::Release {
        let mut list = Command::new(python.program("python"));
        list.arg(root().join("tests/python/sbom.py")).arg(stage).current_dir(root());
        run(&mut list, "write the bill of materials")?;
    }
    Ok(())
}

/// Builds for this machine. Without cargo-lambda's own linker, which would be another 411 MB.
fn build(python: &Python, profile: Profile, folder: &Path) -> Result<()> {
    // cargo-lambda moves the binary out of the target folder: two at a time would miss it.
    let lock = File::create(target_dir().join("lambda.lock")).context("failed to create a lock")?;
    lock.lock().context("failed to wait for another build of the functions")?;
    let mut command = Command::new(python.program("cargo-lambda"));
    command
        .args(["lambda", "build", "--locked", "--compiler", "cargo"])
        .args(FUNCTIONS.iter().flat_map(|function| ["--bin", function]))
        .arg("--lambda-dir")
        .arg(folder)
        .current_dir(root())
        .env("CARGO_TARGET_DIR", target_dir())
        // The same target as the Makefile's other builds: otherwise everything is compiled again.
        .env("CARGO_BUILD_TARGET", host()?);
    match profile {
        // With the features of the whole workspace, as every other debug build.
        Profile::Debug => command.arg("--workspace"),
        Profile::Release => command
            .args(FUNCTIONS.iter().flat_map(|f| ["--package".to_owned(), format!("landfall-{f}")]))
            .arg("--release"),
    };
    // Cargo sets these for what it runs, us included; a build inside must not see them.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    run(&mut command, "build the functions with cargo-lambda")?;
    Ok(())
}

fn host() -> Result<String> {
    let said = run(Command::new("rustc").arg("-vV"), "ask rustc for the host")?;
    match said.lines().find_map(|line| line.strip_prefix("host: ")) {
        Some(host) => Ok(host.to_owned()),
        None => bail!("failed to ask rustc for the host: `rustc -vV` names none"),
    }
}

/// A copy that everybody may read: Lambda's process is not the user that packages.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to)
        .and_then(|_| fs::set_permissions(to, Permissions::from_mode(0o644)))
        .with_context(|| format!("failed to copy `{}` to `{}`", from.display(), to.display()))
}
