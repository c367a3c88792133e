//! Whether a batch gets on, for who is to be told that it does not.

use super::{Batch, Entry, State};
use crate::moment::Time;

/// The detail of a wait for the next hour.
const HOURLY: &str = "max_runs_per_hour";

/// What begins a wait for a start, in the history's words.
const BEGINS: [&str; 3] = ["sealed", "retried", "returned"];

impl Batch {
    /// Whether it gets no further, time and again, and not for a limit of its job: somebody should look.
    pub fn is_stuck(&self) -> bool {
        const MANY: u32 = 5;
        const NO_FURTHER: [&str; 4] =
            ["deferred", "not_seen", "claim_not_ended", "outcome_not_known_yet"];
        let is_one =
            |entry: &&Entry| NO_FURTHER.contains(&entry.what.as_str()) && entry.detail != HOURLY;
        // A start that is refused each time is written ahead each time.
        let last = self.history.iter().rev().filter(|entry| entry.what != "starting");
        last.take_while(is_one).map(|entry| entry.times).sum::<u32>() >= MANY
    }

    /// Since when it waits for its start, whatever it waits for; `None` if it does not. A history that
    /// has lost how the wait began gives a later time.
    pub fn waiting_since(&self) -> Option<Time> {
        if !matches!(self.state, State::Sealed { .. } | State::Starting { .. }) {
            return None;
        }
        let begun = self.history.iter().rev().find(|entry| BEGINS.contains(&entry.what.as_str()));
        let first_kept = self.history.get(1).or(self.history.first());
        begun.or(first_kept).map(|entry| entry.at).or(Some(self.opened_at))
    }

    /// Since when it gets no further for another reason than a limit of its job.
    pub fn blocked_since(&self) -> Option<Time> {
        match &self.state {
            State::Sealed { waits_for_slot: true, .. } => None,
            State::Sealed { .. } => {
                let last = self.history.last()?;
                (last.what == "deferred" && last.detail != HOURLY).then(|| self.waiting_since())?
            }
            State::Starting { .. } => {
                let last = self.history.last()?;
                (last.what == "outcome_not_known_yet").then(|| self.waiting_since())?
            }
            State::Started { since, .. } | State::Failed { since, .. } => {
                self.is_stuck().then_some(*since)
            }
            State::Open { .. } | State::Succeeded { .. } | State::Parked { .. } | State::Empty => {
                None
            }
        }
    }
}
