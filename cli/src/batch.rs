//! `landfall batch`: all that is known of a batch.

mod document;
mod words;

use landfall_aws::claims::{ClaimError, Outcome};
use landfall_aws::clock::now;
use landfall_core::batch::{Batch, Member};
use landfall_core::plan::printable;

use crate::args::batches::BatchArgs;
use crate::aws;
use crate::ledger::{Connection, connect};
use crate::output::{Output, Status};

/// The most members that are told of without `--members`.
const FIRST: usize = 20;

/// A batch, with all of its members or the first of them; `None` if they could not be read.
struct Told {
    batch: Batch,
    members: Option<Vec<Member>>,
    /// What the job said; `None` if it said nothing, or that is not known.
    outcome: Option<Outcome>,
}

/// Tells of the batch that `args` name.
pub fn run(args: &BatchArgs) -> Output {
    let mut output = Output::default();
    let told = aws::wait(async {
        let connection = connect(&args.ledger).await?;
        let found = connection.ledger.batch(&args.id).await;
        let Some(batch) = found.map_err(|error| connection.explained(error))? else {
            let missing = connection.no_batch(&args.id);
            let forgotten = "one that is done is kept for 30 days, unless the stack says otherwise";
            output.stderr.push_str(&format!("{missing}; {forgotten}\n"));
            output.worsen(Status::Nothing);
            return Ok(None);
        };
        let members = match args.members {
            true => connection.ledger.members(&batch).await,
            false => connection.ledger.first_members(&batch, FIRST).await,
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
        Ok(Some(Told { batch, members, outcome }))
    });
    match told {
        Ok(Some(told)) => {
            output.stdout = match args.ledger.json {
                true => document::print(&told),
                false => words::print(&told, now()),
            };
            output
        }
        Ok(None) => output,
        Err(error) => error.into(),
    }
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
