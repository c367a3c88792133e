//! The built `landfall` as its users meet it: files and arguments in, text and exit status out.

mod action;
mod announced;
mod bucket_policy;
mod check;
mod deploy;
mod diff;
mod doctor;
mod event;
mod explain;
mod init;
mod ledger;
mod policies;
mod probe;
mod profiles;
mod reconciled;
mod secrets;
mod status;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A file without problems: one target, three routes.
const ROUTES: &str = r#"version: 1
targets:
  analytics:
    account: "222222222222"
    region: eu-west-1
    starter_role: landfall-starter
    external_id: ${LANDFALL_EXTERNAL_ID}
routes:
  - name: orders
    bucket: acme-landing
    key: "orders/dt={dt}/{file}.csv"
    where: { min_bytes: 1, max_bytes: 1000 }
    batch: { by: [dt] }
    start: { target: analytics, job: orders-to-parquet, arguments: { "--dt": "{dt}" } }
  - name: audit
    bucket: acme-landing
    key: "**"
    batch: { max_objects: 1 }
    start: { target: analytics, job: audit, arguments: { "--at": "{event_time}" } }
  - name: items
    bucket: acme-items
    key: "*"
    start: { target: analytics, job: items }
    wide: true
"#;

/// What a run of `landfall` showed.
struct Shown {
    stdout: String,
    stderr: String,
    status: i32,
}

impl Shown {
    /// All of it as one text, for snapshots.
    fn all(&self) -> String {
        let Self { stdout, stderr, status } = self;
        format!("{stdout}--- stderr\n{stderr}--- status {status}\n")
    }
}

/// Runs `landfall` among `files`, with `stdin`.
#[track_caller]
fn landfall_with(files: &[(&str, &[u8])], args: &[&str], stdin: &[u8]) -> Shown {
    let folder = TempDir::new().expect("a temporary folder");
    for (name, content) in files {
        fs::write(folder.path().join(name), content).expect("a written file");
    }
    let mut child = command(folder.path(), args).spawn().expect("a started landfall");
    let mut input = child.stdin.take().expect("a pipe");
    // It may well not read it.
    let _ = input.write_all(stdin);
    drop(input);
    shown(child.wait_with_output().expect("an ended landfall"))
}

fn shown(output: Output) -> Shown {
    Shown {
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        status: output.status.code().expect("an exit status"),
    }
}

#[track_caller]
fn landfall(files: &[(&str, &str)], args: &[&str]) -> Shown {
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    landfall_with(&files, args, b"")
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_landfall"));
    command.current_dir(folder).args(args).env_remove("NO_COLOR");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn infra(file: &str) -> std::path::PathBuf {
    // Cargo runs tests in their package's folder. A path that the compiler wrote down would be another
    // checkout's, where two share a target folder.
    std::env::current_dir().expect("there is a current folder").join("../infra").join(file)
}

#[test]
fn the_committed_schemas_are_those_that_schema_prints() {
    for (args, file) in [
        (&["schema"][..], "routes.schema.json"),
        (&["schema", "routes"], "routes.schema.json"),
        (&["schema", "starter-role"], "schemas/starter-role.json"),
        (&["schema", "reader-role"], "schemas/reader-role.json"),
        (&["schema", "job-role"], "schemas/job-role.json"),
        (&["schema", "bucket-notifications"], "schemas/bucket-notifications.json"),
        (&["schema", "bucket-access"], "schemas/bucket-access.json"),
    ] {
        let committed = fs::read_to_string(infra(file)).expect("the schema");
        let shown = landfall(&[], args);
        let remedy =
            format!("run `cargo run --locked --bin landfall -- {} > infra/{file}`", args.join(" "));
        assert!(shown.stdout == committed, "infra/{file} is out of date: {remedy}");
        assert_eq!((shown.status, shown.stderr.as_str()), (0, ""));
    }
}

#[test]
fn the_example_routes_pass_check_without_warnings() {
    let path = infra("routes.yaml");
    let shown = landfall(&[], &["check", "--deny-warnings", path.to_str().expect("UTF-8")]);
    assert_eq!(shown.status, 0, "{}", shown.all());
}

#[test]
fn the_routes_of_the_first_job_pass_check_without_warnings() {
    let page = fs::read_to_string(infra("../docs/first-job.md")).expect("the page");
    let routes = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    let routes = routes.expect("the page has routes");
    let shown = landfall(&[("f", routes)], &["check", "--deny-warnings", "f"]);
    assert_eq!(shown.status, 0, "{}", shown.all());
    let uri = "s3://acme-landing/orders/2026-01-31.csv";
    let shown = landfall(&[("f", routes)], &["explain", "--routes", "f", uri]);
    assert!(shown.stdout.contains(&format!("  --input {uri}\n")), "{}", shown.all());
}

#[test]
fn version_and_help_are_printed_to_standard_output() {
    let version = landfall(&[], &["--version"]);
    assert_eq!(version.stdout, format!("landfall {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(version.status, 0);
    for command in [
        &["--help"][..],
        &["check", "--help"],
        &["explain", "--help"],
        &["policies", "--help"],
        &["diff", "--help"],
        &["batches", "--help"],
        &["batch", "--help"],
        &["console", "--help"],
        &["retry", "--help"],
        &["find", "--help"],
        &["doctor", "--help"],
        &["audit", "--help"],
        &["status", "--help"],
        &["unlock", "--help"],
        &["schema", "--help"],
    ] {
        let help = landfall(&[], command);
        assert!(help.stdout.contains("\nExample"), "{command:?}: {}", help.all());
        assert_eq!((help.status, help.stderr.as_str()), (0, ""), "{command:?}");
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    for args in [&[][..], &["check"], &["explain", "s3://b/k"], &["check", "-", "-"], &["land"]] {
        let shown = landfall(&[], args);
        assert_eq!(shown.status, 2, "{args:?}: {}", shown.all());
        assert_eq!(shown.stdout, "", "{args:?}");
    }
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let folder = TempDir::new().expect("a temporary folder");
    let mut child = command(folder.path(), &["check", "-"]).spawn().expect("a started landfall");
    drop(child.stdout.take());
    // It prints only after it has read this, so nobody is there to read it.
    child.stdin.take().expect("a pipe").write_all(b"version: 2\n").expect("a written pipe");
    let output = child.wait_with_output().expect("an ended landfall");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "<stdin>: 3 errors\n");
    assert_eq!(output.status.code(), Some(1));
}
