//! What is known of an object, as a part of a JSON document. Other programs rely on this form.

use landfall_core::chain::observed::Look;
use serde::Serialize;

use super::Object;
use super::routes::Source;
use crate::explain::document::{RouteEntry, route_entry};

/// What is known of the object itself.
#[derive(Serialize)]
pub struct ObjectEntry<'a> {
    /// `null` if S3 doesn't say.
    exists: Option<bool>,
    size: Option<u64>,
    last_modified: Option<String>,
    version_id: Option<&'a str>,
    etag: Option<&'a str>,
    /// `true` if it is empty and its key ends with `/`; `null` if the size isn't known.
    is_directory_marker: Option<bool>,
    /// `file` with `--routes`, or `stack` for the deployed routes; `null` if these can't be read.
    routes_from: Option<&'static str>,
    /// The verdicts of the routes of this bucket; `null` if no routes are known.
    verdicts: Option<Vec<RouteEntry<'a>>>,
}

impl Object {
    /// Returns it for the JSON document.
    pub fn entry(&self) -> ObjectEntry<'_> {
        let exists = match &self.head {
            Look::Seen(_) => Some(true),
            Look::Missing => Some(false),
            Look::Denied(_) | Look::DeniedByOrganization(_) | Look::Failed(_) => None,
        };
        let head = self.head.seen();
        let size = head.and_then(|head| head.size);
        ObjectEntry {
            exists,
            size,
            last_modified: head.and_then(|head| head.modified).map(|time| time.to_string()),
            version_id: head.and_then(|head| head.version_id.as_deref()),
            etag: head.and_then(|head| head.etag.as_deref()),
            is_directory_marker: size.map(|_| self.arrival.is_directory_marker()),
            routes_from: self.routes.as_ref().ok().map(|known| match known.from {
                Source::File(_) => "file",
                Source::Stack(_) => "stack",
            }),
            verdicts: self.routes.as_ref().ok().map(|known| {
                let routes = known.routes.routes.iter();
                routes.filter_map(|route| route_entry(route, &self.arrival)).collect()
            }),
        }
    }
}
