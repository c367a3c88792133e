//! `landfall batch`: all that is known of a batch.

mod document;
mod words;

use landfall_aws::ledger::now;
use landfall_core::batch::{Batch, Member};

use crate::args::batches::BatchArgs;
use crate::aws;
use crate::ledger::connect;
use crate::output::{Output, Status};

/// The most members that are told of without `--members`.
const FIRST: usize = 20;

/// A batch, with all of its members or the first of them; `None` if they could not be read.
struct Told {
    batch: Batch,
    members: Option<Vec<Member>>,
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
        Ok(Some(Told { batch, members }))
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
