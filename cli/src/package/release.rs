//! The packages of a release: a folder with a package for each architecture, without routes, and the sums of their
//! files.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, ensure};

use super::{Package, library, read as read_file, sha256, shown};
use crate::args::deploy::Architecture;
use crate::terminal::printable;
use crate::terminal::progress::say;
use crate::version::OWN;

const SUMS: &str = "SHA256SUMS";
/// Where the packages of this version can be had.
const ADDRESS: &str = concat!(
    env!("CARGO_PKG_REPOSITORY"),
    "/releases/download/v",
    env!("CARGO_PKG_VERSION"),
    "/landfall-",
    env!("CARGO_PKG_VERSION"),
    "-packages.tar.gz"
);

/// Returns `true` if the folder has the packages of a release.
pub fn is_in(folder: &Path) -> bool {
    folder.join(SUMS).exists()
}

/// Returns the folder of the packages that were installed with this program.
pub fn installed() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("failed to find this program")?;
    // A package manager may have put a link into its folder of programs.
    let program = program.canonicalize().context("failed to find this program")?;
    let prefix = program.parent().and_then(Path::parent).context("this program has no folder")?;
    let folder = prefix.join("share/landfall").join(OWN);
    ensure!(
        is_in(&folder),
        "there is nothing to deploy: `{}` doesn't have the packages of version {OWN}, and the current folder isn't in \
         a checkout of Landfall to build from; unpack {ADDRESS} into `{}` with `tar --strip-components 1 -xzf`, or \
         pass its folder `share/landfall/{OWN}` with --package",
        shown(&folder),
        shown(prefix)
    );
    Ok(folder)
}

/// Reads the package for an architecture, by default arm64, and checks each of its files against the sums.
pub fn read(folder: &Path, wanted: Option<Architecture>) -> anyhow::Result<Package> {
    let architecture = wanted.unwrap_or(Architecture::Arm64);
    let sums = read_file(&folder.join(SUMS))?;
    let files = files(folder, &sums, architecture.name())?;
    let count = files.len();
    ensure!(count > 0, "`{}` has no package for {}", shown(folder), architecture.name());
    ensure!(
        files.contains_key(&library()),
        "the packages in `{}` are of another version than this `landfall`, which is {OWN}",
        shown(folder)
    );
    let package = Package::of(files, wanted)?;
    say(&format!(
        "using version {OWN} for {} from `{}`: its {count} files are as {SUMS} says, whose own SHA-256 is {}",
        architecture.name(),
        shown(folder),
        sha256(&sums)
    ));
    Ok(package)
}

/// Reads the files that the sums list inside one folder.
fn files(folder: &Path, sums: &[u8], inside: &str) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let list = shown(&folder.join(SUMS));
    let text = std::str::from_utf8(sums).with_context(|| format!("`{list}` is not UTF-8"))?;
    let mut files = BTreeMap::new();
    for line in text.lines() {
        let (sum, path) = line.split_once("  ").with_context(|| {
            format!("`{list}` has a line that is no sum: `{}`", printable(line))
        })?;
        let Some(name) = path.strip_prefix(inside).and_then(|rest| rest.strip_prefix('/')) else {
            continue;
        };
        let is_inside = Path::new(name).components().all(|one| matches!(one, Component::Normal(_)));
        ensure!(is_inside, "`{list}` names `{}`, which is outside", printable(path));
        let file = folder.join(path);
        let bytes = read_file(&file)?;
        ensure!(
            sha256(&bytes) == sum,
            "`{}` is not the file that `{list}` lists: it was changed, or not completely written; install it again",
            shown(&file)
        );
        files.insert(name.to_owned(), bytes);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::BINARY;
    use crate::package::FUNCTIONS;

    /// Writes the packages of a release for x86_64, and returns their folder.
    fn release() -> anyhow::Result<tempfile::TempDir> {
        let folder = tempfile::tempdir()?;
        let mut program = b"\x7fELF\x02\x01\x01".to_vec();
        program.resize(64, 0);
        program[18] = 0x3e;
        let mut files: Vec<_> =
            FUNCTIONS.iter().map(|it| (format!("{it}/{BINARY}"), program.clone())).collect();
        files.push((library(), b"wheel".to_vec()));
        let mut sums = String::new();
        for (path, bytes) in &files {
            crate::package::put(&folder.path().join("x86_64"), path, bytes)?;
            sums.push_str(&format!("{}  x86_64/{path}\n", sha256(bytes)));
        }
        std::fs::write(folder.path().join(SUMS), sums)?;
        Ok(folder)
    }

    fn check(folder: &Path, expected: &str) {
        let read = read(folder, Some(Architecture::X86_64)).map(drop);
        let error = format!("{:#}", read.expect_err("it is not to be deployed"));
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn the_package_of_the_wanted_architecture_is_read() -> anyhow::Result<()> {
        let folder = release()?;
        let package = read(folder.path(), Some(Architecture::X86_64))?;
        assert_eq!(package.architecture, Architecture::X86_64);
        assert_eq!(package.library()?.bytes, b"wheel");
        // It stays what functions are built for if nobody wants anything.
        let error = read(folder.path(), None).map(drop).expect_err("there is nothing for arm64");
        assert!(error.to_string().contains("has no package for arm64"), "{error}");
        Ok(())
    }

    #[test]
    fn what_was_changed_or_removed_is_named_and_not_deployed() -> anyhow::Result<()> {
        let folder = release()?;
        let file = folder.path().join("x86_64/trigger").join(BINARY);
        std::fs::write(&file, "other")?;
        check(folder.path(), "trigger/bootstrap` is not the file that");
        std::fs::remove_file(&file)?;
        check(folder.path(), "failed to read");
        Ok(())
    }

    #[test]
    fn packages_of_another_version_are_refused() -> anyhow::Result<()> {
        let folder = release()?;
        let sums = folder.path().join(SUMS);
        let text = std::fs::read_to_string(&sums)?;
        std::fs::write(&sums, text.replace(&library(), "glue/landfall_glue-9-py3-none-any.whl"))?;
        let wheel = folder.path().join("x86_64/glue/landfall_glue-9-py3-none-any.whl");
        std::fs::write(wheel, "wheel")?;
        check(folder.path(), "of another version than this `landfall`");
        Ok(())
    }

    #[test]
    fn a_list_of_something_else_is_refused() -> anyhow::Result<()> {
        let folder = release()?;
        let sums = folder.path().join(SUMS);
        for (text, expected) in [
            ("no sum", "a line that is no sum: `no sum`"),
            ("00  x86_64/../../etc/passwd", "which is outside"),
            ("00  x86_64//etc/passwd", "which is outside"),
            ("", "has no package for x86_64"),
        ] {
            std::fs::write(&sums, text)?;
            check(folder.path(), expected);
        }
        Ok(())
    }
}
