//! The verdicts on the links of the chain.

use super::link::Link;
use super::problems::Problem;

/// The verdict on one link, for one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The link.
    pub link: Link,
    /// The verdict.
    pub status: Status,
    /// The name or ARN of the resource that the verdict is about. Empty if nobody looked at the account.
    pub resource: String,
    /// The ID of its account, or `data account` or `analytics account` if the ID isn't known.
    pub account: String,
    /// What was seen, in words.
    pub evidence: String,
    /// What is wrong, and what to do about it. `None` if the status is `Ok` or `Skipped`.
    pub problem: Option<Problem>,
}

/// A verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// The link works, as far as one can see.
    Ok,
    /// The link works, but something about it deserves attention.
    Warn,
    /// Nothing gets past the link.
    Broken,
    /// Nobody could look.
    Unknown,
    /// The check makes no sense, because of an earlier one.
    Skipped,
}

impl Status {
    /// Returns the word for it, such as `broken`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Broken => "broken",
            Self::Unknown => "unknown",
            Self::Skipped => "skipped",
        }
    }
}

/// Returns the first link that is broken: what to mend first.
pub fn first_broken(checks: &[Check]) -> Option<&Check> {
    checks.iter().find(|check| check.status == Status::Broken)
}
