//! Judges the functions, their concurrency, and the event source mappings that feed them.

use super::{Gap, Place, look};
use crate::chain::check::{Check, Status};
use crate::chain::link::Link;
use crate::chain::observed::{Function, FunctionState, Look, Mapping, Named};
use crate::chain::problems::Fault;

/// The links of a function.
pub(super) struct Links {
    function: Link,
    network: Link,
    concurrency: Link,
    mapping: Link,
}

pub(super) const TRIGGER: Links = Links {
    function: Link::Trigger,
    network: Link::TriggerNetwork,
    concurrency: Link::TriggerConcurrency,
    mapping: Link::TriggerMapping,
};

pub(super) const MONITOR: Links = Links {
    function: Link::Monitor,
    network: Link::MonitorNetwork,
    concurrency: Link::MonitorConcurrency,
    mapping: Link::MonitorMapping,
};

pub(super) fn function(place: &Place<'_>, links: &Links, function: &Function) -> Vec<Check> {
    let name = &function.name;
    let mut checks = vec![state(place, links.function, name, &function.state)];
    if matches!(function.state, Look::Missing) {
        let rest = [links.network, links.concurrency, links.mapping];
        checks.extend(rest.map(|link| place.skipped_after(link, name, links.function)));
        return checks;
    }
    checks.push(network(place, links, name, &function.state));
    checks.push(concurrency(place, links, name, &function.reserved_concurrency));
    if function.mappings.is_empty() {
        checks.push(place.unknown(links.mapping, name, "nobody looked for its mappings"));
    }
    checks.extend(function.mappings.iter().map(|it| mapping(place, links.mapping, name, it)));
    checks
}

fn state(place: &Place<'_>, link: Link, name: &str, state: &Look<FunctionState>) -> Check {
    let FunctionState { state, reason, .. } = match look(state) {
        Ok(state) => state,
        Err(gap) => return place.gap(link, name, &gap, Fault::FunctionMissing),
    };
    let reason = reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    let evidence = format!("its state is {state}{reason}");
    match state.as_str() {
        "Active" => place.ok(link, name, evidence),
        "Failed" => place.broken(link, name, evidence, Fault::FunctionFailed),
        _ => place.warn(link, name, evidence, Fault::FunctionNotActive),
    }
}

/// Judges how the function reaches AWS. Of a VPC, nobody looks at endpoints, routes and groups: who may see these is seldom
/// who looks here.
fn network(place: &Place<'_>, links: &Links, name: &str, state: &Look<FunctionState>) -> Check {
    match look(state) {
        Ok(FunctionState { vpc: None, .. }) => place.ok(links.network, name, "it runs in no VPC"),
        Ok(FunctionState { vpc: Some(vpc), .. }) => {
            let (evidence, more) = (format!("it runs in VPC `{vpc}`"), [("vpc", vpc.as_str())]);
            place.wrong(links.network, Status::Warn, name, evidence, Fault::FunctionInVpc, &more)
        }
        Err(gap) => place.gap_after(links.network, name, &gap, links.function),
    }
}

fn concurrency(
    place: &Place<'_>,
    links: &Links,
    name: &str,
    reserved: &Look<Option<u32>>,
) -> Check {
    let link = links.concurrency;
    match look(reserved) {
        Ok(Some(0)) => {
            let evidence = "its reserved concurrency is 0";
            place.broken(link, name, evidence, Fault::FunctionConcurrencyZero)
        }
        Ok(Some(count)) => place.ok(link, name, format!("its reserved concurrency is {count}")),
        Ok(None) => place.ok(link, name, "no concurrency is reserved"),
        Err(gap) => place.gap_after(link, name, &gap, links.function),
    }
}

fn mapping(place: &Place<'_>, link: Link, function: &str, mapping: &Named<Mapping>) -> Check {
    let queue = mapping.name.as_str();
    let Mapping { uuid, state, last_result } = match look(&mapping.look) {
        Ok(mapping) => mapping,
        Err(Gap::Missing) if !place.is_stack_missing => {
            let names = [("function", function), ("queue", queue)];
            let evidence = format!("nothing feeds `{function}` from `{queue}`");
            let fault = Fault::MappingMissing;
            return place.wrong(link, Status::Broken, queue, evidence, fault, &names);
        }
        Err(gap) => return place.gap(link, queue, &gap, Fault::MappingMissing),
    };
    let wrong = |status, evidence: String, fault| {
        place.wrong(link, status, queue, evidence, fault, &[("uuid", uuid.as_str())])
    };
    let evidence = format!("mapping `{uuid}` on `{queue}` is {state}");
    let failure = last_result.as_deref().filter(|result| result.starts_with("PROBLEM"));
    match (state.as_str(), failure) {
        ("Enabled", Some(failure)) => {
            wrong(Status::Warn, format!("{evidence}: {failure}"), Fault::MappingFails)
        }
        ("Enabled", None) => place.ok(link, queue, evidence),
        ("Creating" | "Enabling" | "Updating", _) => {
            wrong(Status::Warn, evidence, Fault::MappingUnsettled)
        }
        _ => wrong(Status::Broken, evidence, Fault::MappingDisabled),
    }
}
