//! `landfall deploy` and `landfall destroy`, as far as they come without AWS; the rest is shown end to end.

use expect_test::{Expect, expect};

use crate::{ROUTES, landfall};

#[track_caller]
fn check(routes: &str, args: &[&str], expected: Expect) {
    expected.assert_eq(&landfall(&[("routes.yaml", routes)], args).all());
}

#[test]
fn nobody_to_ask_and_no_yes_is_an_error_that_says_so() {
    check(
        ROUTES,
        &["deploy", "routes.yaml"],
        expect![[r#"
            --- stderr
            error: `landfall deploy` asks before it changes anything, but standard input isn't a terminal: add --yes
            --- status 2
        "#]],
    );
    check(
        ROUTES,
        &["destroy", "routes.yaml"],
        expect![[r#"
            --- stderr
            error: `landfall destroy` asks before it changes anything, but standard input isn't a terminal: add --yes
            --- status 2
        "#]],
    );
}

#[test]
fn a_repair_deploys_nothing_new_and_asks_too() {
    let run = |options: &[&str]| {
        let args = [&["deploy", "routes.yaml", "--repair"][..], options].concat();
        landfall(&[("routes.yaml", ROUTES)], &args)
    };
    for options in [
        &["--package", "target/package"][..],
        &["--parameter", "data:LogLevel=DEBUG"],
        &["--tag", "team=data"],
        &["--architecture", "arm64"],
        &["--data-artifacts", "acme-artifacts"],
        &["--rotate-external-id"],
        &["--narrow-provisioner"],
    ] {
        let shown = run(options);
        assert_eq!(shown.status, 2, "{options:?}: {}", shown.all());
        assert!(shown.stderr.contains("cannot be used with"), "{options:?}: {}", shown.all());
    }
    let shown = run(&[]);
    assert_eq!(shown.status, 2, "{}", shown.all());
    assert!(shown.stderr.contains("isn't a terminal: add --yes"), "{}", shown.all());
}

#[test]
fn routes_that_have_errors_are_told_as_check_tells_them() {
    let broken = ROUTES.replace("target: analytics, job: items", "target: elsewhere, job: items");
    for command in ["deploy", "destroy"] {
        let shown = landfall(&[("routes.yaml", &broken)], &[command, "routes.yaml", "--yes"]);
        let checked = landfall(&[("routes.yaml", &broken)], &["check", "routes.yaml"]);
        assert_eq!(shown.status, 1, "{}", shown.all());
        assert_eq!(shown.stderr, checked.stdout + &checked.stderr);
    }
}

/// Nothing that stands is made to stay for it.
#[test]
fn a_route_that_is_wide_without_saying_so_is_not_deployed_and_can_be_destroyed() {
    let narrow = ROUTES.replace("    wide: true\n", "");
    let run = |args: &[&str]| landfall(&[("routes.yaml", &narrow)], args);
    let shown = run(&["deploy", "routes.yaml", "--yes"]);
    assert_eq!(shown.status, 1, "{}", shown.all());
    assert_eq!(shown.stderr, {
        let it = run(&["check", "routes.yaml"]);
        it.stdout + &it.stderr
    });
    let shown = run(&["destroy", "routes.yaml"]);
    assert!(shown.stderr.contains("add --yes"), "{}", shown.all());
}

#[test]
fn a_parameter_or_a_tag_that_is_none_is_wrong_usage() {
    for option in [
        ["--parameter", "LogLevel=DEBUG"],
        ["--parameter", "elsewhere:LogLevel=DEBUG"],
        ["--parameter", "data:LogLevel"],
        ["--parameter", "data:=x"],
        ["--tag", "team"],
        ["--tag", "=x"],
        ["--name-prefix", "Landfall"],
        ["--region", "here"],
    ] {
        let shown = landfall(
            &[("routes.yaml", ROUTES)],
            &[&["deploy", "routes.yaml"][..], &option].concat(),
        );
        assert_eq!(shown.status, 2, "{option:?}: {}", shown.all());
        assert!(shown.stderr.contains(option[0]), "{option:?}: {}", shown.all());
    }
}
