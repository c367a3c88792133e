//! Finds the stacks of the analytics account that the routes lead to. Each has one starter role and one
//! job role, and the data account has one reader role for it.

use anyhow::{Context, bail};
use landfall_core::arn::RoleArn;
use landfall_core::routes::{ExternalId, Routes, Target};

use crate::args::roles::{RolesArgs, WhichAccount};
use crate::input;
use crate::terminal::phrases::quoted;

/// The templates' default NamePrefix.
const DEFAULT_PREFIX: &str = "landfall";

/// A stack of analytics-account.yaml, and what the stack of data-account.yaml has to know about it.
#[derive(Debug)]
pub struct Stack {
    /// The targets that lead to the stack, in their order.
    pub targets: Vec<String>,
    pub partition: String,
    pub account: String,
    pub region: String,
    pub name_prefix: String,
    pub data_account: String,
    pub data_name_prefix: String,
    /// The sources of its targets' external IDs.
    pub external_ids: Vec<Option<ExternalId>>,
}

/// Returns the stacks of the chosen targets, in the order of the targets.
pub fn find(
    routes: &Routes,
    args: &RolesArgs,
    account: Option<WhichAccount>,
) -> anyhow::Result<Vec<Stack>> {
    let mut stacks: Vec<(Stack, Vec<&str>)> = Vec::new();
    for target in targets(routes, args.target.as_deref())? {
        let arn = RoleArn::parse(&target.starter_role_arn)
            .context("the starter role of a target has no ARN")?;
        let name_prefix = args.analytics_name_prefix.as_ref().or(args.name_prefix.as_ref());
        let name_prefix = name_prefix
            .map_or_else(|| prefix_of(arn.name, &args.provisioned_role_path), String::as_str);
        let known = stacks
            .iter_mut()
            .find(|(s, _)| s.account == target.account && s.name_prefix == name_prefix);
        if let Some((stack, regions)) = known {
            stack.targets.push(target.name.clone());
            stack.external_ids.push(target.external_id.clone());
            regions.push(&target.region);
            continue;
        }
        let data_name_prefix = args.data_name_prefix.as_ref().or(args.name_prefix.as_ref());
        let stack = Stack {
            targets: vec![target.name.clone()],
            partition: arn.partition.to_owned(),
            account: target.account.clone(),
            region: args.region.clone().unwrap_or_else(|| target.region.clone()),
            name_prefix: name_prefix.to_owned(),
            data_account: args.data_account.clone(),
            data_name_prefix: data_name_prefix.map_or(DEFAULT_PREFIX, String::as_str).to_owned(),
            external_ids: vec![target.external_id.clone()],
        };
        stacks.push((stack, vec![&target.region]));
    }
    // No policy of the data account contains a region.
    let is_region_needed = args.region.is_none() && account != Some(WhichAccount::Data);
    for (stack, regions) in &stacks {
        if is_region_needed && regions.iter().any(|region| *region != stack.region) {
            bail!(
                "targets {} share a starter role and have several regions: name the region of its \
                 stack with --region",
                quoted(&stack.targets)
            );
        }
    }
    Ok(stacks.into_iter().map(|(stack, _)| stack).collect())
}

/// Returns the target of this name, or all targets that routes start jobs in. Others have no roles.
fn targets<'a>(routes: &'a Routes, name: Option<&str>) -> anyhow::Result<Vec<&'a Target>> {
    if let Some(name) = name {
        return Ok(vec![input::target(routes, name)?]);
    }
    let is_used = |target: &&Target| routes.routes.iter().any(|r| r.target == target.name);
    Ok(routes.targets.values().filter(is_used).collect())
}

/// Returns the NamePrefix of the stack whose starter role has this name, which includes the path. If no
/// NamePrefix can make that name, it returns the default, whose roles then show what is wrong.
fn prefix_of<'r>(role: &'r str, path: &str) -> &'r str {
    let name = role.strip_prefix(path.trim_start_matches('/'));
    let prefix = name.and_then(|name| name.strip_suffix("-starter"));
    prefix.filter(|prefix| !prefix.is_empty()).unwrap_or(DEFAULT_PREFIX)
}
