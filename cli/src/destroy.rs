//! `landfall destroy`: the stacks that `deploy` made, in the reverse order; said before it is done.

mod left;

use anyhow::bail;
use landfall_core::routes::Routes;

use self::left::Left;
use crate::args::Color;
use crate::args::deploy::{DestroyArgs, Order, TemplateName};
use crate::aws;
use crate::deploy::account::{Account, Accounts};
use crate::deploy::plan;
use crate::deploy::stack::{Observed, Standing};
use crate::deploy::target::{self, Meant};
use crate::deploy::template::Template;
use crate::deploy::words::{can_ask, is_agreed};
use crate::deploy::{Done, delete, say, show, told};
use crate::output::Output;

/// Deletes, or says what would be deleted.
pub fn run(args: &DestroyArgs, color: Color) -> Output {
    let meant = match target::find(&args.place, Routes::parse, color) {
        Ok(meant) => meant,
        Err(output) => return output,
    };
    if !args.dry_run
        && let Err(error) = can_ask(args.yes, "landfall destroy")
    {
        return error.into();
    }
    let success = if args.dry_run { "nothing was deleted\n" } else { "the stacks are gone\n" };
    told(aws::wait(destroy(args, &meant)), success)
}

/// A stack that is there.
struct Doomed<'a> {
    account: &'a Account,
    stack: String,
    observed: Observed,
}

async fn destroy(args: &DestroyArgs, meant: &Meant) -> anyhow::Result<Done> {
    let accounts = Accounts::find(&args.place, &meant.account, &meant.region).await?;
    let mut doomed = Vec::new();
    // The data account's goes first, so that nothing is started while the other goes.
    let mut stacks = plan::stacks(&args.place.name_prefix, Order::AnalyticsFirst);
    stacks.sort_by_key(|(side, name, _)| match name {
        TemplateName::Data => (0, *side),
        TemplateName::Analytics => (1, *side),
        TemplateName::Provisioner => (2, *side),
    });
    for (side, name, stack) in stacks {
        let account = accounts.of(side);
        let Some(observed) = account.stacks.find(&stack).await? else { continue };
        accounts.is_meant(side, name, &stack, &observed).await?;
        can_delete(&stack, &observed)?;
        doomed.push(Doomed { account, stack, observed });
    }
    if doomed.is_empty() {
        say("there is no such stack");
        return Ok(Done::All);
    }
    let mut left = Vec::new();
    for one in &doomed {
        let its = left_by(one).await?;
        let place = &one.account.stacks.place;
        show(&format!("stack {} in {place} is deleted, and with it what it made\n", one.stack));
        left.extend(its);
    }
    show(&left::shown(&left));
    if args.dry_run {
        return Ok(Done::All);
    }
    if !is_agreed(args.yes, "delete these stacks?")? {
        return Ok(Done::Declined);
    }
    for Doomed { account, stack, observed } in &doomed {
        say(&format!("deleting stack {stack} in {}", account.stacks.place));
        match delete(account, stack, observed).await? {
            Done::All => {}
            other => return Ok(other),
        }
    }
    Ok(Done::All)
}

/// What outlives the stack.
async fn left_by(doomed: &Doomed<'_>) -> anyhow::Result<Vec<Left>> {
    let Doomed { account, stack, observed } = doomed;
    // A stack that is nothing but a change set has no template yet.
    if observed.standing() == Standing::Absent {
        return Ok(Vec::new());
    }
    let template = Template::read(&account.stacks.template(stack).await?)?;
    let ids = account.stacks.physical_ids(stack).await?;
    let retained = template.resources.iter().filter(|resource| resource.is_retained);
    let left = retained.filter_map(|resource| {
        Some(Left {
            kind: resource.kind.clone(),
            physical_id: ids.get(&resource.logical_id).filter(|id| !id.is_empty())?.clone(),
            account: account.id.clone(),
            region: account.region.clone(),
        })
    });
    Ok(left.collect())
}

fn can_delete(stack: &str, found: &Observed) -> anyhow::Result<()> {
    if found.is_protected {
        bail!(
            "stack `{stack}` is protected from deletion: turn its termination protection off first"
        );
    }
    match found.standing() {
        Standing::Busy => {
            bail!("stack `{stack}` is being changed ({}): wait until that has ended", found.status)
        }
        _ => Ok(()),
    }
}
