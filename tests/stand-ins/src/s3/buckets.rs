//! Buckets with notifications: their owners, and their notification configurations as they were
//! put.

use std::collections::BTreeMap;

use hyper::body::Bytes;

use crate::call::{Answer, Call};

/// The account of every caller.
const ACCOUNT: &str = "111111111111";

const NOTHING: &[u8] = b"<NotificationConfiguration/>";

/// The owner's account and the configuration of each bucket, by name.
#[derive(Debug, Default)]
pub(crate) struct Buckets(BTreeMap<String, (String, Bytes)>);

impl Buckets {
    /// Makes a bucket without notifications.
    pub(crate) fn make(&mut self, name: &str, account: &str) {
        self.0.insert(name.to_owned(), (account.to_owned(), Bytes::from_static(NOTHING)));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    pub(crate) fn configuration(&self, name: &str) -> Option<&Bytes> {
        self.0.get(name).map(|(_, configuration)| configuration)
    }

    /// Answers a call about a bucket. Returns `None` for other calls.
    pub(crate) fn serve(&mut self, call: &Call, content: Bytes) -> Option<Answer> {
        let error = |status, code| Some(Answer::error("s3", status, code, "as S3 says it"));
        if call.operation == "ListBuckets" {
            return Some(self.list());
        }
        let is_put = match call.operation.as_str() {
            "GetBucketNotificationConfiguration" => false,
            "PutBucketNotificationConfiguration" => true,
            _ => return None,
        };
        let name = call.body["Bucket"].as_str().unwrap_or_default();
        let Some((owner, configuration)) = self.0.get_mut(name) else {
            return error(404, "NoSuchBucket");
        };
        if owner != ACCOUNT || call.body["ExpectedBucketOwner"] != owner.as_str() {
            return error(403, "AccessDenied");
        }
        if is_put {
            *configuration = content;
            return Some(Answer::xml(200, String::new()));
        }
        Some(Answer::new(200, "application/xml", configuration.clone()))
    }

    /// Lists all buckets and ignores the prefix.
    fn list(&self) -> Answer {
        let own = self.0.iter().filter(|(_, (owner, _))| owner == ACCOUNT);
        let own: String =
            own.map(|(name, _)| format!("<Bucket><Name>{name}</Name></Bucket>")).collect();
        let all =
            format!("<ListAllMyBucketsResult><Buckets>{own}</Buckets></ListAllMyBucketsResult>");
        Answer::xml(200, all)
    }
}
