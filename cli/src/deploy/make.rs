//! Making a stack what it is to be: shown, agreed to, carried out, followed; or only shown.

use std::collections::BTreeMap;

use landfall_core::plan::printable;

use super::account::Account;
use super::plan::Value;
use super::stack::{Observed, Prepared, Request, Standing, TemplateAt};
use super::template::Template;
use super::words::{self, say, show};
use super::{Done, can_change, change};
use crate::args::deploy::DeployArgs;

/// A stack as it is to be.
pub struct Wanted<'a> {
    pub stack: &'a str,
    pub purpose: Option<&'a str>,
    pub template: &'a Template,
    pub parameters: &'a BTreeMap<String, Value>,
}

impl Wanted<'_> {
    fn heading(&self, account: &Account) -> String {
        let purpose = self.purpose.map(|purpose| format!(": {purpose}")).unwrap_or_default();
        let side = account.side.name();
        format!("stack {} in the {side} ({}, {}){purpose}", self.stack, account.id, account.region)
    }

    /// What creating it would make, as the template alone tells.
    fn creation(&self, account: &Account) -> String {
        let mut text = format!("{} would be created\n", self.heading(account));
        for (name, value) in self.parameters {
            text.push_str(&format!("  {name} = {value}\n"));
        }
        let changes: Vec<change::Change> = self
            .template
            .resources
            .iter()
            .map(|resource| change::Change {
                action: "Add".to_owned(),
                logical_id: resource.logical_id.clone(),
                kind: match &resource.condition {
                    Some(condition) => format!("{} (if {condition})", resource.kind),
                    None => resource.kind.clone(),
                },
                replacement: change::Replacement::None,
                is_retained: false,
            })
            .collect();
        text + &change::shown(&changes) + "\n"
    }
}

/// Makes a stack what it is to be, or shows what that would change.
pub async fn make(
    args: &DeployArgs,
    account: &Account,
    wanted: &Wanted<'_>,
    template: Option<TemplateAt>,
) -> anyhow::Result<Done> {
    let Wanted { stack, .. } = wanted;
    let found = account.stacks.find(stack).await?;
    let standing = found.as_ref().map_or(Standing::Absent, Observed::standing);
    let is_update = standing == Standing::Updatable;
    if let Some(found) = &found {
        can_change(stack, found)?;
    }
    let heading = wanted.heading(account);
    if args.dry_run && !is_update {
        show(&wanted.creation(account));
        if standing == Standing::FailedFirst {
            show("what its failed first creation left would be deleted before that\n\n");
        }
        return Ok(Done::All);
    }
    let Some(template) = template else {
        show(&format!(
            "{heading}: what would change is not known, since there is no artifacts bucket to upload to yet\n\n"
        ));
        return Ok(Done::All);
    };
    if let (Standing::FailedFirst, Some(found)) = (&standing, &found) {
        let status = &found.status;
        let question =
            format!("{heading}: its first creation failed ({status}): delete what it left?");
        if !words::is_agreed(args.yes, &question)? {
            return Ok(Done::Declined);
        }
        match delete(account, stack, found).await? {
            Done::All => {}
            other => return Ok(other),
        }
    }
    let Wanted { parameters, .. } = wanted;
    // One tag that is given takes no other away.
    let mut tags = found.as_ref().map(|found| found.tags.clone()).unwrap_or_default();
    tags.extend(args.tags.clone());
    let is_new = found.is_none() || standing == Standing::FailedFirst;
    let request = Request { stack, template, parameters, tags: &tags, is_update, is_new };
    let Some(prepared) = account.stacks.prepare(&request).await? else {
        show(&format!("{heading}: no change\n\n"));
        return Ok(Done::All);
    };
    let changes = change::shown(&prepared.changes);
    show(&format!("{heading}\n{changes}\n"));
    if args.dry_run {
        account.stacks.discard(&prepared).await;
        return Ok(Done::All);
    }
    let agreed = words::is_agreed(args.yes, "make this change?");
    if !matches!(agreed, Ok(true)) {
        account.stacks.discard(&prepared).await;
        return agreed.map(|_| Done::Declined);
    }
    execute(account, stack, &prepared).await
}

async fn execute(account: &Account, stack: &str, prepared: &Prepared) -> anyhow::Result<Done> {
    let mark = account.stacks.mark(&prepared.stack_id).await?;
    account.stacks.execute(prepared).await?;
    let ended = account.stacks.follow(&prepared.stack_id, mark).await?;
    match ended.status.as_str() {
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" => {
            // Of what was replaced or removed; nobody tries again.
            if let Some(failure) = ended.failure {
                say(&format!("warning: left behind: {failure}"));
            }
            Ok(Done::All)
        }
        status => {
            let mut why = ended.failure.unwrap_or_default();
            // The events only hint at what was found wrong before anything was begun.
            if why.contains("DescribeEvents") {
                let found = account.stacks.validation_errors(&prepared.stack_id, None).await?;
                why = format!("{why} {}", found.join("; "));
            }
            Ok(Done::Failed(failure(account, stack, status, Some(why))))
        }
    }
}

/// Deletes a stack, following it.
pub async fn delete(account: &Account, stack: &str, found: &Observed) -> anyhow::Result<Done> {
    let mark = account.stacks.mark(&found.id).await?;
    account.stacks.start_deletion(&found.id).await?;
    let ended = account.stacks.follow(&found.id, mark).await?;
    match ended.status.as_str() {
        "DELETE_COMPLETE" => Ok(Done::All),
        status => Ok(Done::Failed(failure(account, stack, status, ended.failure))),
    }
}

fn failure(account: &Account, stack: &str, status: &str, why: Option<String>) -> String {
    let place = &account.stacks.place;
    let why = why.filter(|why| !why.is_empty());
    let why = why.unwrap_or_else(|| "its events name no reason".to_owned());
    printable(&format!("stack `{stack}` in {place} is {status}: {why}"))
}
