//! Reads YAML text into a tree that remembers the place of every node.
//!
//! The reader is strict on purpose: this crate (YAML 1.2) and packaging tools (often YAML 1.1) read
//! the same file. So it refuses everything that the two versions read differently, and also
//! aliases, tags, merge keys and duplicate keys. It knows nothing about routes.

mod scalar;

use std::cell::Cell;
use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};
use serde_json::{Map, Value};

use crate::problem::{Place, Problem};

/// The maximum depth of nesting. A limit keeps files from exhausting the stack.
const MAX_DEPTH: usize = 32;

/// The number of problems after which a stage stops, because nobody reads more.
pub const MAX_PROBLEMS: usize = 100;

/// A value and its place in the text.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where the value is in the text.
    pub place: Place,
    /// The value.
    pub content: Content,
}

/// What a [`Node`] holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Null, a boolean, a number or a string.
    Scalar(Value),
    /// The elements in the order of the text.
    Sequence(Vec<Node>),
    /// The entries in the order of the text. Their keys are unique.
    Mapping(Vec<Entry>),
}

/// One `key: value` of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key, without quotes.
    pub key: String,
    /// Where the key is in the text.
    pub key_place: Place,
    /// The value, with its own place.
    pub value: Node,
}

/// A step from a node to one below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The value of this key of a mapping.
    Key(String),
    /// The element with this index, from 0, of a sequence.
    Index(usize),
}

impl Node {
    /// Returns the node below this one that `path` leads to, if there is one.
    pub fn at(&self, path: &[Step]) -> Option<&Node> {
        path.iter().try_fold(self, |node, step| match (step, &node.content) {
            (Step::Key(key), Content::Mapping(entries)) => {
                entries.iter().find(|entry| entry.key == *key).map(|entry| &entry.value)
            }
            (Step::Index(index), Content::Sequence(items)) => items.get(*index),
            _ => None,
        })
    }

    /// Returns the entry whose value `path` leads to. Returns `None` if the path leads nowhere or
    /// to the item of a list.
    pub fn entry(&self, path: &[Step]) -> Option<&Entry> {
        let (Step::Key(key), parent) = path.split_last()? else {
            return None;
        };
        match &self.at(parent)?.content {
            Content::Mapping(entries) => entries.iter().find(|entry| entry.key == *key),
            _ => None,
        }
    }

    /// Removes the node that `path` leads to from the tree. Later items of a sequence move up.
    /// Returns `false` if there is no such node.
    pub fn remove(&mut self, path: &[Step]) -> bool {
        let Some((step, rest)) = path.split_first() else {
            return false;
        };
        match (step, &mut self.content) {
            (Step::Key(key), Content::Mapping(entries)) => {
                let Some(at) = entries.iter().position(|entry| entry.key == *key) else {
                    return false;
                };
                if rest.is_empty() {
                    entries.remove(at);
                    return true;
                }
                entries[at].value.remove(rest)
            }
            (Step::Index(index), Content::Sequence(items)) if *index < items.len() => {
                if rest.is_empty() {
                    items.remove(*index);
                    return true;
                }
                items[*index].remove(rest)
            }
            _ => false,
        }
    }

    /// Returns the tree as a JSON value, without places.
    pub fn to_value(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::Sequence(items) => items.iter().map(Node::to_value).collect(),
            Content::Mapping(entries) => Value::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.value.to_value()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }
}

/// Reads the single document of `text`. Returns as much as it can read together with the problems,
/// so that later stages can add theirs to the same report. After a syntax error, it returns no
/// tree.
pub fn read(text: &str) -> (Option<Node>, Vec<Problem>) {
    if let Some(problem) = unusual_text(text) {
        return (None, vec![problem]);
    }
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        lines: Lines::new(text),
        problems: Vec::new(),
    };
    let root = reader.document().unwrap_or_else(|problem| {
        reader.problems.push(problem);
        None
    });
    (root, reader.problems)
}

/// Returns a problem if the text contains something that other readers of the file would read
/// differently or show in another line.
fn unusual_text(text: &str) -> Option<Problem> {
    let is_lone = |at: usize| text.as_bytes().get(at + 1) != Some(&b'\n');
    let (at, message, hint) = if text.starts_with('\u{feff}') {
        (0, "the file begins with a byte-order mark", "save it as UTF-8 without one")
    } else if let Some((at, _)) = text.match_indices('\r').find(|(at, _)| is_lone(*at)) {
        (at, "a carriage return without a line feed", "end lines with a line feed")
    } else if let Some(at) = text.find(['\u{85}', '\u{2028}', '\u{2029}']) {
        (at, "a character that only YAML 1.1 reads as the end of a line", "remove it")
    } else if text.starts_with('%') || text.contains("\n%") {
        let at = if text.starts_with('%') { 0 } else { text.find("\n%")? + 1 };
        (at, "YAML directives are not supported", "remove the line")
    } else {
        return None;
    };
    let before = &text[..at];
    let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
    let width = text[at..].chars().next().map_or(0, char::len_utf8);
    let line = 1 + before.matches('\n').count();
    let place = Place { line, column, bytes: at..at + width };
    Some(Problem::error(&place, message).hint(hint))
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    lines: Lines<'a>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Option<Node>, Problem> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
                Event::DocumentStart(_) if root.is_some() => {
                    return Err(Problem::error(&self.lines.place(span), "a second YAML document")
                        .hint("a file can have only one document: remove everything after `---`"));
                }
                Event::DocumentStart(_) => {
                    let (event, span) = self.next()?;
                    root = Some(self.node(event, span, 0)?);
                }
                // The parser never returns content outside a document.
                _ => {
                    return Err(Problem::error(&self.lines.place(span), "unexpected YAML content"));
                }
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Problem> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let place = self.lines.place(Span::empty(*error.marker()));
                Err(Problem::error(&place, format!("not valid YAML: {}", error.info()))
                    .hint("check the indentation, the quotes and the brackets before this place"))
            }
            None => Ok((Event::StreamEnd, Span::empty(Marker::new(0, 1, 0)))),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Problem> {
        let mut place = self.lines.place(span);
        if self.problems.len() >= MAX_PROBLEMS {
            return Err(Problem::error(&place, "too many problems to continue")
                .hint("fix the problems above first"));
        }
        if depth > MAX_DEPTH {
            return Err(Problem::error(&place, format!("nested deeper than {MAX_DEPTH} levels"))
                .hint("a routes file needs only six"));
        }
        let content = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_anchor_and_tag(&place, anchor, tag.is_some());
                Content::Scalar(self.scalar(&text, style, &place))
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_anchor_and_tag(&place, anchor, tag.is_some());
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, end) => {
                            place.bytes.end = self.lines.offset(end.start).max(place.bytes.start);
                            break;
                        }
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
                Content::Sequence(items)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_anchor_and_tag(&place, anchor, tag.is_some());
                let entries = self.entries(&mut place, depth)?;
                Content::Mapping(entries)
            }
            Event::Alias(_) => {
                self.problems.push(Problem::error(&place, "YAML aliases are not supported").hint(
                    "CloudFormation reads this file too and doesn't support them: write the value out",
                ));
                Content::Scalar(Value::Null)
            }
            _ => return Err(Problem::error(&place, "unexpected end of the YAML document")),
        };
        Ok(Node { place, content })
    }

    fn entries(&mut self, place: &mut Place, depth: usize) -> Result<Vec<Entry>, Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut lines: BTreeMap<String, usize> = BTreeMap::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                place.bytes.end = self.lines.offset(span.start).max(place.bytes.start);
                return Ok(entries);
            }
            let key_node = self.node(event, span, depth + 1)?;
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            let Content::Scalar(Value::String(key)) = key_node.content else {
                let problem = Problem::error(&key_node.place, "a key must be a string");
                self.problems.push(problem.hint("put it in quotes"));
                continue;
            };
            let line = key_node.place.line;
            if let Some(first) = lines.get(&key) {
                let message = format!("duplicate key `{}`", shown(&key));
                let hint = format!("it is already in line {first}");
                self.problems.push(Problem::error(&key_node.place, message).hint(hint));
                continue;
            }
            lines.insert(key.clone(), line);
            entries.push(Entry { key, key_place: key_node.place, value });
        }
    }

    fn refuse_anchor_and_tag(&mut self, place: &Place, anchor: usize, tagged: bool) {
        if anchor != 0 {
            self.problems.push(
                Problem::error(place, "YAML anchors are not supported")
                    .hint("CloudFormation reads this file too and doesn't support aliases"),
            );
        }
        if tagged {
            self.problems.push(
                Problem::error(place, "YAML tags are not supported")
                    .hint("put the value in quotes if it is a string"),
            );
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, place: &Place) -> Value {
        if style != ScalarStyle::Plain {
            return Value::String(text.to_owned());
        }
        if scalar::is_ambiguous(text) {
            // The value may be a secret, so the message doesn't repeat it. The place shows which
            // value it is.
            let problem = Problem::error(place, "YAML 1.1 and YAML 1.2 read this differently");
            self.problems.push(problem.hint("put it in quotes"));
            return Value::String(text.to_owned());
        }
        scalar::read(text)
    }
}

/// Returns a key in the form that messages show: only its beginning up to the first character that
/// can't be part of a name. Without its space, `{external_id:secret}` is one long key, and messages
/// must not show the secret.
pub fn shown(key: &str) -> String {
    let is_name = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    match key.find(|c| !is_name(c)) {
        Some(end) => format!("{}…", &key[..end]),
        None => key.to_owned(),
    }
}

/// Translates the parser's positions, which count characters, into bytes.
struct Lines<'a> {
    text: &'a str,
    /// The byte offset of each line's first character.
    starts: Vec<usize>,
    /// The line, column and byte offset of the last lookup.
    last: Cell<(usize, usize, usize)>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let starts =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts, last: Cell::new((1, 0, 0)) }
    }

    fn offset(&self, marker: Marker) -> usize {
        let Some(start) = self.starts.get(marker.line().saturating_sub(1)) else {
            return self.text.len();
        };
        // Lookups come in the order of the text. Continuing from the last one walks a long line
        // only once.
        let (line, column, byte) = self.last.get();
        let (column, byte) = if line == marker.line() && column <= marker.col() {
            (column, byte)
        } else {
            (0, *start)
        };
        let mut ahead = self.text[byte..].char_indices();
        let byte = ahead.nth(marker.col() - column).map_or(self.text.len(), |(at, _)| byte + at);
        self.last.set((marker.line(), marker.col(), byte));
        byte
    }

    fn place(&self, span: Span) -> Place {
        let start = self.offset(span.start);
        Place {
            line: span.start.line(),
            column: span.start.col() + 1,
            bytes: start..self.offset(span.end).max(start),
        }
    }
}
