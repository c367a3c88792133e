//! Keys.

use aws_sdk_kms::types::KeyManagerType;
use landfall_core::chain::observed::Key;

use crate::look::{Call, look};
use crate::{Clients, Seen};

const DESCRIBE: Call = Call { operation: "DescribeKey", missing: &["NotFoundException"] };
const POLICY: Call = Call { operation: "GetKeyPolicy", missing: &["NotFoundException"] };

/// Looks at a key, given by ID, ARN or alias, and at its policy if it belongs to the account.
pub(crate) async fn key(clients: &Clients, account: &str, key: &str) -> Seen<Key> {
    let answer = clients.kms.describe_key().key_id(key).send().await;
    let metadata = DESCRIBE.seen(answer)?.key_metadata;
    let known = metadata.and_then(|key| Some((key.arn?, key.key_state?, key.key_manager)));
    let (arn, state, manager) = known.ok_or_else(|| DESCRIBE.failed("the answer has no state"))?;
    let policy = match arn.split(':').nth(4) == Some(account) {
        true => Some(look(policy(clients, &arn).await)),
        false => None,
    };
    let is_of_aws = manager == Some(KeyManagerType::Aws);
    Ok(Key { arn, state: state.as_str().to_owned(), is_of_aws, policy })
}

async fn policy(clients: &Clients, key: &str) -> Seen<String> {
    // A key has exactly one policy, with this name.
    let get = clients.kms.get_key_policy().key_id(key).policy_name("default");
    let policy = POLICY.seen(get.send().await)?.policy;
    policy.ok_or_else(|| POLICY.failed("the answer has no policy"))
}
