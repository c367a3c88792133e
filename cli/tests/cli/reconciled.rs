//! What the commands say about routes whose buckets are listed for what S3 never announced.

use expect_test::expect;
use serde_json::{Value, json};

use crate::{Shown, landfall};

const ROUTES: &str = r#"version: 1
routes:
  - name: orders
    bucket: acme-landing
    key: "orders/{file}"
    reconcile: { every: 1d, action: start }
    start: { target: none }
  - name: items
    bucket: acme-items
    key: "items/{file}"
    reconcile: { every: 6h, look_back: 8h, grace: 2h, action: report }
    start: { target: none }
"#;

fn run(args: &[&str]) -> Shown {
    landfall(&[("f", ROUTES)], args)
}

#[test]
fn check_says_what_becomes_of_what_s3_never_announced() {
    expect![[r#"
        --- stderr
        f: 2 routes, 0 targets, no problems
        note: announce, `orders`, `items`: an event says when a batch has closed
        note: reconcile with action start, `orders`: a function lists the bucket, and puts what is in no batch into one
        note: reconcile with action report, `items`: a function lists the bucket, and says what is in no batch
        --- status 0
    "#]]
    .assert_eq(&run(&["check", "f"]).all());
}

#[test]
fn explain_says_which_objects_are_reconciled_and_how_often() {
    let args = ["explain", "--routes", "f", "s3://acme-items/items/a"];
    expect![[r#"
        s3://acme-items/items/a (size not known)
          items: matches, file = `a`
          1 more route, of another bucket

        start no job and announce the batch by route `items`: 1 object, size not known
          every 6h, Landfall lists the objects of the last 8h and says what is in no batch
          announced at once

        no job run would start, 1 batch be announced
        --- stderr
        --- status 0
    "#]]
    .assert_eq(&run(&args).all());
    let shown = run(&[&args[..], &["--json"]].concat());
    let document: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    let expected = json!({ "every_secs": 21_600, "look_back_secs": 28_800, "grace_secs": 7_200, "action": "report" });
    assert_eq!(document["plan"]["requests"][0]["reconcile"], expected);
}

#[test]
fn check_says_what_an_inventory_and_dates_leave_out() {
    let routes = ROUTES
        .replace(
            "every: 1d, action",
            "every: 1d, inventory: \"s3://inventories/acme-landing/all/\", action",
        )
        .replace(
            "grace: 2h, action",
            "grace: 2h, prune_by_date: \"items/{yyyy}-{mm}-{dd}\", action",
        );
    let run = |args: &[&str]| landfall(&[("f", &routes)], args);
    expect![[r#"
        --- stderr
        f: 2 routes, 0 targets, no problems
        note: announce, `orders`, `items`: an event says when a batch has closed
        note: reconcile with action start, `orders`: a function lists the bucket, and puts what is in no batch into one
        note: reconcile with action report, `items`: a function lists the bucket, and says what is in no batch
        note: reconcile with an inventory, `orders`: the function reads the newest one, and doesn't list the bucket. It leaves out what was written in the two days before that, so it finds an object later
        note: reconcile with prune_by_date, `items`: the function lists only keys with the dates that it looks back to. It misses an object that is written below an older or a later date
        --- status 0
    "#]].assert_eq(&run(&["check", "f"]).all());
    let explain = |uri| run(&["explain", "--routes", "f", uri]).stdout;
    let said = explain("s3://acme-landing/orders/a");
    let expected = "every 1d, Landfall reads the newest inventory for the objects of the last 3d";
    assert!(said.contains(expected), "{said}");
    let said = explain("s3://acme-items/items/2026-01-31");
    assert!(said.contains("it lists only below the dates of `items/{yyyy}-{mm}-{dd}`"), "{said}");
}
