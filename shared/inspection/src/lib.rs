//! Looks at the chain from an object to a job run, in one account or in both.
//!
//! Everything here is a call that reads. What it finds are the facts of `landfall_core::chain::observed`, and
//! `landfall_core::chain` judges them. This crate never judges: in particular, it never takes a refusal for an
//! absence. Each service has a module; [`data`] and [`analytics`] put together what belongs to an account.

#![warn(missing_docs, unreachable_pub)]

mod access_analyzer;
pub mod analytics;
pub mod cloudformation;
pub mod cloudwatch;
pub mod data;
pub mod drift;
mod dynamodb;
mod ec2;
mod eventbridge;
mod glue;
mod iam_events;
pub mod inventory;
mod kms;
mod lambda;
pub mod listing;
mod look;
mod network;
pub mod organization;
pub mod requested;
mod roles;
mod s3;
pub mod sqs;
pub mod template;

use aws_config::{Region, SdkConfig};
use landfall_aws::signed::SignedClient;
use landfall_core::partition;

pub use self::access_analyzer::external_access;
pub use self::dynamodb::newest_batch;
pub use self::iam_events::forwarding;
pub use self::look::{Seen, Unseen};
pub use self::network::network;
pub use self::s3::{head, object, parts};

/// How many buckets or jobs are looked at at once. IAM and Glue throttle early, and the account's other users call
/// them too.
const AT_ONCE: usize = 4;

/// The clients for one account and region.
#[derive(Debug, Clone)]
pub struct Clients {
    access_analyzer: aws_sdk_accessanalyzer::Client,
    cloudformation: aws_sdk_cloudformation::Client,
    dynamodb: aws_sdk_dynamodb::Client,
    ec2: SignedClient,
    events: aws_sdk_eventbridge::Client,
    glue: aws_sdk_glue::Client,
    iam: aws_sdk_iam::Client,
    kms: aws_sdk_kms::Client,
    lambda: aws_sdk_lambda::Client,
    s3: aws_sdk_s3::Client,
    sqs: aws_sdk_sqs::Client,
    in_iam_region: Option<InIamRegion>,
}

/// The clients for IAM's region, if that is another one.
#[derive(Debug, Clone)]
struct InIamRegion {
    region: String,
    cloudformation: aws_sdk_cloudformation::Client,
    events: aws_sdk_eventbridge::Client,
}

impl InIamRegion {
    fn new(config: &SdkConfig) -> Option<Self> {
        let ours = config.region()?.as_ref();
        let region = partition::of_region(ours).and_then(partition::iam_region);
        let region = region.filter(|region| *region != ours)?;
        let config = config.clone().into_builder().region(Region::new(region)).build();
        Some(Self {
            region: region.to_owned(),
            cloudformation: aws_sdk_cloudformation::Client::new(&config),
            events: aws_sdk_eventbridge::Client::new(&config),
        })
    }
}

impl Clients {
    /// Makes the clients. They retry as `config` says.
    pub fn new(config: &SdkConfig) -> Self {
        let s3 = landfall_aws::config::s3(config).build();
        Self {
            access_analyzer: aws_sdk_accessanalyzer::Client::new(config),
            cloudformation: aws_sdk_cloudformation::Client::new(config),
            dynamodb: aws_sdk_dynamodb::Client::new(config),
            ec2: ec2::client(config),
            events: aws_sdk_eventbridge::Client::new(config),
            glue: aws_sdk_glue::Client::new(config),
            iam: aws_sdk_iam::Client::new(config),
            kms: aws_sdk_kms::Client::new(config),
            lambda: aws_sdk_lambda::Client::new(config),
            s3: aws_sdk_s3::Client::from_conf(s3),
            sqs: aws_sdk_sqs::Client::new(config),
            in_iam_region: InIamRegion::new(config),
        }
    }
}

/// An account and a region in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The partition, such as `aws`.
    pub partition: String,
    /// The account's ID.
    pub account: String,
    /// The region.
    pub region: String,
}

impl Place {
    /// Returns the ARN of a resource in this account and region.
    fn arn(&self, service: &str, resource: &str) -> String {
        let Self { partition, account, region } = self;
        format!("arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

#[cfg(test)]
mod tests;
