//! Tests that a file that is about to be deployed must say so if a reader role could read a whole
//! bucket.

use expect_test::expect;

use super::VALID;
use crate::routes::Routes;

fn problems_of(text: &str) -> String {
    let parsed = Routes::parse_to_deploy(text);
    let lines: Vec<String> = parsed.problems.iter().map(|problem| format!("{problem}\n")).collect();
    let is_usable = parsed.routes.is_some();
    assert_eq!(is_usable, !parsed.problems.iter().any(crate::problem::Problem::is_error));
    lines.concat()
}

fn with_key(key: &str, more: &str) -> String {
    let batch = "    batch: { by: [dt] }\n";
    VALID
        .replace("orders/dt={dt}/{file}.csv", key)
        .replace(batch, more)
        .replace("      arguments: { \"--dt\": \"{dt}\" }\n", "")
}

#[test]
fn a_route_that_lets_all_of_a_bucket_be_read_is_deployed_only_if_it_says_so() {
    expect![[r#"
        11:10: error: the reader role of route `orders` may read `s3://acme-landing/*`: a policy can't contain the rest of its key's beginning (begin the key with text that a policy can contain (orders/…), or give these objects their own bucket; if the role may read the whole bucket, set `wide: true`)
    "#]].assert_eq(&problems_of(&with_key("データ/{file}.csv", "")));
    expect![[r#"
        11:10: error: the reader role of route `orders` may read `s3://acme-landing/*`: its key begins with a wildcard (begin the key with text that a policy can contain (orders/…), or give these objects their own bucket; if the role may read the whole bucket, set `wide: true`)
    "#]].assert_eq(&problems_of(&with_key("{file}.csv", "    wide: false\n")));
    for key in ["データ/{file}.csv", "{file}.csv", "dé/日本/{file}"] {
        assert_eq!(problems_of(&with_key(key, "    wide: true\n")), "", "{key}");
    }
    for key in ["**", "orders/{file}.csv"] {
        assert_eq!(problems_of(&with_key(key, "")), "", "{key}");
    }
}

#[test]
fn a_reader_that_is_wider_than_a_key_is_warned_of_with_what_it_can_read() {
    expect![[r#"
        11:5: warning: the reader role of route `orders` may read `s3://acme-landing/dé/*`: a policy can't contain the rest of its key's beginning (policies can only contain the characters U+0020 to U+00FF; if the role may read that much, set `wide: true`)
    "#]].assert_eq(&problems_of(&with_key("dé/日本/{file}", "")));
    expect![[r#"
        13:5: warning: route `orders` doesn't need `wide`: its reader role reads only the key's beginning (remove `wide`)
    "#]].assert_eq(&problems_of(&with_key("orders/{file}.csv", "    wide: true\n")));
}

/// A function must not fail to start because of something that makes no difference to it.
#[test]
fn the_functions_take_a_file_that_could_not_be_deployed_any_more() {
    for key in ["データ/{file}.csv", "{file}.csv"] {
        let parsed = Routes::parse(&with_key(key, ""));
        assert!(parsed.routes.is_some() && parsed.problems.is_empty(), "{:?}", parsed.problems);
    }
}

#[test]
fn other_problems_are_reported_beside_those_of_wide_routes() {
    let text = with_key("{file}.csv", "").replace("job: orders", "jop: orders");
    expect![[r#"
        11:10: error: the reader role of route `orders` may read `s3://acme-landing/*`: its key begins with a wildcard (begin the key with text that a policy can contain (orders/…), or give these objects their own bucket; if the role may read the whole bucket, set `wide: true`)
        15:7: error: unknown field `jop` (did you mean `job`?)
    "#]].assert_eq(&problems_of(&text));
}
