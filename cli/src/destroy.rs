//! `landfall destroy`: deletes the stacks that `deploy` created, in reverse order. It shows them first.

mod left;

use landfall_core::routes::Routes;
use landfall_stacks::stack::{Observed, Standing};

use self::left::Left;
use crate::accounts::target::{self, DeploymentTarget};
use crate::accounts::{Account, Accounts, Side, stacks};
use crate::args::Color;
use crate::args::deploy::{DestroyArgs, Order, TemplateName};
use crate::aws;
use crate::cloudformation::follow;
use crate::cloudformation::template::Template;
use crate::deploy::iam_events;
use crate::terminal::consent::{can_ask, confirm};
use crate::terminal::output::{Output, Printed};
use crate::terminal::progress::{say, show};

/// Deletes the stacks, or shows what it would delete.
pub fn run(args: &DestroyArgs, color: Color) -> Printed {
    let target = target::find(args.place.routes(), &args.place.stacks, Routes::parse, color)?;
    can_ask(args.yes || args.dry_run, "`landfall destroy` asks before it changes anything")?;
    aws::wait(destroy(args, &target))?;
    Ok(Output::done(if args.dry_run { "nothing was deleted\n" } else { "the stacks are gone\n" }))
}

/// An existing stack, which the command deletes.
struct Doomed<'a> {
    account: &'a Account,
    stack: String,
    observed: Observed,
}

async fn destroy(args: &DestroyArgs, target: &DeploymentTarget) -> anyhow::Result<()> {
    let accounts = Accounts::find(&args.place.stacks, &target.account, &target.region).await?;
    let mut doomed = Vec::new();
    // The auditors go first, so that they don't report what goes after them. Then the data account's stack goes, so that
    // nothing starts while the other one goes.
    let mut all = stacks(&args.place.stacks.name_prefix, Order::AnalyticsFirst);
    all.sort_by_key(|(side, name, _)| match name {
        TemplateName::Auditor => (0, *side),
        TemplateName::Data => (1, *side),
        TemplateName::Analytics => (2, *side),
        TemplateName::Provisioner => (3, *side),
    });
    let prefix = &args.place.stacks.name_prefix;
    let places = Side::BOTH.map(|side| match args.without_iam_events {
        true => None,
        false => iam_events::place(accounts.of(side), &target.partition),
    });
    for account in places.iter().flatten() {
        let Some(observed) = iam_events::find(account, prefix).await? else { continue };
        let stack = iam_events::stack_name(prefix);
        observed.can_delete(&stack)?;
        doomed.push(Doomed { account, stack, observed });
    }
    for (side, name, stack) in all {
        let account = accounts.of(side);
        let Some(observed) = account.stacks.find(&stack).await? else { continue };
        accounts.check_owner(side, name, &stack, &observed).await?;
        observed.can_delete(&stack)?;
        doomed.push(Doomed { account, stack, observed });
    }
    if doomed.is_empty() {
        say("there are no stacks to delete");
        return Ok(());
    }
    let mut left = Vec::new();
    for one in &doomed {
        let its = left_by(one).await?;
        let place = &one.account.stacks.place;
        show(&format!("stack {} in {place} will be deleted, with what it created\n", one.stack));
        left.extend(its);
    }
    show(&left::shown(&left));
    if args.dry_run {
        return Ok(());
    }
    confirm(args.yes, "delete these stacks?")?;
    for Doomed { account, stack, observed } in &doomed {
        say(&format!("deleting stack {stack} in {}", account.stacks.place));
        follow::delete(&account.stacks, stack, &observed.id).await?;
    }
    Ok(())
}

/// Returns the resources that outlive the stack.
async fn left_by(doomed: &Doomed<'_>) -> anyhow::Result<Vec<Left>> {
    let Doomed { account, stack, observed } = doomed;
    // A stack that consists of a change set only has no template yet.
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
