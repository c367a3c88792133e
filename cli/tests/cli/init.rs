//! `landfall init`.

use std::fs;

use expect_test::{Expect, expect};
use tempfile::TempDir;

use crate::{command, landfall};

const GIVEN: [&str; 8] = [
    "--object",
    "s3://acme-landing/orders/dt=2026-11-30/part 1.csv",
    "--account",
    "222222222222",
    "--region",
    "eu-west-1",
    "--job",
    "orders-to-parquet",
];

#[track_caller]
fn init(files: &[(&str, &str)], options: &[&str], expected: Expect) {
    expected.assert_eq(&landfall(files, &[&["init"][..], options].concat()).all());
}

#[test]
fn an_example_becomes_a_route_for_a_job_as_it_is() {
    init(
        &[],
        &[&GIVEN[..], &["-"]].concat(),
        expect![[r##"
            # Which objects start which job. `landfall check` reports every problem in this file.
            version: 1

            targets:
              analytics:
                account: "222222222222"
                region: "eu-west-1"
                starter_role: landfall/landfall-starter
                external_id: ${LANDFALL_EXTERNAL_ID}  # never printed or logged

            routes:
              - name: "orders"
                bucket: "acme-landing"
                # {name} captures within one segment, * matches within one, ** across several.
                key: "orders/dt={dt}/{file}.csv"
                where: { min_bytes: 1 }  # leaves empty objects alone
                batch: { max_objects: 1 }  # one run for each object
                start:
                  target: analytics
                  job: "orders-to-parquet"
                  claim: optional  # the job knows nothing of Landfall
                  access: bucket_policy  # it reads with its own role
                  arguments:
                    "--input": "{object_path}"  # the object's URI, as Spark reads it; for boto3, {object_uri}
            --- stderr
            --- status 0
        "##]],
    );
}

#[test]
fn a_job_with_the_library_gets_batches_of_its_folders() {
    init(
        &[],
        &[&GIVEN[..], &["-", "--uses-library"]].concat(),
        expect![[r##"
            # Which objects start which job. `landfall check` reports every problem in this file.
            version: 1

            targets:
              analytics:
                account: "222222222222"
                region: "eu-west-1"
                starter_role: landfall/landfall-starter
                external_id: ${LANDFALL_EXTERNAL_ID}  # never printed or logged

            routes:
              - name: "orders"
                bucket: "acme-landing"
                # {name} captures within one segment, * matches within one, ** across several.
                key: "orders/dt={dt}/{file}.csv"
                where: { min_bytes: 1 }  # leaves empty objects alone
                batch:
                  by: [dt]  # objects with the same values share a job run
                  window: 5m  # closes this long after the first object of a batch
                start:
                  target: analytics
                  job: "orders-to-parquet"  # it claims its batch: `with landfall.batch() as batch:`
            --- stderr
            --- status 0
        "##]],
    );
}

#[test]
fn the_file_passes_check_and_the_next_commands_are_told() {
    for library in [&[][..], &["--uses-library"]] {
        let folder = TempDir::new().expect("a temporary folder");
        let run = |args: &[&str]| {
            let output = command(folder.path(), args).output().expect("an ended landfall");
            String::from_utf8(output.stderr).expect("UTF-8")
        };
        let told = run(&[&["init"][..], library, &GIVEN[..], &["my routes.yaml"]].concat());
        assert_eq!(told.contains("OtherJobRoleArns"), library.is_empty(), "{told}");
        assert!(told.contains("landfall check 'my routes.yaml'\n"), "{told}");
        assert!(told.contains("'s3://acme-landing/orders/dt=2026-11-30/part 1.csv'\n"), "{told}");
        let checked = run(&["check", "--deny-warnings", "my routes.yaml"]);
        assert!(checked.contains("1 route, 1 target, no problems"), "{checked}");
        let text = fs::read_to_string(folder.path().join("my routes.yaml")).expect("a file");
        let again = run(&[&["init"][..], &GIVEN[..], &["my routes.yaml"]].concat());
        assert!(again.contains("the file exists"), "{again}");
        let still = fs::read_to_string(folder.path().join("my routes.yaml")).expect("a file");
        assert_eq!(still, text, "the file was replaced");
    }
}

#[test]
fn what_is_missing_or_cannot_be_is_told_and_nothing_is_written() {
    init(
        &[],
        &["--job", "orders"],
        expect![[r#"
        --- stderr
        error: standard input isn't a terminal to ask at: give --object, --account, --region
        --- status 2
    "#]],
    );
    let wrong = |option: &str, value: &'static str| {
        let mut given = GIVEN;
        let at = given.iter().position(|it| *it == option).expect("an option") + 1;
        given[at] = value;
        landfall(&[], &[&["init", "-"][..], &given[..]].concat()).all()
    };
    expect![[r#"
        --- stderr
        error: `22` is not an account ID
         --> what you answered:6:14
          |
        6 |     account: "22"
          |              ^^^^
          |
          = help: an account ID has 12 digits

        error: these routes can't be deployed, so nothing was written
        --- status 2
    "#]]
    .assert_eq(&wrong("--account", "22"));
    expect![[r#"
        --- stderr
        error: `acme-landing/a.csv` is not an s3:// URI: write s3://bucket/key
        --- status 2
    "#]]
    .assert_eq(&wrong("--object", "acme-landing/a.csv"));
}
