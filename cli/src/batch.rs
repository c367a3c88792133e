//! `landfall batch`: shows everything about a batch.

mod document;
mod logs;
mod text;

use landfall_aws::claims::{ClaimError, Outcome};
use landfall_aws::clock::now;
use landfall_aws::sdk_error::chain;
use landfall_core::batch::{Batch, Member};

use crate::args::batches::BatchArgs;
use crate::ledger::{Connection, connect};
use crate::monitor::Monitor;
use crate::terminal::output::{Output, Printed, Status};
use crate::terminal::printable;
use crate::watch::{self, Look};
use crate::{aws, state, version};

/// The most members to show without `--members`.
const FIRST: usize = 20;

/// A batch and what belongs to it.
struct BatchDetails {
    batch: Batch,
    /// All members or the first of them; `None` if they could not be read.
    members: Option<Vec<Member>>,
    /// The outcome that the job reported; `None` if it reported none, or if that is unknown.
    outcome: Option<Outcome>,
}

/// Shows the batch that `args` name.
pub fn run(args: &BatchArgs) -> Printed {
    let output = aws::wait(async {
        let connection = connect(&args.ledger).await?;
        let (watched, warning) = tokio::join!(
            watch::repeat(args.watch, async || look(&connection, args).await),
            version::of_ledger(connection.config(), &args.ledger.table)
        );
        let mut output = watched?;
        output.warn(warning);
        Ok(output)
    })?;
    Ok(output)
}

async fn look(connection: &Connection, args: &BatchArgs) -> anyhow::Result<Look> {
    let mut output = Output::default();
    let found = connection.ledger.batch(&args.id).await;
    let Some(batch) = found.map_err(|error| connection.explained(error))? else {
        let missing = connection.no_batch(&args.id);
        let forgotten =
            "the ledger keeps finished batches for 30 days, unless you configured another time";
        output.stderr.push_str(&format!("{missing}; {forgotten}\n"));
        output.worsen(Status::Nothing);
        return Ok(Look { output, is_settled: true });
    };
    let members = if args.members {
        connection.ledger.members(&batch).await
    } else {
        connection.ledger.first_members(&batch, FIRST).await
    };
    // The command shows the rest of the batch even if its members cannot be read.
    let members = members.map_err(|error| output.error(&connection.explained(error))).ok();
    let outcome = outcome(connection, &batch).await.unwrap_or_else(|error| {
        // Who may read the ledger need not be allowed to read claims, and nothing depends on it.
        let note =
            printable(&format!("the outcome that the job reported is unknown: {}", chain(&error)));
        output.stderr.push_str(&format!("note: {note}\n"));
        None
    });
    let is_settled = state::is_settled(&batch.state);
    let details = BatchDetails { batch, members, outcome };
    let monitor = match !args.ledger.output.is_json() && state::is_due(&details.batch, now()) {
        true => Monitor::look(connection).await,
        false => Monitor::NotKnown,
    };
    output.stdout = match args.ledger.output.is_json() {
        true => document::print(&details),
        false => text::print(&details, now(), &monitor),
    };
    Ok(Look { output, is_settled })
}

/// Returns the outcome that the job run with the claim reported. A batch without job runs has none.
async fn outcome(connection: &Connection, batch: &Batch) -> Result<Option<Outcome>, ClaimError> {
    match batch.prepared.as_ref().and_then(|prepared| prepared.claims_table_arn()) {
        Some(table_arn) if !batch.runs.is_empty() => {
            connection.claims(table_arn).outcome(&batch.id).await
        }
        _ => Ok(None),
    }
}
