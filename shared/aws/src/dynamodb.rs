//! What the DynamoDB tables of the ledger, the claims and the resources have in common.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::AttributeValue;

/// Returns `true` if the condition of a write did not hold.
pub fn is_refused<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    error.code() == Some("ConditionalCheckFailedException")
}

/// Returns `true` if a write met a transaction that is under way.
pub fn is_conflict<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    error.code() == Some("TransactionConflictException")
}

/// Returns a whole number as an attribute value.
pub fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}
