//! Spark's environment: PySpark, built from its source, and the jars of S3A from the source of
//! another package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{clean, pip};
use crate::command::run;

/// The jars of S3A and of the AWS SDK, which PySpark lacks. They go among Spark's own jars.
const JARS: [&str; 2] = ["hadoop-aws-3.3.1.jar", "aws-java-sdk-bundle-1.11.901.jar"];

pub fn set_up(interpreter: &Path, folder: &Path, requirements: &[PathBuf]) -> Result<()> {
    find_java()?;
    let [packages, pyspark, jars] = requirements else {
        bail!("failed to set up Spark: three files of requirements are needed");
    };
    super::set_up(interpreter, folder, std::slice::from_ref(packages))?;
    // Build with the setuptools that were just installed. An isolated build would download others,
    // unchecked.
    let mut install = pip(folder, "install", pyspark);
    install.args(["--no-compile", "--no-build-isolation"]);
    run(&mut install, "install PySpark")?;

    let downloads = folder.join("downloads");
    let mut download = pip(folder, "download", jars);
    download.args(["--no-build-isolation", "--no-binary", ":all:", "--dest"]).arg(&downloads);
    run(&mut download, "download the jars of S3A")?;
    let script = "import pathlib, sys, tarfile, pyspark\n\
        target = pathlib.Path(pyspark.__file__).parent / 'jars'\n\
        [source] = pathlib.Path(sys.argv[1]).iterdir()\n\
        wanted = set(sys.argv[2:])\n\
        with tarfile.open(source) as archive:\n\
        \x20   for member in archive:\n\
        \x20       name = member.name.rpartition('/')[2]\n\
        \x20       if name in wanted:\n\
        \x20           (target / name).write_bytes(archive.extractfile(member).read())\n\
        \x20           wanted.remove(name)\n\
        sys.exit(f'not in {source.name}: {wanted}' if wanted else 0)\n";
    let mut extract = clean(folder.join("bin/python"));
    extract.args(["-c", script]).arg(&downloads).args(JARS);
    run(&mut extract, "extract the jars of S3A")?;
    fs::remove_dir_all(&downloads)
        .with_context(|| format!("failed to remove `{}`", downloads.display()))
}

fn find_java() -> Result<()> {
    let found = match std::env::var_os("JAVA_HOME") {
        Some(home) => Command::new(Path::new(&home).join("bin/java")).arg("-version").output(),
        None => Command::new("java").arg("-version").output(),
    };
    if !found.is_ok_and(|output| output.status.success()) {
        bail!(
            "Spark 3.5 needs Java 8, 11 or 17, and none was found; install it with `apt-get install \
             openjdk-17-jre-headless` or `brew install openjdk@17`, or set JAVA_HOME"
        );
    }
    Ok(())
}
