//! Shows an explanation as one JSON document. Other programs rely on this form.

use std::collections::BTreeMap;

use landfall_core::arrivals::{Arrival, Ignored};
use landfall_core::batch::{ClaimMode, Closing, Draft, Scope};
use landfall_core::packed::List;
use landfall_core::plan::{JobRunRequest, Refusal};
use landfall_core::routes::{Route, Routes, SizeLimits, Verdict};
use serde::Serialize;

use super::Explanation;
use crate::terminal::output;

#[derive(Serialize)]
struct Document<'a> {
    arrivals: Vec<ArrivalEntry<'a>>,
    unreadable: Vec<UnreadableEntry<'a>>,
    ignored: Ignored,
    plan: PlanEntry<'a>,
    /// The arguments that every job gets besides those in the plan.
    arguments_added: &'a [&'static str],
}

#[derive(Serialize)]
struct PlanEntry<'a> {
    requests: Vec<RequestEntry<'a>>,
    refusals: &'a [Refusal],
    unmatched: &'a [usize],
}

#[derive(Serialize)]
struct RequestEntry<'a> {
    batch_id: &'a str,
    route: &'a str,
    /// `null` if no job starts, as is `job`.
    target: Option<&'a str>,
    job: Option<&'a str>,
    /// Whether an event says that the batch has closed.
    announce: bool,
    group: &'a BTreeMap<String, String>,
    arguments: &'a BTreeMap<String, String>,
    objects: usize,
    bytes: Option<u64>,
    arrivals: &'a [usize],
    scope: Scope,
    claim: ClaimMode,
    /// How the job reads, in the word of the routes.
    access: &'static str,
    closing: Closing,
    /// How often the bucket is listed for what S3 never announced; left out if it never is.
    #[serde(skip_serializing_if = "Option::is_none")]
    reconcile: Option<ReconcileEntry>,
}

#[derive(Serialize)]
struct ReconcileEntry {
    every_secs: u64,
    look_back_secs: u64,
    grace_secs: u64,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    inventory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prune_by_date: Option<String>,
}

#[derive(Serialize)]
struct ArrivalEntry<'a> {
    bucket: &'a str,
    key: &'a str,
    size: Option<u64>,
    etag: Option<&'a str>,
    version_id: Option<&'a str>,
    sequencer: Option<&'a str>,
    event_time: Option<String>,
    message_id: Option<&'a str>,
    /// The verdicts of the routes of this bucket.
    verdicts: Vec<RouteEntry<'a>>,
    routes_of_other_buckets: usize,
}

/// The verdict of a route.
#[derive(Serialize)]
pub struct RouteEntry<'a> {
    route: &'a str,
    #[serde(flatten)]
    verdict: VerdictEntry<'a>,
}

#[derive(Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
enum VerdictEntry<'a> {
    Matches {
        captures: BTreeMap<&'a str, &'a str>,
        /// Set if the size is unknown, and the route takes only some sizes.
        #[serde(skip_serializing_if = "Option::is_none")]
        only_if: Option<SizeEntry>,
    },
    Marker {
        captures: BTreeMap<&'a str, &'a str>,
    },
    OtherKey {
        pattern: String,
    },
    DirectoryMarker,
    TooSmall {
        bytes: u64,
        min_bytes: u64,
    },
    TooLarge {
        bytes: u64,
        max_bytes: u64,
    },
}

#[derive(Serialize)]
struct SizeEntry {
    min_bytes: Option<u64>,
    max_bytes: Option<u64>,
}

#[derive(Serialize)]
struct UnreadableEntry<'a> {
    message_id: Option<&'a str>,
    code: &'static str,
    error: String,
}

/// Returns the document with a line end.
pub(super) fn print(explanation: &Explanation<'_>) -> String {
    let Explanation { routes, subject, plan, added } = explanation;
    let delivery = &subject.delivery;
    let arrivals = delivery.arrivals.iter().enumerate();
    let unreadable = delivery.unreadable.iter();
    let document = Document {
        arrivals: arrivals
            .map(|(number, arrival)| {
                arrival_entry(&routes.routes, arrival, delivery.message_id(number))
            })
            .collect(),
        unreadable: unreadable
            .map(|(message, error)| UnreadableEntry {
                message_id: delivery.message_ids[*message].as_deref(),
                code: error.code(),
                error: error.to_string(),
            })
            .collect(),
        ignored: delivery.ignored.clone(),
        plan: PlanEntry {
            requests: plan.requests.iter().map(|it| request_entry(routes, it)).collect(),
            refusals: &plan.refusals,
            unmatched: &plan.unmatched,
        },
        arguments_added: added,
    };
    output::json(&document)
}

fn request_entry<'a>(routes: &Routes, request: &'a JobRunRequest) -> RequestEntry<'a> {
    let JobRunRequest { batch_id, draft, arguments, objects, bytes, arrivals } = request;
    let Draft { route, group, start, closing, .. } = draft;
    let of_route = routes.routes.iter().find(|it| it.name == *route);
    let reconcile = of_route.and_then(|it| it.reconcile.as_ref()).map(|it| ReconcileEntry {
        every_secs: it.every.as_secs(),
        look_back_secs: it.look_back.as_secs(),
        grace_secs: it.grace.as_secs(),
        action: it.action.as_str(),
        inventory: it.inventory.as_ref().map(ToString::to_string),
        prune_by_date: it.prune_by_date.as_ref().map(ToString::to_string),
    });
    RequestEntry {
        batch_id,
        route,
        target: start.has_job().then_some(&start.target),
        job: start.has_job().then_some(&start.job),
        announce: start.announce,
        group,
        arguments,
        objects: *objects,
        bytes: *bytes,
        arrivals,
        scope: start.scope,
        claim: start.claim,
        access: of_route.map(|it| it.access).unwrap_or_default().as_str(),
        closing: *closing,
        reconcile,
    }
}

fn arrival_entry<'a>(
    routes: &'a List<Route>,
    arrival: &'a Arrival,
    message_id: Option<&'a str>,
) -> ArrivalEntry<'a> {
    let verdicts: Vec<RouteEntry<'a>> =
        routes.iter().filter_map(|route| route_entry(route, arrival)).collect();
    ArrivalEntry {
        bucket: &arrival.bucket,
        key: &arrival.key,
        size: arrival.size,
        etag: arrival.etag.as_deref(),
        version_id: arrival.version_id.as_deref(),
        sequencer: arrival.sequencer.as_deref(),
        event_time: arrival.event_time.map(|time| time.to_string()),
        message_id,
        routes_of_other_buckets: routes.len() - verdicts.len(),
        verdicts,
    }
}

/// Returns the verdict of a route; `None` for a route of another bucket.
pub fn route_entry<'a>(route: &'a Route, arrival: &'a Arrival) -> Option<RouteEntry<'a>> {
    let verdict = match route.judge(arrival) {
        Verdict::OtherBucket => return None,
        Verdict::Matches(captures) => {
            let limits = route.size_in_question(arrival);
            let entry = |SizeLimits { min_bytes, max_bytes }| SizeEntry { min_bytes, max_bytes };
            let captures = captures.into_iter().collect();
            VerdictEntry::Matches { captures, only_if: limits.map(entry) }
        }
        Verdict::Marker(captures) => {
            VerdictEntry::Marker { captures: captures.into_iter().collect() }
        }
        Verdict::OtherKey => VerdictEntry::OtherKey { pattern: route.key.to_string() },
        Verdict::DirectoryMarker => VerdictEntry::DirectoryMarker,
        Verdict::TooSmall { bytes, min_bytes } => VerdictEntry::TooSmall { bytes, min_bytes },
        Verdict::TooLarge { bytes, max_bytes } => VerdictEntry::TooLarge { bytes, max_bytes },
    };
    Some(RouteEntry { route: &route.name, verdict })
}
