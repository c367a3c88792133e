//! `landfall unlock`: the way out if the provisioner remembers something wrong about a resource.
//!
//! The core decides what becomes of the memory. `landfall_provisioning::lifecycle_table` writes it only if no request
//! is at work and nothing has changed since it was read. The command shows no answers, because they name
//! roles, which an unlock does not need.

use anyhow::{Context, anyhow, ensure};
use landfall_aws::clock::now;
use landfall_aws::sdk_error::chain;
use landfall_core::lifecycle::Memory;
use landfall_core::moment::Time;
use landfall_core::roles::Home;
use landfall_provisioning::lifecycle_table::{Kept, Table, TableError, Unlocking};

use crate::args::unlock::UnlockArgs;
use crate::aws;
use crate::terminal::consent::{can_ask, confirm};
use crate::terminal::output::{Output, Printed, Status};
use crate::terminal::phrases::{counted, moment};
use crate::terminal::printable;

/// Unlocks the resource that `args` name.
pub fn run(args: &UnlockArgs) -> Printed {
    can_ask(args.yes, "`landfall unlock` asks before it writes")?;
    Ok(aws::wait(unlock(args))?)
}

async fn unlock(args: &UnlockArgs) -> anyhow::Result<Output> {
    let home = Home::of_stack(&args.stack_id).context("--stack-id is not the ID of a stack")?;
    let region = args.region.clone().unwrap_or(home.region);
    let config = aws::of_profile(args.profile.as_deref(), Some(&region)).await?;
    let place = printable(&format!("table `{}`, region `{region}`", args.table));
    let identity = aws::identity(&config).await?;
    let by = identity.arn().context("STS returned no ARN for the credentials")?.to_owned();
    let account = identity.account().unwrap_or_default();
    ensure!(
        account == home.account,
        "these credentials are for account `{account}`, but the stack is in account `{}`",
        home.account
    );
    let table = Table::new(aws_sdk_dynamodb::Client::new(&config), args.table.clone());
    let id = format!("{}/{}", args.stack_id, args.logical_id);
    let explained = |error: TableError| anyhow!("{} ({place})", chain(&error));
    let Some(kept) = table.find(&id).await.map_err(explained)? else {
        let what = &args.logical_id;
        let none =
            format!("the provisioner remembers nothing about `{what}` of that stack ({place})");
        return Ok(Output::failure(&none, Status::Nothing));
    };
    let now = now();
    eprint!("{}", in_words(args, &kept, now));
    if kept.is_held(now) {
        let busy = "a request is at work on the resource: wait until it has ended, then try again";
        return Ok(Output::failure(busy, Status::Problems));
    }
    confirm(args.yes, "unlock this resource?")?;
    let unlocking = Unlocking { by, at: now, reason: args.reason.clone() };
    if !table.unlock(&id, &kept, &unlocking).await.map_err(explained)? {
        let overtaken = "a request came in meanwhile, so nothing was unlocked: try again";
        return Ok(Output::failure(overtaken, Status::Problems));
    }
    Ok(Output::success(format!(
        "unlocked `{}`: CloudFormation's next request counts, whenever it was issued\n",
        printable(&args.logical_id)
    )))
}

/// Returns what the provisioner remembers, without its answers.
fn in_words(args: &UnlockArgs, kept: &Kept, now: Time) -> String {
    let Memory { latest, standing, gone, .. } = &kept.memory;
    let mut lines = vec![format!("{} of {}", args.logical_id, args.stack_id)];
    lines.push(match latest {
        None => "  last request  none".to_owned(),
        Some(latest) => {
            let issued = latest
                .issued
                .map_or("at an unknown time".to_owned(), |issued| moment(issued.time(), now));
            let answered = if latest.answer.is_some() { "answered" } else { "not answered" };
            format!("  last request  {}, issued {issued}, {answered}", latest.request_id)
        }
    });
    let stands: Vec<&str> = standing.iter().map(|it| it.physical_id.as_str()).collect();
    let stands = if stands.is_empty() { "nothing".to_owned() } else { stands.join(", ") };
    lines.push(format!("  stands        {stands}"));
    lines.push(format!("  gone for good {}", counted(gone.len(), "physical ID")));
    lines.push(match kept.until {
        Some(until) if kept.is_held(now) => format!("  lock          held until {until}"),
        _ => "  lock          free".to_owned(),
    });
    lines.iter().map(|line| printable(line) + "\n").collect()
}
