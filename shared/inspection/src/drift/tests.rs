use std::collections::BTreeMap;

use landfall_core::bucket_notifications::{Entry, Filter, merge};
use landfall_core::policy::Document;
use landfall_core::roles::{Home, POLICY_NAME};
use serde_json::json;

use super::*;
use crate::requested::NOT_SHOWN;

fn owner() -> Owner {
    Owner {
        stack_id: "arn:aws:cloudformation:eu-west-1:222222222222:stack/landfall/1".to_owned(),
        logical_id: "StarterRole".to_owned(),
        physical_id: "StarterRole-0123456789abcdef".to_owned(),
    }
}

/// Returns the starter role as the command composes it, without its external ID.
fn starter() -> Role {
    let properties = json!({
        "RoleName": "landfall-starter",
        "TrustedRoleArns": ["arn:aws:iam::111111111111:role/landfall-trigger"],
        "ExternalId": NOT_SHOWN,
        "PreviousExternalId": NOT_SHOWN,
        "Routes": {
            "version": "1",
            "targets": { "lake": { "account": "222222222222", "region": "eu-west-1",
                "starter_role": "landfall/landfall-starter", "external_id": "${X}" } },
            "routes": [{ "name": "orders", "bucket": "acme-landing", "key": "orders/{file}",
                "start": { "target": "lake", "job": "orders" } }],
        },
    });
    let home = Home {
        partition: "aws".to_owned(),
        account: "222222222222".to_owned(),
        region: "eu-west-1".to_owned(),
    };
    let spec = RoleSpec::read(Kind::Starter, &properties, &home).expect("valid properties");
    spec.role(&owner(), &BTreeSet::new()).expect("a role")
}

/// Returns the role as it is in IAM, with these external IDs.
fn live(external_ids: &[&str]) -> Observed {
    let mut role = starter();
    if let Trust::Roles { external_ids: ids, .. } = &mut role.trust {
        *ids = external_ids.iter().map(|id| Secret::new(*id)).collect();
    }
    Observed {
        arn: role.arn.clone(),
        role_id: "AROA1".to_owned(),
        path: role.path.clone(),
        description: role.description.clone(),
        trust: Some(role.trust.document()),
        max_session_secs: role.max_session_secs,
        permissions_boundary: None,
        tags: role.tags.clone(),
        policies: BTreeMap::from([(POLICY_NAME.to_owned(), Some(role.permissions.clone()))]),
        attached: BTreeMap::new(),
    }
}

fn looked(observed: Option<&Observed>) -> State {
    let mut role = starter();
    if let Some(observed) = observed {
        take_external_ids(&mut role, observed);
    }
    compared(Kind::Starter, &role, observed)
}

#[track_caller]
fn drifted(state: State) -> String {
    match state {
        State::Drifted { differences, .. } => differences.join("; "),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_role_with_external_ids_that_are_not_known_here_has_not_drifted() {
    for ids in [&["s3cr3t"][..], &["s3cr3t", "former"]] {
        assert!(matches!(looked(Some(&live(ids))), State::AsDesired), "{ids:?}");
    }
}

#[test]
fn a_role_that_demands_no_external_id_any_more_has_drifted() {
    let differences = drifted(looked(Some(&live(&[]))));
    assert!(matches!(looked(Some(&live(&[]))), State::Drifted { is_gone: false, .. }));
    assert!(differences.starts_with("set the trust policy to"), "{differences}");
    assert!(!differences.contains(NOT_SHOWN), "{differences}");
}

#[test]
fn a_missing_role_is_called_missing() {
    assert_eq!(drifted(looked(None)), "the role is missing");
    let State::Drifted { differences: of_job, is_gone: true, .. } =
        compared(Kind::Job, &starter(), None)
    else {
        panic!("a missing role is not gone")
    };
    assert!(of_job.concat().contains("policies that others gave it went with it"), "{of_job:?}");
}

#[test]
fn a_role_that_is_wider_has_drifted_and_one_that_is_only_braked_has_not() {
    let mut observed = live(&["s3cr3t"]);
    let denies =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}"#;
    observed.policies.insert("AWSRevokeOlderSessions".to_owned(), Document::parse(denies));
    assert!(matches!(looked(Some(&observed)), State::AsDesired));
    observed.policies.insert("mine".to_owned(), Document::parse(&denies.replace("Deny", "Allow")));
    let state = looked(Some(&observed));
    assert!(matches!(state, State::Drifted { is_gone: false, .. }), "{state:?}");
    assert_eq!(drifted(state), "delete inline policy `mine`");
}

#[test]
fn a_role_of_somebody_else_can_not_be_repaired() {
    let mut observed = live(&["s3cr3t"]);
    observed.tags.insert("landfall:logical-id".to_owned(), "Other".to_owned());
    assert!(matches!(looked(Some(&observed)), State::Stuck(_)));
}

#[test]
fn what_notifications_lack_is_told() {
    let filter = |prefix: &str| Filter { prefix: prefix.to_owned(), suffix: String::new() };
    let mut desired = bucket_notifications::Desired {
        owner: lifecycle::token(&owner().stack_id, "Notifications"),
        destination: Destination::Queue("arn:aws:sqs:eu-west-1:111111111111:q".to_owned()),
        filters: vec![filter("a/"), filter("b/")],
    };
    let told = |current: &Configuration, desired: &bucket_notifications::Desired| {
        let merged = merge(current, desired).expect("no conflict");
        let is_gone = bucket_notifications::is_gone(current, desired);
        merged.map(|merged| (missing(current, &merged, desired), is_gone))
    };
    let nothing = Configuration::default();
    let missing = |text: &str, is_gone| Some((text.to_owned(), is_gone));
    assert_eq!(told(&nothing, &desired), missing("2 of Landfall's 2 rules are missing", true));
    let mut current = merge(&nothing, &desired).expect("no conflict").expect("rules");
    assert_eq!(told(&current, &desired), None);
    let rule: Entry = current.queues.pop().expect("a rule");
    assert_eq!(told(&current, &desired), missing("1 of Landfall's 2 rules are missing", false));
    current.queues.push(Entry { events: vec!["s3:ObjectCreated:Put".to_owned()], ..rule });
    let differs = "Landfall's rules differ from what the routes need";
    assert_eq!(told(&current, &desired), missing(differs, false));
    desired.destination = Destination::EventBridge;
    let off = "it doesn't send its events to EventBridge";
    assert_eq!(told(&nothing, &desired), missing(off, true));
    // Rules of ours that go to the queue would be removed.
    assert_eq!(told(&current, &desired), missing(off, false));
}
