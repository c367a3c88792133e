//! Shows an explanation as text. It escapes keys and everything else from outside.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use landfall_core::arrivals::Arrival;
use landfall_core::batch::{ClaimMode, Closing, Draft, RefusalReason, Scope};
use landfall_core::packed::List;
use landfall_core::plan::JobRunRequest;
use landfall_core::problem::did_you_mean;
use landfall_core::routes::{Access, Action, Route, SizeLimits, Verdict};

use super::Explanation;
use crate::state::claim_mode;
use crate::terminal::escape::shown;
use crate::terminal::phrases::{counted, size};
use crate::terminal::printable;

/// The most buckets to name in a hint.
const MAX_BUCKETS: usize = 8;

/// Returns the explanation as lines of text.
pub(super) fn print(explanation: &Explanation<'_>) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut out, explanation);
    out
}

fn write(out: &mut String, explanation: &Explanation<'_>) -> fmt::Result {
    let Explanation { subject, plan, .. } = explanation;
    let delivery = &subject.delivery;
    for (message, error) in &delivery.unreadable {
        if let Some(id) = &delivery.message_ids[*message] {
            write!(out, "message `{}`: ", printable(id))?;
        }
        writeln!(out, "{} [{}]\n", printable(&error.to_string()), error.code())?;
    }
    if delivery.ignored.total() > 0 {
        writeln!(out, "ignored: {}, which create no object\n", delivery.ignored)?;
    }
    for (number, arrival) in delivery.arrivals.iter().enumerate() {
        write_arrival(out, explanation, arrival, delivery.message_id(number))?;
        writeln!(out)?;
    }
    for request in &plan.requests {
        write_request(out, explanation, request)?;
        writeln!(out)?;
    }
    for refusal in &plan.refusals {
        let uri = delivery.arrivals.get(refusal.arrival).map(Arrival::uri).unwrap_or_default();
        let reason = printable(&refusal.reason.to_string());
        writeln!(
            out,
            "route `{}` can't start anything for {}: {reason} [{}]",
            refusal.route,
            printable(&uri),
            refusal.reason.code(),
        )?;
        match &refusal.reason {
            RefusalReason::UnknownValue { value, .. } if subject.is_uri => {
                if value == "event_time" {
                    writeln!(out, "  an event has it: try --event-time 2026-01-31T23:59:59Z")?;
                }
            }
            _ => writeln!(out, "  so nothing in its message starts")?,
        }
        writeln!(out)?;
    }
    let is_in_question = delivery.arrivals.iter().any(|arrival| {
        let routes = explanation.routes.routes.iter();
        routes.filter_map(|route| route.size_in_question(arrival)).next().is_some()
    });
    let runs = plan.requests.iter().filter(|it| it.draft.start.has_job()).count();
    let would = match (runs, plan.requests.len() - runs) {
        (0, 0) => return writeln!(out, "nothing would start"),
        (runs, 0) => format!("{} would start", counted(runs, "job run")),
        (0, alone) => format!("no job run would start, {} be announced", counted(alone, "batch")),
        (runs, alone) => {
            let (runs, alone) = (counted(runs, "job run"), counted(alone, "batch"));
            format!("{runs} would start, and {alone} without a job be announced")
        }
    };
    match (is_in_question, subject.is_uri) {
        (false, _) => writeln!(out, "{would}"),
        (true, true) => {
            writeln!(out, "{would} if the size fits: say how large the object is with --size BYTES")
        }
        (true, false) => writeln!(out, "{would} if the size fits, which the event doesn't tell"),
    }
}

fn write_arrival(
    out: &mut String,
    explanation: &Explanation<'_>,
    arrival: &Arrival,
    message_id: Option<&str>,
) -> fmt::Result {
    let routes = &explanation.routes.routes;
    write!(out, "{} ({}", printable(&arrival.uri()), size(arrival.size))?;
    if let Some(version) = &arrival.version_id {
        write!(out, ", version {}", printable(version))?;
    }
    if let Some(id) = message_id {
        write!(out, ", in message `{}`", printable(id))?;
    }
    writeln!(out, ")")?;
    let of_bucket: Vec<&Route> =
        routes.iter().filter(|route| route.bucket == arrival.bucket).collect();
    let mut is_taken = false;
    for route in &of_bucket {
        let verdict = route.judge(arrival);
        is_taken |= matches!(verdict, Verdict::Matches(_) | Verdict::Marker(_));
        writeln!(out, "  {}: {}", route.name, in_words(route, arrival, &verdict))?;
    }
    if of_bucket.is_empty() {
        return write_no_bucket(out, routes, &arrival.bucket);
    }
    match routes.len() - of_bucket.len() {
        0 => {}
        1 => writeln!(out, "  1 more route, of another bucket")?,
        more => writeln!(out, "  {more} more routes, of other buckets")?,
    }
    if !is_taken
        && explanation.subject.is_uri
        && let Some(escape) = url_escape(&arrival.key)
    {
        writeln!(out, "  note: the key is taken as written; `{escape}` in it is not decoded")?;
    }
    Ok(())
}

fn write_no_bucket(out: &mut String, routes: &List<Route>, bucket: &str) -> fmt::Result {
    let buckets: BTreeSet<&str> = routes.iter().map(|route| route.bucket.as_str()).collect();
    write!(out, "  no route for bucket `{}`; ", printable(bucket))?;
    if let Some(meant) = did_you_mean(bucket, buckets.iter().copied()) {
        return writeln!(out, "{meant}");
    }
    let shown: Vec<&str> = buckets.iter().copied().take(MAX_BUCKETS).collect();
    write!(out, "the routes are for `{}`", shown.join("`, `"))?;
    match buckets.len() - shown.len() {
        0 => writeln!(out),
        more => writeln!(out, " and {more} more"),
    }
}

/// Returns the verdict of a route on an arrival as words for people.
pub fn in_words(route: &Route, arrival: &Arrival, verdict: &Verdict<'_>) -> String {
    match verdict {
        Verdict::Matches(captures) => {
            let captures = captures.iter();
            let captures = captures.map(|(name, value)| format!("{name} = `{}`", printable(value)));
            let condition = route.size_in_question(arrival).map(condition);
            let parts = ["matches".to_owned()].into_iter().chain(captures).chain(condition);
            parts.collect::<Vec<_>>().join(", ")
        }
        Verdict::Marker(_) => "the marker of its folder".to_owned(),
        Verdict::OtherBucket => "another bucket".to_owned(),
        Verdict::OtherKey => {
            format!("the key doesn't match `{}`", printable(&route.key.to_string()))
        }
        Verdict::DirectoryMarker => "a directory marker: an empty object whose key ends with `/` \
             (`where.directory_markers: true` lets it pass)"
            .to_owned(),
        Verdict::TooSmall { bytes, min_bytes } => {
            format!("too small: {}, `where.min_bytes` is {min_bytes}", size(Some(*bytes)))
        }
        Verdict::TooLarge { bytes, max_bytes } => {
            format!("too large: {}, `where.max_bytes` is {max_bytes}", size(Some(*bytes)))
        }
    }
}

/// Says which sizes a route takes, where the size is unknown.
fn condition(SizeLimits { min_bytes, max_bytes }: SizeLimits) -> String {
    let limits = [
        min_bytes.map(|min| format!("at least {}", size(Some(min)))),
        max_bytes.map(|max| format!("at most {}", size(Some(max)))),
    ];
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    format!("but only if it has {}", limits.join(" and "))
}

fn write_request(
    out: &mut String,
    explanation: &Explanation<'_>,
    request: &JobRunRequest,
) -> fmt::Result {
    let Draft { route, group, start, .. } = &request.draft;
    if start.has_job() {
        write!(out, "start job `{}` in `{}`", printable(&start.job), start.target)?;
        if let Some(target) = explanation.routes.targets.get(&start.target) {
            write!(out, " (account {}, {})", target.account, target.region)?;
        }
    } else {
        write!(out, "start no job and announce the batch")?;
    }
    let objects = counted(request.objects, "object");
    writeln!(out, " by route `{route}`: {objects}, {}", size(request.bytes))?;
    for (name, value) in group {
        writeln!(out, "  group {name} = `{}`", shown(value))?;
    }
    let of_route = explanation.routes.routes.iter().find(|it| it.name == *route);
    if let Some(reconcile) = of_route.and_then(|it| it.reconcile.as_ref()) {
        let [every, back] = [reconcile.every, reconcile.look_back].map(|it| period(it.as_secs()));
        let what = match reconcile.action {
            Action::Start => "puts what is in no batch into one",
            Action::Report => "says what is in no batch",
        };
        let how = match &reconcile.inventory {
            Some(_) => "reads the newest inventory for",
            None => "lists",
        };
        writeln!(out, "  every {every}, Landfall {how} the objects of the last {back} and {what}")?;
        if let Some(prefix) = &reconcile.prune_by_date {
            writeln!(out, "  it lists only below the dates of `{}`", shown(&prefix.to_string()))?;
        }
    }
    if !start.has_job() {
        return writeln!(out, "  announced {}", when(&request.draft));
    }
    if start.announce {
        writeln!(out, "  an event on EventBridge says that the batch has closed")?;
    }
    for (name, value) in &request.arguments {
        writeln!(out, "  {} {}", printable(name), shown(value))?;
    }
    write!(out, "  and from Landfall {}", explanation.added.join(", "))?;
    if start.scope == Scope::Batch {
        write!(
            out,
            ", --landfall-scope batch\n  with scope `batch`: the run can assume only the reader role"
        )?;
    }
    if start.claim == ClaimMode::Optional {
        write!(out, "\n  with claim `optional`: {}", claim_mode(start.claim))?;
    }
    if of_route.is_some_and(|it| it.access == Access::BucketPolicy) {
        write!(out, "\n  with access `bucket_policy`: the job reads with its own role")?;
    }
    writeln!(out, "\n  starts {}", when(&request.draft))
}

/// Returns when a batch closes and its job run starts.
fn when(draft: &Draft) -> String {
    let Closing { window_secs, quiet_secs, settle_secs, max_objects } = draft.closing;
    if draft.closing.is_at_once() {
        return "at once".to_owned();
    }
    let mut ends = Vec::new();
    if let Some(secs) = window_secs {
        ends.push(format!("{} after the first arrival of its batch", period(secs)));
    }
    if let Some(secs) = quiet_secs {
        ends.push(format!("when nothing has arrived for {}", period(secs)));
    }
    if let Some(most) = max_objects {
        ends.push(format!("with {}", counted(most, "object")));
    }
    if !draft.markers.is_empty() {
        ends.push(format!("{} after this marker", period(settle_secs)));
    }
    match ends.as_slice() {
        [one] => one.clone(),
        _ => format!("as soon as one is true: {}", ends.join("; ")),
    }
}

/// Returns a length of time as a routes file writes it.
fn period(secs: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let whole = units.iter().find(|(unit, _)| secs >= *unit && secs.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{secs}s"), |(unit, name)| format!("{}{name}", secs / unit))
}

/// Returns the first `%XX` of a key.
fn url_escape(key: &str) -> Option<&str> {
    key.match_indices('%')
        .filter_map(|(at, _)| key.get(at..at + 3))
        .find(|escape| escape.bytes().skip(1).all(|byte| byte.is_ascii_hexdigit()))
}
