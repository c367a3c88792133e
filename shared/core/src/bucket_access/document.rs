//! A bucket's policy whose statements keep their text.
//!
//! `crate::policy` brings documents into a canonical form, which is right for policies of our own. Here, others own most
//! of the document, so nothing of it changes but the list of statements.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::policy::Document;

const STATEMENT: &str = "Statement";

/// The version of the policy language that knows variables, such as `${*}`.
const VERSION: &str = "2012-10-17";

/// A bucket's policy: its elements and statements, in their order and as they are written.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The elements besides the statements, each with its JSON.
    elements: Vec<(String, Box<RawValue>)>,
    statements: Vec<Box<RawValue>>,
}

/// The statements may be a list, or a single one.
#[derive(Deserialize)]
struct Elements(#[serde(deserialize_with = "in_order")] Vec<(String, Box<RawValue>)>);

impl Policy {
    /// Makes a policy without statements.
    pub fn new() -> Self {
        let version = raw(&json!(VERSION));
        Self { elements: vec![("Version".to_owned(), version)], statements: Vec::new() }
    }

    /// Reads a policy that S3 returned.
    ///
    /// # Errors
    /// Describes what keeps the policy from being put back as it is.
    pub fn parse(text: &str) -> Result<Self, String> {
        let read = serde_json::from_str(text);
        let Elements(mut elements) =
            read.map_err(|error| format!("a policy that can't be read: {error}"))?;
        let position = elements.iter().position(|(name, _)| name == STATEMENT);
        let statements = position.map(|position| elements.remove(position).1);
        let statements = match statements {
            None => Vec::new(),
            Some(one) if one.get().starts_with('{') => vec![one],
            Some(list) => serde_json::from_str(list.get())
                .map_err(|error| format!("a policy whose statements can't be read: {error}"))?,
        };
        Ok(Self { elements, statements })
    }

    /// Returns the text to send to S3.
    pub fn to_text(&self) -> String {
        let list: Vec<&str> = self.statements.iter().map(|it| it.get()).collect();
        let mut parts: Vec<String> = self
            .elements
            .iter()
            .map(|(name, value)| format!("{}:{}", json!(name), value.get()))
            .collect();
        parts.push(format!("\"{STATEMENT}\":[{}]", list.join(",")));
        format!("{{{}}}", parts.join(","))
    }

    /// Returns `true` if there is no statement.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// Returns the statements as values.
    pub(crate) fn values(&self) -> impl Iterator<Item = Value> {
        self.statements.iter().map(|it| serde_json::from_str(it.get()).unwrap_or(Value::Null))
    }

    /// Returns a copy with the statements that `keeps` returns `true` for.
    pub(crate) fn retain(&self, mut keeps: impl FnMut(&Value) -> bool) -> Self {
        let kept = self.statements.iter().zip(self.values()).filter(|(_, value)| keeps(value));
        Self {
            elements: self.elements.clone(),
            statements: kept.map(|(statement, _)| statement.clone()).collect(),
        }
    }

    pub(crate) fn append(&mut self, statements: &[Value]) {
        self.statements.extend(statements.iter().map(raw));
    }

    /// Returns `true` if a `${*}` in this policy is a variable. In a policy of the older version, or without one, it is
    /// text.
    pub(crate) fn knows_variables(&self) -> bool {
        let mut elements = self.elements.iter();
        let version = elements.find(|(name, _)| name == "Version").map(|(_, value)| value.get());
        version == Some(&*json!(VERSION).to_string())
    }

    /// Returns the texts of the statements.
    #[cfg(test)]
    pub(crate) fn texts(&self) -> Vec<String> {
        self.statements.iter().map(|it| it.get().to_owned()).collect()
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.to_text() == other.to_text()
    }
}

impl Eq for Policy {}

/// Returns `true` if S3 treats both the same: they may differ in the order of statements and of what is in a list, and
/// in whether a list of one item is written as one.
pub fn is_same(one: Option<&Policy>, other: Option<&Policy>) -> bool {
    let canonical = |policy: Option<&Policy>| policy.and_then(|it| Document::parse(&it.to_text()));
    one.is_some() == other.is_some() && canonical(one) == canonical(other)
}

fn raw(value: &Value) -> Box<RawValue> {
    // The text of a `Value` is JSON, so this can't fail.
    RawValue::from_string(value.to_string()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// Reads an object without sorting it. Refuses a name that comes twice, because only one of both would be kept.
fn in_order<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(String, Box<RawValue>)>, D::Error> {
    struct InOrder;
    impl<'de> Visitor<'de> for InOrder {
        type Value = Vec<(String, Box<RawValue>)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut elements: Self::Value = Vec::new();
            while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                if elements.iter().any(|(known, _)| *known == name) {
                    return Err(A::Error::custom(format!("element `{name}` twice")));
                }
                elements.push((name, value));
            }
            Ok(elements)
        }
    }
    deserializer.deserialize_map(InOrder)
}
