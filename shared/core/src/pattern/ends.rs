//! The literal text at both ends of a pattern: what can be said of its keys to S3 and to IAM.

use super::{Part, Pattern, Segment};

impl Pattern {
    /// Whether it matches one key and no other.
    pub fn is_literal(&self) -> bool {
        self.segments.iter().all(|segment| segment.literal().is_some())
    }

    /// The literal text that every matching key begins with, and the one that it ends with.
    ///
    /// The two share no character of any key: without a wildcard the first is everything and the
    /// second empty.
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
            // A `**` that takes no segment leaves one `/` of the two around it, which the prefix has
            // already if there is one, and none if it comes first.
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
    /// The only text that it matches, if there is only one.
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

    /// The literals before its first wildcard and behind its last.
    fn ends(&self) -> (&str, &str) {
        match self {
            Self::Any => ("", ""),
            Self::Parts(parts) => (text(parts.first()), text(parts.last())),
        }
    }
}

/// The text of a literal; nothing for a wildcard.
fn text(part: Option<&Part>) -> &str {
    match part {
        Some(Part::Literal(text)) => text,
        _ => "",
    }
}
