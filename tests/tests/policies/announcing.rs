//! What trigger and monitor may do on event buses, as `infra/data-account.yaml` has their policies: announce batches if
//! routes do, on the account's default bus and in Landfall's name, and nothing else.

use std::sync::OnceLock;

use landfall_tests::judge::Request;
use landfall_tests::{ANALYTICS, DATA, REGION};
use serde_json::{Value, json};

use super::{policies_of, statement, wrong};

/// The sets of parameters: the default, and one for routes that announce.
const SETS: usize = 2;
const NEVER: [bool; SETS] = [false; SETS];
const ANNOUNCING: [bool; SETS] = [false, true];

const ROLES: [&str; 2] = ["TriggerRole", "MonitorRole"];

fn arn(service: &str, resource: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{DATA}:{resource}")
}

/// Returns the role's policy for each set.
fn documents(role: &str) -> Vec<Value> {
    static POLICIES: OnceLock<Vec<Value>> = OnceLock::new();
    let policies = POLICIES.get_or_init(|| {
        let set = |announces: &str| {
            json!({
                "AnalyticsAccountId": ANALYTICS,
                "AnnouncesBatches": announces,
                "LandingBucketNames": "acme-landing",
                "ArrivalsQueue.Arn": arn("sqs", "landfall-arrivals"),
                "BackfillQueue.Arn": arn("sqs", "landfall-backfill"),
                "RunsQueue.Arn": arn("sqs", "landfall-runs"),
                "WorkQueue.Arn": arn("sqs", "landfall-work"),
                "Ledger.Arn": arn("dynamodb", "table/landfall-ledger"),
                "Claims.Arn": arn("dynamodb", "table/landfall-claims"),
                "Manifests.Arn": "arn:aws:s3:::manifests",
            })
        };
        let sets = json!([set("false"), set("true")]);
        policies_of("data-account.yaml", &sets).expect("the template is resolved")
    });
    policies.iter().map(|policy| policy[role].clone()).collect()
}

fn rows() -> Vec<(&'static str, [bool; SETS], Request)> {
    let may = |action: &str, bus: &str| {
        Request::by_role(&format!("arn:aws:iam::{DATA}:role/landfall-trigger"), action, bus)
    };
    let own = arn("events", "event-bus/default");
    let put = |bus: &str| may("events:PutEvents", bus).with("events:source", vec!["landfall"]);
    let other_account = own.replace(DATA, ANALYTICS);
    vec![
        ("an event about a batch", ANNOUNCING, put(&own)),
        ("an event on another bus", NEVER, put(&arn("events", "event-bus/other"))),
        ("an event on another account's bus", NEVER, put(&other_account)),
        (
            "an event in another's name",
            NEVER,
            may("events:PutEvents", &own).with("events:source", vec!["com.example"]),
        ),
        ("an event that says nothing of its source", NEVER, may("events:PutEvents", &own)),
        ("a rule", NEVER, may("events:PutRule", &arn("events", "rule/landfall"))),
        ("a rule's targets", NEVER, may("events:PutTargets", &arn("events", "rule/landfall"))),
    ]
}

#[test]
fn trigger_and_monitor_may_announce_batches_if_routes_do_on_the_one_bus_in_landfalls_name() {
    for role in ROLES {
        let found =
            wrong(&rows(), &[0, 1], &documents(role), |request, it| request.identity(it.clone()));
        assert!(found.is_empty(), "{role}: {}", found.join("\n"));
    }
}

#[test]
fn the_rows_find_a_function_that_may_announce_too_much() {
    type Widening = (&'static str, fn(&mut Value));
    let widenings: [Widening; 3] = [
        ("any bus", |it| statement(it, "AnnounceBatches")["Resource"] = json!("*")),
        ("any source", |it| {
            statement(it, "AnnounceBatches")
                .as_object_mut()
                .expect("an object")
                .remove("Condition");
        }),
        ("all of EventBridge", |it| {
            *statement(it, "AnnounceBatches") =
                json!({ "Effect": "Allow", "Action": "events:*", "Resource": "*" });
        }),
    ];
    for (what, widen) in widenings {
        let mut documents = documents("TriggerRole");
        widen(&mut documents[1]);
        let found = wrong(&rows(), &[1], &documents, |request, it| request.identity(it.clone()));
        assert!(!found.is_empty(), "{what}");
    }
}
