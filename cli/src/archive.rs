//! Packs zip archives. The same files make the same bytes.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// The program of a Lambda function, which is the only file that must be executable.
pub const BINARY: &str = "bootstrap";

/// The size limit, in bytes, for the best compression: Lambda downloads a function at each cold start. A larger file
/// was not built for release: what matters is that it is packed soon.
const BEST_UP_TO: usize = 24 * 1024 * 1024;

/// Packs the files in the given order, all with the same time and with fixed modes.
pub fn pack(files: &[(&str, &[u8])]) -> anyhow::Result<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        let mode = if *name == BINARY { 0o755 } else { 0o644 };
        let level = if bytes.len() <= BEST_UP_TO { 9 } else { 1 };
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
