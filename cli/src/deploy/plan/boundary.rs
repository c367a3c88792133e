//! Decides whether the permissions boundary can list what it allows: IAM limits the size of a managed policy.

use std::collections::BTreeMap;

use landfall_core::partition::dns_suffix;

use super::{Facts, Side, Step, Value};
use crate::cloudformation::template::Template;

/// IAM's quota for a managed policy, in characters other than white space.
const MAX_CHARS: usize = 6_144;
const BY_ACCOUNT: &str = "BoundaryByAccount";
const POLICY: &str = "Boundary";

/// Makes the boundary go by the account if its lists are too long, unless the user set the parameter (`is_given`).
/// A boundary that goes by the account stays that way until `narrow`.
///
/// # Errors
/// Fails if the boundary is too large even then.
pub fn fitted(
    mut step: Step,
    place: &str,
    facts: &Facts,
    template: &Template,
    is_given: bool,
    narrow: bool,
) -> Result<Step, String> {
    let is_own = step.values.get("PermissionsBoundaryArn").is_some_and(|arn| !arn.is_empty());
    if is_own || !template.parameters.contains_key(BY_ACCOUNT) {
        return Ok(step);
    }
    let chars = |by_account: &str| {
        let mut values = with_pseudo_parameters(&step, facts);
        values.insert(BY_ACCOUNT.to_owned(), by_account.to_owned());
        template.policy_chars(POLICY, &values).unwrap_or_default()
    };
    let (listed, by_account) = (chars("false"), chars("true"));
    let is_by_account = step.values.get(BY_ACCOUNT).is_some_and(|value| value == "true");
    let will_be =
        if is_given { is_by_account } else { listed > MAX_CHARS || (is_by_account && !narrow) };
    let chars = if will_be { by_account } else { listed };
    if chars > MAX_CHARS {
        return Err(format!(
            "the permissions boundary of {place} has {chars} characters, but IAM allows {MAX_CHARS}: name fewer \
             connections, streams and namespaces, or set your own boundary with \
             --parameter provisioner:PermissionsBoundaryArn=…"
        ));
    }
    if will_be {
        let why = if listed > MAX_CHARS {
            format!("its lists would make it {listed} characters long, but IAM allows {MAX_CHARS}")
        } else {
            "it did so before, though its lists would fit".to_owned()
        };
        step.warnings.push(format!(
            "the permissions boundary of {place} goes by the account: {why}. It allows any bucket and job of the \
             account, and Landfall's roles in any account; the roles' own policies stay as narrow as the routes."
        ));
    }
    if will_be != is_by_account {
        let value = will_be.to_string();
        step.values.insert(BY_ACCOUNT.to_owned(), value.clone());
        step.parameters.insert(BY_ACCOUNT.to_owned(), Value::Text(value));
    }
    Ok(step)
}

fn with_pseudo_parameters(step: &Step, facts: &Facts) -> BTreeMap<String, String> {
    let (account, region) = match step.side {
        Side::Data => (&facts.data_account, &facts.data_region),
        Side::Analytics => (&facts.analytics_account, &facts.analytics_region),
    };
    // For an unknown partition, the longest suffix counts.
    let suffix = dns_suffix(&facts.partition).unwrap_or("amazonaws.com.cn");
    let mut values = step.values.clone();
    for (name, value) in [
        ("AWS::AccountId", account.as_str()),
        ("AWS::Region", region),
        ("AWS::Partition", &facts.partition),
        ("AWS::URLSuffix", suffix),
    ] {
        values.insert(name.to_owned(), value.to_owned());
    }
    values
}
