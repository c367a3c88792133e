//! The brake of automatic repairs: what somebody removed a moment ago may have been meant. Pure.

use std::fmt;
use std::time::Duration;

use super::History;
use crate::moment::Time;

/// For how long a pause that is over still belongs to the same time at which a resource is gone. Longer than any pause between two
/// looks.
const SAME_TIME: Duration = Duration::from_secs(2 * 3_600);

/// The operation after which a role is gone, and before which it wasn't.
const DELETED: &str = "DeleteRole";

/// What CloudTrail says of the last change of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trace {
    /// It has this change.
    Changed(Change),
    /// It has no change within the pause. CloudTrail can be late by a quarter of an hour.
    Nothing,
    /// It couldn't be asked, for this reason.
    Unknown(String),
}

/// A change of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// When it was.
    pub at: Time,
    /// The operation, such as `DeleteRole`.
    pub operation: String,
    /// Who made it: an ARN, or the name of a service.
    pub actor: String,
    /// `true` if it was CloudFormation or Landfall itself.
    pub is_own: bool,
}

impl Trace {
    /// Returns who made the change, if that is known.
    pub fn cause(&self) -> Option<String> {
        match self {
            Self::Changed(change) => Some(change.to_string()),
            Self::Nothing | Self::Unknown(_) => None,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` called `{}` at {}", self.actor, self.operation, self.at)
    }
}

/// Whether a repair may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Brake {
    /// It may.
    Free,
    /// It waits until then.
    Wait(Time),
}

/// Decides whether a resource that is gone may be repaired, or waits because somebody may have meant it.
///
/// If CloudTrail knows who deleted a role, the repair waits for `pause` after a person's call, and not at all after Landfall's own.
/// Otherwise what CloudTrail knows can be older than what happened, so the repair waits for `pause` after others have heard that
/// it waits.
pub fn brake(history: &History, trace: &Trace, pause: Duration, now: Time) -> Brake {
    let told = history.waits_until.filter(|until| now.since(*until) < SAME_TIME);
    let told = told.unwrap_or(now + pause);
    let until = match trace {
        _ if pause.is_zero() => return Brake::Free,
        Trace::Changed(change) if change.operation == DELETED => match change.is_own {
            true => return Brake::Free,
            false => change.at + pause,
        },
        Trace::Changed(change) if !change.is_own => told.max(change.at + pause),
        Trace::Changed(_) | Trace::Nothing | Trace::Unknown(_) => told,
    };
    if until <= now { Brake::Free } else { Brake::Wait(until) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_700_000_000_000);
    const PAUSE: Duration = Duration::from_secs(900);

    fn secs(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn changed(operation: &str, ago: u64, is_own: bool) -> Trace {
        let (operation, actor) = (operation.to_owned(), "arn:aws:iam::1:user/ada".to_owned());
        Trace::Changed(Change { at: NOW - secs(ago), operation, actor, is_own })
    }

    fn told(until: Time) -> History {
        History { waits_until: Some(until), ..History::default() }
    }

    #[test]
    fn a_repair_waits_after_a_person_deleted_a_role_and_not_after_landfall_did() {
        let new = History::default();
        let deleted = |ago, is_own| changed("DeleteRole", ago, is_own);
        let wait = Brake::Wait(NOW + secs(60));
        assert_eq!(brake(&new, &deleted(840, false), PAUSE, NOW), wait);
        // What others heard before CloudTrail knew it doesn't count any more.
        assert_eq!(brake(&told(NOW), &deleted(840, false), PAUSE, NOW), wait);
        assert_eq!(brake(&new, &deleted(900, false), PAUSE, NOW), Brake::Free);
        assert_eq!(brake(&new, &deleted(1, true), PAUSE, NOW), Brake::Free);
        assert_eq!(brake(&new, &deleted(1, false), Duration::ZERO, NOW), Brake::Free);
    }

    #[test]
    fn a_change_after_which_something_need_not_be_gone_shortens_no_pause() {
        for (operation, is_own) in
            [("CreateRole", true), ("TagRole", false), ("PutBucketPolicy", false)]
        {
            let old = changed(operation, 3_000, is_own);
            assert_eq!(brake(&History::default(), &old, PAUSE, NOW), Brake::Wait(NOW + PAUSE));
            assert_eq!(brake(&told(NOW), &old, PAUSE, NOW), Brake::Free);
        }
        let new = changed("PutBucketPolicy", 60, false);
        assert_eq!(brake(&told(NOW), &new, PAUSE, NOW), Brake::Wait(NOW + secs(840)));
    }

    #[test]
    fn a_repair_waits_once_while_nobody_knows_who_made_the_change() {
        for trace in [Trace::Nothing, Trace::Unknown("AccessDeniedException".to_owned())] {
            let check = |history: &History, expected| {
                assert_eq!(brake(history, &trace, PAUSE, NOW), expected, "{trace:?}");
            };
            check(&History::default(), Brake::Wait(NOW + PAUSE));
            check(&told(NOW + secs(1)), Brake::Wait(NOW + secs(1)));
            check(&told(NOW), Brake::Free);
            check(&told(NOW - SAME_TIME + secs(1)), Brake::Free);
            // That was another time: the resource came back meanwhile.
            check(&told(NOW - SAME_TIME), Brake::Wait(NOW + PAUSE));
            assert_eq!(brake(&History::default(), &trace, Duration::ZERO, NOW), Brake::Free);
        }
    }
}
