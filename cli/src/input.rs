//! Reads what a command is asked about: a file, or standard input as `-`; an object's URI.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};

use anyhow::{Context, bail};

use crate::terminal::printable;

/// More is refused, so that a device or an endless pipe cannot fill the memory. The largest event of
/// a function has 6 MB.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Whether `path` means standard input.
pub fn is_stdin(path: &OsStr) -> bool {
    path == "-"
}

/// What `path` is called in all that is shown.
pub fn display_name(path: &OsStr) -> String {
    if is_stdin(path) { "<stdin>".to_owned() } else { printable(&path.to_string_lossy()) }
}

/// The text of a file, or of standard input.
pub fn read(path: &OsStr) -> anyhow::Result<String> {
    let name = display_name(path);
    let bytes = read_bytes(path).with_context(|| format!("failed to read `{name}`"))?;
    if bytes.len() as u64 > MAX_BYTES {
        bail!("failed to read `{name}`: it has more than {MAX_BYTES} bytes");
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count();
        anyhow::anyhow!("failed to read `{name}`: line {line} is not UTF-8")
    })
}

fn read_bytes(path: &OsStr) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = MAX_BYTES + 1;
    if is_stdin(path) {
        io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    } else {
        File::open(path)?.take(most).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Bucket and key of the object that a URI names, as it is written: nothing is URL-decoded.
pub fn object(uri: &str) -> anyhow::Result<(&str, &str)> {
    let Some(rest) = uri.strip_prefix("s3://") else {
        bail!("`{uri}` is no s3:// URI: write s3://bucket/key");
    };
    rest.split_once('/')
        .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
        .with_context(|| format!("`{uri}` names no object: write s3://bucket/key"))
}
