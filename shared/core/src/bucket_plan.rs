//! Decides what a change of a custom resource does to several buckets, and in which order, before the first effect.
//!
//! Each bucket holds one document (its notifications, its policy) in which a part is ours. A bucket that the properties
//! name both before and after the change never loses our part, because one put replaces the old one. A bucket that they
//! no longer name keeps its part until all other buckets have theirs. So a change that fails on the way can be undone
//! and, whatever failed, repeating the same request converges.

use std::collections::{BTreeMap, BTreeSet};

use crate::aim::Aim;

/// What reading a bucket's document showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look<C> {
    /// The bucket has this document.
    Found(C),
    /// The account has no such bucket in this region, so it has nothing of ours. Holds the reason.
    NotOurs(String),
    /// S3 refuses to show the document of a bucket that may be ours. Holds the reason.
    Refused(String),
    /// S3 gave no conclusive response. Holds the reason.
    Failed(String),
}

/// One change to one bucket. Repeating it does no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Puts our part.
    Put(String),
    /// Removes everything of ours.
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

impl Plan {
    /// Leaves only what a repair of what is missing does: puts into buckets of which `is_gone` returns `true`.
    #[must_use]
    pub fn of_missing(mut self, is_gone: impl Fn(&str) -> bool) -> Self {
        self.effects.retain(|effect| match effect {
            Effect::Put(bucket) => is_gone(bucket),
            Effect::Remove(_) => false,
        });
        self
    }
}

/// How to change a kind of document, and what to call our part of it.
pub trait Part {
    /// The document of a bucket.
    type Document;
    /// What a bucket should have.
    type Desired;

    /// What our part is called, with its article: `the rule`.
    const THE: &'static str;
    /// What one is called: `a rule`.
    const A: &'static str;
    /// What is said if there is none: `no rule`.
    const NO: &'static str;
    /// What is said if there may be one: `its rule if it has one`.
    const IF_ANY: &'static str;

    /// Returns the reason why a bucket can't get what is desired.
    fn cannot_put(&self, current: &Self::Document, desired: &Self::Desired) -> Option<String>;
    /// Returns the reason why our part can't be removed from a bucket.
    fn cannot_remove(&self, current: &Self::Document) -> Option<String>;
}

/// Plans a change. `desired` holds what each bucket should have. A bucket in `looks` that isn't in
/// `desired` should have nothing of ours. `put` holds the buckets in which our part was ever put, or
/// may have been, if that is known.
///
/// # Errors
/// Returns the reasons why nothing can be done, a sentence for each bucket. On the way back there
/// are no errors: the plan then restores every bucket that can be reached.
pub fn plan<P: Part>(
    part: &P,
    aim: Aim,
    desired: &BTreeMap<String, P::Desired>,
    looks: &BTreeMap<String, Look<P::Document>>,
    put: Option<&BTreeSet<String>>,
) -> Result<Plan, Vec<String>> {
    let mut plan = Plan::default();
    let mut hindrances = Vec::new();
    let is_back = aim == Aim::Restore;
    let is_desired = |bucket: &&String| desired.contains_key(*bucket);
    let (wanted, left): (Vec<_>, Vec<_>) = looks.keys().partition(is_desired);
    for bucket in wanted {
        let why = match &looks[bucket] {
            Look::Found(current) => part.cannot_put(current, &desired[bucket]),
            Look::NotOurs(why) if is_back => {
                plan.notes.push(format!("bucket `{bucket}` gets {}: {why}", P::NO));
                continue;
            }
            Look::NotOurs(why) | Look::Refused(why) | Look::Failed(why) => Some(why.clone()),
        };
        match why.filter(|_| !is_back) {
            Some(why) => {
                hindrances.push(format!("can't set {} of bucket `{bucket}`: {why}", P::THE));
            }
            None => plan.effects.push(Effect::Put(bucket.clone())),
        }
    }
    for bucket in left {
        let was_never_put = put.is_some_and(|put| !put.contains(bucket));
        let why = match &looks[bucket] {
            Look::Refused(why) if was_never_put => {
                plan.notes.push(format!("bucket `{bucket}` never got {} to remove: {why}", P::A));
                continue;
            }
            Look::NotOurs(why) => {
                plan.notes.push(format!("bucket `{bucket}` has {} to remove: {why}", P::NO));
                continue;
            }
            Look::Found(current) => part.cannot_remove(current),
            Look::Refused(why) => Some(why.clone()),
            // The removal itself may still get an answer.
            Look::Failed(_) if is_back => None,
            Look::Failed(why) => Some(why.clone()),
        };
        match why {
            Some(why) if is_back => {
                plan.notes.push(format!("bucket `{bucket}` keeps {}: {why}", P::IF_ANY));
            }
            Some(why) => {
                hindrances.push(format!("can't remove {} of bucket `{bucket}`: {why}", P::THE));
            }
            None => plan.effects.push(Effect::Remove(bucket.clone())),
        }
    }
    if hindrances.is_empty() { Ok(plan) } else { Err(hindrances) }
}
