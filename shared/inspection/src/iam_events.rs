//! What forwards IAM's events to an auditor in another region.

use landfall_core::chain::observed::Forwarding;

use crate::look::named;
use crate::{Clients, InIamRegion, Place, cloudformation, eventbridge};

/// Looks at the stack in IAM's region that forwards IAM's events to this place, and at its rule.
/// Returns `None` if the place is in IAM's region itself, or if nobody knows which region that is.
pub async fn forwarding(clients: &Clients, place: &Place, name_prefix: &str) -> Option<Forwarding> {
    let InIamRegion { region, cloudformation, events } = clients.in_iam_region.as_ref()?;
    let name = format!("{name_prefix}-iam-events");
    let (stack, rule) = tokio::join!(
        cloudformation::status(cloudformation, &name),
        eventbridge::rule(events, name.clone())
    );
    Some(Forwarding {
        region: region.clone(),
        bus: place.arn("events", "event-bus/default"),
        stack: named(name, stack),
        rule,
    })
}
