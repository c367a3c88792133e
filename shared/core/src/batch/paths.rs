//! What the arguments of a job that uses no library can say of its objects: URIs, and paths that Spark reads as exactly these objects.
//!
//! Spark takes the path of a read for a pattern, and skips some names without an error. The rules are those of
//! `landfall/_spark.py`, where they come from trials with Spark 3.5 and S3A.

/// The characters that a pattern gives a meaning to. `\` escapes them.
const PATTERN: [char; 7] = ['\\', '*', '?', '[', ']', '{', '}'];

/// An object that Spark would skip, or take for another, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub key: String,
    pub why: &'static str,
}

/// Returns the beginning that all keys share, up to the last `/` in it; empty if they share no folder.
pub(super) fn folder<'k>(mut keys: impl Iterator<Item = &'k str>) -> &'k str {
    let Some(first) = keys.next() else { return "" };
    keys.fold(folder_of(first), |folder, key| {
        let alike = folder.chars().zip(key.chars()).take_while(|(one, other)| one == other);
        folder_of(&folder[..alike.map(|(c, _)| c.len_utf8()).sum()])
    })
}

/// Returns the first key that Spark can't read by a path of its own.
pub(super) fn unreadable_alone<'k>(mut keys: impl Iterator<Item = &'k str>) -> Option<Unreadable> {
    keys.find_map(unreadable)
}

/// Returns the first key that Spark doesn't read when it reads the [`folder`] of them all.
pub(super) fn unreadable_in_folder<'k>(
    mut keys: impl Iterator<Item = &'k str> + Clone,
) -> Option<Unreadable> {
    let folder = folder(keys.clone());
    let columns = |key: &'k str| -> Option<Vec<&'k str>> {
        let folders = folder_of(key.get(folder.len()..)?).split_terminator('/');
        folders.map(|name| name.split_once('=').map(|(column, _)| column)).collect()
    };
    let mut first = None;
    keys.find_map(|key| {
        let columns = columns(key);
        let is_alike = columns.is_some() && *first.get_or_insert(columns.clone()) == columns;
        unreadable(key).or_else(|| {
            let why = "it is not in a folder of the batch's partitions, so Spark skips it";
            (!is_alike).then(|| Unreadable { key: key.to_owned(), why })
        })
    })
}

/// Returns the key up to its last `/`, with it.
fn folder_of(key: &str) -> &str {
    key.rfind('/').map_or("", |at| &key[..=at])
}

/// Returns `text` with what a pattern would read as more than itself escaped.
pub(super) fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut path, c| {
        if PATTERN.contains(&c) {
            path.push('\\');
        }
        path.push(c);
        path
    })
}

fn unreadable(key: &str) -> Option<Unreadable> {
    let segments: Vec<&str> = key.split('/').collect();
    let name = segments.last().copied().unwrap_or_default();
    let has = |segment: &str| segments.contains(&segment);
    let is_no_xml = |c: char| {
        c.is_ascii_control() && !"\t\n\r\u{7f}".contains(c) || "\u{fffe}\u{ffff}".contains(c)
    };
    let why = if key.ends_with('/') {
        "it ends with `/`, which Hadoop takes for a folder"
    } else if has("") {
        "it has an empty segment, which Hadoop removes"
    } else if has(".") || has("..") {
        "it has a segment `.` or `..`, which Hadoop resolves"
    } else if name.starts_with('.') || (name.starts_with('_') && !name.contains('=')) {
        "its name begins with `.` or `_`, so Spark skips it"
    } else if name.ends_with("._COPYING_") || has("_spark_metadata") {
        "Spark skips such names"
    } else if name.ends_with("_$folder$") {
        "its name ends with `_$folder$`, which Hadoop takes for a folder"
    } else if key.contains(':') && key.contains(PATTERN) {
        r"it has `:` and one of `*?[]{}\`, which Hadoop can't read together"
    } else if key.contains(is_no_xml) {
        "it has a character that XML can't contain, and S3's lists are XML"
    } else {
        return None;
    };
    Some(Unreadable { key: key.to_owned(), why })
}
