//! `landfall backfill --mode failed`: returns the parked batches that have objects of a selection, as `landfall retry` returns
//! batches by their IDs.

use anyhow::anyhow;
use landfall_aws::clock::now;
use landfall_core::batch::{Batch, Member};
use landfall_core::moment::Time;
use serde::Serialize;

use crate::args::backfill::StartArgs;
use crate::ledger::{Connection, connect};
use crate::terminal::consent::can_ask;
use crate::terminal::output::{self, Output, Printed, Status};
use crate::{aws, batches, retry};

/// Returns the batches.
pub fn run(args: &StartArgs) -> Printed {
    if let Some(option) = other_option(args) {
        Err(anyhow!(
            "--mode failed returns whole batches, by --route, --prefix, --since and --until, the oldest --max-runs of them: \
             leave out {option}"
        ))?;
    }
    can_ask(args.yes || args.dry_run, "it asks before it returns batches")?;
    let output = aws::wait(async {
        let connection = connect(&args.ledger).await?;
        let (parked, are_all) = retry::parked(&connection, args.route.as_deref()).await?;
        let mut selected = Vec::new();
        for batch in parked {
            if has_selected(&connection, &batch, args).await? {
                selected.push(batch);
            }
        }
        // The newest come first.
        let most = args.bounds.max_runs.and_then(|most| usize::try_from(most).ok());
        let left = most.map_or(0, |most| selected.len().saturating_sub(most));
        selected.drain(..left);
        let mut output = if args.dry_run {
            Output::success(match selected.as_slice() {
                selected if args.ledger.output.is_json() => {
                    let batches = selected.iter().map(|batch| &*batch.id).collect();
                    output::json(&ToBeReturned { batches })
                }
                [] => "no parked batch was found\n".to_owned(),
                selected => batches::rows(selected, now(), None),
            })
        } else {
            retry::give_all_back(&connection, &selected, args.yes, args.ledger.output.is_json())
                .await?
        };
        if !are_all || left > 0 {
            output.worsen(Status::Problems);
        }
        Ok(output)
    })?;
    Ok(output)
}

/// What a dry run tells.
#[derive(Serialize)]
struct ToBeReturned<'a> {
    /// The IDs of the batches that would be returned, the newest first.
    batches: Vec<&'a str>,
}

/// Returns an option that says nothing about batches.
fn other_option(args: &StartArgs) -> Option<&'static str> {
    let given = [
        (args.keys.is_some(), "--keys"),
        (args.inventory.is_some(), "--inventory"),
        (args.bounds.max_objects.is_some(), "--max-objects"),
        (args.bounds.rate.is_some(), "--rate"),
        (args.max_runs_per_hour.is_some(), "--max-runs-per-hour"),
        (args.dpu_minutes.is_some(), "--dpu-minutes"),
        (args.routes.is_some(), "--routes"),
    ];
    given.iter().find(|(is_given, _)| *is_given).map(|(_, option)| *option)
}

async fn has_selected(
    connection: &Connection,
    batch: &Batch,
    args: &StartArgs,
) -> anyhow::Result<bool> {
    if (&args.prefix, args.since, args.until) == (&None, None, None) {
        return Ok(true);
    }
    let members = connection.ledger.first_members(batch, usize::MAX).await;
    let members = members.map_err(|error| connection.explained(error))?;
    Ok(members.iter().any(|member| is_selected(member, args, now())))
}

/// Returns `true` if this object is selected. One of which nobody knows when it was written is, whatever the time.
fn is_selected(member: &Member, args: &StartArgs, now: Time) -> bool {
    let written = member.event_time.as_deref().and_then(Time::parse);
    let is_within = |written: Time| {
        args.since.is_none_or(|since| written >= since.time(now))
            && args.until.is_none_or(|until| written < until.time(now))
    };
    args.prefix.as_deref().is_none_or(|prefix| member.key.starts_with(prefix))
        && written.is_none_or(is_within)
}
