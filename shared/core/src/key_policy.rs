//! Judges whether a KMS key's policy lets a role read encrypted objects through S3.
//!
//! This module judges one document against one request: `kms:Decrypt`, by a role, sent by S3. It doesn't look
//! at identity policies, permissions boundaries, grants or the organisation's policies. It never treats
//! something that it doesn't understand as an allowance or a denial.

use std::collections::BTreeSet;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::arn::{RoleArn, is_account};
use crate::partition::dns_suffix;
use crate::policy::{Document, Statement, literal};

const ACTION: &str = "kms:Decrypt";

/// The elements that a statement of a key policy can have.
const ELEMENTS: [&str; 9] = [
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

/// What a key policy says about the role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The policy admits this grantee. The role's own policy must allow the call too.
    Admitted(Grantee),
    /// A statement denies the call, so a further statement that allows it wouldn't help. Holds the statement's
    /// Sid, or its position if it has none.
    Denied(String),
    /// No statement allows the call. A grant on the key still may.
    NotAdmitted,
    /// The result depends on something that this module doesn't understand. Holds the reasons, a line for each
    /// statement.
    CannotTell(Vec<String>),
}

/// Whom a statement names. The role is always one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grantee {
    /// The role's account, which leaves the decision to its identity policies.
    Account,
    /// The role itself. KMS stores it as the role's unique ID, so a role that is deleted and created again is
    /// no longer admitted.
    Role,
    /// Everybody, within the statement's conditions.
    Anyone,
}

/// Whether a part of a statement matches the request. The error says what isn't understood.
type Fit = Result<bool, String>;

/// The request that statements are matched against.
struct Request<'a> {
    role: &'a RoleArn<'a>,
    role_arn: String,
    key_arn: &'a str,
    /// The values that `kms:ViaService` can have: a single one if the names in the partition are known.
    via: Vec<String>,
}

/// Judges `policy`, the JSON of the key policy of `key_arn`, for a role that decrypts through S3.
///
/// Follows "Policy evaluation logic" in the IAM manual and "Key policies in AWS KMS" in the KMS manual: a
/// statement that denies takes precedence, the account as principal leaves the decision to identity policies,
/// the resource `*` is the key, and a statement without a resource has no effect. It understands conditions
/// on `kms:ViaService`, `kms:CallerAccount`, `aws:PrincipalAccount` and `aws:PrincipalArn` that compare text
/// or ARNs.
pub fn admits(policy: &str, key_arn: &str, role: &RoleArn<'_>) -> Verdict {
    let Some(document) = Document::parse(policy) else {
        return Verdict::CannotTell(vec!["the policy isn't a JSON object".to_owned()]);
    };
    let request = Request::new(role, key_arn);
    let mut grantee: Option<Grantee> = None;
    let mut unclear = Vec::new();
    let mut is_deny_unclear = false;
    let statements = document.value()["Statement"].as_array().map_or(&[][..], Vec::as_slice);
    for (index, statement) in statements.iter().enumerate() {
        let label = match statement["Sid"].as_str() {
            Some(sid) if !sid.is_empty() => sid.to_owned(),
            _ => format!("number {}", index + 1),
        };
        let effect = statement["Effect"].as_str();
        match (effect, request.fits(statement)) {
            (_, Ok(None)) => {}
            (Some("Deny"), Ok(Some(_))) => return Verdict::Denied(label),
            (Some("Allow"), Ok(Some(found))) => {
                grantee = Some(grantee.map_or(found, |best| best.min(found)));
            }
            (Some("Allow"), Err(why)) => unclear.push(format!("statement `{label}`: {why}")),
            (Some("Deny"), Err(why)) => {
                is_deny_unclear = true;
                unclear.push(format!("statement `{label}`, which denies: {why}"));
            }
            _ => {
                is_deny_unclear = true;
                unclear.push(format!("statement `{label}`: its effect is unknown"));
            }
        }
    }
    match grantee {
        Some(grantee) if !is_deny_unclear => Verdict::Admitted(grantee),
        None if unclear.is_empty() => Verdict::NotAdmitted,
        _ => Verdict::CannotTell(unclear),
    }
}

/// Returns the statement to add to a key policy that doesn't admit the role: one object for its `Statement`
/// list.
///
/// The principal is the account, and a condition names the role. If the role were the principal, KMS would
/// store its unique ID, which breaks when the role is created again, and would refuse a role that doesn't
/// exist yet. The role's own policy must allow the call too.
pub fn statement(role: &RoleArn<'_>) -> Value {
    let RoleArn { partition, account, .. } = role;
    let arn = arn_of(role);
    let digest = Sha256::digest(&arn);
    // A Sid must be unique in a policy, and one policy may get statements for several roles.
    let sid = digest
        .iter()
        .take(4)
        .fold("LandfallReader".to_owned(), |sid, byte| format!("{sid}{byte:02x}"));
    let statement = Statement::allow(&sid, [ACTION])
        .by("AWS", &format!("arn:{partition}:iam::{account}:root"))
        .on(["*".to_owned()])
        .when("ArnEquals", "aws:PrincipalArn", [literal(&arn)])
        // AWS sets the value, `s3.region.suffix`. The suffix differs between partitions.
        .when("StringLike", "kms:ViaService", ["s3.*".to_owned()]);
    Document::new([statement]).value()["Statement"][0].clone()
}

fn arn_of(role: &RoleArn<'_>) -> String {
    let RoleArn { partition, account, name } = role;
    format!("arn:{partition}:iam::{account}:role/{name}")
}

impl<'a> Request<'a> {
    fn new(role: &'a RoleArn<'a>, key_arn: &'a str) -> Self {
        // S3 encrypts objects with keys of their bucket's region.
        let region = key_arn.split(':').nth(3).unwrap_or_default();
        let suffixes = [Some("amazonaws.com"), dns_suffix(role.partition)];
        let suffixes: BTreeSet<&str> = suffixes.into_iter().flatten().collect();
        let via = suffixes.iter().map(|suffix| format!("s3.{region}.{suffix}")).collect();
        Self { role, role_arn: arn_of(role), key_arn, via }
    }

    /// Returns whom the statement names, or `None` if the statement doesn't apply to the request.
    fn fits(&self, statement: &Value) -> Result<Option<Grantee>, String> {
        let Some(elements) = statement.as_object() else {
            return Err("it isn't a JSON object".to_owned());
        };
        let principal = self.principal(statement);
        let grantee = principal.as_ref().ok().copied().flatten();
        let known = match elements.keys().find(|name| !ELEMENTS.contains(&name.as_str())) {
            Some(name) => Err(format!("element `{name}` is unknown")),
            None => Ok(true),
        };
        let parts = [
            principal.map(|grantee| grantee.is_some()),
            action(statement),
            self.resource(statement),
            self.conditions(statement),
            known,
        ];
        Ok(all(parts)?.then_some(grantee).flatten())
    }

    fn principal(&self, statement: &Value) -> Result<Option<Grantee>, String> {
        let kinds = match (&statement["Principal"], &statement["NotPrincipal"]) {
            (Value::String(text), Value::Null) if text == "*" => return Ok(Some(Grantee::Anyone)),
            (Value::Object(kinds), Value::Null) => kinds,
            (_, Value::Null) => return Err("its principal is not understood".to_owned()),
            _ => return Err("`NotPrincipal` is not understood".to_owned()),
        };
        let mut best: Option<Grantee> = None;
        let mut unclear = None;
        for (kind, names) in kinds {
            match kind.as_str() {
                "AWS" => {}
                // S3 calls KMS on behalf of whoever called S3, so the caller is never a service.
                "Service" | "Federated" | "CanonicalUser" => continue,
                other => {
                    unclear = Some(format!("principals of kind `{other}` are not understood"));
                    continue;
                }
            }
            for name in texts(names) {
                match self.grantee(name) {
                    Ok(found) => best = best.into_iter().chain(found).min(),
                    Err(why) => unclear = Some(why),
                }
            }
        }
        match (best, unclear) {
            (None, Some(why)) => Err(why),
            (best, _) => Ok(best),
        }
    }

    /// Returns which grantee a principal of kind `AWS` stands for, or `None` if it isn't the role.
    fn grantee(&self, name: &str) -> Result<Option<Grantee>, String> {
        let RoleArn { partition, account, name: role } = self.role;
        let simple = role.rsplit('/').next().unwrap_or_default();
        let session = format!("arn:{partition}:sts::{account}:assumed-role/{simple}/");
        if name == "*" {
            Ok(Some(Grantee::Anyone))
        } else if name.contains(['*', '?']) {
            Err(format!("principal `{name}` is a pattern"))
        } else if name.starts_with(&session) {
            Err(format!("principal `{name}` is one session of the role"))
        } else if name == self.role_arn {
            Ok(Some(Grantee::Role))
        } else if name == format!("arn:{partition}:iam::{account}:root")
            || (is_account(name) && name == *account)
        {
            Ok(Some(Grantee::Account))
        } else {
            Ok(None)
        }
    }

    fn resource(&self, statement: &Value) -> Fit {
        if !statement["NotResource"].is_null() {
            return Err("`NotResource` is not understood".to_owned());
        }
        any(texts(&statement["Resource"]).map(|resource| {
            if resource == "*" || resource == self.key_arn {
                return Ok(true);
            }
            let is_pattern = resource.contains("${") || is_like(resource, self.key_arn);
            if is_pattern { Err(format!("resource `{resource}` is a pattern")) } else { Ok(false) }
        }))
    }

    fn conditions(&self, statement: &Value) -> Fit {
        let operators = match &statement["Condition"] {
            Value::Null => return Ok(true),
            Value::Object(operators) => operators,
            _ => return Err("its condition is not understood".to_owned()),
        };
        all(operators.iter().map(|(operator, keys)| match keys {
            Value::Object(keys) => {
                all(keys.iter().map(|(key, values)| self.condition(operator, key, values)))
            }
            _ => Err(format!("condition `{operator}` is not understood")),
        }))
    }

    fn condition(&self, operator: &str, key: &str, values: &Value) -> Fit {
        let unclear = || Err(format!("condition `{operator}` on `{key}` is not understood"));
        // The names of condition keys are case-insensitive. Every request through S3 has all of these keys.
        let actual = match key.to_ascii_lowercase().as_str() {
            "kms:viaservice" => self.via.clone(),
            "kms:calleraccount" | "aws:principalaccount" => vec![self.role.account.to_owned()],
            "aws:principalarn" => vec![self.role_arn.clone()],
            _ => return unclear(),
        };
        let always = operator.strip_suffix("IfExists").unwrap_or(operator);
        let positive = always.replacen("Not", "", 1);
        let compare: fn(&str, &str) -> bool = match positive.as_str() {
            "StringEquals" => |expected, actual| expected == actual,
            "StringEqualsIgnoreCase" => |expected, actual| expected.eq_ignore_ascii_case(actual),
            "StringLike" => is_like,
            "ArnEquals" | "ArnLike" if actual[0].starts_with("arn:") => is_like_arn,
            _ => return unclear(),
        };
        let expected: Vec<&str> = texts(values).collect();
        if expected.is_empty() || expected.iter().any(|value| value.contains("${")) {
            return unclear();
        }
        let holds = |actual: &String| {
            expected.iter().any(|expected| compare(expected, actual)) != (positive != always)
        };
        match (actual.iter().any(holds), actual.iter().all(holds)) {
            (one, every) if one == every => Ok(one),
            _ => unclear(),
        }
    }
}

fn action(statement: &Value) -> Fit {
    let hit = |pattern: &str| {
        if !is_like(&pattern.to_ascii_lowercase(), &ACTION.to_ascii_lowercase()) {
            return Ok(false);
        }
        let is_of_kms = pattern.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("kms:"));
        if pattern == "*" || is_of_kms {
            Ok(true)
        } else {
            Err(format!("action `{pattern}` is not understood"))
        }
    };
    match (&statement["Action"], &statement["NotAction"]) {
        (Value::Array(_), Value::Null) => any(texts(&statement["Action"]).map(hit)),
        (Value::Null, Value::Array(_)) => {
            any(texts(&statement["NotAction"]).map(hit)).map(|is_excepted| !is_excepted)
        }
        _ => Err("its actions are not understood".to_owned()),
    }
}

/// Returns the strings in a list.
pub(crate) fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Returns whether all parts match. A part that doesn't match decides, even if others are unclear.
fn all(parts: impl IntoIterator<Item = Fit>) -> Fit {
    any(parts.into_iter().map(|part| part.map(|fits| !fits))).map(|fails| !fails)
}

/// Returns whether any part matches. A part that matches decides, even if others are unclear.
fn any(parts: impl IntoIterator<Item = Fit>) -> Fit {
    let mut unclear = None;
    for part in parts {
        match part {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(why) => unclear = unclear.or(Some(why)),
        }
    }
    unclear.map_or(Ok(false), Err)
}

/// Returns `true` if `pattern` matches `text`: `*` stands for any text, `?` for one character.
pub(crate) fn is_like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // The position of the last `*`, and how far into the text it reaches.
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, reach)) => {
                    star = Some((at, reach + 1));
                    (p, t) = (at + 1, reach + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Returns `true` if `pattern` matches `arn`. Compares each of the six parts of the ARNs separately.
pub(crate) fn is_like_arn(pattern: &str, arn: &str) -> bool {
    let (pattern, arn): (Vec<&str>, Vec<&str>) =
        (pattern.splitn(6, ':').collect(), arn.splitn(6, ':').collect());
    pattern.len() == 6 && arn.len() == 6 && pattern.iter().zip(&arn).all(|(p, a)| is_like(p, a))
}

#[cfg(test)]
mod tests;
