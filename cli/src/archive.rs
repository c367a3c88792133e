//! Zip archives that are the same bytes for the same files.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// The one file that is to be run: the program of a Lambda function.
pub const BINARY: &str = "bootstrap";

/// Up to this size a file is compressed as far as it goes: a function is downloaded at each cold start. A larger one
/// was not built for release, and the last hundredth would take three times as long.
const BEST_UP_TO: usize = 24 * 1024 * 1024;

/// Packs the files in their order, with one time and fixed modes.
pub fn pack(files: &[(&str, &[u8])]) -> anyhow::Result<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        let mode = if *name == BINARY { 0o755 } else { 0o644 };
        let level = if bytes.len() <= BEST_UP_TO { 9 } else { 6 };
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(level))
            .last_modified_time(DateTime::default())
            .unix_permissions(mode);
        archive.start_file(*name, options)?;
        archive.write_all(bytes)?;
    }
    Ok(archive.finish()?.into_inner())
}
