//! Tests that a role is as narrow as the routes.

use expect_test::expect;
use serde_json::{Value, json};

use super::{DATA_STACK, reader, role};
use crate::roles::{Home, Kind, RoleSpec};

#[test]
fn a_route_without_a_wildcard_lets_the_reader_read_that_key_and_no_other() {
    let mut properties = reader();
    properties["Routes"]["routes"][0]["key"] = json!("one/ke?.csv");
    properties["Routes"]["routes"][1]["key"] = json!("two/{file}");
    properties["Routes"]["routes"][2]["key"] = json!("two/inside.csv");
    let role = role(Kind::Reader, &properties, DATA_STACK, &[]).expect("a role");
    let statements = &role.permissions.value()["Statement"];
    expect![[r#"
        ["arn:aws:s3:::acme-landing/one/ke${?}.csv","arn:aws:s3:::acme-landing/two/*","arn:aws:s3:::acme-raw/dé/*"]
        {"StringLike":{"s3:prefix":["one/ke${?}.csv","one/ke${?}.csv/","two/*"]}}"#]]
    .assert_eq(&format!("{}\n{}", statements[0]["Resource"], statements[2]["Condition"]));
}

fn decrypting(properties: &Value, keys: &[&str]) -> String {
    let role = role(Kind::Reader, properties, DATA_STACK, keys).expect("a role");
    let statements = role.permissions.value()["Statement"].as_array().cloned().unwrap_or_default();
    let own = statements.iter().find(|it| it["Sid"] == "Decrypt").cloned().unwrap_or_default();
    format!("{}\n{}\n{}", own["Resource"], own["Condition"], role.notes.join("\n"))
}

#[test]
fn a_reader_decrypts_through_s3_where_its_keys_are_and_only_what_it_may_read() {
    let mut properties = reader();
    properties["ManifestsBucketName"] = json!("landfall-manifests");
    properties["Routes"]["routes"][0]["key"] = json!("one/ke?.csv");
    properties["Routes"]["routes"][1]["key"] = json!("two words/{file}");
    let keys = [
        "arn:aws:kms:eu-west-1:111111111111:key/mrk-1",
        "arn:aws:kms:us-east-2:111111111111:key/2",
    ];
    expect![[r#"
        ["arn:aws:kms:eu-west-1:111111111111:key/mrk-1","arn:aws:kms:us-east-2:111111111111:key/2"]
        {"StringEquals":{"kms:ViaService":["s3.eu-west-1.amazonaws.com","s3.us-east-2.amazonaws.com"]},"StringLike":{"kms:EncryptionContext:aws:s3:arn":["arn:aws:s3:::acme-landing","arn:aws:s3:::acme-landing/one/ke${?}.csv","arn:aws:s3:::acme-landing/sta${?}s/${$}x/*","arn:aws:s3:::acme-landing/two*","arn:aws:s3:::acme-raw","arn:aws:s3:::acme-raw/d*","arn:aws:s3:::landfall-manifests","arn:aws:s3:::landfall-manifests/manifests/*"]}}
    "#]].assert_eq(&decrypting(&properties, &keys));
}

#[test]
fn a_policy_that_would_be_too_large_binds_decryption_to_buckets_and_says_so() {
    let with_routes = |count: usize, buckets: usize| {
        let mut properties = reader();
        let route = properties["Routes"]["routes"][0].clone();
        let routes = (0..count).map(|index| {
            let mut route = route.clone();
            route["name"] = json!(format!("r{index}"));
            route["bucket"] = json!(format!("acme-{:055}", index % buckets));
            route["key"] = json!(format!("{index:030}/{{file}}"));
            route["start"].as_object_mut().expect("a mapping").remove("arguments");
            route
        });
        properties["Routes"]["routes"] = routes.collect();
        properties
    };
    let key = ["arn:aws:kms:eu-west-1:111111111111:key/k"];
    let values = |properties: &Value| {
        let shown = decrypting(properties, &key);
        (
            shown.matches("arn:aws:s3:::").count(),
            shown.lines().nth(2).unwrap_or_default().to_owned(),
        )
    };
    assert_eq!(values(&with_routes(10, 2)), (12, String::new()));
    let (count, note) = values(&with_routes(50, 2));
    assert_eq!(count, 4);
    expect!["the role may decrypt any object in its buckets that it can read in some other way: naming their prefixes twice would make the policy too large"].assert_eq(&note);
    let (count, note) = values(&with_routes(25, 25));
    assert_eq!(count, 0);
    expect!["the role may decrypt any object in S3 that it can read in some other way: naming the buckets twice would make the policy too large"].assert_eq(&note);
}

#[test]
fn a_reader_of_a_whole_bucket_must_have_been_asked_for() {
    let home = Home::of_stack(DATA_STACK).expect("a stack's id");
    let read = |keys: [&str; 2], wide: bool| {
        let mut properties = reader();
        for (index, key) in keys.iter().enumerate() {
            properties["Routes"]["routes"][index]["key"] = json!(key);
            properties["Routes"]["routes"][index]["wide"] = json!(wide.to_string());
        }
        let spec = RoleSpec::read(Kind::Reader, &properties, &home).expect("valid properties");
        let unrequested: Vec<String> =
            spec.unrequested.iter().map(|(bucket, route)| format!("{bucket} by {route}")).collect();
        format!("{}\n{}", unrequested.join(", "), spec.notes.join("\n"))
    };
    expect![[r#"
        acme-landing by orders
        route `orders`: the role may read `s3://acme-landing/*`, because a policy can't contain the rest of its key's beginning
        route `all-orders`: the role may read `s3://acme-landing/dé/*`, because a policy can't contain the rest of its key's beginning
        route `unicode`: the role may read `s3://acme-raw/dé/*`, because a policy can't contain the rest of its key's beginning"#]].assert_eq(&read(["データ/{file}.csv", "dé/日本/{file}"], false));
    expect![[r#"

        route `orders`: the role may read `s3://acme-landing/*`, because a policy can't contain the rest of its key's beginning
        route `all-orders`: the role may read `s3://acme-landing/dé/*`, because a policy can't contain the rest of its key's beginning
        route `unicode`: the role may read `s3://acme-raw/dé/*`, because a policy can't contain the rest of its key's beginning"#]].assert_eq(&read(["データ/{file}.csv", "dé/日本/{file}"], true));
    assert_eq!(read(["**", "**/{file}"], false).lines().next(), Some(""));
}

#[test]
fn a_boundary_that_names_no_single_policy_is_refused() {
    for boundary in [
        "arn:aws:iam::111111111111:policy/*",
        "arn:aws:iam::111111111111:policy/${aws:username}",
        "arn:aws:iam::11111:policy/landfall-boundary",
        "arn:anything:policy/x",
    ] {
        let mut properties = reader();
        properties["PermissionsBoundary"] = json!(boundary);
        let refused = role(Kind::Reader, &properties, DATA_STACK, &[]).expect_err(boundary);
        assert!(refused.to_string().contains("PermissionsBoundary"), "{refused}");
    }
}
