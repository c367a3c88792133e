//! What invokes the monitor: EventBridge's tick, or events of job runs' ends in SQS messages.
//!
//! An event is a hint that it is worth looking; what became of a run, Glue is asked. EventBridge
//! delivers `Glue Job State Change` as best it can, in no order, and more than once.

use serde::Deserialize;
use serde_json::value::RawValue;

/// What the monitor is asked to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Wakeup {
    /// Look at what is due.
    Tick,
    /// Look at these runs.
    Runs(Vec<RunMessage>),
}

/// One SQS message, which is acknowledged or delivered again by itself.
#[derive(Debug, PartialEq, Eq)]
pub struct RunMessage {
    pub id: String,
    /// `None` for an event of another kind.
    pub content: Result<Option<RunEvent>, RunEventError>,
}

/// The end of a job run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEvent {
    pub account: String,
    pub region: String,
    pub job: String,
    pub run_id: String,
}

impl RunEvent {
    /// What a batch waits for whose run this is: as [`crate::batch::run_ended`] says it.
    pub fn awaited(&self) -> String {
        let Self { account, region, job, run_id } = self;
        crate::batch::run_key(account, region, job, run_id)
    }
}

/// Why an event cannot be read. None holds what was in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunEventError {
    #[error("failed to read the event as JSON")]
    NotJson,
    #[error("failed to read the event: it is neither a tick nor SQS messages")]
    UnknownEnvelope,
    #[error("failed to read the event: `{0}` is missing, or of another type than it should be")]
    Malformed(&'static str),
}

impl RunEventError {
    /// A stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotJson => "event_not_json",
            Self::UnknownEnvelope => "event_unknown_envelope",
            Self::Malformed(_) => "event_malformed",
        }
    }
}

#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow, rename = "Records")]
    records: Option<Vec<&'a RawValue>>,
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SqsRecord {
    message_id: Option<String>,
    body: Option<String>,
}

#[derive(Deserialize)]
struct Event {
    source: Option<String>,
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
    account: Option<String>,
    region: Option<String>,
    #[serde(default)]
    detail: Detail,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Detail {
    job_name: Option<String>,
    job_run_id: Option<String>,
}

impl Wakeup {
    /// Takes a function's event apart.
    ///
    /// # Errors
    /// It is none of the two kinds, or a message has no id by which it could fail alone.
    pub fn read(event: &RawValue) -> Result<Self, RunEventError> {
        let outer: Outer<'_> =
            serde_json::from_str(event.get()).map_err(|_| RunEventError::UnknownEnvelope)?;
        match (outer.records, outer.detail_type.as_deref()) {
            (Some(records), _) => {
                records.into_iter().map(message).collect::<Result<_, _>>().map(Self::Runs)
            }
            (None, Some("Scheduled Event")) => Ok(Self::Tick),
            (None, _) => Err(RunEventError::UnknownEnvelope),
        }
    }
}

fn message(record: &RawValue) -> Result<RunMessage, RunEventError> {
    let missing = || RunEventError::Malformed("messageId");
    let SqsRecord { message_id, body } =
        serde_json::from_str(record.get()).map_err(|_| missing())?;
    let content = body.ok_or(RunEventError::Malformed("body")).and_then(|body| run_event(&body));
    Ok(RunMessage { id: message_id.ok_or_else(missing)?, content })
}

fn run_event(body: &str) -> Result<Option<RunEvent>, RunEventError> {
    let event: Event = serde_json::from_str(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => RunEventError::Malformed("detail"),
        _ => RunEventError::NotJson,
    })?;
    if event.source.as_deref() != Some("aws.glue")
        || event.detail_type.as_deref() != Some("Glue Job State Change")
    {
        return Ok(None);
    }
    let needed = |value: Option<String>, name| value.ok_or(RunEventError::Malformed(name));
    Ok(Some(RunEvent {
        account: needed(event.account, "account")?,
        region: needed(event.region, "region")?,
        job: needed(event.detail.job_name, "detail.jobName")?,
        run_id: needed(event.detail.job_run_id, "detail.jobRunId")?,
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json, value::to_raw_value};

    use super::*;

    fn read(event: &Value) -> Result<Wakeup, RunEventError> {
        Wakeup::read(&to_raw_value(event).unwrap())
    }

    fn event() -> Value {
        json!({
            "version": "0", "source": "aws.glue", "detail-type": "Glue Job State Change",
            "account": "222222222222", "region": "eu-west-1",
            "detail": { "jobName": "orders", "jobRunId": "jr_1", "state": "SUCCEEDED", "severity": "INFO" },
        })
    }

    fn content(body: &str) -> Result<Option<RunEvent>, RunEventError> {
        match read(&json!({ "Records": [{ "messageId": "m", "body": body }] })).unwrap() {
            Wakeup::Runs(mut messages) => messages.remove(0).content,
            Wakeup::Tick => panic!("a tick"),
        }
    }

    #[test]
    fn a_tick_and_the_end_of_a_run_are_told_apart() {
        let tick =
            json!({ "source": "aws.events", "detail-type": "Scheduled Event", "detail": {} });
        assert_eq!(read(&tick), Ok(Wakeup::Tick));
        let run = content(&event().to_string()).unwrap().unwrap();
        assert_eq!(run.awaited(), "run 222222222222/eu-west-1/orders/jr_1");
    }

    #[test]
    fn an_event_of_another_kind_is_ignored() {
        for (field, value) in [("source", "aws.s3"), ("detail-type", "Glue Crawler State Change")] {
            let mut other = event();
            other[field] = json!(value);
            assert_eq!(content(&other.to_string()), Ok(None));
        }
    }

    #[test]
    fn what_cannot_be_read_says_what_is_missing() {
        assert_eq!(content("{"), Err(RunEventError::NotJson));
        let mut without = event();
        without["detail"].as_object_mut().unwrap().remove("jobRunId");
        assert_eq!(content(&without.to_string()), Err(RunEventError::Malformed("detail.jobRunId")));
        without["detail"] = json!([1]);
        assert_eq!(content(&without.to_string()), Err(RunEventError::Malformed("detail")));
        assert_eq!(read(&json!({})), Err(RunEventError::UnknownEnvelope));
        assert_eq!(read(&json!([])), Err(RunEventError::UnknownEnvelope));
        let nameless = json!({ "Records": [{ "body": "{}" }] });
        assert_eq!(read(&nameless), Err(RunEventError::Malformed("messageId")));
    }

    proptest! {
        #[test]
        fn no_body_of_a_run_event_makes_reading_panic(body in ".*") {
            let _ = content(&body);
        }
    }
}
