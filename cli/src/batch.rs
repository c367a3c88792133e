//! `landfall batch`: all that is known of a batch.

mod document;
mod text;

use landfall_aws::claims::{ClaimError, Outcome};
use landfall_aws::clock::now;
use landfall_core::batch::{Batch, Member};

use crate::args::batches::BatchArgs;
use crate::aws;
use crate::ledger::{Connection, connect};
use crate::terminal::output::{Output, Printed, Status};
use crate::terminal::printable;

/// The most members that are told of without `--members`.
const FIRST: usize = 20;

/// A batch, with all of its members or the first of them; `None` if they could not be read.
struct BatchDetails {
    batch: Batch,
    members: Option<Vec<Member>>,
    /// What the job said; `None` if it said nothing, or that is not known.
    outcome: Option<Outcome>,
}

/// Tells of the batch that `args` name.
pub fn run(args: &BatchArgs) -> Printed {
    let mut output = Output::default();
    let details = aws::wait(async {
        let connection = connect(&args.ledger).await?;
        let found = connection.ledger.batch(&args.id).await;
        let Some(batch) = found.map_err(|error| connection.explained(error))? else {
            let missing = connection.no_batch(&args.id);
            let forgotten = "one that is done is kept for 30 days, unless the stack says otherwise";
            output.stderr.push_str(&format!("{missing}; {forgotten}\n"));
            output.worsen(Status::Nothing);
            return Ok(None);
        };
        let members = if args.members {
            connection.ledger.members(&batch).await
        } else {
            connection.ledger.first_members(&batch, FIRST).await
        };
        // What is known of the batch is told all the same.
        let members = members.map_err(|error| output.error(&connection.explained(error))).ok();
        let outcome = outcome(&connection, &batch).await.unwrap_or_else(|error| {
            // Whoever may read the ledger need not be allowed to read claims, and nothing hangs on it.
            let note =
                printable(&format!("what the job said of its outcome is not known: {error}"));
            output.stderr.push_str(&format!("note: {note}\n"));
            None
        });
        Ok(Some(BatchDetails { batch, members, outcome }))
    })?;
    output.stdout = match details {
        Some(details) if args.ledger.json => document::print(&details),
        Some(details) => text::print(&details, now()),
        None => String::new(),
    };
    Ok(output)
}

/// What the run that holds the claim said. A batch without runs has nobody to say anything.
async fn outcome(connection: &Connection, batch: &Batch) -> Result<Option<Outcome>, ClaimError> {
    match batch.prepared.as_ref().and_then(|prepared| prepared.claims_table_arn()) {
        Some(table_arn) if !batch.runs.is_empty() => {
            connection.claims(table_arn).outcome(&batch.id).await
        }
        _ => Ok(None),
    }
}
