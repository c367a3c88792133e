//! Judges whether a bucket reports the uploads that the routes need.
//!
//! It doesn't matter who made a rule: one that another tool keeps for Landfall is as good as Landfall's own.

use super::super::{Place, listed, look};
use crate::bucket_notifications::{Configuration, Entry, Filter, Kind};
use crate::chain::check::Check;
use crate::chain::link::Link;
use crate::chain::observed::{Bucket, DataAccount, Transport};
use crate::chain::problems::Fault;

/// The ways in which an object is created, as S3 names them in rules.
const UPLOADS: [&str; 4] = [
    "s3:ObjectCreated:Put",
    "s3:ObjectCreated:Post",
    "s3:ObjectCreated:Copy",
    "s3:ObjectCreated:CompleteMultipartUpload",
];

pub(super) fn notifications(
    place: &Place<'_>,
    name: &str,
    bucket: &Bucket,
    data: &DataAccount,
) -> Vec<Check> {
    let link = Link::Notifications;
    let configuration = match look(&bucket.notifications) {
        Ok(configuration) => configuration,
        Err(gap) => return vec![place.gap_after(link, name, &gap, Link::Bucket)],
    };
    if place.is_stack_missing {
        // There is no queue that the bucket could send to.
        return vec![place.skipped_after(link, name, Link::DataStack)];
    }
    let (by_s3, by_event_bridge) = match data.transport {
        Transport::S3 => (true, false),
        Transport::EventBridge(_) => (false, true),
        Transport::Both(_) => (true, true),
    };
    let mut checks = Vec::new();
    if by_event_bridge && !configuration.event_bridge {
        let evidence = "the bucket doesn't send events to EventBridge";
        checks.push(place.broken(link, name, evidence, Fault::EventbridgeOff));
    }
    if by_s3 {
        let faults = bucket.filters.iter().filter_map(|filter| {
            let (fault, evidence) = fault(configuration, filter, &data.arrivals.name)?;
            Some(place.broken(link, name, evidence, fault))
        });
        checks.extend(faults);
    }
    if checks.is_empty() {
        let evidence = if by_s3 {
            format!("S3 sends what the routes need to `{}`", data.arrivals.name)
        } else {
            "the bucket sends its events to EventBridge".to_owned()
        };
        checks.push(place.ok(link, name, evidence));
    }
    checks
}

/// Returns what keeps events that pass `filter` from the queue, and what was seen; `None` if all of them get there.
fn fault(configuration: &Configuration, filter: &Filter, queue: &str) -> Option<(Fault, String)> {
    let about: Vec<(Kind, &Entry)> = configuration
        .rules()
        .filter(|(_, rule)| {
            rule.filter().overlaps(filter) && UPLOADS.iter().any(|it| takes(rule, it))
        })
        .collect();
    let (ours, others): (Vec<_>, Vec<_>) =
        about.into_iter().partition(|(kind, rule)| *kind == Kind::Queue && rule.arn == queue);
    let is_reported = |upload: &&str| {
        ours.iter().any(|(_, rule)| takes(rule, upload) && admits_all(&rule.filter(), filter))
    };
    let lost: Vec<&str> = UPLOADS.into_iter().filter(|upload| !is_reported(upload)).collect();
    if lost.is_empty() {
        return None;
    }
    Some(if let Some((_, rule)) = others.first() {
        let evidence =
            format!("rule `{}` sends {} to `{}` instead", id(rule), rule.filter(), rule.arn);
        (Fault::NotificationForeignOverlap, format!("the routes need {filter}: {evidence}"))
    } else if let Some((_, rule)) = ours.first() {
        let evidence = format!(
            "rule `{}` is for {} and {}",
            id(rule),
            rule.filter(),
            listed(rule.events.iter().map(String::as_str))
        );
        (
            Fault::NotificationNarrower,
            format!("the routes need {filter} and `s3:ObjectCreated:*`: {evidence}"),
        )
    } else {
        let evidence = format!("no rule sends {filter} to `{queue}`");
        (Fault::NotificationMissing, evidence)
    })
}

fn id(rule: &Entry) -> &str {
    rule.id.as_deref().unwrap_or("without an ID")
}

/// Returns `true` if the rule is for this kind of upload. A rule for `s3:ObjectCreated:*` is for each of them.
fn takes(rule: &Entry, upload: &str) -> bool {
    rule.events.iter().any(|event| {
        event == upload || event.strip_suffix('*').is_some_and(|stem| upload.starts_with(stem))
    })
}

/// Returns `true` if each key that passes `needed` passes `filter` too.
fn admits_all(filter: &Filter, needed: &Filter) -> bool {
    needed.prefix.starts_with(&filter.prefix) && needed.suffix.ends_with(&filter.suffix)
}
