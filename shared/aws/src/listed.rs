//! What a listing found on its way to the trigger: what of it is in no batch yet, and the messages that bring it. Both the
//! command line and the reconciler take this way.

use std::time::SystemTime;

use landfall_core::arrivals::{Listed, Listing, messages};
use landfall_core::backfill::{Selection, Sifted, Taken, sift};
use landfall_core::batch::Member;
use landfall_core::routes::Routes;
use serde_json::Map;

use crate::clock::now;
use crate::ledger::{Ledger, LedgerError};
use crate::queue::{Message, Queue, QueueError};

/// The most bytes of a message. SQS takes 256 KiB, and the trigger reads four at once.
const MAX_BYTES: usize = 180_000;

/// Returns what of a page of a listing the route takes, and for each of that whether it is in a batch already.
///
/// # Errors
/// Fails in the same cases as [`Ledger::has`].
pub async fn sifted(
    ledger: &Ledger,
    routes: &Routes,
    selection: &Selection,
    listing: &Listing,
    page: Vec<Listed>,
    deadline: SystemTime,
) -> Result<(Sifted, Vec<bool>), LedgerError> {
    let sifted = sift(routes, selection, listing, page, now());
    let members: Vec<Member> =
        sifted.taken.iter().map(|taken| Member::from(&taken.arrival)).collect();
    let known = ledger.has(&selection.route, &selection.bucket, &members, deadline).await?;
    Ok((sifted, known))
}

/// Sends what a listing found to the queue of backfills. Sending it twice is safe: the ledger knows what it has.
///
/// # Errors
/// Fails unless SQS accepts every message before `deadline`.
pub async fn send(
    queue: &Queue,
    bucket: &str,
    listing: &Listing,
    taken: &[Taken],
    deadline: SystemTime,
) -> Result<(), QueueError> {
    let records: Vec<String> =
        taken.iter().map(|taken| taken.listed.record(bucket, listing)).collect();
    let messages: Vec<Message> = messages(&records, MAX_BYTES)
        .into_iter()
        .map(|body| Message { body, attributes: Map::new(), delay_seconds: 0 })
        .collect();
    let (sent, error) = queue.send(&messages, deadline).await;
    match error {
        Some(error) => Err(error),
        None if sent.contains(&false) => {
            let reason = "not all messages were sent in time".to_owned();
            Err(QueueError { arn: queue.arn().to_owned(), reason })
        }
        None => Ok(()),
    }
}
