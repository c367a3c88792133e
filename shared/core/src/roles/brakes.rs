//! Policies of others that only deny. Who responds to an incident stops a role with one: IAM's "Revoke
//! active sessions" writes `AWSRevokeOlderSessions`, or `AWSDenyAll` is attached. Nothing but the deletion
//! of the role takes one away, and a replacement takes it along.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{Observed, POLICY_NAME, Step};
use crate::policy::Document;

/// The longest name of an inline policy.
const MAX_NAME_CHARS: usize = 128;

/// Returns `true` for an inline policy of others that only denies.
pub(super) fn is_brake(name: &str, document: Option<&Document>) -> bool {
    name != POLICY_NAME && document.is_some_and(Document::only_denies)
}

/// Returns `true` for a managed policy that only denies. One that could not be read does not.
pub(super) fn is_attached_brake(document: Option<&Document>) -> bool {
    document.is_some_and(Document::only_denies)
}

impl Observed {
    /// The names of the inline, and the ARNs of the managed policies of others that only deny.
    pub fn brakes(&self) -> Vec<&str> {
        let inline = self.inline_brakes().map(|(name, _)| name);
        inline.chain(self.attached_brakes().map(|(arn, _)| arn)).collect()
    }

    /// The managed policies that could not be read.
    pub fn unread(&self) -> impl Iterator<Item = &str> {
        self.attached.iter().filter(|(_, document)| document.is_none()).map(|(arn, _)| arn.as_str())
    }

    /// What a role that takes this one's place is to have, by name. A managed policy may not be there in
    /// another account, so that it becomes an inline one.
    pub fn brakes_to_carry(&self) -> BTreeMap<String, Document> {
        let mut carried: BTreeMap<String, Document> =
            self.inline_brakes().map(|(name, it)| (name.to_owned(), it.clone())).collect();
        for (arn, document) in self.attached_brakes() {
            let name = arn.rsplit('/').next().unwrap_or(arn);
            let is_free = name != POLICY_NAME && !carried.contains_key(name);
            let name = if is_free { name.to_owned() } else { told_apart(name, arn) };
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

/// The steps that give a role the brakes that it does not have. One that has the name of another brake
/// gets a name of its own: neither takes the other's place.
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
        let name = if is_taken { told_apart(name, &document.to_json()) } else { name.clone() };
        (name, document.clone())
    });
    named.collect()
}

pub(super) fn steps(put: &BTreeMap<String, Document>) -> impl Iterator<Item = Step> {
    put.iter()
        .map(|(name, document)| Step::PutPolicy { name: name.clone(), document: document.clone() })
}

/// A name that tells `of` apart from others of the same name.
fn told_apart(name: &str, of: &str) -> String {
    let digest: String =
        Sha256::digest(of).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let kept: String = name.chars().take(MAX_NAME_CHARS - 1 - digest.len()).collect();
    format!("{kept}-{digest}")
}
