//! Builds a package from a checkout, with cargo-lambda.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::{BINARY, FUNCTIONS, ROUTES, library, put, read, set_mode, shown};
use crate::args::deploy::Architecture;
use crate::terminal::progress::say;
use crate::wheel;

/// Where the templates look for the scripts of example jobs.
const JOBS: &str = "glue/jobs";
/// How the functions are built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Build {
    For(Architecture),
    /// For this machine with its own linker: cargo-lambda's linker for other machines is a download of 411 MB.
    Native,
    /// For this machine, not optimised. It shares compiled code with `cargo build --workspace`.
    NativeDebug,
}

/// Returns the checkout that contains the current folder.
pub fn checkout() -> anyhow::Result<Option<PathBuf>> {
    let here = std::env::current_dir().context("failed to find the current folder")?;
    let is_root = |folder: &&Path| {
        folder.join("Cargo.lock").exists() && folder.join("infra/data-account.yaml").exists()
    };
    Ok(here.ancestors().find(is_root).map(Path::to_owned))
}

/// Builds the functions from the checkout at `root`, and writes the whole package but its routes to `folder`.
pub fn lay_out(root: &Path, folder: &Path, build: Build) -> anyhow::Result<()> {
    let folder = &std::path::absolute(folder).context("failed to find the folder")?;
    compile(root, folder, build)?;
    for function in FUNCTIONS {
        let binary = folder.join(function).join(BINARY);
        let what = || format!("failed to make `{}` executable for everybody", shown(&binary));
        set_mode(&binary, 0o755).with_context(what)?;
    }
    let is_template = |name: &str| name.ends_with(".yaml") && name != ROUTES;
    for (name, template) in listed(&root.join("infra"), is_template)? {
        put(folder, &name, &template)?;
    }
    for (name, job) in listed(&root.join("python/examples"), |name| name.ends_with(".py"))? {
        put(folder, &format!("{JOBS}/{name}"), &job)?;
    }
    put(folder, &library(), &wheel::bytes()?)
}

/// Reads the files of a folder that `is_wanted` accepts by their names.
fn listed(
    folder: &Path,
    is_wanted: impl Fn(&str) -> bool,
) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let what = || format!("failed to list `{}`", shown(folder));
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(what)? {
        let entry = entry.with_context(what)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_wanted(&name) {
            files.insert(name, read(&entry.path())?);
        }
    }
    Ok(files)
}

fn compile(root: &Path, folder: &Path, build: Build) -> anyhow::Result<()> {
    let mut command = Command::new("cargo");
    command.args(["lambda", "build", "--locked", "--lambda-dir"]).arg(folder);
    command.args(FUNCTIONS.iter().flat_map(|function| ["--bin", function]));
    let (what, options): (&str, &[&str]) = match build {
        Build::For(Architecture::Arm64) => ("arm64", &["--release", "--arm64"]),
        Build::For(Architecture::X86_64) => ("x86_64", &["--release", "--x86-64"]),
        Build::Native => ("this machine", &["--release", "--compiler", "cargo"]),
        // Every other debug build also uses the features of the whole workspace.
        Build::NativeDebug => ("this machine", &["--workspace", "--compiler", "cargo"]),
    };
    command.args(options);
    if build != Build::NativeDebug {
        for function in FUNCTIONS {
            command.args(["--package", &format!("landfall-{function}")]);
        }
    }
    say(&format!("building the functions for {what} with cargo-lambda"));
    // Cargo sets these for what it runs, which can be this program. The inner build must not see them.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    // The build prints progress, and standard output is for results.
    command.current_dir(root).stdin(Stdio::null()).stdout(std::io::stderr());
    let status = command.status().context("failed to run `cargo lambda build`")?;
    ensure!(
        status.success(),
        "failed to build the functions: `cargo lambda build` ended with {status} (is cargo-lambda \
         installed? `pip install cargo-lambda` installs it; or pass a folder from `make package`, or the packages of a \
         release, with --package)"
    );
    Ok(())
}
