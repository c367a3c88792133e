//! How our statements in a bucket's policy compare with the desired ones.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Conflict, Desired, Policy, apart, merge};
use crate::policy::Document;

/// How our statements in a bucket's policy compare with the desired ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// They are the same.
    AsDesired,
    /// The policy has none of ours.
    Missing,
    /// They admit whom they should, and others too.
    Wider,
    /// They admit less than they should, or others.
    Changed,
    /// They differ, and Landfall can't put them right.
    Stuck(Conflict),
}

/// Compares our statements in a bucket's policy with the desired ones. `current` is `None` if the bucket has no policy.
/// In case of doubt they are [`Comparison::Changed`].
pub fn compare(current: Option<&Policy>, desired: &Desired) -> Comparison {
    let nothing = Policy::new();
    let ours = apart(current.unwrap_or(&nothing), &desired.owner).map(|(_, ours)| ours);
    match (merge(current, desired), ours) {
        (Ok(None), _) => Comparison::AsDesired,
        (Err(conflict), _) | (_, Err(conflict)) => Comparison::Stuck(conflict),
        (Ok(Some(_)), Ok(ours)) if ours.is_empty() => Comparison::Missing,
        (Ok(Some(_)), Ok(ours)) => {
            if is_part_of(&desired.statements, &ours) {
                Comparison::Wider
            } else {
                Comparison::Changed
            }
        }
    }
}

/// Returns `true` if `ours` admits whatever `wanted` admits: it has each of its statements, with more values in a
/// condition at most. All of them allow.
fn is_part_of(wanted: &[Value], ours: &[Value]) -> bool {
    let is_in = |statement: &Value| {
        let one = document(statement);
        ours.iter().any(|other| {
            one.as_ref().zip(document(other)).is_some_and(|(one, other)| one.is_part_of(&other))
        })
    };
    let texts = |all: &[Value]| all.iter().map(Value::to_string).collect::<BTreeSet<_>>();
    texts(wanted).is_subset(&texts(ours)) || wanted.iter().all(is_in)
}

fn document(statement: &Value) -> Option<Document> {
    Document::parse(&json!({ "Statement": [statement] }).to_string())
}
