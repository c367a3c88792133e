//! Values of job arguments: text that can contain `{name}`, where the name is a capture of the
//! route's key or one of the [`BUILT_INS`]. `{{` and `}}` stand for braces.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::pattern::is_name;

/// The names that every route can use. `key`, `object_uri` and `object_path` belong to the batch's only object.
/// `prefix_uri` and `prefix_path` are the folder that all objects of the batch share. A `_path` is for Spark: what
/// Spark would take for a pattern is escaped. `count` and `bytes` are totals of the batch. `event_time` is the
/// latest event time of the batch, as RFC 3339 in UTC.
pub const BUILT_INS: [&str; 11] = [
    "bucket",
    "key",
    "object_uri",
    "object_path",
    "prefix_uri",
    "prefix_path",
    "manifest_uri",
    "batch_id",
    "count",
    "bytes",
    "event_time",
];

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    Text(String),
    Name(String),
}

/// The reason why a text isn't a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum TemplateError {
    #[error("`{{` is not closed")]
    Unclosed,
    #[error("`}}` without `{{`")]
    Unopened,
    #[error("`{{{0}}}` is not a name")]
    BadName(String),
}

impl Template {
    /// Parses `text`. Doesn't check whether its names are known.
    ///
    /// # Errors
    /// Returns the first problem with the text.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let tail = &rest[at..];
            if tail.starts_with("{{") || tail.starts_with("}}") {
                literal.push_str(&tail[..1]);
                rest = &tail[2..];
            } else if tail.starts_with('}') {
                return Err(TemplateError::Unopened);
            } else {
                let close = tail.find('}').ok_or(TemplateError::Unclosed)?;
                let name = &tail[1..close];
                if !is_name(name) {
                    return Err(TemplateError::BadName(name.to_owned()));
                }
                if !literal.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                }
                parts.push(Part::Name(name.to_owned()));
                rest = &tail[close + 1..];
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self { parts })
    }

    /// Returns the names in the template, in the order of the text.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Name(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// Returns `true` if the template has no names, so that every batch gets the same value.
    pub fn is_fixed(&self) -> bool {
        self.names().next().is_none()
    }

    /// Replaces each name by its value.
    ///
    /// # Errors
    /// Returns the first name for which `value` returns `None`.
    pub fn fill(&self, value: impl Fn(&str) -> Option<String>) -> Result<String, &str> {
        self.parts.iter().try_fold(String::new(), |text, part| match part {
            Part::Text(literal) => Ok(text + literal),
            Part::Name(name) => value(name).map(|value| text + &value).ok_or(name.as_str()),
        })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}")),
            Part::Name(name) => write!(f, "{{{name}}}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in_and_doubled_braces_are_braces() {
        let template = Template::parse("{{\"day\": \"{dt}\"}}").unwrap();
        let filled = template.fill(|name| (name == "dt").then(|| "1".to_owned()));
        assert_eq!(filled, Ok("{\"day\": \"1\"}".to_owned()));
    }

    #[test]
    fn a_value_with_braces_is_not_filled_in_again() {
        let template = Template::parse("{a}{b}").unwrap();
        assert_eq!(template.fill(|_| Some("{b}".to_owned())), Ok("{b}{b}".to_owned()));
    }

    #[test]
    fn an_unknown_name_is_named() {
        assert_eq!(Template::parse("x{nope}").unwrap().fill(|_| None), Err("nope"));
    }

    #[test]
    fn a_template_is_shown_as_it_is_written() {
        for text in ["{{a}}-{b}", "", "plain", "{a}{b}}}"] {
            assert_eq!(Template::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        assert_eq!(Template::parse("{a"), Err(TemplateError::Unclosed));
        assert_eq!(Template::parse("a}"), Err(TemplateError::Unopened));
        assert_eq!(Template::parse("{A}"), Err(TemplateError::BadName("A".to_owned())));
    }
}
