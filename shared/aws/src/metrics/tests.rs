//! The metrics as written, and as `docs/metrics.md` lists them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::*;

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics with it").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes every metric once.
fn everything() -> Vec<Value> {
    let output = Buffer::default();
    let metrics = Metrics::new(output.clone(), "acme-ledger");
    metrics.intake(&Intake {
        messages: 1.into(),
        messages_failed: 2.into(),
        arrivals: 3.into(),
        arrivals_unmatched: 4.into(),
        arrivals_known: 5.into(),
        events_ignored: 6.into(),
    });
    metrics.tick(&Tick {
        batches_due: 1.into(),
        batches_left: 2.into(),
        batches_stuck: 3.into(),
        batches_parked: 4.into(),
        oldest_due_seconds: 5.into(),
        oldest_waiting_seconds: 6.into(),
        oldest_blocked_seconds: 7.into(),
    });
    metrics.passes(&Passes {
        objects_listed: 1.into(),
        arrivals_missed: 2.into(),
        reconciled_age_seconds: 3.into(),
    });
    let of_route = RouteMetrics {
        announced: 1,
        seconds_to_start: vec![1.5, 2.0],
        seconds_to_success: vec![3.0],
        dpu_seconds: vec![60.0],
        ..RouteMetrics::default()
    };
    metrics.routes(&BTreeMap::from([("orders", of_route), ("quiet", RouteMetrics::default())]));
    metrics.failures(["b", "a", "b"]);
    Metrics::of_provisioner(output.clone(), "acme-provisioner").request_refused("c");
    let open = OpenFindings::new(3, 1);
    Metrics::of_auditor(output.clone(), "acme-findings").audit(&open);
    let written = output.0.lock().expect("nobody panics with it");
    let text = std::str::from_utf8(&written).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// The name, unit and dimensions, as the table writes them.
type Row = (String, String, String);

fn rows(line: &Value) -> impl Iterator<Item = Row> {
    let directives = line["_aws"]["CloudWatchMetrics"].as_array().expect("EMF").clone();
    directives.into_iter().flat_map(|directive| {
        assert_eq!(directive["Namespace"], NAMESPACE);
        let sets = directive["Dimensions"].as_array().expect("sets of dimensions");
        let set = |set: &Value| {
            let names = set.as_array().expect("a set").iter();
            let names = names.map(|name| format!("`{}`", name.as_str().expect("a name")));
            names.collect::<Vec<_>>().join(", ")
        };
        let dimensions = sets.iter().map(set).collect::<Vec<_>>().join("; ");
        let metrics = directive["Metrics"].as_array().expect("metrics").clone();
        metrics.into_iter().map(move |metric| {
            let text = |key: &str| metric[key].as_str().expect("text").to_owned();
            (text("Name"), text("Unit"), dimensions.clone())
        })
    })
}

#[test]
fn the_table_of_metrics_is_what_is_told() {
    let told: BTreeSet<Row> = everything().iter().flat_map(rows).collect();
    let table = include_str!("../../../../docs/metrics.md");
    let cells = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let listed: BTreeSet<Row> = cells
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            (cells[0].trim_end_matches('`').to_owned(), cells[1].to_owned(), cells[2].to_owned())
        })
        .collect();
    let difference: Vec<_> = told.symmetric_difference(&listed).collect();
    assert!(difference.is_empty(), "in one of the two only: {difference:#?}");
}

#[test]
fn each_duration_is_an_observation_and_a_quiet_route_tells_nothing() {
    let lines = everything();
    let of_routes: Vec<&Value> = lines.iter().filter(|line| line["Route"].is_string()).collect();
    let [orders] = of_routes[..] else { panic!("one route has something to tell: {of_routes:?}") };
    assert_eq!(orders["SecondsToStart"]["Values"], serde_json::json!([1.5, 2]));
    assert_eq!(orders["Ledger"], "acme-ledger");
    let failures: Vec<_> = lines.iter().filter(|line| line["Failures"].is_u64()).collect();
    assert_eq!(failures.len(), 2);
    assert_eq!((&failures[1]["Code"], &failures[1]["Failures"]), (&"b".into(), &2.into()));
}

#[test]
fn a_line_tells_whose_it_is_by_one_dimension_and_no_other() {
    for line in everything() {
        let is_of = |whose: &str| line[whose].is_string();
        let count = ["Ledger", "Provisioner", "Auditor"].into_iter().filter(|it| is_of(it)).count();
        assert_eq!(count, 1, "{line}");
        assert_eq!(is_of("Provisioner"), line["RequestsRefused"].is_u64(), "{line}");
        assert_eq!(is_of("Auditor"), line["FindingsHigh"].is_u64(), "{line}");
    }
}
