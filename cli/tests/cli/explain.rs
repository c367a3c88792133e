//! `landfall explain`.

use expect_test::{Expect, expect};
use serde_json::Value;

use crate::{ROUTES, landfall, landfall_with};

#[track_caller]
fn check(args: &[&str], expected: Expect) {
    let args = [&["explain", "--routes", "routes.yaml"], args].concat();
    expected.assert_eq(&landfall(&[("routes.yaml", ROUTES)], &args).all());
}

/// What is said of each route, and the exit status.
#[track_caller]
fn check_verdicts(args: &[&str], expected: Expect) {
    let args = [&["explain", "--routes", "f"], args].concat();
    let shown = landfall(&[("f", ROUTES)], &args);
    let verdicts = shown.stdout.split("\n\n").next().unwrap_or_default();
    expected.assert_eq(&format!("{verdicts}\nstatus {}\n", shown.status));
}

#[test]
fn an_object_that_matches_is_shown_with_what_it_starts() {
    check(
        &[
            "--size",
            "12",
            "--version-id",
            "v1",
            "--event-time",
            "2026-01-31T23:59:59Z",
            "s3://acme-landing/orders/dt=2026-01-31/a.csv",
        ],
        expect![[r#"
            s3://acme-landing/orders/dt=2026-01-31/a.csv (12 bytes, version v1)
              orders: matches, dt = `2026-01-31`, file = `a`
              audit: matches
              1 more route, of another bucket

            start job `orders-to-parquet` in `analytics` (account 222222222222, eu-west-1) by route `orders`: 1 object, 12 bytes
              group dt = `2026-01-31`
              --dt 2026-01-31
              and from Landfall --landfall-batch-id, --landfall-epoch, --landfall-manifest, --landfall-reader-role, --landfall-claims-table
              starts at once

            start job `audit` in `analytics` (account 222222222222, eu-west-1) by route `audit`: 1 object, 12 bytes
              --at 2026-01-31T23:59:59Z
              and from Landfall --landfall-batch-id, --landfall-epoch, --landfall-manifest, --landfall-reader-role, --landfall-claims-table
              starts at once

            2 job runs would start
            --- stderr
            --- status 0
        "#]],
    );
}

#[test]
fn the_scope_of_a_run_is_told() {
    let routes = ROUTES.replace("job: orders-to-parquet,", "job: orders-to-parquet, scope: batch,");
    assert_ne!(routes, ROUTES);
    let args = ["explain", "--routes", "f", "s3://acme-landing/orders/dt=2026-01-31/a.csv"];
    let shown = landfall(&[("f", &routes)], &args);
    let lines = shown.stdout.lines().filter(|line| line.contains("scope"));
    let lines: Vec<&str> = lines.map(str::trim).collect();
    expect![[r#"
        and from Landfall --landfall-batch-id, --landfall-epoch, --landfall-manifest, --landfall-reader-role, --landfall-claims-table, --landfall-scope batch
        with scope `batch`: the run can assume only the reader role"#]].assert_eq(&lines.join("\n"));
    let shown = landfall(&[("f", &routes)], &[&args[..], &["--json"]].concat());
    let document: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    assert_eq!(document["plan"]["requests"][0]["scope"], "batch");
}

#[test]
fn that_a_run_need_not_claim_is_told() {
    let optional = "job: orders-to-parquet, claim: optional,";
    let routes = ROUTES.replace("job: orders-to-parquet,", optional);
    assert_ne!(routes, ROUTES);
    let args = ["explain", "--routes", "f", "s3://acme-landing/orders/dt=2026-01-31/a.csv"];
    let shown = landfall(&[("f", &routes)], &args);
    let lines: Vec<&str> =
        shown.stdout.lines().filter(|line| line.contains("with claim")).collect();
    expect![[r#"  with claim `optional`: if no run claims a batch, the end of the only run that was at work decides; a batch of which two may have been at work is parked"#]]
        .assert_eq(&lines.join("\n"));
    let shown = landfall(&[("f", &routes)], &[&args[..], &["--json"]].concat());
    let document: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    assert_eq!(document["plan"]["requests"][0]["claim"], "optional");
}

#[test]
fn what_a_uri_does_not_tell_is_said() {
    check(
        &["s3://acme-landing/orders/dt=2026-01-31/a.csv"],
        expect![[r#"
            s3://acme-landing/orders/dt=2026-01-31/a.csv (size not known)
              orders: matches, dt = `2026-01-31`, file = `a`, but only if it has at least 1 byte and at most 1000 bytes
              audit: matches
              1 more route, of another bucket

            start job `orders-to-parquet` in `analytics` (account 222222222222, eu-west-1) by route `orders`: 1 object, size not known
              group dt = `2026-01-31`
              --dt 2026-01-31
              and from Landfall --landfall-batch-id, --landfall-epoch, --landfall-manifest, --landfall-reader-role, --landfall-claims-table
              starts at once

            route `audit` can't start anything for s3://acme-landing/orders/dt=2026-01-31/a.csv: the event does not tell the `event_time` that `--at` needs [argument_unknown_value]
              an event has it: try --event-time 2026-01-31T23:59:59Z

            1 job run would start if the size fits: say how large the object is with --size BYTES
            --- stderr
            --- status 0
        "#]],
    );
}

#[test]
fn an_object_of_unknown_size_would_start_a_run_only_if_its_size_fits() {
    let args = |options: &'static [&'static str]| {
        let uri = "s3://acme-landing/orders/dt=2026-01-31/a.csv";
        [&["explain", "--routes", "f", uri][..], options].concat()
    };
    let told = |options| landfall(&[("f", ROUTES)], &args(options));
    let unknown = told(&[]).stdout;
    assert!(
        unknown.contains("but only if it has at least 1 byte and at most 1000 bytes"),
        "{unknown}"
    );
    assert!(unknown.contains("would start if the size fits: "), "{unknown}");
    let fits = told(&["--size", "12"]).stdout;
    assert!(!fits.contains("only if") && fits.ends_with("1 job run would start\n"), "{fits}");
    let empty = told(&["--size", "0"]);
    assert_eq!(empty.status, 3, "{}", empty.all());
    let document: Value = serde_json::from_str(&told(&["--json"]).stdout).expect("JSON");
    let verdicts = &document["arrivals"][0]["verdicts"];
    let only_if = serde_json::json!({ "min_bytes": 1, "max_bytes": 1000 });
    assert_eq!((&verdicts[0]["only_if"], verdicts[1].get("only_if")), (&only_if, None));
}

#[test]
fn an_object_that_does_not_match_is_told_why() {
    check(
        &["s3://acme-landing/orders/dt=2026-01-31/", "--size", "0"],
        expect![[r#"
            s3://acme-landing/orders/dt=2026-01-31/ (0 bytes)
              orders: the key doesn't match `orders/dt={dt}/{file}.csv`
              audit: a directory marker: an empty object whose key ends with `/` (`where.directory_markers: true` lets it pass)
              1 more route, of another bucket

            nothing would start
            --- stderr
            --- status 3
        "#]],
    );
    check_verdicts(
        &["s3://acme-landing/orders/dt=2026-01-31/"],
        expect![[r#"
            s3://acme-landing/orders/dt=2026-01-31/ (size not known)
              orders: the key doesn't match `orders/dt={dt}/{file}.csv`
              audit: matches, but only if it has at least 1 byte
              1 more route, of another bucket
            status 3
        "#]],
    );
    check_verdicts(
        &["s3://acme-landing/orders/dt=1/a.csv", "--size", "0"],
        expect![[r#"
        s3://acme-landing/orders/dt=1/a.csv (0 bytes)
          orders: too small: 0 bytes, `where.min_bytes` is 1
          audit: matches
          1 more route, of another bucket
        status 3
    "#]],
    );
    check_verdicts(
        &["s3://acme-landing/orders/dt=1/a.csv", "--size", "1001"],
        expect![[r#"
        s3://acme-landing/orders/dt=1/a.csv (1001 bytes)
          orders: too large: 1001 bytes, `where.max_bytes` is 1000
          audit: matches
          1 more route, of another bucket
        status 3
    "#]],
    );
}

#[test]
fn a_bucket_without_routes_is_told_which_have_some() {
    check_verdicts(
        &["s3://acme-landin/orders/dt=1/a.csv"],
        expect![[r#"
        s3://acme-landin/orders/dt=1/a.csv (size not known)
          no route for bucket `acme-landin`; did you mean `acme-landing`?
        status 3
    "#]],
    );
    check_verdicts(
        &["s3://other/a.csv"],
        expect![[r#"
        s3://other/a.csv (size not known)
          no route for bucket `other`; the routes are for `acme-items`, `acme-landing`
        status 3
    "#]],
    );
}

#[test]
fn a_key_is_taken_as_it_is_written() {
    let routes = ROUTES.replace("key: \"**\"", "key: \"audit/**\"");
    let args = ["explain", "--routes", "f", "s3://acme-landing/orders/dt%3D1/a+b.csv"];
    expect![[r#"
        s3://acme-landing/orders/dt%3D1/a+b.csv (size not known)
          orders: the key doesn't match `orders/dt={dt}/{file}.csv`
          audit: the key doesn't match `audit/**`
          1 more route, of another bucket
          note: the key is taken as written; `%3D` in it is not decoded

        nothing would start
        --- stderr
        --- status 3
    "#]]
    .assert_eq(&landfall(&[("f", &routes)], &args).all());
    check(
        &["s3://acme-items/%41+b"],
        expect![[r#"
            s3://acme-items/%41+b (size not known)
              items: matches
              2 more routes, of other buckets

            start job `items` in `analytics` (account 222222222222, eu-west-1) by route `items`: 1 object, size not known
              and from Landfall --landfall-batch-id, --landfall-epoch, --landfall-manifest, --landfall-reader-role, --landfall-claims-table
              starts at once

            1 job run would start
            --- stderr
            --- status 0
        "#]],
    );
    check_verdicts(
        &["s3://acme-landing//x"],
        expect![[r#"
            s3://acme-landing//x (size not known)
              orders: the key doesn't match `orders/dt={dt}/{file}.csv`
              audit: matches
              1 more route, of another bucket
            status 3
        "#]],
    );
}

#[test]
fn control_characters_in_a_key_are_escaped() {
    let uri = "s3://acme-items/\u{1b}[2J\u{9b}2J\n";
    check(
        &[uri],
        expect![[r#"
            s3://acme-items/\u{1b}[2J\u{9b}2J\n (size not known)
              items: matches
              2 more routes, of other buckets

            start job `items` in `analytics` (account 222222222222, eu-west-1) by route `items`: 1 object, size not known
              and from Landfall --landfall-batch-id, --landfall-epoch, --landfall-manifest, --landfall-reader-role, --landfall-claims-table
              starts at once

            1 job run would start
            --- stderr
            --- status 0
        "#]],
    );
    let shown = landfall(&[("f", ROUTES)], &["explain", "--routes", "f", uri, "--json"]);
    assert!(!shown.stdout.contains(|c: char| c.is_control() && c != '\n'), "{}", shown.stdout);
    let document: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    assert_eq!(document["arrivals"][0]["key"], "\u{1b}[2J\u{9b}2J\n");
}

#[test]
fn a_routes_file_with_errors_is_shown_as_check_shows_it() {
    let text = ROUTES.replace("eu-west-1", "ireland");
    let shown = landfall(&[("f", &text)], &["explain", "--routes", "f", "s3://acme-landing/a"]);
    expect![[r#"
        --- stderr
        error: `ireland` is not a region
         --> f:5:13
          |
        5 |     region: ireland
          |             ^^^^^^^
          |
          = help: a region looks like `eu-west-1`

        f: 1 error
        --- status 1
    "#]]
    .assert_eq(&shown.all());
}

#[test]
fn what_cannot_be_asked_exits_with_2() {
    for (args, message) in [
        (&["s3://acme-landing"][..], "`s3://acme-landing` doesn't name an object"),
        (&["s3://acme-landing/"], "doesn't name an object"),
        (&["s3:///key"], "doesn't name an object"),
        (&["missing.json"], "failed to read `missing.json`"),
        (&["f", "--size", "1"], "work only with an s3:// URI"),
        (&["s3://b/k", "--size", "big"], "--size"),
        (&["s3://b/k", "--event-time", "today"], "not a time"),
    ] {
        let shown = landfall(&[("f", ROUTES)], &[&["explain", "--routes", "f"], args].concat());
        assert_eq!(shown.status, 2, "{args:?}: {}", shown.all());
        assert!(shown.stderr.contains(message), "{args:?}: {}", shown.stderr);
        assert_eq!(shown.stdout, "");
    }
    let twice = landfall_with(&[], &["explain", "--routes", "-", "-"], b"");
    assert_eq!(twice.status, 2);
}
