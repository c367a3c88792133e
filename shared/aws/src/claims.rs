//! The claims table, from the monitor's side; the job's side is `landfall/_claim.py`.
//!
//! Each batch has one item: `batch_id`, `holder` (the epoch and a nonce of the process), the
//! holder's `epoch`, `ended` and `expires`. When the job library has left the batch, it adds
//! `outcome`, `outcome_at` and `error` for people; nothing is decided by them. Each write by either
//! side sets `expires` to `ARRIVALS_KEPT` from then on, so a claim expires only after its batch's
//! arrivals are forgotten.

use std::collections::HashMap;
use std::sync::OnceLock;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::config::Region;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodb::{Client, Config};
use landfall_core::batch::{Claim, EndOutcome, cut};

use crate::clock::now;
use crate::dynamodb::{is_refused, number};
use crate::ledger::ARRIVALS_KEPT;
use crate::sdk_error::{AwsError, ServiceError};

/// Why a claim could not be read or ended.
#[derive(Debug, Clone, thiserror::Error)]
#[error("failed to {doing} the claim on batch `{batch}` in table `{table}`")]
pub struct ClaimError {
    doing: &'static str,
    batch: String,
    table: String,
    source: AwsError,
}

/// The outcome that the run with the claim reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The epoch of that run.
    pub epoch: Option<u32>,
    /// `succeeded` or `failed`, as the job library writes it.
    pub outcome: String,
    /// When the run reported it, in RFC 3339 format.
    pub at: Option<String>,
    /// The type of the exception that the run failed with.
    pub error: Option<String>,
}

/// The table of claims.
#[derive(Debug, Clone)]
pub struct Claims {
    /// Built for the first call: an invocation that only starts runs needs no client.
    client: OnceLock<Client>,
    config: Config,
    table: String,
}

impl Claims {
    /// Returns the table with this ARN, in the region that the ARN names. Makes no call.
    pub fn new(config: &SdkConfig, table_arn: &str) -> Self {
        let fields: Vec<&str> = table_arn.split(':').collect();
        let builder = aws_sdk_dynamodb::config::Builder::from(config);
        let builder = match fields.get(3) {
            Some(region) => builder.region(Region::new((*region).to_owned())),
            None => builder,
        };
        let table = table_arn.rsplit('/').next().unwrap_or(table_arn).to_owned();
        Self { client: OnceLock::new(), config: builder.build(), table }
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| Client::from_conf(self.config.clone()))
    }

    /// Reads the current claim on a batch.
    ///
    /// # Errors
    /// Fails if the table does not answer, or the item cannot be understood.
    pub async fn read(&self, batch: &str) -> Result<Claim, ClaimError> {
        let item = self.item(batch).await?;
        let ended = self.epoch(batch, &item, "ended")?.unwrap_or(0);
        Ok(Claim { holder: self.epoch(batch, &item, "epoch")?, ended })
    }

    /// Reads what the job reported when it was done with a batch; `None` if it has reported
    /// nothing.
    ///
    /// # Errors
    /// Fails in the same cases as [`Claims::read`].
    pub async fn outcome(&self, batch: &str) -> Result<Option<Outcome>, ClaimError> {
        let item = self.item(batch).await?;
        let text = |name: &'static str| match item.get(name) {
            None => Ok(None),
            Some(value) => match value.as_s() {
                Ok(text) => Ok(Some(cut(text))),
                Err(_) => Err(self.not_understood(batch, format!("`{name}` is no text"))),
            },
        };
        let Some(outcome) = text("outcome")? else {
            return Ok(None);
        };
        let epoch = self.epoch(batch, &item, "epoch")?;
        Ok(Some(Outcome { epoch, outcome, at: text("outcome_at")?, error: text("error")? }))
    }

    async fn item(&self, batch: &str) -> Result<HashMap<String, AttributeValue>, ClaimError> {
        let answer = self
            .client()
            .get_item()
            .table_name(&self.table)
            .key("batch_id", AttributeValue::S(batch.to_owned()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| self.failed("read", batch, &error))?;
        Ok(answer.item.unwrap_or_default())
    }

    fn epoch(
        &self,
        batch: &str,
        item: &HashMap<String, AttributeValue>,
        name: &str,
    ) -> Result<Option<u32>, ClaimError> {
        let Some(value) = item.get(name) else {
            return Ok(None);
        };
        let number = value.as_n().ok().and_then(|number| number.parse().ok());
        number.map(Some).ok_or_else(|| self.not_understood(batch, format!("`{name}` is no epoch")))
    }

    fn not_understood(&self, batch: &str, message: String) -> ClaimError {
        self.error("read", batch, AwsError::unusable(message))
    }

    /// Records that the run of `epoch` has ended, unless the run of another epoch holds the claim.
    /// Calling it twice is safe.
    ///
    /// # Errors
    /// Fails in the same cases as [`Claims::read`].
    pub async fn end(&self, batch: &str, epoch: u32) -> Result<EndOutcome, ClaimError> {
        let answer = self
            .client()
            .update_item()
            .table_name(&self.table)
            .key("batch_id", AttributeValue::S(batch.to_owned()))
            .update_expression("SET #ended = :epoch, #expires = :expires")
            .condition_expression(
                "(attribute_not_exists(#holder) OR #epoch = :epoch OR #epoch <= #ended) \
                 AND (attribute_not_exists(#ended) OR #ended < :epoch)",
            )
            .expression_attribute_names("#holder", "holder")
            .expression_attribute_names("#epoch", "epoch")
            .expression_attribute_names("#ended", "ended")
            .expression_attribute_names("#expires", "expires")
            .expression_attribute_values(":epoch", number(epoch.into()))
            .expression_attribute_values(":expires", number((now() + ARRIVALS_KEPT).seconds()))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(EndOutcome::Ended),
            // What stands in the way is the core's to say.
            Err(error) if is_refused(&error) => Ok(self.read(batch).await?.ended(epoch).1),
            Err(error) => Err(self.failed("end", batch, &error)),
        }
    }

    fn failed<E: ServiceError, R: std::fmt::Debug>(
        &self,
        doing: &'static str,
        batch: &str,
        error: &SdkError<E, R>,
    ) -> ClaimError {
        self.error(doing, batch, AwsError::new(error))
    }

    fn error(&self, doing: &'static str, batch: &str, source: AwsError) -> ClaimError {
        ClaimError { doing, batch: batch.to_owned(), table: self.table.clone(), source }
    }
}
