//! What a role that reads for a route may read: every key with the same beginning, as far as a policy can contain
//! that beginning. That may be more than the route takes.

use std::collections::BTreeSet;

use crate::pattern::{Part, Pattern, Segment};
use crate::policy::{admissible, literal};

/// The keys of a bucket that a reader role may read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// All keys with this prefix.
    Prefix(String),
    /// One key.
    Key(String),
}

impl Reach {
    /// Returns what the reader role of a route with this key may read.
    pub fn of(key: &Pattern) -> Self {
        let (prefix, _) = key.literal_ends();
        let kept = admissible(&prefix);
        let is_whole = kept == prefix && key.is_literal();
        if is_whole { Self::Key(prefix) } else { Self::Prefix(kept.to_owned()) }
    }

    /// Returns the reach that includes the whole bucket.
    pub fn everything() -> Self {
        Self::Prefix(String::new())
    }

    /// Returns the pattern that matches these keys in a policy.
    pub fn policy_pattern(&self) -> String {
        match self {
            Self::Prefix(prefix) => format!("{}*", literal(prefix)),
            Self::Key(key) => literal(key),
        }
    }

    /// Returns `true` if this reach includes all of `other`.
    pub fn holds(&self, other: &Self) -> bool {
        let (Self::Prefix(text) | Self::Key(text)) = other;
        match self {
            Self::Prefix(prefix) => text.starts_with(prefix),
            Self::Key(_) => self == other,
        }
    }
}

/// Returns the ARNs that stand in a policy for the objects of `reaches` in `bucket`.
pub fn object_arns(partition: &str, bucket: &str, reaches: &BTreeSet<Reach>) -> Vec<String> {
    let arn = |reach: &Reach| format!("arn:{partition}:s3:::{bucket}/{}", reach.policy_pattern());
    reaches.iter().map(arn).collect()
}

/// Returns the prefixes that a role with these reaches may list, as patterns of a policy, or `None` if it may list the
/// whole bucket. Before Spark reads a key, it lists what is below it, because the key could be a folder.
pub fn listed_prefixes(reaches: &BTreeSet<Reach>) -> Option<Vec<String>> {
    let listed = |reach: &Reach| match reach {
        Reach::Prefix(_) => vec![reach.policy_pattern()],
        Reach::Key(_) => vec![reach.policy_pattern(), format!("{}/", reach.policy_pattern())],
    };
    (!reaches.contains(&Reach::everything())).then(|| reaches.iter().flat_map(listed).collect())
}

/// Why a reader role may read more than the route's key says, and how much more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Widening {
    /// The role may read the whole bucket, because the key begins with a wildcard, although it doesn't match
    /// every key.
    NoBeginning,
    /// The role may read all keys with this prefix, because a policy can't contain the rest of the key's
    /// beginning. If the prefix is empty, that is the whole bucket.
    Cut(String),
}

impl Widening {
    /// Returns how the reader role of a route with this key reaches beyond the key's literal beginning, or `None`
    /// if it doesn't.
    pub fn of(key: &Pattern) -> Option<Self> {
        let (prefix, _) = key.literal_ends();
        let kept = admissible(&prefix);
        if kept != prefix {
            return Some(Self::Cut(kept.to_owned()));
        }
        (prefix.is_empty() && !takes_every_key(key)).then_some(Self::NoBeginning)
    }

    /// Returns `true` if the role may read the whole bucket.
    pub fn is_everything(&self) -> bool {
        matches!(self, Self::NoBeginning) || *self == Self::Cut(String::new())
    }

    /// Returns what the role may read, as a URI that ends with `*`.
    pub fn uri(&self, bucket: &str) -> String {
        match self {
            Self::NoBeginning => format!("s3://{bucket}/*"),
            Self::Cut(kept) => format!("s3://{bucket}/{kept}*"),
        }
    }

    /// Returns the reason, as a clause to put after a colon or "because".
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoBeginning => "its key begins with a wildcard",
            Self::Cut(_) => "a policy can't contain the rest of its key's beginning",
        }
    }
}

/// Returns `true` if the pattern matches every key. `**` does, and so does `**/{name}`, except for keys that end
/// with `/`, which are folder markers.
fn takes_every_key(key: &Pattern) -> bool {
    let is_wildcard = |parts: &[Part]| matches!(parts, [Part::Star | Part::Capture(_)]);
    matches!(key.segments(), [Segment::Any, Segment::Parts(parts)] if is_wildcard(parts))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).expect("a pattern")
    }

    #[test]
    fn a_key_that_policies_can_not_hold_widens_the_reach_to_what_they_can() {
        let cut = |kept: &str| Some(Widening::Cut(kept.to_owned()));
        for (key, reach, widening) in [
            ("orders/{file}.csv", Reach::Prefix("orders/".to_owned()), None),
            ("one/key.csv", Reach::Key("one/key.csv".to_owned()), None),
            ("dé/{file}", Reach::Prefix("dé/".to_owned()), None),
            ("dé/日本/{file}", Reach::Prefix("dé/".to_owned()), cut("dé/")),
            ("dé/日本.csv", Reach::Prefix("dé/".to_owned()), cut("dé/")),
            ("データ/{file}.csv", Reach::everything(), cut("")),
            ("データ.csv", Reach::everything(), cut("")),
            ("{file}.csv", Reach::everything(), Some(Widening::NoBeginning)),
            ("**/{file}.csv", Reach::everything(), Some(Widening::NoBeginning)),
            ("{file}", Reach::everything(), Some(Widening::NoBeginning)),
            ("**", Reach::everything(), None),
            ("**/*", Reach::everything(), None),
            ("**/{file}", Reach::everything(), None),
        ] {
            assert_eq!(Reach::of(&pattern(key)), reach, "{key}");
            assert_eq!(Widening::of(&pattern(key)), widening, "{key}");
        }
        assert_eq!(Widening::Cut("dé/".to_owned()).uri("b"), "s3://b/dé/*");
        assert!(!Widening::Cut("dé/".to_owned()).is_everything());
    }

    proptest! {
        #[test]
        fn whoever_reads_all_of_a_bucket_takes_every_key_or_is_told_of(
            key in "[*]{2}|([a日*/]|[{]a[}]){1,6}", tried in "[a日/.]{1,8}",
        ) {
            let Ok(key) = Pattern::parse(&key) else { return Ok(()) };
            let is_everything = Reach::of(&key) == Reach::everything();
            match Widening::of(&key) {
                Some(widening) => prop_assert_eq!(widening.is_everything(), is_everything),
                None if is_everything => {
                    prop_assert!(key.captures(&tried).is_some() || tried.ends_with('/'));
                }
                None => {}
            }
        }
    }
}
