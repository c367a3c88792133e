//! The literal text at both ends of a pattern, which is all that filters in S3 and policies in IAM
//! can express.

use super::{Part, Pattern, Segment};

impl Pattern {
    /// Returns `true` if the pattern matches exactly one key.
    pub fn is_literal(&self) -> bool {
        self.segments.iter().all(|segment| segment.literal().is_some())
    }

    /// Returns the literal text that every matching key begins with, and the literal text that it
    /// ends with.
    ///
    /// The two never overlap within a key. Without a wildcard, the first is the whole key and the
    /// second is empty.
    pub fn literal_ends(&self) -> (String, String) {
        let is_open = |segment: &Segment| segment.literal().is_none();
        let (Some(first_open), Some(last_open)) =
            (self.segments.iter().position(is_open), self.segments.iter().rposition(is_open))
        else {
            let literals: Vec<&str> = self.segments.iter().filter_map(Segment::literal).collect();
            return (literals.join("/"), String::new());
        };
        let mut prefix = String::new();
        for segment in &self.segments[..first_open] {
            prefix.extend(segment.literal());
            prefix.push('/');
        }
        prefix.push_str(self.segments[first_open].ends().0);
        let mut suffix = self.segments[last_open].ends().1.to_owned();
        for (at, segment) in self.segments.iter().enumerate().skip(last_open + 1) {
            // If a `**` takes no segment, only one of the two `/` around it remains, and the prefix
            // already includes it. If the `**` comes first, none remains.
            let shares_slash = at == last_open + 1
                && self.segments[last_open] == Segment::Any
                && first_open == last_open;
            if !shares_slash {
                suffix.push('/');
            }
            suffix.extend(segment.literal());
        }
        (prefix, suffix)
    }
}

impl Segment {
    /// Returns the only text that the segment matches, or `None` if it has a wildcard.
    fn literal(&self) -> Option<&str> {
        match self {
            Self::Parts(parts) => match parts.as_slice() {
                [] => Some(""),
                [Part::Literal(text)] => Some(text),
                _ => None,
            },
            Self::Any => None,
        }
    }

    /// Returns the literals before the first wildcard and after the last one.
    fn ends(&self) -> (&str, &str) {
        match self {
            Self::Any => ("", ""),
            Self::Parts(parts) => (text(parts.first()), text(parts.last())),
        }
    }
}

/// Returns the text of a literal, or an empty text for a wildcard.
fn text(part: Option<&Part>) -> &str {
    match part {
        Some(Part::Literal(text)) => text,
        _ => "",
    }
}
