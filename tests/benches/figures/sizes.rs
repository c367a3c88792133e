//! The sizes of the functions: as files, and packed as they are uploaded.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use anyhow::{Context, Result};
use landfall_core::routes::packaged::package;
use landfall_tests::{python, root};
use serde_json::Value;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::report::Report;

const FUNCTIONS: [&str; 4] = ["hello", "trigger", "monitor", "provisioner"];
/// The maximum size of the trigger's zip, in MB.
const TRIGGER_ZIP_MB: f64 = 5.0;

pub fn measure(functions: &Path, report: &mut Report) -> Result<()> {
    let mut rows = Vec::new();
    for function in FUNCTIONS {
        let file = functions.join(function);
        let binary =
            fs::read(&file).with_context(|| format!("failed to read `{}`", file.display()))?;
        let routes = fs::read_to_string(root().join("infra/routes.yaml"))?;
        let packaged = package(&routes).context("the routes are not valid")?;
        let routes = [("routes.yaml", routes.as_bytes()), ("routes.packaged", &packaged)];
        let zipped = packed(&[&[("bootstrap", binary.as_slice())], &routes[..]].concat())?;
        if function == "trigger" {
            let zip = zipped as f64 / 1e6;
            report.check(zip <= TRIGGER_ZIP_MB, || {
                format!("the trigger's zip has at most {TRIGGER_ZIP_MB} MB: {zip:.2}")
            });
        }
        rows.push(vec![function.into(), megabytes(binary.len()), megabytes(zipped)]);
    }
    let packages = python::peer()?.folder().join("lib");
    let mut files = Vec::new();
    collect(&packages, &mut files)?;
    let contents: Vec<(String, Vec<u8>)> = files
        .into_iter()
        .map(|file| Ok((file.clone(), fs::read(&file)?)))
        .collect::<Result<_>>()?;
    let borrowed: Vec<(&str, &[u8])> =
        contents.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let whole: usize = borrowed.iter().map(|(_, bytes)| bytes.len()).sum();
    rows.push(vec!["Python, its packages".into(), megabytes(whole), megabytes(packed(&borrowed)?)]);
    report.table("Sizes, MB", &["", "on disk", "zipped"], &rows);
    Ok(())
}

/// Collects the files below a folder, except what pip brings for itself and what Python compiles.
fn collect(folder: &Path, files: &mut Vec<String>) -> Result<()> {
    const NOT_PACKED: [&str; 5] =
        ["__pycache__", "pip", "setuptools", "pkg_resources", "_distutils_hack"];
    let entries =
        fs::read_dir(folder).with_context(|| format!("failed to read `{}`", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if NOT_PACKED.contains(&name.as_str()) {
            continue;
        }
        match path.is_dir() {
            true => collect(&path, files)?,
            false => files.push(path.display().to_string()),
        }
    }
    Ok(())
}

/// Returns the size of the files in bytes, packed as `landfall deploy` packs them.
fn packed(files: &[(&str, &[u8])]) -> Result<usize> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        archive.start_file(*name, SimpleFileOptions::default().compression_level(Some(9)))?;
        archive.write_all(bytes)?;
    }
    Ok(archive.finish()?.into_inner().len())
}

fn megabytes(bytes: usize) -> Value {
    (bytes as f64 / 1e6).into()
}
