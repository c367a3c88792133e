//! Conditions: those of writes, of filters, and of keys.

use serde_json::Value;

use super::Refused;
use super::value::{Item, Number, Scalar, is_same, number_value, scalar, size};
use super::words::{Names, Reader};

#[derive(Debug)]
pub(super) enum Condition<'a> {
    Or(Box<Condition<'a>>, Box<Condition<'a>>),
    And(Box<Condition<'a>>, Box<Condition<'a>>),
    Not(Box<Condition<'a>>),
    Exists(&'a str),
    NotExists(&'a str),
    BeginsWith(Operand<'a>, Operand<'a>),
    Compare(Operand<'a>, Comparison, Operand<'a>),
    Between(Operand<'a>, Operand<'a>, Operand<'a>),
    In(Operand<'a>, Vec<Operand<'a>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

const COMPARISONS: [(&str, Comparison); 6] = [
    ("=", Comparison::Equal),
    ("<>", Comparison::NotEqual),
    ("<", Comparison::Less),
    ("<=", Comparison::LessOrEqual),
    (">", Comparison::Greater),
    (">=", Comparison::GreaterOrEqual),
];

#[derive(Clone, Copy, Debug)]
pub(super) enum Operand<'a> {
    Attribute(&'a str),
    Value(&'a Value),
    Size(&'a str),
}

impl<'a> Condition<'a> {
    /// Reads the expression under `member` of a request, if there is one.
    pub(super) fn read(
        body: &'a Value,
        member: &str,
        names: &Names<'a>,
    ) -> Result<Option<Condition<'a>>, Refused> {
        let Some(text) = body[member].as_str() else { return Ok(None) };
        let mut reader = Reader::new(text, names)?;
        let condition = either(&mut reader)?;
        match reader.is_at_end() {
            true => Ok(Some(condition)),
            false => Err(reader.error("Syntax error; something follows its end")),
        }
    }

    pub(super) fn holds(&self, item: &Item) -> bool {
        match self {
            Condition::Or(one, other) => one.holds(item) || other.holds(item),
            Condition::And(one, other) => one.holds(item) && other.holds(item),
            Condition::Not(condition) => !condition.holds(item),
            Condition::Exists(name) => item.contains_key(*name),
            Condition::NotExists(name) => !item.contains_key(*name),
            Condition::BeginsWith(operand, prefix) => match (operand.in_(item), prefix.in_(item)) {
                (Some(value), Some(prefix)) => match (scalar(&value), scalar(&prefix)) {
                    (Some(Scalar::Text(text)), Some(Scalar::Text(prefix))) => {
                        text.starts_with(&prefix)
                    }
                    _ => false,
                },
                _ => false,
            },
            Condition::Compare(one, comparison, other) => {
                compare(one.in_(item).as_deref(), *comparison, other.in_(item).as_deref())
            }
            Condition::Between(operand, low, high) => {
                let value = operand.in_(item);
                let value = value.as_deref();
                compare(low.in_(item).as_deref(), Comparison::LessOrEqual, value)
                    && compare(value, Comparison::LessOrEqual, high.in_(item).as_deref())
            }
            Condition::In(operand, list) => {
                let value = operand.in_(item);
                let is = |other: &Operand<'_>| {
                    compare(value.as_deref(), Comparison::Equal, other.in_(item).as_deref())
                };
                list.iter().any(is)
            }
        }
    }
}

impl Operand<'_> {
    /// Returns the operand's value for this item, or `None` if the item lacks the attribute.
    fn in_<'v>(&'v self, item: &'v Item) -> Option<std::borrow::Cow<'v, Value>> {
        use std::borrow::Cow;
        match self {
            Operand::Attribute(name) => item.get(*name).map(Cow::Borrowed),
            Operand::Value(value) => Some(Cow::Borrowed(value)),
            Operand::Size(name) => {
                let size = size(item.get(*name)?).ok()?.to_string();
                Some(Cow::Owned(number_value(Number::parse(&size)?)))
            }
        }
    }
}

/// Compares two operands. An absent operand is equal to nothing, and neither less nor greater.
/// Values of different types are never ordered.
fn compare(one: Option<&Value>, comparison: Comparison, other: Option<&Value>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return comparison == Comparison::NotEqual };
    match comparison {
        Comparison::Equal => return is_same(one, other),
        Comparison::NotEqual => return !is_same(one, other),
        _ => {}
    }
    let order = match (scalar(one), scalar(other)) {
        (Some(Scalar::Number(one)), Some(Scalar::Number(other))) => one.cmp(&other),
        (Some(Scalar::Text(one)), Some(Scalar::Text(other))) => one.cmp(&other),
        _ => return false,
    };
    match comparison {
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        _ => order.is_ge(),
    }
}

fn either<'a>(reader: &mut Reader<'a, '_>) -> Result<Condition<'a>, Refused> {
    let mut condition = both(reader)?;
    while reader.keyword("OR")? {
        condition = Condition::Or(Box::new(condition), Box::new(both(reader)?));
    }
    Ok(condition)
}

fn both<'a>(reader: &mut Reader<'a, '_>) -> Result<Condition<'a>, Refused> {
    let mut condition = one(reader)?;
    while reader.keyword("AND")? {
        condition = Condition::And(Box::new(condition), Box::new(one(reader)?));
    }
    Ok(condition)
}

fn one<'a>(reader: &mut Reader<'a, '_>) -> Result<Condition<'a>, Refused> {
    if reader.keyword("NOT")? {
        return Ok(Condition::Not(Box::new(one(reader)?)));
    }
    if reader.sign("(")? {
        let condition = either(reader)?;
        reader.expect(")")?;
        return Ok(condition);
    }
    let first = match reader.function()? {
        None => operand(reader)?,
        Some("size") => size_of(reader)?,
        Some(function) => {
            let condition = match function {
                "attribute_exists" => Condition::Exists(reader.attribute()?),
                "attribute_not_exists" => Condition::NotExists(reader.attribute()?),
                "begins_with" => {
                    let value = operand(reader)?;
                    reader.expect(",")?;
                    Condition::BeginsWith(value, operand(reader)?)
                }
                _ => return Err(reader.error(&format!("the stand-in has no function {function}"))),
            };
            reader.expect(")")?;
            return Ok(condition);
        }
    };
    if reader.keyword("BETWEEN")? {
        let low = operand(reader)?;
        if !reader.keyword("AND")? {
            return Err(reader.error("Syntax error; `AND` expected"));
        }
        return Ok(Condition::Between(first, low, operand(reader)?));
    }
    if reader.keyword("IN")? {
        reader.expect("(")?;
        let mut list = vec![operand(reader)?];
        while reader.sign(",")? {
            list.push(operand(reader)?);
        }
        reader.expect(")")?;
        return Ok(Condition::In(first, list));
    }
    for (sign, comparison) in COMPARISONS {
        if reader.sign(sign)? {
            return Ok(Condition::Compare(first, comparison, operand(reader)?));
        }
    }
    Err(reader.error("Syntax error; a comparison is expected"))
}

fn operand<'a>(reader: &mut Reader<'a, '_>) -> Result<Operand<'a>, Refused> {
    if let Some(value) = reader.value()? {
        return Ok(Operand::Value(value));
    }
    match reader.function()? {
        None => Ok(Operand::Attribute(reader.attribute()?)),
        Some("size") => size_of(reader),
        Some(other) => Err(reader.error(&format!("`{other}` is not an operand"))),
    }
}

fn size_of<'a>(reader: &mut Reader<'a, '_>) -> Result<Operand<'a>, Refused> {
    let name = reader.attribute()?;
    reader.expect(")")?;
    Ok(Operand::Size(name))
}
