//! Batches of the previous version. A new stack may get some with the ledger that an earlier stack left.

use std::time::Duration;

use landfall_aws::ledger::{Ledger, LedgerError, Left, Listing};
use landfall_aws::sdk_error::chain;
use landfall_core::batch::Batch;

use crate::accounts::Account;
use crate::terminal::printable;
use crate::terminal::progress::say;

/// Returns `true` if the account's ledger may have unfinished batches of the previous version. If the ledger
/// cannot be read, it may.
pub async fn may_be_in(account: &Account, table: &str) -> bool {
    // This ledger only reads, so the retention does not matter.
    let ledger = Ledger::new(account.dynamodb.clone(), table.to_owned(), Duration::ZERO);
    match ledger.unfinished(Batch::is_former).await {
        Ok(Listing { batches, unreadable, left }) => {
            !batches.is_empty() || !unreadable.is_empty() || left != Left::None
        }
        Err(LedgerError::Call { source, .. }) if source.code() == "ResourceNotFoundException" => {
            false
        }
        Err(error) => {
            say(&format!(
                "warning: {}; so this assumes that it has batches of the previous version",
                printable(&chain(&error))
            ));
            true
        }
    }
}

/// Returns the note on what is left to do after an upgrade.
pub fn note(table: &str) -> String {
    format!(
        "note: every reader role can still read batches of the previous version, including those of other \
         analytics accounts. Once `landfall batches --former --table {table}` lists none, run this command again \
         with --parameter data:AdmitsFormerBatches=false, and update stacks of target.yaml with the same value."
    )
}
