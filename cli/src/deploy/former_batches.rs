//! Batches of the version before, which a new stack may take in with the ledger that an earlier one left.

use std::time::Duration;

use landfall_aws::ledger::{Ledger, LedgerError, Left, Listing};
use landfall_core::batch::Batch;

use crate::accounts::Account;
use crate::terminal::printable;
use crate::terminal::progress::say;

/// Whether the account's ledger may have such batches that are not done. If it cannot be read, it may.
pub async fn may_be_in(account: &Account, table: &str) -> bool {
    // Nothing is written.
    let ledger = Ledger::new(account.dynamodb.clone(), table.to_owned(), Duration::ZERO);
    match ledger.unfinished(Batch::is_former).await {
        Ok(Listing { batches, unreadable, left }) => {
            !batches.is_empty() || !unreadable.is_empty() || left != Left::None
        }
        Err(LedgerError::Call { code, .. }) if code == "ResourceNotFoundException" => false,
        Err(error) => {
            say(&format!(
                "warning: {}; so it is taken to have batches of the version before",
                printable(&error.to_string())
            ));
            true
        }
    }
}

/// What is left to do after an upgrade.
pub fn note(table: &str) -> String {
    format!(
        "note: the reader roles still reach batches of the version before, whichever analytics account they are \
         for. Once `landfall batches --former --table {table}` lists none, run this command again with \
         --parameter data:AdmitsFormerBatches=false, and update stacks of target.yaml with the same value."
    )
}
