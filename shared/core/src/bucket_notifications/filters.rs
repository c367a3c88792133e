//! The filters for a bucket's notifications: prefixes and suffixes that admit every key of every
//! route, and as few other keys as S3's filters allow.

use std::collections::BTreeSet;
use std::fmt;

use crate::pattern::Pattern;

/// A filter on the beginning and the end of keys. An empty prefix or suffix admits every key.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter {
    /// The text that keys begin with.
    pub prefix: String,
    /// The text that keys end with.
    pub suffix: String,
}

/// The filters of a bucket, and what they admit beyond the literal ends of the patterns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters {
    /// The filters, sorted. No two of them overlap.
    pub filters: Vec<Filter>,
    /// The widenings, sorted. None of them loses an event, but each one costs invocations for
    /// objects that no route takes.
    pub widenings: Vec<Widening>,
}

/// The reason why S3 sends events for more objects than the literal ends of the routes' patterns
/// say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Widening {
    /// The literal beginning of a route's key is cut before its first unsafe character.
    Prefix {
        /// The name of the route.
        route: String,
        /// The literal beginning.
        text: String,
        /// What the filter keeps of it.
        cut_to: String,
    },
    /// The literal end of a route's key is cut after its last unsafe character.
    Suffix {
        /// The name of the route.
        route: String,
        /// The literal end.
        text: String,
        /// What the filter keeps of it.
        cut_to: String,
    },
    /// S3 refuses filters that overlap, so a wider one replaces them.
    Merged {
        /// The filters that overlap.
        filters: Vec<Filter>,
        /// The filter that replaces them.
        into: Filter,
    },
}

impl Filter {
    /// Returns `true` if S3 refuses the two filters for the same event type: one key could begin
    /// with both prefixes and end with both suffixes. (Amazon S3 User Guide, "Configuring event
    /// notifications using object key name filtering".)
    pub fn overlaps(&self, other: &Self) -> bool {
        let (a, b) = (self, other);
        (a.prefix.starts_with(&b.prefix) || b.prefix.starts_with(&a.prefix))
            && (a.suffix.ends_with(&b.suffix) || b.suffix.ends_with(&a.suffix))
    }

    /// Returns `true` if S3 sends events for `key`.
    pub fn admits(&self, key: &str) -> bool {
        key.starts_with(&self.prefix) && key.ends_with(&self.suffix)
    }

    /// Returns the narrowest filter that admits everything that either of two overlapping filters
    /// admits.
    fn join(self, other: Self) -> Self {
        let shorter = |a: String, b: String| if b.len() < a.len() { b } else { a };
        Self {
            prefix: shorter(self.prefix, other.prefix),
            suffix: shorter(self.suffix, other.suffix),
        }
    }
}

impl Filters {
    /// Computes the filters for the routes of one bucket, each given as name and key pattern. Their
    /// order doesn't matter.
    pub fn of<'a>(routes: impl IntoIterator<Item = (&'a str, &'a Pattern)>) -> Self {
        let mut widenings = BTreeSet::new();
        let mut wanted = BTreeSet::new();
        for (route, pattern) in routes {
            let (text, end) = pattern.literal_ends();
            let prefix = &text[..text.find(|c| !is_safe(c)).unwrap_or(text.len())];
            if prefix.len() < text.len() {
                let (route, cut_to) = (route.to_owned(), prefix.to_owned());
                widenings.insert(Widening::Prefix { route, text: text.clone(), cut_to });
            }
            let behind = end.char_indices().rfind(|(_, c)| !is_safe(*c));
            let suffix = &end[behind.map_or(0, |(at, c)| at + c.len_utf8())..];
            if suffix.len() < end.len() {
                let (route, cut_to) = (route.to_owned(), suffix.to_owned());
                widenings.insert(Widening::Suffix { route, text: end.clone(), cut_to });
            }
            wanted.insert(Filter { prefix: prefix.to_owned(), suffix: suffix.to_owned() });
        }
        let filters = joined(&wanted);
        for filter in &filters {
            // A filter overlaps all filters that were merged into it, and no others.
            if !wanted.contains(filter) {
                let into_it = wanted.iter().filter(|wanted| wanted.overlaps(filter));
                widenings.insert(Widening::Merged {
                    filters: into_it.cloned().collect(),
                    into: filter.clone(),
                });
            }
        }
        Self { filters, widenings: widenings.into_iter().collect() }
    }
}

/// Returns filters that admit everything that `wanted` admits, and of which no two overlap.
///
/// A filter that overlaps one of two filters also overlaps their join, so the result doesn't depend
/// on the order in which they are joined.
fn joined(wanted: &BTreeSet<Filter>) -> Vec<Filter> {
    let mut filters: Vec<Filter> = Vec::new();
    for filter in wanted {
        let mut filter = filter.clone();
        while let Some(at) = filters.iter().position(|other| other.overlaps(&filter)) {
            filter = filter.join(filters.swap_remove(at));
        }
        filters.push(filter);
    }
    filters.sort();
    filters
}

/// Returns `true` if S3 reads this character of a filter literally.
///
/// S3 requires "special characters" of filters to be URL-encoded, but doesn't list them. It calls
/// the characters here safe for keys. A filter with a character that is encoded but shouldn't be,
/// or the other way round, would never match, and events would get lost silently. (`*` is safe too,
/// but filters must not contain it.)
fn is_safe(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!-_.'()/".contains(c)
}

/// Decodes each `%XX` in the value of a filter rule and leaves everything else as it is. A `+`
/// stays too: our filters contain neither `+` nor spaces, so it makes no difference.
pub(crate) fn decoded(value: &str) -> String {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = value.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = digit(bytes.get(at + 1)).zip(digit(bytes.get(at + 2)));
        let code = code.and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
        let (byte, width) = match code.filter(|_| bytes[at] == b'%') {
            Some(byte) => (byte, 3),
            None => (bytes[at], 1),
        };
        decoded.push(byte);
        at += width;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Writes ``prefix `in/`, suffix `.csv` ``, or `all keys`.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.prefix.as_str(), self.suffix.as_str()) {
            ("", "") => f.write_str("all keys"),
            (prefix, "") => write!(f, "prefix `{prefix}`"),
            ("", suffix) => write!(f, "suffix `{suffix}`"),
            (prefix, suffix) => write!(f, "prefix `{prefix}`, suffix `{suffix}`"),
        }
    }
}

impl fmt::Display for Widening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix { route, text, cut_to } => write!(
                f,
                "route `{route}`: S3 sends events for all keys that begin with `{cut_to}`, not only \
                 with `{text}`, which has characters that aren't safe in a filter"
            ),
            Self::Suffix { route, text, cut_to } => write!(
                f,
                "route `{route}`: S3 sends events for all keys that end with `{cut_to}`, not only \
                 with `{text}`, which has characters that aren't safe in a filter"
            ),
            Self::Merged { filters, into } => {
                write!(
                    f,
                    "S3 refuses filters that overlap, so it sends events for {into} instead of "
                )?;
                for (at, filter) in filters.iter().enumerate() {
                    let separator = if at == 0 { "" } else { " and " };
                    write!(f, "{separator}({filter})")?;
                }
                Ok(())
            }
        }
    }
}
