//! The ledger: the DynamoDB table that remembers arrivals and batches.
//!
//! | item | `pk` | `sk` | holds |
//! |---|---|---|---|
//! | arrival | `object#s3://BUCKET/KEY` | `ROUTE HASH` | the batch that an object version is in |
//! | look | `object#s3://BUCKET/KEY` | `ROUTE HASH` | [`Look`] as JSON; the batch, if a listing found the object |
//! | head | `head#ROUTE#HASH` | `head` | the open batch of a group |
//! | batch | `batch#ID` | `batch` | [`Batch`] as JSON, and what the indexes need |
//! | chunk | `chunk#ID#N` | `chunk` | some members of a batch |
//! | backfill | `backfill` | ID | [`Backfill`](landfall_core::backfill::Backfill) as JSON |
//! | reconciliation | `reconciliation` | ROUTE | [`Reconciliation`](landfall_core::reconcile::Reconciliation) as JSON |
//! | slot | `slot#ACCOUNT/REGION/JOB` | `slot` | [`Slot`] as JSON |
//!
//! The indexes `due` (shard, time), `awaits` (what a batch waits for) and `routes` (route, time)
//! hold only keys. They may be behind, so what they lead to is read again from the table,
//! consistently.
//!
//! Each write of a batch requires that its revision is still the one that was read. An item of a
//! newer schema version is left alone: [`LedgerError::Newer`].

mod backfills;
mod bulk;
mod due;
mod index;
mod item;
mod looks;
mod reconciliations;
mod record;
mod search;
mod unfinished;

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use landfall_core::batch::{Batch, Chunk, Member, Slot};

pub use due::{Class, Due};
pub use index::Waiting;
pub use record::Recorded;
pub use search::{Found, Left, Listing, Wanted};

use crate::clock;
use crate::dynamodb::{is_conflict, is_refused, number};
use crate::sdk_error::{AwsError, ServiceError};

/// How long the ledger keeps an arrival and a chunk. They are never written again: to set their
/// time to live when the batch is done would cost as much as writing them. No event comes again
/// after this long; SQS keeps a message for 14 days. A claim is kept as long, here and in
/// `landfall/_claim.py`.
pub(crate) const ARRIVALS_KEPT: Duration = Duration::from_secs(400 * 86_400);

/// How often a write that met another one is retried.
const MAX_CONFLICTS: u32 = 5;

/// How many reads are under way at a time.
const CONCURRENT_READS: usize = 16;

/// Why the ledger could not be read or written. None of these errors loses what was there.
#[derive(Debug, Clone, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum LedgerError {
    #[error("failed to {doing} `{id}` in table `{table}`")]
    Call { doing: &'static str, id: String, table: String, source: AwsError },
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
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Call { .. } => "ledger_failed",
            Self::Contended { .. } => "ledger_contended",
            Self::OutOfTime { .. } => "out_of_time",
            Self::Newer { .. } => "ledger_newer",
            Self::Unreadable { .. } => "ledger_unreadable",
        }
    }

    /// Returns `true` if the same call may succeed later. It cannot if DynamoDB finds the call
    /// invalid, for example because an item is too large.
    pub fn is_retryable(&self) -> bool {
        const HOPELESS: [&str; 2] = ["ValidationException", "TransactionCanceledException"];
        match self {
            Self::Call { source, .. } => !HOPELESS.contains(&source.code()),
            Self::Contended { .. } | Self::OutOfTime { .. } => true,
            Self::Newer { .. } | Self::Unreadable { .. } => false,
        }
    }

    fn missing(id: &str) -> Self {
        Self::Unreadable { id: id.to_owned(), problem: "it is not there".to_owned() }
    }

    /// Returns `true` if the item itself is the problem: this version cannot read it, however often
    /// it tries.
    pub fn is_of_item(&self) -> bool {
        matches!(self, Self::Newer { .. } | Self::Unreadable { .. })
    }
}

/// The ledger's table.
#[derive(Debug, Clone)]
pub struct Ledger {
    client: Client,
    table: String,
    /// How long the ledger keeps a batch that is done.
    retention: Duration,
    /// The most IDs that one page of an index gives.
    page: i32,
}

impl Ledger {
    /// Returns the ledger in this table. Makes no call.
    pub fn new(client: Client, table: String, retention: Duration) -> Self {
        Self { client, table, retention, page: index::PAGE }
    }

    /// Divides how much each search of an index reads by `scale`, for simulations, whose load is
    /// smaller by as much.
    #[must_use]
    pub fn at_scale(self, scale: usize) -> Self {
        let scale = i32::try_from(scale).unwrap_or(i32::MAX);
        Self { page: (index::PAGE / scale).max(1), ..self }
    }

    /// Reads a batch; returns `None` if no batch has this ID.
    ///
    /// # Errors
    /// Fails if the table does not answer, or the item cannot be understood.
    pub async fn batch(&self, id: &str) -> Result<Option<Batch>, LedgerError> {
        let (pk, sk) = item::batch_key(id);
        match self.get(&pk, &sk).await? {
            Some(found) => item::read_doc(&pk, &found).map(Some),
            None => Ok(None),
        }
    }

    /// Reads the slot of a job; returns an empty one if nobody has written it yet.
    ///
    /// # Errors
    /// Fails in the same cases as [`Ledger::batch`].
    pub async fn slot(&self, job_key: &str) -> Result<Slot, LedgerError> {
        let (pk, sk) = item::slot_key(job_key);
        match self.get(&pk, &sk).await? {
            Some(found) => item::read_doc(&pk, &found),
            None => Ok(Slot::default()),
        }
    }

    /// Reads the first members of a batch, at most `most`.
    ///
    /// # Errors
    /// Fails in the same cases as [`Ledger::members`].
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
        let chunk = self.find_chunk(batch, number).await?;
        chunk.ok_or_else(|| LedgerError::missing(&item::chunk_key(batch, number).0))
    }

    async fn find_chunk(&self, batch: &str, number: u32) -> Result<Option<Chunk>, LedgerError> {
        let (pk, sk) = item::chunk_key(batch, number);
        self.get(&pk, &sk).await?.map(|found| item::read_doc(&pk, &found)).transpose()
    }

    /// Writes `batch` over the revision that it has. Returns it with its new revision, or `None` if
    /// the ledger has another revision by now.
    ///
    /// # Errors
    /// Fails if the table does not answer. Then it is unknown whether the batch was written.
    pub async fn write(&self, batch: Batch) -> Result<Option<Batch>, LedgerError> {
        let written = Batch { revision: batch.revision + 1, ..batch };
        if self.put_if_held(self.put_batch(&written)?, &written.id).await? {
            return Ok(Some(written));
        }
        // An attempt whose answer was lost may have written it: then the ledger has it.
        Ok(self.batch(&written.id).await?.filter(|found| *found == written))
    }

    /// Writes `batch` and, in the same transaction, changes the slot of its job ([`Slot::after`]).
    ///
    /// # Errors
    /// Fails in the same cases as [`Ledger::write`].
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
                // Another run of the job began or ended, so the slot must be read again.
                Held::OtherSlot => pause().await,
            }
        }
    }

    /// Writes the step to `starting`, with the slot if there is one. If several try, one succeeds.
    ///
    /// # Errors
    /// Fails in the same cases as [`Ledger::write`].
    pub async fn begin(&self, batch: Batch, slot: Option<Slot>) -> Result<Held, LedgerError> {
        match slot {
            Some(slot) => self.write_with_slot(&batch, slot).await,
            // This is a transaction too: an SDK retry has the same token, so DynamoDB answers it
            // with success. With `PutItem`, the answer would be that the condition does not hold.
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
        // All attempts share one token: if one took effect without an answer, the next one
        // succeeds.
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

    /// Returns a put that requires the item to have the revision before this one.
    fn put(&self, item: item::Item, revision: u64) -> Put {
        let put = Put::builder().table_name(&self.table).set_item(Some(item));
        let put = match revision {
            1 => put.condition_expression("attribute_not_exists(pk)"),
            _ => put
                .condition_expression("revision = :before")
                .expression_attribute_values(":before", number(revision - 1)),
        };
        // The table and the item are set.
        put.build().unwrap_or_else(|_| unreachable!("a put with all its parts"))
    }

    /// Puts an item if its condition holds. Returns `false` if it does not.
    async fn put_if_held(&self, put: Put, id: &str) -> Result<bool, LedgerError> {
        let mut conflicts = 0;
        loop {
            let put = put.clone();
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
                Ok(_) => return Ok(true),
                Err(error) if is_refused(&error) => return Ok(false),
                // It met another transaction, which may yet come to nothing.
                Err(error) if is_conflict(&error) && conflicts < MAX_CONFLICTS => {
                    conflicts += 1;
                    pause().await;
                }
                Err(error) => return Err(self.failed("write", id, &error)),
            }
        }
    }

    /// Reads a page of the items of one partition whose sort keys begin with `beginning`, and where the next page begins.
    async fn partition(
        &self,
        pk: &str,
        beginning: Option<String>,
        from: Option<item::Item>,
    ) -> Result<(Vec<item::Item>, Option<item::Item>), LedgerError> {
        let query = self.client.query().table_name(&self.table).consistent_read(true);
        let query = query.expression_attribute_values(":pk", item::text(pk));
        let query = match beginning {
            None => query.key_condition_expression("pk = :pk"),
            Some(beginning) => query
                .key_condition_expression("pk = :pk AND begins_with(sk, :beginning)")
                .expression_attribute_values(":beginning", item::text(beginning)),
        };
        let answer = query.set_exclusive_start_key(from).send().await;
        let answer = answer.map_err(|error| self.failed("search", pk, &error))?;
        Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key))
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

    fn failed<E: ServiceError, R: std::fmt::Debug>(
        &self,
        doing: &'static str,
        id: &str,
        error: &SdkError<E, R>,
    ) -> LedgerError {
        let (id, table) = (id.to_owned(), self.table.clone());
        LedgerError::Call { doing, id, table, source: AwsError::new(error) }
    }
}

/// The outcome of a conditional write.
#[derive(Debug)]
pub enum Held {
    /// The write succeeded, and this is the batch now.
    Yes(Box<Batch>),
    /// Another invocation has written the batch.
    OtherBatch,
    /// Another run of the job began or ended, so the slot must be read again.
    OtherSlot,
}

/// Waits for a short, random time.
pub(crate) async fn pause() {
    clock::sleep(Duration::from_millis(fastrand::u64(20..120))).await;
}
