//! `ListObjectsV2` and `ListObjectVersions`, 1,000 keys a page, and whether a bucket keeps versions.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::SystemTime;

use hyper::body::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{S3, etag};
use crate::call::{Answer, Call};

const PAGE: usize = 1_000;

/// What S3 doesn't encode in a key.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'*');

/// Answers a call that lists; `None` if it is another one.
pub(super) fn serve(s3: &S3, call: &Call) -> Option<Answer> {
    let member = |name: &str| call.body[name].as_str().unwrap_or_default();
    let bucket = member("Bucket");
    let keeps_versions = s3.versioned.contains(bucket);
    let xml = match call.operation.as_str() {
        "GetBucketVersioning" => {
            let status = if keeps_versions { "<Status>Enabled</Status>" } else { "" };
            format!("<VersioningConfiguration>{status}</VersioningConfiguration>")
        }
        "ListObjectsV2" => {
            let (objects, next) = page(s3, bucket, member("prefix"), member("start-after"));
            let mut xml = format!(
                "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>{}</IsTruncated>",
                next.is_some()
            );
            for (key, content, modified) in objects {
                let entry = entry(&key, content, modified);
                let _ = write!(xml, "<Contents>{entry}</Contents>");
            }
            xml + "</ListBucketResult>"
        }
        "ListObjectVersions" => {
            let (objects, next) = page(s3, bucket, member("prefix"), member("key-marker"));
            let mut xml = format!(
                "<ListVersionsResult><EncodingType>url</EncodingType><IsTruncated>{}</IsTruncated>",
                next.is_some()
            );
            if let Some(next) = next {
                let _ = write!(xml, "<NextKeyMarker>{}</NextKeyMarker>", encoded(&next));
            }
            for (key, content, modified) in objects {
                let id = if keeps_versions { version_id(content) } else { "null".to_owned() };
                let entry = entry(&key, content, modified);
                let _ = write!(
                    xml,
                    "<Version>{entry}<VersionId>{id}</VersionId><IsLatest>true</IsLatest></Version>\
                     <Version>{entry}<VersionId>older</VersionId><IsLatest>false</IsLatest></Version>"
                );
            }
            xml + "</ListVersionsResult>"
        }
        _ => return None,
    };
    Some(Answer::new(200, "application/xml", Bytes::from(xml)))
}

/// Returns the ID of the version with this content.
pub(crate) fn version_id(content: &[u8]) -> String {
    format!("v-{}", etag(content).trim_matches('"'))
}

type Object<'a> = (String, &'a Bytes, SystemTime);

fn page<'a>(
    s3: &'a S3,
    bucket: &str,
    prefix: &str,
    after: &str,
) -> (Vec<Object<'a>>, Option<String>) {
    let objects: &BTreeMap<_, _> = &s3.objects;
    let from = objects.range((bucket.to_owned(), prefix.max(after).to_owned())..);
    let of_bucket = from
        .take_while(|((of, key), _)| of == bucket && key.starts_with(prefix))
        .filter(|((_, key), _)| key.as_str() > after);
    let mut found: Vec<Object<'_>> = of_bucket
        .map(|((_, key), object)| (key.clone(), &object.content, object.modified))
        .take(PAGE + 1)
        .collect();
    let is_truncated = found.len() > PAGE;
    found.truncate(PAGE);
    let next = found.last().filter(|_| is_truncated).map(|(key, ..)| key.clone());
    (found, next)
}

fn entry(key: &str, content: &Bytes, modified: SystemTime) -> String {
    let modified = time::OffsetDateTime::from(modified);
    let modified = modified.format(&time::format_description::well_known::Rfc3339);
    let modified = modified.unwrap_or_default();
    format!(
        "<Key>{}</Key><LastModified>{modified}</LastModified><ETag>{}</ETag><Size>{}</Size>",
        encoded(key),
        etag(content).replace('"', "&quot;"),
        content.len(),
    )
}

fn encoded(key: &str) -> String {
    utf8_percent_encode(key, ENCODED).to_string().replace("%20", "+")
}
