//! The checks of targets: their accounts, regions, roles and external IDs.

use std::collections::BTreeMap;

use super::{ROUTE_NAME, is_route_name};
use crate::arn::{RoleArn, is_account, is_role_name};
use crate::at::At;
use crate::batch::NO_TARGET;
use crate::partition::of_region;
use crate::problem::Problem;
use crate::routes::{ExternalId, Target, written};
use crate::secret::Secret;

/// Returns the valid targets by name and reports the problems of the others.
pub(crate) fn resolve(written: &written::RoutesFile, at: &mut At<'_>) -> BTreeMap<String, Target> {
    let Some(targets) = &written.targets else {
        let needs_none = |route: &written::Route| {
            let start = route.start.as_ref();
            start.is_some_and(|start| start.target.as_deref() == Some(NO_TARGET))
        };
        let routes = written.routes.as_deref().unwrap_or_default();
        if routes.is_empty() || !routes.iter().all(needs_none) {
            at.missing("targets");
        }
        return BTreeMap::new();
    };
    let mut at = at.key("targets");
    targets
        .iter()
        .filter_map(|(name, target)| {
            let mut at = at.key(name);
            if !is_route_name(name) {
                let problem =
                    Problem::error(&at.key_place(), format!("`{name}` is not a valid target name"));
                at.problems.push(problem.hint(ROUTE_NAME));
            }
            Some((name.clone(), self::target(name, target, &mut at)?))
        })
        .collect()
}

fn target(name: &str, written: &written::Target, at: &mut At<'_>) -> Option<Target> {
    let account = at.text("account", &written.account, |account| {
        is_account(account).then_some(()).ok_or_else(|| {
            (format!("`{account}` is not an account ID"), "an account ID has 12 digits".to_owned())
        })
    });
    let region = at.text("region", &written.region, |region| {
        of_region(region).map(|_| ()).ok_or_else(|| {
            (format!("`{region}` is not a region"), "a region looks like `eu-west-1`".to_owned())
        })
    });
    let role =
        at.text("starter_role", &written.starter_role, |role| role_problem(role, account, region));
    let external_id = written.external_id.as_deref().and_then(|text| external_id(text, at));
    if written.external_id.is_none() {
        at.warning(
            format!("target `{name}` has no `external_id`"),
            "with one, only someone who knows it can make the trigger's account assume the role: \
             external_id: ${LANDFALL_EXTERNAL_ID}",
        );
    }
    let (account, region, role) = (account?, region?, role?);
    let partition = of_region(region)?;
    Some(Target {
        name: name.to_owned(),
        account: account.to_owned(),
        region: region.to_owned(),
        starter_role_arn: if role.starts_with("arn:") {
            role.to_owned()
        } else {
            let role = role.trim_start_matches('/');
            format!("arn:{partition}:iam::{account}:role/{role}")
        },
        external_id,
    })
}

fn role_problem(
    role: &str,
    account: Option<&str>,
    region: Option<&str>,
) -> Result<(), (String, String)> {
    if !role.starts_with("arn:") {
        return is_role_name(role.trim_start_matches('/')).then_some(()).ok_or_else(|| {
            (
                format!("`{role}` is not a valid role name"),
                "a name has at most 64 letters, digits and `_+=,.@-`; a path can come before it"
                    .to_owned(),
            )
        });
    }
    let arn = RoleArn::parse(role).ok_or_else(|| {
        (
            format!("`{role}` is not the ARN of a role"),
            "it looks like arn:aws:iam::222222222222:role/landfall-starter".to_owned(),
        )
    })?;
    if account.is_some_and(|account| account != arn.account) {
        return Err((
            format!("the role is in account `{}`, but the target is another", arn.account),
            "the starter role and the jobs must be in the same account".to_owned(),
        ));
    }
    match region.and_then(of_region).filter(|partition| *partition != arn.partition) {
        None => Ok(()),
        Some(partition) => Err((
            format!("the role is in partition `{}`, but the region isn't", arn.partition),
            format!("ARNs of that region begin with `arn:{partition}:`"),
        )),
    }
}

/// Reads an external ID. The text may be a secret, so no message repeats it.
fn external_id(text: &str, at: &mut At<'_>) -> Option<ExternalId> {
    let mut at = at.key("external_id");
    if let Some(name) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
        let is_variable = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_variable {
            at.error("not the name of an environment variable", "write ${LANDFALL_EXTERNAL_ID}");
            return None;
        }
        return Some(ExternalId::Variable(name.to_owned()));
    }
    if !is_external_id(text) {
        at.error(
            "not an external ID",
            "STS allows 2 to 1,224 letters, digits and `_+=,.@:/-`; or write ${LANDFALL_EXTERNAL_ID}",
        );
        return None;
    }
    if is_short_external_id(text) {
        at.warning(
            format!("the external ID has fewer than {NEW_EXTERNAL_ID_CHARS} characters"),
            "it can be guessed: rotate it to a random one, as `landfall deploy --rotate-external-id` does",
        );
    }
    at.warning(
        "the external ID is in the file, which is packaged with the function",
        "take it from the environment: ${LANDFALL_EXTERNAL_ID}",
    );
    Some(ExternalId::Literal(Secret::new(text)))
}

/// The minimum length of a new external ID, in characters. A shorter one that is already deployed
/// continues to work, with warnings.
pub const NEW_EXTERNAL_ID_CHARS: usize = 16;

/// Returns `true` if the external ID is shorter than a new one may be.
pub fn is_short_external_id(text: &str) -> bool {
    text.len() < NEW_EXTERNAL_ID_CHARS
}

/// Returns `true` if `text` is an external ID that STS accepts: 2 to 1,224 characters of
/// `[\w+=,.@:\/-]`.
pub fn is_external_id(text: &str) -> bool {
    (2..=1224).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&b))
}
