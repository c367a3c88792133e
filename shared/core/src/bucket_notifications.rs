//! Landfall's part of a bucket's notification configuration, beside other people's.
//!
//! S3 keeps one configuration for a bucket, and a put replaces all of it. So what is put is what was
//! read, with our entries exchanged: [`merge`] and [`without`] say what that is, and touch nobody
//! else's. `filters` says which keys our routes need to hear of, `conflict` what S3 would refuse, `plan`
//! which buckets are changed in which order.
//!
//! Reading and writing is not done here, and neither is waiting for S3 to agree.

mod conflict;
mod filters;
mod plan;
mod spec;

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

pub use conflict::{Conflict, Overlap};
pub use filters::{Filter, Filters, Widening};
pub use plan::{Effect, Look, Plan, plan};
pub use spec::{Spec, json_schema};

/// The events that our rules ask for.
pub const EVENT: &str = "s3:ObjectCreated:*";

/// The most rules of one bucket: topics, queues and functions together (S3's limit, not adjustable).
pub const MAX_RULES: usize = 100;

/// The notification configuration of a bucket.
///
/// The lists are in S3's order, which means nothing to S3 and is kept all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    pub topics: Vec<Entry>,
    pub queues: Vec<Entry>,
    pub functions: Vec<Entry>,
    /// Whether all events of the bucket go to EventBridge too.
    pub event_bridge: bool,
}

/// A rule of a bucket: what is told to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Unique in the bucket. S3 makes one up for a rule that is put without.
    pub id: Option<String>,
    /// Of the topic, queue or function.
    pub arn: String,
    /// `s3:ObjectCreated:*` and the like, as S3 spells them.
    pub events: Vec<String>,
    /// Empty: all keys.
    pub filter_rules: Vec<FilterRule>,
}

/// One half of a rule's filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterRule {
    /// `prefix` or `suffix`; S3 answers with `Prefix` and `Suffix`.
    pub name: String,
    pub value: String,
}

/// What Landfall wants of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// What our rules are told by: a short token of ASCII letters, digits and `-` that stays the
    /// same for as long as the rules are to be ours. Another owner's rules are foreign.
    pub owner: String,
    pub destination: Destination,
    /// Of [`Filters::of`]: no two of them overlap. EventBridge is told of all keys.
    pub filters: Vec<Filter>,
}

/// Where a bucket's events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// By the queue's ARN.
    Queue(String),
    /// All events of the bucket. Rules of EventBridge choose among them.
    EventBridge,
}

/// Which list of a configuration an entry is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Topic,
    Queue,
    Function,
}

impl Configuration {
    /// All rules, with their kinds.
    pub fn rules(&self) -> impl Iterator<Item = (Kind, &Entry)> {
        let topics = self.topics.iter().map(|entry| (Kind::Topic, entry));
        let queues = self.queues.iter().map(|entry| (Kind::Queue, entry));
        topics.chain(queues).chain(self.functions.iter().map(|entry| (Kind::Function, entry)))
    }

    /// Whether S3 does the same with either: the order of rules, events and filter rules apart,
    /// and the case of filter rules' names, and whether an empty prefix is written.
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

/// What of a rule has an effect: kind, id, ARN, events, filter rules.
type Normal<'a> = (u8, Option<&'a str>, &'a str, BTreeSet<&'a str>, BTreeSet<(String, &'a str)>);

impl Entry {
    /// The prefix and suffix of its keys as S3 takes them: `orders%2F2026` is `orders/2026`. A filter rule by
    /// another name is taken to admit all keys.
    pub fn filter(&self) -> Filter {
        let value = |name: &str| {
            let mut rules = self.filter_rules.iter();
            rules
                .find(|rule| rule.name.eq_ignore_ascii_case(name))
                .map_or_else(String::new, |rule| filters::decoded(&rule.value))
        };
        Filter { prefix: value("prefix"), suffix: value("suffix") }
    }

    /// Whether it is `owner`'s. Its id is looked at as a whole: `a-b` is not `a`'s.
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

/// `landfall-{owner}-{8 hexadecimal digits}`, the same for the same rule.
fn own_id(owner: &str, arn: &str, filter: &Filter) -> String {
    let text = [filter.prefix.as_str(), &filter.suffix, arn].join("\n");
    let hash = Sha256::digest(text);
    format!("landfall-{owner}-{:02x}{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2], hash[3])
}

/// What to put so that the bucket does what `desired` says; `None` if it does already.
///
/// Our entries of `current` go and the desired ones come, behind all others; other people's stay as
/// they are and where they are. With EventBridge for destination our entries go and EventBridge is
/// switched on. Nothing switches it off again: S3 does not say who switched it on, and somebody else
/// may count on it.
///
/// # Errors
/// S3 would refuse the result: see [`Conflict`].
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

/// What to put so that nothing of `owner`'s is left; `None` if there is nothing.
///
/// EventBridge stays switched on, as [`merge`] says.
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
