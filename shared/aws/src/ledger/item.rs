//! The ledger's items: keys, attributes, and the reasons why DynamoDB cancelled a transaction.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::AttributeValue;
use landfall_core::batch::{Batch, NEWEST_VERSION, SCHEMA_VERSION, State, hex};
use landfall_core::moment::Time;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::LedgerError;
use crate::dynamodb::number;

/// An item, by the names of its attributes.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// DynamoDB's reason when a condition did not hold.
pub(crate) const REASON_REFUSED: &str = "ConditionalCheckFailed";

/// The reasons after which the same transaction may succeed a moment later.
const REASONS_TO_WAIT: [&str; 4] =
    ["None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];

/// Returns `true` if any of these reasons will not go away by itself, such as an item that is too
/// large.
pub(crate) fn is_hopeless(reasons: &[String]) -> bool {
    reasons.iter().any(|r| r != REASON_REFUSED && !REASONS_TO_WAIT.contains(&r.as_str()))
}

/// Longer than any batch waits.
const BEHIND: Duration = Duration::from_secs(100 * 365 * 86_400);

/// How many partitions the index of due batches has. Each takes about 1,000 writes a second.
pub(crate) const DUE_SHARDS: u8 = 4;

pub(crate) fn batch_key(id: &str) -> (String, String) {
    (format!("batch#{id}"), "batch".to_owned())
}

pub(crate) fn chunk_key(batch: &str, number: u32) -> (String, String) {
    (format!("chunk#{batch}#{number}"), "chunk".to_owned())
}

pub(crate) fn slot_key(job_key: &str) -> (String, String) {
    (format!("slot#{job_key}"), "slot".to_owned())
}

pub(crate) fn object_key(bucket: &str, key: &str) -> String {
    format!("object#s3://{bucket}/{key}")
}

/// Returns the key of a group's head. It has a hash of `group`, whose values can be longer than a
/// key may be.
pub(crate) fn head_key<'g>(
    route: &str,
    listing: Option<&str>,
    group: impl Iterator<Item = (&'g String, &'g String)>,
) -> (String, String) {
    let mut hash = Sha256::new();
    for text in group.flat_map(|(name, value)| [name, value]) {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    let of = listing.map(|listing| format!("{listing}#")).unwrap_or_default();
    (format!("head#{route}#{of}{}", hex(&hash.finalize()[..16])), "head".to_owned())
}

pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// Returns the time in this attribute.
pub(crate) fn time(item: &Item, name: &str) -> Option<Time> {
    item.get(name)?.as_n().ok()?.parse().ok().map(Time)
}

/// Returns an item that holds a document as JSON.
pub(crate) fn doc(
    pk: &str,
    sk: &str,
    version: u32,
    revision: u64,
    document: &impl Serialize,
) -> Result<Item, LedgerError> {
    let json = serde_json::to_string(document).map_err(|error| LedgerError::Unreadable {
        id: pk.to_owned(),
        problem: error.to_string(),
    })?;
    Ok(Item::from([
        ("pk".to_owned(), text(pk)),
        ("sk".to_owned(), text(sk)),
        ("v".to_owned(), number(version.into())),
        ("revision".to_owned(), number(revision)),
        ("doc".to_owned(), text(json)),
    ]))
}

/// Returns a batch's item, with what the indexes need.
pub(crate) fn batch(batch: &Batch, retention: Duration) -> Result<Item, LedgerError> {
    let (pk, sk) = batch_key(&batch.id);
    let mut item = doc(&pk, &sk, batch.v, batch.revision, batch)?;
    let mut set = |name: &str, value: AttributeValue| item.insert(name.to_owned(), value);
    set("state", text(batch.state.name()));
    set("route", text(&batch.route));
    set("created_at", number(batch.opened_at.0));
    if let Some(due) = batch.due() {
        set("due_shard", text(due_shard(&batch.id)));
        set("due_at", number(due.0));
    }
    if let Some(awaits) = batch.awaits() {
        // The oldest batch gets its turn first.
        set("awaits_since", number(turn(batch).0));
        set("awaits", text(awaits));
    }
    if batch.state.is_final() {
        let last = batch.history.last().map_or(batch.opened_at, |entry| entry.at);
        set("expires", number((last + retention).seconds()));
    }
    Ok(item)
}

/// Returns the time by which batches that wait for a slot have their turn. What a listing found has waited long already,
/// and waits until everything that S3 announced has had its turn.
fn turn(batch: &Batch) -> Time {
    let waits_for_slot = matches!(batch.state, State::Sealed { .. });
    let is_behind = waits_for_slot && batch.listing.is_some();
    if is_behind { batch.opened_at + BEHIND } else { batch.opened_at }
}

/// Returns the partition of the index of due batches that a batch belongs to.
pub(crate) fn due_shard(id: &str) -> String {
    let sum = id.bytes().fold(0_u8, u8::wrapping_add);
    shard(sum % DUE_SHARDS)
}

pub(crate) fn shard(number: u8) -> String {
    format!("due#{number}")
}

/// Returns the document in an item.
///
/// # Errors
/// Fails if a newer version wrote the item, or it cannot be understood.
pub(crate) fn read_doc<D: DeserializeOwned>(pk: &str, item: &Item) -> Result<D, LedgerError> {
    let unreadable = |problem: String| LedgerError::Unreadable { id: pk.to_owned(), problem };
    let version = item.get("v").and_then(|value| value.as_n().ok()?.parse::<u64>().ok());
    match version {
        Some(version) if version > u64::from(NEWEST_VERSION) => {
            return Err(LedgerError::Newer { id: pk.to_owned(), version });
        }
        Some(_) => {}
        None => return Err(unreadable("it has no version".to_owned())),
    }
    let json = item
        .get("doc")
        .and_then(|value| value.as_s().ok())
        .ok_or_else(|| unreadable("it has no document".to_owned()))?;
    serde_json::from_str(json).map_err(|error| unreadable(error.to_string()))
}

/// Returns the revision of an item.
pub(crate) fn revision(pk: &str, item: &Item) -> Result<u64, LedgerError> {
    let revision = item.get("revision").and_then(|value| value.as_n().ok()?.parse().ok());
    revision.ok_or_else(|| LedgerError::Unreadable {
        id: pk.to_owned(),
        problem: "it has no revision".to_owned(),
    })
}

/// Returns an arrival's item. One without a batch only repeats another one of the same arrival.
pub(crate) fn arrival(pk: &str, sk: &str, batch: Option<&str>, at: Time, kept: Duration) -> Item {
    let mut item = Item::from([
        ("pk".to_owned(), text(pk)),
        ("sk".to_owned(), text(sk)),
        ("v".to_owned(), number(SCHEMA_VERSION.into())),
        ("at".to_owned(), number(at.0)),
        ("expires".to_owned(), number((at + kept).seconds())),
    ]);
    if let Some(batch) = batch {
        item.insert("batch".to_owned(), text(batch));
    }
    item
}

/// Returns the reason for each item of a cancelled transaction; empty if the items were not the
/// cause.
pub(crate) fn reasons<R>(error: &SdkError<TransactWriteItemsError, R>) -> Vec<String> {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => cancelled
            .cancellation_reasons()
            .iter()
            .map(|reason| reason.code().unwrap_or("None").to_owned())
            .collect(),
        // The whole transaction met another one. It is retried as if one of its items had.
        Some(TransactWriteItemsError::TransactionInProgressException(_)) => {
            vec!["TransactionConflict".to_owned()]
        }
        _ => Vec::new(),
    }
}
