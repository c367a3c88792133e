//! Turns routes as written into valid ones. Each check reports its problem and continues, so that
//! one mistake doesn't hide another.

mod arguments;
mod batch;
mod buckets;
pub(crate) mod deploy;
mod reconcile;
mod routes;
mod targets;
mod wide;

pub(crate) use buckets::{has_form_of_bucket, is_bucket};
pub use targets::{NEW_EXTERNAL_ID_CHARS, is_external_id, is_short_external_id};

use super::{Routes, written};
use crate::at::At;

/// Returns all routes that are valid. The caller may use them only if no error was reported.
pub(crate) fn resolve(written: &written::RoutesFile, mut at: At<'_>) -> Routes {
    match written.version {
        Some(1) => {}
        Some(version) => {
            at.key("version")
                .error(format!("version {version} is unknown"), "Landfall supports version 1");
        }
        None => at.missing("version"),
    }
    let targets = targets::resolve(written, &mut at);
    let routes = routes::resolve(written, &targets, &mut at);
    Routes::new(targets, routes)
}

const ROUTE_NAME: &str = "a name has 1 to 64 lower-case letters, digits and `-`";

fn is_route_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
