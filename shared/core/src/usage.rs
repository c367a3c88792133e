//! What an auditor remembers of the use of routes, beyond the ledger's own memory.
//!
//! The ledger forgets a batch some time after its end. So the auditor looks for the newest batch of each route again and
//! again, and remembers when it began and since when it has looked. A route is unused only for as long as the auditor
//! has looked without a gap.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::moment::Time;

/// How often the auditor looks. It would learn nothing from looking with each audit.
pub const EVERY: Duration = Duration::from_secs(6 * 3_600);

/// The longest time between two looks in which no batch can come and go unseen. The ledger keeps each batch for at least
/// a day after its end.
const LONGEST_GAP: Duration = Duration::from_secs(24 * 3_600);

/// The use of the routes that the auditor remembers, by their names.
pub type Usages = BTreeMap<String, Usage>;

/// The use of one route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Since when the auditor has looked without a gap.
    pub since: Time,
    /// When the auditor looked last.
    pub looked: Time,
    /// When the newest batch began that the auditor has ever seen; `None` if it has seen none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Time>,
}

impl Usage {
    /// Returns what is remembered after a look that found `newest` as the route's newest batch.
    pub fn after(before: Option<&Self>, newest: Option<Time>, now: Time) -> Self {
        let known = before.filter(|before| now.since(before.looked) <= LONGEST_GAP);
        Self {
            since: known.map_or(now, |before| before.since),
            looked: now,
            newest: newest.max(before.and_then(|before| before.newest)),
        }
    }

    /// Returns `true` if it is time for another look.
    pub fn is_due(&self, now: Time) -> bool {
        now.since(self.looked) >= EVERY
    }

    /// Returns for how long the route is known to have had no new batch.
    pub fn idle(&self, now: Time) -> Duration {
        now.since(self.newest.map_or(self.since, |newest| newest.max(self.since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time(1_700_000_000_000);

    fn hours(count: u64) -> Time {
        START + Duration::from_secs(count * 3_600)
    }

    /// Returns what is remembered after looks at these hours, each with the newest batch that the ledger still has.
    fn looked(at: &[(u64, Option<u64>)]) -> Usage {
        let look = |before: Option<Usage>, (hour, newest): &(u64, Option<u64>)| {
            Some(Usage::after(before.as_ref(), newest.map(hours), hours(*hour)))
        };
        at.iter().fold(None, look).expect("a look")
    }

    #[test]
    fn a_route_is_idle_since_its_newest_batch_or_since_somebody_looks() {
        let day = Duration::from_secs(24 * 3_600);
        for (looks, now, expected) in [
            // The ledger is empty, and nobody knows what was before the first look.
            (&[(0, None)][..], 0, Duration::ZERO),
            (&[(0, None), (24, None), (48, None)], 48, day * 2),
            // The newest batch is older than the first look.
            (&[(72, Some(0)), (96, Some(0))], 96, day),
            (&[(0, None), (24, Some(20)), (44, Some(20))], 44, day),
            // The ledger has forgotten the batch in the meantime, and the auditor hasn't.
            (&[(0, Some(0)), (24, Some(20)), (44, None)], 44, day),
        ] {
            assert_eq!(looked(looks).idle(hours(now)), expected, "{looks:?}");
        }
    }

    #[test]
    fn after_a_gap_in_which_a_batch_could_come_and_go_the_time_begins_anew() {
        assert_eq!(
            looked(&[(0, None), (24, None)]).idle(hours(24)),
            Duration::from_secs(24 * 3_600)
        );
        let gap = looked(&[(0, Some(0)), (25, None)]);
        assert_eq!((gap.idle(hours(25)), gap.newest), (Duration::ZERO, Some(hours(0))));
    }

    #[test]
    fn a_look_is_due_every_six_hours() {
        let usage = looked(&[(0, None)]);
        assert!(!usage.is_due(hours(5)) && usage.is_due(hours(6)));
    }

    #[test]
    fn what_an_earlier_look_wrote_is_read_again() {
        let usage = looked(&[(0, None)]);
        let text = serde_json::to_string(&usage).expect("JSON");
        assert_eq!(text, r#"{"since":1700000000000,"looked":1700000000000}"#);
        assert_eq!(serde_json::from_str::<Usage>(&text).expect("a usage"), usage);
    }
}
