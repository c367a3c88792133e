//! What keeps a role as narrow as the routes are.

use expect_test::expect;
use serde_json::json;

use super::{DATA_STACK, reader, role};
use crate::roles::Kind;

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
