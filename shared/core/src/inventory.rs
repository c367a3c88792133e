//! The inventories of a bucket, which a pass can read instead of listing the bucket.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::moment::Time;

/// How long before an inventory an object must have been written to be in it for certain. S3 promises no time. Its guide says
/// that it is safe to rely on an inventory for objects that are two days old.
pub const INVENTORY_LAG: Duration = Duration::from_secs(2 * 86_400);

/// For how long back inventories are looked for.
const KEPT: Duration = Duration::from_secs(100 * 86_400);

/// The file that S3 writes last of an inventory.
const LAST: &str = "/manifest.checksum";

/// Where S3 writes the inventories of one configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InventoryPlace {
    /// The bucket of the inventories.
    pub bucket: String,
    /// What their keys begin with: `[PREFIX/]SOURCE-BUCKET/ID/`.
    pub prefix: String,
}

impl InventoryPlace {
    /// Reads `s3://BUCKET/[PREFIX/]SOURCE-BUCKET/ID/`; `None` if `uri` isn't of this form for the source bucket `of`.
    pub fn parse(uri: &str, of: &str) -> Option<Self> {
        let (bucket, prefix) = uri.strip_prefix("s3://")?.split_once('/')?;
        let mut segments = prefix.strip_suffix('/').unwrap_or(prefix).rsplit('/');
        let (id, source) = (segments.next()?, segments.next()?);
        let is_id = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        let is_place = !bucket.is_empty()
            && source == of
            && !id.is_empty()
            && id.chars().all(is_id)
            && !prefix.contains(char::is_control);
        is_place.then(|| Self {
            bucket: bucket.to_owned(),
            prefix: format!("{}/", prefix.strip_suffix('/').unwrap_or(prefix)),
        })
    }

    /// Returns the key behind which inventories are looked for. Their keys sort by time.
    pub fn looked_for_after(&self, now: Time) -> String {
        let day = (now - KEPT).to_string();
        format!("{}{}", self.prefix, day.get(..10).unwrap_or_default())
    }

    /// Returns the inventory that a key below the place belongs to, if it is that of a file which S3 writes when it is
    /// done with the rest.
    pub fn inventory(&self, key: &str) -> Option<Inventory> {
        let folder = key.strip_suffix(LAST)?;
        // Such as `2026-01-31T01-00Z`.
        let (day, clock) = folder.strip_prefix(&self.prefix)?.split_once('T')?;
        let clock = clock.strip_suffix('Z')?.replace('-', ":");
        let taken_at = Time::parse(&format!("{day}T{clock}:00Z"))?;
        let manifest = format!("s3://{}/{folder}/manifest.json", self.bucket);
        Some(Inventory { manifest, taken_at })
    }

    /// Returns `true` if a key below the place, and each behind it, belongs to no inventory but to its rows.
    pub fn is_behind(&self, key: &str) -> bool {
        !key.strip_prefix(&self.prefix)
            .is_some_and(|it| it.starts_with(|c: char| c.is_ascii_digit()))
    }
}

impl fmt::Display for InventoryPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

/// An inventory that S3 has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// The URI of its `manifest.json`.
    pub manifest: String,
    /// When S3 began it.
    pub taken_at: Time,
}

impl Inventory {
    /// Returns `true` if a newer one should be there by now, so that nobody may take this one for the bucket. `every` is the
    /// time between two that are read.
    pub fn is_stale(&self, every: Duration, now: Time) -> bool {
        now.since(self.taken_at) > every + INVENTORY_LAG
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn place() -> InventoryPlace {
        InventoryPlace::parse("s3://acme-inventories/of/acme-landing/all/", "acme-landing")
            .expect("a place")
    }

    #[test]
    fn an_inventory_is_stale_once_the_next_one_should_be_there() {
        let taken_at = Time(1_769_904_000_000);
        let inventory = Inventory { manifest: "s3://i/1".to_owned(), taken_at };
        assert!(!inventory.is_stale(DAY, taken_at + 3 * DAY));
        assert!(inventory.is_stale(DAY, taken_at + 3 * DAY + Duration::from_secs(1)));
    }

    #[test]
    fn a_place_ends_with_the_bucket_that_it_lists_and_the_name_of_a_configuration() {
        assert_eq!(place().to_string(), "s3://acme-inventories/of/acme-landing/all/");
        let parse = |uri| InventoryPlace::parse(uri, "acme-landing");
        let bare = parse("s3://acme-inventories/acme-landing/all").expect("a place");
        assert_eq!(bare.prefix, "acme-landing/all/");
        for wrong in [
            "acme-inventories/acme-landing/all",
            "s3://acme-inventories",
            "s3://acme-inventories/all/",
            "s3://acme-inventories/acme-landing/",
            "s3://acme-inventories/acme-landing//",
            "s3://acme-inventories/other/all/",
            "s3://acme-inventories/acme-landing/all/2026-01-31T01-00Z/manifest.json",
            "s3:///acme-landing/all/",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_inventory_is_there_once_its_last_file_is() {
        let read = |key: &str| place().inventory(&format!("of/acme-landing/all/{key}"));
        let found = read("2026-01-31T01-00Z/manifest.checksum").expect("an inventory");
        assert_eq!(
            found.manifest,
            "s3://acme-inventories/of/acme-landing/all/2026-01-31T01-00Z/manifest.json"
        );
        assert_eq!(found.taken_at.to_string(), "2026-01-31T01:00:00Z");
        for other in [
            "2026-01-31T01-00Z/manifest.json",
            "data/1/manifest.checksum",
            "manifest.checksum",
            "2026-02-31T01-00Z/manifest.checksum",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
        assert!(!place().is_behind("of/acme-landing/all/2026-01-31T01-00Z/manifest.json"));
        assert!(place().is_behind("of/acme-landing/all/data/1.csv.gz"));
        let after = place().looked_for_after(found.taken_at + 50 * DAY);
        assert!(after.as_str() < "of/acme-landing/all/2026-01-31T01-00Z/");
    }
}
