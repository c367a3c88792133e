//! The table in which the provisioner remembers requests and holds locks.
//!
//! An item per resource: `id`, the lock (`holder`, `until` in milliseconds since 1970) and the
//! memory as JSON. Whoever holds the lock reads and writes the memory; a lock whose time has passed
//! belongs to nobody. What the memory means is `landfall_core::lifecycle`'s.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use landfall_core::lifecycle::Memory;
use tokio::time::{Instant, sleep};

use crate::dynamodb::{is_refused, milliseconds, milliseconds_of, number};
use crate::told::told;

/// The pause before a lock that is held is asked for again; it grows.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Why a lock was not to be had, or a memory not kept.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("failed to lock `{id}` in time: another request holds it")]
    Locked { id: String },
    #[error("failed to keep the lock of `{id}`: its time has passed")]
    Lost { id: String },
    #[error("failed to read the memory of `{id}`: {problem}")]
    Unreadable { id: String, problem: String },
    #[error("failed to {doing} `{id}` in table `{table}`: {message}")]
    Call { doing: &'static str, id: String, table: String, message: String, is_definite: bool },
}

impl TableError {
    /// A stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Locked { .. } => "resource_locked",
            Self::Lost { .. } => "lock_lost",
            Self::Unreadable { .. } => "memory_unreadable",
            Self::Call { .. } => "table_failed",
        }
    }

    /// Whether another holds the lock, and will have left it once its lease has ended.
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Locked { .. })
    }
}

/// The table, and who asks.
#[derive(Debug, Clone)]
pub struct Table {
    client: Client,
    name: String,
}

/// A lock that is held, with what was remembered when it was taken.
#[derive(Debug)]
pub struct Held {
    pub memory: Memory,
    table: Table,
    id: String,
    holder: String,
}

impl Table {
    /// A table of this name.
    pub fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// Takes the lock of `id`, for `lease`, which must outlast whoever asks. Waits until `deadline`
    /// for another to leave it.
    ///
    /// # Errors
    /// It is held by another until then, or the table does not answer.
    pub async fn lock(
        &self,
        id: &str,
        lease: Duration,
        deadline: Instant,
    ) -> Result<Held, TableError> {
        // Nobody else's, an earlier invocation of the same event included.
        let holder = format!("{:016x}", RandomState::new().build_hasher().finish());
        // From now on, however often it is asked for.
        let until = milliseconds(SystemTime::now()) + milliseconds_of(lease);
        let mut pause = FIRST_PAUSE;
        loop {
            let now = milliseconds(SystemTime::now());
            let answer = self
                .update(id)
                .update_expression("SET #holder = :holder, #until = :until")
                // One's own: an attempt whose answer was lost has succeeded.
                .condition_expression(
                    "attribute_not_exists(#holder) OR #until < :now OR #holder = :holder",
                )
                .expression_attribute_names("#holder", "holder")
                .expression_attribute_names("#until", "until")
                .expression_attribute_values(":holder", AttributeValue::S(holder.clone()))
                .expression_attribute_values(":until", number(until))
                .expression_attribute_values(":now", number(now))
                .return_values(ReturnValue::AllNew)
                .send()
                .await;
            let last = match answer {
                Ok(answer) => {
                    let memory =
                        match answer.attributes.as_ref().and_then(|item| item.get("memory")) {
                            None => Memory::default(),
                            Some(AttributeValue::S(text)) => self.parse(id, text)?,
                            Some(_) => return Err(unreadable(id, "it is no string")),
                        };
                    let (id, table) = (id.to_owned(), self.clone());
                    return Ok(Held { memory, table, id, holder });
                }
                Err(error) if is_refused(&error) => TableError::Locked { id: id.to_owned() },
                Err(error) if is_definite(&error) => return Err(self.failed("lock", id, &error)),
                Err(error) => self.failed("lock", id, &error),
            };
            if Instant::now() + pause >= deadline {
                return Err(last);
            }
            sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }

    fn parse(&self, id: &str, text: &str) -> Result<Memory, TableError> {
        serde_json::from_str(text).map_err(|error| unreadable(id, &error.to_string()))
    }

    fn update(
        &self,
        id: &str,
    ) -> aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder {
        self.client.update_item().table_name(&self.name).key("id", AttributeValue::S(id.to_owned()))
    }

    fn failed<E, R>(&self, doing: &'static str, id: &str, error: &SdkError<E, R>) -> TableError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug,
    {
        let message = match (error.as_service_error(), told(error)) {
            (Some(_), (code, message)) => format!("{code}: {message}"),
            (None, (_, message)) => message,
        };
        let (id, table) = (id.to_owned(), self.name.clone());
        TableError::Call { doing, id, table, message, is_definite: is_definite(error) }
    }
}

impl Held {
    /// Writes the memory, and keeps the lock.
    ///
    /// # Errors
    /// The lock is another's by now, or the table does not answer until `deadline`.
    pub async fn save(&mut self, memory: Memory, deadline: Instant) -> Result<(), TableError> {
        self.memory = memory;
        self.write("SET memory = :memory", deadline).await
    }

    /// Writes the memory and gives the lock back, in one.
    ///
    /// # Errors
    /// The lock is another's by now, or the table does not answer until `deadline`.
    pub async fn release(mut self, memory: Memory, deadline: Instant) -> Result<(), TableError> {
        self.memory = memory;
        self.write("SET memory = :memory REMOVE #holder, #until", deadline).await
    }

    /// Writing the same again does no harm, so it is tried until it is known to have succeeded.
    async fn write(&self, expression: &str, deadline: Instant) -> Result<(), TableError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.try_to_write(expression).await {
                Err(error @ TableError::Call { is_definite: false, .. }) => error,
                outcome => return outcome,
            };
            if Instant::now() + pause >= deadline {
                return Err(error);
            }
            sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }

    async fn try_to_write(&self, expression: &str) -> Result<(), TableError> {
        let text = serde_json::to_string(&self.memory)
            .map_err(|error| unreadable(&self.id, &error.to_string()))?;
        let update = self
            .table
            .update(&self.id)
            .update_expression(expression)
            .condition_expression("#holder = :holder")
            .expression_attribute_names("#holder", "holder")
            .expression_attribute_values(":holder", AttributeValue::S(self.holder.clone()))
            .expression_attribute_values(":memory", AttributeValue::S(text.clone()));
        let update = match expression.contains("#until") {
            true => update.expression_attribute_names("#until", "until"),
            false => update,
        };
        match update.send().await {
            Ok(_) => Ok(()),
            // An attempt whose answer was lost may have written it: then it reads so.
            Err(error) if is_refused(&error) => match self.reads(&text).await? {
                true => Ok(()),
                false => Err(TableError::Lost { id: self.id.clone() }),
            },
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

/// Whether trying again cannot help.
fn is_definite<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    matches!(
        error.code(),
        Some("AccessDeniedException" | "ResourceNotFoundException" | "ValidationException")
    )
}

fn unreadable(id: &str, problem: &str) -> TableError {
    TableError::Unreadable { id: id.to_owned(), problem: problem.to_owned() }
}
