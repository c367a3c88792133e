//! Items of the ledger: keys, attributes, and the reasons why a transaction was cancelled.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::AttributeValue;
use landfall_core::batch::{Batch, NEWEST_VERSION, SCHEMA_VERSION, hex};
use landfall_core::moment::Time;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::LedgerError;
use crate::dynamodb::number;

pub type Item = HashMap<String, AttributeValue>;

/// A condition did not hold.
pub const REASON_REFUSED: &str = "ConditionalCheckFailed";

/// Why a transaction is cancelled that may succeed as it is, a moment later.
const REASONS_TO_WAIT: [&str; 4] =
    ["None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];

/// Whether any of these will not go away by itself: an item that is too large, and the like.
pub fn is_hopeless(reasons: &[String]) -> bool {
    reasons.iter().any(|r| r != REASON_REFUSED && !REASONS_TO_WAIT.contains(&r.as_str()))
}

/// How many partitions the index of due batches has: each takes about 1,000 writes a second.
pub const DUE_SHARDS: u8 = 4;

pub fn batch_key(id: &str) -> (String, String) {
    (format!("batch#{id}"), "batch".to_owned())
}

pub fn chunk_key(batch: &str, number: u32) -> (String, String) {
    (format!("chunk#{batch}#{number}"), "chunk".to_owned())
}

pub fn slot_key(job_key: &str) -> (String, String) {
    (format!("slot#{job_key}"), "slot".to_owned())
}

pub fn object_key(bucket: &str, key: &str) -> String {
    format!("object#s3://{bucket}/{key}")
}

/// `group` by a hash: its values can be longer than a key may be.
pub fn head_key<'g>(
    route: &str,
    group: impl Iterator<Item = (&'g String, &'g String)>,
) -> (String, String) {
    let mut hash = Sha256::new();
    for text in group.flat_map(|(name, value)| [name, value]) {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    (format!("head#{route}#{}", hex(&hash.finalize()[..16])), "head".to_owned())
}

pub fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// The time that this attribute tells.
pub fn time(item: &Item, name: &str) -> Option<Time> {
    item.get(name)?.as_n().ok()?.parse().ok().map(Time)
}

/// An item that holds a document.
pub fn doc(
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

/// A batch, with what the indexes need.
pub fn batch(batch: &Batch, retention: Duration) -> Result<Item, LedgerError> {
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
        set("awaits", text(awaits));
        // The oldest is woken first.
        set("awaits_since", number(batch.opened_at.0));
    }
    if batch.state.is_final() {
        let last = batch.history.last().map_or(batch.opened_at, |entry| entry.at);
        set("expires", number((last + retention).seconds()));
    }
    Ok(item)
}

/// The partition of the index in which a batch stands while it is due at some time.
pub fn due_shard(id: &str) -> String {
    let sum = id.bytes().fold(0_u8, u8::wrapping_add);
    shard(sum % DUE_SHARDS)
}

pub fn shard(number: u8) -> String {
    format!("due#{number}")
}

/// The document in an item, if this version understands it.
pub fn read_doc<D: DeserializeOwned>(pk: &str, item: &Item) -> Result<D, LedgerError> {
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

/// An arrival's item.
pub fn arrival(pk: &str, sk: &str, batch: &str, at: Time, kept: Duration) -> Item {
    Item::from([
        ("pk".to_owned(), text(pk)),
        ("sk".to_owned(), text(sk)),
        ("v".to_owned(), number(SCHEMA_VERSION.into())),
        ("batch".to_owned(), text(batch)),
        ("at".to_owned(), number(at.0)),
        ("expires".to_owned(), number((at + kept).seconds())),
    ])
}

/// For each item of a cancelled transaction why; empty if it was not cancelled for its items.
pub fn reasons<R>(error: &SdkError<TransactWriteItemsError, R>) -> Vec<String> {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => cancelled
            .cancellation_reasons()
            .iter()
            .map(|reason| reason.code().unwrap_or("None").to_owned())
            .collect(),
        // The whole of it met another: it is tried again as if an item had.
        Some(TransactWriteItemsError::TransactionInProgressException(_)) => {
            vec!["TransactionConflict".to_owned()]
        }
        _ => Vec::new(),
    }
}
