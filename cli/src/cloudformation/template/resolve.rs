//! Resolves a part of a template as CloudFormation does, once parameters have values. Pure.
//!
//! It knows the functions that the templates' policies use, and gives up at any other.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use landfall_inspection::template::tree::Node;

/// A template's conditions and the values of its parameters, including pseudo parameters (`AWS::Region`).
pub struct Resolver<'a> {
    pub conditions: Option<&'a Node>,
    pub values: &'a BTreeMap<String, String>,
}

/// Returns the text with each `${…}` filled in; `None` if one has no value.
pub fn fill(text: &str, value: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut parts = text.split("${");
    let mut whole = parts.next()?.to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}')?;
        whole.push_str(&value(name)?);
        whole.push_str(rest);
    }
    Some(whole)
}

impl Resolver<'_> {
    /// Returns the part as JSON; `None` if it contains something that only a stack knows, or an unknown function.
    pub fn json(&self, node: &Node) -> Option<Json> {
        self.resolved(node).filter(|value| !value.is_null())
    }

    /// Resolves a part as [`Self::json`] does, but returns null for `AWS::NoValue`. Nothing else resolves to null.
    fn resolved(&self, node: &Node) -> Option<Json> {
        match node {
            Node::Other => None,
            Node::Scalar(scalar) => match (scalar.tag.as_deref(), scalar.value.as_str()) {
                (Some("Ref"), "AWS::NoValue") => Some(Json::Null),
                (Some("Ref"), name) => self.values.get(name).cloned().map(Json::String),
                (Some("Sub"), text) => self.filled(text, &[]).map(Json::String),
                (None, text) => Some(Json::from(text)),
                _ => None,
            },
            Node::Sequence(items) => {
                let items: Option<Vec<Json>> =
                    items.iter().map(|item| self.resolved(item)).collect();
                Some(items?.into_iter().filter(|item| !item.is_null()).collect())
            }
            Node::Map(entries) => match &entries[..] {
                [(name, operands)] if name.starts_with("Fn::") => self.called(name, operands),
                _ => {
                    let entry =
                        |(key, node): &(String, Node)| Some((key.clone(), self.resolved(node)?));
                    let mut object: Map<String, Json> =
                        entries.iter().map(entry).collect::<Option<_>>()?;
                    object.retain(|_, value| !value.is_null());
                    Some(Json::Object(object))
                }
            },
        }
    }

    fn called(&self, function: &str, operands: &Node) -> Option<Json> {
        let Node::Sequence(operands) = operands else { return None };
        match (function, &operands[..]) {
            ("Fn::If", [condition, then, otherwise]) => {
                let holds = self.is_met(condition.text()?)?;
                self.resolved(if holds { then } else { otherwise })
            }
            ("Fn::Split", [delimiter, text]) => {
                let text = self.text(text)?;
                Some(text.split(delimiter.text()?).map(Json::from).collect())
            }
            ("Fn::Join", [delimiter, list]) => {
                let Json::Array(list) = self.json(list)? else { return None };
                let texts: Option<Vec<&str>> = list.iter().map(Json::as_str).collect();
                Some(Json::String(texts?.join(delimiter.text()?)))
            }
            ("Fn::Sub", [text, more]) => {
                self.filled(text.text()?, more.entries()).map(Json::String)
            }
            _ => None,
        }
    }

    fn text(&self, node: &Node) -> Option<String> {
        match self.json(node)? {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    fn filled(&self, text: &str, more: &[(String, Node)]) -> Option<String> {
        fill(text, |name| match more.iter().find(|(known, _)| known == name) {
            Some((_, node)) => self.text(node),
            None => self.values.get(name).cloned(),
        })
    }

    fn is_met(&self, condition: &str) -> Option<bool> {
        self.holds(self.conditions?.get(condition)?)
    }

    fn holds(&self, node: &Node) -> Option<bool> {
        if let Node::Scalar(scalar) = node {
            return match scalar.tag.as_deref() {
                Some("Condition") => self.is_met(&scalar.value),
                _ => None,
            };
        }
        let [(function, Node::Sequence(operands))] = node.entries() else { return None };
        match (function.as_str(), &operands[..]) {
            ("Fn::Equals", [left, right]) => Some(self.json(left)? == self.json(right)?),
            ("Fn::Not", [operand]) => Some(!self.holds(operand)?),
            ("Fn::And", all) => {
                all.iter().try_fold(true, |holds, one| Some(self.holds(one)? && holds))
            }
            ("Fn::Or", any) => {
                any.iter().try_fold(false, |holds, one| Some(self.holds(one)? || holds))
            }
            _ => None,
        }
    }
}
