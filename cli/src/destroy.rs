//! `landfall destroy`: the stacks that `deploy` made, in the reverse order; said before it is done.

mod left;

use landfall_core::routes::Routes;

use self::left::Left;
use crate::accounts::target::{self, DeploymentTarget};
use crate::accounts::{Account, Accounts, stacks};
use crate::args::Color;
use crate::args::deploy::{DestroyArgs, Order, TemplateName};
use crate::aws;
use crate::cloudformation::stack::{Observed, Standing};
use crate::cloudformation::template::Template;
use crate::terminal::consent::{can_ask, confirm};
use crate::terminal::output::{Output, Printed};
use crate::terminal::progress::{say, show};

/// Deletes, or says what would be deleted.
pub fn run(args: &DestroyArgs, color: Color) -> Printed {
    let target = target::find(&args.place, Routes::parse, color)?;
    can_ask(args.yes || args.dry_run, "`landfall destroy` asks before it changes anything")?;
    aws::wait(destroy(args, &target))?;
    Ok(Output::done(if args.dry_run { "nothing was deleted\n" } else { "the stacks are gone\n" }))
}

/// A stack that is there.
struct Doomed<'a> {
    account: &'a Account,
    stack: String,
    observed: Observed,
}

async fn destroy(args: &DestroyArgs, target: &DeploymentTarget) -> anyhow::Result<()> {
    let accounts = Accounts::find(&args.place, &target.account, &target.region).await?;
    let mut doomed = Vec::new();
    // The data account's goes first, so that nothing is started while the other goes.
    let mut all = stacks(&args.place.name_prefix, Order::AnalyticsFirst);
    all.sort_by_key(|(side, name, _)| match name {
        TemplateName::Data => (0, *side),
        TemplateName::Analytics => (1, *side),
        TemplateName::Provisioner => (2, *side),
    });
    for (side, name, stack) in all {
        let account = accounts.of(side);
        let Some(observed) = account.stacks.find(&stack).await? else { continue };
        accounts.check_owner(side, name, &stack, &observed).await?;
        observed.can_delete(&stack)?;
        doomed.push(Doomed { account, stack, observed });
    }
    if doomed.is_empty() {
        say("there is no such stack");
        return Ok(());
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
        return Ok(());
    }
    confirm(args.yes, "delete these stacks?")?;
    for Doomed { account, stack, observed } in &doomed {
        say(&format!("deleting stack {stack} in {}", account.stacks.place));
        account.stacks.delete(stack, &observed.id).await?;
    }
    Ok(())
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
