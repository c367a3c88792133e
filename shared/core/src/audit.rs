//! What an auditor makes of the checks of the chain: findings, which are kept over time.
//!
//! A finding has the same ID in each audit, whatever its texts say. It ends only if its own check was made and didn't
//! see it any more: "couldn't look" never ends a finding, and never starts one but its own.

pub mod repair;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::chain::problems::Severity;
use crate::chain::{Check, Link, Side, Status};
use crate::moment::Time;

/// For how long AWS may show something that isn't so: a unique ID for a principal that it can't resolve at the moment,
/// or an error. Such a thing counts only if a second audit sees it that much later.
pub const CONFIRMED_AFTER: Duration = Duration::from_secs(600);

/// For how long a finding that has ended is kept.
pub const KEPT: Duration = Duration::from_secs(90 * 24 * 3_600);

/// The version of the events about findings.
const EVENT_VERSION: &str = "1";

/// The problems that need a second look.
const UNCERTAIN: [&str; 10] = [
    "bucket_policy_unique_id",
    "could_not_look",
    "denied_by_organization",
    "function_not_active",
    "key_does_not_admit",
    "mapping_fails",
    "mapping_unsettled",
    "queue_policy_unique_id",
    "table_not_active",
    "trust_unique_id",
];

/// A problem of a link of the chain, from the audit that saw it first to the one that didn't see it any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Link, problem and resource, such as `LF022/role_missing/arn:…`. It stays the same.
    pub id: String,
    /// Where the finding stands.
    pub state: State,
    /// The code of the link, such as `LF022`.
    pub link: String,
    /// What the link is, such as `the reader role`.
    pub link_name: String,
    /// The code of the problem, such as `role_missing`.
    pub code: String,
    /// How bad it is.
    pub severity: Severity,
    /// The name or ARN of the resource.
    pub resource: String,
    /// The ID of its account.
    pub account: String,
    /// What the last audit that saw it has seen, in words.
    pub evidence: String,
    /// What it means and what follows.
    pub cause: String,
    /// What to do.
    pub fix: String,
    /// The command that does it or that shows what you need to do it, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// When an audit saw it first.
    pub first_seen: Time,
    /// When an audit saw it last.
    pub last_seen: Time,
    /// When an audit didn't see it any more. `None` as long as it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Time>,
}

/// Where a finding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// One audit has seen it, and it needs a second look.
    Suspected,
    /// It is there.
    Open,
    /// It isn't there any more.
    Resolved,
}

impl State {
    /// Returns the word for it, such as `open`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Suspected => "suspected",
            Self::Open => "open",
            Self::Resolved => "resolved",
        }
    }
}

/// What an audit changes about a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The finding's ID.
    pub id: String,
    /// The finding as it was kept; `None` if it is new.
    pub before: Option<Finding>,
    /// The finding as it is now; `None` if it is forgotten, because a second look didn't confirm it.
    pub after: Option<Finding>,
}

impl Change {
    /// Returns the finding if others should hear of the change: it has opened or is resolved.
    pub fn to_announce(&self) -> Option<&Finding> {
        let state = |finding: &Option<Finding>| finding.as_ref().map(|finding| finding.state);
        let after = self.after.as_ref()?;
        let is_news = match after.state {
            State::Open => state(&self.before) != Some(State::Open),
            State::Resolved => state(&self.before) == Some(State::Open),
            State::Suspected => false,
        };
        is_news.then_some(after)
    }
}

impl Finding {
    fn new(check: &Check, now: Time) -> Option<Self> {
        let problem = check.problem.as_ref()?;
        let needs_a_second_look = UNCERTAIN.contains(&problem.code);
        Some(Self {
            id: format!("{}/{}/{}", check.link.code(), problem.code, check.resource),
            state: if needs_a_second_look { State::Suspected } else { State::Open },
            link: check.link.code().to_owned(),
            link_name: check.link.name().to_owned(),
            code: problem.code.to_owned(),
            severity: problem.severity,
            resource: check.resource.clone(),
            account: check.account.clone(),
            evidence: check.evidence.clone(),
            cause: problem.cause.to_owned(),
            fix: problem.fix.clone(),
            command: problem.command.clone(),
            first_seen: now,
            last_seen: now,
            resolved_at: None,
        })
    }

    /// Returns the finding as it is after an audit that sees it again, in the texts of that audit.
    fn seen_again(&self, seen: Self) -> Self {
        match self.state {
            // What comes back is a new finding.
            State::Resolved => seen,
            State::Suspected if seen.last_seen.since(self.first_seen) < CONFIRMED_AFTER => {
                Self { first_seen: self.first_seen, ..seen }
            }
            State::Suspected | State::Open => {
                Self { state: State::Open, first_seen: self.first_seen, ..seen }
            }
        }
    }

    /// Returns the finding as it is after an audit that made its check and doesn't see it any more.
    fn not_seen(&self, now: Time) -> Option<Self> {
        (self.state == State::Open).then(|| Self {
            state: State::Resolved,
            resolved_at: Some(now),
            ..self.clone()
        })
    }

    /// Returns the detail of the event that announces what became of the finding. Times are in RFC 3339.
    pub fn event(&self, stack: &str, region: &str) -> Value {
        json!({
            "version": EVENT_VERSION,
            "state": match self.state {
                State::Resolved => "resolved",
                State::Open | State::Suspected => "opened",
            },
            "id": self.id,
            "stack": stack,
            "account": self.account,
            "region": region,
            "severity": self.severity.name(),
            "code": self.code,
            "link": self.link,
            "linkName": self.link_name,
            "resource": self.resource,
            "evidence": self.evidence,
            "cause": self.cause,
            "fix": self.fix,
            "command": self.command,
            "firstSeen": self.first_seen.to_string(),
            "lastSeen": self.last_seen.to_string(),
            "resolvedAt": self.resolved_at.map(|time| time.to_string()),
        })
    }
}

/// Returns `true` if an auditor of this account judges the link. It leaves out the queues' contents and failed runs, which
/// have alarms of their own, what it would have to read objects for, and what takes a look at both accounts.
pub fn is_audited(link: Link, side: Side) -> bool {
    let has_others = matches!(
        link,
        Link::Routes
            | Link::Arrivals
            | Link::ArrivalsDeadLetters
            | Link::Script
            | Link::ReaderTrust
            | Link::Runs
            | Link::RunsDeadLetters
            | Link::LastRun
    );
    link.side() == side && !has_others
}

/// Returns `true` if the link is the stack itself. If its check wasn't made, nobody knows what the stack asks for.
pub fn is_of_stack(link: Link) -> bool {
    matches!(link, Link::DataStack | Link::AnalyticsStack)
}

/// Compares the checks of an audit with the findings that are kept, and returns what changes. `checks` are those of the
/// audited links. Checking twice changes nothing but the time at which a finding was last seen.
pub fn changes(kept: &[Finding], checks: &[Check], now: Time) -> Vec<Change> {
    let mut ids = BTreeSet::new();
    let seen = checks.iter().filter_map(|check| Finding::new(check, now));
    let seen: Vec<Finding> = seen.filter(|finding| ids.insert(finding.id.clone())).collect();
    let of_seen = seen.iter().map(|seen| {
        let before = kept.iter().find(|kept| kept.id == seen.id).cloned();
        let after = match &before {
            Some(before) => before.seen_again(seen.clone()),
            None => seen.clone(),
        };
        Change { id: seen.id.clone(), before, after: Some(after) }
    });
    let is_gone = |finding: &&Finding| {
        let is_seen = seen.iter().any(|seen| seen.id == finding.id);
        finding.state != State::Resolved && !is_seen && is_conclusive(finding, checks)
    };
    let of_gone = kept.iter().filter(is_gone).map(|gone| Change {
        id: gone.id.clone(),
        before: Some(gone.clone()),
        after: gone.not_seen(now),
    });
    of_seen.chain(of_gone).collect()
}

/// Returns `true` if the finding's own check was made. If there is no check of its resource any more, nothing asks for
/// the resource, which is known only if the stack and every resource of that link were looked at.
fn is_conclusive(finding: &Finding, checks: &[Check]) -> bool {
    let of_link = || checks.iter().filter(|check| check.link.code() == finding.link);
    let is_known = |check: &Check| !matches!(check.status, Status::Unknown | Status::Skipped);
    let its: Vec<&Check> = of_link().filter(|check| check.resource == finding.resource).collect();
    if !its.is_empty() {
        return its.into_iter().all(is_known);
    }
    let mut of_stack = checks.iter().filter(|check| is_of_stack(check.link)).peekable();
    of_stack.peek().is_some() && of_stack.all(is_known) && of_link().all(is_known)
}

#[cfg(test)]
mod tests;
