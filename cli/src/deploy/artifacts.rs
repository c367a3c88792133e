//! The bucket that holds an account's templates and artifacts, and uploads to it.

use aws_sdk_s3::error::SdkError;
use landfall_aws::sdk_error::ServiceError;
use landfall_stacks::change_set::TemplateAt;

use crate::accounts::Account;
use crate::package::Artifact;
use crate::terminal::progress::say;

impl Account {
    /// Returns the name of the bucket that the account's artifacts stack creates.
    pub fn default_artifacts(&self) -> String {
        format!("landfall-artifacts-{}-{}", self.id, self.region)
    }

    /// Returns `true` if the account has this bucket.
    pub async fn has_bucket(&self, bucket: &str) -> anyhow::Result<bool> {
        let head = self.s3.head_bucket().bucket(bucket).expected_bucket_owner(&self.id);
        let doing = format!("read bucket `{bucket}` (does it belong to another account?)");
        self.is_found(head.send().await, doing)
    }

    /// Uploads an artifact unless it is there already, and returns its key.
    pub async fn upload(
        &self,
        bucket: &str,
        prefix: &str,
        artifact: &Artifact,
    ) -> anyhow::Result<String> {
        let key = artifact.key(prefix);
        let head = self.s3.head_object().bucket(bucket).key(&key).expected_bucket_owner(&self.id);
        let doing = format!("read `s3://{bucket}/{key}`");
        if self.is_found(head.send().await, doing)? {
            return Ok(key);
        }
        say(&format!("  uploading {} to s3://{bucket}/{key}", artifact.name));
        let put = self.s3.put_object().bucket(bucket).key(&key).expected_bucket_owner(&self.id);
        let put = put.body(artifact.bytes.clone().into()).send().await;
        put.map_err(self.stacks.failed(format!("upload `s3://{bucket}/{key}`")))?;
        Ok(key)
    }

    /// Returns an uploaded template's URL in the form that CloudFormation takes.
    pub fn template_at(&self, bucket: &str, key: &str) -> TemplateAt {
        let suffix = if self.region.starts_with("cn-") { ".cn" } else { "" };
        TemplateAt::Url(match &self.endpoint {
            Some(endpoint) => format!("{endpoint}/{bucket}/{key}"),
            None => format!("https://{bucket}.s3.{}.amazonaws.com{suffix}/{key}", self.region),
        })
    }

    /// Tells an absent bucket or object from a failed call.
    fn is_found<T, E: ServiceError>(
        &self,
        head: Result<T, SdkError<E>>,
        doing: String,
    ) -> anyhow::Result<bool> {
        match head {
            Err(error) if error.raw_response().is_some_and(|raw| raw.status().as_u16() == 404) => {
                Ok(false)
            }
            head => head.map(|_| true).map_err(self.stacks.failed(doing)),
        }
    }
}
