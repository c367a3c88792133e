//! Reads a template of CloudFormation. Pure.

pub mod tree;

use anyhow::{Context, bail};
use serde_json::{Value as Json, json};

use self::tree::{Node, Scalar};

/// Reads a template into JSON, with its functions in their long form. Scalars of YAML become texts.
///
/// # Errors
/// Fails if the text is neither JSON nor YAML, or has an alias or a key that isn't text.
pub fn as_json(text: &str) -> anyhow::Result<Json> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).context("the template is not JSON");
    }
    json_of(&tree::read(text)?)
}

fn json_of(node: &Node) -> anyhow::Result<Json> {
    Ok(match node {
        Node::Other => bail!("the template has an alias, or a key that isn't text"),
        Node::Sequence(items) => {
            Json::Array(items.iter().map(json_of).collect::<anyhow::Result<_>>()?)
        }
        Node::Map(entries) => {
            let entry = |(name, node): &(String, Node)| Ok((name.clone(), json_of(node)?));
            Json::Object(entries.iter().map(entry).collect::<anyhow::Result<_>>()?)
        }
        Node::Scalar(Scalar { value, tag, .. }) => match tag.as_deref() {
            None => Json::from(value.as_str()),
            Some(name @ ("Ref" | "Condition")) => json!({ name: value }),
            Some(name) => json!({ format!("Fn::{name}"): value }),
        },
    })
}
