//! The properties of `Custom::LandfallBucketNotifications`, first as written, then valid.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Desired, Destination, Filters};
use crate::arn::QueueArn;
use crate::at::At;
use crate::problem::Problem;
use crate::properties;
use crate::repair;
use crate::routes::Routes;
use crate::routes::resolve::{self, is_bucket};
use crate::routes::written::RoutesFile;

const LISTS: [&[&str]; 1] = [&["BucketNames"]];

/// `Custom::LandfallBucketNotifications`, in the data account. Makes the buckets of the routes send events
/// for what lands in them, next to the notifications that they already have.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
#[schemars(title = "Custom::LandfallBucketNotifications")]
struct Written {
    /// The version of these properties. Default: 1.
    #[schemars(range(min = 1, max = 1))]
    version: Option<u32>,
    /// The time of the last repair: at most 64 letters, digits and `-:.`. With another value, CloudFormation asks
    /// for an Update, which puts right what differs from the other properties. The value itself means nothing.
    #[schemars(length(max = 64), regex(pattern = "^[0-9A-Za-z:.-]*$"))]
    repair: Option<String>,
    /// The routes file, included with `AWS::Include`.
    #[schemars(required)]
    routes: Option<RoutesFile>,
    /// The buckets that get notifications. They must exist. Default: all buckets of the routes.
    bucket_names: Option<Vec<String>>,
    /// The ARN of the queue to send events to. The queue's policy must let the buckets send to it.
    queue_arn: Option<String>,
    /// Sends events to EventBridge instead of a queue. EventBridge stays switched on when the resource is
    /// deleted, because others may rely on it.
    event_bridge: Option<bool>,
}

/// The valid properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The buckets by name, each with the filters of its routes.
    pub buckets: BTreeMap<String, Filters>,
    /// Where the buckets send their events.
    pub destination: Destination,
}

impl Spec {
    /// Reads and checks the properties.
    ///
    /// # Errors
    /// Returns all problems together, each with the path of its property before it.
    pub fn read(properties: &Value) -> Result<Self, Vec<String>> {
        let properties::Read { written, root, mut problems } =
            properties::read::<Written>(properties, &LISTS);
        let spec = written.and_then(|written| resolve(&written, At::new(&root, &mut problems)));
        problems.retain(Problem::is_error);
        problems.sort_by_key(|problem| problem.place.bytes.start);
        match spec.filter(|_| problems.is_empty()) {
            Some(spec) => Ok(spec),
            None => Err(problems.iter().map(|p| properties::describe(&root, p)).collect()),
        }
    }

    /// Returns the buckets that properties name, even if the properties are otherwise invalid or of another
    /// version: rules that were put into those buckets must still be found and removed.
    pub fn buckets_of(properties: &Value) -> BTreeSet<String> {
        let routes = properties["Routes"]["routes"].as_array();
        let of_routes = routes.into_iter().flatten().map(|route| &route["bucket"]);
        let names: Vec<&Value> = match properties["BucketNames"].as_array() {
            Some(names) => names.iter().collect(),
            None => of_routes.collect(),
        };
        let names = names.into_iter().filter_map(Value::as_str).filter(|name| is_bucket(name));
        names.map(str::to_owned).collect()
    }

    /// Returns what each bucket should have. `owner` becomes part of the IDs of its rules.
    pub fn all_desired(&self, owner: &str) -> BTreeMap<String, Desired> {
        let desired = |filters: &Filters| Desired {
            owner: owner.to_owned(),
            destination: self.destination.clone(),
            filters: filters.filters.clone(),
        };
        self.buckets.iter().map(|(bucket, filters)| (bucket.clone(), desired(filters))).collect()
    }

    /// Describes, in a sentence each, what S3 sends events for although no route takes it.
    pub fn notes(&self) -> Vec<String> {
        let of_bucket = |(bucket, filters): (&String, &Filters)| {
            let note = |widening| format!("bucket `{bucket}`: {widening}");
            filters.widenings.iter().map(note).collect::<Vec<_>>()
        };
        self.buckets.iter().flat_map(of_bucket).collect()
    }
}

fn resolve(written: &Written, mut at: At<'_>) -> Option<Spec> {
    if written.version.is_some_and(|version| version != 1) {
        at.key("Version").error("this version is unknown", "Landfall supports version 1");
    }
    repair::check(written.repair.as_deref(), &mut at);
    let destination = match (written.queue_arn.as_deref(), written.event_bridge.unwrap_or(false)) {
        (None | Some(""), true) => Some(Destination::EventBridge),
        (Some(arn), false) if QueueArn::parse(arn).is_some() => {
            Some(Destination::Queue(arn.to_owned()))
        }
        (Some(arn), false) if !arn.is_empty() => {
            at.key("QueueArn").error(
                "this is not the ARN of a queue",
                "it looks like arn:aws:sqs:eu-west-1:111111111111:landfall-arrivals",
            );
            None
        }
        (Some(_), true) => {
            at.key("EventBridge").error("there is also a `QueueArn`", "give only one of the two");
            None
        }
        _ => {
            at.missing("QueueArn");
            None
        }
    };
    let Some(routes) = &written.routes else {
        at.missing("Routes");
        return None;
    };
    let routes = resolve::resolve(routes, at.key("Routes"));
    let all: BTreeSet<&str> = routes.routes.iter().map(|route| route.bucket.as_str()).collect();
    for (index, name) in written.bucket_names.iter().flatten().enumerate() {
        if !all.contains(name.as_str()) {
            at.key("BucketNames").index(index).error(
                format!("no route uses bucket `{}`", name.escape_debug()),
                "name only buckets that the routes use",
            );
        }
    }
    let is_selected = |bucket: &str| {
        written.bucket_names.as_ref().is_none_or(|names| names.iter().any(|n| n == bucket))
    };
    let mut buckets = buckets(&routes);
    buckets.retain(|bucket, _| is_selected(bucket));
    Some(Spec { buckets, destination: destination? })
}

/// Returns the buckets of the routes by name, each with the filters of its routes.
pub fn buckets(routes: &Routes) -> BTreeMap<String, Filters> {
    let names: BTreeSet<&str> = routes.routes.iter().map(|route| route.bucket.as_str()).collect();
    let filters = |bucket: &str| {
        let keys = routes.routes.iter().filter(|route| route.bucket == bucket);
        // A marker can close a batch only if S3 sends its event.
        Filters::of(keys.flat_map(|route| {
            let name = route.name.as_str();
            [Some(&route.key), route.marker.as_ref()].into_iter().flatten().map(move |k| (name, k))
        }))
    };
    names.into_iter().map(|bucket| (bucket.to_owned(), filters(bucket))).collect()
}

/// Returns the JSON Schema of the properties.
pub fn json_schema() -> String {
    // A `Schema` is a JSON value, so printing it can't fail.
    format!("{:#}\n", schemars::schema_for!(Written).to_value())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_buckets_of_properties_are_told_whatever_else_is_wrong_with_them() {
        let buckets =
            |properties: Value| Spec::buckets_of(&properties).into_iter().collect::<Vec<_>>();
        let mut old = properties();
        old["Version"] = json!("9");
        old["Routes"]["version"] = json!("9");
        old["Routes"]["routes"][0]["bucket"] = json!("acme-first");
        old["Routes"]["routes"][0]["fifo"] = json!([["x"]]);
        old["QueueArn"] = Value::Null;
        assert!(buckets(old.clone()).contains(&"acme-first".to_owned()));
        old["BucketNames"] = json!(["acme-only", 7, "no bucket", "acme-only"]);
        assert_eq!(buckets(old), ["acme-only"]);
        for nothing in [json!(null), json!([]), json!({ "Routes": "x", "BucketNames": "x" })] {
            assert_eq!(buckets(nothing), Vec::<String>::new());
        }
    }

    use expect_test::expect;
    use serde_json::json;

    use super::*;

    fn properties() -> Value {
        let route = |name: &str, bucket: &str, key: &str| {
            json!({ "name": name, "bucket": bucket, "key": key,
                "start": { "target": "lake", "job": "j" } })
        };
        json!({
            "ServiceToken": "t",
            "QueueArn": "arn:aws:sqs:eu-west-1:111111111111:landfall-arrivals",
            "Routes": {
                "version": "1",
                "targets": { "lake": { "account": "222222222222", "region": "eu-west-1",
                    "starter_role": "s", "external_id": "${X}" } },
                "routes": [
                    route("orders", "acme-landing", "orders/{file}.csv"),
                    route("days", "acme-landing", "days/dt={dt}/{file}.csv"),
                    route("raw", "acme-raw", "{file}"),
                ],
            },
        })
    }

    #[test]
    fn the_rules_of_each_bucket_follow_from_its_routes() {
        let spec = Spec::read(&properties()).expect("valid properties");
        let rules = spec.buckets.iter().flat_map(|(bucket, filters)| {
            filters.filters.iter().map(move |filter| format!("{bucket}: {filter}\n"))
        });
        let text = rules.collect::<String>() + &spec.notes().join("\n");
        expect![[r#"
            acme-landing: prefix `days/dt`, suffix `.csv`
            acme-landing: prefix `orders/`, suffix `.csv`
            acme-raw: all keys
            bucket `acme-landing`: route `days`: S3 sends events for all keys that begin with `days/dt`, not only with `days/dt=`, which has characters that aren't safe in a filter"#]].assert_eq(&text);
    }

    #[test]
    fn all_problems_of_properties_are_told_at_once() {
        let mut properties = properties();
        properties["EventBridge"] = json!("true");
        properties["BucketNames"] = json!(["acme-other", "acme-raw"]);
        properties["Version"] = json!("2");
        properties["Queue"] = json!("x");
        properties["Routes"]["routes"][0]["bucket"] = json!("Acme");
        let problems = Spec::read(&properties).expect_err("problems");
        expect![[r#"
            BucketNames[0]: no route uses bucket `acme-other` (name only buckets that the routes use)
            EventBridge: there is also a `QueueArn` (give only one of the two)
            the properties: unknown field `Queue` (did you mean `QueueArn`?)
            Routes.routes[0].bucket: `Acme` is not a valid bucket name (a name has 3 to 63 lower-case letters, digits, `-` and `.`)
            Version: this version is unknown (Landfall supports version 1)"#]].assert_eq(&problems.join("\n"));
    }
}
