//! `landfall policies`.

mod documents;

use std::fs;

use expect_test::expect;
use tempfile::TempDir;

use crate::{ROUTES, Shown, command, landfall};

const DATA: [&str; 2] = ["--data-account", "111111111111"];

#[track_caller]
fn policies(routes: &str, options: &[&str]) -> Shown {
    let args = [&["policies", "--routes", "f"][..], &DATA, options].concat();
    landfall(&[("f", routes)], &args)
}

/// [`ROUTES`] as one stack makes its role, with a second target in `account`, whose starter role is
/// `role`.
fn with_second_target(account: &str, role: &str) -> String {
    let second = format!(
        "  second: {{ account: \"{account}\", region: eu-west-2, starter_role: {role}, external_id: \"${{X}}\" }}\nroutes:\n"
    );
    ROUTES
        .replace("starter_role: landfall-starter", "starter_role: landfall/landfall-starter")
        .replace("routes:\n", &second)
        .replace("target: analytics, job: items", "target: second, job: items")
}

/// The first line of each role, and all that is not about one.
fn outline(shown: &Shown) -> String {
    let is_outline = |line: &&str| line.contains(" role arn:") || line.starts_with("note");
    let lines: Vec<&str> = shown.stdout.lines().filter(is_outline).collect();
    format!("{}\n--- stderr\n{}--- status {}\n", lines.join("\n"), shown.stderr, shown.status)
}

#[test]
fn what_the_routes_do_not_tell_is_given_by_options() {
    let text = with_second_target("333333333333", "landfall/acme-starter");
    let shown = policies(
        &text,
        &[
            "--target",
            "second",
            "--data-name-prefix",
            "landing",
            "--region",
            "eu-west-3",
            "--permissions-boundary",
            "arn:aws:iam::333333333333:policy/ours",
            "--provisioner-name-prefix",
            "land",
            "--kms-key-arn",
            "arn:aws:kms:eu-west-1:111111111111:key/k",
        ],
    );
    for part in [
        "starter role arn:aws:iam::333333333333:role/landfall/acme-starter\n",
        "job role arn:aws:iam::333333333333:role/landfall/acme-job\n",
        "reader role arn:aws:iam::111111111111:role/landfall/landing-reader-333333333333\n",
        "permissions boundary arn:aws:iam::333333333333:policy/ours\n",
        "permissions boundary arn:aws:iam::111111111111:policy/land-boundary\n",
        "\"arn:aws:iam::111111111111:role/landing-trigger\"",
        "\"arn:aws:iam::111111111111:role/landfall/landing-reader-333333333333\"",
        "\"arn:aws:iam::333333333333:role/landfall/acme-job\"",
        "\"arn:aws:glue:eu-west-2:333333333333:job/items\"",
        "\"arn:aws:logs:eu-west-3:333333333333:log-group:/aws-glue/*\"",
        "\"arn:aws:kms:eu-west-1:111111111111:key/k\"",
        "\"arn:aws:s3:::acme-items/*\"",
    ] {
        assert!(shown.stdout.contains(part), "{part} is not in\n{}", shown.all());
    }
    assert!(!shown.stdout.contains("acme-landing"), "{}", shown.stdout);
    assert_eq!((shown.status, shown.stderr.as_str()), (0, ""));
}

#[test]
fn without_a_target_the_roles_of_all_targets_are_printed() {
    let text = with_second_target("333333333333", "landfall/acme-starter");
    expect![[r#"
        starter role arn:aws:iam::222222222222:role/landfall/landfall-starter
        job role arn:aws:iam::222222222222:role/landfall/landfall-job
        starter role arn:aws:iam::333333333333:role/landfall/acme-starter
        job role arn:aws:iam::333333333333:role/landfall/acme-job
        reader role arn:aws:iam::111111111111:role/landfall/landfall-reader-222222222222
        reader role arn:aws:iam::111111111111:role/landfall/landfall-reader-333333333333
        note: `…` stands for external IDs, which are never printed
        note: no KMS key is given (--kms-key-arn): the reader role decrypts nothing
        --- stderr
        --- status 0
    "#]]
    .assert_eq(&outline(&policies(&text, &[])));
    // Both stacks are in one account: no other way tells them apart.
    let text = with_second_target("222222222222", "landfall/acme-starter");
    expect![[r#"
        starter role arn:aws:iam::222222222222:role/landfall/landfall-starter
        job role arn:aws:iam::222222222222:role/landfall/landfall-job
        starter role arn:aws:iam::222222222222:role/landfall/acme-starter
        job role arn:aws:iam::222222222222:role/landfall/acme-job
        note: `…` stands for external IDs, which are never printed
        --- stderr
        --- status 0
    "#]]
    .assert_eq(&outline(&policies(&text, &["--account", "analytics"])));
}

#[test]
fn targets_with_one_starter_role_share_it() {
    let text = with_second_target("222222222222", "landfall/landfall-starter");
    expect![[r#"

        --- stderr
        error: targets `analytics`, `second` share a starter role and have several regions: name the region of its stack with --region
        --- status 2
    "#]].assert_eq(&outline(&policies(&text, &[])));
    assert_eq!(policies(&text, &["--account", "data"]).status, 0);
    let shown = policies(&text, &["--region", "eu-west-1"]);
    assert!(shown.stdout.contains("for target `analytics`, `second`\n"), "{}", shown.all());
    assert!(shown.stdout.contains("glue:eu-west-2:222222222222:job/items"), "{}", shown.stdout);
}

#[test]
fn a_role_that_cannot_be_made_is_told_and_hides_no_other() {
    // The role is not below the path where the stack makes it.
    expect![[r#"
        job role arn:aws:iam::222222222222:role/landfall/landfall-job
        --- stderr
        error: starter role of target `analytics`: Routes: no route starts a job with role `arn:aws:iam::222222222222:role/landfall/landfall-starter` (the targets' starter roles are `arn:aws:iam::222222222222:role/landfall-starter`)
        error: reader role of target `analytics`: KmsKeyArns[0]: this is not the ARN of a KMS key (it looks like arn:aws:kms:eu-west-1:111111111111:key/1234…; an alias isn't accepted)
        --- status 1
    "#]].assert_eq(&outline(&policies(ROUTES, &["--kms-key-arn", "alias/x"])));
}

#[test]
fn a_routes_file_with_errors_is_shown_as_check_shows_it() {
    let shown = policies(&ROUTES.replace("eu-west-1", "ireland"), &[]);
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
    for (options, message) in [
        (&["--target", "analytcs"][..], "there is no target `analytcs`; did you mean `analytics`?"),
        (&["--target", "lake"], "there is no target `lake`; there are `analytics`"),
        (&["--name-prefix", "Landfall"], "--name-prefix"),
        (&["--region", "*"], "a region looks like"),
        (&["--account", "both"], "--account"),
        (&["--permissions-boundary", "landfall-boundary"], "not the ARN of a managed policy"),
        (
            &["--permissions-boundary", "arn:aws:iam::333333333333:policy/x"],
            "which has none of the roles",
        ),
        (
            &[
                "--permissions-boundary",
                "arn:aws:iam::aws:policy/x",
                "--permissions-boundary",
                "arn:aws:iam::111111111111:policy/x",
            ],
            "several permissions boundaries for account `111111111111`",
        ),
    ] {
        let shown = policies(ROUTES, options);
        assert_eq!(shown.status, 2, "{options:?}: {}", shown.all());
        assert!(shown.stderr.contains(message), "{options:?}: {}", shown.stderr);
        assert_eq!(shown.stdout, "");
    }
    let shown = landfall(&[("f", ROUTES)], &["policies", "--routes", "f"]);
    assert!(shown.stderr.contains("--data-account <ID>"), "{}", shown.stderr);
    assert_eq!((shown.status, shown.stdout.as_str()), (2, ""));
    let shown =
        landfall(&[("f", ROUTES)], &["policies", "--routes", "f", "--data-account", "1111"]);
    assert!(shown.stderr.contains("an account ID has 12 digits"), "{}", shown.stderr);
    assert_eq!(shown.status, 2);
}

#[test]
fn no_external_id_is_printed_wherever_it_stands() {
    let literal = ROUTES.replace("${LANDFALL_EXTERNAL_ID}", "s3cr3t-literal");
    let literal = literal.replace("starter_role: ", "starter_role: landfall/");
    let broken = literal.replace("job: items", "job: items, arguments: 1");
    for text in [&literal, &broken, &literal.replace("landfall/", "")] {
        for format in ["text", "json"] {
            let folder = TempDir::new().expect("a temporary folder");
            fs::write(folder.path().join("f"), text).expect("a written file");
            let args = [&["policies", "--routes", "f", "--format", format][..], &DATA].concat();
            let output = command(folder.path(), &args)
                .env("LANDFALL_EXTERNAL_ID", "s3cr3t-variable")
                .output()
                .expect("an ended landfall");
            let shown = [output.stdout, output.stderr].concat();
            let shown = String::from_utf8(shown).expect("UTF-8");
            assert!(!shown.contains("s3cr3t"), "{shown}");
        }
    }
}

#[test]
fn the_notifications_of_every_bucket_are_printed_for_terraform() {
    let shown = policies(ROUTES, &["--terraform-notifications"]);
    assert_eq!((shown.stderr.as_str(), shown.status), ("", 0));
    expect![[r##"
        # aws_s3_bucket_notification replaces all notifications of its bucket. If you have one for a bucket, add the blocks
        # to it: there must be no second one. With Transport=EventBridge, put `eventbridge = true` in place of the queues.
        # Apply them, and then give the data account's stack ManagesNotifications=false.

        resource "aws_s3_bucket_notification" "landfall_acme-items" {
          bucket = "acme-items"

          queue {
            id        = "landfall-landfall-2727c7a3"
            queue_arn = "arn:aws:sqs:eu-west-1:111111111111:landfall-arrivals"
            events    = ["s3:ObjectCreated:*"]
          }
        }

        resource "aws_s3_bucket_notification" "landfall_acme-landing" {
          bucket = "acme-landing"

          queue {
            id        = "landfall-landfall-2727c7a3"
            queue_arn = "arn:aws:sqs:eu-west-1:111111111111:landfall-arrivals"
            events    = ["s3:ObjectCreated:*"]
          }
        }
    "##]].assert_eq(&shown.stdout);
}

#[test]
fn what_keys_begin_and_end_with_becomes_a_filter_and_the_queue_follows_from_the_options() {
    let routes = ROUTES.replace("key: \"**\"", "key: \"audit/**\"");
    let options =
        ["--terraform-notifications", "--name-prefix", "acme", "--data-region", "eu-west-3"];
    let shown = policies(&routes, &options);
    let of_landing = shown.stdout.split("resource").nth(2).unwrap_or_default();
    expect![[r#"
         "aws_s3_bucket_notification" "landfall_acme-landing" {
          bucket = "acme-landing"

          queue {
            id            = "landfall-acme-289aa0a3"
            queue_arn     = "arn:aws:sqs:eu-west-3:111111111111:acme-arrivals"
            events        = ["s3:ObjectCreated:*"]
            filter_prefix = "audit/"
          }

          queue {
            id            = "landfall-acme-78de1a11"
            queue_arn     = "arn:aws:sqs:eu-west-3:111111111111:acme-arrivals"
            events        = ["s3:ObjectCreated:*"]
            filter_prefix = "orders/dt"
            filter_suffix = ".csv"
          }
        }
    "#]]
    .assert_eq(of_landing);
}

#[test]
fn notifications_for_terraform_are_no_json_and_of_both_accounts() {
    for option in [["--format", "json"], ["--account", "data"]] {
        let shown = policies(ROUTES, &[&["--terraform-notifications"][..], &option].concat());
        assert_eq!((shown.stdout.as_str(), shown.status), ("", 2), "{}", shown.stderr);
    }
}
