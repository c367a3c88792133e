//! Arrivals → groups → requests: a pure function.
//!
//! The plan leaves whoever carries it out nothing to choose. It depends on the *set* of arrivals
//! only, not on their order: the same set gives the same batch ids. What the ledger knows already, a
//! repetition or a batch that is open, is not looked at here.

mod batch;

use std::collections::{BTreeMap, BTreeSet};

pub use batch::batch_id;
use serde::Serialize;

use crate::arrivals::Arrival;
use crate::batch::{Closing, Member, Scope, Start};
use crate::routes::{Routes, Verdict};

/// What some arrivals ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// In the order of the routes, then of the group keys.
    pub requests: Vec<JobRunRequest>,
    /// Matching arrivals for which no run can be asked.
    pub refusals: Vec<Refusal>,
    /// Arrivals that no route takes.
    pub unmatched: Vec<usize>,
}

/// A batch that arrivals form, or that they add to: one job run is started for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobRunRequest {
    /// Of the batch, if it opens with these arrivals; one that is open keeps its own.
    pub batch_id: String,
    pub route: String,
    /// The name of a target.
    pub target: String,
    pub job: String,
    /// The values of the captures that the route groups by.
    pub group: BTreeMap<String, String>,
    /// The route's own for `StartJobRun`, if it closes with these arrivals; names begin with `--`.
    pub arguments: BTreeMap<String, String>,
    /// The number of objects the job is to read.
    pub objects: usize,
    /// Their size; `None` if an event did not tell.
    pub bytes: Option<u64>,
    /// The arrivals that this run serves, by index: duplicates and overwritten versions too.
    pub arrivals: Vec<usize>,
    /// The object versions, sorted by key.
    #[serde(skip)]
    pub members: Vec<Member>,
    /// Versions of the group's marker.
    #[serde(skip)]
    pub markers: Vec<Member>,
    #[serde(skip)]
    pub bucket: String,
    #[serde(skip)]
    pub start: Start,
    /// How much of the job role's permissions the run has.
    pub scope: Scope,
    pub closing: Closing,
}

/// Why no run can be asked for an arrival.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    pub arrival: usize,
    pub route: String,
    pub reason: RefusalReason,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    #[error("the value of `{argument}` would begin with `-`, which the job would take for a name")]
    LeadingDash { argument: String },
    #[error("the value of `{argument}` would hold a NUL, which no process can be given")]
    Nul { argument: String },
    #[error("the event does not tell the `{value}` that `{argument}` needs")]
    UnknownValue { argument: String, value: String },
    #[error("the arguments have {bytes} bytes, a run is given {limit} at most")]
    ArgumentsTooLong { bytes: usize, limit: usize },
}

impl RefusalReason {
    /// A stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::LeadingDash { .. } => "argument_leading_dash",
            Self::Nul { .. } => "argument_nul",
            Self::UnknownValue { .. } => "argument_unknown_value",
            Self::ArgumentsTooLong { .. } => "arguments_too_long",
        }
    }
}

/// Decides what to start. Every arrival that a route takes is in exactly one request or refusal of
/// that route.
pub fn plan(routes: &Routes, arrivals: &[Arrival]) -> Plan {
    plan_some(routes, arrivals, 0..arrivals.len())
}

/// Decides what to start for arrivals that came in messages; `message_of` tells each arrival's.
///
/// A message is the unit: one of which anything is refused starts nothing, since it is delivered
/// again, and its other runs would start again each time. Such messages have refusals only.
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
    let mut groups: BTreeMap<(usize, Vec<&str>), Group> = BTreeMap::new();
    let mut unmatched = Vec::new();
    let mut finder = routes.finder();
    for index in indices {
        let arrival = &arrivals[index];
        let mut is_taken = false;
        for route_index in finder.find(&arrival.bucket, &arrival.key) {
            let route = &routes.routes[route_index];
            let (captures, is_marker) = match route.judge(arrival) {
                Verdict::Matches(captures) => (captures, false),
                Verdict::Marker(captures) => (captures, true),
                _ => continue,
            };
            is_taken = true;
            let key = route.by.iter().filter_map(|name| value(&captures, name)).collect();
            let group = groups.entry((route_index, key)).or_default();
            if is_marker { &mut group.markers } else { &mut group.members }.push(index);
        }
        if !is_taken {
            unmatched.push(index);
        }
    }
    let mut plan = Plan { requests: Vec::new(), refusals: Vec::new(), unmatched };
    for ((route, _), Group { members, markers }) in &groups {
        let route = &routes.routes[*route];
        let group = batch::Group { route, target: &routes.targets[&route.target], arrivals };
        group.requests(members, markers, &mut plan);
    }
    plan
}

/// Arrivals of one group of a route.
#[derive(Default)]
struct Group {
    members: Vec<usize>,
    markers: Vec<usize>,
}

fn value<'a>(captures: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    captures.iter().find(|(n, _)| *n == name).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests;
