//! Tells others what became of a repair: people by the log, programs by events.

use landfall_aws::clock::now;
use landfall_aws::events;
use landfall_aws::findings::repairs::KeptHistory;
use landfall_core::audit::repair::{Announcement, HOLD, History, Resource, State, Trace};
use landfall_core::moment::Time;

use crate::look::Gone;
use crate::{Context, Error, Settings};

/// The detail type of the events about repairs.
pub const EVENT_TYPE: &str = "Landfall Repair";

/// Logs why nothing is repaired.
pub(crate) fn stop(code: &'static str, stack: &str, resources: &[&Resource], why: &str) {
    let resources: Vec<&str> = resources.iter().map(|it| it.logical_id.as_str()).collect();
    let resources = resources.join(", ");
    tracing::warn!(code, stack, resources, why, "nothing is repaired");
}

/// Logs that a resource isn't repaired, and announces it unless others have heard so. Killed in between, the next
/// invocation announces it once more.
///
/// # Errors
/// Fails if the table doesn't answer, or the event isn't taken.
pub(crate) async fn tell_once(
    context: &Context,
    gone: &Gone,
    state: State,
    why: &str,
) -> Result<(), Error> {
    let Gone { resource, .. } = gone;
    stop(state.code(), &context.settings.stack, &[resource], why);
    let (id, now) = (resource.logical_id.as_str(), now());
    let kept = context.findings.repairs(id).await?;
    let Some(history) = kept.history.telling(state) else { return Ok(()) };
    let (resources, reasons) = (std::slice::from_ref(resource), &[why.to_owned()]);
    let announcement =
        Announcement { state, resources, reasons, causes: &[], change_set: None, at: now };
    announce(context, &announcement).await?;
    // If another invocation was faster, it has told the same.
    context.findings.keep_repairs(id, &kept, &history, now).await?;
    Ok(())
}

/// Logs that the repair of a resource waits until `until`, and announces it once with what CloudTrail says.
///
/// # Errors
/// Fails if the table doesn't answer, or the event isn't taken.
pub(crate) async fn tell_that_it_waits(
    context: &Context,
    gone: &Gone,
    kept: &KeptHistory,
    until: Time,
    trace: &Trace,
) -> Result<(), Error> {
    let Gone { resource, .. } = gone;
    let known = match trace {
        Trace::Changed(change) => change.to_string(),
        Trace::Nothing => "CloudTrail doesn't know yet who changed it".to_owned(),
        Trace::Unknown(why) => format!("CloudTrail doesn't say who changed it ({why})"),
    };
    let why = format!(
        "{known}, so its repair waits until {until}: if it is gone on purpose, give the stack the tag `{HOLD}`"
    );
    stop(State::Waits.code(), &context.settings.stack, &[resource], &why);
    if kept.history.waits_until == Some(until) {
        return Ok(());
    }
    let (resources, reasons) = (std::slice::from_ref(resource), &[why]);
    let causes: Vec<String> = trace.cause().into_iter().collect();
    let (state, at) = (State::Waits, now());
    let causes = causes.as_slice();
    let announcement = Announcement { state, resources, reasons, causes, change_set: None, at };
    announce(context, &announcement).await?;
    let history = History { waits_until: Some(until), ..kept.history.clone() };
    context.findings.keep_repairs(&resource.logical_id, kept, &history, at).await?;
    Ok(())
}

/// Puts the event that announces what became of a repair.
///
/// # Errors
/// Fails if EventBridge doesn't take it.
pub(crate) async fn announce(context: &Context, what: &Announcement<'_>) -> Result<(), Error> {
    let Settings { stack, account, region, .. } = &context.settings;
    let detail = what.event(stack, account, region).to_string();
    let put = events::put(&context.events, EVENT_TYPE, detail).await;
    put.map_err(|message| Error::Event { stack: stack.clone(), message })
}
