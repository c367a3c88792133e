//! `landfall deploy --repair`: puts right what drifted although no template changed.
//!
//! A repair gives the parameter `…Repair` of each drifted resource a new value, and changes nothing else: the template
//! and all other parameters stay as they are. CloudFormation then asks the provisioner for an Update of exactly those
//! resources. `landfall_inspection::drift` finds what drifted, and `admit` refuses a change set that would change anything else.

use std::collections::BTreeSet;

use anyhow::{anyhow, bail, ensure};
use landfall_aws::clock::now;
use landfall_core::moment::Time;
use landfall_core::routes::Routes;
use landfall_inspection::Clients;
use landfall_inspection::drift::{self, Compared, State};
use landfall_inspection::requested::Requested;
use landfall_stacks::change::Replacement;
use landfall_stacks::change_set::Preparation;
use landfall_stacks::stack::{Observed, Standing};
use landfall_stacks::{admit, repair as asked};

use crate::accounts::{Account, Accounts, Side, stacks, target};
use crate::args::Color;
use crate::args::deploy::{DeployArgs, TemplateName};
use crate::aws;
use crate::cloudformation::{change, follow};
use crate::terminal::consent::{Stopped, can_ask, confirm};
use crate::terminal::output::{Output, Printed, Status};
use crate::terminal::phrases::quoted;
use crate::terminal::printable;
use crate::terminal::progress::{say, show};

/// What CloudFormation can't know of custom resources.
const MAYBE_REPLACED: &str = "\
The provisioner replaces a role only if its name changes. A repair changes no name, so nothing is replaced.
";

const NOTHING_CHANGED: &str = "This was a dry run. Nothing was repaired.\n";
const NOTHING_DRIFTED: &str = "nothing has drifted\n";

/// A stack, with what was found of its resources.
struct Looked<'a> {
    account: &'a Account,
    stack: String,
    observed: Observed,
    compared: Vec<Compared>,
}

/// Finds what drifted, shows it, and repairs it.
pub fn run(args: &DeployArgs, color: Color) -> Printed {
    // A route that may not be deployed any more doesn't keep what is deployed from being repaired.
    let target = target::find(args.place.routes(), &args.place.stacks, Routes::parse, color)?;
    can_ask(args.yes || args.dry_run, "`landfall deploy` asks before it changes anything")?;
    Ok(aws::wait(async {
        let accounts = Accounts::find(&args.place.stacks, &target.account, &target.region).await?;
        repair(args, &accounts).await
    })?)
}

async fn repair(args: &DeployArgs, accounts: &Accounts) -> anyhow::Result<Output> {
    let mut all = Vec::new();
    for (side, template, stack) in stacks(&args.place.stacks.name_prefix, args.order) {
        // Nothing in the other stacks can be repaired.
        if matches!(template, TemplateName::Analytics | TemplateName::Data) {
            all.push(looked(accounts, side, template, stack).await?);
        }
    }
    for looked in &all {
        show(&looked.shown());
    }
    // If something keeps a stack from being repaired, say so before you change another one.
    for looked in &all {
        looked.knows_repairs()?;
    }
    let time = now();
    for looked in &all {
        looked.repair(args, time).await?;
    }
    Ok(outcome(&all, args.dry_run))
}

async fn looked(
    accounts: &Accounts,
    side: Side,
    template: TemplateName,
    stack: String,
) -> anyhow::Result<Looked<'_>> {
    let account = accounts.of(side);
    let place = &account.stacks.place;
    let Some(observed) = account.stacks.find(&stack).await? else {
        bail!("there is no stack `{stack}` in {place} to repair: deploy it first");
    };
    observed.can_change(&stack)?;
    ensure!(
        observed.standing() == Standing::Updatable,
        "stack `{stack}` in {place} is {}, so there is nothing to repair: deploy it first",
        observed.status
    );
    accounts.check_owner(side, template, &stack, &observed).await?;
    let compared = compared(account, &stack, &observed).await?;
    Ok(Looked { account, stack, observed, compared })
}

async fn compared(
    account: &Account,
    stack: &str,
    observed: &Observed,
) -> anyhow::Result<Vec<Compared>> {
    let template = account.stacks.processed_template(stack).await?;
    let ids = account.stacks.physical_ids(stack).await?;
    let requested = Requested::new(&template, &observed.id, &observed.parameters, ids)?;
    Ok(drift::compare(&Clients::new(&account.config), &requested).await)
}

/// Warns if something of an unchanged stack has drifted, as far as that can be seen.
pub async fn warn(account: &Account, stack: &str) {
    let Ok(Some(observed)) = account.stacks.find(stack).await else { return };
    let Ok(compared) = compared(account, stack, &observed).await else { return };
    for Compared { name, state, .. } in compared {
        if let State::Drifted { differences, .. } = state {
            let name = printable(&name);
            say(&format!("warning: {name}: {}", printable(&differences.join("; "))));
            say(
                "  No template changed, so this deployment doesn't mend it. `landfall deploy --repair` does.",
            );
        }
    }
}

impl Looked<'_> {
    fn heading(&self) -> String {
        let Account { side, id, region, .. } = self.account;
        format!("stack {} in the {} ({id}, {region})", self.stack, side.name())
    }

    fn shown(&self) -> String {
        let mut text = format!("{}\n", self.heading());
        for Compared { name, state, .. } in &self.compared {
            let (what, lines) = match state {
                State::AsDesired => ("no difference", &[][..]),
                State::Drifted { differences, .. } => ("drifted", &differences[..]),
                State::Stuck(reasons) => ("can't be repaired", &reasons[..]),
                State::Unknown(reason) => ("unknown", std::slice::from_ref(reason)),
            };
            text.push_str(&format!("  {}: {what}\n", printable(name)));
            for line in lines {
                text.push_str(&format!("    {}\n", printable(line)));
            }
        }
        text + "\n"
    }

    /// Returns the logical IDs of what drifted.
    fn drifted(&self) -> BTreeSet<&str> {
        let drifted = self.compared.iter().filter(|it| matches!(it.state, State::Drifted { .. }));
        drifted.map(|it| it.resource.logical_id.as_str()).collect()
    }

    /// Checks that the stack has a parameter for everything that drifted.
    fn knows_repairs(&self) -> anyhow::Result<()> {
        let unknown = asked::unknown(&asked::marks(self.drifted()), &self.observed);
        ensure!(
            unknown.is_empty(),
            "stack `{}` in {} comes from an earlier version and has no parameter {}: run `landfall deploy` \
             without --repair first, and then again with it",
            self.stack,
            self.account.stacks.place,
            quoted(&unknown)
        );
        Ok(())
    }

    /// Repairs what drifted, or shows what that would change.
    async fn repair(&self, args: &DeployArgs, time: Time) -> anyhow::Result<()> {
        let drifted = self.drifted();
        if drifted.is_empty() {
            return Ok(());
        }
        let marks = asked::marks(drifted.iter().copied());
        let parameters = asked::parameters(&self.observed, &marks, asked::Mode::Exact, time);
        let (stacks, stack) = (&self.account.stacks, self.stack.as_str());
        let prepared = match stacks.prepare(&asked::request(stack, &parameters)).await? {
            Preparation::Ready(prepared) => prepared,
            Preparation::Unchanged(prepared) => {
                follow::discard(stacks, &prepared).await;
                return Err(failed(format!(
                    "failed to repair stack `{stack}` in {}: CloudFormation sees no change",
                    stacks.place
                )));
            }
        };
        show(&format!("{}: repairs\n{}", self.heading(), change::shown(&prepared.changes)));
        if prepared.changes.iter().any(|it| it.replacement == Replacement::Maybe) {
            show(MAYBE_REPLACED);
        }
        show("\n");
        let unexpected = admit::unexpected(&prepared.changes, &drifted, &marks);
        if !unexpected.is_empty() {
            follow::discard(stacks, &prepared).await;
            return Err(failed(format!(
                "refused to repair stack `{stack}` in {}, and changed nothing of it: {}",
                stacks.place,
                unexpected.join("; ")
            )));
        }
        if args.dry_run {
            follow::discard(stacks, &prepared).await;
            return Ok(());
        }
        if let Err(stopped) = confirm(args.yes, "make this change?") {
            follow::discard(stacks, &prepared).await;
            return Err(stopped);
        }
        follow::execute(stacks, stack, &prepared).await
    }
}

fn failed(why: String) -> anyhow::Error {
    Stopped::Failed(printable(&why)).into()
}

fn outcome(all: &[Looked<'_>], is_dry_run: bool) -> Output {
    let has_drifted = all.iter().any(|looked| !looked.drifted().is_empty());
    let compared = || all.iter().flat_map(|looked| &looked.compared);
    let is_fine = compared().all(|it| matches!(it.state, State::AsDesired | State::Drifted { .. }));
    let mut output = match (is_dry_run, has_drifted) {
        (true, true) => Output::done(NOTHING_CHANGED),
        (false, true) => Output::done("repaired\n"),
        (_, false) if is_fine => Output::done(NOTHING_DRIFTED),
        (_, false) => Output::default(),
    };
    for Compared { name, state, .. } in compared() {
        match state {
            State::AsDesired | State::Drifted { .. } => {}
            State::Stuck(reasons) => {
                let why = format!("failed to repair the {name}: {}", reasons.join("; "));
                output.fail(&why, Status::Problems);
            }
            State::Unknown(reason) => {
                output.error(&anyhow!("failed to look at the {name}: {reason}"));
            }
        }
    }
    output
}
