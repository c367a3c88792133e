//! `landfall doctor --explain`: says what an error means. The core knows the errors.

use std::ffi::OsStr;
use std::path::Path;

use landfall_core::doctor::{Explanation, explain};
use serde::Serialize;

use crate::input;
use crate::terminal::output::{self, Output, Printed, Status};
use crate::terminal::printable;

/// The version of the JSON document.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    explanations: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    code: &'static str,
    layer: &'static str,
    action: Option<&'a str>,
    resource: Option<&'a str>,
    cause: &'static str,
    fix: &'static str,
}

/// Explains a text, or what is in the file that `given` names.
pub fn run(given: &OsStr, as_json: bool) -> Printed {
    let text = text(given)?;
    let found = explain(&text);
    let mut output = Output::success(if as_json {
        let explanations = found.iter().map(entry).collect();
        output::json(&Document { version: VERSION, explanations })
    } else {
        found.iter().map(in_words).collect::<Vec<_>>().join("\n")
    });
    if found.is_empty() {
        output.stderr =
            "nothing is known about this text: AWS's documentation of the error code, and the \
                         CloudTrail of the account that owns the resource, may say more\n"
                .to_owned();
        output.worsen(Status::Nothing);
    }
    Ok(output)
}

/// Returns the text itself, unless it names a file.
fn text(given: &OsStr) -> anyhow::Result<String> {
    if input::is_stdin(given) || Path::new(given).is_file() {
        return input::read(given);
    }
    Ok(given.to_string_lossy().into_owned())
}

fn entry<'t>(found: &Explanation<'t>) -> Entry<'t> {
    let Explanation { row, action, resource } = *found;
    Entry { code: row.code, layer: row.layer, action, resource, cause: row.cause, fix: row.fix }
}

/// Returns an explanation as lines of text.
pub fn in_words(found: &Explanation<'_>) -> String {
    let Explanation { row, action, resource } = found;
    let mut lines = vec![format!("{} [{}]", row.layer, row.code)];
    let denied = [("action", action), ("resource", resource)];
    let denied = denied.into_iter().filter_map(|(what, value)| value.map(|value| (what, value)));
    lines.extend(denied.map(|(what, value)| format!("  {what:<9}{}", printable(value))));
    lines.push(format!("  why      {}", row.cause));
    lines.push(format!("  do       {}", row.fix));
    lines.iter().map(|line| format!("{line}\n")).collect()
}
