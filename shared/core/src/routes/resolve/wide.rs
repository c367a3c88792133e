//! Checks that whoever deploys a route knows how much its reader role may read.

use crate::at::At;
use crate::pattern::Pattern;
use crate::reach::Widening;
use crate::routes::written;

/// Reports each route whose reader role may read more than the beginning of its key. All other
/// problems are reported elsewhere.
pub(crate) fn report(written: &written::RoutesFile, at: &mut At<'_>) {
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
            format!(
                "route `{name}` doesn't need `wide`: its reader role reads only the key's beginning"
            ),
            "remove `wide`",
        ),
        None => {}
        Some(_) if is_accepted => {}
        Some(widening) => {
            let (uri, reason) = (widening.uri(bucket), widening.reason());
            let wide = format!("the reader role of route `{name}` may read `{uri}`: {reason}");
            if widening.is_everything() {
                at.key("key").error(
                    wide,
                    "begin the key with text that a policy can contain (orders/…), or give these objects their \
                     own bucket; if the role may read the whole bucket, set `wide: true`",
                );
            } else {
                at.key("key").warning(
                    wide,
                    "policies can only contain the characters U+0020 to U+00FF; if the role may read that much, \
                     set `wide: true`",
                );
            }
        }
    }
}
