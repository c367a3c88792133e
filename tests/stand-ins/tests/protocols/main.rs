//! Tests the stand-ins with the SDK's own clients.

mod dynamodb;
mod landfall;
mod others;
mod transactions;

use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use landfall_stand_ins::StandIn;

/// Returns the configuration of the functions, with the stand-in as AWS.
async fn config(aws: &StandIn) -> SdkConfig {
    landfall_aws::config::loader()
        .endpoint_url(aws.endpoint())
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::for_tests())
        .load()
        .await
}
