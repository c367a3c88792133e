use expect_test::{Expect, expect};
use landfall_aws::ledger::{Left, Listing};
use landfall_core::backfill::Counts;
use landfall_core::batch::{Batch, Why};
use landfall_core::chain::observed::{Look, Named, Queue};
use landfall_core::chain::problems::{Problem, Severity};
use landfall_core::chain::{Check, Link, Status as Verdict};
use landfall_core::reconcile::Reconciliation;
use landfall_core::routes::Routes;
use landfall_inspection::cloudwatch::Alarm;
use landfall_inspection::{Place, Unseen};
use unicode_width::UnicodeWidthStr;

use super::judge::judge;
use super::look::{Depth, Observed, Stack};
use super::*;
use crate::fixtures::{self as made, NOW, secs};

fn check(link: Link, status: Verdict, resource: &str, evidence: &str) -> Check {
    Check {
        link,
        status,
        resource: resource.to_owned(),
        account: "111111111111".to_owned(),
        evidence: evidence.to_owned(),
        problem: None,
    }
}

fn queue(name: &str, is_dead_letters: bool, visible: u64, in_flight: u64) -> Depth {
    let queue = Queue { visible, in_flight, policy: None };
    let queue = Named { name: format!("arn:…:{name}"), look: Look::Seen(queue) };
    let oldest = (visible > 0).then(|| secs(130));
    Depth { name: name.to_owned(), is_dead_letters, queue, oldest }
}

fn listing(batches: Vec<Batch>) -> Result<Listing, String> {
    Ok(Listing { batches, unreadable: Vec::new(), left: Left::None })
}

fn healthy() -> Observed {
    let stack = Stack {
        name: "landfall".to_owned(),
        status: "UPDATE_COMPLETE".to_owned(),
        version: Some("0.2.0".to_owned()),
    };
    Observed {
        place: Place {
            partition: "aws".to_owned(),
            account: "111111111111".to_owned(),
            region: "eu-west-1".to_owned(),
        },
        at: NOW,
        stacks: vec![stack],
        checks: vec![
            check(Link::TriggerMapping, Verdict::Ok, "arn:…:landfall-arrivals", "it is Enabled"),
            check(Link::Schedule, Verdict::Ok, "landfall-tick", "it is on and runs `monitor`"),
        ],
        queues: vec![queue("landfall-arrivals", false, 12, 3), queue("landfall-dlq", true, 0, 0)],
        alarms: Ok(Vec::new()),
        last_tick: Ok(Some(NOW - secs(60))),
        options: String::new(),
        batches: listing(vec![
            made::sealed(),
            Batch { opened_at: NOW - secs(7_200), id: "the-oldest".to_owned(), ..made::sealed() },
            made::started(),
        ]),
        reconciliations: Vec::new(),
        unseen_reconciliations: Vec::new(),
    }
}

#[track_caller]
fn shows(seen: &Observed, status: crate::terminal::output::Status, expected: Expect) {
    let judgement = judge(seen);
    let report = Report { seen, judgement: &judgement, now: NOW };
    expected.assert_eq(&report.text(None));
    assert_eq!(judgement.status(), status);
}

#[test]
fn what_s3_does_not_announce_needs_a_person() {
    let route = "version: 1\nroutes:\n  - { name: orders, bucket: acme-landing, key: \"{file}\", wide: true, \
                 start: { target: none }, reconcile: { every: 1d, action: start } }\n";
    let route = Routes::parse(route).routes.expect("valid").routes[0].clone();
    let reconcile = route.reconcile.as_ref().expect("it is reconciled");
    let new = Reconciliation::new(&route, NOW - secs(86_400), None, NOW);
    let begun = new.begun(reconcile, None, NOW - secs(600)).expect("it begins");
    let counts = Counts { found: 9, taken: 2, ..Counts::default() };
    let missed = ["a\u{1b}.csv", "b.csv"].into_iter();
    let reconciliations = vec![begun.after_page(counts, missed, None, NOW)];
    let unseen_reconciliations = vec!["no".to_owned()];
    let seen = Observed { reconciliations, unseen_reconciliations, ..healthy() };
    let judgement = judge(&seen);
    let [need] = &judgement.needs[..] else { panic!("one need: {judgement:?}") };
    expect![[r#"
        S3 doesn't announce everything of route `orders` since 2026-01-31T23:50:00Z (10 minutes ago): the pass of 2026-01-31T23:50:00Z (10 minutes ago) found 2 objects in no batch, such as s3://acme-landing/a\u{1b}.csv"#]]
    .assert_eq(&crate::terminal::escape::shown(&need.what));
    assert_eq!(need.code, "arrivals_missed");
    assert_eq!(need.command.as_deref(), Some("landfall backfill --route orders --dry-run"));
    assert_eq!(judgement.unknown, ["the reconciliations: no"]);
    let report = Report { seen: &seen, judgement: &judgement, now: NOW };
    let line = "route orders: reconciled until 2026-01-31T22:50:00Z (70 minutes ago)\n";
    assert!(report.text(None).contains(line), "{}", report.text(None));
    assert!(report.json().contains("\"missed\": 2"), "{}", report.json());
}

#[test]
fn a_stack_at_work_is_shown_with_its_queues_and_batches_and_needs_nobody() {
    let status = crate::terminal::output::Status::Success;
    shows(
        &healthy(),
        status,
        expect![[r#"
        nothing needs a person

        account 111111111111, region eu-west-1
        stack landfall: UPDATE_COMPLETE, version 0.2.0
        the monitor last ticked 2026-01-31T23:59:00Z (60 seconds ago)
        the trigger's event source mapping: it is Enabled
        the monitor's schedule: it is on and runs `monitor`

        QUEUE              WAIT  IN WORK  OLDEST WAITS
        landfall-arrivals    12        3  2 minutes
        landfall-dlq          0        0

        BATCHES  COUNT  OLDEST OPENED                       OLDEST
        sealed       2  2026-01-31T22:00:00Z (2 hours ago)  the-oldest
        started      1  2026-02-01T00:00:00Z (now)          899bfd94d19c4ed05147d6815125b225
    "#]],
    );
}

#[test]
fn what_needs_a_person_comes_first() {
    let problem = Problem {
        code: "schedule_disabled",
        severity: Severity::High,
        cause: "…",
        fix: "…".to_owned(),
        command: Some("aws events enable-rule --name landfall-tick".to_owned()),
    };
    let schedule = check(Link::Schedule, Verdict::Broken, "landfall-tick", "it is off");
    let mut seen = healthy();
    seen.checks[1] = Check { problem: Some(problem), ..schedule };
    seen.queues[1] = queue("landfall-dlq", true, 1, 0);
    seen.last_tick = Ok(Some(NOW - secs(600)));
    seen.alarms = Ok(vec![Alarm {
        name: "landfall-monitor-silent".to_owned(),
        since: Some(NOW - secs(240)),
        description: Some("The monitor hasn't\u{1b} ticked for five minutes.".to_owned()),
    }]);
    seen.options = " --table billing-ledger".to_owned();
    seen.batches = listing(vec![made::parked(Why::NoSuchJob, "orders"), made::started()]);
    shows(
        &seen,
        crate::terminal::output::Status::Problems,
        expect![[r#"
        needs a person:
          the monitor's schedule, `landfall-tick`: it is off
            run      aws events enable-rule --name landfall-tick
          queue `landfall-dlq` holds 1 message that nobody could handle
          1 batch is parked, the oldest of them, `899bfd94d19c4ed05147d6815125b225`, opened 2026-02-01T00:00:00Z (now)
            run      landfall batches --state parked --table billing-ledger
          the monitor last ticked 2026-01-31T23:50:00Z (10 minutes ago)
          alarm `landfall-monitor-silent` is on since 2026-01-31T23:56:00Z (4 minutes ago): The monitor hasn't\u{1b} ticked for five minutes

        account 111111111111, region eu-west-1
        stack landfall: UPDATE_COMPLETE, version 0.2.0
        the monitor last ticked 2026-01-31T23:50:00Z (10 minutes ago)
        the trigger's event source mapping: it is Enabled

        QUEUE              WAIT  IN WORK  OLDEST WAITS
        landfall-arrivals    12        3  2 minutes
        landfall-dlq          1        0  2 minutes

        BATCHES  COUNT  OLDEST OPENED               OLDEST
        started      1  2026-02-01T00:00:00Z (now)  899bfd94d19c4ed05147d6815125b225
        parked       1  2026-02-01T00:00:00Z (now)  899bfd94d19c4ed05147d6815125b225
    "#]],
    );
}

#[test]
fn what_could_not_be_seen_is_not_all_right() {
    let mut seen = healthy();
    let denied = |permission: &str| Unseen::Denied(permission.to_owned());
    seen.alarms = Err(denied("cloudwatch:DescribeAlarms"));
    seen.last_tick = Err(denied("cloudwatch:GetMetricData"));
    seen.batches = Err("failed to search `due`: AccessDeniedException".to_owned());
    seen.queues[1].queue.look = Look::Denied("sqs:GetQueueAttributes".to_owned());
    seen.checks[0] = check(
        Link::TriggerMapping,
        Verdict::Unknown,
        "arn:…:landfall-arrivals",
        "the credentials need `lambda:ListEventSourceMappings`",
    );
    shows(
        &seen,
        crate::terminal::output::Status::Unusable,
        expect![[r#"
        nothing is known to need a person, but not everything could be seen

        not seen:
          the trigger's event source mapping, `arn:…:landfall-arrivals`: the credentials need `lambda:ListEventSourceMappings`
          queue `landfall-dlq`: to look, the credentials need `sqs:GetQueueAttributes`
          the batches: failed to search `due`: AccessDeniedException
          the monitor's last tick: to look, the credentials need `cloudwatch:GetMetricData`
          the alarms: to look, the credentials need `cloudwatch:DescribeAlarms`

        account 111111111111, region eu-west-1
        stack landfall: UPDATE_COMPLETE, version 0.2.0
        the monitor's schedule: it is on and runs `monitor`

        QUEUE                  WAIT  IN WORK  OLDEST WAITS
        landfall-arrivals        12        3  2 minutes
        landfall-dlq       not seen
    "#]],
    );
    // What needs a person counts more.
    seen.last_tick = Ok(None);
    assert_eq!(judge(&seen).status(), crate::terminal::output::Status::Problems);
}

#[test]
fn more_batches_than_were_read_are_told() {
    let mut seen = healthy();
    seen.batches = listing(vec![made::sealed()]).map(|it| Listing { left: Left::Any, ..it });
    let judgement = judge(&seen);
    let text = Report { seen: &seen, judgement: &judgement, now: NOW }.text(None);
    assert!(text.ends_with("due first, or parked for longest\n"), "{text}");
    assert_eq!(judgement.status(), crate::terminal::output::Status::Success);
}

#[test]
fn the_tables_fit_the_terminal() {
    let seen = healthy();
    let judgement = judge(&seen);
    for width in [20, 40, 80, 100] {
        let text = Report { seen: &seen, judgement: &judgement, now: NOW }.text(Some(width));
        let tables = text.split_once("\nQUEUE").expect("the tables").1;
        for line in tables.lines().skip(1) {
            assert!(line.width() <= width, "{width}: {line}");
        }
    }
}

#[test]
fn the_document_has_all_of_it() {
    let seen = healthy();
    let judgement = judge(&seen);
    let document = Report { seen: &seen, judgement: &judgement, now: NOW }.json();
    expect![[r#"
        {
          "version": 1,
          "account": "111111111111",
          "region": "eu-west-1",
          "needs": [],
          "unknown": [],
          "stacks": [
            {
              "name": "landfall",
              "status": "UPDATE_COMPLETE",
              "version": "0.2.0"
            }
          ],
          "last_tick": "2026-01-31T23:59:00Z",
          "checks": [
            {
              "link": "LF015",
              "name": "the trigger's event source mapping",
              "status": "ok",
              "resource": "arn:…:landfall-arrivals",
              "evidence": "it is Enabled"
            },
            {
              "link": "LF032",
              "name": "the monitor's schedule",
              "status": "ok",
              "resource": "landfall-tick",
              "evidence": "it is on and runs `monitor`"
            }
          ],
          "queues": [
            {
              "name": "landfall-arrivals",
              "is_dead_letter_queue": false,
              "visible": 12,
              "in_flight": 3,
              "oldest_secs": 130
            },
            {
              "name": "landfall-dlq",
              "is_dead_letter_queue": true,
              "visible": 0,
              "in_flight": 0,
              "oldest_secs": null
            }
          ],
          "batches": [
            {
              "state": "sealed",
              "count": 2,
              "oldest": "the-oldest",
              "oldest_opened_at": "2026-01-31T22:00:00Z"
            },
            {
              "state": "started",
              "count": 1,
              "oldest": "899bfd94d19c4ed05147d6815125b225",
              "oldest_opened_at": "2026-02-01T00:00:00Z"
            }
          ],
          "has_more_batches": false
        }
    "#]]
    .assert_eq(&document);
}
