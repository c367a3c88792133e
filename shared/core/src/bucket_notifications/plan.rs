//! Decides what a change of routes does to buckets, and in which order, before the first effect.
//!
//! A bucket that the properties name both before and after the change never loses its rule, because
//! one put replaces the old rule. A bucket that they no longer name keeps its rule until all other
//! buckets have theirs. So a change that fails on the way can be undone and, whatever failed,
//! repeating the same request converges.

use std::collections::{BTreeMap, BTreeSet};

use super::{Configuration, Desired, merge};
use crate::aim::Aim;

/// What reading a bucket's configuration showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// The bucket has this configuration.
    Found(Configuration),
    /// The account has no such bucket in this region, so it has no rule of ours. Holds the reason.
    NotOurs(String),
    /// S3 refuses to show the configuration of a bucket that may be ours. Holds the reason.
    Refused(String),
    /// S3 gave no conclusive response. Holds the reason.
    Failed(String),
}

/// One change to one bucket. Repeating it does no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Puts the desired rules.
    Put(String),
    /// Removes every rule of ours.
    Remove(String),
}

/// The effects to carry out, and notes on what stays undone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The effects, in the order in which to carry them out.
    pub effects: Vec<Effect>,
    /// A sentence for each bucket that is left alone.
    pub notes: Vec<String>,
}

impl Effect {
    /// Returns the name of the bucket.
    pub fn bucket(&self) -> &str {
        match self {
            Self::Put(bucket) | Self::Remove(bucket) => bucket,
        }
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
    let mut plan = Plan::default();
    let mut hindrances = Vec::new();
    let is_desired = |bucket: &&String| desired.contains_key(*bucket);
    let (wanted, left): (Vec<_>, Vec<_>) = looks.keys().partition(is_desired);
    for bucket in wanted {
        let why = match &looks[bucket] {
            Look::Found(current) => {
                merge(current, &desired[bucket]).err().map(|conflict| conflict.to_string())
            }
            Look::NotOurs(why) if aim == Aim::Restore => {
                plan.notes.push(format!("bucket `{bucket}` gets no rule: {why}"));
                continue;
            }
            Look::NotOurs(why) | Look::Refused(why) | Look::Failed(why) => Some(why.clone()),
        };
        match why.filter(|_| aim != Aim::Restore) {
            Some(why) => hindrances.push(format!("can't set the rule of bucket `{bucket}`: {why}")),
            None => plan.effects.push(Effect::Put(bucket.clone())),
        }
    }
    for bucket in left {
        let was_never_put = announced.is_some_and(|announced| !announced.contains(bucket));
        match &looks[bucket] {
            Look::Refused(why) if was_never_put => {
                plan.notes.push(format!("bucket `{bucket}` never got a rule to remove: {why}"));
            }
            Look::NotOurs(why) => {
                plan.notes.push(format!("bucket `{bucket}` has no rule to remove: {why}"));
            }
            Look::Refused(why) if aim == Aim::Restore => {
                plan.notes.push(format!("bucket `{bucket}` keeps its rule if it has one: {why}"));
            }
            Look::Failed(why) | Look::Refused(why) if aim != Aim::Restore => {
                hindrances.push(format!("can't remove the rule of bucket `{bucket}`: {why}"));
            }
            Look::Found(_) | Look::Refused(_) | Look::Failed(_) => {
                plan.effects.push(Effect::Remove(bucket.clone()));
            }
        }
    }
    if hindrances.is_empty() { Ok(plan) } else { Err(hindrances) }
}

#[cfg(test)]
mod tests;
