//! `landfall check`.

use expect_test::{Expect, expect};

use crate::{ROUTES, landfall, landfall_with};

/// [`ROUTES`] with five different mistakes: a value's type, a field's name, a pattern, a target,
/// an argument.
fn five_mistakes() -> String {
    [
        ("\"222222222222\"", "222222222222"),
        ("min_bytes", "min_byte"),
        ("dt={dt}", "dt={dt"),
        ("start: { target: analytics, job: audit", "start: { target: analytcs, job: audit"),
        ("job: items }", "job: items, arguments: { \"--JOB_NAME\": x } }"),
    ]
    .into_iter()
    .fold(ROUTES.to_owned(), |text, (right, wrong)| {
        assert!(text.contains(right), "{right}");
        text.replacen(right, wrong, 1)
    })
}

#[track_caller]
fn check(text: &str, options: &[&str], expected: Expect) {
    let args = [&["check"][..], options, &["routes.yaml"]].concat();
    expected.assert_eq(&landfall(&[("routes.yaml", text)], &args).all());
}

#[test]
fn five_mistakes_are_all_shown_each_with_place_and_hint() {
    check(
        &five_mistakes(),
        &[],
        expect![[r#"
            error: `account` is not a string
             --> routes.yaml:4:14
              |
            4 |     account: 222222222222
              |              ^^^^^^^^^^^^
              |
              = help: put it in quotes

            error: `{` is not closed
              --> routes.yaml:11:10
               |
            11 |     key: "orders/dt={dt/{file}.csv"
               |          ^^^^^^^^^^^^^^^^^^^^^^^^^^
               |
               = help: write `{{` and `}}` for braces that are part of the key

            error: unknown field `min_byte`
              --> routes.yaml:12:14
               |
            12 |     where: { min_byte: 1, max_bytes: 1000 }
               |              ^^^^^^^^
               |
               = help: did you mean `min_bytes`?

            error: there is no target `analytcs`
              --> routes.yaml:19:22
               |
            19 |     start: { target: analytcs, job: audit, arguments: { "--at": "{event_time}" } }
               |                      ^^^^^^^^
               |
               = help: did you mean `analytics`?

            error: `--JOB_NAME`: Glue sets this argument itself
              --> routes.yaml:23:58
               |
            23 |     start: { target: analytics, job: items, arguments: { "--JOB_NAME": x } }
               |                                                          ^^^^^^^^^^^^
               |
               = help: remove it

            --- stderr
            routes.yaml: 5 errors
            --- status 1
        "#]],
    );
}

#[test]
fn the_short_format_has_one_line_for_each_problem() {
    check(
        &five_mistakes(),
        &["--format", "short"],
        expect![[r#"
            routes.yaml:4:14: error: `account` is not a string (put it in quotes)
            routes.yaml:11:10: error: `{` is not closed (write `{{` and `}}` for braces that are part of the key)
            routes.yaml:12:14: error: unknown field `min_byte` (did you mean `min_bytes`?)
            routes.yaml:19:22: error: there is no target `analytcs` (did you mean `analytics`?)
            routes.yaml:23:58: error: `--JOB_NAME`: Glue sets this argument itself (remove it)
            --- stderr
            routes.yaml: 5 errors
            --- status 1
        "#]],
    );
}

#[test]
fn a_route_whose_reader_reads_all_of_a_bucket_is_shown_unless_it_says_so() {
    let narrow = ROUTES.replace("    wide: true\n", "");
    assert_ne!(narrow, ROUTES);
    check(
        &narrow.replace("key: \"*\"", "key: \"データ/{file}.csv\""),
        &[],
        expect![[r#"
        error: the reader role of route `items` may read `s3://acme-items/*`: a policy can't contain the rest of its key's beginning
          --> routes.yaml:22:10
           |
        22 |     key: "データ/{file}.csv"
           |          ^^^^^^^^^^^^^^^^^^^
           |
           = help: begin the key with text that a policy can contain (orders/…), or give these objects their own bucket; if the role may read the whole bucket, set `wide: true`

        --- stderr
        routes.yaml: 1 error
        --- status 1
    "#]],
    );
}

#[test]
fn a_file_without_problems_is_summarised() {
    check(
        ROUTES,
        &[],
        expect![[r#"
            --- stderr
            routes.yaml: 3 routes, 1 target, no problems
            note: claim required, `orders`, `audit`, `items`: a batch succeeds only if the run that claims it does
            --- status 0
        "#]],
    );
    check(
        ROUTES,
        &["--deny-warnings"],
        expect![[r#"
            --- stderr
            routes.yaml: 3 routes, 1 target, no problems
            note: claim required, `orders`, `audit`, `items`: a batch succeeds only if the run that claims it does
            --- status 0
        "#]],
    );
}

#[test]
fn warnings_are_shown_and_fail_only_where_they_are_denied() {
    let text = ROUTES.replace("    external_id: ${LANDFALL_EXTERNAL_ID}\n", "");
    check(
        &text,
        &[],
        expect![[r#"
            warning: target `analytics` has no `external_id`
             --> routes.yaml:3:3
              |
            3 |   analytics:
              |   ^^^^^^^^^
              |
              = help: with one, only someone who knows it can make the trigger's account assume the role: external_id: ${LANDFALL_EXTERNAL_ID}

            --- stderr
            routes.yaml: 3 routes, 1 target, 1 warning
            note: claim required, `orders`, `audit`, `items`: a batch succeeds only if the run that claims it does
            --- status 0
        "#]],
    );
    let denied = landfall(&[("f", &text)], &["check", "--deny-warnings", "f"]);
    assert_eq!(denied.status, 1);
}

#[test]
fn odd_places_are_shown() {
    check(
        "",
        &[],
        expect![[r#"
        error: the file is empty
         --> routes.yaml:1:1
          |
        1 |  
          | ^
          |
          = help: start with `version: 1`

        --- stderr
        routes.yaml: 1 error
        --- status 1
    "#]],
    );
    check(
        "version: 1\r\ntargets: {}\r\nroutes: [\r\n",
        &[],
        expect![[r#"
            error: not valid YAML: while parsing a node, did not find expected node content
             --> routes.yaml:4:1
              |
            4 |  
              | ^
              |
              = help: check the indentation, the quotes and the brackets before this place

            --- stderr
            routes.yaml: 1 error
            --- status 1
        "#]],
    );
    check(
        "\u{feff}version: 1\n\tü: [\n",
        &[],
        expect![[r#"
            error: the file begins with a byte-order mark
             --> routes.yaml:1:1
              |
            1 | ﻿version: 1
              | ^
              |
              = help: save it as UTF-8 without one

            --- stderr
            routes.yaml: 1 error
            --- status 1
        "#]],
    );
}

#[test]
fn what_would_move_the_cursor_is_escaped() {
    let text = ROUTES.replace("eu-west-1", r#""e\e[2Ju""#);
    for format in ["full", "short"] {
        let shown = landfall(&[("f\u{1b}", &text)], &["check", "--format", format, "f\u{1b}"]);
        assert!(!shown.all().contains('\u{1b}'), "{}", shown.all().escape_debug());
    }
}

#[test]
fn standard_input_is_read_and_named() {
    let shown = landfall_with(&[], &["check", "--format", "short", "-"], b"version: 2\n");
    expect![[r#"
        <stdin>:1:1: error: `targets` is missing (add `targets: …`)
        <stdin>:1:1: error: `routes` is missing (add `routes: …`)
        <stdin>:1:10: error: version 2 is unknown (Landfall supports version 1)
        --- stderr
        <stdin>: 3 errors
        --- status 1
    "#]]
    .assert_eq(&shown.all());
}

#[test]
fn a_file_that_cannot_be_read_exits_with_2_and_hides_no_other() {
    let files: [(&str, &[u8]); 2] =
        [("bad.yaml", b"version: 1\nroutes: \xff\n"), ("good.yaml", ROUTES.as_bytes())];
    let args = ["check", "bad.yaml", "missing.yaml", ".", "good.yaml"];
    expect![[r#"
        --- stderr
        error: failed to read `bad.yaml`: line 2 is not UTF-8
        error: failed to read `missing.yaml`: No such file or directory (os error 2)
        error: failed to read `.`: Is a directory (os error 21)
        good.yaml: 3 routes, 1 target, no problems
        note: claim required, `orders`, `audit`, `items`: a batch succeeds only if the run that claims it does
        --- status 2
    "#]]
    .assert_eq(&landfall_with(&files, &args, b"").all());
}

#[test]
fn color_is_for_terminals_or_on_demand() {
    let text = five_mistakes();
    for (args, is_colored) in [
        (&["check", "f"][..], false),
        (&["check", "--color", "always", "f"], true),
        (&["--color", "never", "check", "f"], false),
    ] {
        let shown = landfall(&[("f", &text)], args);
        assert_eq!(shown.stdout.contains("\u{1b}["), is_colored, "{args:?}");
    }
}
