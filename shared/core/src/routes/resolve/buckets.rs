//! The checks of bucket names.
//!
//! They follow "General purpose bucket naming rules" in the S3 User Guide. A name that AWS has
//! reserved for new buckets only can still be the name of an older bucket.

use crate::at::At;

/// The endings that no general purpose bucket has, what has them, and a hint.
const OTHER_KINDS: [(&str, &str, &str); 5] = [
    (
        "--x-s3",
        "a directory bucket",
        "directory buckets send no events: let the data land in a general purpose bucket",
    ),
    (
        "--table-s3",
        "a table bucket",
        "table buckets send no events: let the data land in a general purpose bucket",
    ),
    (
        "-s3alias",
        "the alias of an access point",
        "name the bucket behind it: events carry the bucket's name",
    ),
    (
        "--ol-s3",
        "the alias of an Object Lambda access point",
        "name the bucket behind it: events carry the bucket's name",
    ),
    (
        ".mrap",
        "the alias of a Multi-Region Access Point",
        "name the bucket behind it: events carry the bucket's name",
    ),
];

/// The beginnings that AWS has reserved, although older buckets may have them.
const RESERVED: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];

/// The hint that says what a bucket's name looks like.
pub(crate) const BUCKET_NAME: &str = "a name has 3 to 63 lower-case letters, digits, `-` and `.`";

/// Returns `true` if `text` can be the name of a general purpose bucket, the only kind that sends
/// events for what lands.
pub(crate) fn is_bucket(text: &str) -> bool {
    problem(text).is_none()
}

/// Returns `true` if `text` has the form of a bucket name, of whichever kind.
pub(crate) fn has_form_of_bucket(text: &str) -> bool {
    let is_edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (3..=63).contains(&text.len())
        && text.starts_with(is_edge)
        && text.ends_with(is_edge)
        && text.chars().all(|c| is_edge(c) || c == '-' || c == '.')
}

/// Checks a name. The error holds the message and the hint.
pub(crate) fn check(name: &str) -> Result<(), (String, String)> {
    problem(name).map_or(Ok(()), Err)
}

/// Warns about a name that only buckets from before AWS reserved it can have.
pub(crate) fn warn(name: &str, at: &mut At<'_>) {
    if let Some(reserved) = RESERVED.iter().find(|reserved| name.starts_with(**reserved)) {
        at.warning(
            format!("AWS has reserved bucket names that begin with `{reserved}`"),
            "only older buckets can have such a name: is it the right one?",
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
            "each `.` in a name needs a letter or a digit on both sides"
        }
        () if is_address(name) => "a bucket's name can't look like an IP address",
        () => return None,
    };
    Some((format!("`{name}` is not a valid bucket name"), hint.to_owned()))
}

/// Returns `true` if the name is four numbers with dots between them.
fn is_address(name: &str) -> bool {
    let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    name.split('.').count() == 4 && name.split('.').all(is_number)
}
