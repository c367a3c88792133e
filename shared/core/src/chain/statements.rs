//! What the statements of a resource's policy mean for the chain.
//!
//! This isn't an evaluation of IAM's policies. It finds out whether a service may send to a queue, which statements
//! can deny a call to somebody of another account, and which names in a policy have lost their meaning.

use serde_json::Value;

use crate::key_policy::{is_like, is_like_arn, texts};
use crate::policy::Document;

/// The beginnings of the unique IDs of roles, users and groups.
const UNIQUE_IDS: [&str; 3] = ["AROA", "AIDA", "AGPA"];

/// A request of a service that acts for a resource, such as S3 for a bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender<'a> {
    /// The service, such as `s3.amazonaws.com`.
    pub(super) service: &'a str,
    /// The ARN of the resource.
    pub(super) source: &'a str,
    /// The account of the resource.
    pub(super) account: &'a str,
}

/// Whether a policy admits a request. The order is that of certainty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Admission {
    No,
    /// A statement has a condition that isn't understood.
    Maybe,
    Yes,
}

/// Returns whether the policy lets the service send to the queue.
pub(super) fn lets_send(policy: &Document, queue: &str, sender: Sender<'_>) -> Admission {
    let is_it = |statement: &&Value| {
        allows_sending(statement, queue) && is_principal(statement, "Service", sender.service)
    };
    let admissions = statements(policy).filter(is_it).map(|statement| meets(statement, sender));
    admissions.max().unwrap_or(Admission::No)
}

/// Returns whether the policy lets somebody of the account send to the queue, such as the role of a rule.
pub(super) fn lets_account_send(policy: &Document, queue: &str, account: &str) -> bool {
    statements(policy).any(|statement| {
        allows_sending(statement, queue)
            && (is_principal(statement, "Service", "events.amazonaws.com")
                || texts(&statement["Principal"]["AWS"]).any(|name| is_of(name, account)))
    })
}

/// Returns whether the policy of a VPC's endpoint lets everybody make this call on the objects of the bucket.
pub(super) fn endpoint_admits(policy: &Document, action: &str, bucket: &str) -> Admission {
    let is_about = |statement: &&Value| {
        let is_bucket = |pattern: &str| {
            let of_s3 = pattern.strip_prefix("arn:").and_then(|rest| rest.split_once(":s3:::"));
            is_like(of_s3.map_or(pattern, |(_, name)| name), &format!("{bucket}/key"))
        };
        let is_action =
            !statement["NotAction"].is_null() || is_like_any(&statement["Action"], action);
        is_action
            && (!statement["NotResource"].is_null() || texts(&statement["Resource"]).any(is_bucket))
    };
    let is_plain = |statement: &Value| {
        let negations = ["NotAction", "NotResource", "NotPrincipal"];
        is_principal(statement, "AWS", "*")
            && conditions_of(statement).next().is_none()
            && negations.iter().all(|it| statement[it].is_null())
    };
    let (mut allowed, mut denied) = (Admission::No, false);
    for statement in statements(policy).filter(is_about) {
        match (statement["Effect"] == "Allow", is_plain(statement)) {
            (true, true) => allowed = Admission::Yes,
            (true, false) => allowed = allowed.max(Admission::Maybe),
            (false, true) => return Admission::No,
            (false, false) => denied |= !is_harmless(statement),
        }
    }
    if denied { allowed.min(Admission::Maybe) } else { allowed }
}

fn allows_sending(statement: &Value, queue: &str) -> bool {
    let resources = &statement["Resource"];
    statement["Effect"] == "Allow"
        && is_like_any(&statement["Action"], "sqs:SendMessage")
        && (resources.is_null() || texts(resources).any(|resource| is_like(resource, queue)))
}

/// Returns the statements that can deny one of `actions` to the account or to everybody: each by its Sid, with its
/// condition. Leaves out those that only deny what Landfall never does, such as requests without TLS.
pub(super) fn denials(policy: &Document, actions: &[&str], account: &str) -> Vec<(String, String)> {
    let hits = |(_, statement): &(usize, &Value)| {
        let is_denied = |action: &&str| match &statement["NotAction"] {
            Value::Null => is_like_any(&statement["Action"], action),
            excepted => !is_like_any(excepted, action),
        };
        let is_named = statement["Principal"] == "*"
            || !statement["NotPrincipal"].is_null()
            || texts(&statement["Principal"]["AWS"]).any(|it| it == "*" || is_of(it, account));
        statement["Effect"] == "Deny"
            && actions.iter().any(is_denied)
            && is_named
            && !is_harmless(statement)
    };
    let all = statements(policy).enumerate().filter(hits);
    all.map(|(index, statement)| (label(index, statement), why(statement))).collect()
}

/// Returns the unique IDs that stand for principals or in conditions on them: whoever had them is gone, unless the ID is
/// one of `living`.
pub(super) fn unique_ids(policy: &Document, living: &[&str]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for statement in statements(policy) {
        let principals = [&statement["Principal"]["AWS"], &statement["NotPrincipal"]["AWS"]];
        let names = principals.into_iter().flat_map(texts).map(str::to_owned);
        found.extend(names.filter(|name| is_unique_id(name) && !living.contains(&name.as_str())));
    }
    found.sort();
    found.dedup();
    found
}

/// Returns `true` if a statement of the trust policy admits the role: by its name as principal or in a condition on
/// `aws:PrincipalArn`, or by its account without such a condition. Without a path, the role's name is enough.
pub(super) fn admits_role(trust: &Document, role: &str) -> bool {
    let is_role = |name: &str| {
        is_like_arn(name, role)
            || (!role.starts_with("arn:") && name.rsplit('/').next() == Some(role))
    };
    statements(trust).filter(|statement| statement["Effect"] == "Allow").any(|statement| {
        let mut of_arn = conditions_of(statement)
            .filter(|(_, key, _)| key.eq_ignore_ascii_case("aws:PrincipalArn"))
            .peekable();
        let account = role.split(':').nth(4).unwrap_or_default();
        let is_account =
            |name: &str| name == account || name.ends_with(&format!("::{account}:root"));
        let is_plain = of_arn.peek().is_none();
        let mut principals = texts(&statement["Principal"]["AWS"]);
        of_arn.flat_map(|(_, _, values)| texts(values)).any(is_role)
            || principals.any(|name| is_role(name) || (is_plain && is_account(name)))
    })
}

/// Returns the conditions of a statement: operator, key and values.
fn conditions_of(statement: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let operators = statement["Condition"].as_object().into_iter().flatten();
    operators.flat_map(|(operator, keys)| {
        let keys = keys.as_object().into_iter().flatten();
        keys.map(move |(key, values)| (operator.as_str(), key.as_str(), values))
    })
}

fn statements(policy: &Document) -> impl Iterator<Item = &Value> {
    policy.value()["Statement"].as_array().into_iter().flatten()
}

/// Returns `true` if one of the patterns matches the action. IAM ignores the case of actions.
fn is_like_any(patterns: &Value, action: &str) -> bool {
    let action = action.to_ascii_lowercase();
    texts(patterns).any(|pattern| is_like(&pattern.to_ascii_lowercase(), &action))
}

fn is_principal(statement: &Value, kind: &str, wanted: &str) -> bool {
    let principal = &statement["Principal"];
    *principal == "*"
        || texts(&principal["AWS"]).any(|name| name == "*")
        || texts(&principal[kind]).any(|name| name == wanted)
}

/// Returns `true` if the principal is the account or somebody of it.
fn is_of(principal: &str, account: &str) -> bool {
    principal == account || principal.split(':').nth(4) == Some(account)
}

/// Returns whether the request meets all conditions of the statement.
fn meets(statement: &Value, sender: Sender<'_>) -> Admission {
    let each = conditions_of(statement);
    let each = each.map(|(operator, key, values)| condition(operator, key, values, sender));
    each.min().unwrap_or(Admission::Yes)
}

fn condition(operator: &str, key: &str, values: &Value, sender: Sender<'_>) -> Admission {
    let Sender { source, account, .. } = sender;
    let actual = match key.to_ascii_lowercase().as_str() {
        "aws:sourcearn" => source,
        "aws:sourceaccount" => account,
        "aws:securetransport" => "true",
        _ => return Admission::Maybe,
    };
    let compare: fn(&str, &str) -> bool = match operator.trim_end_matches("IfExists") {
        "StringEquals" | "Bool" => |expected, actual| expected == actual,
        "StringLike" => is_like,
        // S3's ARNs have no account, and `arn:*:s3:::b` leaves the partition open.
        "ArnEquals" | "ArnLike" => is_like_arn,
        _ => return Admission::Maybe,
    };
    if texts(values).any(|expected| compare(expected, actual)) {
        Admission::Yes
    } else {
        Admission::No
    }
}

/// Returns `true` if the statement only denies requests without TLS, or with an old version of it.
fn is_harmless(statement: &Value) -> bool {
    conditions_of(statement).any(|(operator, key, values)| {
        match key.to_ascii_lowercase().as_str() {
            "aws:securetransport" => texts(values).all(|value| value == "false"),
            "s3:tlsversion" => operator.starts_with("NumericLessThan"),
            _ => false,
        }
    })
}

fn label(index: usize, statement: &Value) -> String {
    match statement["Sid"].as_str() {
        Some(sid) if !sid.is_empty() => sid.to_owned(),
        _ => format!("number {}", index + 1),
    }
}

/// Describes whom the statement hits, and when.
fn why(statement: &Value) -> String {
    let whom = match &statement["NotPrincipal"] {
        Value::Null => "",
        _ => "everybody except some principals",
    };
    let when = conditions_of(statement).map(|(operator, key, _)| format!("{operator} {key}"));
    let when: Vec<String> = when.collect();
    match (whom, when.is_empty()) {
        ("", true) => "always".to_owned(),
        (whom, true) => whom.to_owned(),
        ("", false) => format!("if {}", when.join(" and ")),
        (whom, false) => format!("{whom}, if {}", when.join(" and ")),
    }
}

fn is_unique_id(name: &str) -> bool {
    UNIQUE_IDS.iter().any(|start| name.starts_with(start))
        && name.len() >= 16
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn policy(statements: &str) -> Document {
        Document::parse(&format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#))
            .expect("JSON")
    }

    const QUEUE: &str = "arn:aws:sqs:eu-west-1:111111111111:landfall-arrivals";

    fn sends(statement: &str) -> Admission {
        let s3 = Sender {
            service: "s3.amazonaws.com",
            source: "arn:aws:s3:::acme-landing",
            account: "111111111111",
        };
        lets_send(&policy(statement), QUEUE, s3)
    }

    fn allow(principal: &str, condition: &str) -> String {
        format!(
            r#"{{"Effect":"Allow","Principal":{principal},"Action":"SQS:Send*","Resource":"{QUEUE}",
            "Condition":{condition}}}"#
        )
    }

    #[test]
    fn a_policy_lets_s3_send_if_one_statement_fits_the_bucket_and_its_account() {
        let s3 = r#"{"Service":"s3.amazonaws.com"}"#;
        let of_bucket = r#"{"ArnLike":{"aws:SourceArn":"arn:*:s3:::acme-landing"},
            "StringEquals":{"aws:SourceAccount":"111111111111"}}"#;
        for (statement, expected) in [
            (allow(s3, of_bucket), Admission::Yes),
            (allow(s3, "{}"), Admission::Yes),
            (allow("\"*\"", of_bucket), Admission::Yes),
            (allow(r#"{"Service":"events.amazonaws.com"}"#, of_bucket), Admission::No),
            (allow(s3, &of_bucket.replace("acme-landing", "acme-other")), Admission::No),
            (allow(s3, &of_bucket.replace("1111", "2222")), Admission::No),
            (allow(s3, r#"{"StringEquals":{"aws:SourceOrgID":"o-1"}}"#), Admission::Maybe),
            (allow(s3, of_bucket).replace("arrivals", "runs"), Admission::No),
            (allow(s3, of_bucket).replace("SQS:Send*", "sqs:ReceiveMessage"), Admission::No),
            (allow(s3, of_bucket).replace("Allow", "Deny"), Admission::No),
            (String::new(), Admission::No),
        ] {
            assert_eq!(sends(&statement), expected, "{statement}");
        }
    }

    #[test]
    fn an_endpoint_admits_everybody_only_by_a_statement_without_conditions_and_without_a_denial() {
        let all = r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#;
        let change = |from: &str, to: &str| all.replace(from, to);
        let narrow =
            |resource: &str| change(r#""Resource":"*""#, &format!(r#""Resource":"{resource}""#));
        let deny = |rest: &str| {
            format!(r#"{all},{{"Effect":"Deny","Principal":"*","Action":"s3:*",{rest}}}"#)
        };
        for (statements, expected) in [
            (all.to_owned(), Admission::Yes),
            (narrow("arn:aws:s3:::acme-landing/*"), Admission::Yes),
            (narrow("arn:aws:s3:::acme-*"), Admission::Yes),
            (narrow("arn:aws:s3:::acme-landing"), Admission::No),
            (narrow("arn:aws:s3:::acme-other/*"), Admission::No),
            (change(r#""Action":"*""#, r#""Action":"s3:get*""#), Admission::Yes),
            (change(r#""Action":"*""#, r#""Action":"s3:PutObject""#), Admission::No),
            (change(r#""Action":"*""#, r#""NotAction":"s3:PutObject""#), Admission::Maybe),
            (
                change("}", r#","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}}"#),
                Admission::Maybe,
            ),
            (
                change(r#""Principal":"*""#, r#""Principal":{"AWS":"222222222222"}"#),
                Admission::Maybe,
            ),
            (deny(r#""Resource":"arn:aws:s3:::acme-landing/*""#), Admission::No),
            (deny(r#""NotResource":"arn:aws:s3:::acme-landing/*""#), Admission::Maybe),
            (deny(r#""Resource":"arn:aws:s3:::acme-other/*""#), Admission::Yes),
            (
                deny(r#""Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}"#),
                Admission::Yes,
            ),
            (String::new(), Admission::No),
        ] {
            let found = endpoint_admits(&policy(&statements), "s3:GetObject", "acme-landing");
            assert_eq!(found, expected, "{statements}");
        }
    }

    #[test]
    fn denials_that_can_hit_a_job_are_found_with_their_conditions() {
        let deny = |rest: &str| format!(r#"{{"Effect":"Deny","Resource":"*",{rest}}}"#);
        let all = [
            deny(
                r#""Sid":"Tls","Principal":"*","Action":"s3:*","Condition":{"Bool":{"aws:SecureTransport":"false"}}"#,
            ),
            deny(
                r#""Sid":"OldTls","Principal":"*","Action":"s3:*","Condition":{"NumericLessThan":{"s3:TlsVersion":"1.2"}}"#,
            ),
            deny(
                r#""Sid":"Vpce","Principal":"*","Action":"s3:*","Condition":{"StringNotEquals":{"aws:SourceVpce":"vpce-1"}}"#,
            ),
            deny(
                r#""Sid":"Org","Principal":{"AWS":"*"},"Action":"s3:GetObject*","Condition":{"StringNotEquals":{"aws:PrincipalOrgID":"o-1"}}"#,
            ),
            deny(r#""NotPrincipal":{"AWS":"arn:aws:iam::111111111111:root"},"Action":"s3:*""#),
            deny(r#""Sid":"Put","Principal":"*","Action":"s3:PutObject""#),
            deny(r#""Sid":"Except","Principal":"*","NotAction":"s3:Get*""#),
            deny(
                r#""Sid":"Other","Principal":{"AWS":"arn:aws:iam::333333333333:root"},"Action":"s3:*""#,
            ),
            deny(r#""Sid":"Never","Principal":"*","Action":"*""#),
        ];
        let found = denials(&policy(&all.join(",")), &["s3:GetObject"], "111111111111");
        let lines: Vec<String> = found.iter().map(|(sid, why)| format!("{sid}: {why}")).collect();
        expect![[r#"
            Vpce: if StringNotEquals aws:SourceVpce
            Org: if StringNotEquals aws:PrincipalOrgID
            number 5: everybody except some principals
            Never: always"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn a_trust_policy_admits_a_role_by_name_or_by_its_account_alone() {
        let role = "arn:aws:iam::222222222222:role/landfall/job";
        let trust = |principal: &str, condition: &str| {
            policy(&format!(
                r#"{{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{{"AWS":"{principal}"}},"Condition":{condition}}}"#
            ))
        };
        let named = |arn: &str| format!(r#"{{"ArnLike":{{"aws:principalarn":"{arn}"}}}}"#);
        let root = "arn:aws:iam::222222222222:root";
        for (principal, condition, role, expected) in [
            (root, named(role), role, true),
            (root, named("arn:aws:iam::222222222222:role/landfall/*"), role, true),
            (root, named(role), "job", true),
            (root, named(role), "other", false),
            (root, named("arn:aws:iam::222222222222:role/other"), role, false),
            (root, "{}".to_owned(), role, true),
            ("222222222222", "{}".to_owned(), role, true),
            ("arn:aws:iam::333333333333:root", "{}".to_owned(), role, false),
            (role, "{}".to_owned(), role, true),
            ("AROAEXAMPLEEXAMPLE1", "{}".to_owned(), role, false),
        ] {
            let trust = trust(principal, &condition);
            assert_eq!(admits_role(&trust, role), expected, "{principal} {condition} {role}");
        }
    }

    #[test]
    fn unique_ids_are_those_of_principals_that_are_gone() {
        let ids = r#"["AROAEXAMPLEEXAMPLE1","AROALIVINGLIVING0001","arn:aws:iam::1:role/AROAEXAMPLEEXAMPLE2"]"#;
        let document =
            policy(&format!(r#"{{"Effect":"Allow","Principal":{{"AWS":{ids}}},"Action":"*"}}"#));
        assert_eq!(unique_ids(&document, &["AROALIVINGLIVING0001"]), ["AROAEXAMPLEEXAMPLE1"]);
        assert_eq!(unique_ids(&policy(&allow("\"*\"", "{}")), &[]), Vec::<String>::new());
    }
}
