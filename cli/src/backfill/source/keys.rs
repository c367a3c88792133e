//! A list of keys: one key or `s3://` URI a line, as it is in S3.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use anyhow::bail;
use landfall_core::backfill::{Row, Source};
use landfall_core::batch::hex;
use sha2::{Digest, Sha256};

use crate::input;
use crate::terminal::phrases::counted;
use crate::terminal::printable;

/// The most bytes of a key.
const MAX_KEY: usize = 1_024;

/// The most wrong lines that the error names.
const MAX_TOLD: usize = 10;

/// A list of keys.
#[derive(Debug)]
pub struct Keys {
    name: String,
    sha256: String,
    /// The keys with their lines' numbers, from 1 on. None is there twice.
    keys: Vec<(u64, String)>,
}

impl Keys {
    /// Reads a file, or standard input.
    ///
    /// # Errors
    /// Fails if it can't be read, or a line names no object of `bucket`. Says which lines.
    pub fn read(path: &OsStr, bucket: &str) -> anyhow::Result<Self> {
        let text = input::read(path)?;
        let name = input::display_name(path);
        match parse(&text, bucket) {
            Ok(keys) => Ok(Self { sha256: hex(&Sha256::digest(&text)), keys, name }),
            Err(wrong) => {
                let told = wrong.iter().take(MAX_TOLD);
                let mut told: Vec<String> =
                    told.map(|(line, why)| format!("{name}: line {line}: {why}")).collect();
                if let Some(more @ 1..) = wrong.len().checked_sub(MAX_TOLD) {
                    told.push(format!("{name}: {} more", counted(more, "wrong line")));
                }
                bail!("{}", told.join("\n"))
            }
        }
    }

    /// Returns what a backfill keeps of it.
    pub fn source(&self) -> Source {
        Source::Keys { name: self.name.clone(), sha256: self.sha256.clone() }
    }

    /// Returns the keys behind a line, `most` of them at most, and the last line that the page is done with; `None` if no
    /// key is behind it.
    pub fn page(&self, after: Row, most: usize) -> (Vec<(Row, String)>, Option<Row>) {
        let from = self.keys.partition_point(|(line, _)| *line <= after.row);
        let rest = &self.keys[from..];
        let at = |line: u64| Row { file: 0, row: line };
        let page: Vec<(Row, String)> =
            rest.iter().take(most).map(|(line, key)| (at(*line), key.clone())).collect();
        let last = page.last().map(|(row, _)| *row).filter(|_| rest.len() > page.len());
        (page, last)
    }
}

type Lines = Vec<(u64, String)>;

/// Returns the keys with the numbers of their lines, or what is wrong with which lines.
fn parse(text: &str, bucket: &str) -> Result<Lines, Lines> {
    let (mut keys, mut wrong, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (number, line) in (1..).zip(text.lines()) {
        if line.is_empty() {
            continue;
        }
        match key(line, bucket) {
            Ok(key) if seen.insert(key) => keys.push((number, key.to_owned())),
            Ok(_) => {}
            Err(why) => wrong.push((number, why)),
        }
    }
    if wrong.is_empty() { Ok(keys) } else { Err(wrong) }
}

fn key<'a>(line: &'a str, bucket: &str) -> Result<&'a str, String> {
    let key = if line.starts_with("s3://") {
        let (of, key) = input::object(line).map_err(|error| printable(&error.to_string()))?;
        if of != bucket {
            return Err(format!("bucket `{}` isn't the route's, `{bucket}`", printable(of)));
        }
        key
    } else {
        line
    };
    if key.len() > MAX_KEY {
        return Err(format!("a key has {MAX_KEY} bytes at most, and this one has {}", key.len()));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_a_key_or_a_uri_in_each_line_and_each_object_once() {
        let text = "a b+%41\n\ns3://landing/ü/s3://x\r\na b+%41\ns3://landing/a b+%41\n/\n";
        let keys = parse(text, "landing").expect("keys");
        let keys: Vec<(u64, &str)> = keys.iter().map(|(n, key)| (*n, key.as_str())).collect();
        assert_eq!(keys, [(1, "a b+%41"), (3, "ü/s3://x"), (6, "/")]);
    }

    #[test]
    fn every_line_that_names_no_object_of_the_bucket_is_told() {
        let long = "x".repeat(1_025);
        let text = format!("fine\ns3://other/key\ns3://landing\ns3://landing/\n{long}\n");
        let wrong = parse(&text, "landing").expect_err("wrong lines");
        let lines: Vec<u64> = wrong.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 3, 4, 5]);
        assert_eq!(wrong[0].1, "bucket `other` isn't the route's, `landing`");
    }

    #[test]
    fn pages_of_any_size_have_each_key_once_and_the_last_one_says_so() {
        let text = "a\n\nb\nc\n\n\nd\ne\n\n";
        let keys = parse(text, "b").expect("keys");
        let keys = Keys { name: String::new(), sha256: String::new(), keys };
        for most in 1..7 {
            let (mut all, mut after) = (Vec::new(), Some(Row::default()));
            while let Some(from) = after {
                let page;
                (page, after) = keys.page(from, most);
                assert!(!page.is_empty() && page.len() <= most);
                all.extend(page.into_iter().map(|(_, key)| key));
            }
            assert_eq!(all, ["a", "b", "c", "d", "e"]);
        }
        assert_eq!(keys.page(Row { file: 0, row: 8 }, 5), (Vec::new(), None));
    }
}
