//! Brakes: policies of others that only deny. People who respond to an incident stop a role with one: IAM's
//! "Revoke active sessions" writes `AWSRevokeOlderSessions`, or somebody attaches `AWSDenyAll`. Landfall removes
//! a brake only when it deletes the role, and a replacement takes the brake along.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{Observed, POLICY_NAME, Step};
use crate::policy::Document;

/// The maximum length of an inline policy's name.
const MAX_NAME_CHARS: usize = 128;

/// Returns `true` if the inline policy isn't ours and only denies.
pub(super) fn is_brake(name: &str, document: Option<&Document>) -> bool {
    name != POLICY_NAME && document.is_some_and(Document::only_denies)
}

/// Returns `true` if the managed policy only denies. A policy that couldn't be read doesn't count as a brake.
pub(super) fn is_attached_brake(document: Option<&Document>) -> bool {
    document.is_some_and(Document::only_denies)
}

impl Observed {
    /// Returns the role's brakes: the names of the inline policies and the ARNs of the managed policies.
    pub fn brakes(&self) -> Vec<&str> {
        let inline = self.inline_brakes().map(|(name, _)| name);
        inline.chain(self.attached_brakes().map(|(arn, _)| arn)).collect()
    }

    /// Returns the ARNs of the managed policies that couldn't be read.
    pub fn unread(&self) -> impl Iterator<Item = &str> {
        self.attached.iter().filter(|(_, document)| document.is_none()).map(|(arn, _)| arn.as_str())
    }

    /// Returns the brakes that a role that replaces this one should have, by name. Managed policies become inline
    /// policies, because another account may not have them.
    pub fn brakes_to_carry(&self) -> BTreeMap<String, Document> {
        let mut carried: BTreeMap<String, Document> =
            self.inline_brakes().map(|(name, it)| (name.to_owned(), it.clone())).collect();
        for (arn, document) in self.attached_brakes() {
            let name = arn.rsplit('/').next().unwrap_or(arn);
            let is_free = name != POLICY_NAME && !carried.contains_key(name);
            let name = if is_free { name.to_owned() } else { distinct_name(name, arn) };
            carried.insert(name, document.clone());
        }
        carried
    }

    fn inline_brakes(&self) -> impl Iterator<Item = (&str, &Document)> {
        let all = self.policies.iter().filter(|(name, it)| is_brake(name, it.as_ref()));
        all.filter_map(|(name, document)| Some((name.as_str(), document.as_ref()?)))
    }

    fn attached_brakes(&self) -> impl Iterator<Item = (&str, &Document)> {
        let all = self.attached.iter().filter(|(_, it)| is_attached_brake(it.as_ref()));
        all.filter_map(|(arn, document)| Some((arn.as_str(), document.as_ref()?)))
    }
}

/// Returns the brakes, by name, that the role doesn't have yet. If another brake already has the same name, the new
/// one gets a different name, so that neither replaces the other.
pub(super) fn to_put(
    brakes: &BTreeMap<String, Document>,
    policies: &BTreeMap<String, Option<Document>>,
) -> BTreeMap<String, Document> {
    let is_there = |document: &Document| {
        policies.iter().any(|(name, it)| name != POLICY_NAME && it.as_ref() == Some(document))
    };
    let missing = brakes.iter().filter(|(_, document)| !is_there(document));
    let named = missing.map(|(name, document)| {
        let is_taken =
            name == POLICY_NAME || policies.get(name).is_some_and(|it| is_brake(name, it.as_ref()));
        let name = if is_taken { distinct_name(name, &document.to_json()) } else { name.clone() };
        (name, document.clone())
    });
    named.collect()
}

/// Returns the steps that put these inline policies.
pub(super) fn steps(put: &BTreeMap<String, Document>) -> impl Iterator<Item = Step> {
    put.iter()
        .map(|(name, document)| Step::PutPolicy { name: name.clone(), document: document.clone() })
}

/// Returns a name with a digest of `content`, which distinguishes it from others that begin with `name`.
fn distinct_name(name: &str, content: &str) -> String {
    let digest: String =
        Sha256::digest(content).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let kept: String = name.chars().take(MAX_NAME_CHARS - 1 - digest.len()).collect();
    format!("{kept}-{digest}")
}
