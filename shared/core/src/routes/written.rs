//! `routes.yaml` as it is written. The JSON Schema is made from these types, so their docstrings
//! are what an editor shows. What the values mean is checked in `resolve`.
//!
//! Every field is an `Option`, required ones too, so that one that is missing is reported beside
//! all other problems instead of hiding them.

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
pub struct RoutesFile {
    /// The version of this format.
    #[schemars(required, range(min = 1, max = 1))]
    pub version: Option<u32>,
    /// The analytics accounts, by names that the routes use.
    #[schemars(required, extend("propertyNames" = { "pattern": "^[a-z0-9][a-z0-9-]{0,63}$" }))]
    pub targets: Option<BTreeMap<String, Target>>,
    /// The rules from objects to jobs. An object may match several; each is served.
    #[schemars(required, length(min = 1))]
    pub routes: Option<Vec<Route>>,
}

/// An analytics account and the way into it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The account's id: 12 digits, quoted.
    #[schemars(required, regex(pattern = r"^\d{12}$"))]
    pub account: Option<String>,
    /// The region of the Glue jobs.
    #[schemars(required, example = "eu-west-1")]
    pub region: Option<String>,
    /// The role that the trigger assumes: its name, with its path if it has one, or its ARN.
    #[schemars(required)]
    pub starter_role: Option<String>,
    /// The external ID that the starter role's trust policy asks for, as `${VARIABLE}` of the
    /// function's environment. Never printed or logged.
    pub external_id: Option<String>,
}

/// A rule from bucket and key to a job.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Names the route in logs, metrics and batches: lower-case letters, digits and `-`.
    #[schemars(required, regex(pattern = r"^[a-z0-9][a-z0-9-]{0,63}$"))]
    pub name: Option<String>,
    /// The bucket's name.
    #[schemars(required)]
    pub bucket: Option<String>,
    /// The key's pattern: `{name}` captures inside one segment, `*` matches inside one segment,
    /// `**` any number of segments.
    #[schemars(required, example = "orders/dt={dt}/{file}.csv")]
    pub key: Option<String>,
    /// Says that the reader role may read more than the key's beginning. It is needed if that is all of
    /// the bucket, because the key begins with a wildcard, or with characters that no policy can hold.
    /// Default: false.
    pub wide: Option<bool>,
    /// What else the object must be like.
    #[serde(rename = "where")]
    pub condition: Option<Where>,
    /// Which objects share a job run.
    pub batch: Option<Batch>,
    /// The job and how it is started.
    #[schemars(required)]
    pub start: Option<Start>,
}

/// Conditions on the object. An object whose size the event does not tell passes those on size.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Where {
    /// The least size, in bytes.
    pub min_bytes: Option<u64>,
    /// The greatest size, in bytes.
    pub max_bytes: Option<u64>,
    /// Whether empty objects whose key ends with `/` count. The console makes such objects for
    /// folders. Default: false.
    pub directory_markers: Option<bool>,
}

/// Which objects share a job run, and when it is started.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Captures of the key: objects with the same values form a group. Default: one group.
    pub by: Option<Vec<String>>,
    /// How long a batch stays open after its first object. Default: 0, what one invocation brought.
    pub window: Option<Period>,
    /// Closes the batch when nothing has arrived for so long.
    pub quiet: Option<Period>,
    /// The most objects of a batch.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_objects: Option<u64>,
    /// The name of an object in the group's folder that says that the group is complete.
    pub marker: Option<String>,
    /// How long to wait after the marker, which can overtake its data.
    pub settle: Option<Period>,
}

/// The job and how it is started.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// A name under `targets`.
    #[schemars(required)]
    pub target: Option<String>,
    /// The Glue job's name.
    #[schemars(required)]
    pub job: Option<String>,
    /// The job's arguments, `--name: value`. A value may use captures of the key and `{bucket}`,
    /// `{key}`, `{object_uri}`, `{batch_id}`, `{count}`, `{bytes}` and `{event_time}`.
    #[schemars(extend("propertyNames" = { "pattern": "^--[A-Za-z][A-Za-z0-9_.-]*$" }))]
    pub arguments: Option<BTreeMap<String, String>>,
    /// The most runs of the job at a time.
    #[schemars(range(min = 1))]
    pub max_concurrent_runs: Option<u32>,
    /// The most runs of the job that are started in an hour.
    #[schemars(range(min = 1))]
    pub max_runs_per_hour: Option<u32>,
    /// What to do when a run does not succeed.
    pub retry: Option<Retry>,
    /// What a run may do. `job`, the default: all that the job's role may. `batch`: it can become no
    /// other role than the one that reads its batch, and the job's library narrows that to the
    /// batch's objects, manifest and claim.
    #[schemars(extend("enum" = ["job", "batch"]))]
    pub scope: Option<String>,
}

/// What to do when a run does not succeed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// The most runs of a batch, the first included.
    #[schemars(required, range(min = 1, max = 10))]
    pub attempts: Option<u32>,
    /// The states of a run that are retried: FAILED, TIMEOUT, ERROR, STOPPED, EXPIRED.
    #[schemars(inner(regex(pattern = r"^(FAILED|TIMEOUT|ERROR|STOPPED|EXPIRED)$")))]
    pub states: Option<Vec<String>>,
}

/// A length of time as it is written: `90s`, `5m`, `1h`, `1d`, or 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period(pub String);

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
    /// Its length in seconds; `None` if it is not written as one.
    pub fn seconds(&self) -> Option<u64> {
        if self.0 == "0" { Some(0) } else { Some(parse_duration(&self.0)?.as_secs()) }
    }
}

/// The JSON Schema of a routes file, pretty-printed, with a line end.
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(RoutesFile);
    // A `Schema` is a JSON value; printing one cannot fail.
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
