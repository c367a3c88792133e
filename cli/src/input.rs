//! Reads what a command works on: a file, or standard input as `-`; the routes; an object's URI.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};

use anyhow::{Context, bail};
use landfall_core::problem::{Problem, did_you_mean};
use landfall_core::routes::{Parsed, Routes, Target};

use crate::args::{Color, Format};
use crate::terminal::output::{Output, Status};
use crate::terminal::phrases::quoted;
use crate::terminal::printable;
use crate::terminal::problems::{Style, render, summary};

/// The size limit of an input, so that a device or an endless pipe cannot fill the memory. The
/// largest event of a function has 6 MB.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Returns `true` if `path` stands for standard input.
pub fn is_stdin(path: &OsStr) -> bool {
    path == "-"
}

/// Returns the name of `path` in messages.
pub fn display_name(path: &OsStr) -> String {
    if is_stdin(path) { "<stdin>".to_owned() } else { printable(&path.to_string_lossy()) }
}

/// Reads a file, or standard input.
///
/// # Errors
/// Fails if the file cannot be read, is larger than 64 MiB, or is not UTF-8.
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

/// Reads a routes file with `parse`. Returns its text, the routes, and the warnings for the caller to show.
///
/// # Errors
/// Returns the output that shows all problems, if the file has errors.
pub fn read_routes(
    file: &OsStr,
    parse: fn(&str) -> Parsed,
    color: Color,
) -> Result<(String, (Routes, Vec<Problem>)), Output> {
    let text = read(file)?;
    let mut parsed = parse(&text);
    if let Some(routes) = parsed.routes.take() {
        return Ok((text, (routes, parsed.problems)));
    }
    let name = display_name(file);
    let style = Style { format: Format::Full, color: color.applies_to(&io::stderr()) };
    let problems = render(&name, &text, &parsed.problems, style);
    let stderr = format!("{problems}{name}: {}\n", summary(&parsed));
    Err(Output { stderr, status: Status::Problems, ..Output::default() })
}

/// Returns the target of this name.
///
/// # Errors
/// Suggests a similar name, or lists all targets, if there is none of this name.
pub fn target<'a>(routes: &'a Routes, name: &str) -> anyhow::Result<&'a Target> {
    routes.targets.get(name).with_context(|| {
        let hint = did_you_mean(name, routes.targets.keys().map(String::as_str));
        let hint = hint.unwrap_or_else(|| format!("there are {}", quoted(routes.targets.keys())));
        format!("there is no target `{name}`; {hint}")
    })
}

/// Returns the bucket and the key that a URI names. It URL-decodes nothing.
pub fn object(uri: &str) -> anyhow::Result<(&str, &str)> {
    let Some(rest) = uri.strip_prefix("s3://") else {
        bail!("`{uri}` is not an s3:// URI: write s3://bucket/key");
    };
    rest.split_once('/')
        .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
        .with_context(|| format!("`{uri}` doesn't name an object: write s3://bucket/key"))
}
