//! An external ID that stands in a routes file is not shown, in whatever form it stands
//! there and whatever else is wrong with its line, as long as its key can be recognised.

use expect_test::expect;

use crate::{ROUTES, landfall};

const PLACE: &str = "    external_id: ${LANDFALL_EXTERNAL_ID}\n";

/// Runs every command on [`ROUTES`] with other lines in the place of its external ID.
#[track_caller]
fn check_hidden(lines: &str, secret: &str) {
    assert!(ROUTES.contains(PLACE));
    let text = ROUTES.replace(PLACE, lines);
    let uri = "s3://acme-landing/orders/dt=1/a.csv";
    for args in [
        &["check", "f"][..],
        &["check", "f", "--color", "always"],
        &["check", "f", "--format", "short"],
        &["explain", "--routes", "f", uri],
        &["explain", "--routes", "f", uri, "--json"],
    ] {
        let shown = landfall(&[("f", &text)], args).all();
        assert!(!shown.contains(secret), "{args:?} on\n{lines}\nshows\n{shown}");
    }
}

#[test]
fn the_value_is_shown_as_asterisks_where_it_stood() {
    let text = ROUTES.replace(PLACE, "    external_id: \"s3cr3t\" # not s3cr4t\n");
    let shown = landfall(&[("f", &text)], &["check", "f"]);
    expect![[r#"
        warning: the external ID has fewer than 16 characters
         --> f:7:5
          |
        7 |     external_id: "********************
          |     ^^^^^^^^^^^
          |
          = help: it can be guessed: rotate it to a random one, as `landfall deploy --rotate-external-id` does

        warning: the external ID is in the file, which is packaged with the function
         --> f:7:5
          |
        7 |     external_id: "********************
          |     ^^^^^^^^^^^
          |
          = help: take it from the environment: ${LANDFALL_EXTERNAL_ID}

        --- stderr
        f: 3 routes, 1 target, 2 warnings
        note: claim required, `orders`, `audit`, `items`: a batch succeeds only if the run that claims it does
        --- status 0
    "#]]
    .assert_eq(&shown.all());
}

#[test]
fn no_spelling_of_the_key_shows_the_value() {
    for key in [
        "external_id",
        "\"external_id\"",
        "external-id",
        "externalId",
        "ExternalID",
        "externl_id",
        "exernal_id",
        "external_i",
        "extrenal_id",
        "sts_external_id",
        "? external_id\n    ",
    ] {
        check_hidden(&format!("    {key}: s3cr3t-value\n"), "s3cr3t");
    }
}

#[test]
fn no_form_of_the_value_is_shown() {
    for value in [
        "s3cr3t",
        "'s3cr3t'",
        "\"s3cr3t",
        "!!str s3cr3t",
        "&id s3cr3t",
        "[s3cr3t]",
        "{ s3cr3t: 1 }",
        "[s3cr3t",
        "s3cr3t: x",
        "|\n      s3cr3t!",
        "\n      s3cr3t!",
        "\n\n      s3cr3t: [",
        "\"\n  s3cr3t",
        "s3cr3t: x\n      s3cr3t: [",
        "ü s3cr3t",
        "${s3cr3t",
        "${s3cr3t!}",
        "@s3cr3t",
        "%s3cr3t",
        "s3cr3t # s3cr3t",
        "\ts3cr3t",
    ] {
        check_hidden(&format!("    external_id: {value}\n"), "s3cr3t");
    }
}

#[test]
fn no_problem_repeats_the_value_in_its_words() {
    for value in ["12:34:56", "2026-01-31", "0123456", "1_234_567"] {
        check_hidden(&format!("    external_id: {value}\n"), value);
        check_hidden(&format!("    external_id: {value}  # rotated\n"), value);
        check_hidden(&format!("    external_id: one\n    external_id: {value} # two\n"), value);
        check_hidden(&format!("    external_id: {value} # one\n    other: [\n"), value);
    }
}

#[test]
fn nothing_beside_the_key_shows_the_value() {
    for lines in [
        "    external_id: x\n    external_id: s3cr3t\n",
        "    {external_id: s3cr3t, external_id: s3cr3t}\n",
        "    external_id s3cr3t\n",
        "    external_id: a: b # external_id: s3cr3t\n",
        "    regoin: 1 # external_id = s3cr3t\n",
        "    external_id:s3cr3t\n",
        "  other: { external_id:s3cr3t, region: x }\n",
        "  other: { external_id \"s3cr3t\", external_id#: s3cr3t }\n",
        "  # external_id: |\n      s3cr3t: [\n",
        "  other: { account: 1, external_id: s3cr3t, region: x }\n",
        "  other: { account: 1, \"external_id\":\"s3cr3t\", region: [ }\n",
    ] {
        check_hidden(lines, "s3cr3t");
    }
}

#[test]
fn lone_carriage_returns_and_byte_order_marks_do_not_show_the_value() {
    check_hidden("    regoin: ü\r    external_id: s3cr3t\r    other: [\r\n", "s3cr3t");
    let text = format!("\u{feff}{}", ROUTES.replace("${LANDFALL_EXTERNAL_ID}", "s3cr3t"));
    let shown = landfall(&[("f", &text)], &["check", "f"]);
    assert!(!shown.all().contains("s3cr3t"), "{}", shown.all());
}

#[test]
fn a_variable_and_all_else_stay_to_be_seen() {
    let text = ROUTES.replace(
        PLACE,
        "    external_id: ${LANDFALL_EXTERNAL_ID} # see the wiki\n    external_id: ${TWICE}\n",
    );
    let text = text.replace("job: items", "jobb: external-orders");
    expect![[r#"
        error: duplicate key `external_id`
         --> f:8:5
          |
        8 |     external_id: ${TWICE}
          |     ^^^^^^^^^^^
          |
          = help: it is already in line 7

        error: unknown field `jobb`
          --> f:24:33
           |
        24 |     start: { target: analytics, jobb: external-orders }
           |                                 ^^^^
           |
           = help: did you mean `job`?

        --- stderr
        f: 2 errors
        --- status 1
    "#]]
    .assert_eq(&landfall(&[("f", &text)], &["check", "f"]).all());
}
