//! The stack that forwards IAM's events to an auditor in another region.
//!
//! CloudTrail delivers IAM's events in one region of each partition. The stack belongs there, has a name of its own, and follows
//! the auditor of its account: it takes no parameters of its own.

use std::collections::BTreeMap;

use anyhow::Context;
use landfall_core::partition::iam_region;
use landfall_stacks::Value;
use landfall_stacks::change_set::TemplateAt;
use landfall_stacks::stack::Observed;

use super::make::{Wanted, make};
use super::plan::Step;
use crate::accounts::{Account, check_description};
use crate::args::deploy::DeployArgs;
use crate::cloudformation::template::Template;

/// The template. It is deployed without an upload, because it names no files.
const TEMPLATE: &str = include_str!("../../../infra/iam-events.yaml");
const DESCRIPTION: &str = "Landfall, in either account: the events of IAM.";

/// The parameters that the stack has in common with the auditor.
const OF_THE_AUDITOR: [&str; 3] = ["NamePrefix", "RolePath", "FunctionBoundaryArn"];

/// Returns the name of the stack.
pub fn stack_name(prefix: &str) -> String {
    format!("{prefix}-iam-events")
}

/// Returns the account in IAM's region, or `None` if the stack isn't needed: the auditor is there itself, or nobody knows
/// which region that is.
pub fn place(account: &Account, partition: &str) -> Option<Account> {
    let region = iam_region(partition).filter(|region| *region != account.region)?;
    Some(account.in_region(region))
}

/// Looks for the stack. `account` is the account in IAM's region.
///
/// # Errors
/// Fails if it can't be looked at, or if the name belongs to another stack.
pub async fn find(account: &Account, prefix: &str) -> anyhow::Result<Option<Observed>> {
    let stack = stack_name(prefix);
    let found = account.stacks.find(&stack).await.with_context(|| {
        format!(
            "failed to look for stack `{stack}`, which forwards IAM's events from `{}`: if nobody may use that region, pass \
             --without-iam-events",
            account.region
        )
    })?;
    if let Some(found) = &found {
        check_description(&account.stacks, &stack, found, DESCRIPTION, "iam-events").await?;
    }
    Ok(found)
}

/// Creates or updates the stack for the auditor that `auditor` makes in the region `home`, or shows what that would change.
///
/// # Errors
/// As [`make`].
pub async fn deploy(
    args: &DeployArgs,
    account: &Account,
    auditor: &Step,
    home: &str,
) -> anyhow::Result<()> {
    let stack = stack_name(&args.place.stacks.name_prefix);
    let template = Template::read(TEMPLATE)?;
    let parameters = parameters(auditor, home);
    let wanted =
        Wanted { stack: &stack, purpose: None, template: &template, parameters: &parameters };
    make(args, account, &wanted, Some(TemplateAt::Body(TEMPLATE.to_owned()))).await.map(drop)
}

fn parameters(auditor: &Step, home: &str) -> BTreeMap<String, Value> {
    let its = OF_THE_AUDITOR.into_iter().filter_map(|name| Some((name, auditor.values.get(name)?)));
    let home = ("HomeRegion", home);
    let all = its.map(|(name, value)| (name, value.as_str())).chain([home]);
    all.map(|(name, value)| (name.to_owned(), Value::Text(value.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::accounts::Side;
    use crate::args::deploy::TemplateName;

    #[test]
    fn the_stack_of_iams_events_follows_the_auditor() {
        let values = [
            ("NamePrefix", "acme"),
            ("RolePath", "/company/"),
            ("FunctionBoundaryArn", ""),
            ("AuditMinutes", "15"),
        ];
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let auditor = Step {
            side: Side::Data,
            template: TemplateName::Auditor,
            stack: "acme-auditor".to_owned(),
            parameters: BTreeMap::new(),
            values: values.into(),
            purpose: None,
            warnings: Vec::new(),
        };
        let parameters = parameters(&auditor, "eu-west-1");
        let shown: Vec<String> = parameters
            .iter()
            .map(|(name, value)| format!("{name} = {}", crate::cloudformation::shown(value)))
            .collect();
        expect![[r#"
            FunctionBoundaryArn = 
            HomeRegion = eu-west-1
            NamePrefix = acme
            RolePath = /company/"#]]
        .assert_eq(&shown.join("\n"));
        let template = Template::read(TEMPLATE).expect("a template");
        assert!(parameters.keys().eq(template.parameters.keys()), "{:?}", template.parameters);
        assert!(TEMPLATE.contains(DESCRIPTION), "the description isn't the template's");
    }
}
