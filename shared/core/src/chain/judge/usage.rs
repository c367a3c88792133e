//! Judges whether the routes are used, so that nobody keeps permissions for nothing.

use std::time::Duration;

use super::{Place, look};
use crate::chain::check::Check;
use crate::chain::link::Link;
use crate::chain::observed::{RouteFacts, Watch};
use crate::chain::problems::Fault;
use crate::moment::Time;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Returns a check for each route.
pub(super) fn usage(
    place: &Place<'_>,
    watch: &Watch,
    routes: &[RouteFacts],
    at: Time,
) -> Vec<Check> {
    routes.iter().map(|route| of_route(place, watch, &route.name, at)).collect()
}

fn of_route(place: &Place<'_>, watch: &Watch, route: &str, at: Time) -> Check {
    let link = Link::Usage;
    let Some(usage) = watch.routes.get(route) else {
        return place.unknown(link, route, "nobody looked for its batches");
    };
    let usage = match look(usage) {
        Ok(usage) => usage,
        Err(gap) => return place.gap_after(link, route, &gap, Link::Ledger),
    };
    let newest = match usage.newest {
        Some(newest) => format!("its newest batch began at {newest}"),
        None => format!("no batch began since {}", usage.since),
    };
    if usage.idle(at) < watch.unused_after {
        return place.ok(link, route, newest);
    }
    let days = watch.unused_after.as_secs() / DAY.as_secs();
    let evidence = format!("{newest}, and the auditor has looked for {days} days or more");
    place.warn(link, route, evidence, Fault::GrantUnused)
}
