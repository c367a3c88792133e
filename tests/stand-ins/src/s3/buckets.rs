//! Buckets that a test makes: their owners, notifications and policies as they were put, and the settings that
//! AWS gives each new bucket.

use std::collections::BTreeMap;

use hyper::body::Bytes;

use crate::call::{Answer, Call};

/// The account of every caller.
const ACCOUNT: &str = "111111111111";

const NOTHING: &[u8] = b"<NotificationConfiguration/>";

/// The buckets by name.
#[derive(Debug, Default)]
pub(crate) struct Buckets(BTreeMap<String, Bucket>);

#[derive(Debug)]
struct Bucket {
    /// The owner's account.
    owner: String,
    notifications: Bytes,
    policy: Option<Bytes>,
    /// The ARN of the KMS key that new objects are encrypted with, if it isn't a key of S3's own.
    key: Option<String>,
}

impl Buckets {
    /// Makes a bucket without notifications and without a policy.
    pub(crate) fn make(&mut self, name: &str, account: &str) {
        let notifications = Bytes::from_static(NOTHING);
        let bucket = Bucket { owner: account.to_owned(), notifications, policy: None, key: None };
        self.0.insert(name.to_owned(), bucket);
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    pub(crate) fn encrypt(&mut self, name: &str, key: &str) {
        if let Some(bucket) = self.0.get_mut(name) {
            bucket.key = Some(key.to_owned());
        }
    }

    pub(crate) fn configuration(&self, name: &str) -> Option<&Bytes> {
        self.0.get(name).map(|bucket| &bucket.notifications)
    }

    pub(crate) fn put_configuration(&mut self, name: &str, configuration: &str) {
        if let Some(bucket) = self.0.get_mut(name) {
            bucket.notifications = Bytes::copy_from_slice(configuration.as_bytes());
        }
    }

    pub(crate) fn policy(&self, name: &str) -> Option<&Bytes> {
        self.0.get(name).and_then(|bucket| bucket.policy.as_ref())
    }

    pub(crate) fn put_policy(&mut self, name: &str, policy: &str) {
        if let Some(bucket) = self.0.get_mut(name) {
            bucket.policy = Some(Bytes::copy_from_slice(policy.as_bytes()));
        }
    }

    /// Answers a call about a bucket. Returns `None` for other calls.
    pub(crate) fn serve(&mut self, call: &Call, content: Bytes) -> Option<Answer> {
        const OPERATIONS: [&str; 9] = [
            "HeadBucket",
            "GetBucketOwnershipControls",
            "GetPublicAccessBlock",
            "GetBucketEncryption",
            "GetBucketNotificationConfiguration",
            "PutBucketNotificationConfiguration",
            "GetBucketPolicy",
            "PutBucketPolicy",
            "DeleteBucketPolicy",
        ];
        let error = |status, code| Answer::error("s3", status, code, "as S3 says it");
        if call.operation == "ListBuckets" {
            return Some(self.list());
        }
        if !OPERATIONS.contains(&call.operation.as_str()) {
            return None;
        }
        let name = call.body["Bucket"].as_str().unwrap_or_default();
        let Some(bucket) = self.0.get_mut(name) else {
            return Some(error(404, "NoSuchBucket"));
        };
        if bucket.owner != ACCOUNT || call.body["ExpectedBucketOwner"] != bucket.owner.as_str() {
            return Some(error(403, "AccessDenied"));
        }
        let xml = |text: String| Answer::new(200, "application/xml", text);
        Some(match call.operation.as_str() {
            "HeadBucket" => Answer::new(200, "application/xml", Bytes::new()),
            "GetBucketOwnershipControls" => xml(
                "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>\
                 </OwnershipControls>"
                    .to_owned(),
            ),
            "GetPublicAccessBlock" => xml(
                "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls>\
                 <IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy>\
                 <RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>"
                    .to_owned(),
            ),
            "GetBucketEncryption" => {
                let default = match &bucket.key {
                    Some(key) => format!(
                        "<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>{key}</KMSMasterKeyID>"
                    ),
                    None => "<SSEAlgorithm>AES256</SSEAlgorithm>".to_owned(),
                };
                xml(format!(
                    "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
                     {default}</ApplyServerSideEncryptionByDefault><BucketKeyEnabled>true\
                     </BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>"
                ))
            }
            "GetBucketNotificationConfiguration" => {
                Answer::new(200, "application/xml", bucket.notifications.clone())
            }
            "PutBucketNotificationConfiguration" => {
                bucket.notifications = content;
                Answer::xml(200, String::new())
            }
            "GetBucketPolicy" => match &bucket.policy {
                Some(policy) => Answer::new(200, "application/json", policy.clone()),
                None => error(404, "NoSuchBucketPolicy"),
            },
            "PutBucketPolicy" => {
                bucket.policy = Some(content);
                Answer::xml(204, String::new())
            }
            _ => {
                bucket.policy = None;
                Answer::xml(204, String::new())
            }
        })
    }

    /// Lists all buckets and ignores the prefix.
    fn list(&self) -> Answer {
        let own = self.0.iter().filter(|(_, bucket)| bucket.owner == ACCOUNT);
        let own: String =
            own.map(|(name, _)| format!("<Bucket><Name>{name}</Name></Bucket>")).collect();
        let all =
            format!("<ListAllMyBucketsResult><Buckets>{own}</Buckets></ListAllMyBucketsResult>");
        Answer::xml(200, all)
    }
}
