//! The names of buckets.
//!
//! By "General purpose bucket naming rules" of the S3 user guide. What AWS has reserved only for new
//! buckets may be the name of one that was made before.

use crate::at::At;

/// Endings that no general purpose bucket has, and what has them.
const OTHER_KINDS: [(&str, &str, &str); 5] = [
    (
        "--x-s3",
        "a directory bucket",
        "directory buckets announce nothing: let the data land in a general purpose bucket",
    ),
    (
        "--table-s3",
        "a table bucket",
        "tables announce nothing: let the data land in a general purpose bucket",
    ),
    ("-s3alias", "the alias of an access point", "name the bucket behind it: events bear its name"),
    (
        "--ol-s3",
        "the alias of an Object Lambda access point",
        "name the bucket behind it: events bear its name",
    ),
    (
        ".mrap",
        "the alias of a Multi-Region Access Point",
        "name the bucket behind it: events bear its name",
    ),
];

/// Beginnings that AWS has reserved, after some buckets had been made.
const RESERVED: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];

pub const BUCKET_NAME: &str = "a name has 3 to 63 lower-case letters, digits, `-` and `.`";

/// Whether `text` can be the name of a general purpose bucket, the only kind that announces what lands.
pub fn is_bucket(text: &str) -> bool {
    problem(text).is_none()
}

/// Whether `text` has a bucket's form, be it one of another kind.
pub fn has_form_of_bucket(text: &str) -> bool {
    let is_edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (3..=63).contains(&text.len())
        && text.starts_with(is_edge)
        && text.ends_with(is_edge)
        && text.chars().all(|c| is_edge(c) || c == '-' || c == '.')
}

/// Checks a name; what is wrong with it, and the way to mend it.
pub fn check(name: &str) -> Result<(), (String, String)> {
    problem(name).map_or(Ok(()), Err)
}

/// Warns of a name that only a bucket can have that was made before AWS reserved it.
pub fn warn(name: &str, at: &mut At<'_>) {
    if let Some(reserved) = RESERVED.iter().find(|reserved| name.starts_with(**reserved)) {
        at.warning(
            format!("AWS has reserved names of buckets that begin with `{reserved}`"),
            "only a bucket that was made before can have such a name: is it the right one?",
        );
    }
}

fn problem(name: &str) -> Option<(String, String)> {
    if let Some((_, kind, hint)) = OTHER_KINDS.iter().find(|(end, ..)| name.ends_with(end)) {
        return Some((format!("`{name}` is the name of {kind}"), (*hint).to_owned()));
    }
    let hint = match () {
        () if !has_form_of_bucket(name) => BUCKET_NAME,
        () if ["..", ".-", "-."].iter().any(|pair| name.contains(pair)) => {
            "letters or digits stand beside each `.` of a name"
        }
        () if is_address(name) => "no bucket is named like an IP address",
        () => return None,
    };
    Some((format!("`{name}` is not a bucket's name"), hint.to_owned()))
}

/// Returns `true` for four numbers with dots between them.
fn is_address(name: &str) -> bool {
    let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    name.split('.').count() == 4 && name.split('.').all(is_number)
}
