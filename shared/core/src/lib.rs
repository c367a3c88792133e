//! The pure part of Landfall: what the routes say, what has arrived, and what to start.
//!
//! Nothing in this crate does I/O, reads a clock or the environment, or knows the AWS SDK: `now`,
//! IDs and settings are arguments. `make test` proves it with `cargo tree`.
//!
//! Data flows one way: [`routes`] (a file, resolved and valid) and [`arrivals`] (an event,
//! normalised) go into [`plan`], which says exactly which job runs to start.

#![warn(missing_docs, unreachable_pub)]

pub mod aim;
pub mod arn;
pub mod arrivals;
mod at;
pub mod audit;
pub mod backfill;
pub mod batch;
pub mod bucket_access;
pub mod bucket_notifications;
pub mod bucket_plan;
pub mod chain;
pub mod dates;
pub mod doctor;
pub mod inventory;
pub mod key_policy;
pub mod lifecycle;
pub mod limits;
pub mod lineage;
pub mod moment;
pub mod packed;
pub mod partition;
pub mod pattern;
pub mod plan;
pub mod policy;
pub mod probe;
pub mod problem;
pub mod properties;
pub mod reach;
pub mod reaches;
pub mod reconcile;
pub mod repair;
pub mod roles;
pub mod router;
pub mod routes;
pub mod run_events;
pub mod secret;
pub mod shell;
pub mod template;
pub mod turns;
pub mod typed;
pub mod usage;
pub mod yaml;
