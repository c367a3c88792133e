//! The handler against stand-ins for DynamoDB, S3, STS and Glue. What it finds in the ledger, the
//! trigger's handler has recorded; where time is to have passed, the batch is written anew with
//! earlier times.

mod closing;
mod crowd;
mod events;
mod failing;
mod faults;
mod former;
mod limits;
mod lineage;
mod log;
mod outcomes;
mod recovery;
mod scope;
mod shared;
mod stage;
mod targets;
mod ticks;
mod turns;
