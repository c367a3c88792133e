//! Automatic repairs: how often one may begin, and what others hear of it. Pure.

mod brake;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::brake::{Brake, Change, Trace, brake};
use crate::moment::Time;

/// How long after the repair of a resource the next one may begin at the earliest.
pub const PAUSE: Duration = Duration::from_secs(3_600);

/// For how long an invocation may be at work after it recorded the beginning of a repair. Longer than its time-out.
pub const AT_WORK: Duration = Duration::from_secs(600);

/// How many repairs of a resource may begin [`WITHIN`] that time.
pub const AT_MOST: usize = 3;

/// For how long a repair counts.
pub const WITHIN: Duration = Duration::from_secs(24 * 3_600);

/// The tag of a stack or a bucket that nothing is to repair by itself. Its value doesn't matter.
pub const HOLD: &str = "landfall:hold";

/// The version of the events about repairs.
const EVENT_VERSION: &str = "1";

/// What others hear of an automatic repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// CloudFormation has begun it.
    Started,
    /// It would have changed more than what is gone, or the stack has no parameter for it. Nothing was changed.
    Refused,
    /// Somebody may have changed it a moment ago and meant it. It begins once the pause is over.
    Waits,
    /// The stack or a bucket has the tag [`HOLD`], or a person has to mend the stack first.
    Held,
    /// It began [`AT_MOST`] times, and the resource is gone again.
    GivenUp,
}

impl State {
    /// Returns the word for it, such as `given_up`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Refused => "refused",
            Self::Waits => "waits",
            Self::Held => "held",
            Self::GivenUp => "given_up",
        }
    }

    /// Returns its code in the log, such as `repair_given_up`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Started => "repair_started",
            Self::Refused => "repair_refused",
            Self::Waits => "repair_waits",
            Self::Held => "repair_held",
            Self::GivenUp => "repair_given_up",
        }
    }
}

/// What is kept about the repairs of a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When repairs began, the oldest first.
    pub began: Vec<Time>,
    /// What others have heard of last, unless it was a repair that began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<State>,
    /// When the pause ends that others have heard of. It says nothing of a later time at which the resource is gone again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_until: Option<Time>,
}

/// What the history of a resource that is gone allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// A repair may begin as soon as this history is kept.
    Begin(History),
    /// A repair began less than [`AT_WORK`] ago: another invocation may be about to execute it.
    MayBeAtWork,
    /// A repair began less than [`PAUSE`] ago.
    TooSoon,
    /// [`AT_MOST`] repairs began [`WITHIN`] that time.
    GivenUp,
}

impl History {
    /// Decides whether a repair may begin. An attempt counts from its beginning, whatever comes of it.
    pub fn decide(&self, now: Time) -> Decision {
        let mut began = self.began.clone();
        began.retain(|time| now.since(*time) < WITHIN);
        if began.iter().any(|time| now.since(*time) < AT_WORK) {
            return Decision::MayBeAtWork;
        }
        if began.len() >= AT_MOST {
            return Decision::GivenUp;
        }
        if began.iter().any(|time| now.since(*time) < PAUSE) {
            return Decision::TooSoon;
        }
        began.push(now);
        Decision::Begin(Self { began, told: None, waits_until: None })
    }

    /// Returns the history once others have heard that it is `state`; `None` if they know.
    pub fn telling(&self, state: State) -> Option<Self> {
        (self.told != Some(state)).then(|| Self { told: Some(state), ..self.clone() })
    }

    /// Returns the time from which on the history doesn't matter.
    pub fn expires(&self, now: Time) -> Time {
        self.began.iter().copied().max().unwrap_or(now).max(now) + WITHIN
    }
}

/// A resource that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its name in the template.
    pub logical_id: String,
    /// What it is called in messages.
    pub name: String,
}

/// What others are to hear of a repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement<'a> {
    /// What became of it.
    pub state: State,
    /// What it is about.
    pub resources: &'a [Resource],
    /// Why nothing was changed, a sentence each.
    pub reasons: &'a [String],
    /// Who changed the resources last, as far as CloudTrail says, a sentence each.
    pub causes: &'a [String],
    /// The ARN of the change set that CloudFormation executes.
    pub change_set: Option<&'a str>,
    /// When that was.
    pub at: Time,
}

impl Announcement<'_> {
    /// Returns the detail of the event. Times are in RFC 3339.
    pub fn event(&self, stack: &str, account: &str, region: &str) -> Value {
        let resource = |it: &Resource| json!({ "logicalId": it.logical_id, "name": it.name });
        json!({
            "version": EVENT_VERSION,
            "state": self.state.name(),
            "stack": stack,
            "account": account,
            "region": region,
            "resources": self.resources.iter().map(resource).collect::<Vec<Value>>(),
            "reasons": self.reasons,
            "causes": self.causes,
            "changeSet": self.change_set,
            "at": self.at.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::*;

    const START: Time = Time(1_700_000_000_000);

    fn minutes(count: u64) -> Time {
        START + Duration::from_secs(count * 60)
    }

    #[test]
    fn a_repair_begins_once_an_hour_and_three_times_a_day() {
        let mut history = History::default();
        for (minute, expected) in [
            (0, "begin"),
            (9, "at work"),
            (10, "too soon"),
            (59, "too soon"),
            (60, "begin"),
            (119, "too soon"),
            (120, "begin"),
            (129, "at work"),
            (130, "given up"),
            (1_439, "given up"),
            (1_440, "begin"),
            (1_450, "given up"),
        ] {
            let decided = match history.decide(minutes(minute)) {
                Decision::Begin(next) => {
                    history = next;
                    "begin"
                }
                Decision::MayBeAtWork => "at work",
                Decision::TooSoon => "too soon",
                Decision::GivenUp => "given up",
            };
            assert_eq!(decided, expected, "{minute}");
        }
        assert_eq!(history.began.len(), AT_MOST);
    }

    #[test]
    fn a_clock_that_goes_back_begins_no_second_repair() {
        let history = History { began: vec![minutes(60)], ..History::default() };
        assert_eq!(history.decide(minutes(0)), Decision::MayBeAtWork);
    }

    #[test]
    fn others_hear_once_that_a_repair_is_held_or_given_up_until_one_begins() {
        let held = History::default().telling(State::Held).expect("news");
        assert_eq!(held.telling(State::Held), None);
        let given_up = held.telling(State::GivenUp).expect("news");
        let Decision::Begin(begun) = given_up.decide(minutes(0)) else { panic!("not begun") };
        assert!(begun.telling(State::Held).is_some());
        assert_eq!(held.expires(minutes(0)), minutes(1_440));
        assert_eq!(begun.expires(minutes(5)), minutes(1_445));
    }

    #[test]
    fn a_history_is_read_back_as_it_was_kept() {
        let history =
            History { began: vec![minutes(0)], told: Some(State::GivenUp), waits_until: None };
        let text = serde_json::to_string(&history).expect("JSON");
        assert_eq!(text, r#"{"began":[1700000000000],"told":"given_up"}"#);
        assert_eq!(serde_json::from_str::<History>(&text).expect("a history"), history);
        assert_eq!(
            serde_json::from_str::<History>(r#"{"began":[]}"#).expect("one"),
            History::default()
        );
    }

    #[test]
    fn the_event_says_what_is_repaired_or_why_it_is_not() {
        let (logical_id, name) = ("JobRole".to_owned(), "job role `landfall-job`".to_owned());
        let announcement = Announcement {
            state: State::Refused,
            resources: &[Resource { logical_id, name }],
            reasons: &["`Job` depends on what is repaired and would change with it".to_owned()],
            causes: &[],
            change_set: None,
            at: START,
        };
        expect![[r#"
            {
              "account": "222222222222",
              "at": "2023-11-14T22:13:20Z",
              "causes": [],
              "changeSet": null,
              "reasons": [
                "`Job` depends on what is repaired and would change with it"
              ],
              "region": "eu-west-1",
              "resources": [
                {
                  "logicalId": "JobRole",
                  "name": "job role `landfall-job`"
                }
              ],
              "stack": "landfall",
              "state": "refused",
              "version": "1"
            }"#]]
        .assert_eq(&format!("{:#}", announcement.event("landfall", "222222222222", "eu-west-1")));
    }

    proptest! {
        /// Whenever a function looks, no two repairs begin within an hour of each other, and no four within a day.
        #[test]
        fn repairs_never_begin_more_often_than_their_bounds(pauses in prop::collection::vec(1_u64..400, 1..40)) {
            let (mut history, mut minute, mut began) = (History::default(), 0, Vec::new());
            for pause in pauses {
                minute += pause;
                if let Decision::Begin(next) = history.decide(minutes(minute)) {
                    history = next;
                    began.push(minute);
                }
            }
            prop_assert!(began.windows(2).all(|pair| pair[1] - pair[0] >= 60), "{began:?}");
            prop_assert!(began.windows(4).all(|four| four[3] - four[0] >= 1_440), "{began:?}");
        }
    }
}
