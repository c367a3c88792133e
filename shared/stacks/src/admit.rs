//! Decides whether a change set does what a repair is to do, and nothing else. Pure.
//!
//! A repair of an unchanged template gives only `…Repair` parameters new values. So whatever else CloudFormation lists
//! must be there because of them: what refers to a repaired resource, or what the template changes with the parameter.

use std::collections::BTreeSet;

use crate::change::{Cause, Change, Replacement};

const OURS: &str = "Custom::Landfall";

/// Returns, in a sentence each, what a change set would do that repairing `drifted` doesn't need, and what it would
/// not do. `marks` holds the parameters that get a new value.
pub fn unexpected(
    changes: &[Change],
    drifted: &BTreeSet<&str>,
    marks: &BTreeSet<String>,
) -> Vec<String> {
    let id = |change: &Change| change.logical_id.clone();
    let mut unexpected: Vec<String> = changes
        .iter()
        .filter_map(|change| {
            Some(format!("`{}` {}", id(change), why(change, changes, drifted, marks)?))
        })
        .collect();
    let is_untouched = |it: &&&str| !changes.iter().any(|change| change.logical_id == **it);
    let untouched = drifted.iter().filter(is_untouched);
    unexpected.extend(untouched.map(|it| format!("`{it}` would not be updated")));
    unexpected
}

/// Returns what [`unexpected`] does, and each change of another resource, even if it depends on what is repaired. For
/// callers that have no rights to change anything but the drifted resources.
pub fn unexpected_alone(
    changes: &[Change],
    drifted: &BTreeSet<&str>,
    marks: &BTreeSet<String>,
) -> Vec<String> {
    let depends = |change: &&Change| {
        !drifted.contains(change.logical_id.as_str())
            && why(change, changes, drifted, marks).is_none()
    };
    let mut unexpected = unexpected(changes, drifted, marks);
    unexpected.extend(changes.iter().filter(depends).map(|change| {
        format!("`{}` depends on what is repaired and would change with it", change.logical_id)
    }));
    unexpected
}

fn why(
    change: &Change,
    all: &[Change],
    drifted: &BTreeSet<&str>,
    marks: &BTreeSet<String>,
) -> Option<&'static str> {
    let Change { action, logical_id, kind, replacement, causes, .. } = change;
    if action != "Modify" {
        return Some("would be added, removed or imported");
    }
    let has_drifted = drifted.contains(logical_id.as_str());
    let is_kept = match replacement {
        Replacement::No => true,
        // CloudFormation leaves it to the provisioner, which replaces a role only if its name changes. A repair changes
        // no name.
        Replacement::Maybe => has_drifted && kind.starts_with(OURS),
        Replacement::Yes | Replacement::None => false,
    };
    if !is_kept {
        return Some("could be replaced");
    }
    match (has_drifted, kind.starts_with(OURS)) {
        (true, true) => return None,
        (true, false) => return Some("is no resource of the provisioner's"),
        (false, true) => return Some("has not drifted and would be updated"),
        (false, false) => {}
    }
    let is_ours = |cause: &Cause| match cause {
        Cause::Parameter(name) => marks.contains(name),
        // Every change is judged, so one that follows from another is as good as that one.
        Cause::Resource(id) => all.iter().any(|other| other.logical_id == *id),
        Cause::Dynamic | Cause::Other => false,
    };
    // Beside the reason that it knows, CloudFormation lists each property whose value it can't know yet.
    let is_known = |cause: &Cause| is_ours(cause) || *cause == Cause::Dynamic;
    let is_expected = causes.iter().any(is_ours) && causes.iter().all(is_known);
    (!is_expected).then_some("would change for another reason than the repair")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(id: &str, kind: &str, causes: &[Cause]) -> Change {
        Change {
            action: "Modify".to_owned(),
            logical_id: id.to_owned(),
            kind: kind.to_owned(),
            replacement: Replacement::No,
            is_retained: false,
            causes: causes.to_vec(),
        }
    }

    fn mark() -> Cause {
        Cause::Parameter("JobRoleRepair".to_owned())
    }

    fn role() -> Change {
        change("JobRole", "Custom::LandfallJobRole", &[mark(), Cause::Dynamic])
    }

    fn told(changes: &[Change]) -> Vec<String> {
        unexpected(
            changes,
            &BTreeSet::from(["JobRole"]),
            &BTreeSet::from(["JobRoleRepair".to_owned()]),
        )
    }

    #[test]
    fn a_repair_may_change_what_drifted_and_what_depends_on_it() {
        let of_role = Cause::Resource("JobRole".to_owned());
        let job = change("Job", "AWS::Glue::Job", std::slice::from_ref(&of_role));
        let policy = change("JobPolicy", "AWS::IAM::Policy", &[Cause::Dynamic, mark(), of_role]);
        assert_eq!(told(&[role()]), Vec::<String>::new());
        let by_provisioner = Change { replacement: Replacement::Maybe, ..role() };
        assert_eq!(told(&[by_provisioner]), Vec::<String>::new());
        let further = change("Trigger", "AWS::Glue::Trigger", &[Cause::Resource("Job".to_owned())]);
        assert_eq!(told(&[role(), job, policy, further]), Vec::<String>::new());
    }

    #[test]
    fn a_repair_that_changes_anything_else_is_refused() {
        let other = change("StarterRole", "Custom::LandfallStarterRole", &[mark()]);
        assert_eq!(told(&[role(), other]), ["`StarterRole` has not drifted and would be updated"]);
        for causes in [
            &[][..],
            &[Cause::Dynamic],
            &[Cause::Other, mark()],
            &[Cause::Parameter("LogLevel".to_owned()), mark()],
            &[Cause::Resource("Key".to_owned())],
        ] {
            let other = change("Trigger", "AWS::Lambda::Function", causes);
            let reason = "`Trigger` would change for another reason than the repair";
            assert_eq!(told(&[role(), other]), [reason], "{causes:?}");
        }
        for replacement in [Replacement::Yes, Replacement::None] {
            let replaced = Change { replacement, ..role() };
            assert_eq!(told(&[replaced]), ["`JobRole` could be replaced"], "{replacement:?}");
        }
        for replacement in [Replacement::Yes, Replacement::Maybe, Replacement::None] {
            let replaced = Change { replacement, ..change("Job", "AWS::Glue::Job", &[mark()]) };
            let reason = ["`Job` could be replaced"];
            assert_eq!(told(&[role(), replaced]), reason, "{replacement:?}");
        }
        for action in ["Add", "Remove", "Import", "Dynamic"] {
            let other =
                Change { action: action.to_owned(), ..change("Job", "AWS::Glue::Job", &[mark()]) };
            assert_eq!(told(&[role(), other]), ["`Job` would be added, removed or imported"]);
        }
        let disguised = change("JobRole", "AWS::IAM::Role", &[mark()]);
        assert_eq!(told(&[disguised]), ["`JobRole` is no resource of the provisioner's"]);
    }

    #[test]
    fn a_repair_that_leaves_something_that_drifted_as_it_is_is_refused() {
        assert_eq!(told(&[]), ["`JobRole` would not be updated"]);
    }

    #[test]
    fn a_repair_without_rights_to_change_anything_else_is_refused_if_something_depends_on_it() {
        let alone = |changes: &[Change]| {
            let (drifted, marks) = (["JobRole"], ["JobRoleRepair".to_owned()]);
            unexpected_alone(changes, &drifted.into(), &marks.into())
        };
        assert_eq!(alone(&[role()]), Vec::<String>::new());
        let job = change("Job", "AWS::Glue::Job", &[Cause::Resource("JobRole".to_owned())]);
        let depends = "`Job` depends on what is repaired and would change with it";
        assert_eq!(alone(&[role(), job]), [depends]);
        let other = change("Other", "Custom::LandfallStarterRole", &[mark()]);
        let reasons = ["`Other` has not drifted and would be updated"];
        assert_eq!(alone(&[role(), other]), reasons);
        assert_eq!(alone(&[]), ["`JobRole` would not be updated"]);
    }
}
