//! The checks of routes that are about to be deployed. The functions that serve the routes don't make these checks,
//! because a file of an earlier version must not stop them.

use serde_json::Value;

use super::{buckets, wide};
use crate::at::At;
use crate::pattern::{Part, Pattern, Segment};
use crate::routes::written;

/// Reports buckets and jobs that can't exist, reader roles that are wider than their route's key, and syntax of other
/// kinds of pattern in keys. All other problems are reported elsewhere.
pub(crate) fn report(written: &written::RoutesFile, at: &mut At<'_>) {
    wide::report(written, at);
    let mut at = at.key("routes");
    for (index, route) in written.routes.iter().flatten().enumerate() {
        let mut at = at.index(index);
        if let Some(name) = &route.bucket {
            let mut at = at.key("bucket");
            match buckets::check(name) {
                Ok(()) => buckets::warn(name, &mut at),
                // The check of the route has reported this one.
                Err(_) if !buckets::has_form_of_bucket(name) => {}
                Err((message, hint)) => at.error(message, hint),
            }
        }
        if let Some(job) = route.start.as_ref().and_then(|start| start.job.as_deref())
            && let Err((message, hint)) = check_job(job)
        {
            at.key("start").key("job").error(message, hint);
        }
        let pattern = route.key.as_deref().and_then(|key| Pattern::parse(key).ok());
        for text in pattern.iter().flat_map(literals_of_other_patterns) {
            at.key("key").warning(
                format!("`{text}` in the key stands for itself: only `*`, `**` and `{{name}}` are special"),
                "write `*` for any text in one folder, or `{name}` to use it in the job's arguments; if you mean \
                 several texts, write a route for each",
            );
        }
    }
}

/// Returns the problems of buckets and jobs that can't exist in the routes of a custom resource's properties, each with
/// its place.
pub fn refused(routes: &Value) -> Vec<String> {
    let mut refused = Vec::new();
    for (index, route) in routes["routes"].as_array().into_iter().flatten().enumerate() {
        let bucket = route["bucket"].as_str().map(buckets::check);
        let job = route["start"]["job"].as_str().map(check_job);
        for (field, checked) in [("bucket", bucket), ("start.job", job)] {
            if let Some(Err((message, hint))) = checked {
                refused.push(format!("Routes.routes[{index}].{field}: {message} ({hint})"));
            }
        }
    }
    refused
}

fn check_job(job: &str) -> Result<(), (String, String)> {
    if !job.starts_with("arn:") {
        return Ok(());
    }
    let hint = match job.split_once(":job/") {
        Some((_, name)) => {
            format!("write `{}`: the target gives the account and the region", name.escape_debug())
        }
        None => "write the job's name".to_owned(),
    };
    Err((format!("`{}` is an ARN, not a job name", job.escape_debug()), hint))
}

/// Returns the parts of the key that have a special meaning in shell globs: `?`, `[0-9]`, `!(x)`.
fn literals_of_other_patterns(pattern: &Pattern) -> Vec<String> {
    let parts = pattern.segments().iter().flat_map(|segment| match segment {
        Segment::Any => &[],
        Segment::Parts(parts) => parts.as_slice(),
    });
    let mut found = Vec::new();
    for part in parts {
        let Part::Literal(text) = part else { continue };
        if text.contains('?') {
            found.push("?".to_owned());
        }
        for (open, close) in [("[", ']'), ("!(", ')'), ("@(", ')'), ("+(", ')')] {
            let Some(at) = text.find(open) else { continue };
            if let Some(length) = text[at..].find(close).filter(|length| *length > open.len()) {
                found.push(text[at..=at + length].to_owned());
            }
        }
    }
    found
}
