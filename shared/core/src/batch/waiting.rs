//! How long a batch is left alone that can't get on, and whether it gets on, for those who watch
//! over it.

use std::time::Duration;

use super::{Batch, Entry, HistoryEvent, State};
use crate::moment::Time;

/// How long a batch is put off at most: first, and when it has waited for long.
const PUT_OFF: Duration = Duration::from_secs(900);
const PUT_OFF_LONG: Duration = Duration::from_secs(6 * 3_600);

/// Returns for how long to put off a batch that has waited for `waited`, if somebody hands its turn
/// to it: as long again. So a crowd that waits for days is looked at a few times a day. `jitter` is
/// from 0 to 999, and takes up to a third away, so that many don't come back at once.
pub fn put_off(waited: Duration, is_handed_on: bool, jitter: u16) -> Duration {
    let longest = if is_handed_on { waited.clamp(PUT_OFF, PUT_OFF_LONG) } else { PUT_OFF };
    longest - longest / 3 * u32::from(jitter.min(999)) / 1_000
}

impl HistoryEvent {
    /// Returns `true` if a wait for a start begins with it.
    fn begins_wait(&self) -> bool {
        matches!(self, Self::Sealed | Self::Retried | Self::Returned)
    }
}

impl Entry {
    /// Returns `true` if the batch got no further, and not for a limit of its job.
    fn is_no_further(&self) -> bool {
        use HistoryEvent::{ClaimNotEnded, Deferred, NotSeen, OutcomeNotKnownYet};
        matches!(self.what, Deferred | NotSeen | ClaimNotEnded | OutcomeNotKnownYet)
            && !self.is_hourly_limit()
    }
}

impl Batch {
    /// Returns `true` if it gets no further, time and again, and not for a limit of its job: somebody should look.
    pub fn is_stuck(&self) -> bool {
        const MANY: u32 = 5;
        // A start that is refused each time is written ahead each time.
        let last = self.history.iter().rev().filter(|entry| entry.what != HistoryEvent::Starting);
        last.take_while(|entry| entry.is_no_further()).map(|entry| entry.times).sum::<u32>() >= MANY
    }

    /// Returns since when it waits for its start, whatever it waits for; `None` if it does not. If the history has
    /// lost how the wait began, the time is later.
    pub fn waiting_since(&self) -> Option<Time> {
        if !matches!(self.state, State::Sealed { .. } | State::Starting(_)) {
            return None;
        }
        let begun = self.history.iter().rev().find(|entry| entry.what.begins_wait());
        let first_kept = self.history.get(1).or(self.history.first());
        begun.or(first_kept).map(|entry| entry.at).or(Some(self.opened_at))
    }

    /// Returns `true` if it has got its run after it was put off for another reason than a limit of its job. What was in its
    /// way may be gone for others too.
    pub fn was_blocked(&self) -> bool {
        use HistoryEvent::{Deferred, Started, Starting};
        let is_start = |entry: &&Entry| matches!(entry.what, Starting | Started);
        let before = self.history.iter().rev().find(|entry| !is_start(entry));
        matches!(self.state, State::Started(_))
            && before.is_some_and(|last| last.what == Deferred && !last.is_hourly_limit())
    }

    /// Returns since when it gets no further for another reason than a limit of its job.
    pub fn blocked_since(&self) -> Option<Time> {
        let is_last = |what| self.history.last().filter(|last| last.what == what);
        match &self.state {
            State::Sealed { waits_for_slot: false, .. } => is_last(HistoryEvent::Deferred)
                .filter(|last| !last.is_hourly_limit())
                .and_then(|_| self.waiting_since()),
            State::Starting(_) => {
                is_last(HistoryEvent::OutcomeNotKnownYet).and_then(|_| self.waiting_since())
            }
            State::Started(run) => self.is_stuck().then_some(run.since),
            State::Failed(run) => self.is_stuck().then_some(run.since),
            State::Sealed { waits_for_slot: true, .. }
            | State::Open { .. }
            | State::Succeeded { .. }
            | State::Parked { .. }
            | State::Empty
            | State::Announced => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_its_turn_is_looked_at_the_less_often_the_longer_it_has_waited() {
        const MINUTE: Duration = Duration::from_secs(60);
        let longest = |minutes| put_off(minutes * MINUTE, true, 0) / 60;
        let hours = |hours: u32| hours * 60 * Duration::from_secs(1);
        assert_eq!(longest(0), Duration::from_secs(15));
        assert_eq!(longest(60), hours(1));
        assert_eq!(longest(3 * 24 * 60), hours(6));
        // If nobody hands it its turn, it looks for it itself.
        assert_eq!(put_off(10 * 60 * MINUTE, false, 0), 15 * MINUTE);
        let earliest = put_off(Duration::ZERO, true, 999);
        assert!(earliest > 10 * MINUTE && earliest < 11 * MINUTE, "{earliest:?}");
    }
}
