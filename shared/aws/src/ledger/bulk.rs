//! Reads many items: a hundred per call, several calls at a time, and none that a deadline could
//! cut off.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use futures_util::{StreamExt, TryStreamExt, stream};
use landfall_core::batch::{Batch, Chunk, Member};

use super::item::{self, Item};
use super::{CONCURRENT_READS, Ledger, LedgerError};
use crate::clock::{has_time, sleep, system_time};
use crate::config::CALL_TIMEOUT;

/// The most items that one `BatchGetItem` reads.
pub(super) const MAX_KEYS: usize = 100;

/// How many calls are under way at a time. Each answer has at most 16 MB.
pub(super) const CONCURRENT_CALLS: usize = 8;

/// The pause before the next request for what DynamoDB left out. It grows, and is random.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long a call may go on for a person, who has no deadline.
pub(super) const PATIENCE: Duration = Duration::from_secs(900);

/// Partition key and sort key.
pub(super) type Key = (String, String);

/// Which part of the items to read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Read {
    /// The whole items, as they are now.
    Whole,
    /// These attributes, as they are or were a moment ago, for half the price.
    Attributes(&'static [&'static str]),
}

impl Ledger {
    /// Reads all members of a closed batch, in the order in which they were recorded.
    ///
    /// # Errors
    /// Fails in the same cases as [`Ledger::batch`], and if a chunk is missing.
    pub async fn members(&self, batch: &Batch) -> Result<Vec<Member>, LedgerError> {
        self.members_before(batch, system_time() + PATIENCE).await
    }

    /// Reads the members like [`Ledger::members`], but begins no call that `deadline` could cut
    /// off.
    ///
    /// # Errors
    /// Fails in the same cases as [`Ledger::members`], and with [`LedgerError::OutOfTime`] if the
    /// time was too short.
    pub async fn members_before(
        &self,
        batch: &Batch,
        deadline: SystemTime,
    ) -> Result<Vec<Member>, LedgerError> {
        let groups = (0..batch.chunks).step_by(MAX_KEYS);
        let groups = groups.map(|from| from..batch.chunks.min(from + MAX_KEYS as u32));
        let chunks = stream::iter(groups).map(async |numbers| {
            let keys: Vec<Key> = numbers.map(|number| item::chunk_key(&batch.id, number)).collect();
            let mut found = self.read_some(keys.clone(), Read::Whole, deadline).await?;
            let chunks = keys.into_iter().map(|(pk, _)| {
                let found = found.remove(&pk).ok_or_else(|| LedgerError::missing(&pk))?;
                item::read_doc::<Chunk>(&pk, &found)
            });
            chunks.collect::<Result<Vec<Chunk>, LedgerError>>()
        });
        let chunks = chunks.buffered(CONCURRENT_CALLS).try_concat().await?;
        Ok(chunks.into_iter().flat_map(|chunk| chunk.members).collect())
    }

    /// Reads the items of these keys, at most [`MAX_KEYS`]. Returns those that exist, by partition
    /// key.
    pub(super) async fn read_some(
        &self,
        keys: Vec<Key>,
        read: Read,
        deadline: SystemTime,
    ) -> Result<HashMap<String, Item>, LedgerError> {
        let id = keys.first().map(|(pk, _)| pk.clone()).unwrap_or_default();
        let mut pending = Some(request(&keys, read));
        let mut items = HashMap::new();
        let mut pause = FIRST_PAUSE;
        while let Some(request) = pending {
            if !has_time(deadline, CALL_TIMEOUT) {
                return Err(LedgerError::OutOfTime { id });
            }
            let call = self.client.batch_get_item().request_items(&self.table, request);
            let answer = match call.send().await {
                Ok(answer) => answer,
                // The role of the previous version allows only one item per call.
                Err(error) if error.code() == Some("AccessDeniedException") => {
                    return self.read_one_by_one(keys).await;
                }
                Err(error) => return Err(self.failed("read", &id, &error)),
            };
            let found = answer.responses.unwrap_or_default().into_values().flatten();
            items.extend(found.filter_map(|item| {
                let pk = item.get("pk")?.as_s().ok()?.clone();
                Some((pk, item))
            }));
            // These did not fit into the answer, or were throttled.
            pending = answer.unprocessed_keys.and_then(|keys| keys.into_values().next());
            if pending.is_some() {
                sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        Ok(items)
    }

    async fn read_one_by_one(&self, keys: Vec<Key>) -> Result<HashMap<String, Item>, LedgerError> {
        let items = stream::iter(keys).map(async |(pk, sk)| {
            let found = self.get(&pk, &sk).await?;
            Ok(found.map(|item| (pk, item)))
        });
        let items: Vec<Option<(String, Item)>> =
            items.buffer_unordered(CONCURRENT_READS).try_collect().await?;
        Ok(items.into_iter().flatten().collect())
    }
}

fn request(keys: &[Key], read: Read) -> KeysAndAttributes {
    let keys = keys.iter().map(|(pk, sk)| {
        let text = |text: &String| AttributeValue::S(text.clone());
        HashMap::from([("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))])
    });
    let request = KeysAndAttributes::builder().set_keys(Some(keys.collect()));
    let request = match read {
        Read::Whole => request.consistent_read(true),
        Read::Attributes(names) => {
            // Some of the names are reserved words in DynamoDB.
            let attribute = |name: &&str| (format!("#{name}"), (*name).to_owned());
            let expression: Vec<String> = names.iter().map(|name| attribute(name).0).collect();
            request
                .projection_expression(expression.join(", "))
                .set_expression_attribute_names(Some(names.iter().map(attribute).collect()))
        }
    };
    // The keys are set.
    request.build().unwrap_or_else(|_| unreachable!("a request with all its parts"))
}
