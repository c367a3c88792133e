//! What the table of findings keeps about automatic repairs: one item for each resource, whose `finding` is
//! `repair/LOGICALID`. `body` is the history as JSON, and `expires` is when it doesn't matter any more.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use landfall_core::audit::repair::History;
use landfall_core::moment::Time;

use super::{Findings, FindingsError};
use crate::dynamodb::{is_refused, number};
use crate::sdk_error::AwsError;

/// What the sort keys of these items begin with. No finding's ID is like that.
pub(super) const PREFIX: &str = "repair/";

/// The history of a resource's repairs as it was read.
#[derive(Debug, Clone, Default)]
pub struct KeptHistory {
    /// The history. It is empty if nothing is kept.
    pub history: History,
    /// The text that it was read from.
    body: Option<String>,
}

impl Findings {
    /// Reads the history of a resource's repairs.
    ///
    /// # Errors
    /// Fails if the table doesn't answer, or if this version can't read the history.
    pub async fn repairs(&self, logical_id: &str) -> Result<KeptHistory, FindingsError> {
        let doing = format!("read the repairs of `{logical_id}`");
        let get = self.client.get_item().table_name(&self.table).consistent_read(true);
        let answer = get.set_key(Some(self.key(&format!("{PREFIX}{logical_id}")))).send().await;
        let item = answer.map_err(|error| self.failed(&doing, &error))?.item;
        let body = item.and_then(|mut item| item.remove("body"));
        let Some(AttributeValue::S(body)) = body else { return Ok(KeptHistory::default()) };
        let history = serde_json::from_str(&body);
        let history =
            history.map_err(|error| self.error(&doing, AwsError::unusable(error.to_string())))?;
        Ok(KeptHistory { history, body: Some(body) })
    }

    /// Keeps the history of a resource's repairs. Returns `false` if another invocation was faster: its word counts.
    ///
    /// # Errors
    /// Fails if the table doesn't answer.
    pub async fn keep_repairs(
        &self,
        logical_id: &str,
        before: &KeptHistory,
        after: &History,
        now: Time,
    ) -> Result<bool, FindingsError> {
        let doing = format!("keep the repairs of `{logical_id}`");
        let (condition, values) = match &before.body {
            Some(body) => {
                let body = AttributeValue::S(body.clone());
                ("#body = :before", Some(HashMap::from([(":before".to_owned(), body)])))
            }
            None => ("attribute_not_exists(#body)", None),
        };
        let put = self.client.put_item().table_name(&self.table);
        let put = put
            .set_item(Some(self.key(&format!("{PREFIX}{logical_id}"))))
            .item("body", AttributeValue::S(self.body(&doing, after)?))
            .item("expires", number(after.expires(now).seconds()))
            .condition_expression(condition)
            .expression_attribute_names("#body", "body")
            .set_expression_attribute_values(values);
        match put.send().await {
            Ok(_) => Ok(true),
            Err(error) if is_refused(&error) => Ok(false),
            Err(error) => Err(self.failed(&doing, &error)),
        }
    }
}
