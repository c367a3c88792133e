//! What a change of routes does to buckets, and in which order: decided before the first effect.
//!
//! A bucket that the properties before and after name never loses its rule: one put replaces the old
//! rule. A bucket that they no longer name keeps its rule until all others have theirs. So a change
//! that fails on the way can be taken back, and whatever failed, the same request again converges.

use std::collections::BTreeMap;

use super::{Configuration, Desired, merge};
use crate::lifecycle::Aim;

/// What a look at a bucket showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    Found(Configuration),
    /// The account has no such bucket in this region, so no rule of ours is there. Holds the reason.
    NotOurs(String),
    /// S3 refuses to show a bucket that can be ours. Holds the reason.
    Refused(String),
    /// S3 gave no answer that lasts. Holds the reason.
    Failed(String),
}

/// One change of one bucket. Doing it twice does no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Put the rules that are desired.
    Put(String),
    /// Remove every rule of ours.
    Remove(String),
}

/// What to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub effects: Vec<Effect>,
    /// In words, the buckets about which nothing is done.
    pub notes: Vec<String>,
}

impl Effect {
    pub fn bucket(&self) -> &str {
        match self {
            Self::Put(bucket) | Self::Remove(bucket) => bucket,
        }
    }
}

/// Plans a change. `desired` has what each bucket is to have; a bucket of `looks` that is not in it is
/// to have nothing of ours.
///
/// # Errors
/// Why nothing can be done, a sentence for each bucket. There is none on the way back: what is in
/// reach is put back there.
pub fn plan(
    aim: Aim,
    desired: &BTreeMap<String, Desired>,
    looks: &BTreeMap<String, Look>,
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
            Some(why) => hindrances.push(format!("bucket `{bucket}` cannot get its rule: {why}")),
            None => plan.effects.push(Effect::Put(bucket.clone())),
        }
    }
    for bucket in left {
        match &looks[bucket] {
            Look::NotOurs(why) => {
                plan.notes.push(format!("bucket `{bucket}` has no rule to remove: {why}"));
            }
            Look::Refused(why) if aim == Aim::Restore => {
                plan.notes
                    .push(format!("bucket `{bucket}` keeps the rule that it may have: {why}"));
            }
            Look::Failed(why) | Look::Refused(why) if aim != Aim::Restore => {
                hindrances.push(format!("bucket `{bucket}` cannot lose its rule: {why}"));
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
