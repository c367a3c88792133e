//! Calls AWS for the provisioner and the command line only: roles, keys, buckets' notifications and
//! policies, and the table of the resources. `landfall-core` makes the decisions.

#![warn(missing_docs, unreachable_pub)]

pub mod bucket_notifications;
pub mod bucket_policies;
mod buckets;
pub mod iam;
pub mod kms;
pub mod lifecycle_table;
