//! What keeps a role as narrow as the routes and the provisioner's settings are.

use expect_test::expect;
use serde_json::json;

use super::{DATA_STACK, STACK, reader, role, starter};
use crate::roles::{Home, Kind, Spec};

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

#[test]
fn trust_in_another_account_than_those_admitted_is_refused() {
    let home = Home::of_stack(STACK).expect("a stack's id");
    let spec = Spec::read(Kind::Starter, &starter(), &home).expect("valid properties");
    let within = |accounts: &[&str]| {
        let accounts = accounts.iter().map(|account| (*account).to_owned()).collect();
        spec.trusts_within(&accounts)
    };
    assert_eq!(within(&[]), Ok(()));
    assert_eq!(within(&["111111111111", "333333333333"]), Ok(()));
    let refused = within(&["333333333333", "444444444444"]).expect_err("refused");
    expect![
        "the trust of role `landfall-starter` names account `111111111111`, and the provisioner was told to trust `333333333333`, `444444444444` only: name it in `TrustedAccountIds` of the provisioner's stack, or mend `TrustedRoleArns`"
    ]
    .assert_eq(&refused.to_string());
}
