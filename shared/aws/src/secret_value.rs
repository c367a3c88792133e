//! Reads a secret's value from Secrets Manager.

use aws_config::SdkConfig;
use landfall_core::arn::SecretArn;
use landfall_core::secret::Secret;
use serde::Deserialize;
use serde_json::json;

use crate::signed::{Service, SignedClient};

const SECRETS_MANAGER: Service = Service {
    id: "Secrets Manager",
    name: "secretsmanager",
    content_type: "application/x-amz-json-1.1",
};

/// A secret, and the client that reads it.
#[derive(Debug)]
pub struct SecretValue {
    arn: String,
    client: SignedClient,
}

/// Why a secret could not be read. Of AWS's answer, it repeats only the error code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to read secret `{arn}`: {reason}")]
pub struct SecretError {
    /// The ARN of the secret.
    pub arn: String,
    /// The reason: AWS's code, or what went wrong.
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    secret_string: Option<Secret>,
}

impl SecretValue {
    /// Returns the secret with this ARN. Makes no call.
    pub fn new(arn: &str, config: &SdkConfig) -> Self {
        let place = SecretArn::parse(arn).map(|arn| (arn.partition, arn.region));
        Self { arn: arn.to_owned(), client: SignedClient::new(SECRETS_MANAGER, place, config) }
    }

    /// Reads the value, anew each time and with no time-out: the caller sets a limit.
    ///
    /// # Errors
    /// Fails if AWS refuses or cannot be reached, or the secret is not text.
    pub async fn read(&self) -> Result<Secret, SecretError> {
        let body = json!({ "SecretId": self.arn }).to_string();
        let answer: Result<Answer, String> =
            self.client.call("secretsmanager.GetSecretValue", &body).await;
        let answer = answer.map_err(|reason| self.failed(&reason))?;
        answer.secret_string.ok_or_else(|| self.failed("it has no `SecretString`"))
    }

    pub(crate) fn failed(&self, reason: &str) -> SecretError {
        SecretError { arn: self.arn.clone(), reason: reason.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:lineage-a1B2c3";

    fn endpoint_of(arn: &str, config: aws_types::sdk_config::Builder) -> Option<String> {
        SecretValue::new(arn, &config.build()).client.endpoint().map(str::to_owned)
    }

    #[test]
    fn a_secret_is_asked_for_in_its_own_region_over_tls() {
        let plain = SdkConfig::builder;
        let own = "https://secretsmanager.eu-west-1.amazonaws.com/";
        assert_eq!(endpoint_of(ARN, plain()).as_deref(), Some(own));
        let fips = "https://secretsmanager-fips.eu-west-1.api.aws/";
        let both = plain().use_fips(true).use_dual_stack(true);
        assert_eq!(endpoint_of(ARN, both).as_deref(), Some(fips));
        let china = ARN.replace("arn:aws:", "arn:aws-cn:").replace("eu-west-1", "cn-north-1");
        let own = "https://secretsmanager.cn-north-1.amazonaws.com.cn/";
        assert_eq!(endpoint_of(&china, plain()).as_deref(), Some(own));
        let endpoint = "https://vpce-1.secretsmanager.example.com/";
        let set = plain().endpoint_url(endpoint);
        assert_eq!(endpoint_of(ARN, set).as_deref(), Some(endpoint));
    }

    #[tokio::test]
    async fn a_secret_is_not_asked_for_where_nobody_is_to_be_trusted() {
        let elsewhere = ARN.replace("arn:aws:", "arn:aws-iso-z:");
        let plain = SdkConfig::builder().endpoint_url("http://secrets.example.com");
        for (arn, config) in [(ARN, plain), (&elsewhere, SdkConfig::builder())] {
            let secret = SecretValue::new(arn, &config.build());
            let error = secret.read().await.expect_err("not asked");
            assert_eq!(error.reason, "no endpoint that is to be trusted");
        }
    }
}
