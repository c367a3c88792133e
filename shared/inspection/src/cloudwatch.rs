//! Alarms and metrics.
//!
//! CloudWatch is asked with signed requests, because its SDK client would be a large dependency for two calls.

use std::time::Duration;

use aws_config::SdkConfig;
use landfall_aws::signed::{Service, SignedClient};
use landfall_core::moment::Time;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{Seen, Unseen};

const CLOUDWATCH: Service =
    Service { id: "CloudWatch", name: "monitoring", content_type: "application/x-amz-json-1.0" };

/// The time limit for a call.
const LIMIT: Duration = Duration::from_secs(20);

/// The most pages of alarms to read, of 100 alarms each.
const MAX_PAGES: usize = 10;

/// The seconds that one value of a metric covers.
const PERIOD: u32 = 60;
const A_DAY: u32 = 86_400;

/// The client for CloudWatch in one account and region.
#[derive(Debug)]
pub struct CloudWatch {
    client: SignedClient,
}

/// An alarm that is in state `ALARM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// The alarm's name.
    pub name: String,
    /// Since when it is in this state, if CloudWatch says so.
    pub since: Option<Time>,
    /// What the alarm is about, in the words of its template.
    pub description: Option<String>,
}

/// A metric.
#[derive(Debug, Clone)]
pub struct Metric<'a> {
    /// The namespace, such as `AWS/SQS`.
    pub namespace: &'a str,
    /// The name.
    pub name: &'a str,
    /// The dimensions and their values.
    pub dimensions: Vec<(&'a str, &'a str)>,
    /// The statistic, such as `Maximum`.
    pub statistic: &'a str,
}

/// The newest value of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Newest {
    /// The beginning of the minute that the value covers.
    pub at: Time,
    /// The value.
    pub value: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Alarms {
    #[serde(default)]
    metric_alarms: Vec<AlarmEntry>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AlarmEntry {
    alarm_name: String,
    alarm_description: Option<String>,
    /// A number of seconds.
    state_updated_timestamp: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Results {
    #[serde(default)]
    metric_data_results: Vec<Series>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Series {
    id: String,
    #[serde(default)]
    timestamps: Vec<Value>,
    #[serde(default)]
    values: Vec<f64>,
}

impl Results {
    fn of(&self, at: usize) -> Option<&Series> {
        let id = id(at);
        self.metric_data_results.iter().find(|series| series.id == id)
    }
}

impl CloudWatch {
    /// Returns the client for a region of a partition. Makes no call.
    pub fn new(config: &SdkConfig, partition: &str, region: &str) -> Self {
        Self { client: SignedClient::new(CLOUDWATCH, Some((partition, region)), config) }
    }

    /// Returns the alarms whose names begin with `prefix` and that are in state `ALARM`, by name.
    ///
    /// # Errors
    /// Says why they weren't seen.
    pub async fn in_alarm(&self, prefix: &str) -> Seen<Vec<Alarm>> {
        let permission = "cloudwatch:DescribeAlarms";
        let mut found = Vec::new();
        let mut next: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut body =
                json!({ "AlarmNamePrefix": prefix, "StateValue": "ALARM", "MaxRecords": 100 });
            if let Some(next) = next {
                body["NextToken"] = next.into();
            }
            let target = "GraniteServiceVersion20100801.DescribeAlarms";
            let page: Alarms = self.call(target, permission, &body).await?;
            found.extend(page.metric_alarms.into_iter().map(|it| Alarm {
                name: it.alarm_name,
                since: it.state_updated_timestamp.as_ref().and_then(time),
                description: it.alarm_description,
            }));
            next = page.next_token;
            if next.is_none() {
                found.sort_by(|one: &Alarm, other| one.name.cmp(&other.name));
                return Ok(found);
            }
        }
        Err(Unseen::Failed(format!("DescribeAlarms: more than {MAX_PAGES} pages of alarms")))
    }

    /// Returns the newest value of each metric since then, in their order; `None` for one that has none.
    ///
    /// # Errors
    /// Says why they weren't seen.
    pub async fn newest(
        &self,
        metrics: &[Metric<'_>],
        since: Time,
        until: Time,
    ) -> Seen<Vec<Option<Newest>>> {
        let results = self.data(metrics, since, until, PERIOD).await?;
        let newest = |at: usize| {
            let series = results.of(at)?;
            let values = series.timestamps.iter().filter_map(time).zip(&series.values);
            let values = values.map(|(at, value)| Newest { at, value: *value });
            values.max_by_key(|newest| newest.at)
        };
        Ok((0..metrics.len()).map(newest).collect())
    }

    /// Returns the sum of each metric's daily values since then, in their order.
    ///
    /// # Errors
    /// Says why they weren't seen.
    pub async fn totals(&self, metrics: &[Metric<'_>], since: Time, until: Time) -> Seen<Vec<f64>> {
        let results = self.data(metrics, since, until, A_DAY).await?;
        let total = |at: usize| results.of(at).map_or(0.0, |series| series.values.iter().sum());
        Ok((0..metrics.len()).map(total).collect())
    }

    async fn data(
        &self,
        metrics: &[Metric<'_>],
        since: Time,
        until: Time,
        period: u32,
    ) -> Seen<Results> {
        let queries = metrics.iter().enumerate().map(|(at, metric)| {
            let Metric { namespace, name, dimensions, statistic } = metric;
            let dimensions =
                dimensions.iter().map(|(name, value)| json!({ "Name": name, "Value": value }));
            json!({ "Id": id(at), "MetricStat": {
                "Metric": { "Namespace": namespace, "MetricName": name,
                    "Dimensions": dimensions.collect::<Vec<_>>() },
                "Period": period, "Stat": statistic } })
        });
        let body = json!({
            "MetricDataQueries": queries.collect::<Vec<_>>(),
            "StartTime": since.seconds(),
            "EndTime": until.seconds(),
            "ScanBy": "TimestampDescending",
        });
        let target = "GraniteServiceVersion20100801.GetMetricData";
        self.call(target, "cloudwatch:GetMetricData", &body).await
    }

    async fn call<A: DeserializeOwned>(
        &self,
        target: &'static str,
        permission: &str,
        body: &Value,
    ) -> Seen<A> {
        let operation = target.rsplit('.').next().unwrap_or(target);
        let failed = |why: &str| Unseen::Failed(format!("{operation}: {why}"));
        let body = body.to_string();
        let answer = tokio::time::timeout(LIMIT, self.client.call(target, &body)).await;
        let answer = answer.map_err(|_| failed("a time-out"))?;
        answer.map_err(|why: String| match why.as_str() {
            "AccessDenied" | "AccessDeniedException" => Unseen::Denied(permission.to_owned()),
            why => failed(why),
        })
    }
}

/// Returns the ID of a query, which has to begin with a lower-case letter.
fn id(at: usize) -> String {
    format!("m{at}")
}

/// Reads a time: AWS's JSON protocol has seconds since 1970.
fn time(value: &Value) -> Option<Time> {
    if let Some(text) = value.as_str() {
        return Time::parse(text);
    }
    let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0)?;
    // The number becomes the nearest one that fits.
    Some(Time((seconds * 1000.0) as u64))
}
