//! Routes whose buckets are listed for what S3 never announced.

use std::time::Duration;

use expect_test::expect;

use super::*;

fn with(reconcile: &str) -> String {
    VALID.replace("    start:\n", &format!("    reconcile: {reconcile}\n    start:\n"))
}

#[test]
fn a_route_says_how_often_its_bucket_is_listed_and_leaves_the_rest_to_defaults() {
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    for (text, expected) in [
        ("{ every: 1d, action: start }", (24, 72, 1, Action::Start)),
        ("{ every: 6h, look_back: 8h, grace: 2h, action: report }", (6, 8, 2, Action::Report)),
    ] {
        let parsed = Routes::parse_to_deploy(&with(text));
        assert_eq!(parsed.problems, [], "{text}");
        let routes = parsed.routes.expect("valid");
        let (every, look_back, grace, action) = expected;
        let (every, look_back, grace) = (hours(every), hours(look_back), hours(grace));
        let expected = Reconcile { every, look_back, grace, action };
        assert_eq!(routes.routes[0].reconcile, Some(expected), "{text}");
        assert_eq!(Vec::from_iter(routes.reconciled_buckets()), ["acme-landing"]);
    }
    let routes = Routes::parse(VALID).routes.expect("valid");
    assert_eq!((routes.routes[0].reconcile, routes.reconciled_buckets().len()), (None, 0));
}

#[test]
fn a_pass_looks_back_at_least_as_far_as_the_pass_before() {
    check(
        &with("{ every: 2d, look_back: 2d, grace: 1h, action: start }"),
        expect![[r#"
            14:40: error: `look_back` is shorter than `every` and `grace` together (objects between two passes would be missed for good: make it longer)
        "#]],
    );
}

#[test]
fn what_may_still_be_announced_is_never_missed() {
    check(
        &with("{ every: 1d, grace: 59m, action: start }"),
        expect![[r#"
            14:36: error: `grace` is out of range (use 1h to 7d)
        "#]],
    );
}

#[test]
fn all_mistakes_of_a_reconciliation_are_reported_together() {
    check(
        &with("{ look_back: 91d, grace: soon, action: begin }"),
        expect![[r#"
            14:16: error: `every` is missing (add `every: …`)
            14:29: error: `look_back` is out of range (use 1h to 90d)
            14:41: error: `soon` is not a length of time (write a number and s, m, h or d: 90m, 1h, 1d)
            14:55: error: `begin` is not a value of `action` (`start`: put what is missed into batches; `report`: only say so)
        "#]],
    );
}
