//! The table of findings.
//!
//! Each finding has one item: `stack`, the name of the audited stack; `finding`, the finding's ID; `body`, the finding as
//! JSON; and, once it is resolved, `expires`. Two more items have the `finding` `audit`, which says when the last audit
//! ended, and `usage`, which says what the auditor remembers of the use of routes. [`repairs`] has items of its own.

pub mod repairs;

use std::collections::HashMap;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::AttributeValue;
use landfall_core::audit::{Change, Finding, KEPT};
use landfall_core::moment::Time;
use landfall_core::usage::Usages;
use serde::{Deserialize, Serialize};

use crate::dynamodb::{is_refused, number};
use crate::sdk_error::{AwsError, ServiceError};

/// The sort key of the item about the last audit. No finding's ID is like that.
const LAST_AUDIT: &str = "audit";

/// The sort key of the item about the use of routes. No finding's ID is like that.
const USAGE: &str = "usage";

/// Why the table could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
#[error("failed to {doing} in table `{table}`")]
pub struct FindingsError {
    doing: String,
    table: String,
    source: AwsError,
}

/// The last audit that went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAudit {
    /// When it ended.
    pub at: Time,
    /// How many checks it made.
    pub checks: usize,
}

/// What is kept about a stack.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// The findings, in the order of their IDs.
    pub findings: Vec<Finding>,
    /// The last audit; `None` if there was none.
    pub last_audit: Option<LastAudit>,
    /// What is remembered of the use of routes. Empty if nothing is, or another version wrote it.
    pub usage: Usages,
    /// The IDs of findings that this version can't read.
    pub unreadable: Vec<String>,
}

/// The table of findings, with the stack that they are about.
#[derive(Debug, Clone)]
pub struct Findings {
    client: Client,
    table: String,
    stack: String,
}

impl Findings {
    /// Returns the findings about `stack` in `table`. Makes no call.
    pub fn new(config: &SdkConfig, table: &str, stack: &str) -> Self {
        let client = Client::new(config);
        Self { client, table: table.to_owned(), stack: stack.to_owned() }
    }

    /// Reads everything that is kept about the stack.
    ///
    /// # Errors
    /// Fails if the table doesn't answer.
    pub async fn read(&self) -> Result<Kept, FindingsError> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("#stack = :stack")
            .expression_attribute_names("#stack", "stack")
            .expression_attribute_values(":stack", AttributeValue::S(self.stack.clone()));
        let mut items = query.into_paginator().items().send();
        let mut kept = Kept::default();
        while let Some(item) = items.next().await {
            let item = item.map_err(|error| self.failed("read the findings", &error))?;
            let text =
                |name| item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str);
            let (id, body) =
                (text("finding").unwrap_or_default(), text("body").unwrap_or_default());
            if id == LAST_AUDIT {
                kept.last_audit = serde_json::from_str(body).ok();
                continue;
            }
            if id.starts_with(repairs::PREFIX) {
                continue;
            }
            if id == USAGE {
                kept.usage = serde_json::from_str(body).unwrap_or_default();
                continue;
            }
            match serde_json::from_str::<Finding>(body) {
                Ok(finding) if finding.id == id => kept.findings.push(finding),
                _ => kept.unreadable.push(id.to_owned()),
            }
        }
        Ok(kept)
    }

    /// Keeps what an audit changed about a finding. Returns `false` if another audit was faster: its word counts.
    /// Calling it twice is safe.
    ///
    /// # Errors
    /// Fails if the table doesn't answer.
    pub async fn keep(&self, change: &Change) -> Result<bool, FindingsError> {
        let Change { id, before, after } = change;
        let doing = format!("keep finding `{id}`");
        let body = |finding: &Finding| self.body(&doing, finding).map(AttributeValue::S);
        let before = before.as_ref().map(body).transpose()?;
        let condition = match before {
            Some(_) => "#body = :before",
            None => "attribute_not_exists(#body)",
        };
        let before = before.map(|body| HashMap::from([(":before".to_owned(), body)]));
        match after {
            Some(after) => {
                let mut item = self.key(id);
                item.insert("body".to_owned(), body(after)?);
                let expires = after.resolved_at.map(|at| number((at + KEPT).seconds()));
                item.extend(expires.map(|expires| ("expires".to_owned(), expires)));
                let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
                let put = put
                    .condition_expression(condition)
                    .expression_attribute_names("#body", "body")
                    .set_expression_attribute_values(before);
                self.is_kept(&doing, put.send().await)
            }
            None => {
                let delete = self.client.delete_item().table_name(&self.table);
                let delete = delete
                    .set_key(Some(self.key(id)))
                    .condition_expression(condition)
                    .expression_attribute_names("#body", "body")
                    .set_expression_attribute_values(before);
                self.is_kept(&doing, delete.send().await)
            }
        }
    }

    /// Returns `false` if the condition of a write did not hold.
    fn is_kept<T, E: ServiceError, R: std::fmt::Debug>(
        &self,
        doing: &str,
        answer: Result<T, SdkError<E, R>>,
    ) -> Result<bool, FindingsError> {
        match answer {
            Ok(_) => Ok(true),
            Err(error) if is_refused(&error) => Ok(false),
            Err(error) => Err(self.failed(doing, &error)),
        }
    }

    /// Records that an audit went through.
    ///
    /// # Errors
    /// Fails if the table doesn't answer.
    pub async fn audited(&self, audit: &LastAudit) -> Result<(), FindingsError> {
        self.put("record the audit", LAST_AUDIT, audit).await
    }

    /// Remembers the use of routes. Of two at the same time, the later one counts: the next look finds again what it
    /// doesn't have.
    ///
    /// # Errors
    /// Fails if the table doesn't answer.
    pub async fn remember(&self, usage: &Usages) -> Result<(), FindingsError> {
        self.put("remember the use of routes", USAGE, usage).await
    }

    /// Writes an item, whatever is there.
    async fn put(
        &self,
        doing: &str,
        id: &str,
        value: &impl Serialize,
    ) -> Result<(), FindingsError> {
        let put = self.client.put_item().table_name(&self.table).set_item(Some(self.key(id)));
        let put = put.item("body", AttributeValue::S(self.body(doing, value)?));
        put.send().await.map(drop).map_err(|error| self.failed(doing, &error))
    }

    fn key(&self, id: &str) -> HashMap<String, AttributeValue> {
        let key = [("stack", self.stack.as_str()), ("finding", id)];
        key.map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned()))).into()
    }

    fn body(&self, doing: &str, value: &impl Serialize) -> Result<String, FindingsError> {
        serde_json::to_string(value)
            .map_err(|error| self.error(doing, AwsError::unusable(error.to_string())))
    }

    fn failed<E: ServiceError, R: std::fmt::Debug>(
        &self,
        doing: &str,
        error: &SdkError<E, R>,
    ) -> FindingsError {
        self.error(doing, AwsError::new(error))
    }

    fn error(&self, doing: &str, source: AwsError) -> FindingsError {
        FindingsError { doing: doing.to_owned(), table: self.table.clone(), source }
    }
}
