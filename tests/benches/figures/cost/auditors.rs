//! Dollars for a month of the auditors, by the schedule, the memory and the alarms that their template has.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use landfall_core::chain::Side;
use landfall_inspection::template::as_json;
use landfall_tests::root;
use serde_json::Value;

use super::{Counts, Data};
use crate::auditor::{Audit, Audits, Deployment, Shape, audits};
use crate::report::Report;

const MINUTES: f64 = 30.0 * 24.0 * 60.0;
/// An auditor asks the ledger this often.
const ASKS: f64 = 30.0 * 4.0;
/// Lambda polls an idle queue with five requests of 20 seconds at a time.
const POLLS: f64 = MINUTES * 5.0 * 3.0;

/// What the requests and the function of one auditor may cost in a month, if 10 routes have
/// everything of their own.
const MOST_DOLLARS: f64 = 1.0;

const DEPLOYMENTS: [Deployment; 3] = [
    Deployment { shape: Shape::Shared, routes: 10 },
    Deployment { shape: Shape::Apart, routes: 10 },
    Deployment { shape: Shape::Apart, routes: 20 },
];

/// What the template sets.
struct Template {
    /// How many minutes pass from one audit to the next.
    minutes: f64,
    gigabytes: f64,
    alarm_metrics: usize,
    metrics: usize,
}

pub(super) async fn measure(functions: &Path, data: &Data, report: &mut Report) -> Result<()> {
    let template = Template::read()?;
    let mut rows = Vec::new();
    for side in Side::ALL {
        for deployment in DEPLOYMENTS {
            let Audits { asking, usual } = audits(functions, side, deployment).await?;
            let times = MINUTES / template.minutes;
            let mut requests = Counts::new();
            add(&mut requests, &usual, times - ASKS);
            add(&mut requests, &asking, ASKS);
            let calls = usual.total() as f64 * (times - ASKS) + asking.total() as f64 * ASKS;
            let lambda = Counts::from([
                ("lambda_requests".to_owned(), times),
                ("lambda_gb_seconds".to_owned(), calls * data.call_seconds * template.gigabytes),
            ]);
            let polls = Counts::from([("sqs_requests".to_owned(), POLLS)]);
            let watch = Counts::from([
                ("metrics".to_owned(), template.metrics as f64),
                ("alarm_metrics".to_owned(), template.alarm_metrics as f64),
            ]);
            let mut dollars = Vec::new();
            for counts in [&requests, &lambda, &polls, &watch] {
                dollars.push(data.price(counts)?);
            }
            let audits = dollars[0] + dollars[1];
            let Deployment { shape, routes } = deployment;
            report.check(routes > 10 || audits <= MOST_DOLLARS, || {
                let side = side.name();
                format!("a month of audits of the {side} account, {routes} routes, costs {audits} dollars")
            });
            let mut row: Vec<Value> =
                vec![side.name().into(), shape.words().into(), routes.into(), calls.into()];
            row.extend(dollars.iter().map(|dollars| Value::from(*dollars)));
            row.push(dollars.iter().sum::<f64>().into());
            rows.push(row);
        }
    }
    report.table(
        &format!("Dollars for a month of an auditor, {}", data.region),
        &[
            "account",
            "the routes have",
            "routes",
            "calls",
            "requests",
            "Lambda",
            "polling its queue",
            "metrics and alarms",
            "in all",
        ],
        &rows,
    );
    Ok(())
}

/// Adds what this many audits take that AWS bills. Reading the settings of other services is free.
fn add(counts: &mut Counts, audit: &Audit, times: f64) {
    let billed = [
        ("s3_gets", audit.of("s3") as f64),
        ("kms_requests", audit.of("kms") as f64),
        ("sqs_requests", audit.of("sqs") as f64),
        ("read_units", audit.read_units),
        ("write_units", audit.write_units),
    ];
    for (what, count) in billed {
        *counts.entry(what.to_owned()).or_default() += count * times;
    }
}

impl Template {
    fn read() -> Result<Self> {
        let file = root().join("infra/auditor.yaml");
        let text = fs::read_to_string(&file);
        let text = text.with_context(|| format!("failed to read `{}`", file.display()))?;
        let template = as_json(&text)?;
        let number = |value: &Value| value.as_str().and_then(|text| text.parse::<f64>().ok());
        let resources = template["Resources"].as_object().context("it has no resources")?;
        let is_alarm = |it: &&Value| it["Type"] == "AWS::CloudWatch::Alarm";
        let (mut alarm_metrics, mut metrics) = (0, BTreeSet::new());
        for alarm in resources.values().filter(is_alarm) {
            let properties = &alarm["Properties"];
            let queries = properties["Metrics"].as_array().into_iter().flatten();
            let mut its: Vec<&Value> = queries
                .map(|query| &query["MetricStat"]["Metric"])
                .filter(|it| !it.is_null())
                .collect();
            if its.is_empty() {
                its.push(properties);
            }
            alarm_metrics += its.len();
            let own = its.iter().filter(|metric| metric["Namespace"] == "Landfall");
            metrics.extend(own.filter_map(|metric| metric["MetricName"].as_str()));
        }
        let megabytes = number(&template["Resources"]["Auditor"]["Properties"]["MemorySize"]);
        Ok(Self {
            minutes: number(&template["Parameters"]["AuditMinutes"]["Default"])
                .context("AuditMinutes has no default")?,
            gigabytes: megabytes.context("the auditor has no memory")? / 1_024.0,
            alarm_metrics,
            metrics: metrics.len(),
        })
    }
}
