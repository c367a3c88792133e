//! Plain scalars: how the core schema of YAML 1.2 reads them, and whether YAML 1.1 agrees.

use serde_json::{Number, Value};

/// Returns the value of a plain scalar: null, a boolean, a number or, for anything else, its text.
pub(crate) fn read(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok().map(Number::from);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    if let Ok(integer) = text.parse::<i64>() {
        return Some(integer.into());
    }
    if let Ok(integer) = text.parse::<u64>() {
        return Some(integer.into());
    }
    text.parse().ok().and_then(Number::from_f64)
}

/// Returns `true` if YAML 1.1 may read a plain scalar differently than the core schema of YAML 1.2.
/// That includes the booleans and dates of 1.1 (<https://yaml.org/type/>), and every number that
/// the two don't write alike.
pub(crate) fn is_ambiguous(text: &str) -> bool {
    const WORDS: [&str; 6] = ["y", "n", "yes", "no", "on", "off"];
    let lower = text.to_ascii_lowercase();
    if WORDS.contains(&lower.as_str()) || text == "<<" || text == "=" {
        return true;
    }
    let unsigned = lower.strip_prefix(['+', '-']).unwrap_or(&lower);
    let is_signed = unsigned.len() < lower.len();
    if matches!(unsigned, ".inf" | ".nan") {
        return true;
    }
    let are = |text: &str, allowed: fn(char) -> bool| !text.is_empty() && text.chars().all(allowed);
    let digits = |text: &str| are(text, |c| c.is_ascii_digit());
    if let Some(rest) = unsigned.strip_prefix("0x") {
        let is_number = are(rest, |c| c.is_ascii_hexdigit() || c == '_');
        return is_number && (is_signed || rest.contains('_') || text.starts_with("0X"));
    }
    if let Some(rest) = unsigned.strip_prefix("0o").or_else(|| unsigned.strip_prefix("0b")) {
        return are(rest, |c| c.is_ascii_digit() || c == '_');
    }
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return false;
    }
    if let Some((year, rest)) = unsigned.split_once('-')
        && year.len() == 4
        && digits(year)
        && let Some((month, day)) = rest.split_once('-')
    {
        return digits(month) && day.starts_with(|c: char| c.is_ascii_digit());
    }
    // In 1.1, a number with an exponent needs a point and a sign. In 1.2, it needs neither.
    let (mantissa, has_exponent) = match unsigned.split_once('e') {
        Some((mantissa, exponent)) => {
            let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            (mantissa, are(exponent, |c| c.is_ascii_digit() || c == '_'))
        }
        None => (unsigned, false),
    };
    if mantissa.len() < unsigned.len() && !has_exponent {
        return false;
    }
    let is_number = are(mantissa, |c| c.is_ascii_digit() || "_.:".contains(c))
        && mantissa.contains(|c: char| c.is_ascii_digit())
        && mantissa.matches('.').count() <= 1;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_the_same = !has_exponent
        && (fraction.is_empty() || digits(fraction))
        && match whole {
            "" => !is_signed,
            "0" => true,
            _ => digits(whole) && (!whole.starts_with('0') || mantissa.contains('.')),
        };
    is_number && !is_the_same
}
