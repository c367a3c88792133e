//! Keys.

use landfall_core::chain::observed::Key;

use crate::look::Call;
use crate::{Clients, Seen};

const DESCRIBE: Call = Call { operation: "DescribeKey", missing: &["NotFoundException"] };

/// Looks at a key, given by ID, ARN or alias.
pub(crate) async fn key(clients: &Clients, key: &str) -> Seen<Key> {
    let answer = clients.kms.describe_key().key_id(key).send().await;
    let metadata = DESCRIBE.seen(answer)?.key_metadata;
    let known = metadata.and_then(|key| Some((key.arn?, key.key_state?)));
    let (arn, state) = known.ok_or_else(|| DESCRIBE.failed("the answer has no state"))?;
    Ok(Key { arn, state: state.as_str().to_owned() })
}
