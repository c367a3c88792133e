//! Attribute values: numbers, keys, sizes. Binary values can be stored but can't be keys.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Map, Value, json};

/// Attributes by name, each as on the wire: `{"S": "text"}`.
pub(crate) type Item = Map<String, Value>;

/// The parts of a key, in the order in which they sort.
pub(crate) type Key = Vec<Scalar>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scalar {
    Number(Number),
    /// A text. UTF-8 sorts bytewise, as in DynamoDB.
    Text(String),
    /// Sorts after all other values. It occurs in bounds only.
    Last,
}

/// A decimal number of at most 38 digits: `coefficient` times ten to the power of `exponent`. The
/// coefficient has no trailing zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Number {
    coefficient: i128,
    exponent: i32,
}

/// The maximum number of digits.
const MAX_DIGITS: usize = 38;

impl Number {
    pub(crate) fn parse(text: &str) -> Option<Number> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let digits = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all = format!("{whole}{fraction}");
        if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let trimmed = all.trim_start_matches('0').trim_end_matches('0');
        if trimmed.len() > MAX_DIGITS {
            return None;
        }
        let zeros = all.len() - all.trim_end_matches('0').len();
        let shift = i32::try_from(zeros).ok()? - i32::try_from(fraction.len()).ok()?;
        let coefficient: i128 = if trimmed.is_empty() { 0 } else { trimmed.parse().ok()? };
        let coefficient = if mantissa.starts_with('-') { -coefficient } else { coefficient };
        Number { coefficient, exponent: exponent.checked_add(shift)? }.checked()
    }

    /// Returns the number in its canonical form, or `None` if DynamoDB can't hold it.
    fn checked(mut self) -> Option<Number> {
        if self.coefficient == 0 {
            return Some(Number { coefficient: 0, exponent: 0 });
        }
        while self.coefficient % 10 == 0 {
            self.coefficient /= 10;
            self.exponent += 1;
        }
        (-130..126).contains(&self.magnitude()).then_some(self)
    }

    /// Returns the decimal place of the first digit.
    fn magnitude(self) -> i32 {
        let digits = self.coefficient.unsigned_abs().checked_ilog10().unwrap_or(0);
        digits as i32 + self.exponent
    }

    fn at_exponent(self, exponent: i32) -> Option<i128> {
        let places = u32::try_from(self.exponent - exponent).ok()?;
        self.coefficient.checked_mul(10_i128.checked_pow(places)?)
    }

    pub(crate) fn plus(self, other: Number) -> Option<Number> {
        let exponent = self.exponent.min(other.exponent);
        let sum = self.at_exponent(exponent)?.checked_add(other.at_exponent(exponent)?)?;
        Number { coefficient: sum, exponent }.checked()
    }

    pub(crate) fn minus(self, other: Number) -> Option<Number> {
        self.plus(Number { coefficient: -other.coefficient, ..other })
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        let signs = self.coefficient.signum().cmp(&other.coefficient.signum());
        let magnitudes = match self.coefficient.signum() {
            1 => self.magnitude().cmp(&other.magnitude()),
            -1 => other.magnitude().cmp(&self.magnitude()),
            _ => Ordering::Equal,
        };
        signs.then(magnitudes).then_with(|| {
            // Because the magnitudes are equal, both numbers fit into the digits that a number may
            // have.
            let exponent = self.exponent.min(other.exponent);
            self.at_exponent(exponent).cmp(&other.at_exponent(exponent))
        })
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.coefficient.unsigned_abs().to_string();
        let sign = if self.coefficient < 0 { "-" } else { "" };
        let Ok(places) = usize::try_from(-self.exponent) else {
            let zeros = usize::try_from(self.exponent).unwrap_or(0);
            return write!(f, "{sign}{digits}{:0<zeros$}", "");
        };
        match digits.len().checked_sub(places) {
            Some(whole) if places == 0 => write!(f, "{sign}{}", &digits[..whole]),
            Some(whole) if whole > 0 => {
                write!(f, "{sign}{}.{}", &digits[..whole], &digits[whole..])
            }
            _ => write!(f, "{sign}0.{digits:0>places$}"),
        }
    }
}

/// Reads a value that sorts: a number or a text.
pub(crate) fn scalar(value: &Value) -> Option<Scalar> {
    match tagged(value)? {
        ("S", Value::String(text)) => Some(Scalar::Text(text.clone())),
        ("N", Value::String(text)) => Number::parse(text).map(Scalar::Number),
        _ => None,
    }
}

pub(crate) fn number(value: &Value) -> Option<Number> {
    Number::parse(value.get("N")?.as_str()?)
}

pub(crate) fn number_value(number: Number) -> Value {
    json!({ "N": number.to_string() })
}

/// Returns the type of a value and its content.
fn tagged(value: &Value) -> Option<(&str, &Value)> {
    let object = value.as_object()?;
    let (tag, content) = object.iter().next()?;
    (object.len() == 1).then_some((tag.as_str(), content))
}

/// Returns `true` if two values are the same to DynamoDB: `1` is `1.0`.
pub(crate) fn is_same(one: &Value, other: &Value) -> bool {
    match (number(one), number(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// Returns the size of an item in bytes, as AWS counts it.
///
/// # Errors
/// Says what is wrong with an attribute.
pub(crate) fn item_size(item: &Item) -> Result<usize, String> {
    item.iter().map(|(name, value)| Ok(name.len() + size(value)?)).sum()
}

/// Returns the size of a value in bytes.
pub(crate) fn size(value: &Value) -> Result<usize, String> {
    let invalid = || "Supplied AttributeValue has an unsupported or malformed value".to_owned();
    let (tag, content) = tagged(value).ok_or(
        "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
    )?;
    let number_size = |text: &str| {
        Number::parse(text)
            .map(|number| number.coefficient.unsigned_abs().to_string().len().div_ceil(2) + 1)
            .ok_or("The parameter cannot be converted to a numeric value".to_owned())
    };
    match (tag, content) {
        ("S", Value::String(text)) => Ok(text.len()),
        ("N", Value::String(text)) => number_size(text),
        ("B", Value::String(text)) => Ok(text.len() / 4 * 3),
        ("BOOL", Value::Bool(_)) | ("NULL", Value::Bool(true)) => Ok(1),
        ("SS" | "BS" | "NS", Value::Array(members)) if !members.is_empty() => members
            .iter()
            .map(|member| match (tag, member.as_str().ok_or_else(invalid)?) {
                ("NS", text) => number_size(text),
                ("SS", text) => Ok(text.len()),
                (_, text) => Ok(text.len() / 4 * 3),
            })
            .sum(),
        ("L", Value::Array(members)) => {
            members.iter().try_fold(3, |sum, member| Ok(sum + 1 + size(member)?))
        }
        ("M", Value::Object(members)) => Ok(3 + members.len() + item_size(members)?),
        _ => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Number {
        Number::parse(text).expect(text)
    }

    #[test]
    fn numbers_sort_by_what_they_are_not_by_how_they_are_written() {
        let ascending =
            ["-1e3", "-999.5", "-0.1", "-0.01", "0", "1e-130", "0.5", "9", "10", "1700000000000"];
        for pair in ascending.windows(2) {
            assert!(parsed(pair[0]) < parsed(pair[1]), "{pair:?}");
        }
        assert_eq!(parsed("1.50"), parsed("15e-1"));
        assert_eq!(parsed("-0"), parsed("0.00"));
    }

    #[test]
    fn numbers_are_printed_in_full_and_added_exactly() {
        for (text, printed) in
            [("007", "7"), ("1e3", "1000"), ("-12.50", "-12.5"), ("5e-3", "0.005"), ("0.0", "0")]
        {
            assert_eq!(parsed(text).to_string(), printed);
        }
        assert_eq!(parsed("0.1").plus(parsed("0.2")), Some(parsed("0.3")));
        assert_eq!(parsed("1").minus(parsed("1")), Some(parsed("0")));
        for text in ["", "-", "1x", "1e200", "123456789012345678901234567890123456789"] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
    }
}
