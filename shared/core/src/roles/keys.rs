//! The keys that a role may decrypt with.

use std::collections::BTreeSet;

use super::{Observed, POLICY_NAME};
use crate::key_policy::texts;

impl Observed {
    /// Returns the keys on which the role's own policy allows `kms:Decrypt`: ARNs, or patterns of ARNs.
    pub fn keys(&self) -> BTreeSet<String> {
        let own = self.policies.get(POLICY_NAME).and_then(Option::as_ref);
        let statements = own.and_then(|own| own.value()["Statement"].as_array());
        let decrypting = statements.into_iter().flatten().filter(|statement| {
            statement["Effect"] == "Allow"
                && texts(&statement["Action"]).any(|action| action == "kms:Decrypt")
        });
        let keys = decrypting.flat_map(|statement| texts(&statement["Resource"]));
        keys.map(str::to_owned).collect()
    }
}
