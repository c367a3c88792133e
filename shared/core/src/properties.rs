//! Reads the properties of a custom resource, as CloudFormation sends them, into a type, with all
//! their problems.
//!
//! CloudFormation sends every scalar as a string, so this module parses the text where the type
//! expects a number or a boolean. Problems name a property by its path, because there is no text
//! with lines. This module doesn't know what the properties mean.

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::at::At;
use crate::problem::{Place, Problem};
use crate::routes::written::RoutesFile;
use crate::routes::{self, Routes, resolve};
use crate::typed::{self, Lists};
use crate::yaml::{Content, Entry, Node};

/// The properties that CloudFormation itself reads.
const READ_BY_CLOUDFORMATION: [&str; 2] = ["ServiceToken", "ServiceTimeout"];

/// The maximum depth of nesting. A limit keeps properties from exhausting the stack.
const MAX_DEPTH: usize = 32;

/// The result of reading properties, with the tree in which later problems find their places.
#[derive(Debug)]
pub struct Read<T> {
    /// The value, or `None` if the properties aren't a mapping or have too many problems to
    /// continue.
    pub written: Option<T>,
    /// The tree of the properties, in which later problems find their places.
    pub root: Node,
    /// The problems that reading found.
    pub problems: Vec<Problem>,
}

/// Reads `properties`. `lists` names all lists of the type, except those below its `Routes`.
pub fn read<T: DeserializeOwned + JsonSchema>(properties: &Value, lists: &Lists<'_>) -> Read<T> {
    let mut properties = properties.clone();
    if let Value::Object(map) = &mut properties {
        map.retain(|name, _| !READ_BY_CLOUDFORMATION.contains(&name.as_str()));
    }
    let schema = SchemaGenerator::from(SchemaSettings::draft2020_12()).into_root_schema_for::<T>();
    let root_schema = schema.as_value();
    from_text(&mut properties, root_schema, root_schema, 0);
    let mut root = tree(&properties, &mut 0, 0);
    let below_routes = routes::LISTS.map(|list| [&["Routes"], list].concat());
    let lists: Vec<&[&str]> =
        lists.iter().copied().chain(below_routes.iter().map(Vec::as_slice)).collect();
    let (written, problems) = typed::read(&mut root, &lists);
    Read { written, root, problems }
}

/// Reads the property `Routes` of a resource, as `AWS::Include` inserted it there.
///
/// # Errors
/// Returns all errors together, each with the path of its property before it.
pub fn routes(included: &Value) -> Result<Routes, Vec<String>> {
    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "PascalCase")]
    struct Written {
        routes: RoutesFile,
    }
    let properties = json!({ "Routes": included });
    let Read { written, root, mut problems } = read::<Written>(&properties, &[]);
    let routes = written.map(|written| {
        resolve::resolve(&written.routes, At::new(&root, &mut problems).key("Routes"))
    });
    problems.retain(Problem::is_error);
    match routes.filter(|_| problems.is_empty()) {
        Some(routes) => Ok(routes),
        None => Err(problems.iter().map(|problem| describe(&root, problem)).collect()),
    }
}

/// Replaces texts by numbers and booleans where `schema` expects them.
fn from_text(value: &mut Value, schema: &Value, root: &Value, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    if let Some(definition) = schema["$ref"].as_str().and_then(|path| path.strip_prefix('#')) {
        return from_text(value, root.pointer(definition).unwrap_or(&Value::Null), root, depth + 1);
    }
    for option in schema["anyOf"].as_array().into_iter().flatten() {
        from_text(value, option, root, depth + 1);
    }
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let below = match &schema["properties"][name] {
                    Value::Null => &schema["additionalProperties"],
                    below => below,
                };
                from_text(value, below, root, depth + 1);
            }
        }
        Value::Array(items) => {
            items.iter_mut().for_each(|item| from_text(item, &schema["items"], root, depth + 1));
        }
        Value::String(text) => {
            if let Some(parsed) = parse_as(text, &schema["type"]) {
                *value = parsed;
            }
        }
        _ => {}
    }
}

/// Parses `text` as a number or a boolean, if `types` includes that. Returns `None` for all other
/// texts.
fn parse_as(text: &str, types: &Value) -> Option<Value> {
    let is = |name: &str| match types {
        Value::Array(names) => names.iter().any(|other| other == name),
        other => other == name,
    };
    if is("integer") && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse::<u64>().ok().map(Value::from);
    }
    text.parse::<bool>().ok().filter(|_| is("boolean")).map(Value::from)
}

/// Builds the tree of `value`. Each node has its own range, which includes the ranges of the nodes
/// below it.
fn tree(value: &Value, next: &mut usize, depth: usize) -> Node {
    let start = *next;
    *next += 1;
    let content = match value {
        _ if depth > MAX_DEPTH => Content::Scalar(Value::Null),
        Value::Array(items) => {
            Content::Sequence(items.iter().map(|item| tree(item, next, depth + 1)).collect())
        }
        Value::Object(map) => Content::Mapping(entries(map, next, depth)),
        scalar => Content::Scalar(scalar.clone()),
    };
    Node { place: place(start, *next), content }
}

fn entries(map: &Map<String, Value>, next: &mut usize, depth: usize) -> Vec<Entry> {
    let entry = |(key, value): (&String, &Value)| {
        let key_place = place(*next, *next + 1);
        *next += 1;
        Entry { key: key.clone(), key_place, value: tree(value, next, depth + 1) }
    };
    map.iter().map(entry).collect()
}

fn place(start: usize, end: usize) -> Place {
    Place { line: 0, column: 0, bytes: start..end }
}

/// Describes a problem in one line, with the path of its property first: ``Routes.routes[1].start:
/// …``.
pub fn describe(root: &Node, problem: &Problem) -> String {
    let hint = problem.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    let path = path_to(root, problem.place.bytes.start);
    let path = if path.is_empty() { "the properties" } else { path.as_str() };
    format!("{path}: {}{hint}", problem.message)
}

fn path_to(root: &Node, at: usize) -> String {
    let mut path = String::new();
    let mut node = root;
    loop {
        let below = match &node.content {
            Content::Mapping(entries) => entries.iter().find_map(|entry| {
                let whole = entry.key_place.bytes.start..entry.value.place.bytes.end;
                let dot = if path.is_empty() { "" } else { "." };
                let step = || format!("{dot}{}", crate::yaml::shown(&entry.key));
                whole.contains(&at).then(|| (step(), &entry.value))
            }),
            Content::Sequence(items) => items.iter().enumerate().find_map(|(index, item)| {
                item.place.bytes.contains(&at).then(|| (format!("[{index}]"), item))
            }),
            Content::Scalar(_) => None,
        };
        let Some((step, next)) = below else {
            return path;
        };
        path.push_str(&step);
        node = next;
    }
}
