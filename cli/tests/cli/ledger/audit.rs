//! `landfall audit` of what reconciliation found, which the ledger keeps.

use std::io::Write;
use std::time::Duration;

use landfall_aws::clock::now;
use landfall_aws::ledger::Ledger;
use landfall_core::backfill::Counts;
use landfall_core::reconcile::Reconciliation;
use landfall_core::routes::{Reconcile, Route, Routes};
use landfall_stand_ins::{Act, StandIn, Table};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::desk::{CREDENTIALS, Desk, run};
use crate::Shown;

const ROUTES: &str = r#"version: 1
targets:
  analytics: { account: "222222222222", region: eu-west-1, starter_role: landfall-starter }
routes:
  - name: orders
    bucket: acme-landing
    key: "orders/{file}"
    reconcile: { every: 1d, action: report }
    start: { target: analytics, job: orders }
"#;

const DAY: Duration = Duration::from_secs(86_400);

struct World {
    stand_in: StandIn,
    ledger: Ledger,
    route: Route,
}

impl World {
    fn new() -> Self {
        let desk = Desk::with(vec![
            Table::ledger("landfall-ledger"),
            Table::new("landfall-findings", "stack", Some("finding")),
        ]);
        let Desk { stand_in, ledger, .. } = desk;
        let audited = json!({ "at": now(), "checks": 31 }).to_string();
        let item = json!({ "stack": { "S": "landfall" }, "finding": { "S": "audit" }, "body": { "S": audited } });
        assert!(stand_in.put_item("landfall-findings", &item));
        stand_in
            .answer("DescribeStacks", |_, _| Act::Fail { status: 400, code: "ValidationError" });
        let route = Routes::parse(ROUTES).routes.expect("valid").routes[0].clone();
        Self { stand_in, ledger, route }
    }

    fn reconcile(&self) -> &Reconcile {
        self.route.reconcile.as_ref().expect("it is reconciled")
    }

    /// Has a pass begin so many days ago and end with this many missed.
    async fn pass(&self, days_ago: u32, missed: u64) {
        let at = now() - DAY * days_ago;
        let kept = self.ledger.reconciliations().await.expect("a ledger").remove("orders");
        let kept = match kept {
            Some(kept) => kept.expect("it is read"),
            None => Reconciliation::new(&self.route, at - 2 * DAY, None, at),
        };
        let begun = kept.begun(self.reconcile(), None, at).expect("it is due");
        let counts = Counts { found: 9, taken: missed, ..Counts::default() };
        let keys: Vec<String> =
            (0..missed).map(|number| format!("orders/\u{1b}{number}")).collect();
        let ended = begun.after_page(counts, keys.iter().map(String::as_str), None, at);
        let written = self.ledger.write_reconciliation(ended, at).await.expect("a ledger");
        assert!(written.is_some(), "somebody else has written it");
    }

    fn audit(&self, more: &[&str]) -> Shown {
        let mut file = NamedTempFile::new().expect("a temporary file");
        file.write_all(ROUTES.as_bytes()).expect("written routes");
        let path = file.path().to_str().expect("a path in UTF-8");
        let environment =
            [("AWS_ENDPOINT_URL", self.stand_in.endpoint()), CREDENTIALS[0], CREDENTIALS[1]];
        run(&[&["audit", path, "--only", "data"], more].concat(), &environment)
    }

    fn findings(&self, more: &[&str]) -> Vec<Value> {
        let shown = self.audit(&[more, &["--json"]].concat());
        let document: Value = serde_json::from_str(&shown.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", shown.all()));
        document["accounts"][0]["findings"].as_array().expect("findings").clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reconciliation_misses_is_a_finding_until_a_pass_misses_nothing() {
    let world = World::new();
    let shown = world.audit(&[]);
    assert!(shown.status == 0 && shown.stdout.contains(": 0 findings"), "{}", shown.all());
    world.pass(3, 2).await;
    world.pass(2, 1).await;
    let shown = world.audit(&[]);
    assert_eq!(shown.status, 1, "{}", shown.all());
    assert!(
        shown.stdout.contains("high      open   arrivals_missed  s3://acme-landing"),
        "{}",
        shown.all()
    );
    let evidence = r"1 object of the route is in no batch: s3://acme-landing/orders/\u{1b}0";
    assert!(shown.stdout.contains(evidence), "{}", shown.all());
    assert!(shown.stdout.contains("landfall backfill --route orders --dry-run"), "{}", shown.all());
    let found = world.findings(&[]);
    let [open] = &found[..] else { panic!("one finding: {found:?}") };
    let time = |finding: &Value, name: &str| finding[name].as_str().map(|it| it[..10].to_owned());
    let day = |days_ago: u32| Some((now() - DAY * days_ago).to_string()[..10].to_owned());
    assert_eq!(
        (open["state"].as_str(), open["id"].as_str()),
        (Some("open"), Some("reconciliation/arrivals_missed/orders"))
    );
    assert_eq!((time(open, "first_seen"), time(open, "last_seen")), (day(3), day(2)));
    assert_eq!(world.audit(&["--fail-on", "critical"]).status, 0);

    world.pass(1, 0).await;
    let shown = world.audit(&[]);
    assert!(shown.status == 0 && shown.stdout.contains(": 0 findings"), "{}", shown.all());
    let found = world.findings(&["--all"]);
    assert_eq!(found[0]["state"], "resolved");
    assert_eq!((time(&found[0], "last_seen"), time(&found[0], "resolved_at")), (day(2), day(1)));
}

#[test]
fn a_ledger_that_can_not_be_read_is_told_and_hides_no_other_finding() {
    let world = World::new();
    world.stand_in.answer("Query", |call, _| match call.body["TableName"].as_str() {
        Some("landfall-ledger") => Act::Fail { status: 400, code: "AccessDeniedException" },
        _ => Act::Serve,
    });
    let shown = world.audit(&[]);
    assert!(shown.status == 2 && shown.stdout.contains(": 0 findings"), "{}", shown.all());
    assert!(shown.stderr.contains("failed to read what the reconciler found"), "{}", shown.all());
}
