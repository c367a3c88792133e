//! `landfall doctor --object`, against a ledger in memory. Its way through a whole deployment is shown end to end.

use expect_test::expect;
use landfall_core::batch::Member;
use landfall_stand_ins::Act;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::desk::{Desk, member};
use super::find::{ROUTES, deployed};
use crate::Shown;

const KEY: &str = "orders/a.csv";

fn doctor(desk: &Desk, options: &[&str]) -> Shown {
    let object = ["doctor", "--object", "s3://acme-landing/orders/a.csv"];
    desk.landfall(&[&object[..], options].concat())
}

/// Returns the status, the exit status and the code of what is wrong with each link, by the link's code.
fn verdicts(shown: &Shown) -> (i32, Value, Value) {
    let document: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    let checks = document["checks"].as_array().expect("checks").iter();
    let about = |check: &Value| json!([check["link"], check["status"], check["problem"]["code"]]);
    let of_object = ["LF039", "LF040", "LF041"];
    let checks: Value = checks
        .filter(|check| of_object.iter().any(|link| check["link"] == *link))
        .map(about)
        .collect();
    (shown.status, document["first_broken"]["link"].clone(), checks)
}

#[tokio::test]
async fn an_object_that_the_ledger_has_is_followed_to_its_batch_and_no_further() {
    let desk = Desk::new();
    deployed(&desk).await;
    desk.put("acme-landing", KEY, b"1,2\n");
    desk.sealed(1, "orders", 0, &[Member { version_id: None, ..member(KEY) }]).await;
    expect![[r#"
        nothing is broken

        all checks, in the direction of the data:
        STATUS  CODE   LINK                                RESOURCE                        SEEN
        ok      LF039  the object                          s3://acme-landing/orders/a.csv  it is there: 4 bytes, ETag 00000000000000007df35f23330f7b8c, last modified 2026-01-31T12:00:00Z
        ok      LF040  the route that takes the object     s3://acme-landing/orders/a.csv  the routes that stack `landfall` was deployed with: taken by `orders`
        ok      LF041  the object's arrival in the ledger  s3://acme-landing/orders/a.csv  route `orders` took it at 2026-01-31T12:00:00Z into batch 00000000000000000000000000000001

        to see what became of it, run: landfall find s3://acme-landing/orders/a.csv
        --- stderr
        looking at the data account (111111111111)
        --- status 0
    "#]].assert_eq(&doctor(&desk, &[]).all());
    expect![[r#"
        {
          "version": 1,
          "first_broken": null,
          "object": {
            "uri": "s3://acme-landing/orders/a.csv",
            "exists": true,
            "size": 4,
            "last_modified": "2026-01-31T12:00:00Z",
            "version_id": null,
            "etag": "00000000000000007df35f23330f7b8c",
            "is_directory_marker": false,
            "routes_from": "stack",
            "verdicts": [
              {
                "route": "orders",
                "verdict": "matches",
                "captures": {
                  "file": "a"
                }
              }
            ],
            "arrivals": [
              {
                "route": "orders",
                "batch": "00000000000000000000000000000001",
                "recorded_at": "2026-01-31T12:00:00Z"
              }
            ]
          },
          "checks": [
            {
              "link": "LF039",
              "name": "the object",
              "status": "ok",
              "resource": "s3://acme-landing/orders/a.csv",
              "account": "111111111111",
              "evidence": "it is there: 4 bytes, ETag 00000000000000007df35f23330f7b8c, last modified 2026-01-31T12:00:00Z",
              "problem": null
            },
            {
              "link": "LF040",
              "name": "the route that takes the object",
              "status": "ok",
              "resource": "s3://acme-landing/orders/a.csv",
              "account": "111111111111",
              "evidence": "the routes that stack `landfall` was deployed with: taken by `orders`",
              "problem": null
            },
            {
              "link": "LF041",
              "name": "the object's arrival in the ledger",
              "status": "ok",
              "resource": "s3://acme-landing/orders/a.csv",
              "account": "111111111111",
              "evidence": "route `orders` took it at 2026-01-31T12:00:00Z into batch 00000000000000000000000000000001",
              "problem": null
            }
          ],
          "requests": []
        }
        --- stderr
        looking at the data account (111111111111)
        --- status 0
    "#]].assert_eq(&doctor(&desk, &["--json"]).all());
    let looks_at_links =
        desk.stand_in.calls().iter().any(|call| call.operation == "GetFunctionConfiguration");
    assert!(!looks_at_links);
}

#[tokio::test]
async fn an_object_that_the_ledger_does_not_have_is_looked_for_on_its_way() {
    let desk = Desk::new();
    deployed(&desk).await;
    let object = || verdicts(&doctor(&desk, &["--json"]));
    let missing = json!([
        ["LF039", "broken", "object_missing"],
        ["LF040", "ok", null],
        ["LF041", "skipped", null]
    ]);
    assert_eq!(object(), (1, json!("LF039"), missing));

    desk.put("acme-landing", KEY, b"");
    let not_taken = json!([
        ["LF039", "ok", null],
        ["LF040", "broken", "object_not_taken"],
        ["LF041", "skipped", null]
    ]);
    assert_eq!(object(), (1, json!("LF040"), not_taken));

    desk.put("acme-landing", KEY, b"1,2\n");
    let shown = doctor(&desk, &[]);
    assert_eq!(shown.status, 1, "{}", shown.all());
    let lines: Vec<&str> = shown.stdout.lines().collect();
    expect![[r#"
        the first broken link:
        broken LF001 the data account's stack: landfall in account 111111111111"#]]
    .assert_eq(&lines[..2].join("\n"));
    // It looked at the links on the way, and at nothing behind the ledger.
    let links = ["LF003", "LF008", "LF015", "LF016"];
    assert!(links.iter().all(|link| shown.stdout.contains(link)), "{}", shown.stdout);
    assert!(!shown.stdout.contains("LF022"), "{}", shown.stdout);
}

#[tokio::test]
async fn what_nobody_could_see_of_an_object_is_unknown_and_named() {
    let desk = Desk::new();
    desk.stand_in.answer("HeadObject", |_, _| Act::Fail { status: 403, code: "AccessDenied" });
    desk.stand_in.answer("GetTemplate", |_, _| Act::Fail { status: 400, code: "AccessDenied" });
    let shown = doctor(&desk, &["--json"]);
    let unknown = json!([
        ["LF039", "unknown", "could_not_look"],
        ["LF040", "unknown", "could_not_look"],
        ["LF041", "unknown", "could_not_look"]
    ]);
    assert_eq!(verdicts(&shown), (2, Value::Null, unknown));
    for permission in ["s3:GetObject", "s3:ListBucket", "cloudformation:GetTemplate"] {
        assert!(shown.stdout.contains(permission), "{}", shown.stdout);
    }
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("routes.yaml");
    std::fs::write(&file, ROUTES).expect("a file");
    let file = file.to_str().expect("UTF-8");
    desk.stand_in.answer("Query", |_, _| Act::Fail { status: 400, code: "AccessDeniedException" });
    let shown = doctor(&desk, &["--json", "--routes", file]);
    let document: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    assert_eq!(document["object"]["routes_from"], "file");
    assert_eq!(document["object"]["exists"], Value::Null);
    assert!(shown.stdout.contains("`dynamodb:Query`"), "{}", shown.stdout);
}

#[tokio::test]
async fn an_object_is_not_looked_for_with_credentials_of_the_analytics_account() {
    let desk = Desk::new();
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("routes.yaml");
    std::fs::write(&file, ROUTES.replace("222222222222", "111111111111")).expect("a file");
    let shown = doctor(&desk, &["--routes", file.to_str().expect("UTF-8")]);
    assert_eq!((shown.status, shown.stdout.as_str()), (2, ""), "{}", shown.all());
    assert!(shown.stderr.contains("which is the analytics account"), "{}", shown.stderr);
}
