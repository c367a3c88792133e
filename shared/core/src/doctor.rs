//! What an error of AWS means on Landfall's way from an object to a job run: which layer refused, why, and what to do.
//!
//! AWS's messages are stable in English, but one code stands for many causes, and the first cause that people think of is
//! often wrong. The rows in `known` hold what is known, each with an example. This module finds the rows for a text.

mod known;

use std::fmt::Write as _;

use self::known::{LAYERS, SYMPTOMS};

/// What is known about a text of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// A stable identifier.
    pub code: &'static str,
    /// Who or what refuses, or fails.
    pub layer: &'static str,
    /// The texts that it is known by, in lower case. `…` stands for any text. One of them is enough.
    patterns: &'static [&'static str],
    /// Why it happens. One or more sentences.
    pub cause: &'static str,
    /// What to do. One or more sentences.
    pub fix: &'static str,
    /// A text that shows it.
    example: &'static str,
}

/// A [`Row`] that a text matches, with what the text names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation<'t> {
    /// What is known about the text.
    pub row: &'static Row,
    /// The action that was denied, such as `s3:GetObject`; `None` if the text names none.
    pub action: Option<&'t str>,
    /// The resource that it was denied on; `None` if the text names none.
    pub resource: Option<&'t str>,
}

/// Explains the text of an error, wherever in the text the error stands. Returns what AWS says about the layer that
/// refused, then what the error is known for on Landfall's way; nothing if neither is known.
pub fn explain(text: &str) -> Vec<Explanation<'_>> {
    let lower = text.to_lowercase();
    let first = |rows: &'static [Row]| rows.iter().find(|row| row.is_in(&lower));
    let action = after(text, "not authorized to perform: ");
    let resource = after(text, "on resource: ");
    let rows = [first(&LAYERS), first(&SYMPTOMS)];
    rows.into_iter().flatten().map(|row| Explanation { row, action, resource }).collect()
}

/// Returns all rows as a page of the documentation, in Markdown.
pub fn page() -> String {
    let mut page = String::from(
        "# Errors and what they mean\n\n\
         `landfall doctor --explain` finds these for the text of an error: give it the text, a file, or `-` for standard input.\n\
         `landfall batch` shows them for a batch that waits or is parked, and for a run that failed. The page is generated from the same rows.\n",
    );
    let sections: [(&str, &[Row]); 2] =
        [("Who refused", &LAYERS), ("What it is known for", &SYMPTOMS)];
    for (title, rows) in sections {
        // Writing to a string can't fail.
        let _ = writeln!(page, "\n## {title}");
        for Row { code, layer, cause, fix, example, .. } in rows {
            let _ = writeln!(
                page,
                "\n### `{code}`\n\n```text\n{example}\n```\n\n**Where:** {layer}. {cause}\n\n**What to do:** {fix}"
            );
        }
    }
    page
}

impl Row {
    fn is_in(&self, lower: &str) -> bool {
        self.patterns.iter().any(|pattern| {
            let mut rest = Some(lower);
            for part in pattern.split('…') {
                rest = rest.and_then(|text| Some(&text[text.find(part)? + part.len()..]));
            }
            rest.is_some()
        })
    }
}

/// Returns the word after `mark`.
fn after<'t>(text: &'t str, mark: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(mark)?;
    let word =
        rest.split(|c: char| c.is_whitespace() || "\"',;)".contains(c)).find(|w| !w.is_empty())?;
    Some(word.trim_end_matches('.'))
}

#[cfg(test)]
mod tests;
