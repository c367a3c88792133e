//! Judges the stacks, the deployed routes and the tables.

use super::{Gap, Place, distinct, listed, look};
use crate::chain::check::Check;
use crate::chain::link::Link;
use crate::chain::observed::{Look, Named, RouteFacts};
use crate::chain::problems::Fault;

/// Returns `true` if nothing of the stack is there: it never was, somebody deleted it, or its creation failed.
pub(super) fn is_missing(stack: &Look<String>) -> bool {
    match stack {
        Look::Seen(status) => is_gone(status),
        Look::Missing => true,
        Look::Denied(_) | Look::DeniedByOrganization(_) | Look::Failed(_) => false,
    }
}

fn is_gone(status: &str) -> bool {
    ["ROLLBACK_COMPLETE", "DELETE_COMPLETE", "REVIEW_IN_PROGRESS"].contains(&status)
}

pub(super) fn stack(place: &Place<'_>, link: Link, stack: &Named<String>) -> Check {
    let name = &stack.name;
    match look(&stack.look) {
        Ok(status) if is_gone(status) => {
            place.broken(link, name, format!("its status is {status}"), Fault::StackMissing)
        }
        Ok(status) if status.ends_with("_IN_PROGRESS") => {
            place.warn(link, name, format!("its status is {status}"), Fault::StackInProgress)
        }
        Ok(status) if status.contains("ROLLBACK") || status.ends_with("_FAILED") => {
            place.warn(link, name, format!("its status is {status}"), Fault::StackUnsettled)
        }
        Ok(status) => place.ok(link, name, format!("its status is {status}")),
        Err(Gap::Missing) => {
            place.broken(link, name, "there is no such stack in the region", Fault::StackMissing)
        }
        Err(gap) => place.gap_after(link, name, &gap, link),
    }
}

pub(super) fn routes(place: &Place<'_>, are_deployed: &Look<bool>) -> Check {
    let link = Link::Routes;
    match look(are_deployed) {
        Ok(true) => place.ok(link, place.stack, "the stack was deployed with these routes"),
        Ok(false) => {
            let evidence = "the stack was deployed with other routes";
            place.broken(link, place.stack, evidence, Fault::RoutesNotDeployed)
        }
        Err(Gap::Missing) if !place.is_stack_missing => place.unknown(
            link,
            place.stack,
            "the stack doesn't say which routes it was deployed with",
        ),
        Err(gap) => place.gap_after(link, place.stack, &gap, Link::DataStack),
    }
}

/// Judges whether the functions may announce the batches of the routes that want it; `None` if none does.
pub(super) fn announcing(
    place: &Place<'_>,
    announces: &Look<bool>,
    routes: &[RouteFacts],
) -> Option<Check> {
    let link = Link::Announcing;
    let wanted = routes.iter().filter(|route| route.announces);
    let wanted = distinct(wanted.map(|route| route.name.as_str()));
    if wanted.is_empty() {
        return None;
    }
    Some(match look(announces) {
        Ok(true) => place.ok(link, place.stack, "the functions may put the events"),
        Ok(false) => {
            let evidence = format!(
                "its parameter AnnouncesBatches isn't true, and these routes announce: {}",
                listed(wanted)
            );
            place.broken(link, place.stack, evidence, Fault::AnnouncingIsOff)
        }
        Err(gap) => place.gap_after(link, place.stack, &gap, Link::DataStack),
    })
}

/// Judges a table, and whether DynamoDB removes its expired items.
pub(super) fn table(
    place: &Place<'_>,
    link: Link,
    table: &Named<String>,
    expiry: &Look<bool>,
) -> Check {
    let name = &table.name;
    match look(&table.look) {
        // A table that is being updated can be read and written.
        Ok(status) if status == "ACTIVE" || status == "UPDATING" => match look(expiry) {
            Ok(true) => {
                place.ok(link, name, format!("its status is {status}, and expired items go"))
            }
            Ok(false) => {
                let evidence = format!("its status is {status}, and expired items stay");
                place.warn(link, name, evidence, Fault::TableItemsStay)
            }
            Err(gap) => place.gap_after(link, name, &gap, link),
        },
        Ok(status) => {
            place.broken(link, name, format!("its status is {status}"), Fault::TableNotActive)
        }
        Err(gap) => place.gap(link, name, &gap, Fault::TableMissing),
    }
}
