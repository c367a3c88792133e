//! Computes the steps from the observed role to the desired one, in the order in which to carry
//! them out.

use std::collections::{BTreeMap, BTreeSet};

use super::{New, Observed, Owner, POLICY_NAME, Role, Step, brakes};
use crate::policy::Document;

/// The reason why the role of this name can't become the desired one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum Conflict {
    #[error(
        "role `{arn}` exists but doesn't belong to this resource: {}; choose another `RoleName` or, to take the role \
         over, give it the tags `landfall:stack-id`, `landfall:logical-id` and `landfall:physical-id`",
        owned_by(.owner.as_deref())
    )]
    Foreign { arn: String, owner: Option<Box<Owner>> },
    #[error(
        "can't move role `{arn}` to path `{path}`: role names are unique across paths; change `RoleName` too"
    )]
    OtherPath { arn: String, path: String },
}

fn owned_by(owner: Option<&Owner>) -> String {
    match owner {
        None => "it has no owner tags".to_owned(),
        Some(owner) => {
            format!("its tags name `{}` of stack `{}`", owner.logical_id, owner.stack_id)
        }
    }
}

impl Conflict {
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Foreign { .. } => "role_not_ours",
            Self::OtherPath { .. } => "role_path_changed",
        }
    }
}

/// Returns the steps that turn `observed` into `desired`, or none if there is nothing to do.
///
/// If another replacement of the same resource left a role behind, the steps take it over. The
/// permissions boundary comes before any policy, so that no policy is ever without it. The
/// permissions come before the trust, unless the trust only narrows. Policies of others that only
/// deny stay, and the ones that a replacement takes along are in place before the role may do
/// anything.
///
/// # Errors
/// Returns a [`Conflict`] if the role of that name belongs to somebody else or has another path.
pub fn diff(desired: &Role, observed: Option<&Observed>) -> Result<Vec<Step>, Conflict> {
    let mut steps = Vec::new();
    let policy =
        || Step::PutPolicy { name: POLICY_NAME.to_owned(), document: desired.permissions.clone() };
    let Some(observed) = observed else {
        let create = Step::Create(Box::new(New {
            path: desired.path.clone(),
            description: desired.description.clone(),
            trust: desired.trust.document(),
            permissions_boundary: desired.permissions_boundary.clone(),
            max_session_secs: desired.max_session_secs,
            tags: desired.tags.clone(),
        }));
        let brakes = brakes::to_put(&desired.brakes, &BTreeMap::new());
        return Ok([create].into_iter().chain(brakes::steps(&brakes)).chain([policy()]).collect());
    };
    check(desired, observed)?;
    let missing: BTreeMap<String, String> = desired
        .tags
        .iter()
        .filter(|(name, value)| {
            !observed.tags.iter().any(|tag| is_same(tag.0, name) && tag.1 == *value)
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if !missing.is_empty() {
        steps.push(Step::Tag(missing));
    }
    if let Some(boundary) = &desired.permissions_boundary
        && observed.permissions_boundary.as_ref() != Some(boundary)
    {
        steps.push(Step::PutBoundary(boundary.clone()));
    }
    let put = brakes::to_put(&desired.brakes, &observed.policies);
    steps.extend(brakes::steps(&put));
    if desired.is_exclusive {
        let (grants, _) = attached_by_effect(observed);
        steps.extend(grants.map(Step::Detach));
        let (others, _) = inline_by_effect(observed);
        let is_foreign = |name: &String| name != POLICY_NAME && !put.contains_key(name);
        steps.extend(others.filter(is_foreign).map(Step::DeletePolicy));
    }
    let trust = desired.trust.document();
    let is_narrowing = observed.trust.as_ref().is_some_and(|before| trust.is_part_of(before));
    let is_trusted = observed.trust.as_ref() == Some(&trust);
    let trust = (!is_trusted).then_some(Step::UpdateTrust(trust));
    let may = observed.policies.get(POLICY_NAME).and_then(Option::as_ref);
    let policy = (may != Some(&desired.permissions)).then(policy);
    // A principal that is newly trusted must never have the role's old permissions, and a principal
    // that is no longer trusted must never have its new ones.
    let pair = if is_narrowing { [trust, policy] } else { [policy, trust] };
    steps.extend(pair.into_iter().flatten());
    if (observed.max_session_secs, &observed.description)
        != (desired.max_session_secs, &desired.description)
    {
        steps.push(Step::Update {
            description: desired.description.clone(),
            max_session_secs: desired.max_session_secs,
        });
    }
    let extra: BTreeSet<String> = observed
        .tags
        .keys()
        .filter(|name| {
            !desired.tags.keys().any(|own| is_same(own, name)) && !name.starts_with("aws:")
        })
        .cloned()
        .collect();
    if !extra.is_empty() {
        steps.push(Step::Untag(extra));
    }
    if desired.permissions_boundary.is_none() && observed.permissions_boundary.is_some() {
        steps.push(Step::DeleteBoundary);
    }
    Ok(steps)
}

/// Returns `true` if IAM treats both names as the same tag. It ignores case.
fn is_same(name: &str, other: &str) -> bool {
    name.to_lowercase() == other.to_lowercase()
}

fn check(desired: &Role, observed: &Observed) -> Result<(), Conflict> {
    let owner = Owner::of_tags(&observed.tags);
    let is_ours = match (&owner, desired.owner()) {
        (Some(theirs), Some(ours)) => ours.is_same_resource(theirs),
        _ => false,
    };
    let arn = observed.arn.clone();
    if !is_ours {
        return Err(Conflict::Foreign { arn, owner: owner.map(Box::new) });
    }
    if observed.path != desired.path {
        return Err(Conflict::OtherPath { arn, path: desired.path.clone() });
    }
    Ok(())
}

/// Returns the steps that remove a role. Returns none if the role isn't there, doesn't belong to
/// `owner`'s resource, or has a physical ID that isn't gone. A replacement that took the role over
/// has put its own ID on it, so cleaning up what it replaced leaves the role alone.
pub fn removal(
    owner: &Owner,
    is_gone: impl Fn(&str) -> bool,
    observed: Option<&Observed>,
) -> Vec<Step> {
    let is_to_go = |observed: &&Observed| {
        let theirs = Owner::of_tags(&observed.tags);
        theirs.is_some_and(|theirs| owner.is_same_resource(&theirs) && is_gone(&theirs.physical_id))
    };
    let Some(observed) = observed.filter(is_to_go) else {
        return Vec::new();
    };
    // Policies that deny go last, so that the role can never do more than before.
    let (attached_grants, attached_brakes) = attached_by_effect(observed);
    let (grants, brakes) = inline_by_effect(observed);
    let grants = attached_grants.map(Step::Detach).chain(grants.map(Step::DeletePolicy));
    let brakes = attached_brakes.map(Step::Detach).chain(brakes.map(Step::DeletePolicy));
    grants.chain(brakes).chain([Step::Delete]).collect()
}

/// Returns the ARNs of the managed policies that may grant, and those of the brakes.
fn attached_by_effect(
    observed: &Observed,
) -> (impl Iterator<Item = String>, impl Iterator<Item = String>) {
    let is_brake = |document: &Option<Document>| brakes::is_attached_brake(document.as_ref());
    by_effect(observed.attached.iter().map(move |(arn, it)| (arn.clone(), is_brake(it))))
}

/// Returns the names of the inline policies that may grant, including ours, and those of the
/// brakes.
fn inline_by_effect(
    observed: &Observed,
) -> (impl Iterator<Item = String>, impl Iterator<Item = String>) {
    let is_brake =
        |name: &str, document: &Option<Document>| brakes::is_brake(name, document.as_ref());
    let all = observed.policies.iter();
    by_effect(all.map(move |(name, it)| (name.clone(), is_brake(name, it))))
}

fn by_effect(
    all: impl Iterator<Item = (String, bool)>,
) -> (impl Iterator<Item = String>, impl Iterator<Item = String>) {
    let (brakes, grants): (Vec<_>, Vec<_>) = all.partition(|(_, is_brake)| *is_brake);
    let names = |all: Vec<(String, bool)>| all.into_iter().map(|(name, _)| name);
    (names(grants), names(brakes))
}
