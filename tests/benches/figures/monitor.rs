//! A tick of the monitor over batches whose runs continue: it looks at each once, and the batch
//! rests again.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::Region;
use landfall_aws::clock::now;
use landfall_aws::config::http_client;
use landfall_aws::ledger::Ledger;
use landfall_core::batch::{Started, State};
use landfall_stand_ins::{StandIn, Usage};
use landfall_tests::REGION;
use landfall_tests::lambda::Function;
use serde_json::{Value, json};

use crate::report::Report;
use crate::stage::{AT_ONCE, LEDGER, Stage, event};

const DUE: [usize; 4] = [0, 10, 100, 1_000];

/// The operations, each in a column of its own.
const OPERATIONS: [&str; 6] =
    ["Query", "BatchGetItem", "GetItem", "AssumeRole", "GetJobRun", "PutItem"];
/// The number of queries: one for each partition of the index of what is due, and one for parked
/// batches.
const QUERIES: u64 = 5;

/// Measures one tick in a process of its own.
pub async fn measure(functions: &Path, report: &mut Report) -> Result<()> {
    let mut counted = Vec::new();
    for due in DUE {
        let usage = over(functions, due).await?;
        judge(report, due, &usage);
        counted.push((due, usage));
    }
    print(report, &counted);
    Ok(())
}

async fn over(functions: &Path, due: usize) -> Result<Usage> {
    let stage = Stage::new(functions)?;
    if due > 0 {
        let trigger = stage.start("trigger")?;
        stage.arrive(&trigger, event(AT_ONCE, 0, due, due)).await?;
    }
    let made = make_due(&stage.aws).await?;
    ensure!(made == due, "{made} batches follow a run, not {due}");
    stage.aws.clear_calls();
    let monitor = stage.start("monitor")?;
    let answer = tick(&stage, &monitor).await?;
    ensure!(answer["due"] == due && answer["left"] == 0, "the monitor answered {answer}");
    Ok(stage.aws.usage())
}

/// Returns what the monitor answers to a tick.
pub async fn tick(stage: &Stage, monitor: &Function) -> Result<Value> {
    let tick = json!({ "source": "aws.events", "detail-type": "Scheduled Event", "detail": {} });
    stage.invoke("monitor", monitor, tick).await
}

/// Makes all batches whose runs are followed due. The trigger made them due in a minute.
pub async fn make_due(aws: &StandIn) -> Result<usize> {
    let config = aws_sdk_dynamodb::Config::builder()
        .region(Region::new(REGION))
        .endpoint_url(aws.endpoint())
        .credentials_provider(Credentials::new("any", "any", None, None, "bench"))
        .http_client(http_client())
        .build();
    let client = aws_sdk_dynamodb::Client::from_conf(config);
    let ledger = Ledger::new(client, LEDGER.to_owned(), Duration::from_secs(86_400));
    let mut made = 0;
    for item in aws.items(LEDGER) {
        let Some(id) = item["pk"]["S"].as_str().and_then(|pk| pk.strip_prefix("batch#")) else {
            continue;
        };
        let mut batch = ledger.batch(id).await?.context("the batch exists")?;
        let State::Started(Started { look_at, .. }) = &mut batch.state else { continue };
        *look_at = now() - Duration::from_secs(1);
        ledger.write(batch).await?.context("nobody else writes it")?;
        made += 1;
    }
    Ok(made)
}

fn print(report: &mut Report, counted: &[(usize, Usage)]) {
    let columns = [
        &["due"],
        &OPERATIONS[..],
        &["others", "calls a batch", "read units", "read units a batch", "write units a batch"],
    ];
    let rows = counted.iter().map(|(due, usage)| {
        let known = OPERATIONS.map(|operation| of(usage, operation));
        let all: u64 = usage.calls.values().sum();
        let each = |number: f64| match due {
            0 => Value::Null,
            _ => (number / *due as f64).into(),
        };
        let mut row: Vec<Value> = vec![(*due).into()];
        row.extend(known.map(Value::from));
        row.extend([
            (all - known.iter().sum::<u64>()).into(),
            each(all as f64),
            usage.read_units.into(),
            each(usage.read_units),
            each(usage.write_units),
        ]);
        row
    });
    report.table(
        "A tick of the monitor over batches whose runs go on",
        &columns.concat(),
        &rows.collect::<Vec<_>>(),
    );
}

fn judge(report: &mut Report, due: usize, usage: &Usage) {
    let each = due as u64;
    let expected = [
        ("Query", QUERIES),
        // First it reads whose turn it is, a hundred at a time, then each batch as it is now.
        ("BatchGetItem", each.div_ceil(100)),
        ("GetItem", each),
        ("GetJobRun", each),
        ("PutItem", each),
        ("StartJobRun", 0),
        ("AssumeRole", u64::from(due > 0)),
    ];
    for (operation, expected) in expected {
        let found = of(usage, operation);
        report.check(found == expected, || {
            format!("a tick over {due} batches calls {operation} {expected} times: {found}")
        });
    }
}

fn of(usage: &Usage, operation: &str) -> u64 {
    usage.calls.get(operation).copied().unwrap_or(0)
}
