//! A release, laid out as `make release` does it, but from programs that aren't optimised. It is installed as users
//! install it, and deploys with no toolchain and no checkout.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use landfall_core::routes::packaged::unpackage;
use landfall_tests::cloud::{has_ended, wait_until};
use landfall_tests::command::{beside_us, run};
use landfall_tests::root;

use crate::deploy::Deployment;
use crate::stage::{SOON, Stage, assert_succeeded, csv};
use crate::upgrade::real_functions;

const PREFIX: &str = "installed";
const JOB: &str = "installed-job";
const BUCKET: &str = "acme-installed";
/// The version that everything here has.
const VERSION: &str = env!("CARGO_PKG_VERSION");

pub fn a_release_installed_into_an_empty_home_deploys_both_accounts_without_a_toolchain(
    stage: &Stage,
) -> Result<()> {
    let deployment = Deployment::new(stage, PREFIX)?;
    real_functions(&stage.cloud.emulator.folder().join("stage"), &deployment.package)?;
    let scratch = tempfile::tempdir().context("failed to create a folder")?;
    let release = scratch.path().join("release");
    lay_out(stage, &deployment.package, &release)?;

    let home = scratch.path().join("home");
    fs::create_dir(&home)?;
    let mut install = Command::new("sh");
    install.arg(release.join("install.sh")).arg("--from").arg(&release);
    install.env_clear().env("HOME", &home).env("PATH", "/usr/bin:/bin");
    run(&mut install, "install the release")?;
    let installed = home.join(".local/bin/landfall");
    let landfall = |command: &str| {
        let mut landfall = stage.cloud.program(&installed, command);
        // There is no other program than `landfall` itself.
        landfall.env("PATH", home.join(".local/bin")).env("HOME", &home).current_dir(&home);
        landfall
    };

    for file in ["man/man1/landfall-deploy.1", "bash-completion/completions/landfall"] {
        ensure!(home.join(".local/share").join(file).exists(), "`{file}` isn't installed");
    }

    let shown = deployment.deploy_with(landfall("deploy"), &["--yes", "--architecture", "x86_64"]);
    let shown = shown?.expect(0)?;
    let packages = home.join(".local/share/landfall").join(VERSION);
    let used = format!("using version {VERSION} for x86_64 from `{}`", packages.display());
    ensure!(shown.stderr.contains(&used), "`{used}` is not said: {shown:?}");

    stage.cloud.wait(stage.cloud.put(BUCKET, &format!("{JOB}/first.csv"), csv(3)))?;
    let ran = stage.cloud.wait(wait_until("the file has no run", SOON, async || {
        let runs = stage.cloud.runs(JOB).await?;
        Ok(runs.into_iter().find(has_ended))
    }))?;
    assert_succeeded(&ran)?;

    // Other tools deploy a folder, which has the routes too.
    let folder = home.join("package");
    let mut package = landfall("package");
    package.arg(&folder).arg("--routes").arg(deployment.routes());
    run(package.args(["--architecture", "x86_64"]), "write a package")?;
    let written = |path: &str| fs::read(folder.join(path)).with_context(|| path.to_owned());
    let routes = fs::read(deployment.routes())?;
    ensure!(written("monitor/routes.yaml")? == routes);
    ensure!(unpackage(written("monitor/routes.packaged")?, &routes).is_ok());
    ensure!(written("data-account.yaml")? == fs::read(root().join("infra/data-account.yaml"))?);
    let mode = fs::metadata(folder.join("trigger/bootstrap"))?.permissions().mode();
    ensure!(mode & 0o777 == 0o755, "Lambda can't run the trigger: {mode:o}");

    // What was changed after it was installed is not deployed.
    fs::write(packages.join("x86_64/data-account.yaml"), "Resources: {}")?;
    let shown = deployment.deploy_with(landfall("deploy"), &["--yes", "--architecture", "x86_64"]);
    let shown = shown?.expect(2)?;
    ensure!(shown.stderr.contains("data-account.yaml` is not the file that"), "{shown:?}");
    Ok(())
}

fn lay_out(stage: &Stage, package: &Path, release: &Path) -> Result<()> {
    let packages = release.join("packages");
    fs::create_dir_all(&packages)?;
    std::os::unix::fs::symlink(package, packages.join("x86_64"))?;
    let program = packages.join("landfall");
    let mut strip = Command::new("strip");
    // Most of it is for debuggers.
    run(strip.arg("-o").arg(&program).arg(beside_us("landfall")?), "strip the command line")?;
    let lay_out = |part: &str, more: &[&std::ffi::OsStr]| {
        let mut python = Command::new(stage.cloud.python.program("python"));
        python.arg(root().join("tests/python/release.py")).arg(part).arg(release).args(more);
        run(&mut python, "lay out the release")
    };
    lay_out("packages", &[program.as_ref(), "x86_64".as_ref()])?;
    lay_out("program", &["x86_64-unknown-linux-gnu".as_ref(), program.as_ref()])?;
    lay_out("sums", &[])?;
    Ok(())
}
