//! Routes whose batches an event announces, with and without a job.

use expect_test::expect;

use super::*;

const ALONE: &str = "version: 1\nroutes:\n  - name: orders\n    bucket: acme-landing\n    key: \"orders/{file}\"\n    \
                     start: { target: none }\n";

#[test]
fn a_route_without_a_target_needs_none_and_announces_its_batches() {
    let parsed = Routes::parse_to_deploy(ALONE);
    assert_eq!(parsed.problems, []);
    let routes = parsed.routes.expect("valid");
    let route = &routes.routes[0];
    assert_eq!((&route.job, route.announce, routes.announces()), (&None, true, true));
    let start = route.start(routes.targets.get(&route.target), BTreeMap::new());
    assert!(!start.has_job() && start.announce);
    assert_eq!((start.target.as_str(), start.account.as_str()), ("none", "none"));
}

#[test]
fn a_job_is_announced_if_its_route_says_so() {
    for (text, announce) in [
        ("job: orders-to-parquet", false),
        ("job: orders-to-parquet\n      announce: true", true),
        ("job: orders-to-parquet\n      announce: false", false),
    ] {
        let parsed = Routes::parse(&VALID.replace("job: orders-to-parquet", text));
        let routes = parsed.routes.unwrap_or_else(|| panic!("{:?}", parsed.problems));
        let route = &routes.routes[0];
        assert_eq!((route.announce, route.job.is_some()), (announce, true));
        let start = route.start(routes.targets.get(&route.target), BTreeMap::new());
        assert_eq!((start.announce, start.has_job()), (announce, true));
    }
}

#[test]
fn what_only_a_job_needs_has_no_use_without_one() {
    let all = "{ target: none, job: a, arguments: {}, max_concurrent_runs: 1, max_runs_per_hour: 1, \
               retry: { attempts: 2 }, scope: batch, claim: optional, access: role, announce: false }";
    check(
        &ALONE.replace("{ target: none }", all),
        expect![[r#"
        6:33: error: `job` has no use with `target: none` (without a target, no job is started: remove it, or name a target)
        6:47: error: `arguments` has no use with `target: none` (without a target, no job is started: remove it, or name a target)
        6:72: error: `max_concurrent_runs` has no use with `target: none` (without a target, no job is started: remove it, or name a target)
        6:94: error: `max_runs_per_hour` has no use with `target: none` (without a target, no job is started: remove it, or name a target)
        6:104: error: `retry` has no use with `target: none` (without a target, no job is started: remove it, or name a target)
        6:128: error: `scope` has no use with `target: none` (without a target, no job is started: remove it, or name a target)
        6:142: error: `claim` has no use with `target: none` (without a target, no job is started: remove it, or name a target)
        6:160: error: `access` has no use with `target: none` (without a target, no job is started: remove it, or name a target)
        6:176: error: with `target: none`, a batch is always announced (otherwise nothing would follow from it: remove `announce: false`)
    "#]],
    );
}

#[test]
fn a_target_that_is_called_none_is_meant_by_its_name() {
    let text =
        VALID.replace("  analytics:", "  none:").replace("target: analytics", "target: none");
    let parsed = Routes::parse(&text);
    let routes = parsed.routes.unwrap_or_else(|| panic!("{:?}", parsed.problems));
    assert!(routes.routes.iter().all(|route| route.job.is_some() && !route.announce));
    check(
        &text.replace("      job: orders-to-parquet\n", ""),
        expect![[r#"
        15:7: error: `job` is missing (add `job: …`)
    "#]],
    );
}

#[test]
fn targets_are_missed_if_a_route_names_one() {
    check(
        &ALONE.replace("none", "analytics"),
        expect![[r#"
        1:1: error: `targets` is missing (add `targets: …`)
        6:12: error: `job` is missing (add `job: …`)
        6:22: error: there is no target `analytics` (list it under `targets`)
    "#]],
    );
    check(
        "version: 1\nroutes: []\n",
        expect![[r#"
        1:1: error: `targets` is missing (add `targets: …`)
        2:9: error: there is no route (a file without routes starts nothing)
    "#]],
    );
}

#[test]
fn two_routes_that_announce_the_same_keys_are_warned_of() {
    let twin =
        ALONE.split_once("routes:\n").expect("routes").1.replace("name: orders", "name: twin");
    check(
        &format!("{ALONE}{twin}"),
        expect![[r#"
        7:5: warning: routes `orders` and `twin` announce the same keys (every object is announced twice: is one of them left over?)
    "#]],
    );
}
