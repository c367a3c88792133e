//! The time at which CloudFormation issued a request, according to the signature of its response URL.
//!
//! There is one type for it, which holds real dates only. The value that is judged to be fresh and the value that
//! is remembered as the latest are the same, so they can't disagree.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::{Date, Month, OffsetDateTime};

use crate::moment::Time;

/// A second of the calendar, in UTC, in 1970 or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Issued {
    /// `YYYYMMDDhhmmss` as a decimal number, which sorts in the order of time. This number is stored.
    digits: u64,
    at: Time,
}

impl Issued {
    /// Parses `YYYYMMDDThhmmssZ`, the form of `X-Amz-Date`. Returns `None` if that isn't a date of the calendar or
    /// lies before 1970.
    pub fn parse(text: &str) -> Option<Self> {
        let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
        let is_number = |text: &str, length| {
            text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_number(day, 8) || !is_number(time, 6) {
            return None;
        }
        Self::of_digits(format!("{day}{time}").parse().ok()?)
    }

    /// Returns the date that the fourteen digits stand for, or `None` if there is no such date.
    pub fn of_digits(digits: u64) -> Option<Self> {
        let field = |unit: u64, size: u64| u8::try_from(digits / unit % size).ok();
        let year = i32::try_from(digits / 10_000_000_000).ok()?;
        let month = Month::try_from(field(100_000_000, 100)?).ok()?;
        let day = Date::from_calendar_date(year, month, field(1_000_000, 100)?).ok()?;
        let time = day.with_hms(field(10_000, 100)?, field(100, 100)?, field(1, 100)?).ok()?;
        let seconds = time.assume_utc().unix_timestamp();
        let at = Time(u64::try_from(seconds).ok()?.checked_mul(1_000)?);
        Some(Self { digits, at })
    }

    /// Returns the second that contains `time`, or `None` beyond the range of the calendar.
    pub fn of_time(time: Time) -> Option<Self> {
        let seconds = i64::try_from(time.seconds()).ok()?;
        let time = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
        let (year, month, day) = time.to_calendar_date();
        let (hour, minute, second) = time.to_hms();
        let fields = [u8::from(month), day, hour, minute, second];
        let year = u64::try_from(year).ok()?;
        Self::of_digits(
            fields.into_iter().fold(year, |number, field| number * 100 + u64::from(field)),
        )
    }

    /// Returns the beginning of that second.
    pub fn time(self) -> Time {
        self.at
    }
}

/// Writes a number of fourteen digits, as every version has done.
impl Serialize for Issued {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.digits)
    }
}

/// Reads the stored number. Returns `None` for a number that isn't a date: earlier versions stored any fourteen
/// digits, and a date that is never reached would make every later request look old.
pub(super) fn stored<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Issued>, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    Ok(value.as_u64().and_then(Issued::of_digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_to_the_second_and_keeps_the_order_of_time() {
        for (text, seconds) in [
            ("19700101T000000Z", 0),
            ("20240229T120000Z", 1_709_208_000),
            ("20261231T235959Z", 1_798_761_599),
            ("20270101T000000Z", 1_798_761_600),
        ] {
            let issued = Issued::parse(text).expect(text);
            assert_eq!(issued.time(), Time(seconds * 1_000), "{text}");
            assert_eq!(Issued::of_time(Time(seconds * 1_000 + 999)), Some(issued), "{text}");
        }
        let parse = |text| Issued::parse(text).expect("a date");
        assert!(parse("20261231T235959Z") < parse("20270101T000000Z"));
    }

    #[test]
    fn what_is_no_date_of_the_calendar_is_none() {
        for text in [
            "",
            "Z",
            "T",
            "99999999T999999Z",
            "20261301T000000Z",
            "20260001T000000Z",
            "20260230T000000Z",
            "20250229T000000Z",
            "20260101T240000Z",
            "20260101T006000Z",
            "20260101T000060Z",
            "19691231T235959Z",
            "00000000T000000Z",
            "20260101T000000",
            "2026-01-01T00:00:00Z",
            "+2026101T000000Z",
            "20260101t000000z",
            " 20260101T000000Z",
            "20260101T000000ZZ",
            "٢٠٢٦٠١٠١T000000Z",
        ] {
            assert_eq!(Issued::parse(text), None, "{text}");
        }
        assert_eq!(Issued::of_digits(u64::MAX), None);
    }
}
