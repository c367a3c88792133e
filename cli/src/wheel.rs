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

/// The file name of the wheel, in the form that pip needs.
pub const NAME: &str = concat!("landfall-", env!("CARGO_PKG_VERSION"), "-py3-none-any.whl");

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
    "Name: landfall\n",
    "Version: ",
    env!("CARGO_PKG_VERSION"),
    "\n",
    "Summary: The side of a Glue job that Landfall starts: its batch, and the role to read it with.\n",
    "License: ",
    env!("CARGO_PKG_LICENSE"),
    "\n",
    // There is no `Requires-Dist`, because Glue has boto3 and a job may have no network to fetch another.
    "Requires-Python: >=3.7\n",
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
        format!(concat!("landfall-", env!("CARGO_PKG_VERSION"), ".dist-info/{}"), name)
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
    fn the_template_looks_for_the_wheel_of_this_version() {
        let template = include_str!("../../infra/analytics-account.yaml");
        assert!(template.contains(&format!("Default: landfall/{NAME}\n")));
    }
}
