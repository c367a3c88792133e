//! The GitHub Action `landfall-check`: its script, with a `gh` that writes down what it is asked for.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::{ROUTES, Shown, infra, shown};

/// A `gh` that knows one comment if the file `comment` is there, and keeps the body of the comment that it is given.
const GH: &str = r#"#!/bin/sh
echo "$*" >> "$RUNNER_TEMP/calls"
for argument; do
    case $argument in body=@*) cp "${argument#body=@}" "$RUNNER_TEMP/body" ;; esac
done
case "$*" in *--jq*) if [ -e "$RUNNER_TEMP/comment" ]; then echo 7; fi ;; esac
[ ! -e "$RUNNER_TEMP/refuse" ]
"#;

/// A name that a careless script would take for commands and options.
const HOSTILE: &str = "-r $(touch owned) `touch owned`; 'x'.yaml";

struct Repository {
    folder: TempDir,
}

impl Repository {
    /// A repository whose first commit has these routes, if any, in a file of this name.
    fn new(file: &str, routes: Option<&str>) -> Self {
        let it = Self { folder: TempDir::new().expect("a temporary folder") };
        for folder in ["bin", "temp", "work"] {
            fs::create_dir(it.at(folder)).expect("a folder");
        }
        fs::write(it.at("bin/gh"), GH).expect("a written file");
        fs::set_permissions(it.at("bin/gh"), fs::Permissions::from_mode(0o755)).expect("a program");
        let landfall = env!("CARGO_BIN_EXE_landfall");
        std::os::unix::fs::symlink(landfall, it.at("bin/landfall")).expect("a link");
        it.git(&["init", "--quiet"]);
        // The action fetches the base from where the repository comes from.
        it.git(&["remote", "add", "origin", "."]);
        fs::write(it.at("work/other"), "").expect("a written file");
        if let Some(routes) = routes {
            it.write(file, routes);
        }
        it.git(&["add", "--all"]);
        it.git(&[
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@example.com",
            "commit",
            "--quiet",
            "-m",
            "one",
        ]);
        it
    }

    fn at(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, file: &str, routes: &str) {
        fs::write(self.at("work").join(file), routes).expect("a written file");
    }

    fn git(&self, args: &[&str]) -> String {
        let ran = Command::new("git").current_dir(self.at("work")).args(args).output();
        let ran = ran.expect("git");
        assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).trim().to_owned()
    }

    /// Runs the action's script on a pull request.
    fn check(&self, file: &str, deny_warnings: &str) -> Shown {
        let script = infra("../.github/actions/landfall-check/check.sh");
        let path =
            format!("{}:{}", self.at("bin").display(), std::env::var("PATH").expect("a path"));
        let ran = Command::new("bash")
            .arg(script)
            .current_dir(self.at("work"))
            .env("PATH", path)
            .env("ROUTES", file)
            .env("DENY_WARNINGS", deny_warnings)
            .env("DATA_ACCOUNT", "111111111111")
            .env("BASE", self.git(&["rev-parse", "HEAD"]))
            .env("PULL_REQUEST", "12")
            .env("GITHUB_REPOSITORY", "acme/lake")
            .env("GITHUB_OUTPUT", self.at("temp/output"))
            .env("RUNNER_TEMP", self.at("temp"))
            .output();
        shown(ran.expect("bash"))
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_default()
    }

    fn sarif(&self) -> Value {
        let output = self.read("temp/output");
        let path = output.lines().last().and_then(|it| it.strip_prefix("sarif="));
        let path = path.expect("the path of the document");
        let text = fs::read_to_string(Path::new(path)).expect("a document");
        serde_json::from_str(&text).expect("JSON")
    }
}

#[test]
fn a_changed_job_is_a_changed_policy_in_the_comment_which_is_written_once() {
    let routes = ROUTES.replace("role: landfall-starter", "role: landfall/landfall-starter");
    let repository = Repository::new("routes.yaml", Some(&routes));
    repository.write("routes.yaml", &routes.replace("job: items", "job: articles"));
    let shown = repository.check("routes.yaml", "false");
    assert_eq!(shown.status, 0, "{}", shown.all());
    let body = repository.read("temp/body");
    assert!(body.starts_with("<!-- landfall-check: "), "{body}");
    assert!(body.lines().any(|it| it.starts_with('-') && it.contains("job/items")), "{body}");
    assert!(body.lines().any(|it| it.starts_with('+') && it.contains("job/articles")), "{body}");
    assert!(repository.read("temp/calls").contains("POST repos/acme/lake/issues/12/comments"));
    fs::write(repository.at("temp/comment"), "").expect("a written file");
    repository.check("routes.yaml", "false");
    assert!(repository.read("temp/calls").contains("PATCH repos/acme/lake/issues/comments/7"));
}

#[test]
fn routes_that_change_no_role_say_so_and_new_routes_are_all_new() {
    let repository = Repository::new("routes.yaml", Some(ROUTES));
    repository.check("routes.yaml", "false");
    assert!(repository.read("temp/body").contains("no role or policy changes"));
    let repository = Repository::new("routes.yaml", None);
    repository.write("routes.yaml", ROUTES);
    repository.check("routes.yaml", "false");
    let body = repository.read("temp/body");
    assert!(body.contains("+") && !body.lines().any(|it| it.starts_with("- ")), "{body}");
}

#[test]
fn problems_fail_the_check_and_stand_in_the_sarif_document_with_their_places() {
    let repository = Repository::new("routes.yaml", Some(ROUTES));
    repository.write("routes.yaml", &ROUTES.replace("min_bytes", "min_byte"));
    let shown = repository.check("routes.yaml", "false");
    assert_eq!(shown.status, 1, "{}", shown.all());
    let result = &repository.sarif()["runs"][0]["results"][0];
    assert_eq!((&result["ruleId"], &result["level"]), (&"routes".into(), &"error".into()));
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "routes.yaml");
    assert_eq!(
        (&place["region"]["startLine"], &place["region"]["startColumn"]),
        (&12.into(), &14.into())
    );
}

#[test]
fn warnings_fail_only_if_they_are_denied() {
    let short = ROUTES.replace("${LANDFALL_EXTERNAL_ID}", "s3cr3t");
    let repository = Repository::new("routes.yaml", Some(&short));
    assert_eq!(repository.check("routes.yaml", "false").status, 0);
    assert_eq!(repository.check("routes.yaml", "true").status, 1);
    assert_eq!(repository.sarif()["runs"][0]["results"][0]["level"], "warning");
    let everything = [repository.read("temp/body"), repository.sarif().to_string()].concat();
    assert!(!everything.contains("s3cr3t"), "{everything}");
}

#[test]
fn a_hostile_name_is_a_name() {
    let repository = Repository::new(HOSTILE, None);
    repository.write(HOSTILE, ROUTES);
    let shown = repository.check(HOSTILE, "false");
    assert_eq!(shown.status, 0, "{}", shown.all());
    assert!(!repository.at("work/owned").exists());
    assert!(repository.read("temp/body").contains("these roles and policies change"));
    assert!(!repository.read("temp/body").contains("touch owned"));
}

#[test]
fn a_comment_that_is_refused_is_a_warning() {
    let repository = Repository::new("routes.yaml", None);
    repository.write("routes.yaml", ROUTES);
    fs::write(repository.at("temp/refuse"), "").expect("a written file");
    let shown = repository.check("routes.yaml", "false");
    assert_eq!(shown.status, 0, "{}", shown.all());
    assert!(shown.stdout.contains("::warning::the comment"), "{}", shown.all());
}

#[test]
fn no_script_of_the_action_has_anything_filled_in() {
    let action = fs::read_to_string(infra("../.github/actions/landfall-check/action.yml"));
    let action = action.expect("the action");
    let runs = action.split("\n      run:").skip(1);
    for run in runs {
        let script = run.split("\n    - name").next().unwrap_or(run);
        assert!(!script.contains("${{"), "{script}");
    }
}
