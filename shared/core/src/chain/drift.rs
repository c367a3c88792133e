//! How a role differs from the desired one, and what each difference means for the chain.

use std::collections::BTreeSet;

use crate::policy::Document;
use crate::roles::{Conflict, Observed, POLICY_NAME, Role, Step, diff};

/// A difference between a role and the desired one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What it means.
    pub kind: Kind,
    /// The step that would remove it, in words and without external IDs.
    pub text: String,
}

/// What a difference means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The role may do less, or admits fewer callers.
    Narrower,
    /// The role may do other things, or admits other callers. Something that it needs can be missing.
    Other,
    /// The role may do more, or admits more callers, and lacks nothing.
    Wider,
    /// The role has no permissions boundary.
    BoundaryMissing,
    /// The role has another permissions boundary.
    BoundaryOther,
    /// The role belongs to something else.
    NotOurs,
    /// The role has other tags, another description or another session length.
    Details,
}

/// Compares the role with the desired one. Returns one difference for each step of [`diff`].
pub fn differences(desired: &Role, observed: &Observed) -> Vec<Difference> {
    let steps = match diff(desired, Some(observed)) {
        Ok(steps) => steps,
        Err(conflict @ (Conflict::Foreign { .. } | Conflict::OtherPath { .. })) => {
            return vec![Difference { kind: Kind::NotOurs, text: conflict.to_string() }];
        }
    };
    let of_step = |step: &Step| Difference { kind: kind(step, observed), text: step.to_string() };
    steps.iter().map(of_step).collect()
}

fn kind(step: &Step, observed: &Observed) -> Kind {
    match step {
        Step::UpdateTrust(desired) => compare(desired, observed.trust.as_ref()),
        Step::PutPolicy { name, document } => {
            compare(document, observed.policies.get(name).and_then(Option::as_ref))
        }
        Step::Detach(_) => Kind::Wider,
        // Our own policy is never deleted while the role is desired.
        Step::DeletePolicy(name) if name != POLICY_NAME => Kind::Wider,
        Step::PutBoundary(_) if observed.permissions_boundary.is_none() => Kind::BoundaryMissing,
        Step::PutBoundary(_) | Step::DeleteBoundary => Kind::BoundaryOther,
        Step::Tag(_) | Step::Untag(_) | Step::Update { .. } => Kind::Details,
        Step::DeletePolicy(_) | Step::Create(_) | Step::Delete => Kind::Other,
    }
}

/// Compares an observed document with the desired one. In case of doubt it is [`Kind::Other`].
fn compare(desired: &Document, observed: Option<&Document>) -> Kind {
    let Some(observed) = observed else {
        return Kind::Narrower;
    };
    let (wanted, found) = (statements(desired), statements(observed));
    if observed.is_part_of(desired) || found.is_subset(&wanted) {
        Kind::Narrower
    } else if desired.is_part_of(observed) || wanted.is_subset(&found) {
        Kind::Wider
    } else {
        Kind::Other
    }
}

/// Returns the statements, each as text.
fn statements(document: &Document) -> BTreeSet<String> {
    let statements = document.value()["Statement"].as_array();
    statements.into_iter().flatten().map(ToString::to_string).collect()
}
