//! `landfall batch`: shows everything about a batch.

mod document;
pub mod logs;
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
pub struct BatchDetails {
    pub batch: Batch,
    /// All members or the first of them; `None` if they could not be read.
    pub members: Option<Vec<Member>>,
    /// The outcome that the job reported; `None` if it reported none, or if that is unknown.
    pub outcome: Option<Outcome>,
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

impl BatchDetails {
    /// Returns the JSON document.
    pub fn document(&self) -> String {
        document::print(self)
    }

    /// Asks whether the monitor ticks, if the batch waits for it.
    pub async fn monitor(&self, connection: &Connection) -> Monitor {
        match state::is_due(&self.batch, now()) {
            true => Monitor::look(connection).await,
            false => Monitor::NotKnown,
        }
    }
}

/// Looks at the batch. What can't be read is told in `output`, as is a batch that the ledger doesn't have.
pub async fn see(
    connection: &Connection,
    args: &BatchArgs,
    output: &mut Output,
) -> anyhow::Result<Option<BatchDetails>> {
    let found = connection.ledger.batch(&args.id).await;
    let Some(batch) = found.map_err(|error| connection.explained(error))? else {
        let missing = connection.no_batch(&args.id);
        let forgotten =
            "the ledger keeps finished batches for 30 days, unless you configured another time";
        output.stderr.push_str(&format!("{missing}; {forgotten}\n"));
        output.worsen(Status::Nothing);
        return Ok(None);
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
    Ok(Some(BatchDetails { batch, members, outcome }))
}

async fn look(connection: &Connection, args: &BatchArgs) -> anyhow::Result<Look> {
    let mut output = Output::default();
    let Some(details) = see(connection, args, &mut output).await? else {
        return Ok(Look { output, is_settled: true });
    };
    output.stdout = match args.ledger.output.is_json() {
        true => details.document(),
        false => text::print(&details, now(), &details.monitor(connection).await),
    };
    Ok(Look { output, is_settled: state::is_settled(&details.batch.state) })
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
