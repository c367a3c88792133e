//! Calls AWS for the functions and the command line: thin edges around concrete SDK clients.
//! `landfall-core` makes the decisions.

#![warn(missing_docs, unreachable_pub)]

pub mod advance;
pub mod assumed_role;
pub mod claims;
pub mod clock;
mod clock_check;
pub mod cloudtrail;
pub mod config;
pub mod dynamodb;
pub mod events;
pub mod findings;
pub mod glue;
mod http_client;
pub mod ledger;
pub mod lineage;
pub mod listed;
pub mod metrics;
pub mod probe;
pub mod queue;
pub mod sdk_error;
pub mod secret_value;
pub mod settings;
pub mod signed;
pub mod startup;
pub mod targets;
pub mod telemetry;
pub mod traces;
pub mod work_queue;
