//! Checks that whoever deploys a route knows how much its reader role may read.

use crate::at::At;
use crate::pattern::Pattern;
use crate::reach::Widening;
use crate::routes::written;

/// Reports each route whose reader role may read more than the beginning of its key. All other problems are reported
/// elsewhere.
pub fn report(written: &written::RoutesFile, at: &mut At<'_>) {
    let mut at = at.key("routes");
    for (index, route) in written.routes.iter().flatten().enumerate() {
        let pattern = route.key.as_deref().and_then(|key| Pattern::parse(key).ok());
        if let (Some(key), Some(name), Some(bucket)) = (pattern, &route.name, &route.bucket) {
            of_route(name, bucket, &key, route.wide.unwrap_or(false), &mut at.index(index));
        }
    }
}

fn of_route(name: &str, bucket: &str, key: &Pattern, is_accepted: bool, at: &mut At<'_>) {
    match Widening::of(key) {
        None if is_accepted => at.key("wide").warning(
            format!("route `{name}` is not wide: its reader can read the key's beginning only"),
            "leave `wide` out",
        ),
        None => {}
        Some(_) if is_accepted => {}
        Some(widening) => {
            let (uri, reason) = (widening.uri(bucket), widening.reason());
            let wide = format!("the reader of route `{name}` can read `{uri}`: {reason}");
            match widening.is_everything() {
                true => at.key("key").error(
                    wide,
                    "begin the key with text that a policy can hold (orders/…), or give these objects a \
                     bucket of their own; if all of the bucket may be read, write `wide: true`",
                ),
                false => at.key("key").warning(
                    wide,
                    "policies hold the characters U+0020 to U+00FF; if that may be read, write `wide: true`",
                ),
            }
        }
    }
}
