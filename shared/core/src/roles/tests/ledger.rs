//! Tests of the roles' permissions for manifests and claims, and of the trust in a second function
//! that starts jobs.

use expect_test::expect;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{DATA_STACK, STACK, reader, role, starter};
use crate::batch::JobResources;
use crate::roles::{Home, Kind, RoleSpec};

fn with_ledger() -> Value {
    let mut properties = reader();
    properties["ManifestsBucketName"] = json!("landfall-manifests");
    properties["ClaimsTableArn"] =
        json!("arn:aws:dynamodb:eu-west-1:111111111111:table/landfall-claims");
    properties
}

/// Returns the statements that let a reader role reach manifests and claims.
fn of_the_ledger(properties: &Value) -> String {
    let document = role(Kind::Reader, properties, DATA_STACK, &[]).expect("a role").permissions;
    let statements = document.value()["Statement"].as_array().cloned().unwrap_or_default();
    let is_one = |s: &&Value| ["ReadManifests", "Claim"].iter().any(|sid| s["Sid"] == *sid);
    statements.iter().filter(is_one).map(Value::to_string).collect::<Vec<_>>().join("\n")
}

fn notes(properties: &Value) -> Vec<String> {
    let home = Home::of_stack(DATA_STACK).expect("a stack's id");
    let notes = RoleSpec::read(Kind::Reader, properties, &home).expect("valid properties").notes;
    notes.into_iter().filter(|note| note.contains("AdmitsFormerBatches")).collect()
}

#[test]
fn the_reader_role_reads_manifests_and_claims_batches_of_its_account_where_it_is_told_to() {
    let mut properties = with_ledger();
    properties["AdmitsFormerBatches"] = json!("false");
    expect![[r#"
        {"Action":["s3:GetObject"],"Effect":"Allow","Resource":["arn:aws:s3:::landfall-manifests/manifests/222222222222/*/222222222222-*"],"Sid":"ReadManifests"}
        {"Action":["dynamodb:GetItem","dynamodb:UpdateItem"],"Condition":{"ForAllValues:StringLike":{"dynamodb:LeadingKeys":["222222222222-*"]},"Null":{"dynamodb:LeadingKeys":["false"]}},"Effect":"Allow","Resource":["arn:aws:dynamodb:eu-west-1:111111111111:table/landfall-claims"],"Sid":"Claim"}"#]].assert_eq(&of_the_ledger(&properties));
    assert_eq!(notes(&properties), [""; 0]);
    properties["TrustedRoleArns"] = json!(["arn:aws:iam::333333333333:role/landfall/landfall-job"]);
    let other = of_the_ledger(&properties);
    assert!(other.contains("333333333333-*") && !other.contains("222222222222"), "{other}");
    properties["ManifestsBucketName"] = json!("");
    properties["ClaimsTableArn"] = json!("");
    assert_eq!(of_the_ledger(&properties), "");
}

#[test]
fn a_reader_that_admits_former_batches_reaches_ids_without_an_account_and_no_other_accounts() {
    let mut properties = with_ledger();
    properties["AdmitsFormerBatches"] = json!("true");
    expect![[r#"
        {"Action":["s3:GetObject"],"Effect":"Allow","Resource":["arn:aws:s3:::landfall-manifests/manifests/*/222222222222-????????????????????????????????.json","arn:aws:s3:::landfall-manifests/manifests/*/????????????????????????????????.json","arn:aws:s3:::landfall-manifests/manifests/222222222222/*/222222222222-*"],"Sid":"ReadManifests"}
        {"Action":["dynamodb:GetItem","dynamodb:UpdateItem"],"Condition":{"ForAllValues:StringLike":{"dynamodb:LeadingKeys":["222222222222-*","????????????????????????????????"]},"Null":{"dynamodb:LeadingKeys":["false"]}},"Effect":"Allow","Resource":["arn:aws:dynamodb:eu-west-1:111111111111:table/landfall-claims"],"Sid":"Claim"}"#]].assert_eq(&of_the_ledger(&properties));
    assert_eq!(notes(&properties).len(), 1);
}

/// Returns `true` if `pattern` matches as in IAM: `*` is any text, including slashes, and `?` is
/// one character.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            fits(rest, text) || text.split_first().is_some_and(|(_, text)| fits(pattern, text))
        }
        (Some((b'?', rest)), Some((_, text))) => fits(rest, text),
        (Some((one, rest)), Some((other, text))) => one == other && fits(rest, text),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// A route can have the name of an account, and a hash can look like one.
    #[test]
    fn no_manifest_of_another_account_fits_whatever_its_route_is_called(
        route in "[a-z0-9][a-z0-9-]{0,20}|222222222222|333333333333|[0-9a-f]{32}",
        hash in "[0-9a-f]{32}|222222222222[0-9a-f]{20}",
    ) {
        let of = |account: &str| JobResources::manifest_key(&route, &format!("{account}-{hash}"));
        let former = JobResources::manifest_key(&route, &hash);
        for (admits, has_former) in [("false", false), ("true", true)] {
            let mut properties = with_ledger();
            properties["AdmitsFormerBatches"] = json!(admits);
            let document = role(Kind::Reader, &properties, DATA_STACK, &[]).expect("a role").permissions;
            let statements = document.value()["Statement"].as_array().cloned().unwrap_or_default();
            let read = statements.iter().find(|s| s["Sid"] == "ReadManifests").expect("a statement");
            let patterns: Vec<&str> =
                read["Resource"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
            let may = |key: &str| {
                let arn = format!("arn:aws:s3:::landfall-manifests/{key}");
                patterns.iter().any(|pattern| fits(pattern.as_bytes(), arn.as_bytes()))
            };
            prop_assert!(may(&of("222222222222")));
            prop_assert!(!may(&of("333333333333")));
            prop_assert_eq!(may(&former), has_former);
        }
    }
}

/// The version before requested this policy, and an inverse Update requests it again.
#[test]
fn a_reader_of_the_version_before_keeps_the_policy_that_it_had() {
    let properties = with_ledger();
    expect![[r#"
        {"Action":["s3:GetObject"],"Effect":"Allow","Resource":["arn:aws:s3:::landfall-manifests/manifests/*"],"Sid":"ReadManifests"}
        {"Action":["dynamodb:GetItem","dynamodb:UpdateItem"],"Effect":"Allow","Resource":["arn:aws:dynamodb:eu-west-1:111111111111:table/landfall-claims"],"Sid":"Claim"}"#]].assert_eq(&of_the_ledger(&properties));
    assert_eq!(notes(&properties).len(), 1);
    // Without manifests and claims, there are no notes.
    assert_eq!(notes(&reader()), [""; 0]);
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
        ("AdmitsFormerBatches", "maybe"),
    ]
    .map(|(field, value)| refused(field, value))
    .into();
    expect![[r#"
        the properties are invalid: ManifestsBucketName: `a/*` is not a valid bucket name (a name has 3 to 63 lower-case letters, digits, `.` and `-`)
        the properties are invalid: ManifestsBucketName: a route uses this bucket (manifests need their own bucket)
        the properties are invalid: ClaimsTableArn: this is not the ARN of a table (it looks like arn:aws:dynamodb:eu-west-1:111111111111:table/landfall-claims)
        the properties are invalid: ClaimsTableArn: this is not the ARN of a table (it looks like arn:aws:dynamodb:eu-west-1:111111111111:table/landfall-claims)
        the properties are invalid: ClaimsTableArn: this is not the ARN of a table (it looks like arn:aws:dynamodb:eu-west-1:111111111111:table/landfall-claims)
        the properties are invalid: ClaimsTableArn: this is not the ARN of a table (it looks like arn:aws:dynamodb:eu-west-1:111111111111:table/landfall-claims)
        the properties are invalid: ClaimsTableArn: the table is in account `333333333333` (it must be in the role's own account, `111111111111`)
        the properties are invalid: the properties: `AdmitsFormerBatches` is not a boolean (write true or false)"#]].assert_eq(&all.join("\n"));
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
