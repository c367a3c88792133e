//! Plans changes of policies, as [`bucket_plan`](crate::bucket_plan) plans changes of buckets.

use std::collections::{BTreeMap, BTreeSet};

use super::{Desired, Policy, merge, without};
use crate::aim::Aim;
use crate::bucket_plan::{self, Part};
pub use crate::bucket_plan::{Effect, Plan};

/// What reading a bucket's policy showed. A bucket that was found may have no policy.
pub type Look = bucket_plan::Look<Option<Policy>>;

/// The statements of one owner.
#[derive(Debug)]
struct Statements<'a> {
    owner: &'a str,
}

impl Part for Statements<'_> {
    type Document = Option<Policy>;
    type Desired = Desired;

    const THE: &'static str = "the statements";
    const A: &'static str = "a statement";
    const NO: &'static str = "no statement";
    const IF_ANY: &'static str = "its statements if it has any";

    fn cannot_put(&self, current: &Option<Policy>, desired: &Desired) -> Option<String> {
        merge(current.as_ref(), desired).err().map(|conflict| conflict.to_string())
    }

    fn cannot_remove(&self, current: &Option<Policy>) -> Option<String> {
        without(current.as_ref(), self.owner).err().map(|conflict| conflict.to_string())
    }
}

/// Plans a change of the statements of `owner`. `desired` holds what each bucket should have. A bucket in `looks` that
/// isn't in `desired` should have no statement of this owner. `put` holds the buckets whose policies ever got one, if that
/// is known.
///
/// # Errors
/// Returns the reasons why nothing can be done, a sentence for each bucket. On the way back there are no errors: the
/// plan then restores every bucket that can be reached.
pub fn plan(
    owner: &str,
    aim: Aim,
    desired: &BTreeMap<String, Desired>,
    looks: &BTreeMap<String, Look>,
    put: Option<&BTreeSet<String>>,
) -> Result<Plan, Vec<String>> {
    bucket_plan::plan(&Statements { owner }, aim, desired, looks, put)
}

#[cfg(test)]
mod tests;
