//! Reconciliation: which part of a route's bucket is listed, and when, for objects that S3 never announced.
//!
//! A pass lists everything below what the route's keys begin with, in as many runs as it takes. [`Reconciliation`] is what
//! the ledger keeps of a route, so that each run goes on where the one before ended. What a page has for the route,
//! [`sift`](crate::backfill::sift) says.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arrivals::Listing;
use crate::audit::{Finding, State};
use crate::backfill::{Counts, Selection};
use crate::chain::problems::Severity;
use crate::moment::Time;
use crate::routes::{Action, Reconcile, Route};

/// The version of the ledger's item.
const VERSION: u32 = 1;

/// The most keys that are kept as examples of what a pass misses.
const MAX_EXAMPLES: usize = 10;

/// What the ID of each listing of a pass begins with.
const ID: &str = "reconciliation-";

/// What the ledger keeps of a route's reconciliation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciliation {
    /// The version of the item's shape.
    pub v: u32,
    /// The name of the route.
    pub route: String,
    /// The route's bucket.
    pub bucket: String,
    /// The route's key pattern.
    pub key: String,
    /// The route's first deployment. Objects written before are left alone.
    pub since: Time,
    /// When it was written last.
    pub updated_at: Time,
    /// The pass that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass: Option<Pass>,
    /// The last pass that has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Pass>,
    /// Since when each pass has missed something. `None` if the last one missed nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_since: Option<Time>,
    /// The number of writes.
    #[serde(skip)]
    pub revision: u64,
}

/// One listing of everything below what a route's keys begin with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// When it began.
    pub started_at: Time,
    /// When it ended. `None` as long as it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// It looks at objects that were written at this time or later.
    pub from: Time,
    /// It looks at objects that were written before this time.
    pub until: Time,
    /// The last key that it is done with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// What it has found so far. What it misses counts as taken.
    pub counts: Counts,
    /// The first keys of what it misses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
}

impl Reconciliation {
    /// Returns what is known of a route that was not reconciled before. `deployed_at` is when the stack was changed last.
    /// If the ledger has a batch of the route, `first_batch` is when the first one was opened: then the route was there.
    pub fn new(route: &Route, deployed_at: Time, first_batch: Option<Time>, now: Time) -> Self {
        Self {
            v: VERSION,
            route: route.name.clone(),
            bucket: route.bucket.clone(),
            key: route.key.to_string(),
            since: first_batch.map_or(deployed_at, |first| first.min(deployed_at)),
            updated_at: now,
            pass: None,
            last: None,
            missing_since: None,
            revision: 0,
        }
    }

    /// Returns `true` if the route still has the bucket and the key. Otherwise, nobody knows what was deployed when.
    pub fn is_of(&self, route: &Route) -> bool {
        self.bucket == route.bucket && self.key == route.key.to_string()
    }

    /// Returns it for a route whose bucket or key has changed, which counts as a new one.
    #[must_use]
    pub fn changed(&self, route: &Route, deployed_at: Time, now: Time) -> Self {
        let Self { missing_since, revision, .. } = *self;
        Self { missing_since, revision, ..Self::new(route, deployed_at, None, now) }
    }

    /// Returns it for a route that isn't reconciled any more: nothing is open. Returns `None` if it is so already. What was
    /// deployed when stays known.
    #[must_use]
    pub fn retired(&self) -> Option<Self> {
        let retired = Self { pass: None, last: None, missing_since: None, ..self.clone() };
        (retired != *self).then_some(retired)
    }

    /// Returns it with a pass under way: the one that is, or a new one if it is time. Returns `None` if it isn't.
    #[must_use]
    pub fn begun(&self, reconcile: &Reconcile, now: Time) -> Option<Self> {
        if self.pass.is_some() {
            return Some(self.clone());
        }
        let last = self.last.as_ref();
        if last.is_some_and(|last| now < last.started_at + reconcile.every) {
            return None;
        }
        let Reconcile { look_back, grace, .. } = *reconcile;
        let until = now - grace;
        // If a pass was late or took long, the next one begins where it ended, but not at any time in the past: the route
        // may have been away in between.
        let reached = last.map_or(until, |last| last.until);
        let from = reached.min(now - look_back).max(now - look_back - look_back).max(self.since);
        let (counts, examples) = (Counts::default(), Vec::new());
        let (ended_at, after) = (None, None);
        let pass = Pass { started_at: now, ended_at, from, until, after, counts, examples };
        (from < until).then(|| Self { pass: Some(pass), ..self.clone() })
    }

    /// Returns it after a page of the pass that is under way. `missed` are the keys that the page misses, and `after` is
    /// the last key that it is done with; `None` ends the pass.
    #[must_use]
    pub fn after_page<'k>(
        &self,
        found: Counts,
        missed: impl Iterator<Item = &'k str>,
        after: Option<String>,
        now: Time,
    ) -> Self {
        let mut next = Self { updated_at: now, ..self.clone() };
        let Some(mut pass) = next.pass.take() else { return next };
        pass.counts += found;
        let room = MAX_EXAMPLES.saturating_sub(pass.examples.len());
        pass.examples.extend(missed.take(room).map(str::to_owned));
        pass.after = after;
        if pass.after.is_some() {
            return Self { pass: Some(pass), ..next };
        }
        pass.ended_at = Some(now);
        let is_missing = pass.counts.taken > 0;
        let missing_since = is_missing.then(|| next.missing_since.unwrap_or(pass.started_at));
        Self { missing_since, last: Some(pass), ..next }
    }

    /// Returns how far it has come: what was written before, and after the first deployment, is known.
    pub fn reached(&self) -> Time {
        self.last.as_ref().map_or(self.since, |last| last.until)
    }

    /// Returns the detail of the event that announces what became of it with the pass that has just ended; `None` if
    /// nothing did. `before` is how it was. The event has the shape of those about findings.
    pub fn event(&self, before: &Self, whose: &Whose<'_>, action: Action) -> Option<Value> {
        let last = self.last.as_ref()?;
        let (state, first_seen) = match (before.missing_since, self.missing_since) {
            (None, Some(since)) => (State::Open, since),
            (Some(since), None) => (State::Resolved, since),
            _ => return None,
        };
        let Whose { stack, account, region } = whose;
        let Self { route, bucket, .. } = self;
        let count = last.counts.taken;
        let examples: Vec<String> =
            last.examples.iter().map(|key| format!("s3://{bucket}/{key}")).collect();
        let (severity, cause, fix) = match action {
            Action::Start => (
                Severity::Medium,
                "S3 has announced nothing of these objects, or the event got lost. They are put into batches.",
                "Find out whether a notification rule of the bucket was changed for a while.",
            ),
            Action::Report => (
                Severity::High,
                "S3 has announced nothing of these objects, or the event got lost. No job run gets them.",
                "Find out whether a notification rule of the bucket was changed for a while, and have the objects processed.",
            ),
        };
        let evidence = match count {
            0 => "a pass misses nothing any more".to_owned(),
            1 => format!("1 object of the route is in no batch: {}", examples.concat()),
            _ => format!(
                "{count} objects of the route are in no batch, such as {}",
                examples.join(", ")
            ),
        };
        let command = matches!((action, state), (Action::Report, State::Open))
            .then(|| format!("landfall backfill --route {route} --dry-run"));
        let last_seen = before.last.as_ref().filter(|_| count == 0).unwrap_or(last).started_at;
        let finding = Finding {
            id: format!("reconciliation/arrivals_missed/{route}"),
            state,
            link: "reconciliation".to_owned(),
            link_name: "what S3 announces".to_owned(),
            code: "arrivals_missed".to_owned(),
            severity,
            resource: format!("s3://{bucket}"),
            account: (*account).to_owned(),
            evidence,
            cause: cause.to_owned(),
            fix: fix.to_owned(),
            command,
            first_seen,
            last_seen,
            resolved_at: last.ended_at.filter(|_| count == 0),
        };
        let mut event = finding.event(stack, region);
        event["route"] = route.as_str().into();
        event["missed"] = count.into();
        event["examples"] = examples.into();
        Some(event)
    }
}

/// Whose reconciliation an event is about.
#[derive(Debug, Clone, Copy)]
pub struct Whose<'a> {
    /// The name of the data account's stack.
    pub stack: &'a str,
    /// The ID of the data account.
    pub account: &'a str,
    /// Its region.
    pub region: &'a str,
}

impl Pass {
    /// Returns which objects of the bucket it looks at.
    pub fn selection(&self, route: &Route) -> Selection {
        let (prefix, _) = route.key.literal_ends();
        let (route, bucket) = (route.name.clone(), route.bucket.clone());
        Selection { route, bucket, prefix, since: Some(self.from), until: Some(self.until) }
    }

    /// Returns the listing that its messages name.
    pub fn listing(&self, route: &str) -> Listing {
        let at = self.started_at.to_string().replace(['-', ':'], "");
        let (id, route) = (format!("{ID}{at}"), route.to_owned());
        Listing { id, route, again: false, max_runs_per_hour: None }
    }

    /// Returns how long it has been at work, or was.
    pub fn length(&self, now: Time) -> Duration {
        self.ended_at.unwrap_or(now).since(self.started_at)
    }
}

/// Returns when the pass began that a listing with this ID belongs to; `None` if it belongs to none.
pub fn pass_of(listing: &str) -> Option<Time> {
    let digits = listing.strip_prefix(ID)?;
    let part = |range| digits.get(range);
    let (year, month, day) = (part(0..4)?, part(4..6)?, part(6..8)?);
    let (hour, minute, second) = (part(9..11)?, part(11..13)?, digits.get(13..)?);
    Time::parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}"))
}

#[cfg(test)]
mod tests;
