//! The bucket that an account's stacks are made from, and what is uploaded to it.

use landfall_aws::sdk_error::sdk_error_parts;

use crate::accounts::Account;
use crate::cloudformation::stack::TemplateAt;
use crate::package::Artifact;
use crate::terminal::progress::say;

impl Account {
    /// The name of the bucket that its artifacts stack makes.
    pub fn default_artifacts(&self) -> String {
        format!("landfall-artifacts-{}-{}", self.id, self.region)
    }

    /// Whether the account has this bucket.
    pub async fn has_bucket(&self, bucket: &str) -> anyhow::Result<bool> {
        let head = self.s3.head_bucket().bucket(bucket).expected_bucket_owner(&self.id);
        match head.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.raw_response().is_some_and(|raw| raw.status().as_u16() == 404) => {
                Ok(false)
            }
            Err(error) => Err(self.stacks.failed(
                &format!("look at bucket `{bucket}` (is it another account's?)"),
                sdk_error_parts(&error),
            )),
        }
    }

    /// Uploads what is not there yet, and returns its key.
    pub async fn upload(
        &self,
        bucket: &str,
        prefix: &str,
        artifact: &Artifact,
    ) -> anyhow::Result<String> {
        let key = artifact.key(prefix);
        let head = self.s3.head_object().bucket(bucket).key(&key).expected_bucket_owner(&self.id);
        match head.send().await {
            Ok(_) => return Ok(key),
            Err(error) if error.raw_response().is_some_and(|raw| raw.status().as_u16() == 404) => {}
            Err(error) => {
                return Err(self
                    .stacks
                    .failed(&format!("look at `s3://{bucket}/{key}`"), sdk_error_parts(&error)));
            }
        }
        say(&format!("  uploading {} to s3://{bucket}/{key}", artifact.name));
        let put = self.s3.put_object().bucket(bucket).key(&key).expected_bucket_owner(&self.id);
        let put = put.body(artifact.bytes.clone().into()).send().await;
        put.map_err(|error| {
            self.stacks.failed(&format!("upload `s3://{bucket}/{key}`"), sdk_error_parts(&error))
        })?;
        Ok(key)
    }

    /// As CloudFormation takes it.
    pub fn template_at(&self, bucket: &str, key: &str) -> TemplateAt {
        let suffix = if self.region.starts_with("cn-") { ".cn" } else { "" };
        TemplateAt::Url(match &self.endpoint {
            Some(endpoint) => format!("{endpoint}/{bucket}/{key}"),
            None => format!("https://{bucket}.s3.{}.amazonaws.com{suffix}/{key}", self.region),
        })
    }
}
