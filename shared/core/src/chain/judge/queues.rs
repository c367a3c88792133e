//! Judges the queues: who may send to them, and what lies in them.

use super::{Gap, Place, listed, look};
use crate::arn::QueueArn;
use crate::chain::check::{Check, Status};
use crate::chain::link::Link;
use crate::chain::observed::{AnalyticsAccount, DataAccount, Named, Queue, Transport};
use crate::chain::problems::Fault;
use crate::chain::statements::{
    Admission, Sender, denials, lets_account_send, lets_send, unique_ids,
};
use crate::partition::dns_suffix;
use crate::policy::{Document, Statement};

/// Judges whether S3 and the rule for uploads may send to the queue of arrivals.
pub(super) fn arrivals_policy(place: &Place<'_>, data: &DataAccount, buckets: &[&str]) -> Check {
    let (link, queue) = (Link::ArrivalsPolicy, data.arrivals.name.as_str());
    let policy = match look(&data.arrivals.look) {
        Ok(seen) => &seen.policy,
        Err(gap) => return gap_of_policy(place, link, queue, &gap, Link::Arrivals),
    };
    let partition = QueueArn::parse(queue).map_or("aws", |arn| arn.partition);
    let (by_s3, rule) = match &data.transport {
        Transport::S3 => (true, None),
        Transport::EventBridge(rule) => (false, Some(rule)),
        Transport::Both(rule) => (true, Some(rule)),
    };
    let mut sources: Vec<(&str, String)> = Vec::new();
    if by_s3 {
        let arn = |bucket: &&str| ("s3.amazonaws.com", format!("arn:{partition}:s3:::{bucket}"));
        sources.extend(buckets.iter().map(arn));
    }
    if let Some(rule) = rule {
        let Place { region, account, .. } = place;
        let arn = format!("arn:{partition}:events:{region}:{account}:rule/{}", rule.name);
        sources.push(("events.amazonaws.com", arn));
    }
    let mut refused = Vec::new();
    for (service, source) in &sources {
        let sender = Sender { service, source, account: place.account };
        let admission = policy.as_ref().map_or(Admission::No, |it| lets_send(it, queue, sender));
        if admission != Admission::Yes {
            refused.push((admission, *service, source.as_str()));
        }
    }
    let Some((admission, service, source)) = refused.iter().min() else {
        return denied_or_ok(place, link, queue, policy.as_ref());
    };
    let statement = Statement::allow("LandfallSends", ["sqs:SendMessage"])
        .by("Service", service)
        .on([queue.to_owned()])
        .when("ArnLike", "aws:SourceArn", [(*source).to_owned()])
        .when("StringEquals", "aws:SourceAccount", [place.account.to_owned()]);
    let of = listed(refused.iter().map(|(_, _, source)| *source));
    let (status, evidence) = match admission {
        Admission::Maybe => {
            let evidence =
                format!("it admits `{service}` under a condition that isn't understood: {of}");
            (Status::Warn, evidence)
        }
        Admission::No | Admission::Yes => {
            (Status::Broken, format!("it doesn't let `{service}` send for {of}"))
        }
    };
    let statement = Document::new([statement]).value()["Statement"][0].to_string();
    changed(place, link, status, queue, evidence, &statement)
}

/// Judges whether the rule of the analytics account may send to the queue of ended runs. Without its events, the monitor
/// asks Glue, so nothing is broken.
pub(super) fn runs_policy(
    place: &Place<'_>,
    runs: &Named<Queue>,
    analytics: Option<&AnalyticsAccount>,
) -> Check {
    let (link, queue) = (Link::RunsPolicy, runs.name.as_str());
    let policy = match look(&runs.look) {
        Ok(seen) => seen.policy.as_ref(),
        Err(gap) => return gap_of_policy(place, link, queue, &gap, Link::Runs),
    };
    let ids = policy.map(|policy| unique_ids(policy, &[])).unwrap_or_default();
    if !ids.is_empty() {
        let (url, ids) = (url(queue), listed(ids.iter().map(String::as_str)));
        let more = [("url", url.as_str()), ("ids", ids.as_str())];
        let evidence = format!("it names {ids}");
        return place.wrong(link, Status::Warn, queue, evidence, Fault::QueuePolicyUniqueId, &more);
    }
    let Some(account) = analytics.map(|analytics| analytics.account.as_str()) else {
        return denied_or_ok(place, link, queue, policy);
    };
    if policy.is_some_and(|policy| lets_account_send(policy, queue, account)) {
        return denied_or_ok(place, link, queue, policy);
    }
    let partition = QueueArn::parse(queue).map_or("aws", |arn| arn.partition);
    let statement = Statement::allow("RuleOfTheAnalyticsAccountSends", ["sqs:SendMessage"])
        .by("AWS", &format!("arn:{partition}:iam::{account}:root"))
        .on([queue.to_owned()]);
    let statement = Document::new([statement]).value()["Statement"][0].to_string();
    let evidence = format!("it doesn't let account {account} send");
    changed(place, link, Status::Warn, queue, evidence, &statement)
}

/// Judges how many messages wait in a queue.
pub(super) fn queue(place: &Place<'_>, link: Link, queue: &Named<Queue>) -> Check {
    let Queue { visible, in_flight, .. } = match look(&queue.look) {
        Ok(seen) => seen,
        Err(gap) => return place.gap(link, &queue.name, &gap, Fault::QueueMissing),
    };
    let evidence = format!("{visible} messages wait, and {in_flight} are being worked on");
    if *visible > 0 && *in_flight == 0 {
        return place.warn(link, &queue.name, evidence, Fault::QueueBacklog);
    }
    place.ok(link, &queue.name, evidence)
}

/// Judges whether messages lie in a dead-letter queue.
pub(super) fn dead_letters(place: &Place<'_>, link: Link, queue: &Named<Queue>) -> Check {
    let Queue { visible, in_flight, .. } = match look(&queue.look) {
        Ok(seen) => seen,
        Err(gap) => return place.gap(link, &queue.name, &gap, Fault::QueueMissing),
    };
    match visible + in_flight {
        0 => place.ok(link, &queue.name, "it is empty"),
        count => {
            let evidence = format!("{count} messages lie in it");
            place.warn(link, &queue.name, evidence, Fault::DeadLetters)
        }
    }
}

fn gap_of_policy(place: &Place<'_>, link: Link, queue: &str, gap: &Gap<'_>, of: Link) -> Check {
    let earlier = if place.is_stack_missing { place.stack() } else { of };
    place.gap_after(link, queue, gap, earlier)
}

fn changed(
    place: &Place<'_>,
    link: Link,
    status: Status,
    queue: &str,
    evidence: String,
    statement: &str,
) -> Check {
    let url = url(queue);
    let more = [("url", url.as_str()), ("statement", statement)];
    place.wrong(link, status, queue, evidence, Fault::QueuePolicyChanged, &more)
}

fn denied_or_ok(place: &Place<'_>, link: Link, queue: &str, policy: Option<&Document>) -> Check {
    let denials = policy.map(|policy| denials(policy, &["sqs:SendMessage"], place.account));
    let denials = denials.unwrap_or_default();
    if denials.is_empty() {
        return place.ok(link, queue, "its policy admits everybody who must send");
    }
    let each: Vec<String> = denials
        .iter()
        .map(|(sid, why)| format!("statement `{sid}` denies sending {why}"))
        .collect();
    let (url, sids) = (url(queue), listed(denials.iter().map(|(sid, _)| sid.as_str())));
    let more = [("url", url.as_str()), ("statements", sids.as_str())];
    place.wrong(link, Status::Warn, queue, each.join("; "), Fault::QueuePolicyDenies, &more)
}

/// Returns the queue's URL, which the command line of AWS wants.
fn url(queue: &str) -> String {
    QueueArn::parse(queue).map_or_else(
        || queue.to_owned(),
        |QueueArn { partition, region, account, name }| {
            let suffix = dns_suffix(partition).unwrap_or("amazonaws.com");
            format!("https://sqs.{region}.{suffix}/{account}/{name}")
        },
    )
}
