use expect_test::expect;
use serde_json::json;

use super::*;
use crate::policy::Document;

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn limits(accounts: &str, buckets: &str, queues: &str) -> Limits {
    Limits::parse(accounts, buckets, queues).expect("lists")
}

fn accounts(names: &[&str]) -> Named {
    Named { accounts: set(names), ..Named::default() }
}

#[test]
fn trust_in_another_account_than_those_admitted_is_refused() {
    let within = |limits: &str| {
        Scope::default().admit(
            &self::limits(limits, "*", "*"),
            accounts(&["111111111111"]),
            Way::Forward,
        )
    };
    for admitted in ["*", "111111111111, 333333333333"] {
        assert!(within(admitted).is_ok(), "{admitted}");
    }
    // An empty list admits nothing, not everything.
    for (limits, said) in [
        (
            "",
            expect![
                "the provisioner doesn't admit roles of account `111111111111` (it admits none): add the account to `TrustedAccountIds` of the provisioner's stack, or correct the roles' ARNs"
            ],
        ),
        (
            "333333333333,444444444444",
            expect![
                "the provisioner doesn't admit roles of account `111111111111` (it admits only `333333333333`, `444444444444`): add the account to `TrustedAccountIds` of the provisioner's stack, or correct the roles' ARNs"
            ],
        ),
    ] {
        let refused = within(limits).expect_err("refused");
        assert_eq!(refused.code(), "account_not_trusted");
        said.assert_eq(&refused.to_string());
    }
}

#[test]
fn buckets_and_queues_that_nobody_named_are_refused() {
    let of = |buckets: &[&str], queues: &[&str]| Named {
        buckets: set(buckets),
        queues: set(queues),
        ..Named::default()
    };
    let queue = "arn:aws:sqs:eu-west-1:999999999999:q";
    let limits = limits("*", "arn:aws:s3:::acme-landing, acme-raw-*,arn:aws-cn:s3:::cn/*", queue);
    let code = |named: Named| {
        Scope::default().admit(&limits, named, Way::Forward).err().map(|outside| outside.code())
    };
    assert_eq!(code(of(&["acme-landing", "acme-raw-1", "cn"], &[queue])), None);
    for bucket in ["hr-salaries", "acme-landing2", "xacme-landing", "acme-raw"] {
        assert_eq!(code(of(&[bucket], &[])), Some("bucket_not_admitted"), "{bucket}");
    }
    let other = "arn:aws:sqs:eu-west-1:999999999999:q2";
    assert_eq!(code(of(&[], &[other])), Some("queue_not_admitted"));
    let none = self::limits("none", "none", "none");
    assert_eq!(none, self::limits("", "", ""));
    assert!(Scope::default().admit(&none, of(&["none"], &[]), Way::Forward).is_err());
}

#[test]
fn lists_that_cannot_be_read_are_refused() {
    for (lists, which) in [
        (("1", "", ""), "accounts"),
        (("111111111111,", "", ""), "accounts"),
        (("111111111111,*", "", ""), "accounts"),
        (("", "arn:aws:sqs:::x", ""), "buckets"),
        (("", "a,,b", ""), "buckets"),
        (("", "Acme", ""), "buckets"),
        (("", "", "arn:aws:sqs:eu-west-1:1:q"), "queues"),
        (("", "", "arn:aws:sqs:eu-west-1:*:q"), "queues"),
    ] {
        assert_eq!(Limits::parse(lists.0, lists.1, lists.2), Err(which), "{lists:?}");
    }
}

#[test]
fn the_way_back_admits_what_was_in_force_and_nothing_else() {
    let limits = limits("222222222222", "*", "*");
    // An earlier version, which admitted any account, made this resource.
    let found = Scope::found(accounts(&["888888888888"]));
    let forward =
        found.admit(&limits, accounts(&["222222222222"]), Way::Forward).expect("admitted");
    let back = |scope: &Scope, account| scope.admit(&limits, accounts(&[account]), Way::Back);
    assert!(found.admit(&limits, accounts(&["888888888888"]), Way::Forward).is_err());
    let undone = back(&forward, "888888888888").expect("the inverse");
    assert_eq!(undone.now, accounts(&["888888888888"]));
    // The same request can come again, for example when a rollback is continued.
    assert!(back(&undone, "888888888888").is_ok());
    for scope in [&found, &forward, &undone] {
        assert!(back(scope, "999999999999").is_err(), "{scope:?}");
    }
    // After a handling that died begins again, what was in force before is still in force.
    let again = forward.admit(&limits, accounts(&["222222222222"]), Way::Again).expect("admitted");
    assert_eq!(again, forward);
    // Two updates later, it is no longer in force.
    let later =
        forward.admit(&limits, accounts(&["222222222222"]), Way::Forward).expect("admitted");
    assert!(back(&later, "888888888888").is_err());
}

#[test]
fn keys_of_others_and_whole_buckets_are_refused_unless_they_were_there_before() {
    let limits = limits("", "", "").with_keys_of("333333333333").expect("a list");
    let key = |account: &str| format!("arn:aws:kms:eu-west-1:{account}:key/k");
    let (listed, other) = (key("333333333333"), key("444444444444"));
    let keys = |keys: &[&str]| Named { keys: set(keys), ..Named::default() };
    let whole = |names: &[&str]| Named { whole: set(names), ..Named::default() };
    let code = |scope: &Scope, wanted: Named, way: Way| {
        scope.admit(&limits, wanted, way).map_or_else(|outside| outside.code(), |_| "admitted")
    };
    let new = Scope::default();
    for (wanted, expected) in [
        (keys(&[&listed]), "admitted"),
        (keys(&[&listed, &other]), "key_not_admitted"),
        (keys(&["arn:aws:kms:eu-west-1:333333333333:key/${aws:x}"]), "key_not_admitted"),
        (keys(&["arn:aws:kms:eu-west-1:333333333333:alias/k"]), "key_not_admitted"),
        (whole(&["acme-landing"]), "bucket_read_wholly"),
    ] {
        assert_eq!(code(&new, wanted.clone(), Way::Forward), expected, "{wanted:?}");
        // A rollback to something that was never there isn't admitted either.
        assert_eq!(code(&new, wanted.clone(), Way::Back), expected, "{wanted:?}");
        let found = Scope::found(wanted.clone());
        for way in [Way::Forward, Way::Again, Way::Back] {
            assert_eq!(code(&found, wanted.clone(), way), "admitted", "{wanted:?} {way:?}");
        }
        // Once the resource gives it up, only a rollback admits it again.
        let given_up = found.admit(&limits, Named::default(), Way::Forward).expect("nothing");
        assert_eq!(code(&given_up, wanted.clone(), Way::Forward), expected, "{wanted:?}");
        assert_eq!(code(&given_up, wanted.clone(), Way::Back), "admitted", "{wanted:?}");
        let kept = usize::from(expected != "admitted");
        assert_eq!(limits.kept(&wanted).len(), kept, "{wanted:?}");
    }
    assert_eq!(Limits::ANY.with_keys_of("*"), None);
    assert_eq!(Limits::ANY.with_keys_of("3"), None);
}

#[test]
fn what_a_role_names_is_read_from_its_own_documents() {
    let document = |value: Value| Document::parse(&value.to_string());
    let trust = json!({ "Statement": [
        { "Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": { "AWS": ["arn:aws:iam::888888888888:root", "111111111111", "AROAX"] } },
        { "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": { "Service": "glue.amazonaws.com" } }] });
    let policy = json!({ "Statement": [
        { "Effect": "Allow", "Action": "s3:GetObject",
            "Resource": ["arn:aws:s3:::acme-landing/in/*", "arn:aws:s3:::acme-raw", "*"] }] });
    let role = Observed {
        arn: "arn:aws:iam::111111111111:role/landfall/x".to_owned(),
        role_id: "AROA".to_owned(),
        path: "/landfall/".to_owned(),
        description: String::new(),
        trust: document(trust),
        max_session_secs: 3_600,
        permissions_boundary: None,
        tags: [].into(),
        policies: [(POLICY_NAME.to_owned(), document(policy)), ("other".to_owned(), None)].into(),
        attached: [].into(),
    };
    let named = Named::by_observed(&role);
    let expected =
        Named { buckets: set(&["acme-landing", "acme-raw"]), ..accounts(&["888888888888"]) };
    assert_eq!(named, expected);
}

#[test]
fn a_queue_of_the_stacks_own_account_and_region_needs_no_name() {
    let home = Home::of_stack("arn:aws:cloudformation:eu-west-1:111111111111:stack/s/1");
    let home = home.expect("a stack's id");
    let mut named = Named::default();
    named.insert_queue("arn:aws:sqs:eu-west-1:111111111111:q", &home);
    assert_eq!(named, Named::default());
    let others = [
        "arn:aws:sqs:eu-west-2:111111111111:q",
        "arn:aws:sqs:eu-west-1:999999999999:q",
        "arn:aws-cn:sqs:eu-west-1:111111111111:q",
    ];
    for other in others {
        named.insert_queue(other, &home);
    }
    assert_eq!(named.queues, set(&others));
}

#[test]
fn patterns_of_buckets_mean_what_they_mean_in_a_policy() {
    for (pattern, text, expected) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a*", "a", true),
        ("a*c", "abbc", true),
        ("a*c", "abcb", false),
        ("*-raw-?", "x-raw-raw-1", true),
        ("?", "", false),
        ("**", "", true),
    ] {
        assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
    }
}

#[test]
fn a_policy_is_changed_only_in_a_bucket_that_was_named() {
    let limits = |list: &str| Limits::ANY.with_policies_of(list);
    for list in ["*", "acme-*", "arn:aws:s3:::acme-lan?ing", "No_Bucket", "acme-raw,", "x"] {
        assert_eq!(limits(list), None, "{list}");
    }
    let policies = |names: &[&str]| Named { policies: set(names), ..Named::default() };
    let admit = |list: &str, found: &Scope, way| {
        found.admit(&limits(list).expect("a list"), policies(&["acme-raw"]), way)
    };
    let both = "arn:aws:s3:::acme-landing, acme-raw";
    let scope = admit(both, &Scope::default(), Way::Forward).expect("admitted");
    assert_eq!(scope.now.policies, set(&["acme-raw"]));
    for list in ["", "none"] {
        let refused = admit(list, &Scope::default(), Way::Forward).expect_err("refused");
        assert_eq!(refused.code(), "bucket_policy_not_admitted");
        let text = refused.to_string();
        assert!(text.contains("`acme-raw`") && text.contains("of none"), "{text}");
        // What was in force stays in force for the way back only.
        assert!(admit(list, &scope, Way::Forward).is_err());
        assert_eq!(admit(list, &scope, Way::Back).expect("the way back").now, scope.now);
    }
    // A bucket that may be read or notified of isn't one whose policy may be changed.
    let named = Named { buckets: set(&["acme-raw"]), ..Named::default() };
    let scope = Scope::found(named);
    assert!(scope.admit(&Limits::ANY, policies(&["acme-raw"]), Way::Back).is_err());
}
