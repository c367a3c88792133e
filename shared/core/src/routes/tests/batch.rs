//! Tests of what makes a batch, and of what limits its job runs.

use super::*;

#[test]
fn values_that_differ_in_a_batch_need_batches_of_one() {
    check_with(
        r#""--dt": "{dt}""#,
        r#""--uri": "{object_uri}", "--file": "{file}""#,
        expect![[r#"
            17:29: error: `{object_uri}` differs between the objects of a batch (set `batch.max_objects: 1`; the job gets all objects in its manifest)
            17:55: error: `{file}` differs between the objects of a batch (add `file` to `batch.by`, or set `batch.max_objects: 1`)
        "#]],
    );
    check_with(
        "batch: { by: [dt] }\n    start:\n      target: analytics\n      job: orders-to-parquet\n      arguments: { \"--dt\": \"{dt}\" }",
        "batch: { max_objects: 1 }\n    start:\n      target: analytics\n      job: orders-to-parquet\n      arguments: { \"--f\": \"{file}{key}\" }",
        expect![[""]],
    );
}

#[test]
fn batch_settings_are_checked() {
    check_with(
        "batch: { by: [dt] }",
        "batch: { by: [dt, file], window: 8d, marker: a/b, settle: 5, max_objects: 0 }",
        expect![[r#"
            13:23: error: with a marker, `by` cannot use `file` (a marker stands for a whole folder: use only captures before the last `/`)
            13:38: error: `window` is longer than 7 days (use at most 7d)
            13:50: error: `a/b` is not a valid marker name (write only the name: _SUCCESS)
            13:63: error: `settle` is not a length of time such as `5m`
            13:79: error: `max_objects` is out of range (use 1 to 100,000)
        "#]],
    );
    check_with(
        "batch: { by: [dt] }",
        "batch: { by: [dt], marker: _SUCCESS }",
        expect![[r#"
            13:32: error: a marker needs `window` or `quiet` (otherwise a batch whose marker never comes would wait for ever)
        "#]],
    );
    check_with(
        "batch: { by: [dt] }",
        "batch: { by: [dt], window: 5m, marker: _SUCCESS, max_objects: 1 }",
        expect![[r#"
            13:67: error: `max_objects: 1` can't be combined with a marker (a batch of one object closes with that object: remove one of the two)
        "#]],
    );
}

#[test]
fn a_scope_is_checked_and_resolved() {
    let scoped = |scope: &str| format!("job: orders-to-parquet\n      scope: {scope}");
    check_with(
        "job: orders-to-parquet",
        &scoped("bach"),
        expect![[r#"
            17:14: error: `bach` is not a value of `scope` (did you mean `batch`?)
        "#]],
    );
    check_with(
        "job: orders-to-parquet",
        &scoped("prefix"),
        expect![[r#"
            17:14: error: `prefix` is not a value of `scope` (`job`: everything that the job role may do; `batch`: no other role than the reader role)
        "#]],
    );
    for (scope, resolved) in [("job", Scope::Job), ("batch", Scope::Batch)] {
        let text = VALID.replace("job: orders-to-parquet", &scoped(scope));
        let parsed = Routes::parse(&text);
        let routes = parsed.routes.unwrap_or_else(|| panic!("{:?}", parsed.problems));
        assert_eq!(routes.routes[0].scope, resolved);
        let start = routes.routes[0].start(routes.targets.get("analytics"), BTreeMap::new());
        assert_eq!(start.scope, resolved);
    }
    assert_eq!(Routes::parse(VALID).routes.expect("valid").routes[0].scope, Scope::Job);
}

#[test]
fn two_routes_of_one_job_may_have_different_scopes() {
    let other = "  - name: audit\n    bucket: acme-landing\n    key: \"audit/{file}.csv\"\n    \
                 start: { target: analytics, job: orders-to-parquet, scope: batch }\n";
    let parsed = Routes::parse(&format!("{}\n{other}", VALID.trim_end()));
    let routes = parsed.routes.unwrap_or_else(|| panic!("{:?}", parsed.problems));
    let scopes: Vec<Scope> = routes.routes.iter().map(|route| route.scope).collect();
    assert_eq!(scopes, [Scope::Job, Scope::Batch]);
}

#[test]
fn when_a_batch_closes_and_how_its_job_is_limited_and_retried_is_resolved() {
    let text = VALID
        .replace(
            "batch: { by: [dt] }",
            "batch: { by: [dt], window: 5m, quiet: 1m, max_objects: 7, marker: _DONE, settle: 10s }",
        )
        .replace(
            "      job: orders-to-parquet",
            "      job: orders-to-parquet\n      max_concurrent_runs: 3\n      max_runs_per_hour: 60\n      retry: { attempts: 3, states: [TIMEOUT] }",
        );
    let parsed = Routes::parse(&text);
    let route = &parsed.routes.unwrap_or_else(|| panic!("{:?}", parsed.problems)).routes[0];
    let closing = Closing {
        window_secs: Some(300),
        quiet_secs: Some(60),
        settle_secs: 10,
        max_objects: Some(7),
    };
    assert_eq!(route.closing, closing);
    assert_eq!(
        route.marker.as_ref().map(ToString::to_string).as_deref(),
        Some("orders/dt={dt}/_DONE")
    );
    let limits = Limits { max_concurrent_runs: Some(3), max_runs_per_hour: Some(60) };
    assert_eq!(route.limits, limits);
    assert_eq!(route.retry, Retry { attempts: 3, states: vec![RunState::Timeout] });
}

#[test]
fn without_settings_a_batch_closes_at_once_and_a_run_is_not_repeated() {
    let route = &Routes::parse(VALID).routes.expect("valid").routes[0];
    assert!(route.closing.is_at_once());
    assert_eq!((&route.limits, route.retry.attempts), (&Limits::default(), 1));
}

#[test]
fn a_marker_is_found_and_judged_as_one_whatever_its_size() {
    let text = VALID.replace("by: [dt]", "by: [dt], window: 5m, marker: _SUCCESS.csv");
    let routes = Routes::parse(&text).routes.expect("valid");
    let key = "orders/dt=1/_SUCCESS.csv";
    assert_eq!(routes.finder().find("acme-landing", key), [0]);
    let marker = crate::arrivals::Arrival {
        size: Some(0),
        ..crate::arrivals::tests::arrival("acme-landing", key)
    };
    assert_eq!(routes.routes[0].judge(&marker), Verdict::Marker(vec![("dt", "1")]));
}

#[test]
fn limits_of_one_job_must_agree() {
    let second = "  - { name: more, bucket: acme-landing, key: \"more/*\", start: { target: analytics, job: orders-to-parquet, max_concurrent_runs: 2 } }\n";
    check(
        &format!("{VALID}{second}"),
        expect![[r#"
            18:89: error: routes `orders` and `more` set different limits for job `orders-to-parquet` (limits belong to the job: set the same in both routes)
        "#]],
    );
}

#[test]
fn whether_a_job_must_claim_is_checked_resolved_and_required_by_default() {
    let with = |claim: &str| format!("job: orders-to-parquet\n      claim: {claim}");
    for (word, resolved) in [("required", ClaimMode::Required), ("optional", ClaimMode::Optional)] {
        let text = VALID.replace("job: orders-to-parquet", &with(word));
        let routes = Routes::parse(&text).routes.expect("valid");
        assert_eq!(routes.routes[0].claim, resolved);
    }
    assert_eq!(Routes::parse(VALID).routes.expect("valid").routes[0].claim, ClaimMode::Required);
    let text = VALID.replace("job: orders-to-parquet", &with("never"));
    assert_eq!(Routes::parse(&text).problems.len(), 1);
}

#[test]
fn a_bucket_policy_cannot_hold_a_run_to_its_batch() {
    let with = |more: &str| {
        VALID.replace("job: orders-to-parquet", &format!("job: orders-to-parquet{more}"))
    };
    let policy = with("\n      access: bucket_policy");
    let routes = Routes::parse(&policy).routes.expect("valid");
    assert_eq!(routes.routes[0].access, Access::BucketPolicy);
    assert_eq!(Routes::parse(VALID).routes.expect("valid").routes[0].access, Access::Role);
    assert!(
        Routes::parse(&with("\n      access: bucket_policy\n      scope: batch")).routes.is_none()
    );
}

#[test]
fn a_folder_that_can_hold_more_than_the_batch_is_warned_of() {
    check_with(
        r#""--dt": "{dt}""#,
        r#""--in": "{prefix_path}""#,
        expect![[r#"
        17:20: warning: `{prefix_path}` is a folder that can hold more than the batch (the job reads again what earlier batches read: close the batch by `batch.marker`, or let the job read `{manifest_uri}`)
    "#]],
    );
    check_with(
        r#""--dt": "{dt}""#,
        r#""--in": "{object_path}", "--all": "{manifest_uri}""#,
        expect![[r#"
            17:28: error: `{object_path}` differs between the objects of a batch (set `batch.max_objects: 1`; the job gets all objects in its manifest)
        "#]],
    );
}
