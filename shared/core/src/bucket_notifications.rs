//! Landfall's part of a bucket's notification configuration, next to the entries of other owners.
//!
//! S3 keeps one configuration per bucket, and a put replaces all of it. So Landfall puts back what it read,
//! with only its own entries exchanged: [`merge`] and [`without`] compute that configuration and leave all
//! other entries alone. `filters` decides which keys our routes need to be notified about, `conflict` finds
//! what S3 would refuse, and `plan` decides which buckets change in which order.
//!
//! This module doesn't read or write configurations, and doesn't wait for S3 to accept them.

mod conflict;
mod filters;
mod plan;
mod spec;

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

pub use conflict::{Conflict, Overlap};
pub use filters::{Filter, Filters, Widening};
pub use plan::{Effect, Look, Plan, plan};
pub use spec::{Spec, buckets, json_schema};

/// The event type of our rules.
pub const EVENT: &str = "s3:ObjectCreated:*";

/// The maximum number of rules per bucket, for topics, queues and functions together. This is a quota of S3
/// that can't be raised.
pub const MAX_RULES: usize = 100;

/// The notification configuration of a bucket.
///
/// The lists keep the order in which S3 returned them, although the order means nothing to S3.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The rules that send to SNS topics.
    pub topics: Vec<Entry>,
    /// The rules that send to SQS queues.
    pub queues: Vec<Entry>,
    /// The rules that invoke Lambda functions.
    pub functions: Vec<Entry>,
    /// `true` if the bucket also sends all its events to EventBridge.
    pub event_bridge: bool,
}

/// A rule of a bucket: which events S3 sends to which destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The rule's ID, unique in the bucket. S3 generates one for a rule that is put without.
    pub id: Option<String>,
    /// The ARN of the topic, queue or function.
    pub arn: String,
    /// The event types as S3 spells them, such as `s3:ObjectCreated:*`.
    pub events: Vec<String>,
    /// The filter. An empty list admits all keys.
    pub filter_rules: Vec<FilterRule>,
}

/// One half of a rule's filter: its prefix or its suffix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterRule {
    /// `prefix` or `suffix`. S3 returns `Prefix` and `Suffix`.
    pub name: String,
    /// The text that keys must begin or end with.
    pub value: String,
}

/// The notifications that a bucket should have from Landfall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The token that marks rules as ours: a few ASCII letters, digits and `-`. It must stay the same for as
    /// long as we own the rules. Rules of any other owner are foreign.
    pub owner: String,
    /// Where the bucket sends the events.
    pub destination: Destination,
    /// The filters from [`Filters::of`], of which no two overlap. EventBridge ignores them and gets events
    /// for all keys.
    pub filters: Vec<Filter>,
}

/// Where a bucket's events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// The queue with this ARN.
    Queue(String),
    /// EventBridge, which gets all events of the bucket. EventBridge rules then choose among them.
    EventBridge,
}

/// The list of a configuration that an entry is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A rule that sends to an SNS topic.
    Topic,
    /// A rule that sends to an SQS queue.
    Queue,
    /// A rule that invokes a Lambda function.
    Function,
}

impl Configuration {
    /// Returns all rules, each with its kind.
    pub fn rules(&self) -> impl Iterator<Item = (Kind, &Entry)> {
        let topics = self.topics.iter().map(|entry| (Kind::Topic, entry));
        let queues = self.queues.iter().map(|entry| (Kind::Queue, entry));
        topics.chain(queues).chain(self.functions.iter().map(|entry| (Kind::Function, entry)))
    }

    /// Returns `true` if S3 treats both configurations the same. They may differ in the order of rules, events
    /// and filter rules, in the case of filter rules' names, and in whether an empty prefix is written.
    pub fn is_equivalent(&self, other: &Self) -> bool {
        self.event_bridge == other.event_bridge && self.normal() == other.normal()
    }

    fn normal(&self) -> Vec<Normal<'_>> {
        let mut rules: Vec<Normal<'_>> =
            self.rules().map(|(kind, entry)| entry.normal(kind)).collect();
        rules.sort();
        rules
    }

    fn is_ours(&self, owner: &str) -> bool {
        self.rules().any(|(_, entry)| entry.is_of(owner))
    }

    fn retain_foreign(&mut self, owner: &str) {
        for entries in [&mut self.topics, &mut self.queues, &mut self.functions] {
            entries.retain(|entry| !entry.is_of(owner));
        }
    }
}

/// The parts of a rule that have an effect: kind, ID, ARN, events and filter rules.
type Normal<'a> = (u8, Option<&'a str>, &'a str, BTreeSet<&'a str>, BTreeSet<(String, &'a str)>);

impl Entry {
    /// Returns the prefix and suffix as S3 reads them: `orders%2F2026` is `orders/2026`. A filter rule with
    /// any other name counts as one that admits all keys.
    pub fn filter(&self) -> Filter {
        let value = |name: &str| {
            let mut rules = self.filter_rules.iter();
            rules
                .find(|rule| rule.name.eq_ignore_ascii_case(name))
                .map_or_else(String::new, |rule| filters::decoded(&rule.value))
        };
        Filter { prefix: value("prefix"), suffix: value("suffix") }
    }

    /// Returns `true` if the rule belongs to `owner`. Compares the whole owner token of the ID, so that a rule of
    /// `a-b` doesn't belong to `a`.
    pub fn is_of(&self, owner: &str) -> bool {
        let hash = self
            .id
            .as_deref()
            .and_then(|id| id.strip_prefix("landfall-")?.strip_prefix(owner)?.strip_prefix('-'));
        hash.is_some_and(|hash| {
            hash.len() == 8 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
    }

    fn ours(owner: &str, queue: &str, filter: &Filter) -> Self {
        let rule = |name: &str, value: &String| {
            (!value.is_empty()).then(|| FilterRule { name: name.to_owned(), value: value.clone() })
        };
        let Filter { prefix, suffix } = filter;
        Self {
            id: Some(own_id(owner, queue, filter)),
            arn: queue.to_owned(),
            events: vec![EVENT.to_owned()],
            filter_rules: [rule("prefix", prefix), rule("suffix", suffix)]
                .into_iter()
                .flatten()
                .collect(),
        }
    }

    fn normal(&self, kind: Kind) -> Normal<'_> {
        let rules = self.filter_rules.iter().filter(|rule| !rule.value.is_empty());
        (
            kind as u8,
            self.id.as_deref(),
            &self.arn,
            self.events.iter().map(String::as_str).collect(),
            rules.map(|rule| (rule.name.to_ascii_lowercase(), rule.value.as_str())).collect(),
        )
    }
}

/// Returns the rule's ID, `landfall-{owner}-{8 hexadecimal digits}`. The same rule always gets the same ID.
fn own_id(owner: &str, arn: &str, filter: &Filter) -> String {
    let text = [filter.prefix.as_str(), &filter.suffix, arn].join("\n");
    let hash = Sha256::digest(text);
    format!("landfall-{owner}-{:02x}{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2], hash[3])
}

/// Returns the configuration to put so that the bucket does what `desired` says, or `None` if it already does.
///
/// Removes our entries from `current` and appends the desired ones. Entries of other owners keep their content
/// and their place. If the destination is EventBridge, removes our entries and switches EventBridge on. Nothing
/// switches EventBridge off again: S3 doesn't say who switched it on, and somebody else may rely on it.
///
/// # Errors
/// Returns a [`Conflict`] if S3 would refuse the result.
pub fn merge(
    current: &Configuration,
    desired: &Desired,
) -> Result<Option<Configuration>, Conflict> {
    let mut merged = current.clone();
    merged.retain_foreign(&desired.owner);
    match &desired.destination {
        Destination::EventBridge => merged.event_bridge = true,
        Destination::Queue(queue) => {
            let filters: BTreeSet<&Filter> = desired.filters.iter().collect();
            conflict::check(&merged, queue, &filters)?;
            let ours = filters.iter().map(|filter| Entry::ours(&desired.owner, queue, filter));
            merged.queues.extend(ours);
        }
    }
    Ok((!merged.is_equivalent(current)).then_some(merged))
}

/// Returns `true` if the bucket has nothing of what `desired` says, and nothing else of that owner. Putting what is
/// desired then only adds to the bucket.
pub fn is_gone(current: &Configuration, desired: &Desired) -> bool {
    let sends = desired.destination == Destination::EventBridge && current.event_bridge;
    !sends && !current.is_ours(&desired.owner)
}

/// Returns the configuration to put so that no entry of `owner` is left, or `None` if there is no such entry.
///
/// Leaves EventBridge switched on, for the reason that [`merge`] gives.
pub fn without(current: &Configuration, owner: &str) -> Option<Configuration> {
    if !current.is_ours(owner) {
        return None;
    }
    let mut rest = current.clone();
    rest.retain_foreign(owner);
    Some(rest)
}

#[cfg(test)]
mod tests;
