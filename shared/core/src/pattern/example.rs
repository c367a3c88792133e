//! Derives a pattern from one key, for people who begin with an object that they have.

use super::{Pattern, PatternError};

/// The longest name that is made of a folder's.
const MAX_NAME: usize = 40;

impl Pattern {
    /// Returns a pattern that takes this key and those like it: the value of a folder `name=value`,
    /// a folder of digits and dashes (a date, or a part of one), and the name of the file up to its
    /// first dot may differ. All other text stays as it is.
    ///
    /// # Errors
    /// Fails if no pattern matches the key, as with an empty one.
    pub fn of_example(key: &str) -> Result<Self, PatternError> {
        let mut names = Names::default();
        let (folders, name) =
            key.rsplit_once('/').map_or((None, key), |(it, name)| (Some(it), name));
        let folders = folders.into_iter().flat_map(|folders| folders.split('/'));
        let mut segments: Vec<String> = folders.map(|it| folder(it, &mut names)).collect();
        segments.push(file(name, &mut names));
        Self::parse(&segments.join("/"))
    }
}

/// The names of captures that are taken.
#[derive(Default)]
struct Names(Vec<String>);

impl Names {
    /// Returns a name for a capture like `wanted` that no other has.
    fn unused(&mut self, wanted: &str) -> String {
        let mut name: String = wanted
            .to_ascii_lowercase()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .skip_while(|c| !c.is_ascii_lowercase())
            .take(MAX_NAME)
            .collect();
        if name.is_empty() {
            name.push_str("part");
        }
        let numbered = (2..).map(|number| format!("{name}_{number}"));
        let name = std::iter::once(name.clone()).chain(numbered).find(|it| !self.0.contains(it));
        let name = name.unwrap_or_default();
        self.0.push(name.clone());
        name
    }
}

fn folder(name: &str, names: &mut Names) -> String {
    match name.split_once('=') {
        // As Hive writes it: `dt=2026-11-30`.
        Some((key, value)) if !key.is_empty() && !value.is_empty() => {
            format!("{}={{{}}}", literal(key), names.unused(key))
        }
        _ if is_date(name) => {
            let part = part_of_date(name, names);
            format!("{{{}}}", names.unused(part))
        }
        _ => literal(name),
    }
}

fn file(name: &str, names: &mut Names) -> String {
    match name.char_indices().skip(1).find(|(_, c)| *c == '.') {
        _ if name.is_empty() => String::new(),
        Some((dot, _)) => format!("{{{}}}{}", names.unused("file"), literal(&name[dot..])),
        None => format!("{{{}}}", names.unused("file")),
    }
}

fn is_date(segment: &str) -> bool {
    segment.starts_with(|c: char| c.is_ascii_digit())
        && segment.chars().all(|c| c.is_ascii_digit() || c == '-')
}

fn part_of_date(segment: &str, names: &Names) -> &'static str {
    let is_used = |name: &str| names.0.iter().any(|used| used == name);
    match segment.len() {
        4 => "year",
        1 | 2 if !is_used("year") => "part",
        1 | 2 => ["month", "day", "hour"].into_iter().find(|it| !is_used(it)).unwrap_or("part"),
        _ => "date",
    }
}

/// Returns the text as a pattern has it: with each brace twice. An asterisk stays, and then matches more than itself,
/// because no pattern can demand one.
fn literal(text: &str) -> String {
    let mut text = text.replace('{', "{{").replace('}', "}}");
    while text.contains("**") {
        text = text.replace("**", "*");
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_dates_and_the_files_name_may_differ_and_all_else_stays() {
        let of = |key: &str| Pattern::of_example(key).expect("a pattern").to_string();
        for (key, pattern) in [
            ("orders/dt=2026-11-30/part-0001.csv", "orders/dt={dt}/{file}.csv"),
            ("a.csv.gz", "{file}.csv.gz"),
            ("in/_SUCCESS", "in/{file}"),
            (".hidden", "{file}"),
            ("logs/2026/11/30/x.json", "logs/{year}/{month}/{day}/{file}.json"),
            ("07/a", "{part}/{file}"),
            ("daily/2026-11-30/x", "daily/{date}/{file}"),
            (
                "Sales Region=EU/Year=2026/x.parquet",
                "Sales Region={sales_region}/Year={year}/{file}.parquet",
            ),
            ("=x/y=/z", "=x/y=/{file}"),
            ("1=a/ü=b/z", "1={part}/ü={part_2}/{file}"),
            ("{a}/**/***/x", "{{a}}/*/*/{file}"),
            ("folder/", "folder/"),
        ] {
            assert_eq!(of(key), pattern, "{key}");
        }
        assert_eq!(Pattern::of_example(""), Err(PatternError::Empty));
    }

    proptest! {
        #[test]
        fn the_pattern_of_an_example_takes_it(key in "[a-z0-9=/.{}*_ é-]{1,60}") {
            let pattern = Pattern::of_example(&key).expect("a pattern");
            prop_assert!(pattern.captures(&key).is_some(), "`{key}` and `{pattern}`");
        }
    }
}
