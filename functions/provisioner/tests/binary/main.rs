//! The compiled provisioner under requests that are none of CloudFormation's, and under genuine ones beside
//! them. Lambda's Runtime API, CloudFormation, DynamoDB, S3 and IAM are stand-ins, which tell what was asked of
//! them.

mod external_ids;
mod ground;
mod limits;
mod locks;
mod notifications;
mod removals;
mod times;
mod wide;
