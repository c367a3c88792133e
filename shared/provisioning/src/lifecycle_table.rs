//! The table in which the provisioner remembers requests and holds locks.
//!
//! Each resource has one item: `id`, the lock (`holder`, and `until` in milliseconds since 1970)
//! and the memory as JSON. Only the holder of the lock reads and writes the memory. A lock whose
//! time has passed belongs to nobody. `landfall_core::lifecycle` defines what the memory means.
//!
//! DynamoDB deletes an item some time after `expires`, in seconds since 1970. An item gets it with
//! its first lock, as long as there is no memory, and later for as long as the memory says. The
//! item of a resource that stands has none. Items of earlier versions have none either, and stay.
//!
//! Unlocking a resource by hand (`landfall unlock`) leaves a record in `unlocked`. The next holder
//! of the lock reports it, and moves it to `unlocked_before`.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use landfall_core::lifecycle::Memory;
use landfall_core::moment::Time;
use serde::{Serialize, Serializer};
use tokio::time::{Instant, sleep};

use landfall_aws::clock::{milliseconds_of, now};
use landfall_aws::dynamodb::{is_refused, number};
use landfall_aws::sdk_error::{AwsError, ServiceError};

/// The pause before the next attempt to take a lock or to write. It grows, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

type Item = HashMap<String, AttributeValue>;

/// Why a lock could not be taken, or a memory could not be read or written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum TableError {
    #[error("failed to lock `{id}` in time: another request holds it")]
    Locked { id: String },
    #[error("failed to keep the lock of `{id}`: its time has passed")]
    Lost { id: String },
    #[error("failed to read the memory of `{id}`")]
    Unreadable { id: String, source: serde_json::Error },
    #[error("failed to read the memory of `{id}`: it is not a string")]
    NoString { id: String },
    #[error("failed to {doing} `{id}` in table `{table}`")]
    Call { doing: &'static str, id: String, table: String, source: AwsError },
}

impl TableError {
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Locked { .. } => "resource_locked",
            Self::Lost { .. } => "lock_lost",
            Self::Unreadable { .. } | Self::NoString { .. } => "memory_unreadable",
            Self::Call { .. } => "table_failed",
        }
    }

    /// Returns `true` if another request holds the lock; it does so until its lease ends at the
    /// latest.
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Locked { .. })
    }

    /// Returns `true` if the same call can succeed later although nobody changes anything.
    fn is_retryable(&self) -> bool {
        match self {
            Self::Locked { .. } => true,
            Self::Lost { .. } | Self::Unreadable { .. } | Self::NoString { .. } => false,
            Self::Call { source, .. } => !matches!(
                source.code(),
                "AccessDeniedException" | "ResourceNotFoundException" | "ValidationException"
            ),
        }
    }
}

/// The provisioner's table.
#[derive(Debug, Clone)]
pub struct Table {
    client: Client,
    name: String,
}

/// A lock that this process holds, with what the table remembered when it was taken.
#[derive(Debug)]
pub struct Held {
    /// What the table remembers about the resource.
    pub memory: Memory,
    /// The record of an unlocking by hand since the lock was last held, as JSON.
    pub unlocked: Option<String>,
    table: Table,
    id: String,
    holder: String,
}

/// An item, as someone without the lock reads it.
#[derive(Debug)]
pub struct Kept {
    /// What the table remembers about the resource.
    pub memory: Memory,
    /// When the lock's lease ends, if the lock is held.
    pub until: Option<Time>,
    /// The memory as it is stored.
    text: Option<String>,
}

impl Kept {
    /// Returns `true` if someone holds the lock at `now`.
    pub fn is_held(&self, now: Time) -> bool {
        self.until.is_some_and(|until| until >= now)
    }
}

/// A record of who unlocks a resource by hand, when and why.
#[derive(Debug, Clone, Serialize)]
pub struct Unlocking {
    /// The ARN of the user or the role session, from STS.
    pub by: String,
    /// When it happens.
    #[serde(serialize_with = "as_text")]
    pub at: Time,
    /// The reason, in that person's words.
    pub reason: String,
}

fn as_text<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

impl Table {
    /// Returns the table of this name. Makes no call.
    pub fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// Returns what the table remembers about `id`, without taking its lock; the default if there
    /// is no item.
    ///
    /// # Errors
    /// Fails if the table does not answer, or the memory cannot be read.
    pub async fn recall(&self, id: &str) -> Result<Memory, TableError> {
        Ok(self.find(id).await?.map(|kept| kept.memory).unwrap_or_default())
    }

    /// Reads the item of `id`, if there is one, without taking its lock.
    ///
    /// # Errors
    /// Fails if the table does not answer, or the memory cannot be read.
    pub async fn find(&self, id: &str) -> Result<Option<Kept>, TableError> {
        let get = self.client.get_item().table_name(&self.name).consistent_read(true);
        let answer = get.key("id", AttributeValue::S(id.to_owned())).send().await;
        let answer = answer.map_err(|error| self.failed("read", id, &error))?;
        let Some(item) = answer.item else { return Ok(None) };
        let until = item.get("until").and_then(|until| until.as_n().ok()?.parse().ok());
        let text = item.get("memory").and_then(|memory| memory.as_s().ok().cloned());
        let memory = self.memory(id, Some(&item))?;
        Ok(Some(Kept { memory, until: until.map(Time), text }))
    }

    /// Makes a resource forget when its last request was issued, and leaves a record of who did
    /// this. Returns `false`, and changes nothing, if someone holds the lock or the memory has
    /// changed since `found`.
    ///
    /// # Errors
    /// Fails if the table does not answer.
    pub async fn unlock(
        &self,
        id: &str,
        found: &Kept,
        unlocking: &Unlocking,
    ) -> Result<bool, TableError> {
        let memory = to_json(id, &found.memory.unlocked())?;
        let record = to_json(id, unlocking)?;
        let is_free = "(attribute_not_exists(#holder) OR #until < :now)";
        let update = self
            .update(id)
            .update_expression("SET memory = :memory, unlocked = :record REMOVE #holder, #until")
            .expression_attribute_names("#holder", "holder")
            .expression_attribute_names("#until", "until")
            .expression_attribute_values(":memory", AttributeValue::S(memory))
            .expression_attribute_values(":record", AttributeValue::S(record))
            .expression_attribute_values(":now", number(now().0));
        let update = match &found.text {
            Some(text) => update
                .condition_expression(format!("memory = :found AND {is_free}"))
                .expression_attribute_values(":found", AttributeValue::S(text.clone())),
            None => {
                update.condition_expression(format!("attribute_not_exists(memory) AND {is_free}"))
            }
        };
        match update.send().await {
            Ok(_) => Ok(true),
            Err(error) if is_refused(&error) => Ok(false),
            Err(error) => Err(self.failed("unlock", id, &error)),
        }
    }

    /// Takes the lock of `id` for `lease`, which must outlast the caller's process. Waits until
    /// `deadline` for another holder to release it.
    ///
    /// # Errors
    /// Fails if another holder keeps the lock until then, or the table does not answer.
    pub async fn lock(
        &self,
        id: &str,
        lease: Duration,
        deadline: Instant,
    ) -> Result<Held, TableError> {
        // The holder's name is unique, even among invocations with the same event.
        let holder = format!("{:016x}", RandomState::new().build_hasher().finish());
        // The lease begins now, however many attempts it takes.
        let until = now().0 + milliseconds_of(lease);
        // A lock sets `expires` only on an item without memory: the item of a resource that stands
        // must not expire because of a lock.
        let mut has_memory = false;
        let mut pause = FIRST_PAUSE;
        loop {
            let answer = self.try_to_lock(id, &holder, until, has_memory).await;
            let last = match answer {
                Ok(answer) => {
                    let item = answer.attributes.as_ref();
                    let memory = self.memory(id, item)?;
                    let unlocked = item.and_then(|item| item.get("unlocked")?.as_s().ok().cloned());
                    let (id, table) = (id.to_owned(), self.clone());
                    return Ok(Held { memory, unlocked, table, id, holder });
                }
                Err(error) if is_refused(&error) => {
                    let has = has_memory_in(&error);
                    if has != has_memory {
                        has_memory = has;
                        continue;
                    }
                    TableError::Locked { id: id.to_owned() }
                }
                Err(error) => self.failed("lock", id, &error),
            };
            if !last.is_retryable() || Instant::now() + pause >= deadline {
                return Err(last);
            }
            sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }

    async fn try_to_lock(
        &self,
        id: &str,
        holder: &str,
        until: u64,
        has_memory: bool,
    ) -> Result<UpdateItemOutput, SdkError<UpdateItemError>> {
        let now = now().0;
        // If the holder is this one, an attempt whose answer was lost has succeeded.
        let is_free = "(attribute_not_exists(#holder) OR #until < :now OR #holder = :holder)";
        let update = if has_memory {
            self.update(id)
                .update_expression("SET #holder = :holder, #until = :until")
                .condition_expression(format!("attribute_exists(memory) AND {is_free}"))
        } else {
            self.update(id)
                .update_expression("SET #holder = :holder, #until = :until, #expires = :expires")
                .condition_expression(format!("attribute_not_exists(memory) AND {is_free}"))
                .expression_attribute_names("#expires", "expires")
                .expression_attribute_values(":expires", expires(&Memory::default()))
        };
        update
            .expression_attribute_names("#holder", "holder")
            .expression_attribute_names("#until", "until")
            .expression_attribute_values(":holder", AttributeValue::S(holder.to_owned()))
            .expression_attribute_values(":until", number(until))
            .expression_attribute_values(":now", number(now))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await
    }

    fn memory(&self, id: &str, item: Option<&Item>) -> Result<Memory, TableError> {
        match item.and_then(|item| item.get("memory")) {
            None => Ok(Memory::default()),
            Some(AttributeValue::S(text)) => {
                serde_json::from_str(text).map_err(|error| unreadable(id, error))
            }
            Some(_) => Err(TableError::NoString { id: id.to_owned() }),
        }
    }

    fn update(
        &self,
        id: &str,
    ) -> aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder {
        self.client.update_item().table_name(&self.name).key("id", AttributeValue::S(id.to_owned()))
    }

    fn failed<E: ServiceError, R: std::fmt::Debug>(
        &self,
        doing: &'static str,
        id: &str,
        error: &SdkError<E, R>,
    ) -> TableError {
        let (id, table) = (id.to_owned(), self.name.clone());
        TableError::Call { doing, id, table, source: AwsError::new(error) }
    }
}

impl Held {
    /// Writes the memory, and keeps the lock.
    ///
    /// # Errors
    /// Fails if the lock belongs to another holder by now, or the table does not answer until
    /// `deadline`.
    pub async fn save(&mut self, memory: Memory, deadline: Instant) -> Result<(), TableError> {
        self.memory = memory;
        self.write(false, deadline).await
    }

    /// Writes the memory and releases the lock, in one call.
    ///
    /// # Errors
    /// Fails if the lock belongs to another holder by now, or the table does not answer until
    /// `deadline`.
    pub async fn release(mut self, memory: Memory, deadline: Instant) -> Result<(), TableError> {
        self.memory = memory;
        self.write(true, deadline).await
    }

    /// Writes the memory. Writing it twice is safe, so this retries until it is known to have
    /// succeeded.
    async fn write(&self, is_last: bool, deadline: Instant) -> Result<(), TableError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.try_to_write(is_last).await {
                Err(error) if error.is_retryable() => error,
                outcome => return outcome,
            };
            if Instant::now() + pause >= deadline {
                return Err(error);
            }
            sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }

    async fn try_to_write(&self, is_last: bool) -> Result<(), TableError> {
        let text = to_json(&self.id, &self.memory)?;
        let (mut sets, mut removals) = (vec!["memory = :memory"], Vec::new());
        let mut update = self
            .table
            .update(&self.id)
            .condition_expression("#holder = :holder")
            .expression_attribute_names("#holder", "holder")
            .expression_attribute_names("#expires", "expires")
            .expression_attribute_values(":holder", AttributeValue::S(self.holder.clone()))
            .expression_attribute_values(":memory", AttributeValue::S(text.clone()));
        match self.memory.kept_for() {
            None => removals.push("#expires"),
            Some(_) => {
                sets.push("#expires = :expires");
                update = update.expression_attribute_values(":expires", expires(&self.memory));
            }
        }
        if let Some(record) = &self.unlocked {
            sets.push("unlocked_before = :record");
            removals.push("unlocked");
            let record = AttributeValue::S(record.clone());
            update = update.expression_attribute_values(":record", record);
        }
        if is_last {
            removals.extend(["#holder", "#until"]);
            update = update.expression_attribute_names("#until", "until");
        }
        let mut expression = format!("SET {}", sets.join(", "));
        if !removals.is_empty() {
            expression.push_str(&format!(" REMOVE {}", removals.join(", ")));
        }
        let update = update.update_expression(expression);
        match update.send().await {
            Ok(_) => Ok(()),
            // An attempt whose answer was lost may have written it: then the item has it.
            Err(error) if is_refused(&error) => {
                let is_written = self.reads(&text).await?;
                is_written.then_some(()).ok_or_else(|| TableError::Lost { id: self.id.clone() })
            }
            Err(error) => Err(self.table.failed("write", &self.id, &error)),
        }
    }

    async fn reads(&self, text: &str) -> Result<bool, TableError> {
        let get = self.table.client.get_item().table_name(&self.table.name).consistent_read(true);
        let get = get.key("id", AttributeValue::S(self.id.clone()));
        let answer =
            get.send().await.map_err(|error| self.table.failed("read", &self.id, &error))?;
        let item = answer.item.unwrap_or_default();
        let memory = item.get("memory").and_then(|value| value.as_s().ok());
        Ok(memory.is_some_and(|memory| memory == text) && !item.contains_key("holder"))
    }
}

/// Returns `true` if the item that refused a lock has a memory.
fn has_memory_in<R>(error: &SdkError<UpdateItemError, R>) -> bool {
    let item = match error.as_service_error() {
        Some(UpdateItemError::ConditionalCheckFailedException(refused)) => refused.item(),
        _ => None,
    };
    item.is_some_and(|item| item.contains_key("memory"))
}

/// Returns the `expires` of an item with this memory, of a resource that does not stand.
fn expires(memory: &Memory) -> AttributeValue {
    let kept = memory.kept_for().unwrap_or_default();
    number((now().0 + milliseconds_of(kept)) / 1000)
}

fn to_json(id: &str, value: &impl Serialize) -> Result<String, TableError> {
    serde_json::to_string(value).map_err(|error| unreadable(id, error))
}

fn unreadable(id: &str, source: serde_json::Error) -> TableError {
    TableError::Unreadable { id: id.to_owned(), source }
}
