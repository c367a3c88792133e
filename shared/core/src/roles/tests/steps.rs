//! Tests of the steps from an observed role to the desired one, and that nothing is left to do
//! after them.

use proptest::prelude::*;

use super::*;

fn desired() -> Role {
    role(Kind::Starter, &starter(), STACK, &[]).expect("a role")
}

/// Returns what IAM holds after the steps, according to the documentation of its operations.
fn after(role: &Role, observed: Option<Observed>, steps: &[Step]) -> Option<Observed> {
    steps.iter().fold(observed, |observed, step| match (step, observed) {
        (Step::Create(new), None) => {
            let New { path, description, trust, permissions_boundary, max_session_secs, tags } =
                (**new).clone();
            Some(Observed {
                arn: role.arn.clone(),
                role_id: "AROANEW".to_owned(),
                path,
                description,
                trust: Some(trust),
                max_session_secs,
                permissions_boundary,
                tags,
                policies: BTreeMap::new(),
                attached: BTreeMap::new(),
            })
        }
        (Step::Delete, Some(role)) if role.policies.is_empty() && role.attached.is_empty() => None,
        (step, Some(mut role)) => {
            match step.clone() {
                Step::Tag(tags) => {
                    role.tags
                        .retain(|name, _| !tags.keys().any(|own| own.eq_ignore_ascii_case(name)));
                    role.tags.extend(tags);
                }
                Step::PutBoundary(arn) => role.permissions_boundary = Some(arn),
                Step::Detach(arn) => assert!(role.attached.remove(&arn).is_some()),
                Step::DeletePolicy(name) => assert!(role.policies.remove(&name).is_some()),
                Step::UpdateTrust(document) => role.trust = Some(document),
                Step::PutPolicy { name, document } => {
                    role.policies.insert(name, Some(document));
                }
                Step::Update { description, max_session_secs } => {
                    role.description = description;
                    role.max_session_secs = max_session_secs;
                }
                Step::Untag(names) => role
                    .tags
                    .retain(|name, _| !names.iter().any(|gone| gone.eq_ignore_ascii_case(name))),
                Step::DeleteBoundary => role.permissions_boundary = None,
                Step::Create(_) | Step::Delete => panic!("{step:?} of a role that is there"),
            }
            Some(role)
        }
        (step, None) => panic!("{step:?} of a role that is not there"),
    })
}

fn document() -> impl Strategy<Value = Option<Document>> {
    let own = desired();
    prop_oneof![
        Just(None),
        Just(Some(own.trust.document())),
        Just(Some(own.permissions)),
        Just(Document::parse(r#"{"Statement":{"Effect":"Allow","Principal":{"AWS":"AROAX"}}}"#)),
        brake().prop_map(Some),
    ]
}

fn brake() -> impl Strategy<Value = Document> {
    prop_oneof![Just("*"), Just("s3:*")].prop_map(|action| {
        Document::parse(&format!(r#"{{"Statement":{{"Effect":"Deny","Action":"{action}"}}}}"#))
            .expect("JSON")
    })
}

/// Returns the policies of others that deny, both inline and attached.
fn brakes_of(observed: &Observed) -> BTreeSet<String> {
    let inline = observed.policies.iter().filter(|(name, _)| *name != POLICY_NAME);
    let all = inline.map(|(_, it)| it).chain(observed.attached.values());
    all.flatten().filter(|it| it.only_denies()).map(Document::to_json).collect()
}

prop_compose! {
    /// Generates a role of that name in any state that IAM could hold.
    fn any_observed()(
        description in prop_oneof![Just(String::new()), Just(desired().description)],
        trust in document(),
        max_session_secs in prop_oneof![Just(3600), Just(7200)],
        permissions_boundary in prop_oneof![
            Just(None), Just(Some("other".to_owned())), Just(desired().permissions_boundary)],
        owned in prop_oneof![Just(None), Just(Some("Role-1")), Just(Some("Role-0"))],
        other_tags in proptest::collection::btree_map("(aws:)?[a-z]{1,3}", "[a-z]{0,2}", 0..3),
        team in proptest::option::of(("team|Team|TEAM", "[ab]")),
        policies in proptest::collection::btree_map(
            prop_oneof![
                Just("landfall".to_owned()), Just("extra".to_owned()), Just("brake".to_owned())],
            document(), 0..4),
        attached in proptest::collection::btree_map("arn:/(landfall|extra|x)", document(), 0..3),
    ) -> Observed {
        let mut tags = other_tags;
        tags.extend(team);
        if let Some(physical_id) = owned {
            tags.extend(Owner { physical_id: physical_id.to_owned(), ..owner(STACK) }.tags());
        }
        let (arn, path) = (desired().arn, desired().path);
        let role_id = "AROA1".to_owned();
        Observed { arn, role_id, path, description, trust, max_session_secs, permissions_boundary,
            tags, policies, attached }
    }
}

proptest! {
    #[test]
    fn after_the_steps_nothing_is_left_to_do(
        observed in proptest::option::of(any_observed()),
        is_exclusive in any::<bool>(),
        has_boundary in any::<bool>(),
        brakes in proptest::collection::btree_map("extra|brake|landfall", brake(), 0..3),
    ) {
        let mut desired = desired();
        desired.brakes = brakes;
        desired.is_exclusive = is_exclusive;
        if !has_boundary {
            desired.permissions_boundary = None;
        }
        desired.tags.insert("Team".to_owned(), "a".to_owned());
        match diff(&desired, observed.as_ref()) {
            Ok(steps) => {
                let now = after(&desired, observed.clone(), &steps);
                prop_assert_eq!(diff(&desired, now.as_ref()), Ok(Vec::new()));
                let now = now.expect("a role");
                let mut brakes = observed.as_ref().map(brakes_of).unwrap_or_default();
                brakes.extend(desired.brakes.values().map(Document::to_json));
                prop_assert_eq!(brakes_of(&now), brakes);
                let may_grant = |it: &Option<Document>| it.as_ref().is_none_or(|it| !it.only_denies());
                let grants = now.policies.values().chain(now.attached.values()).filter(|it| may_grant(it));
                prop_assert!(!is_exclusive || grants.count() == 1, "{now:?}");
            }
            Err(conflict) => {
                prop_assert_eq!(conflict.code(), "role_not_ours");
                prop_assert!(observed.is_some_and(|o| Owner::of_tags(&o.tags).is_none()));
            }
        }
    }

    /// The steps that make a missing role are all that a repair of what is missing may do. Cut off after any of them, it has
    /// widened nothing beyond what is desired.
    #[test]
    fn a_role_that_is_made_again_never_grants_more_than_desired(
        brakes in proptest::collection::btree_map("extra|brake", brake(), 0..3),
        has_boundary in any::<bool>(),
    ) {
        let mut desired = desired();
        desired.brakes = brakes;
        if !has_boundary {
            desired.permissions_boundary = None;
        }
        let steps = diff(&desired, None).expect("no conflict");
        let whole = after(&desired, None, &steps).expect("a role");
        for end in 1..=steps.len() {
            let now = after(&desired, None, &steps[..end]).expect("a role");
            prop_assert_eq!((&now.trust, &now.permissions_boundary), (&whole.trust, &whole.permissions_boundary));
            let is_desired = |name: &String| now.policies[name] == whole.policies[name];
            prop_assert!(now.policies.keys().all(is_desired) && now.attached.is_empty());
        }
    }

    /// The steps of a repair are some of those that bring the role to what is desired, and none makes it wider on the way there.
    #[test]
    fn no_step_of_a_repair_grants_what_was_neither_there_nor_is_desired(observed in any_observed()) {
        let desired = desired();
        if let Ok(steps) = diff(&desired, Some(&observed)) {
            let whole = after(&desired, Some(observed.clone()), &steps).expect("a role");
            for end in 0..=steps.len() {
                let Some(now) = after(&desired, Some(observed.clone()), &steps[..end]) else { continue };
                for (name, policy) in &now.policies {
                    let known = [observed.policies.get(name), whole.policies.get(name)];
                    prop_assert!(known.contains(&Some(policy)), "{name} after {end} of {steps:?}");
                }
                prop_assert!(now.attached.keys().all(|arn| observed.attached.contains_key(arn)));
                prop_assert!([&observed.trust, &whole.trust].contains(&&now.trust));
            }
        }
    }

    #[test]
    fn no_policy_is_written_before_the_boundary_is_there(observed in any_observed()) {
        let desired = desired();
        if let Ok(steps) = diff(&desired, Some(&observed)) {
            for (index, step) in steps.iter().enumerate() {
                if matches!(step, Step::PutPolicy { .. }) {
                    let now = after(&desired, Some(observed.clone()), &steps[..index]);
                    prop_assert_eq!(now.and_then(|o| o.permissions_boundary), desired.permissions_boundary.clone());
                }
            }
        }
    }

    #[test]
    fn a_role_never_does_what_a_brake_denied_while_it_is_removed(observed in any_observed()) {
        let steps = removal(&owner(STACK), |_| true, Some(&observed));
        for end in 0..steps.len() {
            let now = after(&desired(), Some(observed.clone()), &steps[..end]).expect("not yet");
            let all = now.policies.values().chain(now.attached.values());
            let grants = all.filter(|it| it.as_ref().is_none_or(|it| !it.only_denies())).count();
            prop_assert!(grants == 0 || brakes_of(&now) == brakes_of(&observed));
        }
    }

    #[test]
    fn a_replacement_has_the_brakes_before_it_may_do_anything(observed in any_observed()) {
        let mut desired = desired();
        desired.brakes = observed.brakes_to_carry();
        let steps = diff(&desired, None).expect("steps");
        let own = steps.iter().position(
            |step| matches!(step, Step::PutPolicy { name, .. } if name == POLICY_NAME));
        let before = after(&desired, None, &steps[..own.expect("a policy")]).expect("a role");
        prop_assert_eq!(brakes_of(&before), brakes_of(&observed));
        prop_assert!(before.policies.values().flatten().all(Document::only_denies));
    }

    #[test]
    fn a_removal_leaves_nothing_of_ours_and_all_of_others(observed in any_observed()) {
        let is_ours = Owner::of_tags(&observed.tags) == Some(owner(STACK));
        let steps = removal(&owner(STACK), |id| id == "Role-1", Some(&observed));
        prop_assert_eq!(steps.is_empty(), !is_ours);
        let now = after(&desired(), Some(observed.clone()), &steps);
        prop_assert_eq!(now, (!is_ours).then_some(observed));
    }
}

/// Returns the document that IAM writes for "Revoke active sessions".
fn revoked_at(time: &str) -> Document {
    let statement = json!({ "Effect": "Deny", "Action": ["*"], "Resource": ["*"],
        "Condition": { "DateLessThan": { "aws:TokenIssueTime": time } } });
    Document::parse(&json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string())
        .expect("JSON")
}

#[test]
fn sessions_that_somebody_revoked_stay_revoked() {
    let name = "AWSRevokeOlderSessions";
    let desired = desired();
    let mut observed =
        after(&desired, None, &diff(&desired, None).expect("steps")).expect("a role");
    observed.policies.insert(name.to_owned(), Some(revoked_at("2026-11-01T00:00:00Z")));
    observed.policies.insert("grants".to_owned(), Some(desired.permissions.clone()));
    let deny_all = "arn:aws:iam::aws:policy/AWSDenyAll".to_owned();
    observed.attached.insert(deny_all.clone(), Some(revoked_at("2027-01-01T00:00:00Z")));
    observed.attached.insert("arn:aws:iam::aws:policy/ReadOnlyAccess".to_owned(), None);
    let steps: Vec<String> =
        diff(&desired, Some(&observed)).expect("steps").iter().map(Step::to_string).collect();
    let removed = "detach policy `arn:aws:iam::aws:policy/ReadOnlyAccess`";
    assert_eq!(steps, [removed, "delete inline policy `grants`"]);
    assert_eq!(observed.brakes(), [name, &deny_all]);
    assert_eq!(observed.unread().collect::<Vec<_>>(), ["arn:aws:iam::aws:policy/ReadOnlyAccess"]);
}

#[test]
fn a_brake_that_is_taken_along_does_not_take_another_ones_place() {
    let name = "AWSRevokeOlderSessions";
    let (first, second) = (revoked_at("2026-11-01T00:00:00Z"), revoked_at("2026-12-01T00:00:00Z"));
    let mut desired = desired();
    let mut observed =
        after(&desired, None, &diff(&desired, None).expect("steps")).expect("a role");
    observed.policies.insert(name.to_owned(), Some(second.clone()));
    desired.brakes.insert(name.to_owned(), first.clone());
    let steps = diff(&desired, Some(&observed)).expect("steps");
    let now = after(&desired, Some(observed), &steps).expect("a role");
    assert_eq!(now.policies[name], Some(second));
    assert_eq!(now.policies.values().filter(|it| it.as_ref() == Some(&first)).count(), 1);
    assert_eq!(diff(&desired, Some(&now)), Ok(Vec::new()));
}

#[test]
fn a_role_of_another_stack_is_not_touched() {
    let desired = desired();
    let steps = diff(&desired, None).expect("steps");
    let ours = after(&desired, None, &steps).expect("a role");
    let mut theirs = ours.clone();
    theirs.tags.insert("landfall:stack-id".to_owned(), "another".to_owned());
    let conflict = diff(&desired, Some(&theirs)).expect_err("a conflict");
    assert!(conflict.to_string().contains("its tags name `Role` of stack `another`"), "{conflict}");
    assert_eq!(removal(&owner(STACK), |id| id == "Role-1", Some(&theirs)), Vec::new());
    assert_eq!(removal(&owner(STACK), |id| id == "Role-1", None), Vec::new());
}

#[test]
fn what_a_replacement_took_over_is_not_removed_with_what_it_replaced() {
    let old = desired();
    let mut new = old.clone();
    new.tags.extend(Owner { physical_id: "Role-2".to_owned(), ..owner(STACK) }.tags());
    let made = after(&old, None, &diff(&old, None).expect("steps"));
    let taken = diff(&new, made.as_ref()).expect("the same resource");
    assert!(matches!(taken.as_slice(), [Step::Tag(_)]), "{taken:?}");
    let now = after(&new, made, &taken);
    assert_eq!(removal(&owner(STACK), |id| id == "Role-1", now.as_ref()), Vec::new());
}

#[test]
fn the_policy_comes_before_the_trust_unless_the_trust_only_narrows() {
    let observed = |trusted: &[&str]| {
        let mut properties = starter();
        properties["TrustedRoleArns"] = json!(trusted);
        properties["Routes"]["routes"].as_array_mut().expect("routes").truncate(1);
        let before = role(Kind::Starter, &properties, STACK, &[]).expect("a role");
        after(&before, None, &diff(&before, None).expect("steps"))
    };
    let order = |trusted: &[&str]| {
        let steps = diff(&desired(), observed(trusted).as_ref()).expect("steps");
        steps.iter().map(Step::operation).collect::<Vec<_>>()
    };
    let own = "arn:aws:iam::111111111111:role/landfall-trigger";
    let other = "arn:aws:iam::111111111111:role/other";
    assert_eq!(order(&[own, other]), ["UpdateAssumeRolePolicy", "PutRolePolicy"]);
    assert_eq!(order(&[other]), ["PutRolePolicy", "UpdateAssumeRolePolicy"]);
    assert_eq!(order(&[own]), ["PutRolePolicy"]);
}

#[test]
fn a_tag_whose_name_differs_in_case_only_is_the_same_tag() {
    let mut desired = desired();
    desired.tags.insert("Team".to_owned(), "data".to_owned());
    let steps = diff(&desired, None).expect("steps");
    let mut observed = after(&desired, None, &steps).expect("a role");
    observed.tags.remove("Team");
    observed.tags.insert("team".to_owned(), "data".to_owned());
    assert_eq!(diff(&desired, Some(&observed)), Ok(Vec::new()));
    observed.tags.insert("team".to_owned(), "other".to_owned());
    let steps = diff(&desired, Some(&observed)).expect("steps");
    assert!(matches!(steps.as_slice(), [Step::Tag(_)]), "{steps:?}");
}

#[test]
fn a_change_of_the_path_alone_is_refused() {
    let desired = desired();
    let mut observed =
        after(&desired, None, &diff(&desired, None).expect("steps")).expect("a role");
    observed.path = "/other/".to_owned();
    let conflict = diff(&desired, Some(&observed)).expect_err("a conflict");
    assert_eq!(conflict.code(), "role_path_changed");
}

#[test]
fn steps_are_told_without_the_external_id() {
    let desired = desired();
    let steps = diff(&desired, None).expect("steps");
    let mut observed = after(&desired, None, &steps).expect("a role");
    observed.trust = None;
    let update = diff(&desired, Some(&observed)).expect("steps");
    for step in steps.iter().chain(&update) {
        assert!(!format!("{step} {step:?}").contains("marked"), "{step}");
    }
}
