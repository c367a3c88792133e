//! Hides external IDs that stand in a routes file, before any of it is shown.
//!
//! Two ways find them. The tree of a file that can be read tells exactly where a value begins and
//! ends. What the tree does not hold (comments, duplicate keys, all of a file with a syntax error) is
//! searched as text, and there rather too much is hidden than too little. A misspelt `external_id`
//! counts as one. Nothing is hidden of `${VARIABLE}`, which is no secret.
//! What cannot be found is the value of a key mangled beyond recognition.

use std::collections::BTreeMap;
use std::ops::Range;

use landfall_core::problem::{Problem, did_you_mean};
use landfall_core::yaml::{self, Content, Entry, Node};

/// A text in which external IDs are hidden; bytes and columns are where they were.
pub struct Masked<'a> {
    original: &'a str,
    text: String,
    /// What is hidden, ascending and disjoint.
    hidden: Vec<Range<usize>>,
    /// Hidden scalars as YAML reads them, by where they begin.
    scalars: BTreeMap<usize, String>,
}

impl<'a> Masked<'a> {
    /// Hides the external IDs of `original`.
    pub fn new(original: &'a str) -> Self {
        let mut found = Found::default();
        if let (Some(root), _) = yaml::read(original) {
            found.in_tree(original, &root);
        }
        found.in_text(original);
        let hidden = disjoint(found.values);
        Self { original, text: cover(original, &hidden), hidden, scalars: found.scalars }
    }

    /// The text to show.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The problem, in whose words nothing stands that is hidden at its place.
    pub fn problem(&self, problem: &Problem) -> Problem {
        let mut problem = problem.clone();
        let place = problem.place.bytes.clone();
        let first = self.hidden.partition_point(|range| range.end <= place.start);
        let here = self.hidden[first..].iter().take_while(|range| range.start < place.end);
        let mut values: Vec<&str> =
            here.filter_map(|range| self.original.get(range.clone())).collect();
        if !values.is_empty() {
            // The place itself too: what was found as text can reach further than the value.
            values.extend(self.original.get(place.clone()));
            values.extend(self.scalars.range(place).map(|(_, scalar)| scalar.as_str()));
        }
        for value in values {
            let value = value.trim().trim_matches(['"', '\'']);
            if !value.is_empty() {
                let stars = "*".repeat(value.chars().count());
                problem.message = problem.message.replace(value, &stars);
                problem.hint = problem.hint.map(|hint| hint.replace(value, &stars));
            }
        }
        problem
    }
}

#[derive(Default)]
struct Found {
    /// What to hide.
    values: Vec<Range<usize>>,
    /// Where the keys stand whose values the tree told; by their beginning, their end.
    keys: BTreeMap<usize, usize>,
    /// See [`Masked::scalars`].
    scalars: BTreeMap<usize, String>,
}

impl Found {
    fn in_tree(&mut self, text: &str, node: &Node) {
        match &node.content {
            Content::Scalar(_) => {}
            Content::Sequence(items) => items.iter().for_each(|item| self.in_tree(text, item)),
            Content::Mapping(entries) => {
                for entry in entries {
                    if means_external_id(&entry.key) {
                        let Range { start, end } = entry.key_place.bytes;
                        self.keys.insert(start, end);
                        // `external_id:secret`, the space forgotten, is a key as a whole.
                        if !entry.key.chars().all(is_word) {
                            self.key(entry);
                        }
                        self.value(text, &entry.value);
                    } else {
                        self.in_tree(text, &entry.value);
                    }
                }
            }
        }
    }

    fn key(&mut self, entry: &Entry) {
        self.scalars.insert(entry.key_place.bytes.start, entry.key.clone());
        self.values.push(entry.key_place.bytes.clone());
    }

    fn value(&mut self, text: &str, value: &Node) {
        let range = value.place.bytes.clone();
        let Some(written) = text.get(range.clone()) else {
            return;
        };
        match &value.content {
            Content::Scalar(_) if is_variable(written.trim_matches(['"', '\''])) => {}
            Content::Scalar(scalar) => {
                if let Some(scalar) = scalar.as_str() {
                    self.scalars.insert(range.start, scalar.to_owned());
                }
                // An alias hides what it stands for too.
                if let Some(anchor) = written.strip_prefix('*').filter(|name| !name.is_empty()) {
                    let anchor = format!("&{anchor}");
                    let anchored = text.match_indices(&anchor);
                    self.values.extend(anchored.map(|(at, _)| at..line_end(text, at)));
                }
                // A comment behind a secret may well speak of it.
                let end = line_end(text, range.end);
                let comment = text[range.end..end].find(" #").map(|at| range.end + at..end);
                self.values.extend(comment);
                self.values.push(range);
            }
            Content::Sequence(items) => items.iter().for_each(|item| self.value(text, item)),
            Content::Mapping(entries) => {
                for entry in entries {
                    self.key(entry);
                    self.value(text, &entry.value);
                }
            }
        }
    }

    fn in_text(&mut self, text: &str) {
        let mut at = 0;
        while let Some(offset) = text[at..].find(is_word) {
            let start = at + offset;
            let rest = &text[start..];
            at = start + rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let is_told = || {
                self.keys.range(..=start).next_back().is_some_and(|(_, key_end)| start < *key_end)
            };
            if means_external_id(&text[start..at])
                && !is_told()
                && let Some(value) = value_after(text, start, at)
            {
                at = value.end;
                self.values.push(value);
            }
        }
    }
}

/// What may be the value of the word at `start..end`, if that looks like a key.
fn value_after(text: &str, start: usize, end: usize) -> Option<Range<usize>> {
    // A name in a path, a list or a template.
    let after = text[end..].trim_start_matches(['"', '\'']);
    if after.starts_with(['/', '.', ',', ']', '}']) {
        return None;
    }
    let is_between = |c: char| matches!(c, '"' | '\'' | ':' | '=' | ' ' | '\t' | '\r');
    let first_line_end = line_end(text, end);
    let separator = text[end..first_line_end].find(|c| !is_between(c));
    let value_start = separator.map_or(first_line_end, |length| end + length);
    let value = &text[value_start..first_line_end];
    if value.find('}').is_some_and(|at| is_variable(&value[..=at])) {
        return None;
    }
    let before = &text[text[..start].rfind('\n').map_or(0, |newline| newline + 1)..start];
    let indent = before.len() - before.trim_start().len();
    let is_key = text[end..value_start].contains([':', '=']);
    let is_below = is_key && (value.is_empty() || value.starts_with(['|', '>']));
    let is_comment = before.contains('#');
    let quote = text[end..value_start].chars().next_back().filter(|c| matches!(c, '"' | '\''));
    let mut is_open = quote.is_some_and(|quote| !value.contains(quote));
    let mut is_expected = is_below;
    let mut end = first_line_end;
    // A value goes on until its quote is closed, and in lines that are indented deeper.
    let goes_on = |line: &str| line.len() - line.trim_start().len() > indent;
    while end < text.len() && is_key && (is_below || !is_comment) {
        let line = &text[end + 1..line_end(text, end + 1)];
        let is_blank = line.trim().is_empty();
        if !is_blank && !is_open && !is_expected && !goes_on(line) {
            break;
        }
        is_expected &= is_blank;
        is_open &= quote.is_some_and(|quote| !line.contains(quote));
        end += 1 + line.len();
    }
    (value_start < end).then_some(value_start..end)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// The end of the line that `at` is in, its line break left out.
fn line_end(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |offset| at + offset)
}

/// `external_id`, however it is spelt.
fn means_external_id(key: &str) -> bool {
    let plain: String =
        key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    // Far shorter or longer names are no misspelling, and comparing long ones takes long.
    plain.contains("externalid")
        || ((9..=20).contains(&plain.len()) && did_you_mean(&plain, ["externalid"]).is_some())
}

fn is_variable(text: &str) -> bool {
    text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).is_some_and(|name| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

fn disjoint(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| range.start);
    let mut disjoint: Vec<Range<usize>> = Vec::new();
    for range in ranges.into_iter().filter(|range| !range.is_empty()) {
        match disjoint.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => disjoint.push(range),
        }
    }
    disjoint
}

/// The text with each character of `hidden` replaced by one of as many bytes.
fn cover(text: &str, hidden: &[Range<usize>]) -> String {
    let mut covered = String::with_capacity(text.len());
    let mut ranges = hidden.iter().peekable();
    for (at, c) in text.char_indices() {
        while ranges.next_if(|range| range.end <= at).is_some() {}
        let is_hidden = ranges.peek().is_some_and(|range| range.start <= at);
        covered.push(match c.len_utf8() {
            _ if !is_hidden || c == '\n' || c == '\r' => c,
            1 => '*',
            2 => '·',
            3 => '•',
            _ => '🔒',
        });
    }
    covered
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn everything_stays_where_it_was(
            text in "(external_id|external_id: |[a-z:=#\"' \n\r{}\\[\\]*&|ü漢🦀]){0,40}",
        ) {
            let masked = Masked::new(&text);
            let widths = |text: &str| text.chars().map(char::len_utf8).collect::<Vec<_>>();
            prop_assert_eq!(widths(masked.text()), widths(&text));
        }
    }

    #[test]
    fn overlapping_ranges_become_one() {
        assert_eq!(disjoint(vec![4..6, 8..9, 1..3, 2..5, 9..9]), [1..6, 8..9]);
    }
}
