//! The chain that leads from an object in a bucket to a Glue job run, and which of its links are broken.
//!
//! Somebody looks at the links (`landfall-inspection` makes the calls) and gets [`observed`] facts. [`judge`](judge())
//! decides what they mean, in the direction of the data. It never takes "couldn't look" for "all is well".
//! [`problems`] is the table of what can be wrong, and [`permissions`] that of the calls that look.

mod check;
pub mod drift;
mod judge;
mod link;
pub mod object;
pub mod observed;
mod owners;
pub mod permissions;
pub mod problems;
mod statements;

pub use check::{Check, Status, first_broken};
pub use judge::{could_not_look, judge, judge_object};
pub use link::{Link, Side};
pub use owners::request_to_owners;
