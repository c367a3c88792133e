//! The work queue, which spreads due batches over several invocations of the monitor.
//!
//! Its messages are hints: the ledger knows what is due. If a message is lost, its batches wait
//! until the next tick. If one is delivered twice, the second delivery finds nothing to do.

use std::collections::BTreeSet;
use std::time::SystemTime;

use aws_config::SdkConfig;
use landfall_core::run_events::batches_due;
use serde_json::Map;

use crate::queue::{Message, Queue};
use crate::settings::Queues;

/// How many batches one message names: few, so that the work is spread.
const BATCHES: usize = 25;

/// How many batches one invocation takes up in a minute: those of one message at a time, in less
/// than two and a half seconds. A start takes one or two.
const IN_A_MINUTE: usize = 600;

/// The work queue, and how many invocations read from it.
#[derive(Debug)]
pub struct WorkQueue {
    queue: Queue,
    concurrency: usize,
}

impl WorkQueue {
    /// Returns the queue, or `None` if the environment names none. Makes no call.
    pub fn new(queues: &Queues, config: &SdkConfig) -> Option<Self> {
        let queue = Queue::new(queues.work.as_deref()?, config);
        Some(Self { queue, concurrency: usize::try_from(queues.work_concurrency).unwrap_or(1) })
    }

    /// Returns how many batches all concurrent invocations together take up until the next tick.
    pub fn room(&self) -> usize {
        self.concurrency.saturating_mul(IN_A_MINUTE)
    }

    /// Hands these batches on, and returns those that SQS accepted. The others are still due.
    pub async fn send<'i>(&self, ids: &[&'i str], deadline: SystemTime) -> BTreeSet<&'i str> {
        let messages = ids.chunks(BATCHES).map(|ids| Message {
            body: batches_due(ids),
            attributes: Map::new(),
            delay_seconds: 0,
        });
        let messages: Vec<Message> = messages.collect();
        let (sent, error) = self.queue.send(&messages, deadline).await;
        if let Some(error) = error {
            tracing::warn!(code = "work_not_sent", %error, "batches not handed on");
        }
        let sent = ids.chunks(BATCHES).zip(sent).filter(|(_, is_sent)| *is_sent);
        sent.flat_map(|(ids, _)| ids.iter().copied()).collect()
    }
}
