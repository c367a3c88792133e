//! A probe: the trigger itself makes the calls that come before the start of a job run, and says what came of them.
//!
//! Nobody else can show that they work: the starter role admits the trigger's role alone. The trigger answers [`EVENT`] only if
//! somebody invokes it directly, which takes `lambda:InvokeFunction`. A message of a queue or a topic is never a probe,
//! because it lies inside another event.

use serde::{Deserialize, Serialize};

/// The event that asks for a probe.
pub const EVENT: &str = r#"{"landfall":{"probe":1}}"#;

/// The version of [`EVENT`] and of [`Answer`].
const VERSION: u32 = 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    landfall: Question,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    probe: u32,
}

/// Returns `true` if a function's whole event asks for a probe, and for nothing else.
pub fn is_asked(event: &str) -> bool {
    serde_json::from_str::<Asked>(event).is_ok_and(|asked| asked.landfall.probe == VERSION)
}

/// What the trigger answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The version of the answer.
    pub version: u32,
    /// One for each job of each target, in the order of their names.
    pub probes: Vec<Probe>,
}

/// What came of the calls for one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The target's name.
    pub target: String,
    /// The analytics account's ID.
    pub account: String,
    /// The region of the job.
    pub region: String,
    /// The ARN of the starter role.
    pub starter_role: String,
    /// The name of the job.
    pub job: String,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The trigger assumed the role, and the role saw the job.
    Works,
    /// The trigger assumed the role, and there is no such job.
    NoSuchJob,
    /// A call failed.
    Failed {
        /// A stable identifier, as in the trigger's log.
        code: String,
        /// What AWS or the SDK says. It holds no external ID.
        message: String,
    },
    /// No time was left for it.
    OutOfTime,
}

impl Answer {
    /// Returns the answer with these probes.
    pub fn new(probes: Vec<Probe>) -> Self {
        Self { version: VERSION, probes }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn only_a_whole_event_of_this_version_asks_for_a_probe() {
        assert!(is_asked(EVENT));
        assert!(is_asked(" { \"landfall\" : { \"probe\" : 1 } } "));
        for other in [
            r#"{"landfall":{"probe":2}}"#,
            r#"{"landfall":{"probe":1},"Records":[]}"#,
            r#"{"landfall":{"probe":1,"start":true}}"#,
            r#"{"Records":[{"messageId":"m","body":"{\"landfall\":{\"probe\":1}}"}]}"#,
            r#"[{"landfall":{"probe":1}}]"#,
            r#""{\"landfall\":{\"probe\":1}}""#,
            "",
        ] {
            assert!(!is_asked(other), "{other}");
        }
    }

    #[test]
    fn an_answer_is_read_back_as_it_was_written() {
        let probe = |outcome| Probe {
            target: "analytics".to_owned(),
            account: "222222222222".to_owned(),
            region: "eu-west-1".to_owned(),
            starter_role: "arn:aws:iam::222222222222:role/landfall-starter".to_owned(),
            job: "orders".to_owned(),
            outcome,
        };
        let (code, message) = ("assume_role_denied".to_owned(), "no".to_owned());
        let answer =
            Answer::new(vec![probe(Outcome::Works), probe(Outcome::Failed { code, message })]);
        let text = serde_json::to_string(&answer).expect("JSON");
        expect![[r#"{"version":1,"probes":[{"target":"analytics","account":"222222222222","region":"eu-west-1","starter_role":"arn:aws:iam::222222222222:role/landfall-starter","job":"orders","outcome":"works"},{"target":"analytics","account":"222222222222","region":"eu-west-1","starter_role":"arn:aws:iam::222222222222:role/landfall-starter","job":"orders","outcome":"failed","code":"assume_role_denied","message":"no"}]}"#]].assert_eq(&text);
        assert_eq!(serde_json::from_str::<Answer>(&text).expect("an answer"), answer);
    }
}
