//! Deserialises a tree of nodes into a serde type and reports *all* nodes that don't fit.
//!
//! Serde stops at the first node that doesn't fit. So this module reports that node, removes it
//! from the tree, and deserialises the rest again until that succeeds. Each round removes a node,
//! so the loop ends.

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use crate::problem::{Problem, did_you_mean};
use crate::yaml::{Content, MAX_PROBLEMS, Node, Step, shown};

/// The places of lists, each given by the keys that lead to it.
pub type Lists<'a> = [&'a [&'a str]];

/// Returns the value, or `None` if the root isn't a mapping, and the problems. Removes the nodes
/// that don't fit from `node`. `lists` names all lists of the type.
pub fn read<T: DeserializeOwned>(node: &mut Node, lists: &Lists<'_>) -> (Option<T>, Vec<Problem>) {
    let mut problems = Vec::new();
    refuse_positional(node, &[], lists, &mut problems);
    loop {
        if problems.len() >= MAX_PROBLEMS {
            let last = problems.iter().map(|problem| &problem.place).max_by_key(|p| p.bytes.start);
            let place = last.unwrap_or(&node.place).clone();
            let problem = Problem::error(&place, "too many problems to continue");
            problems.push(problem.hint("fix the problems above first"));
            return (None, problems);
        }
        let error = match serde_path_to_error::deserialize(node.to_value()) {
            Ok(written) => return (Some(written), problems),
            Err(error) => error,
        };
        let mut path: Vec<Step> = error.path().iter().filter_map(step).collect();
        problems.push(problem(node, &path, &error.inner().to_string()));
        while !node.remove(&path) {
            if path.pop().is_none() {
                return (None, problems);
            }
        }
    }
}

fn step(segment: &Segment) -> Option<Step> {
    match segment {
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

/// Removes and reports lists in places where the type has none. Serde would accept a list for a
/// struct, with its items in the order of the fields, which nobody intends.
fn refuse_positional(
    node: &mut Node,
    above: &[&str],
    lists: &Lists<'_>,
    problems: &mut Vec<Problem>,
) {
    match &mut node.content {
        Content::Scalar(_) => {}
        Content::Sequence(items) => {
            items.retain_mut(|item| {
                let is_list = matches!(item.content, Content::Sequence(_));
                if is_list {
                    let problem = Problem::error(&item.place, "a list inside a list");
                    problems.push(problem.hint("lists here can't contain lists"));
                } else {
                    refuse_positional(item, above, lists, problems);
                }
                !is_list
            });
        }
        Content::Mapping(entries) => {
            entries.retain_mut(|entry| {
                let path: Vec<&str> = above.iter().copied().chain([entry.key.as_str()]).collect();
                let is_list = matches!(entry.value.content, Content::Sequence(_));
                let is_refused = is_list && !lists.contains(&path.as_slice());
                if is_refused {
                    let message = format!("`{}` is a list", shown(&entry.key));
                    let problem = Problem::error(&entry.value.place, message);
                    let names: Vec<&str> =
                        lists.iter().filter_map(|list| list.last().copied()).collect();
                    problems.push(problem.hint(format!("only `{}` are lists", names.join("`, `"))));
                } else {
                    refuse_positional(&mut entry.value, &path, lists, problems);
                }
                !is_refused
            });
        }
    }
}

fn problem(root: &Node, path: &[Step], error: &str) -> Problem {
    let place = match root.entry(path) {
        Some(entry) if error.starts_with("unknown field") => &entry.key_place,
        Some(entry) => &entry.value.place,
        None => &root.at(path).unwrap_or(root).place,
    };
    let mut quoted = error.split('`').skip(1).step_by(2);
    if error.starts_with("unknown field") {
        let name = quoted.next().unwrap_or_default();
        let known: Vec<&str> = quoted.collect();
        let hint = did_you_mean(name, known.iter().copied())
            .unwrap_or_else(|| format!("the fields here are `{}`", known.join("`, `")));
        return Problem::error(place, format!("unknown field `{}`", shown(name))).hint(hint);
    }
    let field = match path.last() {
        Some(Step::Key(key)) => format!("`{key}`"),
        Some(Step::Index(_)) => "this item".to_owned(),
        None => "the file".to_owned(),
    };
    let expected = error.rsplit("expected ").next().unwrap_or_default();
    let expected = match expected {
        "u32" | "u64" => "a whole number, 0 or more",
        "a sequence" => "a list",
        "a map" => "a mapping",
        _ if expected.starts_with("struct ") => "a mapping",
        other => other,
    };
    let problem = Problem::error(place, format!("{field} is not {expected}"));
    let content = root.at(path).map(|node| &node.content);
    match (expected, content) {
        ("a string", _) => problem.hint("put it in quotes"),
        ("a list", Some(Content::Scalar(value))) => {
            problem.hint(format!("write [{}]", plain(value)))
        }
        ("a list", _) => problem.hint("begin each item with `- `"),
        ("a mapping", _) => problem.hint("write `field: value` in lines below it"),
        ("a boolean", _) => problem.hint("write true or false"),
        ("a whole number, 0 or more", _) => problem.hint("write digits only: 1000"),
        _ => problem,
    }
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
