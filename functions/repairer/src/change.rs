//! Makes the change set, reads it back, and executes it if it does nothing but repair what is gone.

use std::collections::BTreeSet;

use landfall_aws::clock::now;
use landfall_core::audit::repair::{Announcement, Resource, State};
use landfall_stacks::change_set::{Preparation, Prepared};
use landfall_stacks::stack::Observed;
use landfall_stacks::{admit, repair as asked};

use crate::announce::{announce, stop};
use crate::look::Gone;
use crate::{Context, Error, Outcome};

/// Has CloudFormation repair what is gone, and tells others.
///
/// # Errors
/// Fails if CloudFormation refuses the change, or the event isn't taken.
pub(crate) async fn change(
    context: &Context,
    observed: &Observed,
    gone: Vec<Gone>,
) -> Result<Outcome, Error> {
    let (stacks, stack) = (&context.stacks, context.settings.stack.as_str());
    let causes: Vec<String> = gone.iter().filter_map(|it| it.cause.clone()).collect();
    let resources: Vec<Resource> = gone.into_iter().map(|gone| gone.resource).collect();
    let ids: BTreeSet<&str> = resources.iter().map(|it| it.logical_id.as_str()).collect();
    let marks = asked::marks(ids.iter().copied());
    let parameters = asked::parameters(observed, &marks, asked::Mode::Missing, now());
    let request = asked::request(stack, &parameters);
    let (prepared, reasons) = match stacks.prepare(&request).await.map_err(Error::of_stack)? {
        Preparation::Ready(prepared) => {
            let reasons = admit::unexpected_alone(&prepared.changes, &ids, &marks);
            (prepared, reasons)
        }
        Preparation::Unchanged(prepared) => {
            (prepared, vec!["CloudFormation sees no change".to_owned()])
        }
    };
    let change_set = prepared.change_set.as_str();
    tracing::info!(code = "change_set_made", stack, change_set, "made a change set");
    let (state, outcome) = if reasons.is_empty() {
        execute(context, &prepared).await?;
        let resources = ids.iter().copied().collect::<Vec<&str>>().join(", ");
        let code = "repair_started";
        tracing::warn!(code, stack, change_set, resources, "CloudFormation repairs what is gone");
        (State::Started, Outcome::Started)
    } else {
        stop("repair_refused", stack, &Vec::from_iter(&resources), &reasons.join("; "));
        discard(context, &prepared).await;
        (State::Refused, Outcome::Refused)
    };
    let announcement = Announcement {
        state,
        resources: &resources,
        reasons: &reasons,
        causes: &causes,
        change_set: (state == State::Started).then_some(change_set),
        at: now(),
    };
    announce(context, &announcement).await?;
    Ok(outcome)
}

async fn execute(context: &Context, prepared: &Prepared) -> Result<(), Error> {
    let Err(error) = context.stacks.start(prepared).await else { return Ok(()) };
    discard(context, prepared).await;
    Err(Error::of_stack(error))
}

/// Deletes a change set that nobody is to execute. One that is left over changes nothing.
async fn discard(context: &Context, prepared: &Prepared) {
    if let Err(error) = context.stacks.discard(prepared).await {
        let error = format!("{error:#}");
        tracing::warn!(code = "change_set_left", error, "a change set is left over");
    }
}
