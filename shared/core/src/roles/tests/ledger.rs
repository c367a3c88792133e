//! What the roles have for the ledger: manifests, claims, and a second function that starts jobs.

use expect_test::expect;
use serde_json::{Value, json};

use super::{DATA_STACK, STACK, reader, role, starter};
use crate::roles::Kind;

#[test]
fn the_reader_role_reads_manifests_and_claims_batches_where_it_is_told_to() {
    let mut properties = reader();
    properties["ManifestsBucketName"] = json!("landfall-manifests");
    properties["ClaimsTableArn"] =
        json!("arn:aws:dynamodb:eu-west-1:111111111111:table/landfall-claims");
    let document = role(Kind::Reader, &properties, DATA_STACK, &[]).expect("a role").permissions;
    let statements = document.value()["Statement"].as_array().cloned().unwrap_or_default();
    let added = statements
        .iter()
        .filter(|s| ["ReadManifests", "Claim"].iter().any(|sid| s["Sid"] == *sid))
        .map(Value::to_string)
        .collect::<Vec<_>>();
    expect![[r#"
        {"Action":["s3:GetObject"],"Effect":"Allow","Resource":["arn:aws:s3:::landfall-manifests/manifests/*"],"Sid":"ReadManifests"}
        {"Action":["dynamodb:GetItem","dynamodb:UpdateItem"],"Effect":"Allow","Resource":["arn:aws:dynamodb:eu-west-1:111111111111:table/landfall-claims"],"Sid":"Claim"}"#]].assert_eq(&added.join("\n"));
    properties["ManifestsBucketName"] = json!("");
    properties["ClaimsTableArn"] = json!("");
    assert_eq!(
        role(Kind::Reader, &properties, DATA_STACK, &[]),
        role(Kind::Reader, &reader(), DATA_STACK, &[])
    );
}

#[test]
fn what_is_no_bucket_and_no_table_of_the_account_is_refused() {
    let refused = |field: &str, value: &str| {
        let mut properties = reader();
        properties[field] = json!(value);
        let error = role(Kind::Reader, &properties, DATA_STACK, &[]).expect_err("refused");
        error.to_string().replace("the properties cannot be used: ", "")
    };
    let all: Vec<String> = [
        ("ManifestsBucketName", "a/*"),
        ("ManifestsBucketName", "acme-landing"),
        ("ClaimsTableArn", "landfall-claims"),
        ("ClaimsTableArn", "arn:aws:dynamodb:eu-west-1:111111111111:table/*"),
        ("ClaimsTableArn", "arn:aws:dynamodb:*:111111111111:table/landfall-claims"),
        ("ClaimsTableArn", "arn:aws:dynamodb:eu-west-1:111111111111:table/landfall-claims/index/x"),
        ("ClaimsTableArn", "arn:aws:dynamodb:eu-west-1:333333333333:table/landfall-claims"),
    ]
    .map(|(field, value)| refused(field, value))
    .into();
    expect![[r#"
        ManifestsBucketName: `a/*` is not a bucket's name (a name has 3 to 63 lower-case letters, digits, `.` and `-`)
        ManifestsBucketName: a route is about this bucket (manifests have a bucket of their own)
        ClaimsTableArn: this is not the ARN of a table (it looks like arn:aws:dynamodb:eu-west-1:111111111111:table/landfall-claims)
        ClaimsTableArn: this is not the ARN of a table (it looks like arn:aws:dynamodb:eu-west-1:111111111111:table/landfall-claims)
        ClaimsTableArn: this is not the ARN of a table (it looks like arn:aws:dynamodb:eu-west-1:111111111111:table/landfall-claims)
        ClaimsTableArn: this is not the ARN of a table (it looks like arn:aws:dynamodb:eu-west-1:111111111111:table/landfall-claims)
        ClaimsTableArn: the table is of account `333333333333` (it belongs to the role's own, `111111111111`)"#]].assert_eq(&all.join("\n"));
}

#[test]
fn a_role_may_trust_two_roles_of_an_account() {
    let mut properties = starter();
    let roles = [
        "arn:aws:iam::111111111111:role/landfall-trigger",
        "arn:aws:iam::111111111111:role/landfall-monitor",
    ];
    properties["TrustedRoleArns"] = json!(roles);
    let trust = role(Kind::Starter, &properties, STACK, &[]).expect("a role").trust.document();
    expect![[r#"{"aws:PrincipalArn":["arn:aws:iam::111111111111:role/landfall-monitor","arn:aws:iam::111111111111:role/landfall-trigger"]}"#]].assert_eq(&trust.value()["Statement"][0]["Condition"]["ArnEquals"].to_string());
}
