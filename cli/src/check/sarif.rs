//! Problems in the form that code scanners exchange: [SARIF 2.1.0](https://docs.oasis-open.org/sarif/sarif/v2.1.0/). Pure.

use std::collections::BTreeSet;

use landfall_core::problem::{Place, Problem};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::Remark;
use crate::terminal::printable;
use crate::version::OWN;

/// The rule of what is wrong with the text of a file. What can't be deployed has a rule for each code.
const ROUTES: &str = "routes";

/// What describes the rules.
const HELP: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/v", env!("CARGO_PKG_VERSION"));

/// All but what stands for itself in a path.
const BUT_IN_PATHS: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Everything that was found, in all files.
#[derive(Default)]
pub struct Sarif {
    rules: BTreeSet<&'static str>,
    results: Vec<Value>,
}

impl Sarif {
    /// Adds a problem of this file.
    pub fn problem(&mut self, file: &str, problem: &Problem) {
        let hint = problem.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        let message = format!("{}{hint}", problem.message);
        self.add(file, ROUTES, problem.is_error(), &message, Some(&problem.place));
    }

    /// Adds what has no one place in this file.
    pub fn remark(&mut self, file: &str, remark: &Remark) {
        self.add(file, remark.code.unwrap_or(ROUTES), remark.is_error, &remark.text, None);
    }

    fn add(
        &mut self,
        file: &str,
        rule: &'static str,
        is_error: bool,
        message: &str,
        place: Option<&Place>,
    ) {
        self.rules.insert(rule);
        let mut location = json!({ "artifactLocation": { "uri": uri(file) } });
        // Without a place, viewers show the beginning of the file.
        let (line, column) = place.map_or((1, 1), |place| (place.line, place.column));
        location["region"] = json!({ "startLine": line, "startColumn": column });
        self.results.push(json!({
            "ruleId": rule,
            "level": if is_error { "error" } else { "warning" },
            "message": { "text": printable(message) },
            "locations": [{ "physicalLocation": location }],
        }));
    }

    /// Returns the whole document.
    pub fn document(&self) -> String {
        let rules = self.rules.iter().map(|rule| {
            let (text, page) = match *rule {
                ROUTES => ("The routes file says something that Landfall can't do, or that is easily misread.", "routes"),
                _ => ("There is too much of something to be deployed.", "limits"),
            };
            json!({
                "id": rule,
                "shortDescription": { "text": text },
                "helpUri": format!("{HELP}/docs/{page}.md"),
            })
        });
        let rules: Vec<Value> = rules.collect();
        let driver = json!({
            "name": "landfall", "version": OWN, "informationUri": env!("CARGO_PKG_REPOSITORY"), "rules": rules,
        });
        let run = json!({
            "tool": { "driver": driver },
            // Columns count characters, as everywhere in Landfall.
            "columnKind": "unicodeCodePoints",
            "results": self.results,
        });
        let document = json!({
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run],
        });
        format!("{document:#}\n")
    }
}

/// Returns the path as a relative reference, so that no character of a file's name has a meaning of its own.
fn uri(file: &str) -> String {
    utf8_percent_encode(file.trim_start_matches("./"), BUT_IN_PATHS).to_string()
}
