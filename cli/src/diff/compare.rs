//! Compares a desired role with the observed one, although the command line does not know everything: it does
//! not know the stack, and not always the external ID.

use std::collections::{BTreeMap, BTreeSet};

use landfall_core::roles::{OWNER_TAGS, Observed, Owner, Role, Trust, diff};
use landfall_core::routes::ExternalId;
use landfall_core::secret::Secret;

use crate::desired::DesiredRole;

/// The result for one role.
#[derive(Debug, Default)]
pub struct Comparison {
    /// The differences, in the order in which the provisioner would remove them.
    pub differences: Vec<String>,
    pub notes: Vec<String>,
}

/// What the command knows about the external ID that a role requires.
#[derive(Debug)]
pub enum ExternalIds {
    /// The role requires none.
    None,
    /// The external ID, and its source in words.
    Known(Secret, String),
    /// The reason why the external ID is unknown.
    Unknown(String),
}

impl ExternalIds {
    /// Takes the external ID from the source that the routes name for the trigger.
    pub fn of(desired: &DesiredRole, variable: impl Fn(&str) -> Option<String>) -> Self {
        let mut why = None;
        for source in &desired.external_ids {
            match source {
                Some(ExternalId::Literal(secret)) => {
                    return Self::Known(secret.clone(), "the routes".to_owned());
                }
                Some(ExternalId::Variable(name)) => {
                    match variable(name).filter(|value| !value.is_empty()) {
                        Some(value) => return Self::Known(Secret::new(value), format!("`{name}`")),
                        None => why = Some(format!("`{name}` is not set")),
                    }
                }
                None => why = why.or(Some("the target has none".to_owned())),
            }
        }
        why.map_or(Self::None, Self::Unknown)
    }
}

/// A desired role and the observed one, made equal in what the command line does not know.
#[derive(Debug)]
pub struct Aligned {
    pub role: Role,
    pub observed: Observed,
    /// `false` if the role has no owner tags, so that the provisioner would leave it alone.
    pub is_owned: bool,
    pub notes: Vec<String>,
}

/// Takes the stack that the role belongs to from the observed role, and external IDs that are unknown.
pub fn align(desired: &DesiredRole, observed: &Observed, external_ids: &ExternalIds) -> Aligned {
    let mut role = desired.role.clone();
    let mut observed = observed.clone();
    let mut notes = Vec::new();
    let is_owned = Owner::of_tags(&observed.tags).is_some();
    if is_owned {
        // The command cannot know which stack the role belongs to.
        copy_owner(&observed.tags, &mut role.tags);
    } else {
        copy_owner(&role.tags, &mut observed.tags);
    }
    if let Trust::Roles { external_ids: ours, .. } = &mut role.trust {
        fill_in(ours, &observed.external_ids(), external_ids, &mut notes);
    }
    notes.extend(notes_on_policies(&observed));
    Aligned { role, observed, is_owned, notes }
}

/// What a role without owner tags differs in.
pub const NOT_OWNED: &str = "it has no owner tags: the provisioner would leave it alone";

/// Compares the roles. `is_account_known` says whether the credentials are certain to be for the role's account.
pub fn compare(
    desired: &DesiredRole,
    observed: Option<&Observed>,
    external_ids: &ExternalIds,
    is_account_known: bool,
) -> Comparison {
    let mut comparison = Comparison::default();
    let steps = match observed.map(|observed| align(desired, observed, external_ids)) {
        Some(aligned) => {
            if !aligned.is_owned {
                comparison.differences.push(NOT_OWNED.to_owned());
            }
            comparison.notes = aligned.notes;
            diff(&aligned.role, Some(&aligned.observed))
        }
        None => {
            if !is_account_known {
                comparison.notes.push(format!(
                    "IAM does not say for which account the credentials are: is it {}?",
                    desired.account
                ));
            }
            diff(&desired.role, None)
        }
    };
    match steps {
        Ok(steps) => comparison.differences.extend(steps.iter().map(ToString::to_string)),
        Err(conflict) => comparison.differences.push(conflict.to_string()),
    }
    comparison
}

/// Returns notes on policies that something other than Landfall gave the role.
fn notes_on_policies(observed: &Observed) -> Vec<String> {
    let left = observed.brakes().into_iter().map(|name| {
        format!(
            "policy `{name}` only denies: the provisioner leaves it alone until it deletes the role"
        )
    });
    let unread = observed.unread().map(|arn| {
        format!(
            "policy `{arn}` cannot be read (iam:GetPolicy, iam:GetPolicyVersion): if it only denies, \
             the provisioner leaves it alone"
        )
    });
    left.chain(unread).collect()
}

fn copy_owner(from: &BTreeMap<String, String>, to: &mut BTreeMap<String, String>) {
    for name in OWNER_TAGS {
        if let Some(value) = from.get(name) {
            to.insert(name.to_owned(), value.clone());
        }
    }
}

/// Fills in the external IDs that the trust policy should admit. An unknown external ID is not compared.
fn fill_in(
    ours: &mut Vec<Secret>,
    live: &BTreeSet<String>,
    external_ids: &ExternalIds,
    notes: &mut Vec<String>,
) {
    match external_ids {
        ExternalIds::None => {}
        ExternalIds::Known(secret, source) => {
            *ours = vec![secret.clone()];
            match (live.contains(secret.expose()), live.len()) {
                (true, 1) => {}
                (true, count) => notes.push(format!(
                    "the trust policy admits {count} external IDs, that of {source} among them; the stack's \
                     PreviousExternalId is not known here, and counts as a difference"
                )),
                (false, _) => {
                    notes.push(format!("the trust policy does not admit the external ID of {source}"));
                }
            }
        }
        // A trust policy without any does differ, because the role should require one.
        ExternalIds::Unknown(_) if live.is_empty() => {
            notes.push("the trust policy demands no external ID".to_owned());
        }
        ExternalIds::Unknown(why) => {
            *ours = live.iter().map(|id| Secret::new(id.as_str())).collect();
            let admitted = match live.len() {
                1 => "1 is admitted".to_owned(),
                count => format!("{count} are admitted"),
            };
            notes.push(format!("external IDs are not compared: {why}; {admitted}"));
        }
    }
}
