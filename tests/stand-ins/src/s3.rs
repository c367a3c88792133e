//! S3: `PutObject`, `GetObject` and `HeadObject` of whole objects, by path-style addresses. `buckets` has the
//! settings of buckets, and `listing` lists objects.

mod buckets;
mod listing;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::SystemTime;

use hyper::body::Bytes;
use hyper::http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::json;

use self::buckets::Buckets;
use crate::call::{Answer, Call};

#[derive(Debug, Default)]
pub(crate) struct S3 {
    /// The objects by bucket and key.
    objects: BTreeMap<(String, String), Object>,
    /// The buckets that keep versions. Of each object, the newest one is kept.
    pub(crate) versioned: BTreeSet<String>,
    /// The account that owns all buckets, if S3 checks the owner.
    pub(crate) owner: Option<String>,
    pub(crate) buckets: Buckets,
}

#[derive(Debug)]
struct Object {
    content: Bytes,
    modified: SystemTime,
}

impl S3 {
    pub(crate) fn object(&self, bucket: &str, key: &str) -> Option<&Bytes> {
        self.found(bucket, key).map(|object| &object.content)
    }

    fn found(&self, bucket: &str, key: &str) -> Option<&Object> {
        self.objects.get(&(bucket.to_owned(), key.to_owned()))
    }

    pub(crate) fn put(&mut self, bucket: &str, key: &str, content: Bytes, modified: SystemTime) {
        self.objects.insert((bucket.to_owned(), key.to_owned()), Object { content, modified });
    }

    pub(crate) fn keys(&self, bucket: &str) -> Vec<String> {
        let from = self.objects.range((bucket.to_owned(), String::new())..);
        from.take_while(|((of, _), _)| of == bucket).map(|((_, key), _)| key.clone()).collect()
    }

    pub(crate) fn serve(&mut self, call: &Call, content: Bytes) -> Answer {
        let member = |name: &str| call.body[name].as_str().unwrap_or_default();
        let (bucket, key) = (member("Bucket"), member("Key"));
        let error = |status, code| Answer::error("s3", status, code, "as S3 says it");
        // S3 serves callers that expect no owner. Here, every caller must expect one.
        if self.owner.as_deref().is_some_and(|owner| call.body["ExpectedBucketOwner"] != owner) {
            return error(403, "AccessDenied");
        }
        if let Some(answer) = self.buckets.serve(call, content.clone()) {
            return answer;
        }
        if let Some(answer) = listing::serve(self, call) {
            return answer;
        }
        match call.operation.as_str() {
            "PutObject" => {
                let is_there = self.object(bucket, key).is_some();
                if is_there && call.body["IfNoneMatch"] == "*" {
                    return error(412, "PreconditionFailed");
                }
                let mut answer = Answer::new(200, "application/xml", Bytes::new());
                answer.etag = Some(etag(&content));
                self.put(bucket, key, content, SystemTime::now());
                answer
            }
            operation @ ("GetObject" | "HeadObject") => match self.found(bucket, key) {
                Some(Object { content, modified }) => {
                    let mut answer = Answer::new(200, "application/octet-stream", content.clone());
                    answer.etag = Some(etag(content));
                    answer.length = (operation == "HeadObject").then_some(content.len());
                    answer.modified = Some(*modified);
                    let is_versioned = self.versioned.contains(bucket);
                    answer.version_id = is_versioned.then(|| listing::version_id(content));
                    answer
                }
                None => error(404, "NoSuchKey"),
            },
            _ => error(501, "NotImplemented"),
        }
    }
}

/// Returns an ETag, which changes with the content. It isn't the one that S3 would compute.
pub(crate) fn etag(content: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    format!("\"{:032x}\"", hasher.finish())
}

/// Identifies the call, and returns it with the content that it brings.
pub(crate) fn identify(parts: &Parts, content: Bytes) -> (Call, Bytes) {
    let path = parts.uri.path().trim_start_matches('/');
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut body = json!({ "Bucket": decoded(bucket), "Key": decoded(key) });
    // Other calls have a parameter that distinguishes them, such as `?uploads`.
    let is_plain = parts
        .uri
        .query()
        .is_none_or(|query| query.split('&').all(|parameter| parameter.starts_with("x-id=")));
    let is_about = |name: &str| {
        parts.uri.query().is_some_and(|query| {
            query.split('&').any(|it| it.strip_suffix('=').unwrap_or(it) == name)
        })
    };
    let operation = match parts.method.as_str() {
        "PUT" if is_about("notification") => "PutBucketNotificationConfiguration".to_owned(),
        "GET" if is_about("notification") => "GetBucketNotificationConfiguration".to_owned(),
        "PUT" if is_about("policy") => "PutBucketPolicy".to_owned(),
        "GET" if is_about("policy") => "GetBucketPolicy".to_owned(),
        "DELETE" if is_about("policy") => "DeleteBucketPolicy".to_owned(),
        "GET" if is_about("tagging") && key.is_empty() => "GetBucketTagging".to_owned(),
        "GET" if bucket.is_empty() => "ListBuckets".to_owned(),
        "HEAD" if key.is_empty() && !bucket.is_empty() => "HeadBucket".to_owned(),
        "GET" if is_about("ownershipControls") => "GetBucketOwnershipControls".to_owned(),
        "GET" if is_about("publicAccessBlock") => "GetPublicAccessBlock".to_owned(),
        "GET" if is_about("encryption") => "GetBucketEncryption".to_owned(),
        "GET" if is_about("versioning") => "GetBucketVersioning".to_owned(),
        "GET" if key.is_empty() && is_about("versions") => "ListObjectVersions".to_owned(),
        "GET" if key.is_empty() && is_about("list-type=2") => "ListObjectsV2".to_owned(),
        "PUT" if is_plain && !key.is_empty() => "PutObject".to_owned(),
        "GET" if is_plain && !key.is_empty() => "GetObject".to_owned(),
        "HEAD" if is_plain && !key.is_empty() => "HeadObject".to_owned(),
        _ => format!("{} {}", parts.method, parts.uri),
    };
    for parameter in parts.uri.query().unwrap_or_default().split('&') {
        let Some((name @ ("prefix" | "start-after" | "key-marker"), value)) =
            parameter.split_once('=')
        else {
            continue;
        };
        body[name] = decoded(value).into();
    }
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(condition) = header("if-none-match") {
        body["IfNoneMatch"] = condition.into();
    }
    if let Some(owner) = header("x-amz-expected-bucket-owner") {
        body["ExpectedBucketOwner"] = owner.into();
    }
    let is_chunked = header("content-encoding").is_some_and(|value| value.contains("aws-chunked"))
        || header("x-amz-content-sha256").is_some_and(|value| value.starts_with("STREAMING-"));
    let content = if is_chunked { unchunked(&content) } else { content };
    (Call { service: "s3", operation, body }, content)
}

/// Decodes `aws-chunked` content: each chunk is preceded by its length, and what follows the last,
/// empty chunk is metadata about the content.
fn unchunked(mut rest: &[u8]) -> Bytes {
    let mut content = Vec::with_capacity(rest.len());
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let head = String::from_utf8_lossy(&rest[..end]);
        let length = head.split(';').next().unwrap_or_default();
        let Ok(length @ 1..) = usize::from_str_radix(length.trim(), 16) else { break };
        let Some(chunk) = rest.get(end + 2..end + 2 + length) else { break };
        content.extend_from_slice(chunk);
        rest = rest.get(end + 2 + length + 2..).unwrap_or_default();
    }
    content.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_put_together_without_what_is_said_about_them() {
        let signed =
            b"3;chunk-signature=aa\r\na\r\n\r\n2\r\nbc\r\n0\r\nx-amz-checksum-crc32:AA==\r\n\r\n";
        assert_eq!(unchunked(signed), "a\r\nbc");
        assert_eq!(unchunked(b"0\r\n\r\n"), "");
    }
}
