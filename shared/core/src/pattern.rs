//! Key patterns: `orders/dt={dt}/{file}.csv`.
//!
//! `{name}` captures one or more characters of one segment (a segment is the text between two `/`).
//! `*` matches any number of characters of one segment. `**`, alone in its segment, matches any
//! number of whole segments. As the last segment, it matches at least one. `{{` and `}}` stand for
//! braces. All other text stands for itself and is case-sensitive.
//!
//! No wildcard is greedy: each one takes as little as it can, and the last one of a segment takes
//! the rest. Matching needs no backtracking inside a segment, so no key is slow to match.

mod ends;
mod example;

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A parsed key pattern.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Pattern {
    text: String,
    segments: Vec<Segment>,
}

/// The part of a pattern that matches one segment of a key, or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// `**`, which matches any number of segments, including none.
    Any,
    /// The parts of one segment. Two wildcards never follow each other.
    Parts(Vec<Part>),
}

/// A part of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// Text that the key must contain as it is.
    Literal(String),
    /// A capture with this name, which takes at least one character.
    Capture(String),
    /// `*`, which matches any number of characters.
    Star,
}

/// The reason why a text isn't a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum PatternError {
    #[error("the key pattern is empty")]
    Empty,
    #[error("`{{` is not closed")]
    Unclosed,
    #[error("`}}` without `{{`")]
    Unopened,
    #[error("`{{{0}}}` is not a valid capture name")]
    BadName(String),
    #[error("`{{{0}}}` is used twice")]
    Repeated(String),
    #[error(
        "`{0}` and `{1}` are next to each other, so nothing says where one ends and the other begins"
    )]
    Adjacent(String, String),
    #[error("`**` shares its segment with other text")]
    SharedDoubleStar,
    #[error("`**` follows `**`")]
    RepeatedDoubleStar,
    #[error("`**` is used more than {MAX_DOUBLE_STARS} times")]
    TooManyDoubleStars,
    #[error("the shortest key that could match has {0} bytes, but S3 allows at most 1,024")]
    TooLong(usize),
}

/// The maximum number of `**` in a pattern. Nobody needs more, and each one multiplies the ways to
/// match.
pub const MAX_DOUBLE_STARS: usize = 4;

/// The maximum length of an object key, in bytes.
const MAX_KEY_BYTES: usize = 1024;

impl PatternError {
    /// Returns the way to fix it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Empty => "`**` matches every key",
            Self::Unclosed | Self::Unopened => {
                "write `{{` and `}}` for braces that are part of the key"
            }
            Self::BadName(name) if name.contains([',', '.']) => {
                "patterns have no alternatives and no ranges: write a route for each, or `{name}` for any text; \
                 write `{{` and `}}` for braces that are part of the key"
            }
            Self::BadName(_) => {
                "a name consists of lower-case letters, digits and `_`, and begins with a letter"
            }
            Self::Repeated(_) => "give each capture its own name",
            Self::Adjacent(..) => "put the text that separates them between the two, or remove one",
            Self::SharedDoubleStar => "write `**` alone between two `/`: `orders/**/*.csv`",
            Self::RepeatedDoubleStar | Self::TooManyDoubleStars => "one `**` is enough",
            Self::TooLong(_) => "shorten the text in it",
        }
    }
}

impl Pattern {
    /// Parses `text`.
    ///
    /// # Errors
    /// Returns the first problem with the text.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        let mut segments = Vec::new();
        let mut names: Vec<String> = Vec::new();
        for segment in text.split('/') {
            if segment == "**" {
                if segments.last() == Some(&Segment::Any) {
                    return Err(PatternError::RepeatedDoubleStar);
                }
                segments.push(Segment::Any);
                continue;
            }
            let parts = parse_parts(segment)?;
            for part in &parts {
                if let Part::Capture(name) = part {
                    if names.contains(name) {
                        return Err(PatternError::Repeated(name.clone()));
                    }
                    names.push(name.clone());
                }
            }
            segments.push(Segment::Parts(parts));
        }
        if segments.last() == Some(&Segment::Any) {
            segments.push(Segment::Parts(vec![Part::Star]));
        }
        if segments.iter().filter(|segment| **segment == Segment::Any).count() > MAX_DOUBLE_STARS {
            return Err(PatternError::TooManyDoubleStars);
        }
        let min_bytes = min_key_bytes(&segments);
        if min_bytes > MAX_KEY_BYTES {
            return Err(PatternError::TooLong(min_bytes));
        }
        Ok(Self { text: text.to_owned(), segments })
    }

    /// Returns the segments. A trailing `**` has become `**` and `*`.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Returns the names of all captures, in the order of the text.
    pub fn capture_names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().flat_map(Segment::capture_names)
    }

    /// Returns the names of the captures before the last `/`, whose values all objects of a folder
    /// share.
    pub fn folder_capture_names(&self) -> impl Iterator<Item = &str> {
        self.segments[..self.segments.len() - 1].iter().flat_map(Segment::capture_names)
    }

    /// Matches `key` and returns each capture's name and value, in the order of the text. Returns
    /// `None` if the pattern doesn't match.
    pub fn captures<'k>(&self, key: &'k str) -> Option<Vec<(&str, &'k str)>> {
        let key: Vec<&str> = key.split('/').collect();
        // The index of the key's segment that each segment of the pattern took.
        let mut taken = vec![0; self.segments.len()];
        // Where to continue if the segments after a `**` don't match: one segment further on.
        let mut retry: Option<(usize, usize)> = None;
        let (mut p, mut k) = (0, 0);
        while k < key.len() || p < self.segments.len() {
            match self.segments.get(p) {
                Some(Segment::Any) => {
                    retry = Some((p, k));
                    p += 1;
                }
                Some(Segment::Parts(parts)) if k < key.len() && matches(parts, key[k]) => {
                    taken[p] = k;
                    p += 1;
                    k += 1;
                }
                _ => {
                    let (any, from) = retry.filter(|(_, from)| *from < key.len())?;
                    retry = Some((any, from + 1));
                    (p, k) = (any + 1, from + 1);
                }
            }
        }
        let mut captures = Vec::new();
        for (segment, k) in self.segments.iter().zip(taken) {
            if let Segment::Parts(parts) = segment {
                segment_captures(parts, key[k], &mut captures)?;
            }
        }
        Some(captures)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        Self::parse(&text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Segment {
    fn capture_names(&self) -> impl Iterator<Item = &str> {
        let parts = match self {
            Self::Any => &[],
            Self::Parts(parts) => parts.as_slice(),
        };
        parts.iter().filter_map(|part| match part {
            Part::Capture(name) => Some(name.as_str()),
            _ => None,
        })
    }
}

/// Returns `true` if `segment` matches `parts`.
pub fn matches(parts: &[Part], segment: &str) -> bool {
    match parts {
        [] => segment.is_empty(),
        [Part::Literal(literal)] => literal == segment,
        [Part::Star] => true,
        _ => wildcard_ranges(parts, segment, |_| {}).is_some(),
    }
}

fn segment_captures<'p, 'k>(
    parts: &'p [Part],
    segment: &'k str,
    captures: &mut Vec<(&'p str, &'k str)>,
) -> Option<()> {
    let mut wildcards = parts.iter().filter(|part| !matches!(part, Part::Literal(_)));
    wildcard_ranges(parts, segment, |range| {
        if let Some(Part::Capture(name)) = wildcards.next() {
            captures.push((name.as_str(), &segment[range]));
        }
    })
}

/// Calls `take` with the range of `segment` that each wildcard of `parts` takes. Returns `None` if
/// the segment doesn't match.
///
/// Placing each literal as far left as possible leaves the most room for the literals after it. So
/// if any placement succeeds, the leftmost one does.
fn wildcard_ranges(
    parts: &[Part],
    segment: &str,
    mut take: impl FnMut(Range<usize>),
) -> Option<()> {
    let mut at = 0;
    let mut rest = parts;
    if let Some((Part::Literal(prefix), behind)) = rest.split_first() {
        if !segment.starts_with(prefix.as_str()) {
            return None;
        }
        at = prefix.len();
        rest = behind;
    }
    let mut end = segment.len();
    if let Some((Part::Literal(suffix), before)) = rest.split_last() {
        if !segment[at..].ends_with(suffix.as_str()) {
            return None;
        }
        end -= suffix.len();
        rest = before;
    }
    // What is left is a wildcard followed by pairs of a literal and a wildcard, or nothing.
    let mut wildcard = match rest.split_first() {
        Some((wildcard, behind)) => {
            rest = behind;
            wildcard
        }
        None => return (at == end).then_some(()),
    };
    while let [Part::Literal(literal), next, behind @ ..] = rest {
        let from = at + min_taken_bytes(wildcard, &segment[at..end])?;
        let found = from + segment[from..end].find(literal.as_str())?;
        take(at..found);
        at = found + literal.len();
        wildcard = next;
        rest = behind;
    }
    min_taken_bytes(wildcard, &segment[at..end])?;
    take(at..end);
    Some(())
}

/// Returns the length, in bytes, of the shortest key that `segments` match.
fn min_key_bytes(segments: &[Segment]) -> usize {
    let of_part = |part: &Part| match part {
        Part::Literal(text) => text.len(),
        Part::Capture(_) => 1,
        Part::Star => 0,
    };
    let of_segment = |segment: &Segment| match segment {
        Segment::Any => None,
        Segment::Parts(parts) => Some(parts.iter().map(of_part).sum::<usize>()),
    };
    let lengths: Vec<usize> = segments.iter().filter_map(of_segment).collect();
    lengths.iter().sum::<usize>() + lengths.len().saturating_sub(1)
}

/// Returns the minimum number of bytes that a wildcard takes of `text`, or `None` if `text` is too
/// short for it.
fn min_taken_bytes(wildcard: &Part, text: &str) -> Option<usize> {
    match wildcard {
        Part::Capture(_) => text.chars().next().map(char::len_utf8),
        _ => Some(0),
    }
}

fn parse_parts(segment: &str) -> Result<Vec<Part>, PatternError> {
    let mut parts: Vec<Part> = Vec::new();
    let mut rest = segment;
    while let Some(at) = rest.find(['{', '}', '*']) {
        push_literal(&mut parts, &rest[..at]);
        let (part, length) = match &rest[at..] {
            text if text.starts_with("{{") || text.starts_with("}}") => {
                push_literal(&mut parts, &text[..1]);
                rest = &text[2..];
                continue;
            }
            text if text.starts_with("**") => return Err(PatternError::SharedDoubleStar),
            text if text.starts_with('*') => (Part::Star, 1),
            text if text.starts_with('}') => return Err(PatternError::Unopened),
            text => {
                let close = text.find('}').ok_or(PatternError::Unclosed)?;
                let name = &text[1..close];
                if !is_name(name) {
                    return Err(PatternError::BadName(name.to_owned()));
                }
                (Part::Capture(name.to_owned()), close + 1)
            }
        };
        if let Some(before) = parts.last().filter(|part| !matches!(part, Part::Literal(_))) {
            return Err(PatternError::Adjacent(before.to_string(), part.to_string()));
        }
        parts.push(part);
        rest = &rest[at + length..];
    }
    push_literal(&mut parts, rest);
    Ok(parts)
}

/// Appends `text` to the last part if that is a literal, so that an escaped brace doesn't split a
/// literal in two.
fn push_literal(parts: &mut Vec<Part>, text: &str) {
    if text.is_empty() {
        return;
    }
    match parts.last_mut() {
        Some(Part::Literal(literal)) => literal.push_str(text),
        _ => parts.push(Part::Literal(text.to_owned())),
    }
}

/// Returns `true` if `text` can be the name of a capture.
pub fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => f.write_str(text),
            Self::Capture(name) => write!(f, "{{{name}}}"),
            Self::Star => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests;
