//! Makes one stack: shows the change, asks, carries it out and follows it. A dry run only shows it.

use std::collections::BTreeMap;

use landfall_stacks::Value;
use landfall_stacks::change::{Change, Replacement};
use landfall_stacks::change_set::{Preparation, Request, TemplateAt};
use landfall_stacks::stack::{Observed, Standing};

use crate::accounts::Account;
use crate::args::deploy::DeployArgs;
use crate::cloudformation::template::Template;
use crate::cloudformation::{change, follow, shown};
use crate::terminal::consent::confirm;
use crate::terminal::progress::show;

/// The desired form of a stack.
pub struct Wanted<'a> {
    pub stack: &'a str,
    pub purpose: Option<&'a str>,
    pub template: &'a Template,
    pub parameters: &'a BTreeMap<String, Value>,
}

/// What became of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// It was changed, or a dry run showed what would change.
    Changed,
    /// It already is as desired.
    Unchanged,
}

impl Wanted<'_> {
    fn heading(&self, account: &Account) -> String {
        let purpose = self.purpose.map(|purpose| format!(": {purpose}")).unwrap_or_default();
        let side = account.side.name();
        format!("stack {} in the {side} ({}, {}){purpose}", self.stack, account.id, account.region)
    }

    /// Shows what the creation of the stack would make, as far as the template says.
    fn creation(&self, account: &Account) -> String {
        let mut text = format!("{} would be created\n", self.heading(account));
        for (name, value) in self.parameters {
            text.push_str(&format!("  {name} = {}\n", shown(value)));
        }
        let changes: Vec<Change> = self
            .template
            .resources
            .iter()
            .map(|resource| Change {
                action: "Add".to_owned(),
                logical_id: resource.logical_id.clone(),
                kind: match &resource.condition {
                    Some(condition) => format!("{} (if {condition})", resource.kind),
                    None => resource.kind.clone(),
                },
                replacement: Replacement::None,
                is_retained: false,
                causes: Vec::new(),
            })
            .collect();
        text + &change::shown(&changes) + "\n"
    }
}

/// Creates or updates a stack, or shows what that would change.
///
/// # Errors
/// Returns [`Stopped`](crate::terminal::consent::Stopped) if the user declines or the stack fails, and other
/// errors if a call fails.
pub async fn make(
    args: &DeployArgs,
    account: &Account,
    wanted: &Wanted<'_>,
    template: Option<TemplateAt>,
) -> anyhow::Result<Made> {
    let Wanted { stack, parameters, .. } = *wanted;
    let found = account.stacks.find(stack).await?;
    if let Some(found) = &found {
        found.can_change(stack)?;
    }
    let standing = found.as_ref().map_or(Standing::Absent, Observed::standing);
    let is_update = standing == Standing::Updatable;
    let heading = wanted.heading(account);
    if args.dry_run && !is_update {
        show(&wanted.creation(account));
        if standing == Standing::FailedFirst {
            show("before that, what the failed first creation left would be deleted\n\n");
        }
        return Ok(Made::Changed);
    }
    let Some(template) = template else {
        show(&format!(
            "{heading}: the changes are unknown, because there is no artifacts bucket to upload to yet\n\n"
        ));
        return Ok(Made::Changed);
    };
    if let (Standing::FailedFirst, Some(found)) = (&standing, &found) {
        let status = &found.status;
        let question =
            format!("{heading}: its first creation failed ({status}): delete what it left?");
        confirm(args.yes, &question)?;
        follow::delete(&account.stacks, stack, &found.id).await?;
    }
    // The tags of the command line add to the stack's tags, and remove none.
    let before = found.as_ref().map(|found| found.tags.clone()).unwrap_or_default();
    let mut tags = before.clone();
    tags.extend(args.tags.clone());
    // A change set without tags keeps those that the stack has then. Another deployment may have added some meanwhile.
    if is_update && tags == before {
        tags.clear();
    }
    let is_new = found.is_none() || standing == Standing::FailedFirst;
    let request = Request { stack, template, parameters, tags: &tags, is_update, is_new };
    let prepared = match account.stacks.prepare(&request).await? {
        Preparation::Ready(prepared) => prepared,
        Preparation::Unchanged(prepared) => {
            follow::discard(&account.stacks, &prepared).await;
            show(&format!("{heading}: no change\n\n"));
            return Ok(Made::Unchanged);
        }
    };
    show(&format!("{heading}\n{}\n", change::shown(&prepared.changes)));
    if args.dry_run {
        follow::discard(&account.stacks, &prepared).await;
        return Ok(Made::Changed);
    }
    if let Err(stopped) = confirm(args.yes, "make this change?") {
        follow::discard(&account.stacks, &prepared).await;
        return Err(stopped);
    }
    follow::execute(&account.stacks, stack, &prepared).await?;
    Ok(Made::Changed)
}
