//! Time as an argument: the core reads no clock.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in time, in milliseconds since 1970 in UTC.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(pub u64);

impl Time {
    /// Parses RFC 3339; `None` if `text` is something else or a time before 1970.
    pub fn parse(text: &str) -> Option<Self> {
        let nanoseconds = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
        u64::try_from(nanoseconds / 1_000_000).ok().map(Self)
    }

    /// Returns how long it is after `earlier`; zero if it is before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Returns whole seconds since 1970, which DynamoDB's time to live takes.
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }
}

/// The length of time that `90s`, `5m`, `24h` or `7d` stands for; `None` if the text is none.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let secs = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let is_number = digits.bytes().all(|b| b.is_ascii_digit());
    let count: u64 = digits.parse().ok().filter(|_| is_number)?;
    count.checked_mul(secs).map(Duration::from_secs)
}

impl Add<Duration> for Time {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// RFC 3339 in UTC, to the second: `2026-01-31T23:59:59Z`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.seconds()).unwrap_or(i64::MAX);
        let text = OffsetDateTime::from_unix_timestamp(seconds)
            .ok()
            .and_then(|time| time.format(&Rfc3339).ok());
        f.write_str(text.as_deref().unwrap_or("a time beyond the calendar"))
    }
}

/// What a decision may know about the moment when it is made.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// When the decision is made.
    pub now: Time,
    /// When the caller is certainly gone: after its time-out, plus the error of its clock.
    pub lease: Time,
    /// From 0 to 999. It spreads retries that would otherwise come at the same time.
    pub jitter: u16,
}

impl Moment {
    /// Returns `now` plus between three quarters of `duration` and all of it.
    pub fn after(&self, duration: Duration) -> Time {
        let spread = duration.as_millis() / 4 * u128::from(self.jitter.min(999)) / 1000;
        let spread = Duration::from_millis(u64::try_from(spread).unwrap_or(0));
        self.now + duration - spread
    }
}
