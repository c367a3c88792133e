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
        let (inventory, prune_by_date) = (None, None);
        let expected = Reconcile { every, look_back, grace, action, inventory, prune_by_date };
        assert_eq!(routes.routes[0].reconcile, Some(expected), "{text}");
    }
    let routes = Routes::parse(VALID).routes.expect("valid");
    assert_eq!(routes.routes[0].reconcile, None);
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

#[test]
fn a_route_can_be_reconciled_from_the_inventories_of_its_bucket_or_below_dates_only() {
    let reconcile = |more: &str| {
        let parsed = Routes::parse(&with(&format!("{{ every: 1d, action: start, {more} }}")));
        assert_eq!(parsed.problems, [], "{more}");
        parsed.routes.expect("valid").routes[0].clone().reconcile.expect("it is reconciled")
    };
    let found = reconcile("inventory: \"s3://acme-inventories/acme-landing/all\"");
    let place = found.inventory.expect("inventories");
    assert_eq!(place.to_string(), "s3://acme-inventories/acme-landing/all/");
    let found = reconcile("prune_by_date: \"orders/dt={yyyy}-{mm}-{dd}/\"");
    let prefix = found.prune_by_date.expect("dates");
    assert_eq!(prefix.to_string(), "orders/dt={yyyy}-{mm}-{dd}/");
}

#[test]
fn what_does_not_name_inventories_of_the_bucket_or_beginnings_of_keys_is_an_error() {
    check(
        &with("{ every: 1d, action: start, inventory: \"s3://acme-inventories/other/all/\" }"),
        expect![[r#"
            14:55: error: `s3://acme-inventories/other/all/` isn't where inventories of the bucket are (S3 writes them to `s3://BUCKET/[PREFIX/]acme-landing/ID/`, where ID is the name of their configuration)
        "#]],
    );
    check(
        &with("{ every: 1d, action: start, prune_by_date: \"sales/{yyyy}/{mm}/{dd}/\" }"),
        expect![[r#"
            14:59: error: `sales/{yyyy}/{mm}/{dd}/` isn't a beginning of keys with a date (begin with `orders/dt=`, and write each of `{yyyy}`, `{mm}` and `{dd}` once: `orders/dt={yyyy}-{mm}-{dd}/`)
        "#]],
    );
    check(
        &with(
            "{ every: 1d, action: start, inventory: \"s3://acme-inventories/acme-landing/all/\", \
             prune_by_date: \"orders/dt={yyyy}-{mm}-{dd}/\" }",
        ),
        expect![[r#"
            14:113: error: `prune_by_date` is for listing the bucket (an inventory is read as a whole: leave one of them out)
        "#]],
    );
}
