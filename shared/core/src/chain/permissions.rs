//! The calls that look at the chain, each with the permission that it needs: a table.

use super::judge::Side;
use crate::policy::Statement;

/// Returns the permission that a call needs, such as `s3:GetBucketNotification` for
/// `GetBucketNotificationConfiguration`. Returns `None` if no look makes that call.
pub fn permission(operation: &str) -> Option<&'static str> {
    let _ = operation;
    None
}

/// Returns the least policy that lets somebody look at one account's half of the chain.
///
/// `buckets` are the names of the landing buckets. `scripts` are the URIs of the jobs' scripts; without them, the
/// statement for scripts is left out.
pub fn permissions(side: Side, buckets: &[&str], scripts: &[&str]) -> Vec<Statement> {
    let _ = (side, buckets, scripts);
    Vec::new()
}
