//! Phrases that several commands share: counts, sizes, names, lengths of time and times.

use std::fmt::Display;
use std::time::Duration;

use landfall_core::moment::Time;

/// Returns the size of an object: `1 byte`, `2 bytes` or `size not known`.
pub fn size(bytes: Option<u64>) -> String {
    bytes.map_or("size not known".to_owned(), |bytes| counted(bytes, "byte"))
}

/// Returns a count with its noun: `1 route`, `2 routes`, `2 batches`.
pub fn counted<N: Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    let ending = match noun {
        _ if count == N::from(1) => "",
        _ if noun.ends_with("ch") => "es",
        _ => "s",
    };
    format!("{count} {noun}{ending}")
}

/// Returns the names in backticks, with commas between them.
pub fn quoted<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// Returns a length of time, rounded down to the unit that says enough.
pub fn length(duration: Duration) -> String {
    let secs = duration.as_secs();
    let (count, unit) = match secs {
        0..120 => (secs, "second"),
        120..7_200 => (secs / 60, "minute"),
        7_200..172_800 => (secs / 3_600, "hour"),
        _ => (secs / 86_400, "day"),
    };
    counted(count, unit)
}

/// Returns a time and its distance from `now`.
pub fn moment(time: Time, now: Time) -> String {
    match (time.since(now), now.since(time)) {
        (ahead, _) if ahead.as_secs() > 0 => format!("{time} (in {})", length(ahead)),
        (_, ago) if ago.as_secs() > 0 => format!("{time} ({} ago)", length(ago)),
        _ => format!("{time} (now)"),
    }
}

/// Returns a line that says one thing about what the line before it names.
pub fn detail(what: &str, value: &str) -> String {
    format!("  {what:<9}{value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_told_in_the_unit_that_says_enough() {
        let told = |secs| length(Duration::from_secs(secs));
        let lengths = [0, 1, 119, 120, 7_199, 7_200, 172_799, 172_800].map(told);
        assert_eq!(
            lengths.join(", "),
            "0 seconds, 1 second, 119 seconds, 2 minutes, 119 minutes, 2 hours, 47 hours, 2 days"
        );
    }

    #[test]
    fn a_time_is_told_with_its_distance() {
        let now = Time(1_769_904_000_000);
        let minute = Duration::from_secs(180);
        assert_eq!(moment(now + minute, now), "2026-02-01T00:03:00Z (in 3 minutes)");
        assert_eq!(moment(now - minute, now), "2026-01-31T23:57:00Z (3 minutes ago)");
        assert_eq!(moment(now, now), "2026-02-01T00:00:00Z (now)");
    }
}
