//! The words of expressions, and their placeholders: `#name`, `:value`.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::Refused;
use super::value::size;

/// Names that DynamoDB reserves, so that expressions must write them as `#name`.
static RESERVED: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("reserved_words.txt").split_whitespace().collect());

/// The names and values that the expressions of one request (or of one action of a transaction) may
/// refer to.
pub(super) struct Names<'a> {
    names: Option<&'a Map<String, Value>>,
    values: Option<&'a Map<String, Value>>,
    used: RefCell<HashSet<String>>,
}

impl<'a> Names<'a> {
    pub(super) fn read(body: &'a Value) -> Result<Names<'a>, Refused> {
        let values = body["ExpressionAttributeValues"].as_object();
        for value in values.into_iter().flat_map(Map::values) {
            size(value).map_err(Refused::invalid)?;
        }
        let names = body["ExpressionAttributeNames"].as_object();
        Ok(Names { names, values, used: RefCell::default() })
    }

    /// Fails if no expression uses a name or a value, as DynamoDB does.
    pub(super) fn finish(self) -> Result<(), Refused> {
        let used = self.used.borrow();
        for (what, given) in [("Names", self.names), ("Values", self.values)] {
            if let Some(idle) =
                given.and_then(|given| given.keys().find(|name| !used.contains(*name)))
            {
                return Err(Refused::invalid(format!(
                    "Value provided in ExpressionAttribute{what} unused in expressions: keys: {{{idle}}}"
                )));
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'t> {
    /// A word, `#name` or `:value`.
    Word(&'t str),
    Sign(&'t str),
    End,
}

/// Reads one expression from left to right.
pub(super) struct Reader<'a, 'n> {
    text: &'a str,
    rest: &'a str,
    token: Token<'a>,
    names: &'n Names<'a>,
}

const SIGNS: [&str; 12] = ["<=", ">=", "<>", "=", "<", ">", "(", ")", ",", "+", "-", "."];

impl<'a, 'n> Reader<'a, 'n> {
    pub(super) fn new(text: &'a str, names: &'n Names<'a>) -> Result<Self, Refused> {
        let mut reader = Reader { text, rest: text, token: Token::End, names };
        reader.advance()?;
        Ok(reader)
    }

    pub(super) fn error(&self, problem: &str) -> Refused {
        Refused::invalid(format!("Invalid expression `{}`: {problem}", self.text))
    }

    fn advance(&mut self) -> Result<(), Refused> {
        let rest = self.rest.trim_start();
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let marked = rest.strip_prefix(['#', ':']).unwrap_or(rest);
        let word = marked.find(|c| !is_word(c)).unwrap_or(marked.len());
        let length = if word > 0 { rest.len() - marked.len() + word } else { 0 };
        let token = if length > 0 {
            Token::Word(&rest[..length])
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            Token::Sign(&rest[..sign.len()])
        } else if rest.is_empty() {
            Token::End
        } else {
            return Err(self.error(&format!("Syntax error; near: {rest}")));
        };
        let length = match token {
            Token::Word(text) | Token::Sign(text) => text.len(),
            Token::End => 0,
        };
        (self.token, self.rest) = (token, &rest[length..]);
        Ok(())
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.token == Token::End
    }

    /// Takes the keyword if it comes next.
    pub(super) fn keyword(&mut self, keyword: &str) -> Result<bool, Refused> {
        let is_next = matches!(self.token, Token::Word(word) if word.eq_ignore_ascii_case(keyword));
        if is_next {
            self.advance()?;
        }
        Ok(is_next)
    }

    /// Takes the sign if it comes next.
    pub(super) fn sign(&mut self, sign: &str) -> Result<bool, Refused> {
        let is_next = self.token == Token::Sign(sign);
        if is_next {
            self.advance()?;
        }
        Ok(is_next)
    }

    pub(super) fn expect(&mut self, sign: &str) -> Result<(), Refused> {
        match self.sign(sign)? {
            true => Ok(()),
            false => {
                Err(self.error(&format!("Syntax error; `{sign}` expected before: {}", self.rest)))
            }
        }
    }

    /// Takes the name of a function and its opening parenthesis if they come next.
    pub(super) fn function(&mut self) -> Result<Option<&'a str>, Refused> {
        match self.token {
            Token::Word(name) if self.rest.trim_start().starts_with('(') => {
                self.advance()?;
                self.expect("(")?;
                Ok(Some(name))
            }
            _ => Ok(None),
        }
    }

    /// Takes a `:value` if one comes next.
    pub(super) fn value(&mut self) -> Result<Option<&'a Value>, Refused> {
        let Token::Word(word) = self.token else { return Ok(None) };
        if !word.starts_with(':') {
            return Ok(None);
        }
        self.names.used.borrow_mut().insert(word.to_owned());
        let value = self.names.values.and_then(|values| values.get(word)).ok_or_else(|| {
            self.error(&format!("An expression attribute value used in expression is not defined; attribute value: {word}"))
        })?;
        self.advance()?;
        Ok(Some(value))
    }

    /// Takes the name of an attribute of the item itself. Parts of a value can't be named here.
    pub(super) fn attribute(&mut self) -> Result<&'a str, Refused> {
        let Token::Word(word) = self.token else {
            return Err(self.error("Syntax error; an attribute is expected"));
        };
        let name = if word.starts_with('#') {
            self.names.used.borrow_mut().insert(word.to_owned());
            let name = self.names.names.and_then(|names| names.get(word)?.as_str());
            name.ok_or_else(|| {
                self.error(&format!("An expression attribute name used in the document path is not defined; attribute name: {word}"))
            })?
        } else if RESERVED.contains(word.to_ascii_uppercase().as_str()) {
            return Err(self.error(&format!(
                "Attribute name is a reserved keyword; reserved keyword: {word}"
            )));
        } else if word.starts_with(|c: char| c.is_ascii_digit() || c == ':') {
            return Err(self.error(&format!("Syntax error; token: {word}")));
        } else {
            word
        };
        self.advance()?;
        if self.token == Token::Sign(".") {
            return Err(self.error("the stand-in knows attributes of an item only"));
        }
        Ok(name)
    }
}
