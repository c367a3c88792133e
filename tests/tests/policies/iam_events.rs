//! What the role may do that forwards IAM's events, as `infra/iam-events.yaml` has its policy: put events on the default bus of
//! the auditor's region, and nothing else.

use landfall_tests::judge::Request;
use landfall_tests::{ANALYTICS, DATA, REGION};
use serde_json::{Value, json};

use super::{policies_of, policy, wrong};

const HOME: &str = "eu-west-1";

fn document() -> Value {
    let policies = policies_of("iam-events.yaml", &json!([{ "HomeRegion": HOME }]));
    policies.expect("the template is resolved")[0]["ForwardRole"].clone()
}

fn rows() -> Vec<(&'static str, [bool; 1], Request)> {
    let role = format!("arn:aws:iam::{DATA}:role/landfall-iam-events");
    let may = |action: &str, resource: &str| Request::by_role(&role, action, resource);
    let bus = |region, account, name| format!("arn:aws:events:{region}:{account}:event-bus/{name}");
    let home = bus(HOME, DATA, "default");
    let put = |bus: &str| may("events:PutEvents", bus);
    // The other account would take it.
    let admitted = put(&bus(HOME, ANALYTICS, "default")).resource_policy(policy(json!({
        "Effect": "Allow", "Action": "events:PutEvents", "Resource": "*",
        "Principal": { "AWS": format!("arn:aws:iam::{DATA}:root") },
    })));
    vec![
        ("an event on the auditor's bus", [true], put(&home)),
        ("an event on another bus", [false], put(&bus(HOME, DATA, "other"))),
        ("an event on another region's bus", [false], put(&bus("eu-west-2", DATA, "default"))),
        ("an event on its own region's bus", [false], put(&bus(REGION, DATA, "default"))),
        ("an event on another account's bus", [false], admitted),
        ("the bus itself", [false], may("events:UpdateEventBus", &home)),
        (
            "a rule",
            [false],
            may("events:PutRule", &format!("arn:aws:events:{HOME}:{DATA}:rule/landfall-changes")),
        ),
    ]
}

fn check(document: Value) -> Vec<String> {
    wrong(&rows(), &[0], &[document], |request, it| request.identity(it.clone()))
}

#[test]
fn what_forwards_iams_events_may_put_them_on_the_auditors_bus_and_do_nothing_else() {
    let found = check(document());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_rows_find_a_role_that_may_forward_to_more() {
    let statement = |key: &str, value: &str| {
        let mut wider = document();
        wider["Statement"][0][key] = json!(value);
        wider
    };
    for wider in [
        statement("Resource", &format!("arn:aws:events:{HOME}:{DATA}:event-bus/*")),
        statement("Resource", &format!("arn:aws:events:*:{DATA}:event-bus/default")),
        statement("Resource", &format!("arn:aws:events:{HOME}:*:event-bus/default")),
        statement("Action", "events:*"),
    ] {
        assert!(!check(wider.clone()).is_empty(), "nothing finds {wider}");
    }
}
