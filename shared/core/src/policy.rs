//! IAM policy documents: rendered in a single canonical form, compared by meaning, and measured as
//! IAM does.
//!
//! This module knows the grammar of policies. What Landfall's roles may do is in `roles`.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value, json};

/// The version of the policy language.
const VERSION: &str = "2012-10-17";

/// A policy document in canonical form: where IAM allows a scalar or a list, it has a list, sorted
/// and without duplicates, so that equal documents mean the same. The text keeps the order of
/// statements; comparisons ignore it.
#[derive(Clone)]
pub struct Document(Value);

impl Document {
    /// Makes a document of `statements`.
    pub fn new(statements: impl IntoIterator<Item = Statement>) -> Self {
        let statements: Vec<Value> = statements.into_iter().map(|s| Value::Object(s.0)).collect();
        Self(canonical(json!({ "Version": VERSION, "Statement": statements })))
    }

    /// Reads a document that IAM returned. Returns `None` if it isn't a JSON object.
    pub fn parse(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        value.is_object().then(|| Self(canonical(value)))
    }

    /// Returns the text to send to IAM: JSON without white space, with sorted keys.
    pub fn to_json(&self) -> String {
        self.0.to_string()
    }

    /// Returns the document as a JSON value, for example to print it.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// Returns the length that IAM's quotas count, in characters. White space doesn't count,
    /// neither outside nor inside strings.
    pub fn counted_chars(&self) -> usize {
        self.to_json().chars().filter(|c| !c.is_whitespace()).count()
    }

    /// Returns a copy in which `…` replaces the values of `sts:ExternalId`.
    pub fn without_external_ids(&self) -> Self {
        let mut value = self.0.clone();
        hide_external_ids(&mut value);
        Self(value)
    }

    /// Returns `true` if there is at least one statement and every statement denies. Such a
    /// document only takes permissions away. A statement that isn't clearly a denial doesn't count
    /// as one.
    pub fn only_denies(&self) -> bool {
        let statements = self.0["Statement"].as_array();
        let denies = |statement: &Value| statement["Effect"] == "Deny";
        statements.is_some_and(|all| !all.is_empty() && all.iter().all(denies))
    }

    /// Returns `true` if this document is `other` with some condition values left out, so that it
    /// admits no more than `other`. Returns `false` in case of doubt.
    pub fn is_part_of(&self, other: &Self) -> bool {
        is_part(&self.0, &other.0, false)
    }

    fn sorted(&self) -> Value {
        let mut value = self.0.clone();
        if let Some(Value::Array(statements)) = value.get_mut("Statement") {
            statements.sort_by_cached_key(Value::to_string);
        }
        value
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || self.sorted() == other.sorted()
    }
}

impl Eq for Document {}

/// Shows the document without its external IDs.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.without_external_ids().to_json())
    }
}

fn is_part(one: &Value, other: &Value, is_condition: bool) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| {
                    // With a negated operator, fewer values admit more.
                    let is_plain = |operator: &str| !operator.contains("Not");
                    let below = key == "Condition" || (is_condition && is_plain(key));
                    other.get(key).is_some_and(|other| is_part(value, other, below))
                })
        }
        (Value::Array(one), Value::Array(other)) if is_condition && !one.is_empty() => {
            one.iter().all(|value| other.contains(value))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| is_part(one, other, false))
        }
        _ => one == other,
    }
}

fn hide_external_ids(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if key.eq_ignore_ascii_case("sts:ExternalId") {
                    *value = json!(["…"]);
                } else {
                    hide_external_ids(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide_external_ids),
        _ => {}
    }
}

/// A statement that allows or denies. Its methods add resources, principals and conditions.
#[derive(Debug, Clone)]
pub struct Statement(Map<String, Value>);

impl Statement {
    /// Allows `actions`. `sid` consists of letters and digits.
    pub fn allow<'a>(sid: &str, actions: impl IntoIterator<Item = &'a str>) -> Self {
        Self::new("Allow", sid, actions)
    }

    /// Denies `actions`. `sid` consists of letters and digits.
    pub fn deny<'a>(sid: &str, actions: impl IntoIterator<Item = &'a str>) -> Self {
        Self::new("Deny", sid, actions)
    }

    fn new<'a>(effect: &str, sid: &str, actions: impl IntoIterator<Item = &'a str>) -> Self {
        let actions: Vec<&str> = actions.into_iter().collect();
        let map = json!({ "Sid": sid, "Effect": effect, "Action": actions });
        Self(map.as_object().cloned().unwrap_or_default())
    }

    /// Adds the resources. Callers escape them with [`literal`] where that is needed.
    pub fn on(mut self, resources: impl IntoIterator<Item = String>) -> Self {
        let resources: BTreeSet<String> = resources.into_iter().collect();
        self.0.insert("Resource".to_owned(), json!(resources));
        self
    }

    /// Adds the principal. `kind` is `AWS` or `Service`.
    pub fn by(mut self, kind: &str, principal: &str) -> Self {
        self.0.insert("Principal".to_owned(), json!({ kind: principal }));
        self
    }

    /// Adds the condition that `operator` holds for `key` and one of `values`.
    pub fn when(
        mut self,
        operator: &str,
        key: &str,
        values: impl IntoIterator<Item = String>,
    ) -> Self {
        let values: BTreeSet<String> = values.into_iter().collect();
        let conditions = self.0.entry("Condition").or_insert_with(|| json!({}));
        conditions[operator][key] = json!(values);
        self
    }
}

/// Brings a document into canonical form: scalars become lists of one item, lists are sorted, and
/// the statements become a list.
fn canonical(document: Value) -> Value {
    let Value::Object(mut document) = document else {
        return document;
    };
    let statements = match document.remove("Statement") {
        Some(Value::Array(statements)) => statements,
        Some(statement) => vec![statement],
        None => Vec::new(),
    };
    let statements: Vec<Value> = statements.into_iter().map(canonical_statement).collect();
    document.insert("Statement".to_owned(), statements.into());
    Value::Object(document)
}

/// Brings one statement into canonical form, so that equal ones mean the same.
pub(crate) fn canonical_statement(statement: Value) -> Value {
    let Value::Object(statement) = statement else {
        return statement;
    };
    let fields = statement.into_iter().map(|(field, value)| {
        let value = match field.as_str() {
            "Action" | "NotAction" | "Resource" | "NotResource" => list(value),
            "Principal" | "NotPrincipal" => each(value, list),
            "Condition" => each(value, |keys| each(keys, list)),
            _ => value,
        };
        (field, value)
    });
    Value::Object(fields.collect())
}

fn each(value: Value, change: impl Fn(Value) -> Value) -> Value {
    match value {
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, change(value))).collect(),
        other => other,
    }
}

fn list(value: Value) -> Value {
    let items = match value {
        Value::Array(items) => items,
        scalar => vec![scalar],
    };
    // IAM treats `true` and `"true"` as the same, and returns either.
    let text = |item: Value| match item {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let items: BTreeSet<String> = items.into_iter().map(text).collect();
    json!(items)
}

/// Escapes `text` so that it stands for itself in a resource or in a value of `StringLike`. `*`,
/// `?` and `$` have a special meaning there unless they are written as policy variables.
pub fn literal(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, c| {
        match c {
            '*' | '?' | '$' => escaped.extend(['$', '{', c, '}']),
            c => escaped.push(c),
        }
        escaped
    })
}

/// Returns the longest prefix of `text` that a policy document can contain. Policies allow the
/// characters U+0020 to U+00FF (the pattern of `PolicyDocument` in IAM's API).
pub fn admissible(text: &str) -> &str {
    let end = text.find(|c| !matches!(c, '\u{20}'..='\u{ff}')).unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_that_mean_the_same_are_equal() {
        let one = Document::parse(
            r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"a:B","Resource":["y","x"],
                "Condition":{"Bool":{"aws:SecureTransport":true}}}}"#,
        );
        let other = Document::parse(
            r#"{"Statement":[{"Resource":["x","y","x"],"Action":["a:B"],"Effect":"Allow",
                "Condition":{"Bool":{"aws:SecureTransport":["true"]}}}],"Version":"2012-10-17"}"#,
        );
        assert!(one.is_some());
        assert_eq!(one, other);
        let narrower = Document::parse(
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"a:B","Resource":"x",
                "Condition":{"Bool":{"aws:SecureTransport":"true"}}}]}"#,
        );
        assert_ne!(one, narrower);
    }

    #[test]
    fn the_order_of_statements_means_nothing() {
        let allow = |sid| Statement::allow(sid, ["a:B"]).on(["x".to_owned()]);
        let one = Document::new([allow("A"), allow("B")]);
        assert_eq!(one, Document::new([allow("B"), allow("A")]));
        assert_ne!(one, Document::new([allow("A")]));
    }

    #[test]
    fn a_document_only_denies_if_every_statement_does() {
        let only_denies = |statements: &str| {
            let text = format!(r#"{{"Version":"2012-10-17","Statement":{statements}}}"#);
            Document::parse(&text).expect("JSON").only_denies()
        };
        let deny = r#"{"Effect":"Deny","Action":"*","Resource":"*"}"#;
        assert!(only_denies(deny));
        assert!(only_denies(&format!("[{deny},{deny}]")));
        for other in [
            "[]".to_owned(),
            "null".to_owned(),
            format!("[{deny},{}]", deny.replace("Deny", "Allow")),
            format!("[{deny},7]"),
            deny.replace("Deny", "deny"),
            deny.replace("\"Effect\":\"Deny\",", ""),
            format!("[[{deny}]]"),
        ] {
            assert!(!only_denies(&other), "{other}");
        }
        assert!(!Document::parse("{}").expect("JSON").only_denies());
    }

    #[test]
    fn a_part_of_a_document_has_fewer_values_of_conditions_and_differs_in_nothing_else() {
        let document = |operator, values: &[&str], action| {
            let statement = Statement::allow("A", [action]).by("AWS", "x");
            let values = values.iter().map(|value| (*value).to_owned());
            Document::new([statement.when(operator, "aws:PrincipalArn", values)])
        };
        let plain = |values| document("ArnEquals", values, "sts:AssumeRole");
        assert!(plain(&["a"]).is_part_of(&plain(&["a", "b"])));
        assert!(plain(&["a"]).is_part_of(&plain(&["a"])));
        for (one, other) in [
            (plain(&["a", "b"]), plain(&["a"])),
            (plain(&["a"]), plain(&["b"])),
            (plain(&[]), plain(&["a"])),
            (plain(&["a"]), document("ArnLike", &["a", "b"], "sts:AssumeRole")),
            (plain(&["a"]), document("ArnEquals", &["a", "b"], "sts:*")),
            (document("ArnNotEquals", &["a"], "x"), document("ArnNotEquals", &["a", "b"], "x")),
        ] {
            assert!(!one.is_part_of(&other), "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_document_does_not_show_external_ids() {
        let trust = Statement::allow("A", ["sts:AssumeRole"]).by("AWS", "x").when(
            "StringEquals",
            "sts:ExternalId",
            ["hunter2".to_owned()],
        );
        let document = Document::new([trust]);
        assert!(document.to_json().contains("hunter2"));
        assert!(!format!("{document:?}").contains("hunter2"));
    }

    #[test]
    fn what_policies_take_for_a_pattern_is_written_as_a_variable() {
        assert_eq!(literal("a*b?c${aws:username}"), "a${*}b${?}c${$}{aws:username}");
        assert_eq!(admissible("é/ ü/日本/x"), "é/ ü/");
    }
}
