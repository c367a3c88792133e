//! Arrivals → groups → requests: a pure function.
//!
//! The plan leaves nothing to choose. It depends only on the *set* of arrivals, not on their order: the same set gives the
//! same batch IDs. It does not look at what the ledger knows already, such as repeated arrivals and open batches.

mod batch;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::arrivals::Arrival;
use crate::batch::{Draft, RefusalReason};
use crate::routes::{Routes, Verdict};

/// What to start for some arrivals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In the order of the routes, then of the group keys.
    pub requests: Vec<JobRunRequest>,
    /// Arrivals that match a route but cannot start a run.
    pub refusals: Vec<Refusal>,
    /// Arrivals that no route takes, by index.
    pub unmatched: Vec<usize>,
}

/// A batch that arrivals form, or that they add to. One job run is started for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRunRequest {
    /// The batch's ID if these arrivals open it. A batch that is open keeps its own.
    pub batch_id: String,
    /// What the ledger records.
    pub draft: Draft,
    /// The route's own arguments for `StartJobRun`, if the batch closes with these arrivals. Names begin with `--`.
    pub arguments: BTreeMap<String, String>,
    /// The number of objects that the job is to read.
    pub objects: usize,
    /// Their size; `None` if an event did not tell it.
    pub bytes: Option<u64>,
    /// The arrivals that this run serves, by index, duplicates and overwritten versions included.
    pub arrivals: Vec<usize>,
}

/// Why an arrival cannot start a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The index of the arrival.
    pub arrival: usize,
    /// The name of the route that took it.
    pub route: String,
    /// Why its arguments can't be made.
    pub reason: RefusalReason,
}

/// Decides what to start. Every arrival that a route takes is in exactly one request or refusal of
/// that route.
pub fn plan(routes: &Routes, arrivals: &[Arrival]) -> Plan {
    plan_some(routes, arrivals, 0..arrivals.len())
}

/// Decides what to start for arrivals that came in messages. `message_of` has the message of each arrival.
///
/// A message counts as a whole. If anything of it is refused, it starts nothing: SQS delivers it again, and its other runs
/// would start again each time. Such messages have only refusals.
pub fn plan_messages(routes: &Routes, arrivals: &[Arrival], message_of: &[usize]) -> Plan {
    let mut refusals: Vec<Refusal> = Vec::new();
    let mut refused: BTreeSet<usize> = BTreeSet::new();
    loop {
        let rest = (0..arrivals.len()).filter(|arrival| !refused.contains(&message_of[*arrival]));
        let plan = plan_some(routes, arrivals, rest);
        if plan.refusals.is_empty() {
            return Plan { refusals, ..plan };
        }
        refused.extend(plan.refusals.iter().map(|refusal| message_of[refusal.arrival]));
        refusals.extend(plan.refusals);
    }
}

fn plan_some(routes: &Routes, arrivals: &[Arrival], indices: impl Iterator<Item = usize>) -> Plan {
    let mut groups: BTreeMap<(usize, Option<&str>, Vec<&str>), Indices> = BTreeMap::new();
    let mut unmatched = Vec::new();
    let mut finder = routes.finder();
    for index in indices {
        let arrival = &arrivals[index];
        let mut is_taken = false;
        for route_index in finder.find(&arrival.bucket, &arrival.key) {
            let route = &routes.routes[route_index];
            if arrival.listing.as_ref().is_some_and(|listing| listing.route != route.name) {
                continue;
            }
            let (captures, is_marker) = match route.judge(arrival) {
                Verdict::Matches(captures) => (captures, false),
                Verdict::Marker(captures) => (captures, true),
                _ => continue,
            };
            is_taken = true;
            let key = route.by.iter().filter_map(|name| value(&captures, name)).collect();
            let group = groups
                .entry((route_index, arrival.listing.as_ref().map(|listing| &*listing.id), key))
                .or_default();
            if is_marker { &mut group.markers } else { &mut group.members }.push(index);
        }
        if !is_taken {
            unmatched.push(index);
        }
    }
    let mut plan = Plan { requests: Vec::new(), refusals: Vec::new(), unmatched };
    for ((route, listing, _), Indices { members, markers }) in &groups {
        let route = &routes.routes[*route];
        let target = routes.targets.get(&route.target);
        let group = batch::Group { route, target, listing: *listing, arrivals };
        group.requests(members, markers, &mut plan);
    }
    plan
}

/// The arrivals of one group of a route, by index.
#[derive(Default)]
struct Indices {
    members: Vec<usize>,
    markers: Vec<usize>,
}

fn value<'a>(captures: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    captures.iter().find(|(n, _)| *n == name).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests;
