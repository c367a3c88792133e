//! Reading many items: a hundred a call, several calls at a time, and none that could be cut off by a deadline.

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

/// Calls that are under way at a time. Each answers with 16 MB at most.
pub(super) const CONCURRENT_CALLS: usize = 8;

/// The pause before DynamoDB is asked again for what it left out; it grows, and is random.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long a person waits who has no deadline.
pub(super) const PATIENCE: Duration = Duration::from_secs(900);

/// Partition key and sort key.
pub(super) type Key = (String, String);

/// What of items is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Read {
    /// All of them, as they are now.
    Whole,
    /// These attributes, as they are or were a moment ago: half the price.
    Attributes(&'static [&'static str]),
}

impl Ledger {
    /// All members of a batch that is closed, in the order in which they were recorded.
    ///
    /// # Errors
    /// As [`Ledger::batch`]; a chunk that is not there is an error too.
    pub async fn members(&self, batch: &Batch) -> Result<Vec<Member>, LedgerError> {
        self.members_before(batch, system_time() + PATIENCE).await
    }

    /// The same; no call is begun that could be cut off by `deadline`.
    ///
    /// # Errors
    /// As [`Ledger::members`]; [`LedgerError::OutOfTime`] if the time did not suffice.
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
                let missing = || LedgerError::Unreadable {
                    id: pk.clone(),
                    problem: "it is not there".to_owned(),
                };
                item::read_doc::<Chunk>(&pk, &found.remove(&pk).ok_or_else(missing)?)
            });
            chunks.collect::<Result<Vec<Chunk>, LedgerError>>()
        });
        let chunks = chunks.buffered(CONCURRENT_CALLS).try_concat().await?;
        Ok(chunks.into_iter().flat_map(|chunk| chunk.members).collect())
    }

    /// The items of these keys that are there, by partition key; [`MAX_KEYS`] at most.
    pub(super) async fn read_some(
        &self,
        keys: Vec<Key>,
        read: Read,
        deadline: SystemTime,
    ) -> Result<HashMap<String, Item>, LedgerError> {
        let id = keys.first().map(|(pk, _)| pk.clone()).unwrap_or_default();
        let mut asked = Some(request(&keys, read));
        let mut items = HashMap::new();
        let mut pause = FIRST_PAUSE;
        while let Some(request) = asked {
            if !has_time(deadline, CALL_TIMEOUT) {
                return Err(LedgerError::OutOfTime { id });
            }
            let call = self.client.batch_get_item().request_items(&self.table, request);
            let answer = match call.send().await {
                Ok(answer) => answer,
                // A role of the version before admits one item a call.
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
            // What did not fit into the answer, or was throttled.
            asked = answer.unprocessed_keys.and_then(|keys| keys.into_values().next());
            if asked.is_some() {
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
            // Some of their names are words of DynamoDB's own.
            let names = names.iter().map(|name| (format!("#{name}"), (*name).to_owned()));
            let names: HashMap<String, String> = names.collect();
            let expression = names.keys().cloned().collect::<Vec<_>>().join(", ");
            request.projection_expression(expression).set_expression_attribute_names(Some(names))
        }
    };
    // The keys are set.
    request.build().unwrap_or_else(|_| unreachable!("a request with all its parts"))
}
