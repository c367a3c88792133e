//! Landfall's part of a bucket's policy, next to the statements of other owners: the statements that let job roles read
//! what their routes take, without the reader role.
//!
//! S3 keeps one policy per bucket, and a put replaces all of it. So Landfall puts back what it read, with only its own
//! statements exchanged: [`merge`] and [`without`] compute that policy and leave every other statement as it is, to the
//! byte. A statement is ours if its Sid says so and it has the form that ours have.
//!
//! This module doesn't read or write policies. It never touches the policy of a KMS key.

mod compare;
mod conflict;
mod document;
mod plan;
mod spec;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub use compare::{Comparison, compare};
pub use conflict::{Conflict, DeletedPrincipal};
pub use document::{Policy, is_same};
pub use plan::{Effect, Look, Plan, plan};
pub use spec::{Spec, json_schema};

use crate::arn::is_account;
use crate::policy::canonical_statement;

/// The maximum size of a bucket's policy, in bytes. This is a quota of S3 that can't be raised.
pub const MAX_BYTES: usize = 20 * 1024;

/// What a Sid begins with. The owner's token and eight hexadecimal digits follow. A Sid has letters and digits only.
const SID: &str = "LandfallAccess";

/// The key of the condition that names the job roles.
const PRINCIPAL_ARN: &str = "aws:PrincipalArn";

/// The actions of our two statements: on objects, and on the bucket.
pub(crate) const READ: [&str; 2] = ["s3:GetObject", "s3:GetObjectVersion"];
pub(crate) const LIST: [&str; 2] = ["s3:ListBucket", "s3:ListBucketVersions"];

/// The statements that a bucket's policy should have from Landfall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The token that marks statements as ours: a few ASCII letters and digits. It must stay the same for as long as we
    /// own the statements. Statements of any other owner are foreign.
    pub owner: String,
    /// The statements, in canonical form. There is at least one.
    pub statements: Vec<Value>,
}

/// Whose a statement is.
enum Whose {
    Ours,
    /// The Sid is one of ours, but the rest isn't. Holds the Sid.
    Disputed(String),
    Foreign,
}

/// Returns the Sid of a statement of ours. `about` tells the statements of one owner and bucket apart.
fn own_sid(owner: &str, about: &str) -> String {
    let hash = Sha256::digest(about);
    format!("{SID}{owner}{:02x}{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2], hash[3])
}

fn whose(statement: &Value, owner: &str) -> Whose {
    let sid = statement["Sid"].as_str().unwrap_or_default();
    let Some(rest) = sid.strip_prefix(SID).and_then(|rest| rest.strip_prefix(owner)) else {
        return Whose::Foreign;
    };
    let is_hash = rest.len() == 8 && rest.bytes().all(|b| b.is_ascii_hexdigit());
    if is_hash && has_our_form(statement) { Whose::Ours } else { Whose::Disputed(sid.to_owned()) }
}

/// Returns `true` if a statement has the form of ours, whichever roles and keys it names. Somebody who edits one of
/// our statements, for example to add another principal, gets it refused instead of overwritten.
fn has_our_form(statement: &Value) -> bool {
    let statement = canonical_statement(statement.clone());
    let Some(elements) = statement.as_object() else { return false };
    let names: Vec<&str> = elements.keys().map(String::as_str).collect();
    let is_known = |(operator, keys): (&String, &Value)| {
        let known = match operator.as_str() {
            "ArnEquals" => PRINCIPAL_ARN,
            "Bool" => "aws:SecureTransport",
            "StringLike" => "s3:prefix",
            _ => return false,
        };
        keys.as_object().is_some_and(|keys| keys.len() == 1 && keys.contains_key(known))
    };
    let condition = statement["Condition"].as_object();
    let principals = statement["Principal"].as_object();
    names == ["Action", "Condition", "Effect", "Principal", "Resource", "Sid"]
        && statement["Effect"] == "Allow"
        && (statement["Action"] == json!(READ) || statement["Action"] == json!(LIST))
        && condition.is_some_and(|it| it.contains_key("ArnEquals") && it.iter().all(is_known))
        && principals.is_some_and(|it| it.len() == 1)
        && account_of(&statement).is_some()
}

/// Returns the account that a statement of ours admits. S3 returns it as the ARN of its root.
fn account_of(statement: &Value) -> Option<&str> {
    let [principal] = statement["Principal"]["AWS"].as_array()?.as_slice() else { return None };
    let principal = principal.as_str()?;
    let account = match principal.strip_suffix(":root") {
        Some(arn) => arn.rsplit(':').next()?,
        None => principal,
    };
    is_account(account).then_some(account)
}

impl Policy {
    /// Returns the accounts that statements of `owner` admit. If there are none, there is no such statement.
    pub fn accounts_of(&self, owner: &str) -> Vec<String> {
        let ours = self.values().filter(|value| matches!(whose(value, owner), Whose::Ours));
        let ours: Vec<Value> = ours.map(canonical_statement).collect();
        ours.iter().filter_map(account_of).map(str::to_owned).collect()
    }
}

/// Returns the policy without the statements of `owner`, and how many there were.
///
/// # Errors
/// Returns a [`Conflict`] if a statement has a Sid of ours but not our form.
fn apart(current: &Policy, owner: &str) -> Result<(Policy, Vec<Value>), Conflict> {
    let mut ours = Vec::new();
    let mut disputed = Vec::new();
    let rest = current.retain(|value| match whose(value, owner) {
        Whose::Foreign => true,
        Whose::Ours => {
            ours.push(canonical_statement(value.clone()));
            false
        }
        Whose::Disputed(sid) => {
            disputed.push(sid);
            true
        }
    });
    if disputed.is_empty() { Ok((rest, ours)) } else { Err(Conflict::NotOurForm(disputed)) }
}

/// Returns the policy to put so that the bucket has what `desired` says, or `None` if it already does. `current` is
/// `None` if the bucket has no policy.
///
/// Removes our statements and appends the desired ones. Statements of other owners keep their text and their order.
///
/// # Errors
/// Returns a [`Conflict`] if what is there can't be kept, or S3 would refuse the result.
pub fn merge(current: Option<&Policy>, desired: &Desired) -> Result<Option<Policy>, Conflict> {
    let nothing = Policy::new();
    let (mut rest, mut ours) = apart(current.unwrap_or(&nothing), &desired.owner)?;
    let mut wanted = desired.statements.clone();
    for statements in [&mut ours, &mut wanted] {
        statements.sort_by_cached_key(Value::to_string);
    }
    if ours == wanted {
        return Ok(None);
    }
    let is_with_variable = desired.statements.iter().any(|it| it.to_string().contains("${"));
    if is_with_variable && !rest.knows_variables() {
        return Err(Conflict::OldVersion);
    }
    conflict::check(&rest)?;
    let before = rest.to_text().len();
    rest.append(&desired.statements);
    let bytes = rest.to_text().len();
    if bytes > MAX_BYTES {
        return Err(Conflict::TooLarge { bytes, ours: bytes - before });
    }
    Ok(Some(rest))
}

/// Returns `true` if the policy has no statement of `owner`. Putting the desired ones then only adds to it.
pub fn is_gone(current: Option<&Policy>, owner: &str) -> bool {
    current.is_none_or(|policy| policy.accounts_of(owner).is_empty())
}

/// Returns what to put so that no statement of `owner` is left: `None` if there is no such statement, `Some(None)` if
/// the policy has no other statement and is to be deleted.
///
/// # Errors
/// Returns a [`Conflict`] if a statement can't be told from ours, or S3 would refuse what is left.
pub fn without(current: Option<&Policy>, owner: &str) -> Result<Option<Option<Policy>>, Conflict> {
    let Some(current) = current else { return Ok(None) };
    let (rest, ours) = apart(current, owner)?;
    if ours.is_empty() {
        return Ok(None);
    }
    if rest.is_empty() {
        return Ok(Some(None));
    }
    conflict::check(&rest)?;
    Ok(Some(Some(rest)))
}

#[cfg(test)]
mod tests;
