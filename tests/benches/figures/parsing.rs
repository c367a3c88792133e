//! What the trigger does with an event before it calls anything, in instructions: it parses the
//! event, finds the routes of each arrival, and groups them. The baseline is the cost of reading
//! the same JSON.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::instructions::Counter;
use crate::report::Report;
use crate::stage::{Stage, event};

const ARRIVALS: [usize; 4] = [1, 10, 1_000, 10_000];
const ROUTES: [usize; 3] = [1, 10, 500];
const PER_GROUP: usize = 100;

/// The bounds: 10,000 arrivals among 500 routes compared with reading their JSON, and an arrival
/// among 500 routes compared with one among 10.
const TO_LEAN: f64 = 1.5;
const ROUTES_GROW: f64 = 1.2;

struct Counted {
    arrivals: usize,
    routes: usize,
    lean: u64,
    whole: u64,
}

pub fn measure(functions: &Path, report: &mut Report) -> Result<()> {
    let stage = Stage::new(functions)?;
    let mut counted = Vec::new();
    for count in ROUTES {
        let file = stage.folder().join(format!("{count}-routes.yaml"));
        std::fs::write(&file, routes(count))?;
        for arrivals in ARRIVALS {
            let groups = arrivals.div_ceil(PER_GROUP);
            let event_file = stage.folder().join("event.json");
            // The route that matches isn't the first.
            let bucket = "landing";
            let event = event(bucket, count / 2, arrivals, groups).to_string();
            std::fs::write(&event_file, event.replace("sales/", &format!("table{}/", count / 2)))?;
            let run = |what: &str| {
                let mut command = Command::new(stage.binary("parsing"));
                command.arg(what).arg(&event_file).arg(&file);
                let (instructions, printed) = Counter::new(stage.folder()).run(&command)?;
                let expected = if what == "nothing" {
                    String::new()
                } else {
                    format!("{arrivals} arrivals\n")
                };
                ensure!(printed == expected, "`parsing {what}` printed `{printed}`");
                Ok(instructions)
            };
            let nothing = run("nothing")?;
            let (lean, whole) = (run("lean")? - nothing, run("whole")? - nothing);
            counted.push(Counted { arrivals, routes: count, lean, whole });
        }
    }
    print(report, &counted);
    judge(report, &counted);
    Ok(())
}

fn print(report: &mut Report, counted: &[Counted]) {
    let rows = counted.iter().map(|one| {
        let each = |all: u64| Value::from((all as f64 / one.arrivals as f64).round());
        vec![
            one.arrivals.into(),
            one.routes.into(),
            each(one.lean),
            each(one.whole),
            (one.whole as f64 / one.lean as f64).into(),
        ]
    });
    report.table(
        "Reading, routing and grouping: instructions an arrival",
        &["arrivals", "routes", "lean serde alone", "read, routed, grouped", "lean serde = 1"],
        &rows.collect::<Vec<_>>(),
    );
}

fn judge(report: &mut Report, counted: &[Counted]) {
    let most = ARRIVALS[ARRIVALS.len() - 1];
    let of =
        |routes: usize| counted.iter().find(|one| one.arrivals == most && one.routes == routes);
    let (Some(ten), Some(many)) = (of(10), of(500)) else {
        report.check(false, || "nothing was counted".to_owned());
        return;
    };
    let to_lean = many.whole as f64 / many.lean as f64;
    report.check(to_lean <= TO_LEAN, || {
        format!("{most} arrivals among 500 routes take at most {TO_LEAN} times the cost of reading them: {to_lean:.2}")
    });
    let growth = many.whole as f64 / ten.whole as f64;
    report.check(growth <= ROUTES_GROW, || {
        format!("an arrival takes at most {ROUTES_GROW} times as much among 500 routes as among 10: {growth:.2}")
    });
}

/// Writes this many routes of one bucket, one for each table.
fn routes(count: usize) -> String {
    let routes = (0..count).map(|number| {
        format!(
            r#"  - name: table{number}
    bucket: landing
    key: "table{number}/city={{city}}/{{file}}.csv"
    batch: {{ by: [city] }}
    start: {{ target: analytics, job: job{number}, arguments: {{ "--city": "{{city}}" }} }}
"#
        )
    });
    format!(
        r#"version: 1
targets:
  analytics: {{ account: "222222222222", region: us-east-1, starter_role: landfall/starter }}
routes:
{}"#,
        routes.collect::<String>()
    )
}
