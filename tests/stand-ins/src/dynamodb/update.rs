//! Update expressions: `SET`, `REMOVE`, and `ADD` of numbers.

use serde_json::Value;

use super::Refused;
use super::value::{Item, number, number_value};
use super::words::{Names, Reader};

#[derive(Debug)]
pub(super) struct Update<'a> {
    changes: Vec<(&'a str, Change<'a>)>,
}

#[derive(Debug)]
enum Change<'a> {
    Set(Term<'a>),
    Plus(Term<'a>, Term<'a>),
    Minus(Term<'a>, Term<'a>),
    Add(&'a Value),
    Remove,
}

#[derive(Debug)]
enum Term<'a> {
    Value(&'a Value),
    Attribute(&'a str),
    IfNotExists(&'a str, Box<Term<'a>>),
}

impl<'a> Update<'a> {
    /// Reads the `UpdateExpression` of a request. Without one, the update creates the item if it
    /// doesn't exist.
    pub(super) fn read(body: &'a Value, names: &Names<'a>) -> Result<Update<'a>, Refused> {
        let mut changes: Vec<(&'a str, Change<'a>)> = Vec::new();
        let Some(text) = body["UpdateExpression"].as_str() else { return Ok(Update { changes }) };
        let mut reader = Reader::new(text, names)?;
        while !reader.is_at_end() {
            let section = ["SET", "REMOVE", "ADD"].into_iter().try_fold(None, |found, word| {
                Ok(match found {
                    None if reader.keyword(word)? => Some(word),
                    found => found,
                })
            })?;
            let Some(section) = section else {
                return Err(reader.error("Syntax error; `SET`, `REMOVE` or `ADD` expected"));
            };
            loop {
                let name = reader.attribute()?;
                let change = match section {
                    "REMOVE" => Change::Remove,
                    "SET" => set(&mut reader)?,
                    _ => Change::Add(
                        reader.value()?.ok_or_else(|| reader.error("Syntax error; no value"))?,
                    ),
                };
                if changes.iter().any(|(other, _)| *other == name) {
                    return Err(reader.error(&format!(
                        "Two document paths overlap with each other; must remove or rewrite one of \
                         these paths; path one: [{name}], path two: [{name}]"
                    )));
                }
                changes.push((name, change));
                if !reader.sign(",")? {
                    break;
                }
            }
        }
        Ok(Update { changes })
    }

    pub(super) fn attributes(&self) -> impl Iterator<Item = &'a str> {
        self.changes.iter().map(|(name, _)| *name)
    }

    /// Changes `item`. The expression reads the attributes as they were before.
    ///
    /// # Errors
    /// The expression refers to an attribute that doesn't exist, or calculates with something other
    /// than a number.
    pub(super) fn apply(&self, item: &mut Item) -> Result<(), String> {
        let mut values = Vec::with_capacity(self.changes.len());
        for (name, change) in &self.changes {
            values.push(match change {
                Change::Remove => None,
                Change::Set(term) => Some(term.in_(item)?),
                Change::Plus(one, other) => Some(sum(&one.in_(item)?, &other.in_(item)?, true)?),
                Change::Minus(one, other) => Some(sum(&one.in_(item)?, &other.in_(item)?, false)?),
                Change::Add(value) => Some(match item.get(*name) {
                    Some(before) => sum(before, value, true)?,
                    None => (*value).clone(),
                }),
            });
        }
        for ((name, _), value) in self.changes.iter().zip(values) {
            match value {
                Some(value) => item.insert((*name).to_owned(), value),
                None => item.remove(*name),
            };
        }
        Ok(())
    }
}

impl Term<'_> {
    fn in_(&self, item: &Item) -> Result<Value, String> {
        match self {
            Term::Value(value) => Ok((*value).clone()),
            Term::Attribute(name) => item.get(*name).cloned().ok_or_else(|| {
                "The provided expression refers to an attribute that does not exist in the item"
                    .to_owned()
            }),
            Term::IfNotExists(name, other) => match item.get(*name) {
                Some(value) => Ok(value.clone()),
                None => other.in_(item),
            },
        }
    }
}

fn sum(one: &Value, other: &Value, is_plus: bool) -> Result<Value, String> {
    let (Some(one), Some(other)) = (number(one), number(other)) else {
        return Err("An operand in the update expression has an incorrect data type".to_owned());
    };
    let sum = if is_plus { one.plus(other) } else { one.minus(other) };
    sum.map(number_value).ok_or_else(|| "Number overflow".to_owned())
}

fn set<'a>(reader: &mut Reader<'a, '_>) -> Result<Change<'a>, Refused> {
    reader.expect("=")?;
    let first = term(reader)?;
    if reader.sign("+")? {
        Ok(Change::Plus(first, term(reader)?))
    } else if reader.sign("-")? {
        Ok(Change::Minus(first, term(reader)?))
    } else {
        Ok(Change::Set(first))
    }
}

fn term<'a>(reader: &mut Reader<'a, '_>) -> Result<Term<'a>, Refused> {
    if let Some(value) = reader.value()? {
        return Ok(Term::Value(value));
    }
    match reader.function()? {
        None => Ok(Term::Attribute(reader.attribute()?)),
        Some("if_not_exists") => {
            let name = reader.attribute()?;
            reader.expect(",")?;
            let other = term(reader)?;
            reader.expect(")")?;
            Ok(Term::IfNotExists(name, Box::new(other)))
        }
        Some(other) => Err(reader.error(&format!("the stand-in has no function {other}"))),
    }
}
