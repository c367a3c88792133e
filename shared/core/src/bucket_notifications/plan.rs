//! Plans changes of notifications, as [`bucket_plan`](crate::bucket_plan) plans changes of buckets.

use std::collections::{BTreeMap, BTreeSet};

use super::{Configuration, Desired, merge};
use crate::aim::Aim;
use crate::bucket_plan::{self, Part};
pub use crate::bucket_plan::{Effect, Plan};

/// What reading a bucket's configuration showed.
pub type Look = bucket_plan::Look<Configuration>;

/// The rules of a bucket's notifications.
#[derive(Debug)]
struct Rules;

impl Part for Rules {
    type Document = Configuration;
    type Desired = Desired;

    const THE: &'static str = "the rule";
    const A: &'static str = "a rule";
    const NO: &'static str = "no rule";
    const IF_ANY: &'static str = "its rule if it has one";

    fn cannot_put(&self, current: &Configuration, desired: &Desired) -> Option<String> {
        merge(current, desired).err().map(|conflict| conflict.to_string())
    }

    /// Removing a rule never gets in the way of other rules.
    fn cannot_remove(&self, _: &Configuration) -> Option<String> {
        None
    }
}

/// Plans a change. `desired` holds what each bucket should have. A bucket in `looks` that isn't in
/// `desired` should have nothing of ours. `announced` holds the buckets in which a rule of ours was
/// ever put, if that is known.
///
/// # Errors
/// Returns the reasons why nothing can be done, a sentence for each bucket. On the way back there
/// are no errors: the plan then restores every bucket that can be reached.
pub fn plan(
    aim: Aim,
    desired: &BTreeMap<String, Desired>,
    looks: &BTreeMap<String, Look>,
    announced: Option<&BTreeSet<String>>,
) -> Result<Plan, Vec<String>> {
    bucket_plan::plan(&Rules, aim, desired, looks, announced)
}

#[cfg(test)]
mod tests;
