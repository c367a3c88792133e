//! How what a message brings gets into the ledger.

use std::collections::BTreeMap;

use super::kept::Kept;
use super::worker::{Age, Stage, Worker};
use super::{Announces, Item, State, World};
use crate::batch::{Batch, Claim, Draft, RunState, Scope, Seen, Start, State as BatchState};
use crate::moment::Moment;

impl World {
    pub(crate) fn opening(&self, arrival: usize, moment: &Moment) -> Batch {
        let start = Start {
            target: String::new(),
            account: String::new(),
            region: String::new(),
            starter_role_arn: String::new(),
            job: if self.announces == Announces::Ends { String::new() } else { "job".to_owned() },
            arguments: BTreeMap::new(),
            values: BTreeMap::new(),
            max_concurrent_runs: self.max_concurrent_runs,
            max_runs_per_hour: None,
            listing_limit: None,
            attempts: 3,
            retry_states: vec![RunState::Failed],
            scope: Scope::Job,
            claim: self.claim,
            announce: self.announces != Announces::Nothing,
        };
        let draft = Draft {
            route: String::new(),
            bucket: String::new(),
            group: BTreeMap::new(),
            start,
            closing: self.closing,
            listing: None,
            members: Vec::new(),
            markers: Vec::new(),
        };
        draft.batch(arrival.to_string(), moment)
    }

    /// A batch of one arrival, closed.
    pub(crate) fn item(&self, arrival: usize) -> Item {
        let moment = self.moment(Age::default());
        let batch = self.opening(arrival, &moment).with(1, false, true, &moment);
        let (batch, claim) = (self.same(batch), Claim::default());
        let members = vec![arrival];
        let (overlapped, misled) = (false, false);
        Item { batch, members, claim, effects: 0, overlapped, announced: 0, misled }
    }

    pub(crate) fn take(&self, state: &mut State, message: usize, ahead: u8) {
        state.queue[message] -= 1;
        if let Some(most) = self.max_receive_count {
            if state.received[message] == most {
                // Into the dead-letter queue.
                return;
            }
            state.received[message] += 1;
        }
        let age = Age { minutes: 0, ahead };
        let mut worker = Worker { message: Some(message), own: None, age, stage: Stage::Known };
        worker.stage = if self.at_once {
            self.together(&self.messages[message], age)
        } else {
            self.read(state, &worker)
        };
        state.employ(worker);
    }

    /// What the arrivals of a message still need.
    pub(crate) fn read(&self, state: &State, worker: &Worker) -> Stage {
        let moment = self.moment(worker.age);
        let message = worker.message.map_or(&[][..], |message| &self.messages[message]);
        let mut new = message.iter().filter(|arrival| !state.claimed[**arrival]);
        let Some(&arrival) = new.next() else {
            return match worker.own {
                Some(own) => self.drive(state, own, Seen::Nothing, worker.age),
                None => Stage::Known,
            };
        };
        let is_last = new.next().is_none();
        let into = if self.closing.is_at_once() { worker.own } else { state.head };
        let is_open = |it: &Item| matches!(it.batch.state, BatchState::Open { .. });
        let into = into.filter(|batch| is_open(&state.batches[*batch]));
        let batch = match into {
            Some(batch) => Batch::clone(&state.batches[batch].batch),
            None => self.opening(arrival, &moment),
        };
        let written = self.same(batch.with(1, false, is_last, &moment));
        Stage::Record { arrival, is_last, into, fresh: true, written }
    }

    /// The message of an invocation that could not record it goes back; often received, it is sent anew.
    pub(crate) fn go_back(&self, state: &mut State, message: usize) {
        state.budget.outages -= 1;
        state.queue[message] += 1;
        let is_often =
            self.max_receive_count.is_some_and(|most| state.received[message] >= most.div_ceil(2));
        if self.guards.sent_anew && is_often {
            state.received[message] = 0;
        }
    }

    pub(crate) fn record(
        &self,
        state: &mut State,
        arrival: usize,
        into: Option<usize>,
        written: Kept<Batch>,
    ) -> usize {
        state.claimed[arrival] |= self.guards.one_transaction;
        let batch = into.unwrap_or(state.batches.len());
        match into {
            Some(batch) => state.write(batch, written),
            None => {
                state.head = Some(batch).filter(|_| !self.closing.is_at_once());
                let (members, claim) = (Vec::new(), Claim::default());
                let batch = written;
                let (effects, overlapped, announced, misled) = (0, false, 0, false);
                let item = Item { batch, members, claim, effects, overlapped, announced, misled };
                state.batches.push(item);
            }
        }
        state.batches[batch].members.push(arrival);
        batch
    }
}
