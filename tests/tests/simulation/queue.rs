//! An SQS queue: at least once, in no order. It moves messages that are received too often to the
//! dead-letter queue.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};

use crate::world::World;

pub struct Queue {
    name: &'static str,
    visibility: Duration,
    max_receive_count: u32,
    /// How long a message is kept.
    kept: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    made: u64,
    messages: Vec<Message>,
    dead: Vec<Message>,
}

#[derive(Debug, Clone)]
pub struct Message {
    pub id: String,
    pub body: String,
    receive_count: u32,
    visible_at: Duration,
    sent_at: Duration,
}

pub fn arn(region: &str, name: &str) -> String {
    format!("arn:aws:sqs:{region}:111111111111:{name}")
}

impl Queue {
    pub fn new(name: &'static str, visibility: Duration, max_receive_count: u32) -> Self {
        // Fourteen days, the longest that SQS keeps a message.
        let kept = Duration::from_secs(14 * 86_400);
        Self { name, visibility, max_receive_count, kept, state: Mutex::default() }
    }

    /// Sets how long a message is kept.
    pub fn keeping(self, kept: Duration) -> Self {
        Self { kept, ..self }
    }

    pub fn send(&self, world: &World, body: String) {
        self.send_later(world, body, Duration::ZERO);
    }

    /// Adds the messages that a function sends.
    pub fn send_entries(&self, world: &World, entries: &[Value]) {
        for entry in entries {
            let body = entry["MessageBody"].as_str().expect("a body").to_owned();
            let delay = Duration::from_secs(entry["DelaySeconds"].as_u64().unwrap_or_default());
            self.send_later(world, body, delay);
        }
    }

    fn send_later(&self, world: &World, body: String, delay: Duration) {
        let mut state = self.lock();
        state.made += 1;
        let id = format!("{}-{}", self.name, state.made);
        let sent_at = world.timeline.elapsed();
        let visible_at = sent_at + delay;
        state.messages.push(Message { id, body, receive_count: 0, visible_at, sent_at });
    }

    /// Receives the visible messages, at most `most`, and hides them for a while.
    pub fn receive(&self, world: &World, most: usize) -> Vec<Message> {
        let now = world.timeline.elapsed();
        let mut state = self.lock();
        state.messages.retain(|message| now < message.sent_at + self.kept);
        let is_dead =
            |m: &Message| m.visible_at <= now && m.receive_count >= self.max_receive_count;
        let (dead, rest) = std::mem::take(&mut state.messages).into_iter().partition(is_dead);
        state.messages = rest;
        let dead: Vec<Message> = dead;
        state.dead.extend(dead);
        let visible = state.messages.iter_mut().filter(|message| message.visible_at <= now);
        let received = visible.take(most).map(|message| {
            message.receive_count += 1;
            message.visible_at = now + self.visibility;
            message.clone()
        });
        received.collect()
    }

    pub fn delete(&self, ids: &BTreeSet<&str>) {
        self.lock().messages.retain(|message| !ids.contains(message.id.as_str()));
    }

    /// Returns how many messages are with an invocation, or hidden after one that failed.
    pub fn in_flight(&self, world: &World) -> usize {
        let now = world.timeline.elapsed();
        let is_hidden = |m: &&Message| m.receive_count > 0 && m.visible_at > now;
        self.lock().messages.iter().filter(is_hidden).count()
    }

    /// Returns `true` if a message that still comes has this text.
    pub fn has(&self, text: &str) -> bool {
        self.lock().messages.iter().any(|message| message.body.contains(text))
    }

    pub fn is_empty(&self) -> bool {
        self.lock().messages.is_empty()
    }

    pub fn dead(&self) -> Vec<Message> {
        self.lock().dead.clone()
    }

    /// Returns the event that Lambda makes of these messages.
    pub fn event(&self, region: &str, messages: &[Message]) -> Value {
        let records = messages.iter().map(|message| {
            json!({
                "messageId": message.id,
                "receiptHandle": message.id,
                "body": message.body,
                "attributes": { "ApproximateReceiveCount": message.receive_count.to_string() },
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": arn(region, self.name),
                "awsRegion": region,
            })
        });
        json!({ "Records": records.collect::<Vec<_>>() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the lock")
    }
}
