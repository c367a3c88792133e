//! Whether a KMS key's policy admits a role that reads encrypted objects through S3.
//!
//! Owns the judgement of one document against one request: `kms:Decrypt`, by a role, asked for by S3.
//! Identity policies, boundaries, grants and the organisation's policies are not looked at. What is not
//! understood is never taken for an admission or a refusal.

use std::collections::BTreeSet;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::arn::{RoleArn, is_account};
use crate::partition::dns_suffix;
use crate::policy::{Document, Statement, literal};

const ACTION: &str = "kms:Decrypt";

/// What a statement of a key policy can hold.
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

/// What a key policy says of the role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It admits this; the role's own policy must allow the call too.
    Admitted(Grantee),
    /// This statement denies it, by its Sid or its place: another that allows would not help.
    Denied(String),
    /// No statement allows it. A grant of the key still may.
    NotAdmitted,
    /// It depends on what is not understood here: why, a line for each statement.
    CannotTell(Vec<String>),
}

/// Whom a statement names, the role being one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grantee {
    /// The role's account, which leaves it to its identity policies.
    Account,
    /// The role itself. It is stored as the role's unique id: recreated, the role is admitted no more.
    Role,
    /// Everybody, within the statement's conditions.
    Anyone,
}

/// Whether a part of a statement fits the request; the error says what is not understood.
type Fit = Result<bool, String>;

/// What is asked for.
struct Request<'a> {
    role: &'a RoleArn<'a>,
    role_arn: String,
    key_arn: &'a str,
    /// What `kms:ViaService` can be: one, where the partition's names are known.
    via: Vec<String>,
}

/// Judges `policy`, the JSON of the key policy of `key_arn`, for a role that decrypts through S3.
///
/// Follows "Policy evaluation logic" of IAM's and "Key policies in AWS KMS" of KMS's manual: a
/// statement that denies comes first, the account as principal leaves it to identity policies, the
/// resource `*` is the key, and a statement without a resource has no effect. Understood conditions
/// are those on `kms:ViaService`, `kms:CallerAccount`, `aws:PrincipalAccount` and `aws:PrincipalArn`
/// that compare text or ARNs.
pub fn admits(policy: &str, key_arn: &str, role: &RoleArn<'_>) -> Verdict {
    let Some(document) = Document::parse(policy) else {
        return Verdict::CannotTell(vec!["the policy is no JSON object".to_owned()]);
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
                unclear.push(format!("statement `{label}`: its effect is not known"));
            }
        }
    }
    match grantee {
        Some(grantee) if !is_deny_unclear => Verdict::Admitted(grantee),
        None if unclear.is_empty() => Verdict::NotAdmitted,
        _ => Verdict::CannotTell(unclear),
    }
}

/// The statement to add to a key policy that does not admit the role: one object of its `Statement`
/// list.
///
/// The principal is the account, the role stands in a condition: as a principal it would be stored as
/// its unique id, which breaks when the role is recreated, and one that does not exist yet would be
/// refused. What it admits, the role's own policy must allow too.
pub fn statement(role: &RoleArn<'_>) -> Value {
    let RoleArn { partition, account, .. } = role;
    let arn = arn_of(role);
    let digest = Sha256::digest(&arn);
    // A Sid is unique in a policy, and several roles may be added to one.
    let sid = digest
        .iter()
        .take(4)
        .fold("LandfallReader".to_owned(), |sid, byte| format!("{sid}{byte:02x}"));
    let statement = Statement::allow(&sid, [ACTION])
        .by("AWS", &format!("arn:{partition}:iam::{account}:root"))
        .on(["*".to_owned()])
        .when("ArnEquals", "aws:PrincipalArn", [literal(&arn)])
        // AWS sets the value, `s3.region.suffix`; the suffix differs between partitions.
        .when("StringLike", "kms:ViaService", ["s3.*".to_owned()]);
    Document::new([statement]).value()["Statement"][0].clone()
}

fn arn_of(role: &RoleArn<'_>) -> String {
    let RoleArn { partition, account, name } = role;
    format!("arn:{partition}:iam::{account}:role/{name}")
}

impl<'a> Request<'a> {
    fn new(role: &'a RoleArn<'a>, key_arn: &'a str) -> Self {
        // Objects are encrypted with keys of their bucket's region.
        let region = key_arn.split(':').nth(3).unwrap_or_default();
        let suffixes = [Some("amazonaws.com"), dns_suffix(role.partition)];
        let suffixes: BTreeSet<&str> = suffixes.into_iter().flatten().collect();
        let via = suffixes.iter().map(|suffix| format!("s3.{region}.{suffix}")).collect();
        Self { role, role_arn: arn_of(role), key_arn, via }
    }

    /// Whom the statement names, if it is about the request.
    fn fits(&self, statement: &Value) -> Result<Option<Grantee>, String> {
        let Some(elements) = statement.as_object() else {
            return Err("it is no JSON object".to_owned());
        };
        let principal = self.principal(statement);
        let grantee = principal.as_ref().ok().copied().flatten();
        let known = match elements.keys().find(|name| !ELEMENTS.contains(&name.as_str())) {
            Some(name) => Err(format!("element `{name}` is not known")),
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
                // S3 asks in the name of who called it.
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

    /// A principal of kind `AWS`.
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
        // Names of keys have no case. All these are there in every request by way of S3.
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
        match pattern == "*" || is_of_kms {
            true => Ok(true),
            false => Err(format!("action `{pattern}` is not understood")),
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

/// The texts of a list.
fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// One that does not fit decides, whatever is unclear beside it.
fn all(parts: impl IntoIterator<Item = Fit>) -> Fit {
    any(parts.into_iter().map(|part| part.map(|fits| !fits))).map(|fails| !fails)
}

/// One that fits decides, whatever is unclear beside it.
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

/// Whether `*` and `?` in `pattern` can be filled in to make `text`.
fn is_like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // The last `*`, and the text's place that it reaches to.
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

/// The same for ARNs, of which each of the six parts is compared by itself.
fn is_like_arn(pattern: &str, arn: &str) -> bool {
    let (pattern, arn): (Vec<&str>, Vec<&str>) =
        (pattern.splitn(6, ':').collect(), arn.splitn(6, ':').collect());
    pattern.len() == 6 && arn.len() == 6 && pattern.iter().zip(&arn).all(|(p, a)| is_like(p, a))
}

#[cfg(test)]
mod tests;
