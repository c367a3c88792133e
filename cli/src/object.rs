//! What can be said of an object besides what the ledger has: whether S3 has it, and which route takes it. `find` says
//! it of an object that the ledger doesn't know, and `doctor --object` of any.
//!
//! A look that fails says so, and nothing about the object.

mod document;
mod routes;
mod text;

use landfall_core::arrivals::Arrival;
use landfall_core::chain::object::{Answer, Answers, Head, ON_ITS_WAY};
use landfall_core::chain::observed::Look;
use landfall_core::moment::Time;
use landfall_core::routes::{Route, Verdict};

pub use self::document::ObjectEntry;
pub use self::routes::{Known, deployed, from_file, stack_of};
use crate::explain::text::in_words;

/// What is known of an object.
#[derive(Debug)]
pub struct Object {
    /// What S3 says.
    pub head: Look<Head>,
    /// The object as its event would show it, as far as that is known.
    arrival: Arrival,
    /// The routes, or why they aren't known.
    pub routes: Result<Known, String>,
}

impl Object {
    pub fn new(bucket: &str, key: &str, head: Look<Head>, routes: Result<Known, String>) -> Self {
        let Head { size, version_id, etag, .. } = head.seen().cloned().unwrap_or_default();
        let arrival = Arrival {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            size,
            etag,
            version_id,
            sequencer: None,
            event_time: None,
            listing: None,
        };
        Self { head, arrival, routes }
    }

    /// Returns `true` if the object is so new that its event may be on its way, unless no route takes it.
    pub fn may_arrive(&self, now: Time) -> bool {
        let Some(modified) = self.head.seen().and_then(|head| head.modified) else { return false };
        now.since(modified) < ON_ITS_WAY && (self.routes.is_err() || self.takers().next().is_some())
    }

    /// Returns the routes that take the object, as a member or as a marker.
    pub fn takers(&self) -> impl Iterator<Item = &Route> {
        self.of_bucket().filter(|route| is_taken(&route.judge(&self.arrival)))
    }

    /// Returns what each route of the bucket says, or why nobody knows.
    pub fn answers(&self) -> Result<Answers, String> {
        let known = self.routes.as_ref().map_err(Clone::clone)?;
        let answer = |route: &Route| {
            let verdict = route.judge(&self.arrival);
            let words = in_words(route, &self.arrival, &verdict);
            Answer { route: route.name.clone(), takes: is_taken(&verdict), words }
        };
        Ok(Answers { from: known.name(), routes: self.of_bucket().map(answer).collect() })
    }

    fn of_bucket(&self) -> impl Iterator<Item = &Route> {
        let routes = self.routes.iter().flat_map(|known| known.routes.routes.iter());
        routes.filter(|route| route.bucket == self.arrival.bucket)
    }
}

fn is_taken(verdict: &Verdict<'_>) -> bool {
    matches!(verdict, Verdict::Matches(_) | Verdict::Marker(_))
}

#[cfg(test)]
mod tests;
