//! Checks that the SDK reads everything in a notification configuration.
//!
//! The SDK skips what it does not know, and reads broken XML as far as it goes. Whatever it skips
//! would be gone after the next put, so this module checks all of the XML against what the SDK
//! reads. The elements are those in S3's API reference, "NotificationConfiguration".

use xmlparser::{ElementEnd, Token, Tokenizer};

/// The lists of rules, and the names of their destinations.
const RULES: [(&str, &str); 3] = [
    ("TopicConfiguration", "Topic"),
    ("QueueConfiguration", "Queue"),
    ("CloudFunctionConfiguration", "CloudFunction"),
];

/// Checks the body of an answer.
///
/// # Errors
/// Describes the first thing that the SDK would lose.
pub(crate) fn check(body: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(body).map_err(|_| "text that is not UTF-8".to_owned())?;
    let mut path: Vec<Open<'_>> = Vec::new();
    let mut is_over = false;
    for token in Tokenizer::from(text) {
        match token.map_err(|error| format!("malformed XML: {error}"))? {
            Token::ElementStart { prefix, local, .. } => {
                if !prefix.is_empty() || is_over {
                    return Err(format!("element `{prefix}:{local}`"));
                }
                let is_second =
                    path.last_mut().is_some_and(|parent| parent.is_second(local.as_str()));
                path.push(Open { name: local.as_str(), children: Vec::new() });
                let names: Vec<&str> = path.iter().map(|open| open.name).collect();
                if !is_known(&names) {
                    return Err(format!("element `{}`", names.join("/")));
                }
                if is_second {
                    return Err(format!("element `{}` twice", names.join("/")));
                }
            }
            Token::Attribute { prefix, local, .. } if !is_namespace(&prefix, &local) => {
                return Err(format!("attribute `{local}`"));
            }
            Token::ElementEnd { end: ElementEnd::Open, .. } => {}
            Token::ElementEnd { end, .. } => {
                let closed = path.pop();
                if let ElementEnd::Close(_, name) = end
                    && closed.is_none_or(|open| open.name != name.as_str())
                {
                    return Err(format!("malformed XML: `{name}` is closed, which is not open"));
                }
                is_over = path.is_empty();
            }
            Token::Declaration { .. } | Token::Attribute { .. } | Token::Text { .. } => {}
            // The SDK reads a value only up to the first of these.
            _ => return Err("XML other than elements and text".to_owned()),
        }
    }
    if is_over { Ok(()) } else { Err("malformed XML: it ends in the middle".to_owned()) }
}

struct Open<'a> {
    name: &'a str,
    /// The children that may occur only once: of two, the SDK keeps one.
    children: Vec<&'a str>,
}

impl<'a> Open<'a> {
    fn is_second(&mut self, child: &'a str) -> bool {
        let is_list =
            RULES.iter().any(|(rule, _)| *rule == child) || matches!(child, "Event" | "FilterRule");
        if is_list {
            return false;
        }
        let is_second = self.children.contains(&child);
        self.children.push(child);
        is_second
    }
}

fn is_known(path: &[&str]) -> bool {
    match path {
        ["NotificationConfiguration"]
        | ["NotificationConfiguration", "EventBridgeConfiguration"] => true,
        ["NotificationConfiguration", rule, within @ ..] => {
            let rule = RULES.iter().find(|(name, _)| name == rule);
            rule.is_some_and(|(_, destination)| match within {
                [] | ["Id" | "Event" | "Filter"] => true,
                [name] => name == destination,
                ["Filter", "S3Key", within @ ..] => {
                    matches!(within, [] | ["FilterRule"] | ["FilterRule", "Name" | "Value"])
                }
                _ => false,
            })
        }
        _ => false,
    }
}

/// Returns `true` for attributes that only declare a namespace.
fn is_namespace(prefix: &str, local: &str) -> bool {
    prefix == "xmlns" || (prefix.is_empty() && local == "xmlns")
}
