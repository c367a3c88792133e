//! Tests of the statements, and of what becomes of the statements of others.

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::roles::Home;

const OWNER: &str = "0123456789abcdef";
const STACK: &str = "arn:aws:cloudformation:eu-west-1:111111111111:stack/landfall/2";

pub(super) fn properties() -> Value {
    let route = |name: &str, bucket: &str, key: &str, target: &str, access: &str| {
        json!({ "name": name, "bucket": bucket, "key": key,
            "start": { "target": target, "job": "j", "access": access } })
    };
    let target = |account: &str| {
        json!({ "account": account, "region": "eu-west-1", "starter_role": "s",
            "external_id": "${X}" })
    };
    json!({
        "ServiceToken": "t",
        "Version": "1",
        "JobRoleArns": [
            "arn:aws:iam::222222222222:role/team/plain-job",
            "arn:aws:iam::222222222222:role/landfall/landfall-job",
            "arn:aws:iam::333333333333:role/other-job",
        ],
        "Routes": {
            "version": "1",
            "targets": { "lake": target("222222222222"), "elsewhere": target("333333333333") },
            "routes": [
                route("orders", "acme-landing", "orders/{file}.csv", "lake", "bucket_policy"),
                route("part", "acme-landing", "orders/eu/{file}.csv", "lake", "bucket_policy"),
                route("one", "acme-landing", "one/sta?s.csv", "lake", "bucket_policy"),
                route("secret", "acme-landing", "secret/**", "lake", "role"),
                route("others", "acme-landing", "in/{file}", "elsewhere", "bucket_policy"),
                route("raw", "acme-raw", "**", "elsewhere", "bucket_policy"),
                route("by-role", "acme-roles", "in/**", "lake", "role"),
            ],
        },
    })
}

fn spec() -> Spec {
    let home = Home::of_stack(STACK).expect("a stack's ID");
    Spec::read(&properties(), &home).expect("valid properties")
}

fn desired() -> Desired {
    spec().all_desired(OWNER).remove("acme-landing").expect("a bucket of the routes")
}

fn policy(statements: &[Value]) -> Policy {
    let document = json!({ "Version": "2012-10-17", "Id": "theirs", "Statement": statements });
    Policy::parse(&document.to_string()).expect("a policy")
}

fn theirs(sid: &str) -> Value {
    json!({ "Sid": sid, "Effect": "Deny", "Principal": "*", "Action": "s3:*",
        "Resource": "arn:aws:s3:::acme-landing/*",
        "Condition": { "Bool": { "aws:SecureTransport": "false" } } })
}

fn check(desired: &Desired, expect: Expect) {
    let statements: Vec<String> =
        desired.statements.iter().map(|statement| format!("{statement:#}")).collect();
    expect.assert_eq(&statements.join("\n"));
}

#[test]
fn each_accounts_job_roles_read_exactly_what_the_reader_role_would() {
    check(
        &desired(),
        expect![[r#"
        {
          "Action": [
            "s3:GetObject",
            "s3:GetObjectVersion"
          ],
          "Condition": {
            "ArnEquals": {
              "aws:PrincipalArn": [
                "arn:aws:iam::222222222222:role/landfall/landfall-job",
                "arn:aws:iam::222222222222:role/team/plain-job"
              ]
            },
            "Bool": {
              "aws:SecureTransport": [
                "true"
              ]
            }
          },
          "Effect": "Allow",
          "Principal": {
            "AWS": [
              "arn:aws:iam::222222222222:root"
            ]
          },
          "Resource": [
            "arn:aws:s3:::acme-landing/one/sta${?}s.csv",
            "arn:aws:s3:::acme-landing/orders/*"
          ],
          "Sid": "LandfallAccess0123456789abcdef8ce65f27"
        }
        {
          "Action": [
            "s3:ListBucket",
            "s3:ListBucketVersions"
          ],
          "Condition": {
            "ArnEquals": {
              "aws:PrincipalArn": [
                "arn:aws:iam::222222222222:role/landfall/landfall-job",
                "arn:aws:iam::222222222222:role/team/plain-job"
              ]
            },
            "Bool": {
              "aws:SecureTransport": [
                "true"
              ]
            },
            "StringLike": {
              "s3:prefix": [
                "one/sta${?}s.csv",
                "one/sta${?}s.csv/",
                "orders/*"
              ]
            }
          },
          "Effect": "Allow",
          "Principal": {
            "AWS": [
              "arn:aws:iam::222222222222:root"
            ]
          },
          "Resource": [
            "arn:aws:s3:::acme-landing"
          ],
          "Sid": "LandfallAccess0123456789abcdef8990d6c0"
        }
        {
          "Action": [
            "s3:GetObject",
            "s3:GetObjectVersion"
          ],
          "Condition": {
            "ArnEquals": {
              "aws:PrincipalArn": [
                "arn:aws:iam::333333333333:role/other-job"
              ]
            },
            "Bool": {
              "aws:SecureTransport": [
                "true"
              ]
            }
          },
          "Effect": "Allow",
          "Principal": {
            "AWS": [
              "arn:aws:iam::333333333333:root"
            ]
          },
          "Resource": [
            "arn:aws:s3:::acme-landing/in/*"
          ],
          "Sid": "LandfallAccess0123456789abcdef2b39ddc7"
        }
        {
          "Action": [
            "s3:ListBucket",
            "s3:ListBucketVersions"
          ],
          "Condition": {
            "ArnEquals": {
              "aws:PrincipalArn": [
                "arn:aws:iam::333333333333:role/other-job"
              ]
            },
            "Bool": {
              "aws:SecureTransport": [
                "true"
              ]
            },
            "StringLike": {
              "s3:prefix": [
                "in/*"
              ]
            }
          },
          "Effect": "Allow",
          "Principal": {
            "AWS": [
              "arn:aws:iam::333333333333:root"
            ]
          },
          "Resource": [
            "arn:aws:s3:::acme-landing"
          ],
          "Sid": "LandfallAccess0123456789abcdef9f3055a1"
        }"#]],
    );
    let of_raw = &spec().all_desired(OWNER)["acme-raw"];
    check(
        of_raw,
        expect![[r#"
        {
          "Action": [
            "s3:GetObject",
            "s3:GetObjectVersion"
          ],
          "Condition": {
            "ArnEquals": {
              "aws:PrincipalArn": [
                "arn:aws:iam::333333333333:role/other-job"
              ]
            },
            "Bool": {
              "aws:SecureTransport": [
                "true"
              ]
            }
          },
          "Effect": "Allow",
          "Principal": {
            "AWS": [
              "arn:aws:iam::333333333333:root"
            ]
          },
          "Resource": [
            "arn:aws:s3:::acme-raw/*"
          ],
          "Sid": "LandfallAccess0123456789abcdef2b39ddc7"
        }
        {
          "Action": [
            "s3:ListBucket",
            "s3:ListBucketVersions"
          ],
          "Condition": {
            "ArnEquals": {
              "aws:PrincipalArn": [
                "arn:aws:iam::333333333333:role/other-job"
              ]
            },
            "Bool": {
              "aws:SecureTransport": [
                "true"
              ]
            }
          },
          "Effect": "Allow",
          "Principal": {
            "AWS": [
              "arn:aws:iam::333333333333:root"
            ]
          },
          "Resource": [
            "arn:aws:s3:::acme-raw"
          ],
          "Sid": "LandfallAccess0123456789abcdef9f3055a1"
        }"#]],
    );
}

#[test]
fn no_bucket_of_a_route_with_the_reader_role_is_touched() {
    let buckets: Vec<String> = spec().buckets.into_keys().collect();
    assert_eq!(buckets, ["acme-landing", "acme-raw"]);
    let named = Spec::buckets_of(&properties());
    assert_eq!(named.into_iter().collect::<Vec<_>>(), buckets);
    let keys: Vec<Value> = spec().key_statements(OWNER);
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|it| it["Action"] == json!(["kms:Decrypt"])), "{keys:?}");
}

#[test]
fn buckets_are_found_in_properties_that_are_wrong_otherwise() {
    let mut wrong = properties();
    wrong["Version"] = json!("9");
    wrong["JobRoleArns"] = json!("x");
    wrong["Routes"]["routes"][4]["bucket"] = json!("acme-first");
    wrong["Routes"]["routes"][5]["bucket"] = json!("No Bucket");
    let named = |wrong: &Value| Spec::buckets_of(wrong).into_iter().collect::<Vec<_>>();
    assert_eq!(named(&wrong), ["acme-first", "acme-landing"]);
    wrong["BucketNames"] = json!(["acme-first", "acme-roles"]);
    assert_eq!(named(&wrong), ["acme-first"]);
    assert!(named(&json!(null)).is_empty());
}

#[test]
fn all_problems_of_properties_are_told_at_once() {
    let mut wrong = properties();
    wrong["Version"] = json!("2");
    wrong["JobRoleArns"] =
        json!(["arn:aws-cn:iam::222222222222:role/x", "arn:aws:iam::222222222222:user/x"]);
    wrong["BucketNames"] = json!(["acme-nowhere"]);
    wrong["KmsKeyArns"] = json!(["alias/x"]);
    wrong["Role"] = json!("x");
    let home = Home::of_stack(STACK).expect("a stack's ID");
    let problems = Spec::read(&wrong, &home).expect_err("problems");
    expect![[r#"
        BucketNames[0]: no route uses bucket `acme-nowhere` (name only buckets that the routes use)
        JobRoleArns[0]: the role is in another partition (it looks like arn:aws:iam::222222222222:role/landfall/landfall-job)
        JobRoleArns[1]: this is not the ARN of a role (it looks like arn:aws:iam::222222222222:role/landfall/landfall-job)
        KmsKeyArns[0]: this is not the ARN of a KMS key (it looks like arn:aws:kms:eu-west-1:111111111111:key/1234…; an alias isn't accepted)
        the properties: unknown field `Role` (the fields here are `Version`, `Repair`, `Routes`, `JobRoleArns`, `BucketNames`, `KmsKeyArns`, `After`)
        Version: this version is unknown (Landfall supports version 1)"#]].assert_eq(&problems.join("\n"));
}

#[test]
fn an_account_without_such_a_route_is_told_of_and_so_is_what_is_wider() {
    let mut properties = properties();
    properties["JobRoleArns"] = json!(["arn:aws:iam::444444444444:role/x"]);
    let home = Home::of_stack(STACK).expect("a stack's ID");
    let spec = Spec::read(&properties, &home).expect("valid properties");
    assert!(spec.buckets.is_empty() && spec.readers().is_empty());
    expect!["no route with `access: bucket_policy` has a target in account `444444444444`: its job roles may read nothing"].assert_eq(&spec.notes.join("\n"));
    properties["JobRoleArns"] = json!(["arn:aws:iam::333333333333:role/x"]);
    properties["Routes"]["routes"][5]["key"] = json!("{file}.csv");
    let spec = Spec::read(&properties, &home).expect("valid properties");
    expect![
        "route `raw`: the role may read `s3://acme-raw/*`, because its key begins with a wildcard"
    ]
    .assert_eq(&spec.notes.join("\n"));
    assert_eq!(spec.unrequested["acme-raw"], "raw");
}

#[test]
fn a_bucket_without_a_policy_gets_one_and_loses_it_again() {
    let put = merge(None, &desired()).expect("no conflict").expect("a change");
    assert_eq!(put.texts().len(), 4);
    assert!(put.to_text().starts_with(r#"{"Version":"2012-10-17","Statement":[{"#));
    assert_eq!(merge(Some(&put), &desired()), Ok(None));
    assert_eq!(without(Some(&put), OWNER), Ok(Some(None)));
    assert_eq!(without(None, OWNER), Ok(None));
    assert_eq!(put.accounts_of(OWNER).len(), 4);
    assert!(put.accounts_of("other").is_empty());
}

#[test]
fn a_policy_of_others_is_never_deleted() {
    for others in [policy(&[theirs("A")]), policy(&[])] {
        assert_eq!(without(Some(&others), OWNER), Ok(None));
    }
    let put = merge(Some(&policy(&[theirs("A")])), &desired()).expect("fine").expect("a change");
    assert_eq!(without(Some(&put), OWNER), Ok(Some(Some(policy(&[theirs("A")])))));
}

#[test]
fn the_text_of_others_is_put_back_as_it_is() {
    let odd = r#"{"Resource" : "*", "Effect":"Allow","Sid":"Odd","Principal":{"AWS":"1"},
        "Action":["s3:GetObject"], "Condition":{"NumericLessThan":{"s3:max-keys":1.50e2}}}"#;
    let text = format!(r#"{{"Statement":{odd},"Version":"2012-10-17","Id":"Ümlaut"}}"#);
    let current = Policy::parse(&text).expect("a policy");
    let put = merge(Some(&current), &desired()).expect("fine").expect("a change").to_text();
    assert!(put.contains(odd) && put.contains(r#""Id":"Ümlaut""#), "{put}");
    let read = Policy::parse(&put).expect("a policy");
    let back = without(Some(&read), OWNER).expect("fine").expect("a change").expect("a policy");
    assert_eq!(back, current);
}

#[test]
fn what_s3_writes_differently_is_no_difference() {
    let put = merge(Some(&policy(&[theirs("A")])), &desired()).expect("fine").expect("a change");
    let mut read: Value = serde_json::from_str(&put.to_text()).expect("JSON");
    for statement in read["Statement"].as_array_mut().expect("a list") {
        if let Some(list) = statement["Action"].as_array() {
            statement["Action"] = list.iter().rev().cloned().collect();
        }
        for path in ["/Principal/AWS", "/Condition/ArnEquals/aws:PrincipalArn"] {
            let Some(Value::Array(items)) = statement.pointer(path).cloned() else { continue };
            if let [one] = &items[..] {
                *statement.pointer_mut(path).expect("it is there") = one.clone();
            }
        }
    }
    let read = Policy::parse(&read.to_string()).expect("a policy");
    assert_ne!(read, put);
    assert!(is_same(Some(&read), Some(&put)));
    assert_eq!(merge(Some(&read), &desired()), Ok(None));
    assert!(!is_same(Some(&read), None) && is_same(None, None));
    assert!(!is_same(Some(&read), Some(&policy(&[theirs("A")]))));
}

#[test]
fn what_can_not_be_kept_is_refused() {
    for (text, why) in [
        ("no JSON", "can't be read"),
        ("[]", "a JSON object"),
        (r#"{"Statement":[],"Statement":[]}"#, "`Statement` twice"),
        (r#"{"Statement":"x"}"#, "whose statements can't be read"),
    ] {
        let refused = Policy::parse(text).expect_err("refused");
        assert!(refused.contains(why), "{refused}");
    }
}

/// Returns the conflicts of both ways, to add and to remove, in words.
fn conflicts(current: &Policy) -> (Option<String>, Option<String>) {
    let text = |conflict: Conflict| format!("{}: {conflict}", conflict.code());
    (
        merge(Some(current), &desired()).err().map(text),
        without(Some(current), OWNER).err().map(text),
    )
}

#[test]
fn a_statement_of_ours_that_somebody_changed_is_not_overwritten() {
    let ours = desired().statements[0].clone();
    let sid = ours["Sid"].as_str().expect("a Sid").to_owned();
    let changed = |path: &str, value: Value| {
        let mut changed = ours.clone();
        *changed.pointer_mut(path).expect("it is there") = value;
        changed
    };
    let mut more = ours.clone();
    more["NotPrincipal"] = json!("*");
    for other in [
        changed("/Effect", json!("Deny")),
        changed("/Principal", json!("*")),
        changed("/Principal/AWS", json!(["222222222222", "444444444444"])),
        changed("/Principal/AWS", json!("arn:aws:iam::222222222222:user/root")),
        changed("/Action", json!("s3:*")),
        changed("/Condition", json!({ "Bool": { "aws:SecureTransport": "true" } })),
        changed("/Condition/ArnEquals", json!({ "aws:SourceArn": "x" })),
        changed("/Sid", json!(format!("LandfallAccess{OWNER}x"))),
        more,
    ] {
        let (add, remove) = conflicts(&policy(&[theirs("A"), other.clone()]));
        let add = add.unwrap_or_else(|| panic!("{other} was taken for ours"));
        assert!(add.starts_with("bucket_policy_not_our_form: "), "{add}");
        assert_eq!(Some(add), remove);
    }
    // Other roles and keys are what an update changes.
    let older = changed("/Condition/ArnEquals/aws:PrincipalArn", json!("arn:aws:iam::1:role/x"));
    assert_eq!(conflicts(&policy(&[older])), (None, None));
    // Another deployment's statements, and what only looks alike, are foreign.
    let foreign = changed("/Sid", json!(sid.replace(OWNER, "fedcba9876543210")));
    let put = merge(Some(&policy(std::slice::from_ref(&foreign))), &desired())
        .expect("fine")
        .expect("a change");
    assert_eq!(put.texts()[0], foreign.to_string());
}

#[test]
fn statements_are_compared_by_what_they_admit() {
    let desired = desired();
    let ours = &desired.statements;
    let widened = |path: &str, more: &str| {
        let mut all = ours.clone();
        let values = all[0].pointer_mut(path).and_then(Value::as_array_mut).expect("a list");
        values.push(json!(more));
        all
    };
    let another_role =
        widened("/Condition/ArnEquals/aws:PrincipalArn", "arn:aws:iam::222222222222:role/x");
    let other_keys = widened("/Resource", "arn:aws:s3:::acme-landing/*");
    let another_account = {
        let text = ours[0].to_string().replace("222222222222", "999999999999");
        let mut statement: Value = serde_json::from_str(&text).expect("a statement");
        statement["Sid"] = json!(own_sid(OWNER, "another"));
        statement
    };
    let edited = {
        let mut all = ours.clone();
        all[0]["Action"] = json!("s3:*");
        all
    };
    for (statements, expected) in [
        (ours.clone(), Comparison::AsDesired),
        (vec![theirs("Theirs")], Comparison::Missing),
        (ours[1..].to_vec(), Comparison::Changed),
        (another_role, Comparison::Wider),
        // In case of doubt, something may be missing.
        (other_keys, Comparison::Changed),
        ([ours.clone(), vec![another_account]].concat(), Comparison::Wider),
    ] {
        assert_eq!(compare(Some(&policy(&statements)), &desired), expected, "{statements:?}");
    }
    assert_eq!(compare(None, &desired), Comparison::Missing);
    let stuck = compare(Some(&policy(&edited)), &desired);
    assert!(matches!(stuck, Comparison::Stuck(Conflict::NotOurForm(_))), "{stuck:?}");
}

#[test]
fn a_deleted_principal_of_others_is_told_with_its_statement() {
    let mut named = theirs("OldRole");
    named["Principal"] = json!({ "AWS": ["AROA1234567890ABCDEFG", "arn:aws:iam::1:root"] });
    let mut unnamed = theirs("x");
    unnamed["Sid"] = Value::Null;
    unnamed["Principal"] = json!({ "AWS": "AIDA1234567890ABCDEFG", "Service": "AROA" });
    let current = policy(&[theirs("A"), named, unnamed]);
    let (add, remove) = conflicts(&current);
    expect!["bucket_policy_deleted_principal: statement `OldRole` names the deleted principal `AROA1234567890ABCDEFG`; statement number 3 names the deleted principal `AIDA1234567890ABCDEFG` (S3 refuses to store a policy with them: remove the principals, or name the new roles by their ARNs)"].assert_eq(&add.unwrap_or_default());
    assert_eq!(remove, None, "nothing is to be removed, so nothing is put");
    let mut with_ours: Value = serde_json::from_str(&current.to_text()).expect("JSON");
    let list = with_ours["Statement"].as_array_mut().expect("a list");
    list.extend(desired().statements);
    let with_ours = Policy::parse(&with_ours.to_string()).expect("a policy");
    let (add, remove) = conflicts(&with_ours);
    assert_eq!(add, None, "what is desired is there, so nothing is put");
    assert!(remove.is_some_and(|it| it.contains("`OldRole`") && it.contains("number 3")));
}

#[test]
fn a_policy_of_the_older_version_gets_no_variable() {
    let text = r#"{"Version":"2008-10-17","Statement":[]}"#;
    let current = Policy::parse(text).expect("a policy");
    assert_eq!(merge(Some(&current), &desired()), Err(Conflict::OldVersion));
    let none = Policy::parse(r#"{"Statement":[]}"#).expect("a policy");
    assert_eq!(merge(Some(&none), &desired()), Err(Conflict::OldVersion));
    let plain = &spec().all_desired(OWNER)["acme-raw"];
    let put = merge(Some(&current), plain).expect("fine").expect("a change");
    assert!(put.to_text().contains("2008-10-17"), "the version of others must stay");
}

#[test]
fn a_policy_that_grows_too_large_is_refused() {
    let mut large = theirs("A");
    large["Resource"] = json!(["x".repeat(MAX_BYTES - 1_000)]);
    let refused = merge(Some(&policy(&[large.clone()])), &desired()).expect_err("too large");
    let Conflict::TooLarge { bytes, ours } = refused else { panic!("{refused:?}") };
    assert!(bytes > MAX_BYTES && ours > 1_000 && ours < bytes, "{bytes} {ours}");
    large["Resource"] = json!(["x".repeat(MAX_BYTES - 4_000)]);
    let put = merge(Some(&policy(&[large])), &desired()).expect("it fits").expect("a change");
    assert!(put.to_text().len() <= MAX_BYTES);
}

/// Generates statements of others: some have a Sid, some look like ours of another deployment.
fn foreign() -> impl Strategy<Value = Vec<Value>> {
    let sid = prop::option::of("[A-Za-z0-9]{1,6}|LandfallAccess[a-f]{16}[0-9a-f]{8}");
    let one = (sid, "[a-z/*?$éü ]{1,8}", any::<u8>()).prop_map(|(sid, resource, number)| {
        let mut statement = theirs("x");
        match sid {
            Some(sid) => statement["Sid"] = json!(sid),
            None => drop(statement.as_object_mut().and_then(|it| it.remove("Sid"))),
        }
        statement["Resource"] = json!(resource);
        statement["Condition"] = json!({ "NumericEquals": { "s3:max-keys": number } });
        statement
    });
    prop::collection::vec(one, 0..6)
}

proptest! {
    #[test]
    fn every_order_of_others_survives_and_what_was_added_is_removed_without_a_trace(
        others in foreign(), at in any::<prop::sample::Index>(), more in foreign(),
    ) {
        let before = policy(&others);
        let put = merge(Some(&before), &desired()).expect("no conflict").expect("a change");
        prop_assert!(is_gone(Some(&before), OWNER) && !is_gone(Some(&put), OWNER));
        prop_assert_eq!(&put.texts()[..others.len()], &before.texts()[..]);
        prop_assert_eq!(merge(Some(&put), &desired()), Ok(None));
        let removed = without(Some(&put), OWNER).expect("no conflict").expect("a change");
        match removed {
            Some(removed) => prop_assert_eq!(&removed, &before),
            None => prop_assert!(others.is_empty()),
        }
        // Someone else puts statements in any place, and the routes change.
        let mut all: Vec<Value> = put.values().collect();
        let place = at.index(all.len() + 1);
        all.splice(place..place, more.iter().cloned());
        let shuffled = policy(&all);
        let narrower = Desired { statements: desired().statements[..2].to_vec(), ..desired() };
        let changed = merge(Some(&shuffled), &narrower).expect("no conflict").expect("a change");
        let kept = without(Some(&shuffled), OWNER).expect("no conflict").expect("a change");
        let kept = kept.map(|it| it.texts()).unwrap_or_default();
        prop_assert_eq!(kept.len(), others.len() + more.len());
        prop_assert_eq!(&changed.texts()[..kept.len()], &kept[..]);
        prop_assert_eq!(changed.texts().len(), kept.len() + 2);
    }
}
