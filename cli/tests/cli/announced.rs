//! What the commands say about routes whose batches an event announces.

use expect_test::expect;
use serde_json::Value;

use crate::{ROUTES, Shown, landfall};

/// [`ROUTES`], with a route that starts no job in place of the route to job `items`.
fn run(args: &[&str]) -> Shown {
    let routes = ROUTES.replace("{ target: analytics, job: items }", "{ target: none }");
    assert_ne!(routes, ROUTES, "the fixture has another job");
    // This is the name that the stack gives the role.
    let name = "starter_role: landfall/landfall-starter";
    let routes = routes.replace("starter_role: landfall-starter", name);
    landfall(&[("f", &routes)], args)
}

#[test]
fn check_says_which_routes_announce_their_batches_and_counts_no_claim_mode_for_them() {
    expect![[r#"
        --- stderr
        f: 3 routes, 1 target, no problems
        note: claim required, `orders`, `audit`: a batch succeeds only if the run that claims it does
        note: announce, `items`: an event says when a batch has closed
        --- status 0
    "#]].assert_eq(&run(&["check", "f"]).all());
}

#[test]
fn explain_says_that_a_batch_is_announced_and_starts_nothing() {
    let args = ["explain", "--routes", "f", "s3://acme-items/a"];
    expect![[r#"
        s3://acme-items/a (size not known)
          items: matches
          2 more routes, of other buckets

        start no job and announce the batch by route `items`: 1 object, size not known
          announced at once

        no job run would start, 1 batch be announced
        --- stderr
        --- status 0
    "#]]
    .assert_eq(&run(&args).all());
    let shown = run(&[&args[..], &["--json"]].concat());
    let document: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    let request = &document["plan"]["requests"][0];
    assert_eq!((&request["job"], &request["target"]), (&Value::Null, &Value::Null));
    assert_eq!(request["announce"], true);
}

/// The starter role names no further job, and the reader role reads none of its objects.
#[test]
fn no_role_may_do_anything_for_a_route_without_a_job() {
    let shown = run(&["policies", "--routes", "f", "--data-account", "111111111111"]);
    assert_eq!(shown.status, 0, "{}", shown.all());
    assert!(shown.stdout.contains("acme-landing"), "{}", shown.all());
    assert!(!shown.stdout.contains("acme-items"), "{}", shown.all());
}
