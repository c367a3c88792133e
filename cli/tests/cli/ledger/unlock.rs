//! `landfall unlock`, against the provisioner's table in memory.

use expect_test::expect;
use serde_json::{Value, json};

use super::desk::Desk;

const STACK: &str = "arn:aws:cloudformation:eu-west-1:111111111111:stack/landfall/1";
const TABLE: &str = "landfall-provisioner";

/// As a request left it that was issued in the last second of the calendar.
fn memory() -> Value {
    json!({
        "version": 1, "requests": ["made", "forged"], "gone": ["Role-0"],
        "latest": { "request_id": "forged", "issued": 99_991_231_235_959_u64,
            "answer": "{\"data\":{\"Arn\":\"hushhush\"}}" },
        "standing": [{ "physical_id": "Role-1", "created": true, "heard": true }],
    })
}

/// A desk with such an item, held until then.
fn desk(until: Option<u64>) -> Desk {
    let desk = Desk::new();
    let id = format!("{STACK}/Role");
    let mut item = json!({ "id": { "S": id }, "memory": { "S": memory().to_string() } });
    if let Some(until) = until {
        item["holder"] = json!({ "S": "somebody" });
        item["until"] = json!({ "N": until.to_string() });
    }
    assert!(desk.stand_in.put_item(TABLE, &item));
    desk
}

fn item(desk: &Desk) -> Value {
    desk.stand_in.item(TABLE, &[&format!("{STACK}/Role")]).expect("an item")
}

const UNLOCK: [&str; 7] =
    ["unlock", "--stack-id", STACK, "--logical-id", "Role", "--reason", "ticket 4711"];

#[test]
fn a_resource_is_unlocked_with_a_record_of_who_did_it_when_and_why() {
    let desk = desk(Some(1));
    let shown = desk.landfall(&[&UNLOCK[..], &["--yes"]].concat());
    expect![[r#"
        unlocked `Role`: CloudFormation's next request counts, whenever it was issued
        --- stderr
        Role of arn:aws:cloudformation:eu-west-1:111111111111:stack/landfall/1
          last request  forged, issued 9999-12-31T23:59:59Z (in 2912106 days), answered
          stands        Role-1
          gone for good 1 physical ID
          lock          free
        --- status 0
    "#]]
    .assert_eq(&in_days(&shown.all()));
    let item = item(&desk);
    let parsed = |name: &str| -> Value {
        serde_json::from_str(item[name]["S"].as_str().expect("a text")).expect("JSON")
    };
    let mut expected = memory();
    expected["latest"]["issued"] = Value::Null;
    assert_eq!(parsed("memory"), expected);
    let record = parsed("unlocked");
    assert_eq!(record["by"], "arn:aws:sts::111111111111:assumed-role/admin/ada");
    assert_eq!(record["reason"], "ticket 4711");
    assert!(record["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{record}");
    assert_eq!((item.get("holder"), item.get("until")), (None, None));
}

/// The distance to the end of the calendar shrinks.
fn in_days(text: &str) -> String {
    let (before, after) = text.split_once("(in ").expect("a distance");
    let (_, after) = after.split_once(" days").expect("in days");
    format!("{before}(in 2912106 days{after}")
}

#[test]
fn a_resource_that_a_request_is_at_work_on_is_not_unlocked() {
    let desk = desk(Some(99_999_999_999_999));
    let before = item(&desk);
    let shown = desk.landfall(&[&UNLOCK[..], &["--yes"]].concat());
    assert_eq!(shown.status, 1, "{}", shown.all());
    assert!(shown.stderr.contains("a request is at work on the resource"), "{}", shown.all());
    assert_eq!(item(&desk), before);
}

#[test]
fn what_changes_while_it_is_asked_about_stays_as_it_is() {
    let desk = desk(None);
    // Somebody else's write comes before ours.
    desk.stand_in.answer("UpdateItem", |_, _| landfall_stand_ins::Act::Fail {
        status: 400,
        code: "ConditionalCheckFailedException",
    });
    let shown = desk.landfall(&[&UNLOCK[..], &["--yes"]].concat());
    assert_eq!(shown.status, 1, "{}", shown.all());
    let [call] = &desk.stand_in.calls_of("UpdateItem")[..] else { panic!("more than one write") };
    let condition = call["ConditionExpression"].as_str().expect("a condition");
    assert!(condition.contains("memory = :found"), "{condition}");
}

#[test]
fn somebody_is_asked_before_a_resource_is_unlocked_and_no_answer_is_shown() {
    let desk = desk(None);
    let before = item(&desk);
    let shown = desk.landfall(&UNLOCK);
    assert_eq!(shown.status, 2, "{}", shown.all());
    assert!(shown.stderr.contains("add --yes"), "{}", shown.all());
    let shown = desk.landfall_at_terminal(&UNLOCK, "no\n");
    assert_eq!(shown.status, 1, "{}", shown.all());
    assert!(shown.stderr.contains("unlock this resource? [y/N]"), "{}", shown.all());
    assert!(!shown.all().contains("hushhush"), "{}", shown.all());
    assert_eq!(item(&desk), before);
    assert_eq!(desk.landfall_at_terminal(&UNLOCK, "yes\n").status, 0);
    assert_ne!(item(&desk), before);
}

#[test]
fn what_cannot_be_unlocked_is_told() {
    let desk = desk(None);
    for (field, value, status, message) in [
        (4, "Other", 3, "remembers nothing about `Other`"),
        (
            2,
            "arn:aws:cloudformation:eu-west-1:222222222222:stack/s/1",
            2,
            "for account `111111111111`",
        ),
        (2, "landfall", 2, "a stack's ID looks like"),
        (6, " ", 2, "give a reason"),
    ] {
        let mut args = UNLOCK.to_vec();
        args[field] = value;
        args.push("--yes");
        let shown = desk.landfall(&args);
        assert!(shown.stderr.contains(message), "{}", shown.all());
        assert_eq!(shown.status, status, "{}", shown.all());
    }
    assert_eq!(desk.stand_in.calls_of("UpdateItem").len(), 0);
}
