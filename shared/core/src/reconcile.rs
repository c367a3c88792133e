//! Reconciliation: which part of a route's bucket is listed, and when, for objects that S3 never announced.
//!
//! A pass lists everything below what the route's keys begin with, in as many runs as it takes. [`Reconciliation`] is what
//! the ledger keeps of a route, so that each run goes on where the one before ended. What a page has for the route,
//! [`sift`](crate::backfill::sift) says. [`inventory`](crate::inventory) and [`dates`](crate::dates) have what a pass can list
//! instead of all that, and `reach` what it takes to be allowed to.

mod reach;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::reach::Reach;
use crate::arrivals::Listing;
use crate::audit::{Finding, State};
use crate::backfill::{Counts, Place, Row, Selection, Source};
use crate::chain::problems::Severity;
use crate::inventory::INVENTORY_LAG;
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
    /// What was missing until a pass missed nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// The number of writes.
    #[serde(skip)]
    pub revision: u64,
}

/// From when to when passes missed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When the first of these passes began.
    pub since: Time,
    /// When the last of them began.
    pub last_seen: Time,
    /// When a pass ended that missed nothing.
    pub at: Time,
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
    /// What names the objects: the bucket, or an inventory of it.
    #[serde(default, skip_serializing_if = "Source::is_bucket")]
    pub source: Source,
    /// What is done about what it misses.
    #[serde(default)]
    pub action: Action,
    /// The last key that it is done with, if it lists the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How far it came, if an inventory names the objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<Row>,
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
            ended: None,
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
        let (pass, last, missing_since, ended) = (None, None, None, None);
        let retired = Self { pass, last, missing_since, ended, ..self.clone() };
        (retired != *self).then_some(retired)
    }

    /// Returns it without the pass under way, of which the objects aren't named any more. The next one is due at once.
    #[must_use]
    pub fn without_pass(&self) -> Self {
        Self { pass: None, ..self.clone() }
    }

    /// Returns `true` if no pass is under way, and it is time for the next one.
    pub fn is_due(&self, reconcile: &Reconcile, now: Time) -> bool {
        let was_long_ago = |last: &Pass| now >= last.started_at + reconcile.every;
        self.pass.is_none() && self.last.as_ref().is_none_or(was_long_ago)
    }

    /// Returns it with a pass under way: the one that is, or a new one if it is time. Returns `None` if it isn't. The new one
    /// reads `inventory` if there is one, with its manifest as `source`. Then it looks at nothing that could be missing there,
    /// and isn't begun if the pass before came as far.
    #[must_use]
    pub fn begun(
        &self,
        reconcile: &Reconcile,
        inventory: Option<(Source, Time)>,
        now: Time,
    ) -> Option<Self> {
        if self.pass.is_some() {
            return Some(self.clone());
        }
        if !self.is_due(reconcile, now) {
            return None;
        }
        let Reconcile { look_back, grace, action, .. } = *reconcile;
        let last = self.last.as_ref();
        let (source, until) = match inventory {
            None => (Source::Bucket, now - grace),
            Some((source, taken_at)) => (source, (now - grace).min(taken_at - INVENTORY_LAG)),
        };
        if !source.is_bucket() && last.is_some_and(|last| last.until >= until) {
            return None;
        }
        // If a pass was late or took long, the next one begins where it ended, but not at any time in the past: the route
        // may have been away in between.
        let (reached, end) = (last.map_or(until, |last| last.until), until + grace);
        let from = reached.min(end - look_back).max(end - look_back - look_back).max(self.since);
        let (counts, examples) = (Counts::default(), Vec::new());
        let (ended_at, after, row) = (None, None, None);
        let pass = Pass {
            started_at: now,
            ended_at,
            from,
            until,
            source,
            action,
            after,
            row,
            counts,
            examples,
        };
        (from < until).then(|| Self { pass: Some(pass), ..self.clone() })
    }

    /// Returns it after a page of the pass that is under way. `missed` are the keys that the page misses, and `after` is
    /// the place up to which it is done; `None` ends the pass.
    #[must_use]
    pub fn after_page<'k>(
        &self,
        found: Counts,
        missed: impl Iterator<Item = &'k str>,
        after: Option<Place>,
        now: Time,
    ) -> Self {
        let mut next = Self { updated_at: now, ..self.clone() };
        let Some(mut pass) = next.pass.take() else { return next };
        pass.counts += found;
        let room = MAX_EXAMPLES.saturating_sub(pass.examples.len());
        pass.examples.extend(missed.take(room).map(str::to_owned));
        let is_last = after.is_none();
        (pass.after, pass.row) = Place::to_keep(after);
        if !is_last {
            return Self { pass: Some(pass), ..next };
        }
        pass.ended_at = Some(now);
        let is_missing = pass.counts.taken > 0;
        let missing_since = is_missing.then(|| next.missing_since.unwrap_or(pass.started_at));
        let ended = match next.missing_since {
            Some(since) if !is_missing => {
                let last_seen = next.last.as_ref().map_or(since, |last| last.started_at);
                Some(Ended { since, last_seen, at: now })
            }
            _ => next.ended.filter(|_| !is_missing),
        };
        Self { missing_since, ended, last: Some(pass), ..next }
    }

    /// Returns how far it has come: what was written before, and after the first deployment, is known.
    pub fn reached(&self) -> Time {
        self.last.as_ref().map_or(self.since, |last| last.until)
    }

    /// Returns the detail of the event that announces what became of it with the pass that has just ended; `None` if
    /// nothing did. `before` is how it was. The event has the shape of those about findings.
    pub fn event(&self, before: &Self, whose: &Whose<'_>) -> Option<Value> {
        if before.missing_since.is_some() == self.missing_since.is_some() {
            return None;
        }
        let Whose { stack, account, region } = whose;
        let last = self.last.as_ref()?;
        let mut event = self.finding(account)?.event(stack, region);
        event["route"] = self.route.as_str().into();
        event["missed"] = last.counts.taken.into();
        event["examples"] = self.examples(last).into();
        Some(event)
    }

    fn examples(&self, of: &Pass) -> Vec<String> {
        of.examples.iter().map(|key| format!("s3://{}/{key}", self.bucket)).collect()
    }

    /// Returns the finding that it is: open as long as each pass misses something, resolved by the first that misses
    /// nothing. Returns `None` if no pass has missed anything. `account` is the data account's ID.
    pub fn finding(&self, account: &str) -> Option<Finding> {
        let last = self.last.as_ref()?;
        let (state, first_seen, last_seen, resolved_at) = match (self.missing_since, self.ended) {
            (Some(since), _) => (State::Open, since, last.started_at, None),
            (None, Some(Ended { since, last_seen, at })) => {
                (State::Resolved, since, last_seen, Some(at))
            }
            (None, None) => return None,
        };
        let Self { route, bucket, .. } = self;
        let (count, examples) = (last.counts.taken, self.examples(last));
        let (severity, cause, fix) = match last.action {
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
        let evidence = match (state, count) {
            (State::Resolved, _) => "a pass misses nothing any more".to_owned(),
            (_, 1) => format!("1 object of the route is in no batch: {}", examples.concat()),
            _ => format!(
                "{count} objects of the route are in no batch, such as {}",
                examples.join(", ")
            ),
        };
        let command = matches!((last.action, state), (Action::Report, State::Open))
            .then(|| format!("landfall backfill --route {route} --dry-run"));
        Some(Finding {
            id: format!("reconciliation/arrivals_missed/{route}"),
            state,
            link: "reconciliation".to_owned(),
            link_name: "what S3 announces".to_owned(),
            code: "arrivals_missed".to_owned(),
            severity,
            resource: format!("s3://{bucket}"),
            account: account.to_owned(),
            evidence,
            cause: cause.to_owned(),
            fix: fix.to_owned(),
            command,
            first_seen,
            last_seen,
            resolved_at,
        })
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

    /// Returns the place up to which it is done; `None` at the beginning.
    pub fn place(&self) -> Option<Place> {
        Place::kept(self.after.as_deref(), self.row)
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
