//! Judges each link of the chain, in the direction of the data.

use super::observed::Observations;
use super::problems::Problem;

/// The verdict on one link, for one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The link.
    pub link: Link,
    /// The verdict.
    pub status: Status,
    /// The name or ARN of the resource that the verdict is about.
    pub resource: String,
    /// The ID of its account, or `data account` or `analytics account` if the ID isn't known.
    pub account: String,
    /// What was seen, in words.
    pub evidence: String,
    /// What is wrong, and what to do about it; `None` if nothing is, or the check was skipped.
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

/// One of the two accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The data account.
    Data,
    /// The analytics account.
    Analytics,
}

/// A link of the chain. `Link::ALL` has them in the direction of the data; `code()` is stable (`LF001`), `name()` says
/// what it is, `side()` which account it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// The data account's stack.
    DataStack,
}

/// Judges what was seen, in the direction of the data.
pub fn judge(observations: &Observations) -> Vec<Check> {
    let _ = observations;
    Vec::new()
}

/// Returns the first link that is broken.
pub fn first_broken(checks: &[Check]) -> Option<&Check> {
    checks.iter().find(|check| check.status == Status::Broken)
}

/// Returns a paragraph to send to the owners of an account that nobody could look at, one for each such account.
pub fn request_to_owners(observations: &Observations) -> Vec<(Side, String)> {
    let _ = observations;
    Vec::new()
}
