//! `routes.yaml` as written. The JSON Schema is generated from these types, so editors show their doc comments.
//! `resolve` checks what the values mean.
//!
//! Every field is an `Option`, even a required one, so that a missing field is reported together with all other
//! problems instead of hiding them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use crate::moment::parse_duration;

/// Which objects start which AWS Glue jobs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Landfall routes")]
pub(crate) struct RoutesFile {
    /// The version of this format.
    #[schemars(required, range(min = 1, max = 1))]
    pub version: Option<u32>,
    /// The analytics accounts, under the names that the routes use for them. Required unless no route starts a job.
    #[schemars(extend("propertyNames" = { "pattern": "^[a-z0-9][a-z0-9-]{0,63}$" }))]
    pub targets: Option<BTreeMap<String, Target>>,
    /// The rules that say which objects start which jobs. If an object matches several routes, each of them
    /// gets it.
    #[schemars(required, length(min = 1))]
    pub routes: Option<Vec<Route>>,
}

/// An analytics account and region, and how to get access to it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    /// The account ID: 12 digits, in quotes.
    #[schemars(required, regex(pattern = r"^\d{12}$"))]
    pub account: Option<String>,
    /// The region of the Glue jobs.
    #[schemars(required, example = "eu-west-1")]
    pub region: Option<String>,
    /// The starter role, which the trigger assumes: its name (with its path, if it has one) or its ARN.
    #[schemars(required)]
    pub starter_role: Option<String>,
    /// The external ID that the starter role's trust policy demands, as `${VARIABLE}` from the function's
    /// environment. It is never printed or logged.
    pub external_id: Option<String>,
}

/// A rule that says which objects start which job.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    /// The route's name in logs, metrics and batches: lower-case letters, digits and `-`.
    #[schemars(required, regex(pattern = r"^[a-z0-9][a-z0-9-]{0,63}$"))]
    pub name: Option<String>,
    /// The name of the bucket.
    #[schemars(required)]
    pub bucket: Option<String>,
    /// The pattern of the object keys: `{name}` captures text within one segment, `*` matches any text within
    /// one segment, and `**` matches any number of segments.
    #[schemars(required, example = "orders/dt={dt}/{file}.csv")]
    pub key: Option<String>,
    /// Accepts that the reader role may read more than the beginning of the key. You must set this if the role
    /// could read the whole bucket, because the key begins with a wildcard or with characters that a policy
    /// can't contain. Default: false.
    pub wide: Option<bool>,
    /// Further conditions on the object.
    #[serde(rename = "where")]
    pub condition: Option<Where>,
    /// Which objects share a job run, and when it starts.
    pub batch: Option<Batch>,
    /// The job, and how to start it.
    #[schemars(required)]
    pub start: Option<Start>,
    /// How often Landfall lists the bucket for objects that S3 never announced. Default: never.
    pub reconcile: Option<Reconcile>,
}

/// How often Landfall lists the bucket for objects that S3 never announced, and what it does about them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reconcile {
    /// How long after the beginning of one pass the next one begins: 1h to 30d.
    #[schemars(required)]
    pub every: Option<Period>,
    /// How far back a pass looks, by the time at which S3 saw an object written: at least `every` and `grace` together,
    /// at most 90d. Default: 3d.
    pub look_back: Option<Period>,
    /// How old an object must be before a pass misses it: 1h to 7d. Default: 1h.
    pub grace: Option<Period>,
    /// What to do about objects that are in no batch of the route. `start`: put them into batches. `report`: only say
    /// so.
    #[schemars(required, extend("enum" = ["start", "report"]))]
    pub action: Option<String>,
    /// Where S3 writes inventories of the bucket, which are read instead of listing it:
    /// `s3://BUCKET/[PREFIX/]SOURCE-BUCKET/ID/`. `every` is at least as long as the time between two of them.
    pub inventory: Option<String>,
    /// What keys with a date begin with, such as `orders/dt={yyyy}-{mm}-{dd}/`. A pass then lists only the keys with the
    /// dates that it looks back to, and misses what is written below another date.
    pub prune_by_date: Option<String>,
}

/// Conditions on the object. If the event doesn't give the object's size, the conditions on size don't apply.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Where {
    /// The minimum size, in bytes.
    pub min_bytes: Option<u64>,
    /// The maximum size, in bytes.
    pub max_bytes: Option<u64>,
    /// Whether the route takes empty objects whose key ends with `/`. The S3 console makes such objects for
    /// folders. Default: false.
    pub directory_markers: Option<bool>,
}

/// Which objects share a job run, and when it starts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    /// The captures of the key that form groups: objects with the same values share a batch. Default: all
    /// objects share a batch.
    pub by: Option<Vec<String>>,
    /// Closes the batch this long after its first object arrives. Default: 0, which closes it at once, with
    /// what one invocation brought.
    pub window: Option<Period>,
    /// Closes the batch when nothing has arrived for this long.
    pub quiet: Option<Period>,
    /// Closes the batch when it has this many objects.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_objects: Option<u64>,
    /// Closes the batch when an object of this name arrives in the group's folder.
    pub marker: Option<String>,
    /// How long to wait after the marker, because it can overtake its data.
    pub settle: Option<Period>,
}

/// The job, and how to start it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Start {
    /// The target: a name under `targets`. If you write `none`, and no target has that name, Landfall starts no job: an event
    /// on EventBridge says that the batch has closed, and whoever listens goes on from there.
    #[schemars(required)]
    pub target: Option<String>,
    /// The name of the Glue job. Required unless the target is `none`.
    pub job: Option<String>,
    /// Whether an event on EventBridge says that a batch has closed, before Landfall starts its job. With target `none`,
    /// there is always one. Default: false.
    pub announce: Option<bool>,
    /// The job's arguments, as `--name: value`. A value can use captures of the key, and `{bucket}`, `{key}`,
    /// `{object_uri}`, `{object_path}`, `{prefix_uri}`, `{prefix_path}`, `{manifest_uri}`, `{batch_id}`, `{count}`,
    /// `{bytes}` and `{event_time}`.
    #[schemars(extend("propertyNames" = { "pattern": "^--[A-Za-z][A-Za-z0-9_.-]*$" }))]
    pub arguments: Option<BTreeMap<String, String>>,
    /// The maximum number of runs of the job at the same time. It counts the runs of all routes that start the
    /// job.
    #[schemars(range(min = 1))]
    pub max_concurrent_runs: Option<u32>,
    /// The maximum number of runs of the job that Landfall starts within an hour.
    #[schemars(range(min = 1))]
    pub max_runs_per_hour: Option<u32>,
    /// What to do when a job run doesn't succeed. Default: one attempt.
    pub retry: Option<Retry>,
    /// What a job run may do. `job` (the default): everything that the job role may do. `batch`: the only role
    /// that the run can assume is the reader role of its batch, and the job library narrows that role to the
    /// batch's objects, manifest and claim.
    #[schemars(extend("enum" = ["job", "batch"]))]
    pub scope: Option<String>,
    /// Whether the job must claim its batch. `required` (the default): a run that succeeds without a claim doesn't
    /// count, and of two runs for one batch only one has effects. `optional`: any job will do. If no run claims the
    /// batch, the end of its run is the end of the batch.
    #[schemars(extend("enum" = ["required", "optional"]))]
    pub claim: Option<String>,
    /// How the job reads the objects. `role` (the default): through the reader role. `bucket_policy`: with the job's
    /// own role, which the bucket's policy admits.
    #[schemars(extend("enum" = ["role", "bucket_policy"]))]
    pub access: Option<String>,
}

/// What to do when a job run doesn't succeed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retry {
    /// The maximum number of job runs for a batch, including the first.
    #[schemars(required, range(min = 1, max = 10))]
    pub attempts: Option<u32>,
    /// The final states of a job run after which another one is started: FAILED, TIMEOUT, ERROR, STOPPED,
    /// EXPIRED. Default: FAILED, TIMEOUT and ERROR.
    #[schemars(inner(regex(pattern = r"^(FAILED|TIMEOUT|ERROR|STOPPED|EXPIRED)$")))]
    pub states: Option<Vec<String>>,
}

/// A length of time as written: `90s`, `5m`, `1h`, `1d`, or 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Period(pub String);

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrZero;
        impl Visitor<'_> for TextOrZero {
            type Value = Period;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a length of time such as `5m`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Period, E> {
                Ok(Period(text.to_owned()))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Period, E> {
                match number {
                    0 => Ok(Period("0".to_owned())),
                    _ => Err(E::invalid_value(de::Unexpected::Unsigned(number), &self)),
                }
            }
        }
        deserializer.deserialize_any(TextOrZero)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A length of time: `90s`, `5m`, `1h`, `1d`, or 0.",
            "anyOf": [{ "const": 0 }, { "type": "string", "pattern": r"^(0|\d+[smhd])$" }]
        })
    }
}

impl Period {
    /// Returns the length in seconds, or `None` if the text isn't a length of time.
    pub(crate) fn seconds(&self) -> Option<u64> {
        if self.0 == "0" { Some(0) } else { Some(parse_duration(&self.0)?.as_secs()) }
    }
}

/// Returns the JSON Schema of a routes file, pretty-printed, with a newline at the end.
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(RoutesFile);
    // A `Schema` is a JSON value, so printing it can't fail.
    format!("{:#}\n", schema.to_value())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_read_in_seconds() {
        let seconds = |text: &str| Period(text.to_owned()).seconds();
        assert_eq!(seconds("0"), Some(0));
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("5m"), Some(300));
        assert_eq!(seconds("2h"), Some(7_200));
        assert_eq!(seconds("1d"), Some(86_400));
        for text in ["", "5", "m", "-5m", "5 m", "5ü", "99999999999999999999s", "1m30s"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
