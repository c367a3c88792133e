//! Finds what S3 would refuse before Landfall sends it.
//!
//! S3 refuses two rules for the same event type that could both match one key, whatever their
//! destinations are. Its response doesn't say which rule is in the way.

use std::collections::BTreeSet;
use std::fmt;

use super::{Configuration, EVENT, Entry, Filter, Kind, MAX_RULES};

/// The reason why our rules can't coexist with the others. Only a change to one side helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// All pairs of a rule of ours and another rule that overlap. There is at least one.
    Overlaps(Vec<Overlap>),
    /// The bucket would have more rules than S3 allows.
    TooManyRules {
        /// The number of our rules.
        ours: usize,
        /// The number of all other rules.
        others: usize,
    },
}

/// A rule of ours and another one that S3 doesn't accept together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// The filter of our rule.
    pub ours: Filter,
    /// The kind of the other rule.
    pub kind: Kind,
    /// The other rule.
    pub other: Entry,
    /// `true` if the other rule sends to the same queue.
    pub is_same_queue: bool,
}

impl Conflict {
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Overlaps(_) => "notifications_overlap",
            Self::TooManyRules { .. } => "notifications_too_many",
        }
    }

    /// Returns the way to fix it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Overlaps(overlaps) => {
                if overlaps.iter().all(|overlap| overlap.is_same_queue) {
                    "remove the other rule: Landfall adds its own"
                } else if overlaps.iter().any(Overlap::is_of_landfall) {
                    "rules whose ID begins with `landfall-` belong to another deployment: remove \
                     that deployment, or put all routes of the bucket into one"
                } else {
                    "narrow the other rule or the routes' keys, or use EventBridge as the \
                     destination, which conflicts with no rule"
                }
            }
            Self::TooManyRules { .. } => {
                "make routes share the beginning and the end of their keys, or use EventBridge \
                 as the destination, which needs no rules"
            }
        }
    }
}

impl Overlap {
    fn is_of_landfall(&self) -> bool {
        self.other.id.as_deref().is_some_and(|id| id.starts_with("landfall-"))
    }
}

/// Checks that rules that send `filters` to `queue` can coexist with the rules of `others`.
pub(crate) fn check(
    others: &Configuration,
    queue: &str,
    filters: &BTreeSet<&Filter>,
) -> Result<(), Conflict> {
    let mut overlaps = Vec::new();
    for (kind, other) in others.rules() {
        if !other.events.iter().any(|event| is_same_event(event, EVENT)) {
            continue;
        }
        let filter = other.filter();
        overlaps.extend(filters.iter().filter(|ours| ours.overlaps(&filter)).map(|ours| Overlap {
            ours: (*ours).clone(),
            kind,
            other: other.clone(),
            is_same_queue: kind == Kind::Queue && other.arn == queue,
        }));
    }
    if !overlaps.is_empty() {
        return Err(Conflict::Overlaps(overlaps));
    }
    let (ours, others) = (filters.len(), others.rules().count());
    if ours > 0 && ours + others > MAX_RULES {
        return Err(Conflict::TooManyRules { ours, others });
    }
    Ok(())
}

/// Returns `true` if one event can be of both types: `s3:ObjectCreated:*` includes every type with
/// the same beginning.
fn is_same_event(a: &str, b: &str) -> bool {
    let has = |type_: &str, event: &str| {
        type_ == event || type_.strip_suffix('*').is_some_and(|stem| event.starts_with(stem))
    };
    has(a, b) || has(b, a)
}

impl std::error::Error for Conflict {}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overlaps(overlaps) => {
                for (at, overlap) in overlaps.iter().enumerate() {
                    let separator = if at == 0 { "" } else { "; " };
                    write!(f, "{separator}{overlap}")?;
                }
            }
            Self::TooManyRules { ours, others } => write!(
                f,
                "a bucket can have at most {MAX_RULES} notification rules: there are {others} \
                 others, and the routes need {ours}"
            )?,
        }
        write!(f, " ({})", self.hint())
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ours, kind, other, is_same_queue } = self;
        let id = other.id.as_deref().unwrap_or("");
        let filter = other.filter();
        if *is_same_queue {
            return write!(
                f,
                "the bucket already has a rule for the same queue: `{id}` for {filter} overlaps \
                 ours for {ours}"
            );
        }
        let kind = match kind {
            Kind::Topic => "topic",
            Kind::Queue => "queue",
            Kind::Function => "function",
        };
        write!(
            f,
            "rule `{id}`, which sends `{}` for {filter} to {kind} `{}`, overlaps ours for {ours}",
            other.events.join("`, `"),
            other.arn,
        )
    }
}
