//! Reads a template's YAML into a tree that knows the places of its scalars, with their tags.
//!
//! CloudFormation's own reading of the template counts. This one only finds what Landfall rewrites, shows or compares.

use std::ops::Range;

use anyhow::{Context, bail};
use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

/// The limit of nesting, so that no file can exhaust the stack.
const MAX_DEPTH: usize = 64;

/// A value of a template.
#[derive(Debug)]
pub enum Node {
    /// A scalar.
    Scalar(Scalar),
    /// A mapping, with its entries in the order of the text.
    Map(Vec<(String, Node)>),
    /// A sequence.
    Sequence(Vec<Node>),
    /// An alias, or a mapping with a key that is not text.
    Other,
}

/// A scalar of a template.
#[derive(Debug)]
pub struct Scalar {
    /// The value, without tag and quotes.
    pub value: String,
    /// The tag without its exclamation mark: `Sub` for `!Sub`.
    pub tag: Option<String>,
    /// The bytes of the value, including its tag and its quotes.
    pub place: Range<usize>,
    /// Whether the scalar is on one line, plain or in quotes.
    pub is_flow: bool,
}

impl Node {
    /// Returns the value of a mapping's key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let Self::Map(entries) = self else { return None };
        entries.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Returns the value below a path of keys.
    pub fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// Returns the entries of a mapping; none if it isn't one.
    pub fn entries(&self) -> &[(String, Node)] {
        match self {
            Self::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Returns the text of a scalar without a tag.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Scalar(scalar) if scalar.tag.is_none() => Some(&scalar.value),
            _ => None,
        }
    }
}

/// Reads the first document of `text`.
///
/// # Errors
/// Fails if the text is empty, isn't YAML, or is nested too deeply.
pub fn read(text: &str) -> anyhow::Result<Node> {
    let offsets: Vec<usize> =
        text.char_indices().map(|(at, _)| at).chain(std::iter::once(text.len())).collect();
    let mut reader = Reader { parser: Parser::new_from_str(text), text, offsets };
    loop {
        match reader.next()? {
            (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
            (Event::StreamEnd | Event::DocumentEnd, _) => bail!("the file is empty"),
            (event, span) => return reader.node(event, span, 0),
        }
    }
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    text: &'a str,
    /// The byte at which each character begins.
    offsets: Vec<usize>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> anyhow::Result<(Event<'a>, Span)> {
        let next = self.parser.next_event().context("the YAML ends too early")?;
        next.map_err(|error| anyhow::anyhow!("this is not YAML: {error}"))
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> anyhow::Result<Node> {
        if depth > MAX_DEPTH {
            bail!("the YAML is nested deeper than {MAX_DEPTH} levels");
        }
        match event {
            Event::Scalar(value, style, _, tag) => Ok(Node::Scalar(Scalar {
                value: value.into_owned(),
                tag: tag.map(|tag| tag.suffix.clone()),
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
            _ => bail!("this is not YAML: a value is missing"),
        }
    }

    /// Returns the bytes of a scalar. The parser's span of a quoted scalar includes the spaces after it.
    fn place(&self, span: Span) -> Range<usize> {
        let (start, end) = (self.offset(span.start.index()), self.offset(span.end.index()));
        let text = self.text.get(start..end).unwrap_or_default();
        start..start + text.trim_end().len()
    }

    fn offset(&self, index: usize) -> usize {
        self.offsets.get(index).or(self.offsets.last()).copied().unwrap_or_default()
    }
}

/// Writes `!Join […]` out as `Fn::Join: […]`.
fn called(tag: Option<&Tag>, operands: Node) -> Node {
    match tag {
        Some(tag) if tag.handle == "!" => {
            Node::Map(vec![(format!("Fn::{}", tag.suffix), operands)])
        }
        _ => operands,
    }
}
