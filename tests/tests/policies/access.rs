//! Judges both sides of `access: bucket_policy`: the statements in the bucket's policy and the job
//! role's own policy. Only both together let a role of another account read.

use std::collections::BTreeSet;

use landfall_core::bucket_access;
use landfall_core::roles::{Home, Kind, Owner, Role, RoleSpec};
use landfall_tests::judge::Request;
use landfall_tests::{ANALYTICS, DATA, REGION};
use serde_json::{Value, json};

use super::matrix::Expected;
use super::rendered::{MANIFESTS, deviations, job_role};
use super::{allow, role};

const BUCKET: &str = "acme-landing";
const ELSEWHERE: &str = "333333333333";
const STRANGER: &str = "999999999999";
const PLAIN: &str = "team/plain-job";

fn routes() -> Value {
    let target = |account: &str| json!({ "account": account, "region": REGION, "starter_role": "s", "external_id": "${X}" });
    let route = |name: &str, key: &str, target: &str, access: &str| {
        json!({ "name": name, "bucket": BUCKET, "key": key,
            "start": { "target": target, "job": "j", "access": access } })
    };
    json!({
        "version": "1",
        "targets": { "lake": target(ANALYTICS), "elsewhere": target(ELSEWHERE) },
        "routes": [
            route("orders", "orders/{file}.csv", "lake", "bucket_policy"),
            route("stars", "sta?s/$x/{file}", "lake", "bucket_policy"),
            route("secret", "secret/**", "lake", "role"),
            route("others", "others/**", "elsewhere", "bucket_policy"),
        ],
    })
}

fn home(account: &str) -> Home {
    Home { partition: "aws".to_owned(), account: account.to_owned(), region: REGION.to_owned() }
}

/// The bucket's policy: somebody's statement, and ours for two job roles here and one elsewhere.
fn bucket_policy() -> Value {
    let roles = [job_role(ANALYTICS), role(ANALYTICS, PLAIN), role(ELSEWHERE, "job")];
    let properties = json!({ "Routes": routes(), "JobRoleArns": roles });
    let spec = bucket_access::Spec::read(&properties, &home(DATA)).expect("valid properties");
    let desired = spec.all_desired("0123456789abcdef").remove(BUCKET).expect("the bucket");
    let theirs = json!({ "Version": "2012-10-17", "Statement": [{ "Sid": "Theirs", "Effect": "Deny",
        "Principal": "*", "Action": "s3:PutObject", "Resource": "*" }] });
    let theirs = bucket_access::Policy::parse(&theirs.to_string()).expect("a policy");
    let merged = bucket_access::merge(Some(&theirs), &desired).expect("no conflict");
    serde_json::from_str(&merged.expect("a change").to_text()).expect("JSON")
}

fn job() -> Role {
    let properties = json!({
        "RoleName": "landfall-job", "Routes": routes(), "DataAccountId": DATA,
        "ReaderRoleArns": [role(DATA, "landfall/landfall-reader")],
        "ManifestsBucketName": MANIFESTS,
    });
    let spec = RoleSpec::read(Kind::Job, &properties, &home(ANALYTICS)).expect("valid properties");
    let [stack_id, logical_id, physical_id] = ["stack", "Role", "Role-1"].map(str::to_owned);
    let owner = Owner { stack_id, logical_id, physical_id };
    spec.role(&owner, &BTreeSet::new()).expect("a role")
}

fn object(key: &str) -> String {
    format!("arn:aws:s3:::{BUCKET}/{key}")
}

fn expected(rows: Vec<(&str, bool, Request)>) -> Vec<Expected> {
    rows.into_iter().map(|(what, allowed, request)| (what.to_owned(), allowed, request)).collect()
}

/// Returns what roles may do whose own policies allow everything: the bucket's side.
fn by_the_bucket(policy: &Value) -> Vec<Expected> {
    let may = |role: &str, action: &str, resource: &str| {
        Request::by_role(role, action, resource)
            .owned_by(DATA)
            .identity(allow("*", "*"))
            .resource_policy(policy.clone())
    };
    let plain = role(ANALYTICS, PLAIN);
    let get = |role: &str, key: &str| may(role, "s3:GetObject", &object(key));
    let list = |prefix: &str| {
        may(&plain, "s3:ListBucket", &format!("arn:aws:s3:::{BUCKET}")).with("s3:prefix", prefix)
    };
    expected(vec![
        ("the job's role", true, get(&plain, "orders/a.csv")),
        ("Landfall's job role", true, get(&job_role(ANALYTICS), "orders/a.csv")),
        ("a version", true, may(&plain, "s3:GetObjectVersion", &object("orders/a.csv"))),
        ("a key with a star", true, get(&plain, "sta?s/$x/a")),
        ("what the star would match", false, get(&plain, "stars/$x/a")),
        ("another role of the account", false, get(&role(ANALYTICS, "other"), "orders/a.csv")),
        ("a role without the path", false, get(&role(ANALYTICS, "plain-job"), "orders/a.csv")),
        ("a role whose name goes on", false, get(&format!("{plain}-2"), "orders/a.csv")),
        ("the same name elsewhere", false, get(&role(STRANGER, PLAIN), "orders/a.csv")),
        ("another account's job", false, get(&role(ELSEWHERE, "job"), "orders/a.csv")),
        ("what it may read", true, get(&role(ELSEWHERE, "job"), "others/a.csv")),
        ("what others may read", false, get(&plain, "others/a.csv")),
        ("another prefix", false, get(&plain, "hr/a.csv")),
        ("a prefix that begins so", false, get(&plain, "orders-hr/a.csv")),
        ("a prefix of the reader role", false, get(&plain, "secret/a.csv")),
        (
            "over plain HTTP",
            false,
            get(&plain, "orders/a.csv").with("aws:SecureTransport", "false"),
        ),
        ("to delete", false, may(&plain, "s3:DeleteObject", &object("orders/a.csv"))),
        ("to write", false, may(&plain, "s3:PutObject", &object("orders/a.csv"))),
        ("to list its prefix", true, list("orders/")),
        ("to list below it", true, list("orders/2026/")),
        ("to list another prefix", false, list("hr/")),
        ("to list all", false, may(&plain, "s3:ListBucket", &format!("arn:aws:s3:::{BUCKET}"))),
        (
            "to change the policy",
            false,
            may(&plain, "s3:PutBucketPolicy", &format!("arn:aws:s3:::{BUCKET}")),
        ),
    ])
}

/// Returns what the job role may do in a bucket and with a key that admit everybody: its own side.
fn by_the_role(job: &Role) -> Vec<Expected> {
    let open = |action: &str| {
        json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Principal": "*",
            "Action": action, "Resource": "*" }] })
    };
    let may = |action: &str, resource: &str| {
        Request::by_role(&job.arn, action, resource).identity(job.permissions.value().clone())
    };
    let s3 = |action: &str, resource: &str, owner: &str| {
        may(action, resource).owned_by(owner).resource_policy(open("s3:*"))
    };
    let get = |key: &str| s3("s3:GetObject", &object(key), DATA);
    let list = |prefix: &str| {
        s3("s3:ListBucket", &format!("arn:aws:s3:::{BUCKET}"), DATA).with("s3:prefix", prefix)
    };
    let manifest = |account: &str| {
        let key = format!("manifests/{account}/orders/{account}-899b.json");
        s3("s3:GetObject", &format!("arn:aws:s3:::{MANIFESTS}/{key}"), DATA)
    };
    let decrypt = |account: &str, via: &str, of: &str| {
        may("kms:Decrypt", &format!("arn:aws:kms:{REGION}:{account}:key/k"))
            .resource_policy(open("kms:*"))
            .with("kms:ViaService", via)
            .with("kms:EncryptionContext:aws:s3:arn", of)
    };
    let through_s3 = "s3.us-east-1.amazonaws.com";
    expected(vec![
        ("an object", true, get("orders/a.csv")),
        ("a version", true, s3("s3:GetObjectVersion", &object("orders/a.csv"), DATA)),
        ("another prefix", false, get("hr/a.csv")),
        ("a prefix of the reader role", false, get("secret/a.csv")),
        ("what others may read", false, get("others/a.csv")),
        ("a squatted bucket", false, s3("s3:GetObject", &object("orders/a.csv"), STRANGER)),
        ("over plain HTTP", false, get("orders/a.csv").with("aws:SecureTransport", "false")),
        ("to write", false, s3("s3:PutObject", &object("orders/a.csv"), DATA)),
        ("to list its prefix", true, list("orders/")),
        ("to list another prefix", false, list("hr/")),
        ("a manifest of its account", true, manifest(ANALYTICS)),
        ("a manifest of another account", false, manifest(ELSEWHERE)),
        (
            "a key of the data account, for its object",
            true,
            decrypt(DATA, through_s3, &object("orders/a.csv")),
        ),
        ("a key, for another object", false, decrypt(DATA, through_s3, &object("hr/a.csv"))),
        (
            "a key through another service",
            false,
            decrypt(DATA, "sqs.us-east-1.amazonaws.com", &object("orders/a.csv")),
        ),
        ("a key of a stranger", false, decrypt(STRANGER, through_s3, &object("orders/a.csv"))),
    ])
}

#[test]
fn a_bucket_policy_lets_in_exactly_the_job_roles_to_their_prefixes() {
    let wrong = deviations(&by_the_bucket(&bucket_policy()));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_job_role_reads_itself_exactly_what_its_routes_take_in_the_data_account() {
    let wrong = deviations(&by_the_role(&job()));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn reading_by_bucket_policy_needs_both_sides() {
    let (job, policy) = (job(), bucket_policy());
    let get = || Request::by_role(&job.arn, "s3:GetObject", &object("orders/a.csv")).owned_by(DATA);
    let own = || get().identity(job.permissions.value().clone());
    let theirs = json!({ "Version": "2012-10-17", "Statement": [policy["Statement"][0]] });
    let wrong = deviations(&expected(vec![
        ("both", true, own().resource_policy(policy.clone())),
        ("the role's alone", false, own().resource_policy(theirs)),
        ("the bucket's alone", false, get().resource_policy(policy.clone())),
    ]));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_matrix_finds_statements_that_are_too_wide() {
    let text = bucket_policy().to_string();
    let plain = format!(r#""{}""#, role(ANALYTICS, PLAIN));
    for (from, to) in [
        (plain.as_str(), r#""arn:aws:iam::222222222222:role/*""#),
        ("orders/*", "orders*"),
        ("sta${?}s", "sta?s"),
        ("s3:GetObjectVersion", "s3:*"),
        (r#""aws:SecureTransport":["true"]"#, r#""aws:SecureTransport":["true","false"]"#),
        ("s3:prefix", "s3:delimiter"),
        ("ArnEquals", "ArnNotEquals"),
    ] {
        assert!(text.contains(from), "{text}");
        let wide: Value = serde_json::from_str(&text.replace(from, to)).expect("JSON");
        assert!(!deviations(&by_the_bucket(&wide)).is_empty(), "{to} is not noticed");
    }
    let job = job();
    let text = job.permissions.to_json();
    for (from, to) in [
        (r#""aws:ResourceAccount":["111111111111"]"#, r#""aws:ResourceAccount":["*"]"#),
        (r#""aws:SecureTransport":["true"]"#, r#""aws:SecureTransport":["true","false"]"#),
        ("/manifests/222222222222/*/222222222222-*", "/manifests/*"),
        ("orders/*", "*"),
        ("kms:*:111111111111:key/*", "kms:*:*:key/*"),
        (r#""kms:ViaService":["s3.*"]"#, r#""kms:ViaService":["*"]"#),
    ] {
        assert!(text.contains(from), "{text}");
        let widened = text.replace(from, to).replace("StringEquals", "StringLike");
        let permissions = landfall_core::policy::Document::parse(&widened).expect("a document");
        let wide = Role { permissions, ..job.clone() };
        assert!(!deviations(&by_the_role(&wide)).is_empty(), "{to} is not noticed");
    }
}
