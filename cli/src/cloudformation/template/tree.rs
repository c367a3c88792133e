//! A template's YAML as a tree that knows where its scalars stand, tags included.
//!
//! CloudFormation's own reading of the template counts: this one only looks for what is rewritten or
//! shown.

use std::ops::Range;

use anyhow::{Context, bail};
use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

/// Deeper nesting is refused, so that no file can exhaust the stack.
const MAX_DEPTH: usize = 64;

#[derive(Debug)]
pub enum Node {
    Scalar(Scalar),
    Map(Vec<(String, Node)>),
    Sequence(Vec<Node>),
    /// An alias, or a mapping with a key that is no text.
    Other,
}

#[derive(Debug)]
pub struct Scalar {
    pub value: String,
    /// `Sub` of `!Sub`.
    pub tag: Option<String>,
    /// The bytes that hold the value, its tag and its quotes included.
    pub place: Range<usize>,
    /// Whether it stands on one line, plain or in quotes.
    pub is_flow: bool,
}

impl Node {
    /// The value of a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let Self::Map(entries) = self else { return None };
        entries.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    pub fn entries(&self) -> &[(String, Node)] {
        match self {
            Self::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The text of a scalar without a tag.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Scalar(scalar) if scalar.tag.is_none() => Some(&scalar.value),
            _ => None,
        }
    }
}

/// The first document of `text`.
pub fn read(text: &str) -> anyhow::Result<Node> {
    let offsets: Vec<usize> =
        text.char_indices().map(|(at, _)| at).chain(std::iter::once(text.len())).collect();
    let mut reader = Reader { parser: Parser::new_from_str(text), text, offsets };
    loop {
        match reader.next()? {
            (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
            (Event::StreamEnd | Event::DocumentEnd, _) => bail!("it is empty"),
            (event, span) => return reader.node(event, span, 0),
        }
    }
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    text: &'a str,
    /// The bytes that characters begin at.
    offsets: Vec<usize>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> anyhow::Result<(Event<'a>, Span)> {
        let next = self.parser.next_event().context("it ends in the middle")?;
        next.map_err(|error| anyhow::anyhow!("it is no YAML: {error}"))
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> anyhow::Result<Node> {
        if depth > MAX_DEPTH {
            bail!("it is nested deeper than {MAX_DEPTH} levels");
        }
        match event {
            Event::Scalar(value, style, _, tag) => Ok(Node::Scalar(Scalar {
                value: value.into_owned(),
                tag: tag.map(|tag| name(&tag)),
                place: self.place(span),
                is_flow: !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded)
                    && span.start.line() == span.end.line(),
            })),
            Event::SequenceStart(_, tag) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => {
                            return Ok(called(tag.as_deref(), Node::Sequence(items)));
                        }
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut entries = Vec::new();
                let mut is_plain = true;
                loop {
                    let key = match self.next()? {
                        (Event::MappingEnd, _) if is_plain => return Ok(Node::Map(entries)),
                        (Event::MappingEnd, _) => return Ok(Node::Other),
                        (event, span) => self.node(event, span, depth + 1)?,
                    };
                    let (event, span) = self.next()?;
                    let value = self.node(event, span, depth + 1)?;
                    match key {
                        Node::Scalar(key) => entries.push((key.value, value)),
                        _ => is_plain = false,
                    }
                }
            }
            Event::Alias(_) => Ok(Node::Other),
            _ => bail!("it is no YAML: something stands where a value should"),
        }
    }

    /// The parser's span of a scalar in quotes takes in the spaces after it.
    fn place(&self, span: Span) -> Range<usize> {
        let (start, end) = (self.offset(span.start.index()), self.offset(span.end.index()));
        let text = self.text.get(start..end).unwrap_or_default();
        start..start + text.trim_end().len()
    }

    fn offset(&self, index: usize) -> usize {
        self.offsets.get(index).or(self.offsets.last()).copied().unwrap_or_default()
    }
}

fn name(tag: &Tag) -> String {
    tag.suffix.clone()
}

/// `!Join […]` is short for `Fn::Join: […]`.
fn called(tag: Option<&Tag>, operands: Node) -> Node {
    match tag {
        Some(tag) if tag.handle == "!" => {
            Node::Map(vec![(format!("Fn::{}", tag.suffix), operands)])
        }
        _ => operands,
    }
}
