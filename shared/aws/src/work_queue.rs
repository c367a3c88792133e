//! The queue by which what is due is spread over invocations of the monitor.
//!
//! Its messages are hints: the ledger knows what is due. One that is lost costs a wait until the next tick, one that
//! comes twice finds nothing to do.

use std::collections::BTreeSet;
use std::time::SystemTime;

use aws_config::SdkConfig;
use landfall_core::run_events::batches_due;
use serde_json::Map;

use crate::queue::{Message, Queue};
use crate::settings::Queues;

/// How many batches a message names: few, so that the work is spread.
const BATCHES: usize = 25;

/// How many batches an invocation takes up in a minute, with a second for each start and eight at a time, and something to
/// spare.
const IN_A_MINUTE: usize = 200;

/// The queue by which the monitor's invocations share what is due.
#[derive(Debug)]
pub struct WorkQueue {
    queue: Queue,
    concurrency: usize,
}

impl WorkQueue {
    /// Makes no call. `None` where the environment names no queue.
    pub fn new(queues: &Queues, config: &SdkConfig) -> Option<Self> {
        let queue = Queue::new(queues.work.as_deref()?, config);
        Some(Self { queue, concurrency: usize::try_from(queues.work_concurrency).unwrap_or(1) })
    }

    /// How many batches are taken up until the next tick, by all that work at a time.
    pub fn room(&self) -> usize {
        self.concurrency.saturating_mul(IN_A_MINUTE)
    }

    /// Hands these batches on; those that SQS has. The others are still due.
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
