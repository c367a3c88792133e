//! Tests of the checks that apply when a file is deployed, but not in the functions that serve it.

use expect_test::expect;
use serde_json::json;

use super::VALID;
use crate::routes::{Routes, refused};

fn problems_of(from: &str, to: &str) -> String {
    let parsed = Routes::parse_to_deploy(&VALID.replace(from, to));
    parsed.problems.iter().map(|problem| format!("{problem}\n")).collect()
}

#[test]
fn names_that_no_bucket_can_have_are_refused() {
    for (name, reason) in [
        ("a..b", "is not a valid bucket name (each `.` in a name needs a letter or a digit"),
        (
            "acme.-landing",
            "is not a valid bucket name (each `.` in a name needs a letter or a digit",
        ),
        (
            "acme-.landing",
            "is not a valid bucket name (each `.` in a name needs a letter or a digit",
        ),
        (
            "192.168.5.4",
            "is not a valid bucket name (a bucket's name can't look like an IP address)",
        ),
        ("acme--use1-az4--x-s3", "is the name of a directory bucket"),
        ("acme--table-s3", "is the name of a table bucket"),
        ("acme-abc-s3alias", "is the name of the alias of an access point (name the bucket"),
        ("acme--ol-s3", "is the name of the alias of an Object Lambda access point"),
        ("mfzwi23gnjvgw.mrap", "is the name of the alias of a Multi-Region Access Point"),
    ] {
        let said = problems_of("acme-landing", name);
        assert!(said.starts_with("10:13: error: ") && said.contains(reason), "{name}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        let functions = Routes::parse(&VALID.replace("acme-landing", name));
        assert!(functions.routes.is_some(), "the functions stop: {:?}", functions.problems);
        let properties = json!({ "routes": [{ "bucket": name }] });
        assert!(refused(&properties)[0].starts_with("Routes.routes[0].bucket: "), "{name}");
    }
    for name in ["acme.landing", "1.2.3.4.5", "192.168.5", "s3alias", "a-b.c-d"] {
        assert_eq!(problems_of("acme-landing", name), "", "{name}");
    }
}

#[test]
fn a_name_that_aws_has_reserved_since_is_warned_of() {
    expect![[r#"
        10:5: warning: AWS has reserved bucket names that begin with `xn--` (only older buckets can have such a name: is it the right one?)
    "#]].assert_eq(&problems_of("acme-landing", "xn--landing"));
    for name in ["sthree-landing", "amzn-s3-demo-landing"] {
        let said = problems_of("acme-landing", name);
        assert!(said.contains("warning: ") && !said.contains("error"), "{said}");
        assert_eq!(refused(&json!({ "routes": [{ "bucket": name }] })), [] as [String; 0]);
    }
}

#[test]
fn a_job_that_is_given_as_an_arn_is_refused_with_the_name_to_write() {
    let arn = "\"arn:aws:glue:eu-west-1:222222222222:job/orders-to-parquet\"";
    expect![[r#"
        16:12: error: `arn:aws:glue:eu-west-1:222222222222:job/orders-to-parquet` is an ARN, not a job name (write `orders-to-parquet`: the target gives the account and the region)
    "#]].assert_eq(&problems_of("orders-to-parquet", arn));
    assert!(problems_of("orders-to-parquet", "\"arn:aws:glue\"").contains("write the job's name"));
    let properties = json!({ "routes": [{ "start": { "job": "fine" } }, { "start": { "job": "arn:x:job/y" } }] });
    assert_eq!(
        refused(&properties),
        [
            "Routes.routes[1].start.job: `arn:x:job/y` is an ARN, not a job name (write `y`: the target gives \
          the account and the region)"
        ]
    );
}

#[test]
fn what_is_a_glob_elsewhere_and_text_here_is_warned_of() {
    let with = |key: &str| problems_of("orders/dt={dt}/{file}.csv", key);
    expect![[r#"
        11:5: warning: `?` in the key stands for itself: only `*`, `**` and `{name}` are special (write `*` for any text in one folder, or `{name}` to use it in the job's arguments; if you mean several texts, write a route for each)
        11:5: warning: `[0-9]` in the key stands for itself: only `*`, `**` and `{name}` are special (write `*` for any text in one folder, or `{name}` to use it in the job's arguments; if you mean several texts, write a route for each)
    "#]].assert_eq(&with("orders/{dt}/a?[0-9].csv"));
    for (key, text) in [("orders/{dt}/!(tmp)", "!(tmp)"), ("orders/{dt}/[!a]b", "[!a]")] {
        let said = with(key);
        assert!(said.contains(&format!("warning: `{text}`")), "{said}");
    }
    assert!(
        with("orders/{dt}/{a,b}.csv")
            .contains("error: `{a,b}` is not a valid capture name (patterns have no alternatives")
    );
    for key in
        ["orders/{dt}/a[].csv", "orders/{dt}/a]b[c", "orders/{dt}/(a)!.csv", "orders/{dt}/{{a}}*"]
    {
        assert_eq!(with(key), "", "{key}");
    }
}

#[test]
fn a_region_or_role_of_a_partition_that_aws_does_not_list_is_refused() {
    for (region, partition) in [("us-isof-south-1", "aws-iso-f"), ("eu-isoe-west-1", "aws-iso-e")] {
        let text = VALID.replace("eu-west-1", region);
        let routes = Routes::parse(&text).routes.expect("valid");
        let role = format!("arn:{partition}:iam::222222222222:role/landfall-starter");
        assert_eq!(routes.targets["analytics"].starter_role_arn, role);
        let text = text.replace("starter_role: landfall-starter", &format!("starter_role: {role}"));
        assert_eq!(Routes::parse(&text).problems, []);
    }
    let unknown = Routes::parse(&VALID.replace("eu-west-1", "us-isoz-west-1")).problems;
    assert!(unknown[0].to_string().contains("`us-isoz-west-1` is not a region"), "{unknown:?}");
}
