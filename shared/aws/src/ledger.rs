//! The ledger: the DynamoDB table that remembers arrivals and batches.
//!
//! | item | `pk` | `sk` | holds |
//! |---|---|---|---|
//! | arrival | `object#s3://BUCKET/KEY` | `ROUTE HASH` | the batch that an object version is in |
//! | head | `head#ROUTE#HASH` | `head` | the batch of a group that is open |
//! | batch | `batch#ID` | `batch` | [`Batch`] as JSON, and what the indexes need |
//! | chunk | `chunk#ID#N` | `chunk` | some members of a batch |
//! | slot | `slot#ACCOUNT/REGION/JOB` | `slot` | [`Slot`] as JSON |
//!
//! Indexes, all of keys only: `due` (shard, time), `awaits` (what a batch waits for), `routes` (route,
//! time). They may be behind; what they lead to is read again from the table, consistently.
//!
//! A batch is written on condition that its revision is the one that was read. An item of a newer
//! schema version is left alone: [`LedgerError::Newer`].

mod bulk;
mod due;
mod index;
mod item;
mod record;
mod search;
mod unfinished;

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use landfall_core::batch::{Batch, Chunk, Member, Slot};

pub use due::{Class, Due};
pub use index::Waiting;
pub use record::Recorded;
pub use search::{Found, Left, Listing, Wanted};

use crate::clock;
use crate::dynamodb::{is_conflict, is_refused, number};
use crate::sdk_error::sdk_error_parts;

/// How long an arrival is remembered, and a chunk kept. They are never written again: to set their
/// time to live when the batch is done would cost as much as to write them. No event is repeated after
/// so long; SQS keeps a message for 14 days. A claim is kept as long, here and in `landfall/_claim.py`.
pub(crate) const ARRIVALS_KEPT: Duration = Duration::from_secs(400 * 86_400);

/// How often a write is tried again that met another.
const MAX_CONFLICTS: u32 = 5;

/// Reads that are under way at a time.
const CONCURRENT_READS: usize = 16;

/// Why the ledger could not be read or written. Nothing that was there is lost by any of them.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    #[error("failed to {doing} `{id}` in table `{table}`: {code}: {message}")]
    Call { doing: &'static str, id: String, table: String, code: String, message: String },
    #[error("failed to record arrivals of route `{route}` in time: others write to the same group")]
    Contended { route: String },
    #[error("failed to read `{id}` and what belongs to it: less time is left than a call may take")]
    OutOfTime { id: String },
    #[error("failed to read `{id}`: it was written by a newer version of Landfall ({version})")]
    Newer { id: String, version: u64 },
    #[error("failed to read `{id}`: {problem}")]
    Unreadable { id: String, problem: String },
}

impl LedgerError {
    /// A stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Call { .. } => "ledger_failed",
            Self::Contended { .. } => "ledger_contended",
            Self::OutOfTime { .. } => "out_of_time",
            Self::Newer { .. } => "ledger_newer",
            Self::Unreadable { .. } => "ledger_unreadable",
        }
    }

    /// Whether the same may succeed later as it is: not what DynamoDB finds invalid, such as an item that is too large.
    pub fn is_passing(&self) -> bool {
        const HOPELESS: [&str; 2] = ["ValidationException", "TransactionCanceledException"];
        match self {
            Self::Call { code, .. } => !HOPELESS.contains(&code.as_str()),
            Self::Contended { .. } | Self::OutOfTime { .. } => true,
            Self::Newer { .. } | Self::Unreadable { .. } => false,
        }
    }

    /// Whether it is the item itself that nobody here can make anything of, however often it is read.
    pub fn is_of_item(&self) -> bool {
        matches!(self, Self::Newer { .. } | Self::Unreadable { .. })
    }
}

/// The table.
#[derive(Debug, Clone)]
pub struct Ledger {
    client: Client,
    table: String,
    /// How long a batch is kept after it is done.
    retention: Duration,
}

impl Ledger {
    /// The table of this name. Makes no call.
    pub fn new(client: Client, table: String, retention: Duration) -> Self {
        Self { client, table, retention }
    }

    /// A batch as it is now; `None` if there is none of this id.
    ///
    /// # Errors
    /// The table does not answer, or the item is not understood.
    pub async fn batch(&self, id: &str) -> Result<Option<Batch>, LedgerError> {
        let (pk, sk) = item::batch_key(id);
        match self.get(&pk, &sk).await? {
            Some(found) => item::read_doc(&pk, &found).map(Some),
            None => Ok(None),
        }
    }

    /// The slot of a job; one that nobody wrote yet is empty.
    ///
    /// # Errors
    /// As [`Ledger::batch`].
    pub async fn slot(&self, job_key: &str) -> Result<Slot, LedgerError> {
        let (pk, sk) = item::slot_key(job_key);
        match self.get(&pk, &sk).await? {
            Some(found) => item::read_doc(&pk, &found),
            None => Ok(Slot::default()),
        }
    }

    /// The first members of a batch, `most` at most.
    ///
    /// # Errors
    /// As [`Ledger::members`].
    pub async fn first_members(
        &self,
        batch: &Batch,
        most: usize,
    ) -> Result<Vec<Member>, LedgerError> {
        let mut members = Vec::new();
        for number in 0..batch.chunks {
            if members.len() >= most {
                break;
            }
            members.extend(self.chunk(&batch.id, number).await?.members);
        }
        members.truncate(most);
        Ok(members)
    }

    async fn chunk(&self, batch: &str, number: u32) -> Result<Chunk, LedgerError> {
        let (pk, sk) = item::chunk_key(batch, number);
        let found = self.get(&pk, &sk).await?.ok_or_else(|| LedgerError::Unreadable {
            id: pk.clone(),
            problem: "it is not there".to_owned(),
        })?;
        item::read_doc(&pk, &found)
    }

    /// Writes `batch` in the place of the revision that it has; returns it with the new one, or `None`
    /// if the ledger has another by now.
    ///
    /// # Errors
    /// The table does not answer: whether it was written is not known.
    pub async fn write(&self, batch: Batch) -> Result<Option<Batch>, LedgerError> {
        let written = Batch { revision: batch.revision + 1, ..batch };
        let mut conflicts = 0;
        loop {
            let put = self.put_batch(&written)?;
            let answer = self
                .client
                .put_item()
                .table_name(&self.table)
                .set_item(Some(put.item))
                .set_condition_expression(put.condition_expression)
                .set_expression_attribute_values(put.expression_attribute_values)
                .send()
                .await;
            match answer {
                Ok(_) => return Ok(Some(written)),
                // An attempt whose answer was lost may have written it: then it reads so.
                Err(error) if is_refused(&error) => {
                    return Ok(self.batch(&written.id).await?.filter(|found| *found == written));
                }
                // It met a transaction of somebody else's, which may yet come to nothing.
                Err(error) if is_conflict(&error) && conflicts < MAX_CONFLICTS => {
                    conflicts += 1;
                    pause().await;
                }
                Err(error) => return Err(self.failed("write", &written.id, &error)),
            }
        }
    }

    /// Writes `batch` and changes the slot of its job with it ([`Slot::after`]), in one.
    ///
    /// # Errors
    /// As [`Ledger::write`].
    pub async fn write_counted(&self, batch: Batch) -> Result<Option<Batch>, LedgerError> {
        loop {
            let slot = self.slot(&batch.start.job_key()).await?;
            let after = slot.after(&batch);
            if after == slot {
                return self.write(batch).await;
            }
            match self.write_with_slot(&batch, after).await? {
                Held::Yes(written) => return Ok(Some(*written)),
                Held::OtherBatch => return Ok(None),
                // Another run of the job began or ended: the slot is read again.
                Held::OtherSlot => pause().await,
            }
        }
    }

    /// Writes the step to `starting`, with the slot if there is one. Of several that try, one
    /// succeeds.
    ///
    /// # Errors
    /// As [`Ledger::write`].
    pub async fn begin(&self, batch: Batch, slot: Option<Slot>) -> Result<Held, LedgerError> {
        match slot {
            Some(slot) => self.write_with_slot(&batch, slot).await,
            // In a transaction too: a repetition of the SDK's has the same token, so it is told that
            // it succeeded. With `PutItem` it would be told that the condition does not hold.
            None => self.transact(&batch, None).await,
        }
    }

    async fn write_with_slot(&self, batch: &Batch, slot: Slot) -> Result<Held, LedgerError> {
        let slot = Slot { revision: slot.revision + 1, ..slot };
        let (pk, sk) = item::slot_key(&batch.start.job_key());
        let put = self.put(item::doc(&pk, &sk, slot.v, slot.revision, &slot)?, slot.revision);
        self.transact(batch, Some(put)).await
    }

    async fn transact(&self, batch: &Batch, slot: Option<Put>) -> Result<Held, LedgerError> {
        let written = Batch { revision: batch.revision + 1, ..batch.clone() };
        let puts = [Some(self.put_batch(&written)?), slot];
        let items =
            puts.into_iter().flatten().map(|put| TransactWriteItem::builder().put(put).build());
        let mut conflicts = 0;
        let items: Vec<TransactWriteItem> = items.collect();
        // One for all attempts: what took effect without an answer is told so to the next.
        let token = format!("{:032x}", fastrand::u128(..));
        loop {
            let answer = self
                .client
                .transact_write_items()
                .client_request_token(&token)
                .set_transact_items(Some(items.clone()))
                .send()
                .await;
            let error = match answer {
                Ok(_) => return Ok(Held::Yes(Box::new(written))),
                Err(error) => error,
            };
            let reasons = item::reasons(&error);
            if reasons.first().is_some_and(|reason| reason == item::REASON_REFUSED) {
                return Ok(Held::OtherBatch);
            }
            if reasons.iter().any(|reason| reason == item::REASON_REFUSED) {
                return Ok(Held::OtherSlot);
            }
            conflicts += 1;
            if reasons.is_empty() || item::is_hopeless(&reasons) || conflicts > MAX_CONFLICTS {
                return Err(self.failed("write", &written.id, &error));
            }
            pause().await;
        }
    }

    fn put_batch(&self, batch: &Batch) -> Result<Put, LedgerError> {
        Ok(self.put(item::batch(batch, self.retention)?, batch.revision))
    }

    /// A put that holds if the item has the revision before this one.
    fn put(&self, item: item::Item, revision: u64) -> Put {
        let put = Put::builder().table_name(&self.table).set_item(Some(item));
        let put = match revision {
            1 => put.condition_expression("attribute_not_exists(pk)"),
            _ => put
                .condition_expression("revision = :before")
                .expression_attribute_values(":before", number(revision - 1)),
        };
        // Table and item are set.
        put.build().unwrap_or_else(|_| unreachable!("a put with all its parts"))
    }

    async fn get(&self, pk: &str, sk: &str) -> Result<Option<item::Item>, LedgerError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(pk.to_owned()))
            .key("sk", AttributeValue::S(sk.to_owned()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| self.failed("read", pk, &error))?;
        Ok(answer.item)
    }

    fn failed<E, R>(&self, doing: &'static str, id: &str, error: &SdkError<E, R>) -> LedgerError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug,
    {
        let (code, message) = sdk_error_parts(error);
        LedgerError::Call { doing, id: id.to_owned(), table: self.table.clone(), code, message }
    }
}

/// Whether a conditional write held.
#[derive(Debug)]
pub enum Held {
    /// The batch as it is now.
    Yes(Box<Batch>),
    /// Somebody else has written the batch.
    OtherBatch,
    /// Another run of the job began or ended: the slot is to be read again.
    OtherSlot,
}

/// A short while, of random length.
pub(crate) async fn pause() {
    clock::sleep(Duration::from_millis(fastrand::u64(20..120))).await;
}
