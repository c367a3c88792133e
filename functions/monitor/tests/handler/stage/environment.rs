//! The settings that both functions read from their environment.

use landfall_aws::settings::Settings;

use super::LEDGER;

/// A value with a mark, so that what is sent shows which ID it is.
pub const EXTERNAL_ID: &str = "external-id-7f3a";
pub const OTHER_EXTERNAL_ID: &str = "external-id-c5d1";

pub const ROUTES: &str = r#"version: 1
targets:
  analytics: { account: "222222222222", region: eu-west-1, starter_role: landfall-starter }
routes:
  - name: orders
    bucket: landing
    key: "orders/{name}/*"
    batch: { by: [name] }
    start: { target: analytics, job: orders }
  - name: single
    bucket: landing
    key: "single/{name}"
    batch: { by: [name] }
    start: { target: analytics, job: single, max_concurrent_runs: 1 }
  - name: double
    bucket: landing
    key: "double/{name}"
    batch: { by: [name] }
    start: { target: analytics, job: double, max_concurrent_runs: 2 }
  - name: hourly
    bucket: landing
    key: "hourly/{name}"
    batch: { by: [name] }
    start: { target: analytics, job: hourly, max_runs_per_hour: 2 }
  - name: retried
    bucket: landing
    key: "retried/{name}"
    batch: { by: [name] }
    start: { target: analytics, job: retried, retry: { attempts: 2, states: [FAILED] } }
  - name: marked
    bucket: landing
    key: "marked/{name}/*"
    batch: { by: [name], window: 1h, marker: _SUCCESS, settle: 30s }
    start: { target: analytics, job: marked }
  - name: announced
    bucket: landing
    key: "announced/{name}"
    batch: { by: [name] }
    start: { target: analytics, job: announced, announce: true }
  - name: told
    bucket: landing
    key: "told/{name}"
    batch: { by: [name] }
    start: { target: none }
"#;

pub fn settings() -> Settings {
    settings_of(ROUTES)
}

pub fn settings_of(routes: &str) -> Settings {
    read(routes, &[])
}

/// Returns the settings with additional variables.
pub fn settings_with(extra: &[(&str, &str)]) -> Settings {
    read(ROUTES, extra)
}

fn read(routes: &str, extra: &[(&str, &str)]) -> Settings {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), routes).expect("writable");
    let path = file.path().to_str().expect("a path in UTF-8").to_owned();
    let variables = [
        ("LANDFALL_ROUTES", path.as_str()),
        ("EXTERNAL_ID", EXTERNAL_ID),
        ("OTHER_EXTERNAL_ID", OTHER_EXTERNAL_ID),
        ("LANDFALL_READER_ROLE_ARN", "arn:aws:iam::111111111111:role/landfall-reader"),
        ("LANDFALL_LEDGER_TABLE", LEDGER),
        ("LANDFALL_CLAIMS_TABLE_ARN", "arn:aws:dynamodb:eu-west-1:111111111111:table/claims"),
        ("LANDFALL_MANIFESTS_BUCKET", "manifests"),
        ("AWS_LAMBDA_FUNCTION_NAME", "landfall-monitor"),
    ];
    let find = |name: &str| {
        let all = extra.iter().chain(&variables);
        all.copied().find(|(n, _)| *n == name).map(|(_, value)| value.to_owned())
    };
    Settings::from_env(find).expect("settings")
}
