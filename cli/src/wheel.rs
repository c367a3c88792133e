//! `landfall wheel`: writes the Python library for jobs as a wheel. The library is part of this program, so
//! both always have the same version.

use std::fs;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::archive::pack;
use crate::args::WheelArgs;
use crate::terminal::output::{Output, Printed};

/// The file name of the wheel, in the form that pip needs. It begins with the distribution's name, `landfall-glue`: on
/// PyPI, `landfall` is somebody else's.
pub const NAME: &str = concat!("landfall_glue-", env!("CARGO_PKG_VERSION"), "-py3-none-any.whl");

macro_rules! modules {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../python/landfall/", $name)))),+]
    };
}

const MODULES: [(&str, &str); 13] = modules![
    "__init__.py",
    "_arguments.py",
    "_batch.py",
    "_claim.py",
    "_errors.py",
    "_filesystem.py",
    "_manifest.py",
    "_objects.py",
    "_policy.py",
    "_reader.py",
    "_spark.py",
    "py.typed",
    "testing.py",
];

const METADATA: &str = concat!(
    "Metadata-Version: 2.1\n",
    "Name: landfall-glue\n",
    "Version: ",
    env!("CARGO_PKG_VERSION"),
    "\n",
    "Summary: For AWS Glue jobs that Landfall starts: claim the batch, and read it as its reader role.\n",
    "License: ",
    env!("CARGO_PKG_LICENSE"),
    "\n",
    "Keywords: aws,glue,s3,spark,etl\n",
    "Classifier: Programming Language :: Python :: 3\n",
    "Classifier: Typing :: Typed\n",
    "Requires-Python: >=3.7\n",
    // Glue has boto3, and a job may have no network to fetch another. So only an extra requires it.
    "Provides-Extra: boto3\n",
    "Requires-Dist: boto3; extra == \"boto3\"\n",
    "Provides-Extra: fsspec\n",
    "Requires-Dist: fsspec; extra == \"fsspec\"\n",
    "Description-Content-Type: text/markdown\n",
    "\n",
    "Import it as `landfall`; `help(landfall)` shows how a job uses it. Landfall writes this wheel\n",
    "(`landfall wheel`), and both have the same version. It needs boto3, which Glue has. Elsewhere,\n",
    "for example to test a job with `landfall.testing`, install the extra `boto3`. The extra\n",
    "`fsspec` is for `batch.filesystem()`.\n",
);

const WHEEL: &str =
    "Wheel-Version: 1.0\nGenerator: landfall\nRoot-Is-Purelib: true\nTag: py3-none-any\n";

pub fn run(args: &WheelArgs) -> Printed {
    let path = args.folder.join(NAME);
    let what = || format!("failed to write `{}`", path.display());
    fs::write(&path, bytes()?).with_context(what)?;
    Ok(Output::success(format!("{}\n", path.display())))
}

/// Returns the wheel in the form that the binary distribution format specifies. The bytes are always the same.
pub fn bytes() -> anyhow::Result<Vec<u8>> {
    let about = |name: &str| {
        format!(concat!("landfall_glue-", env!("CARGO_PKG_VERSION"), ".dist-info/{}"), name)
    };
    let mut files: Vec<(String, &str)> =
        MODULES.iter().map(|(name, text)| (format!("landfall/{name}"), *text)).collect();
    files.push((about("METADATA"), METADATA));
    files.push((about("WHEEL"), WHEEL));
    let mut record: String = files
        .iter()
        .map(|(name, text)| {
            let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(text));
            format!("{name},sha256={hash},{}\n", text.len())
        })
        .collect();
    record.push_str(&format!("{},,\n", about("RECORD")));
    files.push((about("RECORD"), &record));

    let files: Vec<(&str, &[u8])> =
        files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    pack(&files).context("failed to pack the wheel")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_library_is_in_the_wheel() -> anyhow::Result<()> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../python/landfall");
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(folder)? {
            found.insert(entry?.file_name().to_string_lossy().into_owned());
        }
        found.remove("__pycache__");
        assert_eq!(found, MODULES.iter().map(|(name, _)| (*name).to_owned()).collect());
        assert_eq!(bytes()?, bytes()?, "the same files make the same bytes");
        Ok(())
    }

    #[test]
    fn the_metadata_describes_the_wheel_and_a_plain_installation_fetches_nothing() {
        let (head, text) = METADATA.split_once("\n\n").unwrap_or_default();
        let field = |name: &str| -> Vec<&str> {
            head.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
        };
        assert_eq!(field("Name"), ["landfall-glue"]);
        assert_eq!(field("License"), ["MIT OR Apache-2.0"]);
        assert_eq!(field("Requires-Python"), [">=3.7"]);
        assert!(field("Summary").iter().all(|summary| summary.len() <= 100));
        assert!(!field("Requires-Dist").is_empty());
        for requirement in field("Requires-Dist") {
            assert!(requirement.contains("; extra == "), "{requirement}");
        }
        assert!(text.contains("Import it as `landfall`"));
    }

    #[test]
    fn the_library_says_the_version_of_this_program() {
        let [(_, library), ..] = MODULES;
        let line = concat!("__version__ = \"", env!("CARGO_PKG_VERSION"), "\"");
        assert!(library.lines().any(|found| found == line), "no line `{line}`");
    }

    #[test]
    fn the_template_looks_for_the_wheel_of_this_version() {
        let template = include_str!("../../infra/analytics-account.yaml");
        assert!(template.contains(&format!("Default: landfall/{NAME}\n")));
        // Stacks may name a wheel of before, which was called `landfall`.
        assert!(template.contains(r"/landfall(_glue)?-[0-9A-Za-z.]+-py3-none-any\\.whl"));
    }
}
