//! The handler against stand-ins for DynamoDB, S3, STS and Glue that speak their protocols over HTTP.

mod answers;
mod crowd;
mod environment;
mod listings;
mod moved;
mod probe;
mod redelivery;
mod repeated;
mod roles;
mod scope;
mod stage;
mod starting;
mod telemetry;
mod waiting;
