//! `landfall unlock`: the way out for a resource whose memory is wrong.
//!
//! What the memory becomes is the core's to say; `landfall_provisioning::lifecycle_table` writes it on condition that
//! nobody is at work and nothing has changed since it was read. Answers are not shown: they name roles, and
//! are nobody's business here.

use anyhow::{Context, anyhow};
use aws_config::Region;
use landfall_aws::clock::now;
use landfall_aws::config;
use landfall_aws::sdk_error::{chain, sdk_error_parts};
use landfall_core::lifecycle::Memory;
use landfall_core::moment::Time;
use landfall_core::roles::Home;
use landfall_provisioning::lifecycle_table::{Kept, Table, TableError, Unlocking};

use crate::args::unlock::UnlockArgs;
use crate::aws;
use crate::terminal::consent::{can_ask, is_confirmed};
use crate::terminal::output::{Output, Printed, Status};
use crate::terminal::phrases::moment;
use crate::terminal::printable;

/// Unlocks the resource that `args` name.
pub fn run(args: &UnlockArgs) -> Printed {
    can_ask(args.yes, "unlock asks before it writes")?;
    Ok(aws::wait(unlock(args))?)
}

async fn unlock(args: &UnlockArgs) -> anyhow::Result<Output> {
    let home = Home::of_stack(&args.stack_id).context("that is no stack's id")?;
    let region = args.region.clone().unwrap_or(home.region);
    let config = aws::load(config::loader().region(Region::new(region.clone()))).await?;
    let place = printable(&format!("table `{}`, region `{region}`", args.table));
    let identity = aws_sdk_sts::Client::new(&config).get_caller_identity().send().await;
    let identity = identity.map_err(|error| {
        let (code, message) = sdk_error_parts(&error);
        anyhow!("failed to ask STS who it is: {code}: {message}")
    })?;
    let by = identity.arn().context("STS names nobody")?.to_owned();
    let account = identity.account().unwrap_or_default();
    if account != home.account {
        return Err(anyhow!(
            "these credentials are of account `{account}`, and the stack is of account `{}`",
            home.account
        ));
    }
    let table = Table::new(aws_sdk_dynamodb::Client::new(&config), args.table.clone());
    let id = format!("{}/{}", args.stack_id, args.logical_id);
    let explained = |error: TableError| anyhow!("{} ({place})", chain(&error));
    let Some(kept) = table.find(&id).await.map_err(explained)? else {
        let what = printable(&args.logical_id);
        let stderr = format!("error: nothing is remembered of `{what}` of that stack in {place}\n");
        return Ok(Output { stderr, status: Status::Nothing, ..Output::default() });
    };
    let now = now();
    eprint!("{}", in_words(args, &kept, now));
    if kept.is_held(now) {
        return Ok(refused("a request is at work on it: wait until it has ended, and ask again"));
    }
    if !is_confirmed(args.yes, "unlock this resource?")? {
        return Ok(refused("nothing is unlocked"));
    }
    let unlocking = Unlocking { by, at: now, reason: args.reason.clone() };
    if !table.unlock(&id, &kept, &unlocking).await.map_err(explained)? {
        return Ok(refused("a request came meanwhile, and nothing is unlocked: ask again"));
    }
    Ok(Output::success(format!(
        "`{}` is unlocked: the next request of CloudFormation's counts, whenever it was issued\n",
        printable(&args.logical_id)
    )))
}

fn refused(why: &str) -> Output {
    Output { stderr: format!("error: {why}\n"), status: Status::Problems, ..Output::default() }
}

/// What is remembered, without answers.
fn in_words(args: &UnlockArgs, kept: &Kept, now: Time) -> String {
    let Memory { latest, standing, gone, .. } = &kept.memory;
    let mut lines = vec![format!("{} of {}", args.logical_id, args.stack_id)];
    lines.push(match latest {
        None => "  no request is remembered".to_owned(),
        Some(latest) => {
            let issued = latest
                .issued
                .map_or("not known when".to_owned(), |issued| moment(issued.time(), now));
            let answered = if latest.answer.is_some() { "answered" } else { "not answered" };
            format!("  last request  {}, issued {issued}, {answered}", latest.request_id)
        }
    });
    let stands: Vec<&str> = standing.iter().map(|it| it.physical_id.as_str()).collect();
    let stands = if stands.is_empty() { "nothing".to_owned() } else { stands.join(", ") };
    lines.push(format!("  stands        {stands}"));
    lines.push(format!("  gone for good {} physical ids", gone.len()));
    lines.push(match kept.until {
        Some(until) if kept.is_held(now) => format!("  lock          held until {until}"),
        _ => "  lock          free".to_owned(),
    });
    let shown = lines.iter().map(|line| printable(line) + "\n");
    shown.collect()
}
