use expect_test::expect;
use landfall_core::batch::{Closing, Member};

use landfall_stand_ins::Act;
use tempfile::TempDir;

use super::desk::{Desk, member};

#[tokio::test]
async fn an_object_is_found_with_every_version_and_what_became_of_it() {
    let desk = Desk::new();
    let of =
        |version: &str| Member { version_id: Some(version.to_owned()), ..member("a\u{1b}.csv") };
    desk.sealed(1, "orders", 0, &[of("v1"), member("b.csv")]).await;
    desk.sealed(2, "audit", 30, &[of("v1")]).await;
    desk.sealed(3, "orders", 60, &[of("v2")]).await;
    let find = ["find", "s3://acme-landing/a\u{1b}.csv"];
    expect![[r#"
        s3://acme-landing/a\u{1b}.csv

        route `orders` took it 2026-01-31T12:01:00Z (long ago), version v2, 512 bytes
          into batch 00000000000000000000000000000003, which is sealed
          It is due. The monitor starts a run at its next tick.
          The monitor should have taken it up long ago: is the monitor running? Check its alarms and its log.

        route `audit` took it 2026-01-31T12:00:30Z (long ago), version v1, 512 bytes
          into batch 00000000000000000000000000000002, which is sealed
          It is due. The monitor starts a run at its next tick.
          The monitor should have taken it up long ago: is the monitor running? Check its alarms and its log.

        route `orders` took it 2026-01-31T12:00:00Z (long ago), version v1, 512 bytes
          into batch 00000000000000000000000000000001, which is sealed
          It is due. The monitor starts a run at its next tick.
          The monitor should have taken it up long ago: is the monitor running? Check its alarms and its log.
        --- stderr
        --- status 0
    "#]].assert_eq(&desk.landfall(&find).all());
    expect![[r#"
        s3://acme-landing/a\u{1b}.csv

        route `orders` took it 2026-01-31T12:01:00Z (long ago), version v2, 512 bytes
          into batch 00000000000000000000000000000003, which is sealed
          It is due. The monitor starts a run at its next tick.
          The monitor should have taken it up long ago: is the monitor running? Check its alarms and its log.

        … and 2 older arrivals: to see them, raise --limit
        --- stderr
        --- status 0
    "#]].assert_eq(&desk.landfall(&[&find[..], &["--limit", "1"]].concat()).all());
    expect![[r#"
        {
          "uri": "s3://acme-landing/a\u001b.csv",
          "arrivals": [
            {
              "route": "orders",
              "recorded_at": "2026-01-31T12:01:00Z",
              "version_id": "v2",
              "size": 512,
              "role": "member",
              "batch": "00000000000000000000000000000003",
              "state": "sealed",
              "run_id": null,
              "parked_for": null,
              "run_error": null
            }
          ],
          "more": 2
        }
        --- stderr
        --- status 0
    "#]]
    .assert_eq(&desk.landfall(&[&find[..], &["--limit", "1", "--json"]].concat()).all());
}

#[tokio::test]
async fn a_replaced_version_and_a_marker_are_no_inputs() {
    let desk = Desk::new();
    let at = |sequencer: &str| Member {
        version_id: None,
        sequencer: Some(sequencer.to_owned()),
        ..member("a.csv")
    };
    let closing = Closing { window_secs: Some(300), ..Closing::default() };
    let members = [at("01"), at("02")];
    desk.recorded(1, "orders", 0, &members, &[member("_SUCCESS")], closing).await;
    expect![[r#"
        s3://acme-landing/a.csv

        route `orders` took it 2026-01-31T12:00:00Z (long ago), 512 bytes
          into batch 00000000000000000000000000000001, which is open
          It took objects until 2026-01-31T12:00:00Z (long ago). The monitor closes it at its next tick.
          The monitor should have taken it up long ago: is the monitor running? Check its alarms and its log.

        route `orders` took it 2026-01-31T12:00:00Z (long ago), 512 bytes
          into batch 00000000000000000000000000000001, which is open
          A newer version arrived in the same batch: job runs read that one in its place.
          It took objects until 2026-01-31T12:00:00Z (long ago). The monitor closes it at its next tick.
          The monitor should have taken it up long ago: is the monitor running? Check its alarms and its log.
        --- stderr
        --- status 0
    "#]].assert_eq(&desk.landfall(&["find", "s3://acme-landing/a.csv"]).all());
    expect![[r#"
        s3://acme-landing/_SUCCESS

        route `orders` took it 2026-01-31T12:00:00Z (long ago)
          into batch 00000000000000000000000000000001, which is open
          It is the group's marker: it closes the batch, and no job run reads it.
          It took objects until 2026-01-31T12:00:00Z (long ago). The monitor closes it at its next tick.
          The monitor should have taken it up long ago: is the monitor running? Check its alarms and its log.
        --- stderr
        --- status 0
    "#]].assert_eq(&desk.landfall(&["find", "s3://acme-landing/_SUCCESS"]).all());
}

#[tokio::test]
async fn of_an_object_that_never_arrived_s3_is_asked() {
    let desk = Desk::new();
    desk.sealed(1, "orders", 0, &[member("a.csv")]).await;
    let find = ["find", "s3://acme-landing/orders/a.csv"];
    expect![[r#"
        --- stderr
        the ledger (table `landfall-ledger`, region `eu-west-1`) has no arrival of s3://acme-landing/orders/a.csv
        S3 has no such object now, or no such bucket: check the spelling (nothing in the URI is decoded), and whether the object was deleted
        which route takes it is unknown: the routes that stack `landfall` was deployed with can't be read: the look failed: GetTemplate: ValidationError: Stack with id landfall does not exist. Or give the routes file with --routes
        to find out which route takes it and where on its way it is lost, run: landfall doctor --object s3://acme-landing/orders/a.csv
        --- status 3
    "#]].assert_eq(&desk.landfall(&find).all());
    deployed(&desk).await;
    expect![[r#"
        --- stderr
        the ledger (table `landfall-ledger`, region `eu-west-1`) has no arrival of s3://acme-landing/orders/a.csv
        S3 has no such object now, or no such bucket: check the spelling (nothing in the URI is decoded), and whether the object was deleted
        the routes that stack `landfall` was deployed with say for this bucket:
          orders: matches, file = `a`, but only if it has at least 1 byte
        to find out where on its way it is lost, run: landfall doctor --object s3://acme-landing/orders/a.csv
        --- status 3
    "#]].assert_eq(&desk.landfall(&find).all());
    expect![[r#"
        {
          "uri": "s3://acme-landing/orders/a.csv",
          "arrivals": [],
          "more": 0,
          "object": {
            "exists": false,
            "size": null,
            "last_modified": null,
            "version_id": null,
            "etag": null,
            "is_directory_marker": null,
            "routes_from": "stack",
            "verdicts": [
              {
                "route": "orders",
                "verdict": "matches",
                "captures": {
                  "file": "a"
                },
                "only_if": {
                  "min_bytes": 1,
                  "max_bytes": null
                }
              }
            ]
          }
        }
        --- stderr
        the ledger (table `landfall-ledger`, region `eu-west-1`) has no arrival of s3://acme-landing/orders/a.csv
        --- status 3
    "#]].assert_eq(&desk.landfall(&[&find[..], &["--json"]].concat()).all());
    desk.stand_in.answer("GetTemplate", |_, _| Act::Fail { status: 400, code: "AccessDenied" });
    desk.put("acme-landing", "orders/a.csv", b"");
    let folder = TempDir::new().expect("a temporary folder");
    let routes = folder.path().join("routes.yaml");
    std::fs::write(&routes, ROUTES).expect("a file");
    let routes = routes.to_str().expect("UTF-8");
    let with_routes = [&find[..], &["--routes", routes]].concat();
    let all = |args: &[&str]| desk.landfall(args).all().replace(routes, "routes.yaml");
    expect![[r#"
        --- stderr
        the ledger (table `landfall-ledger`, region `eu-west-1`) has no arrival of s3://acme-landing/orders/a.csv
        S3 has the object: 0 bytes, last modified 2026-01-31T12:00:00Z (long ago)
        the ledger forgets an arrival some time after its batch is done (30 days, unless you configured another time): a job may have read the object long ago
        the routes in routes.yaml say for this bucket:
          orders: too small: 0 bytes, `where.min_bytes` is 1
        no route takes it: with these routes, nothing starts
        --- status 3
    "#]].assert_eq(&all(&with_routes));
    expect![[r#"
        {
          "uri": "s3://acme-landing/orders/a.csv",
          "arrivals": [],
          "more": 0,
          "object": {
            "exists": true,
            "size": 0,
            "last_modified": "2026-01-31T12:00:00Z",
            "version_id": null,
            "etag": "0000000000000000bd60acb658c79e45",
            "is_directory_marker": false,
            "routes_from": "file",
            "verdicts": [
              {
                "route": "orders",
                "verdict": "too_small",
                "bytes": 0,
                "min_bytes": 1
              }
            ]
          }
        }
        --- stderr
        the ledger (table `landfall-ledger`, region `eu-west-1`) has no arrival of s3://acme-landing/orders/a.csv
        --- status 3
    "#]].assert_eq(&all(&[&with_routes[..], &["--json"]].concat()));
    desk.put("acme-landing", "orders/a.csv", b"1,2\n");
    expect![[r#"
        --- stderr
        the ledger (table `landfall-ledger`, region `eu-west-1`) has no arrival of s3://acme-landing/orders/a.csv
        S3 has the object: 4 bytes, last modified 2026-01-31T12:00:00Z (long ago)
        the ledger forgets an arrival some time after its batch is done (30 days, unless you configured another time): a job may have read the object long ago
        the routes in routes.yaml say for this bucket:
          orders: matches, file = `a`
        to find out where on its way it is lost, run: landfall doctor --object s3://acme-landing/orders/a.csv --routes routes.yaml
        --- status 3
    "#]].assert_eq(&all(&with_routes));
    desk.stand_in.answer("HeadObject", |_, _| Act::Fail { status: 403, code: "AccessDenied" });
    expect![[r#"
        --- stderr
        the ledger (table `landfall-ledger`, region `eu-west-1`) has no arrival of s3://acme-landing/orders/a.csv
        S3 doesn't say whether the object exists (403): your credentials need s3:GetObject for it, and s3:ListBucket for its bucket
        the routes in routes.yaml say for this bucket:
          orders: matches, file = `a`, but only if it has at least 1 byte
        to find out where on its way it is lost, run: landfall doctor --object s3://acme-landing/orders/a.csv --routes routes.yaml
        --- status 3
    "#]].assert_eq(&all(&with_routes));
    expect![[r#"
        {
          "uri": "s3://acme-landing/orders/a.csv",
          "arrivals": [],
          "more": 0,
          "object": {
            "exists": null,
            "size": null,
            "last_modified": null,
            "version_id": null,
            "etag": null,
            "is_directory_marker": null,
            "routes_from": null,
            "verdicts": null
          }
        }
        --- stderr
        the ledger (table `landfall-ledger`, region `eu-west-1`) has no arrival of s3://acme-landing/orders/a.csv
        --- status 3
    "#]].assert_eq(&all(&[&find[..], &["--json"]].concat()));
}

/// Has CloudFormation show a stack that was deployed with [`ROUTES`].
pub(super) async fn deployed(desk: &Desk) {
    desk.put("acme-artifacts", "landfall/0f/routes.yaml", ROUTES.as_bytes());
    let template = "Resources: { A: { Properties: { Routes: { Fn::Transform: { Name: AWS::Include, Parameters: \
        { Location: s3://acme-artifacts/landfall/0f/routes.yaml } } } } } }";
    let body = format!(
        "<GetTemplateResponse><GetTemplateResult><TemplateBody>{template}</TemplateBody></GetTemplateResult>\
         </GetTemplateResponse>"
    );
    desk.stand_in
        .answer("GetTemplate", move |_, _| Act::Answer { status: 200, body: body.clone() });
}

#[tokio::test]
async fn an_object_that_has_arrived_is_not_looked_at_in_s3() {
    let desk = Desk::new();
    desk.sealed(1, "orders", 0, &[member("a.csv")]).await;
    assert_eq!(desk.landfall(&["find", "s3://acme-landing/a.csv"]).status, 0);
    assert!(desk.stand_in.calls().iter().all(|call| call.service != "s3"));
}

pub(super) const ROUTES: &str = "
version: 1
targets:
  analytics:
    account: '222222222222'
    region: eu-west-1
    starter_role: landfall-starter
    external_id: ${EXTERNAL_ID}
routes:
  - name: orders
    bucket: acme-landing
    key: 'orders/{file}.csv'
    where: { min_bytes: 1 }
    start: { target: analytics, job: orders }
";
