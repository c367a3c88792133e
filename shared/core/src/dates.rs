//! What keys with a date begin with.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::moment::Time;

const DAY: Duration = Duration::from_secs(86_400);

/// What keys with a date begin with, such as `orders/dt={yyyy}-{mm}-{dd}/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatePrefix(String);

impl DatePrefix {
    /// Reads a text that has each of `{yyyy}`, `{mm}` and `{dd}` once, and no other brace; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text.to_owned();
        for part in ["{yyyy}", "{mm}", "{dd}"] {
            if rest.matches(part).count() != 1 {
                return None;
            }
            rest = rest.replace(part, "");
        }
        (!rest.contains(['{', '}'])).then(|| Self(text.to_owned()))
    }

    /// Returns what it begins with whatever the date is.
    pub fn beginning(&self) -> &str {
        self.0.split('{').next().unwrap_or_default()
    }

    /// Returns what the keys with the dates between two times begin with, in order. It has a day more at both ends, because
    /// the dates may be those of any time zone.
    pub fn between(&self, from: Time, until: Time) -> BTreeSet<String> {
        let (mut day, last) = (from - DAY, until + DAY);
        let mut all = BTreeSet::new();
        loop {
            let date = day.to_string();
            let part = |range| date.get(range).unwrap_or_default();
            let text = self.0.replace("{yyyy}", part(0..4));
            all.insert(text.replace("{mm}", part(5..7)).replace("{dd}", part(8..10)));
            if day == last {
                return all;
            }
            day = (day + DAY).min(last);
        }
    }
}

impl fmt::Display for DatePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the first of these beginnings that a listing isn't done with, if it is done with the keys up to `after`.
pub fn next_prefix<'p>(prefixes: &'p BTreeSet<String>, after: Option<&str>) -> Option<&'p str> {
    let is_next = |prefix: &&String| match after {
        None => true,
        Some(after) => {
            prefix.as_str() > after
                || (after.starts_with(prefix.as_str()) && *after != done_with(prefix))
        }
    };
    prefixes.iter().find(is_next).map(String::as_str)
}

/// Returns a key behind all keys that begin with this: a listing that came so far is done with them.
pub fn done_with(prefix: &str) -> String {
    format!("{prefix}{}", char::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Time {
        Time::parse(text).expect("a time")
    }

    #[test]
    fn the_days_between_two_times_have_one_more_at_both_ends() {
        let prefix = DatePrefix::parse("orders/{yyyy}/dt={mm}-{dd}/").expect("a prefix");
        assert_eq!(prefix.beginning(), "orders/");
        let all = prefix.between(time("2025-12-31T23:00:00Z"), time("2026-01-01T01:00:00Z"));
        let expected = [
            "orders/2025/dt=12-30/",
            "orders/2025/dt=12-31/",
            "orders/2026/dt=01-01/",
            "orders/2026/dt=01-02/",
        ];
        assert_eq!(Vec::from_iter(&all), expected);
        for wrong in [
            "orders/",
            "{yyyy}-{mm}",
            "{yyyy}{mm}{dd}{dd}",
            "{yyyy}{mm}{dd}{hh}",
            "{yyyy}{mm}{dd}}",
        ] {
            assert_eq!(DatePrefix::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_listing_goes_on_below_the_beginning_that_it_was_at_and_then_with_the_next() {
        let all: BTreeSet<String> = ["a/1/", "a/2/", "a/3/"].map(str::to_owned).into();
        let next = |after: Option<&str>| next_prefix(&all, after).unwrap_or_default().to_owned();
        assert_eq!(next(None), "a/1/");
        assert_eq!(next(Some("a/1/x")), "a/1/");
        assert_eq!(next(Some(&done_with("a/1/"))), "a/2/");
        assert_eq!(next(Some("a/2/x")), "a/2/");
        assert_eq!(next(Some(&done_with("a/3/"))), "");
        assert!(done_with("a/1/").as_str() > "a/1/\u{fffd}zzz");
    }
}
