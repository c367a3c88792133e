//! `landfall audit`: shows what the auditors found, and what the reconciler did. It reads their tables. With `--now`, it
//! invokes the auditors first.

mod report;

use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use aws_sdk_lambda::primitives::Blob;
use landfall_aws::clock::now;
use landfall_aws::findings::{Findings, Kept};
use landfall_aws::ledger::Ledger;
use landfall_aws::sdk_error::sdk_error_parts;
use landfall_core::audit::{Finding, KEPT};
use landfall_core::routes::Routes;

use self::report::{Audited, Report};
use crate::accounts::{self, stack_name, target};
use crate::args::Color;
use crate::args::audit::AuditArgs;
use crate::args::deploy::{StackArgs, TemplateName};
use crate::args::roles::WhichAccount;
use crate::terminal::output::{Output, Printed};
use crate::terminal::printable;
use crate::terminal::progress::say;
use crate::{aws, version};

/// Shows the findings of one account or both.
pub fn run(args: &AuditArgs, color: Color) -> Printed {
    let target = target::find(args.place.routes(), &args.place.stacks, Routes::parse, color)?;
    let accounts = [WhichAccount::Data, WhichAccount::Analytics];
    let accounts =
        accounts.into_iter().filter(|account| args.only.is_none_or(|only| only == *account));
    let mut output = Output::default();
    let mut audited = Vec::new();
    for account in accounts {
        let (stacks, id, region) = (&args.place.stacks, &target.account, &target.region);
        let found = aws::wait(async {
            let connected = match account {
                WhichAccount::Data => accounts::Account::data(stacks, id, region).await?,
                WhichAccount::Analytics => accounts::Account::analytics(stacks, id, region).await?,
            };
            let mut kept = look(&connected, stacks, args.now).await?;
            let unseen = match account {
                WhichAccount::Data => missed(&connected, stacks, &mut kept).await.err(),
                WhichAccount::Analytics => None,
            };
            let audited = Audited {
                side: connected.side,
                account: connected.id,
                region: connected.region,
                kept,
            };
            anyhow::Ok((audited, unseen))
        });
        match found {
            Ok((found, unseen)) => {
                audited.push(found);
                if let Some(error) = unseen {
                    output.error(&error);
                }
            }
            // What the other account's auditor found is worth showing.
            Err(error) => output.error(&error),
        }
    }
    let report = Report { audited: &audited, args, now: now() };
    if !audited.is_empty() {
        output.stdout = if args.output.is_json() { report.json() } else { report.text() };
    }
    report.warn(&mut output);
    output.worsen(report.status());
    Ok(output)
}

async fn look(
    account: &accounts::Account,
    stacks: &StackArgs,
    is_now: bool,
) -> anyhow::Result<Kept> {
    let prefix = &stacks.name_prefix;
    if is_now {
        say(&format!("having the {} audited ({})", account.side.name(), account.id));
        invoke(account, &format!("{prefix}-auditor")).await?;
    }
    let findings = Findings::new(&account.config, &format!("{prefix}-findings"), prefix);
    let auditor = stack_name(prefix, TemplateName::Auditor);
    let (kept, warning) = tokio::join!(findings.read(), version::look(&account.config, &auditor));
    if let Some(warning) = warning {
        say(&warning);
    }
    kept.with_context(|| {
        format!(
            "failed to read what the auditor of the {} found: `landfall deploy` makes one unless you tell it not to",
            account.side.name()
        )
    })
}

/// Adds what the reconciler found. It keeps that in the ledger, beside how far it has come.
async fn missed(
    account: &accounts::Account,
    stacks: &StackArgs,
    kept: &mut Kept,
) -> anyhow::Result<()> {
    let table = format!("{}-ledger", stacks.name_prefix);
    let client = aws_sdk_dynamodb::Client::new(&account.config);
    // It writes nothing, so how long the ledger keeps a batch doesn't matter here.
    let ledger = Ledger::new(client, table, Duration::ZERO);
    let found =
        ledger.reconciliations().await.context("failed to read what the reconciler found")?;
    for (route, of) in found {
        match of {
            Ok(of) => kept.findings.extend(of.finding(&account.id).filter(is_kept)),
            Err(_) => kept.unreadable.push(format!("reconciliation/arrivals_missed/{route}")),
        }
    }
    Ok(())
}

/// Returns `true` unless the finding ended so long ago that an auditor would have forgotten it.
fn is_kept(finding: &Finding) -> bool {
    finding.resolved_at.is_none_or(|at| now().since(at) < KEPT)
}

/// Has the auditor look, and waits until it has.
async fn invoke(account: &accounts::Account, function: &str) -> anyhow::Result<()> {
    let client = aws_sdk_lambda::Client::new(&account.config);
    let invoke = client.invoke().function_name(function).payload(Blob::new("{}"));
    let answer = invoke.send().await.map_err(|error| {
        let (code, message) = sdk_error_parts(&error);
        anyhow!(
            "failed to invoke function `{function}` in {}: {code}: {}",
            account.stacks.place,
            printable(&message)
        )
    })?;
    let payload = answer.payload().map(|it| String::from_utf8_lossy(it.as_ref()).into_owned());
    ensure!(
        answer.function_error().is_none(),
        "function `{function}` in {} failed: {}",
        account.stacks.place,
        printable(&payload.unwrap_or_default())
    );
    Ok(())
}
