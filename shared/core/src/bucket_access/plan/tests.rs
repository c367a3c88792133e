//! Tests of the order of changes, and of the errors when nothing can be changed.

use serde_json::{Value, json};

use super::*;
use crate::bucket_access::Spec;
use crate::bucket_access::tests::properties;
use crate::roles::Home;

const OWNER: &str = "0123456789abcdef";

fn desired() -> BTreeMap<String, Desired> {
    let home = Home::of_stack("arn:aws:cloudformation:eu-west-1:111111111111:stack/l/2");
    let spec = Spec::read(&properties(), &home.expect("a stack's ID")).expect("valid");
    spec.all_desired(OWNER)
}

fn looks(all: &[(&str, Look)]) -> BTreeMap<String, Look> {
    all.iter().map(|(bucket, look)| ((*bucket).to_owned(), look.clone())).collect()
}

fn found(statements: &[Value]) -> Look {
    let document = json!({ "Version": "2012-10-17", "Statement": statements });
    Look::Found(Some(Policy::parse(&document.to_string()).expect("a policy")))
}

#[test]
fn statements_are_added_before_any_is_removed() {
    let ours = desired()["acme-raw"].statements.clone();
    let looks = looks(&[
        ("acme-before", found(&ours)),
        ("acme-landing", Look::Found(None)),
        ("acme-raw", found(&ours)),
    ]);
    let plan = plan(OWNER, Aim::Converge, &desired(), &looks, None).expect("a plan");
    let put = |bucket: &str| Effect::Put(bucket.to_owned());
    let remove = Effect::Remove("acme-before".to_owned());
    assert_eq!(plan.effects, [put("acme-landing"), put("acme-raw"), remove]);
}

#[test]
fn all_buckets_whose_policy_can_not_be_changed_are_named_together() {
    let mut changed = desired()["acme-raw"].statements[0].clone();
    changed["Principal"] = json!("*");
    let gone = json!({ "Sid": "Old", "Effect": "Allow", "Action": "s3:GetObject",
        "Resource": "*", "Principal": { "AWS": "AROA1234567890ABCDEFG" } });
    let looks = looks(&[
        ("acme-before", found(&[changed])),
        ("acme-landing", found(&[gone])),
        ("acme-raw", Look::Refused("AccessDenied".to_owned())),
    ]);
    let hindrances = plan(OWNER, Aim::Converge, &desired(), &looks, None).expect_err("hindrances");
    let [landing, raw, before] = &hindrances[..] else { panic!("{hindrances:?}") };
    assert!(landing.contains("`acme-landing`") && landing.contains("`Old`"), "{landing}");
    assert_eq!(raw, "can't set the statements of bucket `acme-raw`: AccessDenied");
    let start = "can't remove the statements of bucket `acme-before`: statement `LandfallAccess";
    assert!(before.starts_with(start), "{before}");
    // On the way back, everything that can be done is done.
    let back = plan(OWNER, Aim::Restore, &desired(), &looks, None).expect("a plan");
    let put = |bucket: &str| Effect::Put(bucket.to_owned());
    assert_eq!(back.effects, [put("acme-landing"), put("acme-raw")]);
    let [note] = &back.notes[..] else { panic!("{:?}", back.notes) };
    assert!(
        note.starts_with("bucket `acme-before` keeps its statements if it has any: "),
        "{note}"
    );
}

#[test]
fn a_policy_that_refuses_and_never_got_a_statement_holds_nothing_up() {
    let looks = looks(&[("acme-before", Look::Refused("AccessDenied".to_owned()))]);
    let (never, once) = (BTreeSet::new(), BTreeSet::from(["acme-before".to_owned()]));
    let none = BTreeMap::new();
    let removed = plan(OWNER, Aim::Remove, &none, &looks, Some(&never)).expect("a plan");
    assert_eq!(
        removed.notes,
        ["bucket `acme-before` never got a statement to remove: AccessDenied"]
    );
    for put in [None, Some(&once)] {
        assert!(plan(OWNER, Aim::Remove, &none, &looks, put).is_err());
    }
}
