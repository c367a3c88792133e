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
    // With a denial more, a role may do less, and with one less, more.
    let differ = wanted.symmetric_difference(&found);
    if differ.into_iter().any(|statement| statement.contains(r#""Effect":"Deny""#)) {
        return Kind::Other;
    }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::policy::Statement;
    use crate::roles::{Owner, Trust};

    fn allow(actions: &[&str]) -> Statement {
        Statement::allow("A", actions.iter().copied()).on(["*".to_owned()])
    }

    fn desired() -> Role {
        let owner = Owner {
            stack_id: "s".to_owned(),
            logical_id: "Role".to_owned(),
            physical_id: "p".to_owned(),
        };
        let tags = [
            ("landfall:stack-id", owner.stack_id),
            ("landfall:logical-id", owner.logical_id),
            ("landfall:physical-id", owner.physical_id),
        ];
        Role {
            arn: "arn:aws:iam::111111111111:role/landfall/r".to_owned(),
            name: "r".to_owned(),
            path: "/landfall/".to_owned(),
            description: "d".to_owned(),
            trust: Trust::Service("glue.amazonaws.com"),
            permissions: Document::new([allow(&["s3:GetObject"]), allow(&["kms:Decrypt"])]),
            permissions_boundary: Some("arn:aws:iam::111111111111:policy/b".to_owned()),
            max_session_secs: 3_600,
            tags: tags.map(|(name, value)| (name.to_owned(), value)).into(),
            is_exclusive: true,
            brakes: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    fn observed() -> Observed {
        let role = desired();
        Observed {
            arn: role.arn,
            role_id: "AROAEXAMPLEEXAMPLE1".to_owned(),
            path: role.path,
            description: role.description,
            trust: Some(role.trust.document()),
            max_session_secs: role.max_session_secs,
            permissions_boundary: role.permissions_boundary,
            tags: role.tags,
            policies: BTreeMap::from([(POLICY_NAME.to_owned(), Some(role.permissions))]),
            attached: BTreeMap::new(),
        }
    }

    fn kinds(change: fn(&mut Observed)) -> Vec<Kind> {
        let mut observed = observed();
        change(&mut observed);
        differences(&desired(), &observed).iter().map(|difference| difference.kind).collect()
    }

    fn may(observed: &mut Observed, statements: impl IntoIterator<Item = Statement>) {
        observed.policies.insert(POLICY_NAME.to_owned(), Some(Document::new(statements)));
    }

    type Case = (fn(&mut Observed), &'static [Kind]);

    #[test]
    fn each_difference_says_whether_the_role_may_do_less_or_more() {
        let cases: [Case; 13] = [
            (|_| {}, &[]),
            (|role| role.policies.clear(), &[Kind::Narrower]),
            (|role| may(role, [allow(&["kms:Decrypt"])]), &[Kind::Narrower]),
            (
                |role| {
                    may(
                        role,
                        [allow(&["kms:Decrypt"]), allow(&["s3:GetObject"]), allow(&["iam:*"])],
                    );
                },
                &[Kind::Wider],
            ),
            (|role| may(role, [allow(&["s3:*"]), allow(&["kms:Decrypt"])]), &[Kind::Other]),
            (
                |role| {
                    let deny = Statement::deny("B", ["kms:*"]).on(["*".to_owned()]);
                    may(role, [allow(&["kms:Decrypt"]), allow(&["s3:GetObject"]), deny]);
                },
                &[Kind::Other],
            ),
            (|role| role.trust = None, &[Kind::Narrower]),
            (
                |role| {
                    let extra = Statement::allow("B", ["sts:AssumeRole"]).by("AWS", "*");
                    let ours = Statement::allow("ServiceOnly", ["sts:AssumeRole"])
                        .by("Service", "glue.amazonaws.com");
                    role.trust = Some(Document::new([ours, extra]));
                },
                &[Kind::Wider],
            ),
            (
                |role| drop(role.attached.insert("arn:aws:iam::aws:policy/X".to_owned(), None)),
                &[Kind::Wider],
            ),
            (|role| role.permissions_boundary = None, &[Kind::BoundaryMissing]),
            (|role| role.permissions_boundary = Some("x".to_owned()), &[Kind::BoundaryOther]),
            (|role| role.tags.clear(), &[Kind::NotOurs]),
            (|role| role.max_session_secs = 7_200, &[Kind::Details]),
        ];
        for (number, (change, expected)) in cases.into_iter().enumerate() {
            assert_eq!(kinds(change), expected, "case {number}");
        }
    }
}
