//! Follows a stack: reads its events as they come, and how it ends.

use std::collections::BTreeSet;

use anyhow::Context;
use aws_sdk_cloudformation::types::StackEvent;
use landfall_stacks::change_set::harmless;
use landfall_stacks::pace::Pace;
use landfall_stacks::stack::Stacks;

use crate::terminal::printable;
use crate::terminal::progress::say;

/// One event of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub id: String,
    /// The time of day in UTC, such as `12:34:56`.
    pub time: String,
    pub status: String,
    pub logical_id: String,
    pub kind: String,
    pub reason: String,
    /// Whether the event is about the stack as a whole.
    pub is_stacks: bool,
}

/// How a change of a stack ended.
#[derive(Debug)]
pub struct Ended {
    pub status: String,
    /// The first failure and its reason.
    pub failure: Option<String>,
}

/// The IDs of the events that a stack had before a change began.
pub struct Mark(BTreeSet<String>);

/// Marks the latest events, so that [`follow`] shows only what comes after them.
pub async fn mark(stacks: &Stacks, stack_id: &str) -> anyhow::Result<Mark> {
    let page = stacks.client.describe_stack_events().stack_name(stack_id).send().await;
    let page = page.map_err(stacks.failed(format!("read the events of stack `{stack_id}`")))?;
    let ids = page.stack_events().iter().filter_map(|event| event.event_id());
    Ok(Mark(ids.map(str::to_owned).collect()))
}

/// Prints what happens in the stack after `mark`, until the change has ended.
pub async fn follow(stacks: &Stacks, stack_id: &str, mark: Mark) -> anyhow::Result<Ended> {
    let ended = followed(stacks, stack_id, mark).await;
    ended.with_context(|| {
        format!("failed to follow stack `{stack_id}`, whose change goes on without this command")
    })
}

async fn followed(stacks: &Stacks, stack_id: &str, mark: Mark) -> anyhow::Result<Ended> {
    let mut known = mark.0;
    let mut story = Story::default();
    let mut pace = Pace::default();
    loop {
        let stack = stacks.find(stack_id).await?;
        let status = stack.map_or_else(|| "DELETE_COMPLETE".to_owned(), |stack| stack.status);
        let events = match events(stacks, stack_id, &known).await {
            // A stack that is gone can have lost its events.
            Err(_) if status == "DELETE_COMPLETE" => Vec::new(),
            events => events?,
        };
        for event in events {
            if let Some(line) = story.add(&event) {
                say(&line);
            }
            known.insert(event.id);
        }
        if status == "DELETE_COMPLETE" {
            return Ok(Ended { status, failure: story.failure });
        }
        // The status can still be the previous one. The events are only those since the mark.
        if let Some(ended) = story.ended.take_if(|_| !status.ends_with("_IN_PROGRESS")) {
            return Ok(Ended { status: ended, failure: story.failure });
        }
        pace.wait().await;
    }
}

/// Returns the events that are not `known`, oldest first.
async fn events(
    stacks: &Stacks,
    stack: &str,
    known: &BTreeSet<String>,
) -> anyhow::Result<Vec<Event>> {
    let describe = stacks.client.describe_stack_events().stack_name(stack);
    // CloudFormation lists the newest event first.
    let mut newest_first = describe.into_paginator().items().send();
    let mut events = Vec::new();
    while let Some(event) = newest_first.next().await {
        let event = event.map_err(stacks.failed(format!("read the events of stack `{stack}`")))?;
        let event = read(&event).context("an event of a stack has no ID")?;
        if known.contains(&event.id) {
            break;
        }
        events.push(event);
    }
    events.reverse();
    Ok(events)
}

fn read(event: &StackEvent) -> Option<Event> {
    use aws_sdk_cloudformation::primitives::DateTimeFormat;
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let time = event.timestamp().and_then(|time| time.fmt(DateTimeFormat::DateTime).ok());
    Some(Event {
        id: event.event_id()?.to_owned(),
        time: time.and_then(|time| time.get(11..19).map(str::to_owned)).unwrap_or_default(),
        status: event.resource_status().map_or("", |status| status.as_str()).to_owned(),
        logical_id: text(event.logical_resource_id()),
        kind: text(event.resource_type()),
        reason: harmless(event.resource_status_reason().unwrap_or_default()).to_owned(),
        is_stacks: event.physical_resource_id().is_some()
            && event.physical_resource_id() == event.stack_id(),
    })
}

/// What the events of a stack amount to so far. Pure.
#[derive(Default)]
struct Story {
    lines: BTreeSet<(String, String)>,
    failure: Option<String>,
    /// The final status, if the latest event of the stack itself has one.
    ended: Option<String>,
}

impl Story {
    /// Takes in an event, and returns the line to print if it says something new.
    fn add(&mut self, event: &Event) -> Option<String> {
        let Event { time, status, logical_id, kind, reason, .. } = event;
        if event.is_stacks {
            self.ended = (!status.ends_with("_IN_PROGRESS")).then(|| status.clone());
        }
        let is_failure = status.ends_with("_FAILED");
        // A resource that CloudFormation cancelled because another failed is not the cause.
        if is_failure && self.failure.is_none() && !reason.ends_with("cancelled") {
            let of = printable(&format!("{logical_id} ({kind}) {status}: {reason}"));
            self.failure = Some(of);
        }
        // CloudFormation reports a resource as in progress twice: before and after it has an ID.
        if !self.lines.insert((logical_id.clone(), status.clone())) && !is_failure {
            return None;
        }
        let why = if is_failure || status.contains("ROLLBACK") { reason.as_str() } else { "" };
        let line = format!("  {time} {status:<20} {logical_id} {kind}  {why}");
        Some(printable(line.trim_end()))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn event(status: &str, logical_id: &str, reason: &str) -> Event {
        Event {
            id: format!("{logical_id}{status}{reason}"),
            time: "12:34:56".to_owned(),
            status: status.to_owned(),
            logical_id: logical_id.to_owned(),
            kind: "AWS::SQS::Queue".to_owned(),
            reason: reason.to_owned(),
            is_stacks: logical_id == "landfall",
        }
    }

    #[test]
    fn events_are_told_once_and_the_first_failure_is_the_reason() {
        let mut story = Story::default();
        let lines: Vec<String> = [
            event("UPDATE_IN_PROGRESS", "landfall", "User Initiated"),
            event("CREATE_IN_PROGRESS", "Queue", ""),
            event("CREATE_IN_PROGRESS", "Queue", "Resource creation Initiated"),
            event("CREATE_FAILED", "Other", "Resource creation cancelled"),
            event("CREATE_FAILED", "Queue", "it exists\u{1b}[2J"),
            event("CREATE_FAILED", "Third", "later"),
            event("UPDATE_ROLLBACK_IN_PROGRESS", "landfall", "failed: [Queue]"),
        ]
        .iter()
        .filter_map(|event| story.add(event))
        .map(|line| format!("|{line}\n"))
        .collect();
        expect![[r#"
            |  12:34:56 UPDATE_IN_PROGRESS   landfall AWS::SQS::Queue
            |  12:34:56 CREATE_IN_PROGRESS   Queue AWS::SQS::Queue
            |  12:34:56 CREATE_FAILED        Other AWS::SQS::Queue  Resource creation cancelled
            |  12:34:56 CREATE_FAILED        Queue AWS::SQS::Queue  it exists\u{1b}[2J
            |  12:34:56 CREATE_FAILED        Third AWS::SQS::Queue  later
            |  12:34:56 UPDATE_ROLLBACK_IN_PROGRESS landfall AWS::SQS::Queue  failed: [Queue]
        "#]]
        .assert_eq(&lines.concat());
        assert_eq!(story.ended, None);
        story.add(&event("UPDATE_ROLLBACK_COMPLETE", "landfall", ""));
        assert_eq!(story.ended.as_deref(), Some("UPDATE_ROLLBACK_COMPLETE"));
        let failure = story.failure.expect("something failed");
        assert!(failure.starts_with("Queue ") && failure.contains("it exists"), "{failure}");
    }
}
