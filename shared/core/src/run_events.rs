//! What invokes the monitor: EventBridge's tick, or SQS messages about job runs that ended and batches that are due.
//!
//! Both are only hints that it is worth looking: Glue knows the outcome of a run, and the ledger knows what is due.
//! EventBridge delivers `Glue Job State Change` on a best-effort basis, in any order, and sometimes more than once.

use serde::Deserialize;
use serde_json::value::RawValue;

/// What the monitor is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Wakeup {
    /// Look at what is due.
    Tick,
    /// Look at what these messages name.
    Messages(Vec<HintMessage>),
}

/// One SQS message, which is acknowledged or delivered again on its own.
#[derive(Debug, PartialEq, Eq)]
pub struct HintMessage {
    /// SQS's message ID.
    pub id: String,
    /// How often SQS has delivered it, this time included; `None` if it does not say.
    pub deliveries: Option<u64>,
    /// `None` for any other kind of event.
    pub content: Result<Option<Hint>, RunEventError>,
}

/// What is worth looking at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// A run ended.
    Run(RunEvent),
    /// Batches, by their IDs.
    Due(Vec<String>),
}

/// The end of a job run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEvent {
    /// The account ID of the job: 12 digits.
    pub account: String,
    /// The region of the job.
    pub region: String,
    /// The name of the Glue job.
    pub job: String,
    /// Glue's ID of the run.
    pub run_id: String,
}

impl RunEvent {
    /// Returns what the batch of this run waits for, as [`crate::batch::run_ended`] does.
    pub fn awaited(&self) -> String {
        let Self { account, region, job, run_id } = self;
        crate::batch::run_key(account, region, job, run_id)
    }
}

/// Why an event cannot be read. No variant holds anything of the event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum RunEventError {
    #[error("failed to read the event as JSON")]
    NotJson,
    #[error("failed to read the event: it is neither a tick nor SQS messages")]
    UnknownEnvelope,
    #[error("failed to read the event: `{0}` is missing, or of another type than it should be")]
    Malformed(&'static str),
}

impl RunEventError {
    /// Returns a stable identifier for logs and metrics.
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
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Attributes {
    approximate_receive_count: Option<String>,
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
    batch_ids: Option<Vec<String>>,
}

/// Landfall's own event, in EventBridge's envelope.
const SOURCE: &str = "landfall";
const BATCHES_DUE: &str = "Landfall Batches Due";

/// Returns the body of a message that says that these batches are due.
pub fn batches_due(ids: &[&str]) -> String {
    let detail = serde_json::json!({ "batchIds": ids });
    serde_json::json!({ "source": SOURCE, "detail-type": BATCHES_DUE, "detail": detail })
        .to_string()
}

impl Wakeup {
    /// Takes a function's event apart.
    ///
    /// # Errors
    /// It is neither kind of event, or a message has no ID by which it could fail alone.
    pub fn read(event: &RawValue) -> Result<Self, RunEventError> {
        let outer: Outer<'_> =
            serde_json::from_str(event.get()).map_err(|_| RunEventError::UnknownEnvelope)?;
        match (outer.records, outer.detail_type.as_deref()) {
            (Some(records), _) => {
                records.into_iter().map(message).collect::<Result<_, _>>().map(Self::Messages)
            }
            (None, Some("Scheduled Event")) => Ok(Self::Tick),
            (None, _) => Err(RunEventError::UnknownEnvelope),
        }
    }
}

fn message(record: &RawValue) -> Result<HintMessage, RunEventError> {
    let missing = || RunEventError::Malformed("messageId");
    let SqsRecord { message_id, body, attributes } =
        serde_json::from_str(record.get()).map_err(|_| missing())?;
    let content = body.ok_or(RunEventError::Malformed("body")).and_then(|body| hint(&body));
    let deliveries = attributes.approximate_receive_count.and_then(|count| count.parse().ok());
    Ok(HintMessage { id: message_id.ok_or_else(missing)?, deliveries, content })
}

fn hint(body: &str) -> Result<Option<Hint>, RunEventError> {
    let event: Event = serde_json::from_str(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => RunEventError::Malformed("detail"),
        _ => RunEventError::NotJson,
    })?;
    let needed = |value: Option<String>, name| value.ok_or(RunEventError::Malformed(name));
    match (event.source.as_deref(), event.detail_type.as_deref()) {
        (Some("aws.glue"), Some("Glue Job State Change")) => Ok(Some(Hint::Run(RunEvent {
            account: needed(event.account, "account")?,
            region: needed(event.region, "region")?,
            job: needed(event.detail.job_name, "detail.jobName")?,
            run_id: needed(event.detail.job_run_id, "detail.jobRunId")?,
        }))),
        (Some(SOURCE), Some(BATCHES_DUE)) => {
            let ids = event.detail.batch_ids.ok_or(RunEventError::Malformed("detail.batchIds"))?;
            Ok(Some(Hint::Due(ids)))
        }
        _ => Ok(None),
    }
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

    fn content(body: &str) -> Result<Option<Hint>, RunEventError> {
        match read(&json!({ "Records": [{ "messageId": "m", "body": body }] })).unwrap() {
            Wakeup::Messages(mut messages) => messages.remove(0).content,
            Wakeup::Tick => panic!("a tick"),
        }
    }

    #[test]
    fn a_tick_and_the_end_of_a_run_are_told_apart() {
        let tick =
            json!({ "source": "aws.events", "detail-type": "Scheduled Event", "detail": {} });
        assert_eq!(read(&tick), Ok(Wakeup::Tick));
        let Some(Hint::Run(run)) = content(&event().to_string()).unwrap() else { panic!("no run") };
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
    fn batches_that_are_handed_on_are_read_as_they_were_written() {
        let due = content(&batches_due(&["a", "b \"c\""]));
        assert_eq!(due, Ok(Some(Hint::Due(vec!["a".to_owned(), "b \"c\"".to_owned()]))));
        let without = batches_due(&[]).replace("batchIds", "ids");
        assert_eq!(content(&without), Err(RunEventError::Malformed("detail.batchIds")));
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
