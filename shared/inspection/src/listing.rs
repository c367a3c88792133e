//! The objects of a bucket, page by page, in the order of their keys.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{BucketVersioningStatus, EncodingType};
use futures_util::{StreamExt, TryStreamExt, stream};
use landfall_core::arrivals::{EventTime, Listed, decode_key};
use landfall_core::moment::Time;

use crate::look::Call;
use crate::{Clients, Seen, Unseen};

const VERSIONING: Call = Call { operation: "GetBucketVersioning", missing: &["NoSuchBucket"] };
const OBJECTS: Call = Call { operation: "ListObjectsV2", missing: &["NoSuchBucket"] };
const VERSIONS: Call = Call { operation: "ListObjectVersions", missing: &["NoSuchBucket"] };
const HEAD: Call = Call { operation: "HeadObject", missing: &["NoSuchKey"] };

/// How many objects are looked at at once.
const LOOKS_AT_ONCE: usize = 32;

/// A part of a bucket, to be listed.
#[derive(Debug)]
pub struct Lister<'a> {
    clients: &'a Clients,
    bucket: &'a str,
    account: &'a str,
    prefix: String,
    has_versions: bool,
}

/// A page of a listing.
#[derive(Debug)]
pub struct Page {
    /// The objects as they are now, without what was deleted.
    pub objects: Vec<Listed>,
    /// The last key that the page is done with; `None` if there are no more pages.
    pub after: Option<String>,
}

impl<'a> Lister<'a> {
    /// Looks at whether the bucket keeps versions: then the listing has their IDs. The bucket must belong to `account`.
    ///
    /// # Errors
    /// Says why it wasn't seen.
    pub async fn new(
        clients: &'a Clients,
        account: &'a str,
        bucket: &'a str,
        prefix: String,
    ) -> Seen<Self> {
        let get = clients.s3.get_bucket_versioning().bucket(bucket).expected_bucket_owner(account);
        let status = VERSIONING.seen(get.send().await)?.status;
        // While versioning is suspended, older objects keep their version IDs.
        let has_versions = matches!(
            status,
            Some(BucketVersioningStatus::Enabled | BucketVersioningStatus::Suspended)
        );
        Ok(Self { clients, bucket, account, prefix, has_versions })
    }

    /// Returns `true` if the bucket keeps versions, or once did.
    pub fn has_versions(&self) -> bool {
        self.has_versions
    }

    /// Looks at these objects as they are now. Returns `None` for each that isn't there.
    ///
    /// # Errors
    /// Says of which one nothing was seen, and why.
    pub async fn now(&self, keys: &[&str]) -> Result<Vec<Option<Listed>>, (String, Unseen)> {
        let heads = stream::iter(keys).map(async |key| {
            let head = self.clients.s3.head_object().bucket(self.bucket).key(*key);
            match HEAD.seen(head.expected_bucket_owner(self.account).send().await) {
                Ok(head) => listed(key, &head).map(Some),
                Err(Unseen::Missing) => Ok(None),
                Err(why) => Err(why),
            }
            .map_err(|why| ((*key).to_owned(), why))
        });
        heads.buffered(LOOKS_AT_ONCE).try_collect().await
    }

    /// Returns a lister of what begins with another prefix.
    #[must_use]
    pub fn below(&self, prefix: &str) -> Self {
        let Self { clients, bucket, account, has_versions, .. } = *self;
        Self { clients, bucket, account, prefix: prefix.to_owned(), has_versions }
    }

    /// Looks at these objects as they are now, by listing each of them: whoever lists a bucket need not be allowed to read
    /// it. Returns `None` for each that isn't there.
    ///
    /// # Errors
    /// Says why nothing was seen.
    pub async fn listed_now(&self, keys: &[&str]) -> Seen<Vec<Option<Listed>>> {
        let listed = stream::iter(keys).map(async |key| {
            // The key itself comes before all that begin with it.
            let page = self.below(key).page(None, 1).await?;
            Ok(page.objects.into_iter().find(|found| found.key == *key))
        });
        listed.buffered(LOOKS_AT_ONCE).try_collect().await
    }

    /// Lists the objects with keys behind `after`, `most` of them at most. S3 lists no more than 1,000.
    ///
    /// # Errors
    /// Says why they weren't seen.
    pub async fn page(&self, after: Option<&str>, most: u32) -> Seen<Page> {
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        if self.has_versions {
            self.versions(after, most).await
        } else {
            self.objects(after, most).await
        }
    }

    async fn objects(&self, after: Option<&str>, most: i32) -> Seen<Page> {
        let list = self.clients.s3.list_objects_v2().bucket(self.bucket).prefix(&self.prefix);
        let list = list.max_keys(most);
        let list = list.expected_bucket_owner(self.account).encoding_type(EncodingType::Url);
        let answer = OBJECTS.seen(list.set_start_after(after.map(str::to_owned)).send().await)?;
        let is_truncated = answer.is_truncated == Some(true);
        let key = |key| key_of(OBJECTS, answer.encoding_type.as_ref(), key);
        let mut last = None;
        let mut objects = Vec::new();
        for object in answer.contents.unwrap_or_default() {
            let key = key(object.key)?;
            last = Some(key.clone());
            objects.push(Listed {
                key,
                size: size(object.size)?,
                etag: etag(object.e_tag)?,
                version_id: None,
                last_modified: time(object.last_modified.as_ref())?,
            });
        }
        Ok(Page { objects, after: last.filter(|_| is_truncated) })
    }

    async fn versions(&self, after: Option<&str>, most: i32) -> Seen<Page> {
        let list = self.clients.s3.list_object_versions().bucket(self.bucket).prefix(&self.prefix);
        let list = list.max_keys(most);
        let list = list.expected_bucket_owner(self.account).encoding_type(EncodingType::Url);
        let answer = VERSIONS.seen(list.set_key_marker(after.map(str::to_owned)).send().await)?;
        let is_truncated = answer.is_truncated == Some(true);
        let key = |key| key_of(VERSIONS, answer.encoding_type.as_ref(), key);
        // The newest version of a key comes first, so a page that ends in the middle of one has it.
        let last = answer.next_key_marker.map(|marker| key(Some(marker))).transpose()?;
        let mut objects = Vec::new();
        for version in answer.versions.unwrap_or_default() {
            if version.is_latest != Some(true) {
                continue;
            }
            objects.push(Listed {
                key: key(version.key)?,
                size: size(version.size)?,
                etag: etag(version.e_tag)?,
                version_id: version.version_id.filter(|id| id != "null"),
                last_modified: time(version.last_modified.as_ref())?,
            });
        }
        Ok(Page { objects, after: last.filter(|_| is_truncated) })
    }
}

fn listed(key: &str, head: &HeadObjectOutput) -> Seen<Listed> {
    let version_id = head.version_id.clone().filter(|id| id != "null");
    Ok(Listed {
        key: key.to_owned(),
        size: size(head.content_length)?,
        etag: etag(head.e_tag.clone())?,
        version_id,
        last_modified: time(head.last_modified.as_ref())?,
    })
}

/// Returns a key. The call asks for encoded keys, because XML can't hold every character of one, and the answer says whether
/// they are.
fn key_of(call: Call, encoding: Option<&EncodingType>, key: Option<String>) -> Seen<String> {
    let key =
        key.filter(|key| !key.is_empty()).ok_or_else(|| call.failed("an object has no key"))?;
    match encoding {
        Some(EncodingType::Url) => {
            let decoded = decode_key(&key).map_err(|error| call.failed(error.to_string()))?;
            Ok(decoded.into_owned())
        }
        _ => Ok(key),
    }
}

fn size(bytes: Option<i64>) -> Seen<u64> {
    let bytes = bytes.and_then(|bytes| u64::try_from(bytes).ok());
    bytes.ok_or_else(|| OBJECTS.failed("an object has no size"))
}

fn etag(quoted: Option<String>) -> Seen<String> {
    let etag = quoted.map(|etag| etag.trim_matches('"').to_owned());
    etag.filter(|etag| !etag.is_empty()).ok_or_else(|| OBJECTS.failed("an object has no ETag"))
}

fn time(written: Option<&DateTime>) -> Seen<EventTime> {
    let milliseconds = written.and_then(|time| u64::try_from(time.to_millis().ok()?).ok());
    let time = milliseconds.and_then(|time| EventTime::parse(&Time(time).to_string()));
    time.ok_or_else(|| OBJECTS.failed("an object has no time"))
}
