//! The compiled provisioner with requests that don't come from CloudFormation, and with genuine
//! ones beside them. Lambda's Runtime API, CloudFormation, DynamoDB, S3 and IAM are stand-ins,
//! which report the calls that they got.

mod access;
mod external_ids;
mod fixture;
mod limits;
mod locks;
mod notifications;
mod removals;
mod repair;
mod times;
mod wide;
