//! The handler against stand-ins for DynamoDB, S3, STS and Glue. The trigger's handler has recorded
//! whatever the monitor finds in the ledger. To let time pass, a test writes the batch again with
//! earlier times.

mod announced;
mod claim_modes;
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
