//! What CloudFormation makes of a part of a template, once parameters have values. Pure.
//!
//! It knows the functions that policies are written with, and gives up at any other.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::tree::Node;

/// A template's conditions and the values of its parameters, pseudo parameters (`AWS::Region`) among them.
pub struct Resolver<'a> {
    pub conditions: Option<&'a Node>,
    pub values: &'a BTreeMap<String, String>,
}

/// What a part of a template comes to.
enum Resolved {
    Value(Json),
    /// `AWS::NoValue`.
    Nothing,
}

impl Resolver<'_> {
    /// The part as JSON; `None` if it has something that only a stack knows, or that is not known here.
    pub fn json(&self, node: &Node) -> Option<Json> {
        match self.resolved(node)? {
            Resolved::Value(json) => Some(json),
            Resolved::Nothing => None,
        }
    }

    fn resolved(&self, node: &Node) -> Option<Resolved> {
        let value = match node {
            Node::Other => return None,
            Node::Scalar(scalar) => match (scalar.tag.as_deref(), scalar.value.as_str()) {
                (Some("Ref"), "AWS::NoValue") => return Some(Resolved::Nothing),
                (Some("Ref"), name) => Json::String(self.values.get(name)?.clone()),
                (Some("Sub"), text) => Json::String(self.filled(text, &[])?),
                (None, text) => Json::String(text.to_owned()),
                _ => return None,
            },
            Node::Sequence(items) => self.all(items)?,
            Node::Map(entries) => match &entries[..] {
                [(name, operands)] if name.starts_with("Fn::") => {
                    return self.called(name, operands);
                }
                _ => {
                    let mut object = Map::new();
                    for (key, value) in entries {
                        if let Resolved::Value(value) = self.resolved(value)? {
                            object.insert(key.clone(), value);
                        }
                    }
                    Json::Object(object)
                }
            },
        };
        Some(Resolved::Value(value))
    }

    fn all(&self, items: &[Node]) -> Option<Json> {
        let mut all = Vec::new();
        for item in items {
            if let Resolved::Value(value) = self.resolved(item)? {
                all.push(value);
            }
        }
        Some(Json::Array(all))
    }

    fn called(&self, function: &str, operands: &Node) -> Option<Resolved> {
        let Node::Sequence(operands) = operands else { return None };
        let value = match (function, &operands[..]) {
            ("Fn::If", [condition, then, otherwise]) => {
                let holds = self.is_met(condition.text()?)?;
                return self.resolved(if holds { then } else { otherwise });
            }
            ("Fn::Split", [delimiter, text]) => {
                let text = self.text(text)?;
                text.split(delimiter.text()?).map(Json::from).collect()
            }
            ("Fn::Join", [delimiter, list]) => {
                let Json::Array(list) = self.json(list)? else { return None };
                let texts: Option<Vec<&str>> = list.iter().map(Json::as_str).collect();
                Json::String(texts?.join(delimiter.text()?))
            }
            ("Fn::Sub", [text, more]) => Json::String(self.filled(text.text()?, more.entries())?),
            _ => return None,
        };
        Some(Resolved::Value(value))
    }

    fn text(&self, node: &Node) -> Option<String> {
        match self.json(node)? {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    /// The text with each `${…}` filled in.
    fn filled(&self, text: &str, more: &[(String, Node)]) -> Option<String> {
        let mut parts = text.split("${");
        let mut whole = parts.next()?.to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}')?;
            match more.iter().find(|(known, _)| known == name) {
                Some((_, node)) => whole.push_str(&self.text(node)?),
                None => whole.push_str(self.values.get(name)?),
            }
            whole.push_str(rest);
        }
        Some(whole)
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
