//! Hides external IDs before a command shows a line of a routes file.
//!
//! The search is rough on purpose, because the file is often one that does not parse. It hides what
//! follows a word that looks like `external_id` to the end of the line, and the lines that may
//! continue it. Only `${VARIABLE}`, which is no secret, stays.

use landfall_core::problem::did_you_mean;

/// Returns `text` with external IDs hidden. Every character keeps its place and its length in bytes.
pub fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    // The indentation of the line whose value may continue.
    let mut open: Option<usize> = None;
    for line in text.split_inclusive(['\n', '\r']) {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        let goes_on = open.is_some_and(|outer| {
            content.is_empty() || indent > outer || content.starts_with([':', '-', ']', '}'])
        });
        let from = if goes_on { Some(0) } else { value_of_external_id(line) };
        let (shown, hidden) = line.split_at(from.unwrap_or(line.len()));
        masked.push_str(shown);
        masked.extend(hidden.chars().map(hide));
        if !goes_on {
            open = from.map(|_| indent);
        }
    }
    masked
}

/// Returns where in the line a possible external ID begins.
fn value_of_external_id(line: &str) -> Option<usize> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let mut at = 0;
    while let Some(offset) = line[at..].find(is_word) {
        let start = at + offset;
        at = start + line[start..].find(|c| !is_word(c)).unwrap_or(line.len() - start);
        if !means_external_id(&line[start..at]) {
            continue;
        }
        let is_between = |c: char| c.is_whitespace() || "\"':=".contains(c);
        let between = line[at..].find(|c| !is_between(c)).unwrap_or(line.len() - at);
        match variable(&line[at + between..]) {
            Some(length) => at += between + length,
            None => return Some(at + between),
        }
    }
    None
}

/// Recognises `external_id` in any spelling, misspellings included.
fn means_external_id(word: &str) -> bool {
    let plain: String = word.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.to_ascii_lowercase();
    // Much shorter or longer names are no misspellings, and comparing long ones is slow.
    plain.contains("externalid")
        || ((9..=20).contains(&plain.len()) && did_you_mean(&plain, ["externalid"]).is_some())
}

/// Returns the length of the `${VARIABLE}` that `text` begins with.
fn variable(text: &str) -> Option<usize> {
    let (name, _) = text.strip_prefix("${")?.split_once('}')?;
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_name.then_some("${}".len() + name.len())
}

/// Returns a stand-in with the same length in bytes. Line ends stay.
fn hide(c: char) -> char {
    match c.len_utf8() {
        _ if c == '\n' || c == '\r' => c,
        1 => '*',
        2 => '·',
        3 => '•',
        _ => '🔒',
    }
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
            let widths = |text: &str| text.chars().map(char::len_utf8).collect::<Vec<_>>();
            prop_assert_eq!(widths(&mask(&text)), widths(&text));
        }
    }
}
