//! Words that several commands have in common: sizes, lengths of time, and tables.

use std::time::Duration;

use landfall_core::moment::Time;
use landfall_core::plan::printable;

/// A value that is longer is cut; `--json` has all of it.
const MAX_SHOWN_CHARS: usize = 1_000;

pub fn bytes(count: u64) -> String {
    if count == 1 { "1 byte".to_owned() } else { format!("{count} bytes") }
}

/// The value escaped, and cut if it is long.
pub fn shown(value: &str) -> String {
    match value.char_indices().nth(MAX_SHOWN_CHARS) {
        None => printable(value),
        Some((at, _)) => {
            let length = value.chars().count();
            format!("{}… ({length} characters, --json shows all)", printable(&value[..at]))
        }
    }
}

/// A length of time in one unit, the one that says enough.
pub fn length(duration: Duration) -> String {
    let secs = duration.as_secs();
    let (count, unit) = match secs {
        0..120 => (secs, "second"),
        120..7_200 => (secs / 60, "minute"),
        7_200..172_800 => (secs / 3_600, "hour"),
        _ => (secs / 86_400, "day"),
    };
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

/// A time, and how far that is from `now`.
pub fn moment(time: Time, now: Time) -> String {
    match (time.since(now), now.since(time)) {
        (ahead, _) if ahead.as_secs() > 0 => format!("{time} (in {})", length(ahead)),
        (_, ago) if ago.as_secs() > 0 => format!("{time} ({} ago)", length(ago)),
        _ => format!("{time} (now)"),
    }
}

/// Where the cells of a column stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// Rows under their headings, each column as wide as its widest cell; the last is left as it is.
pub fn table<const N: usize>(columns: [(&str, Align); N], rows: &[[String; N]]) -> String {
    let length = |text: &str| text.chars().count();
    let width = |column: usize| rows.iter().map(move |row| length(&row[column])).max();
    let widths: [usize; N] =
        std::array::from_fn(|at| width(at).unwrap_or(0).max(length(columns[at].0)));
    let heading = columns.map(|(name, _)| name.to_owned());
    let mut out = String::new();
    for row in std::iter::once(&heading).chain(rows) {
        let cells = row.iter().zip(widths).zip(columns).map(|((cell, width), (_, align))| {
            let pad = " ".repeat(width - length(cell));
            match align {
                Align::Left => format!("{cell}{pad}"),
                Align::Right => format!("{pad}{cell}"),
            }
        });
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
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
