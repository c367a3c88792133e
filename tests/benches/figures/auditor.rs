//! The calls of an audit of a healthy deployment, in each account.

mod deployment;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use landfall_core::chain::Side;
use landfall_stand_ins::{Act, StandIn};
use landfall_tests::{ANALYTICS, DATA};
use serde_json::{Value, json};

pub use self::deployment::{Deployment, Shape};
use self::deployment::{FINDINGS, REGION};
use crate::report::Report;
use crate::stage::Stage;

/// The operations with which the auditor keeps and announces findings.
const OWN: [&str; 3] = ["PutItem", "PutEvents", "DeleteItem"];

/// The calls of an audit, by service and operation, and the units of its tables.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    pub calls: BTreeMap<(&'static str, String), u64>,
    pub read_units: f64,
    pub write_units: f64,
}

impl Audit {
    pub fn total(&self) -> u64 {
        self.calls.values().sum()
    }

    /// Returns the number of calls of a service.
    pub fn of(&self, service: &str) -> u64 {
        let its = self.calls.iter().filter(|((of, _), _)| *of == service);
        its.map(|(_, count)| count).sum()
    }
}

/// The audits of one account. Every six hours, an audit also asks the ledger when each route was used.
#[derive(Debug, Clone)]
pub struct Audits {
    /// An audit that asks the ledger.
    pub asking: Audit,
    /// Any other audit.
    pub usual: Audit,
}

/// Measures audits of both accounts with few and many routes.
pub async fn measure(functions: &Path, report: &mut Report) -> Result<()> {
    let mut by_operation: BTreeMap<(String, String), Vec<u64>> = BTreeMap::new();
    let mut rows = Vec::new();
    let mut columns = Vec::new();
    for side in Side::ALL {
        for shape in [Shape::Shared, Shape::Apart] {
            for routes in shape.sizes() {
                let audits = audits(functions, side, Deployment { shape, routes }).await?;
                judge(report, side, shape, routes, &audits);
                rows.push(vec![
                    side.name().into(),
                    shape.words().into(),
                    routes.into(),
                    audits.usual.total().into(),
                    (audits.usual.total() as f64 / routes as f64).into(),
                    audits.asking.total().into(),
                ]);
                if routes == 10 {
                    let at = columns.len();
                    columns.push(format!("{} account, {}", side.name(), shape.words()));
                    for ((service, operation), count) in audits.usual.calls {
                        let key = (service.to_owned(), operation);
                        let counts = by_operation.entry(key).or_insert_with(|| vec![0; 4]);
                        counts[at] = count;
                    }
                }
            }
        }
        reads_every_answer(functions, report, side).await?;
    }
    report.table(
        "Calls of an audit of a healthy deployment",
        &["account", "the routes have", "routes", "calls", "calls a route", "every six hours"],
        &rows,
    );
    let names: Vec<&str> =
        ["service", "operation"].into_iter().chain(columns.iter().map(String::as_str)).collect();
    let rows = by_operation.into_iter().map(|((service, operation), counts)| {
        let counts = counts.into_iter().map(Value::from);
        [Value::from(service), operation.into()].into_iter().chain(counts).collect()
    });
    report.table("The same by operation, 10 routes", &names, &rows.collect::<Vec<_>>());
    Ok(())
}

/// Counts the calls of two audits, one after the other. Fails unless both find nothing.
pub async fn audits(functions: &Path, side: Side, deployment: Deployment) -> Result<Audits> {
    let (stage, aws) = staged(functions, side, deployment).await?;
    let auditor = stage.start("auditor")?;
    let mut counted = Vec::new();
    for _ in 0..2 {
        aws.clear_calls();
        let answer = stage.invoke("auditor", &auditor, json!({})).await?;
        let found = found(&aws);
        let is_clean = answer["open"] == 0 && answer["checks"].as_u64() > Some(0);
        ensure!(is_clean && found.is_empty(), "{deployment:?}: {answer}, and it keeps {found:?}");
        let mut audit = Audit::default();
        for call in aws.calls() {
            *audit.calls.entry((call.service, call.operation)).or_default() += 1;
        }
        let usage = aws.usage();
        (audit.read_units, audit.write_units) = (usage.read_units, usage.write_units);
        counted.push(audit);
    }
    let usual = counted.pop().context("there was no second audit")?;
    let asking = counted.pop().context("there was no first audit")?;
    Ok(Audits { asking, usual })
}

async fn staged(functions: &Path, side: Side, deployment: Deployment) -> Result<(Stage, StandIn)> {
    let aws = deployment.make(side).await?;
    let mut stage = Stage::new(functions)?;
    aws.endpoint().clone_into(&mut stage.endpoint);
    let account = match side {
        Side::Data => DATA,
        Side::Analytics => ANALYTICS,
    };
    let variables = [
        ("AWS_REGION", REGION),
        ("AWS_DEFAULT_REGION", REGION),
        ("LANDFALL_STACK", "landfall"),
        ("LANDFALL_SIDE", side.name()),
        ("LANDFALL_ACCESS_ANALYZER", "true"),
        ("LANDFALL_IAM_EVENTS", "true"),
        ("LANDFALL_ACCOUNT_ID", account),
        ("LANDFALL_FINDINGS_TABLE", FINDINGS),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    stage.variables.extend(variables);
    Ok((stage, aws))
}

/// Returns the IDs of the findings that are kept, also of those that need a second look.
fn found(aws: &StandIn) -> Vec<String> {
    let items = aws.items(FINDINGS);
    let ids = items.iter().filter_map(|item| item["finding"]["S"].as_str().map(str::to_owned));
    ids.filter(|id| id.contains('/')).collect()
}

/// Checks that each answer matters: an audit for which a call is refused finds that it couldn't look.
async fn reads_every_answer(functions: &Path, report: &mut Report, side: Side) -> Result<()> {
    let deployment = Deployment { shape: Shape::Apart, routes: 1 };
    let operations: BTreeSet<String> = {
        let audits = audits(functions, side, deployment).await?;
        audits.asking.calls.into_keys().map(|(_, operation)| operation).collect()
    };
    // Only the data account's auditor asks another table than that of findings.
    let is_own = |operation: &str| {
        OWN.contains(&operation) || (side == Side::Analytics && operation == "Query")
    };
    for operation in operations.iter().filter(|operation| !is_own(operation)) {
        let (stage, aws) = staged(functions, side, deployment).await?;
        let auditor = stage.start("auditor")?;
        aws.answer(operation, |call, _| match call.body["TableName"] == FINDINGS {
            true => Act::Serve,
            false => Act::Fail { status: 403, code: "AccessDenied" },
        });
        stage.invoke("auditor", &auditor, json!({})).await?;
        let found = found(&aws);
        let is_told = found.iter().any(|id| id.contains("/could_not_look/"));
        report.check(is_told, || {
            format!(
                "the {} account's auditor tells that it may not {operation}: {found:?}",
                side.name()
            )
        });
    }
    Ok(())
}

/// The calls of an audit: so many, and so many more for each bucket with its key, or for each job with its role.
fn expected(side: Side, shape: Shape, routes: usize) -> u64 {
    let apart = match shape {
        Shape::Shared => 1,
        Shape::Apart => routes as u64,
    };
    match side {
        Side::Data => 31 + 11 * apart,
        Side::Analytics => 20 + 5 * apart,
    }
}

fn judge(report: &mut Report, side: Side, shape: Shape, routes: usize, audits: &Audits) {
    let Audits { asking, usual } = audits;
    let (side_name, words) = (side.name(), shape.words());
    let expected = expected(side, shape, routes);
    report.check(usual.total() == expected, || {
        format!(
            "an audit of the {side_name} account, {routes} routes, {words}, makes {expected} calls: {}",
            usual.total()
        )
    });
    // Each route is asked about, and what is remembered of all of them is kept.
    let more = match side {
        Side::Data => routes as u64 + 1,
        Side::Analytics => 0,
    };
    report.check(asking.total() == usual.total() + more, || {
        format!("every six hours, that takes {more} more: {} and {}", usual.total(), asking.total())
    });
}
