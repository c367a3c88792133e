//! What the provisioner and the command line need of AWS, and the other functions do not: roles, keys, buckets'
//! notifications, and the table of the resources. Decisions are in `landfall-core`.

#![warn(missing_docs, unreachable_pub)]

pub mod bucket_notifications;
pub mod iam;
pub mod kms;
pub mod lifecycle_table;
