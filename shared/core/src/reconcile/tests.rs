use proptest::prelude::*;

use super::*;
use crate::inventory::InventoryPlace;
use crate::routes::Routes;

const TEXT: &str = r#"version: 1
routes:
  - name: orders
    bucket: acme-landing
    key: "orders/dt={dt}/{file}.csv"
    reconcile: { every: 1d, look_back: 3d, grace: 1h, action: start }
    start: { target: none }
"#;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// When the route was deployed.
const DEPLOYED: Time = Time(1_769_904_000_000);

fn route() -> Route {
    let parsed = Routes::parse(TEXT);
    parsed.routes.expect("valid").routes[0].clone()
}

fn reconcile() -> Reconcile {
    route().reconcile.expect("it is reconciled")
}

fn by_inventory() -> Reconcile {
    let uri = "s3://acme-inventories/acme-landing/all/";
    Reconcile { inventory: InventoryPlace::parse(uri, "acme-landing"), ..reconcile() }
}

fn new() -> Reconciliation {
    Reconciliation::new(&route(), DEPLOYED, None, DEPLOYED)
}

fn counts(taken: u64) -> Counts {
    Counts { found: 10, taken, ..Counts::default() }
}

/// Has a whole pass begin at this time, if it is due, and end.
fn passed(before: &Reconciliation, at: Time, missed: u64) -> Option<Reconciliation> {
    passed_as(&reconcile(), before, at, missed)
}

fn passed_as(
    reconcile: &Reconcile,
    before: &Reconciliation,
    at: Time,
    missed: u64,
) -> Option<Reconciliation> {
    let begun = before.begun(reconcile, None, at)?;
    let keys: Vec<String> = (0..missed).map(|number| format!("orders/{number}")).collect();
    Some(begun.after_page(counts(missed), keys.iter().map(String::as_str), None, at + HOUR))
}

fn range(of: &Reconciliation) -> (Time, Time) {
    let pass = of.pass.as_ref().or(of.last.as_ref()).expect("a pass");
    (pass.from, pass.until)
}

#[test]
fn a_pass_looks_at_nothing_that_is_older_than_the_route_or_younger_than_grace() {
    assert_eq!(new().begun(&reconcile(), None, DEPLOYED + HOUR), None, "everything is too young");
    let first = new().begun(&reconcile(), None, DEPLOYED + 2 * HOUR).expect("it begins");
    assert_eq!(range(&first), (DEPLOYED, DEPLOYED + HOUR));
    let later = new().begun(&reconcile(), None, DEPLOYED + 10 * DAY).expect("it begins");
    assert_eq!(range(&later), (DEPLOYED + 7 * DAY, DEPLOYED + 10 * DAY - HOUR));
    let selection = later.pass.expect("a pass").selection(&route());
    assert_eq!(
        (selection.prefix.as_str(), selection.bucket.as_str()),
        ("orders/dt=", "acme-landing")
    );
}

#[test]
fn a_route_with_batches_was_deployed_before_the_first_of_them() {
    let since = |first| Reconciliation::new(&route(), DEPLOYED, first, DEPLOYED).since;
    assert_eq!(since(Some(DEPLOYED - DAY)), DEPLOYED - DAY);
    assert_eq!(since(Some(DEPLOYED + DAY)), DEPLOYED);
}

#[test]
fn a_pass_goes_on_where_the_run_before_ended_and_the_next_one_begins_when_it_is_time() {
    let now = DEPLOYED + DAY;
    let begun = new().begun(&reconcile(), None, now).expect("it begins");
    let missed = ["orders/a", "orders/b"];
    let page = begun.after_page(
        counts(2),
        missed.into_iter(),
        Some(Place::Key("orders/b".to_owned())),
        now + HOUR,
    );
    let going_on = page.begun(&reconcile(), None, now + 30 * DAY).expect("it goes on");
    assert_eq!((range(&going_on), &going_on), (range(&begun), &page));
    let ended = going_on.after_page(counts(1), ["orders/c"].into_iter(), None, now + 2 * HOUR);
    assert_eq!(ended.pass, None);
    let last = ended.last.as_ref().expect("it has ended");
    assert_eq!((last.counts.found, last.counts.taken), (20, 3));
    assert_eq!(last.examples, ["orders/a", "orders/b", "orders/c"]);
    assert_eq!((last.length(now), ended.reached()), (2 * HOUR, now - HOUR));
    assert_eq!(ended.begun(&reconcile(), None, now + DAY - HOUR), None);
    assert!(ended.begun(&reconcile(), None, now + DAY).is_some());
}

#[test]
fn a_route_whose_bucket_or_key_changes_counts_as_a_new_one() {
    let before =
        Reconciliation { revision: 7, ..passed(&new(), DEPLOYED + DAY, 1).expect("a pass") };
    assert!(before.is_of(&route()));
    let other = TEXT.replace("orders/dt", "sales/dt");
    let other = Routes::parse(&other).routes.expect("valid").routes[0].clone();
    assert!(!before.is_of(&other));
    let after = before.changed(&other, DEPLOYED + 9 * DAY, DEPLOYED + 10 * DAY);
    assert_eq!((after.since, &after.last, after.revision), (DEPLOYED + 9 * DAY, &None, 7));
    assert_eq!(after.missing_since, before.missing_since, "what is open is resolved later");
}

#[test]
fn a_route_that_is_not_reconciled_any_more_has_nothing_open_and_keeps_its_first_deployment() {
    let before = passed(&new(), DEPLOYED + DAY, 1).expect("a pass");
    let retired = before.retired().expect("it changes");
    assert_eq!((retired.since, retired.missing_since, &retired.last), (DEPLOYED, None, &None));
    assert_eq!(retired.retired(), None);
    let again = retired.begun(&reconcile(), None, DEPLOYED + 90 * DAY).expect("it begins");
    assert_eq!(range(&again).0, DEPLOYED + 87 * DAY, "it looks back no farther than it should");
}

#[test]
fn what_is_missed_is_announced_once_and_again_when_nothing_is_missed_any_more() {
    let whose = Whose { stack: "landfall", account: "111111111111", region: "eu-west-1" };
    let mut before = new();
    let mut told = Vec::new();
    for (day, missed) in [0, 12, 3, 0, 0, 1].into_iter().enumerate() {
        let at = DEPLOYED + DAY * (u32::try_from(day).expect("few") + 1);
        let after = passed(&before, at, missed).expect("it is due");
        let event = after.event(&before, &whose);
        told.push(event.map(|it| format!("{} {}", it["state"], it["missed"])));
        if let Some(last) = &after.last {
            assert!(last.examples.len() <= MAX_EXAMPLES);
        }
        before = after;
    }
    let said = |text: &str| Some(text.to_owned());
    let expected =
        [None, said("\"opened\" 12"), None, said("\"resolved\" 0"), None, said("\"opened\" 1")];
    assert_eq!(told, expected);
}

#[test]
fn a_finding_is_open_as_long_as_passes_miss_something_and_resolved_by_one_that_misses_nothing() {
    let finding = |of: &Reconciliation| of.finding("111111111111");
    let first = passed(&new(), DEPLOYED + DAY, 2).expect("it is due");
    let second = passed(&first, DEPLOYED + 2 * DAY, 1).expect("it is due");
    let open = finding(&second).expect("a finding");
    assert_eq!((open.state, open.severity), (State::Open, Severity::Medium));
    assert_eq!((open.first_seen, open.last_seen), (DEPLOYED + DAY, DEPLOYED + 2 * DAY));
    assert!(open.evidence.ends_with("s3://acme-landing/orders/0"), "{}", open.evidence);
    let begun = second.begun(&reconcile(), None, DEPLOYED + 3 * DAY).expect("it is due");
    assert_eq!(finding(&begun), Some(open.clone()), "a pass that hasn't ended resolves nothing");
    for later in 0..2 {
        let mut third = passed(&second, DEPLOYED + 3 * DAY, 0).expect("it is due");
        if later > 0 {
            third = passed(&third, DEPLOYED + 4 * DAY, 0).expect("it is due");
        }
        let resolved = finding(&third).expect("a finding");
        assert_eq!((&resolved.id, resolved.state), (&open.id, State::Resolved));
        assert_eq!(
            (resolved.first_seen, resolved.last_seen, resolved.resolved_at),
            (open.first_seen, open.last_seen, Some(DEPLOYED + 3 * DAY + HOUR))
        );
        assert_eq!(third.retired().and_then(|it| finding(&it)), None);
    }
    assert_eq!(finding(&passed(&new(), DEPLOYED + DAY, 0).expect("it is due")), None);
}

#[test]
fn a_pass_over_an_inventory_looks_at_nothing_that_could_be_missing_there() {
    let reconcile = by_inventory();
    let source =
        |id: u64| Source::Inventory { manifest: format!("s3://i/{id}"), md5: "0".to_owned() };
    let now = DEPLOYED + 10 * DAY;
    let taken_at = now - HOUR;
    let begun = new().begun(&reconcile, Some((source(1), taken_at)), now).expect("it begins");
    assert_eq!(range(&begun), (taken_at - 5 * DAY + HOUR, taken_at - 2 * DAY));
    let pass = begun.pass.as_ref().expect("a pass");
    assert_eq!((&pass.source, pass.place()), (&source(1), None));
    let row = Row { file: 1, row: 7 };
    let page = begun.after_page(counts(0), std::iter::empty(), Some(Place::Row(row)), now);
    assert_eq!(page.pass.as_ref().and_then(Pass::place), Some(Place::Row(row)));
    let ended = page.after_page(counts(0), std::iter::empty(), None, now);
    let later = now + DAY;
    assert_eq!(ended.begun(&reconcile, Some((source(1), taken_at)), later), None, "it is the same");
    let next = Some((source(2), taken_at + DAY));
    let next = ended.begun(&reconcile, next, later).expect("it begins");
    assert!(range(&next).0 <= range(&begun).1, "nothing between the two is left out");
    assert!(ended.without_pass().pass.is_none() && page.without_pass().is_due(&reconcile, now));
}

#[test]
fn an_event_has_the_shape_of_those_about_findings() {
    let whose = Whose { stack: "landfall", account: "111111111111", region: "eu-west-1" };
    let report = Reconcile { action: Action::Report, ..reconcile() };
    let after = passed_as(&report, &new(), DEPLOYED + DAY, 2).expect("a pass");
    let event = after.event(&new(), &whose).expect("an event");
    expect_test::expect![[r#"
        {
          "account": "111111111111",
          "cause": "S3 has announced nothing of these objects, or the event got lost. No job run gets them.",
          "code": "arrivals_missed",
          "command": "landfall backfill --route orders --dry-run",
          "evidence": "2 objects of the route are in no batch, such as s3://acme-landing/orders/0, s3://acme-landing/orders/1",
          "examples": [
            "s3://acme-landing/orders/0",
            "s3://acme-landing/orders/1"
          ],
          "firstSeen": "2026-02-02T00:00:00Z",
          "fix": "Find out whether a notification rule of the bucket was changed for a while, and have the objects processed.",
          "id": "reconciliation/arrivals_missed/orders",
          "lastSeen": "2026-02-02T00:00:00Z",
          "link": "reconciliation",
          "linkName": "what S3 announces",
          "missed": 2,
          "region": "eu-west-1",
          "resolvedAt": null,
          "resource": "s3://acme-landing",
          "route": "orders",
          "severity": "high",
          "stack": "landfall",
          "state": "opened",
          "version": "1"
        }"#]]
    .assert_eq(&format!("{event:#}"));
}

#[test]
fn the_id_of_a_listing_tells_when_its_pass_began() {
    let begun = new().begun(&reconcile(), None, DEPLOYED + DAY).expect("it begins");
    let listing = begun.pass.expect("a pass").listing("orders");
    assert_eq!(listing.id, "reconciliation-20260202T000000Z");
    assert!(!listing.again);
    assert_eq!(pass_of(&listing.id), Some(DEPLOYED + DAY));
    for other in ["backfill-20260202T000000Z-1f3a", "reconciliation-", "reconciliation-2026020ü"] {
        assert_eq!(pass_of(other), None, "{other}");
    }
}

proptest! {
    /// The clock of the passes: runs come every quarter of an hour, and each pass takes some time.
    #[test]
    fn every_object_since_the_first_deployment_is_looked_at_within_every_and_grace_and_one_pass(
        written_minutes in 0_u64..20_000,
        lengths in prop::collection::vec(0_u64..4_000, 1..40),
        every in 1_u64..72,
        grace in 1_u64..24,
        more in 0_u64..72,
    ) {
        const TICK: Duration = Duration::from_secs(900);
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let reconcile = Reconcile {
            every: minutes(60 * every),
            grace: minutes(60 * grace),
            look_back: minutes(60 * (every + grace + more)),
            ..self::reconcile()
        };
        let written = DEPLOYED + minutes(written_minutes);
        let mut state = new();
        let mut now = DEPLOYED;
        let mut lengths = lengths.into_iter().cycle();
        // A pass that takes longer than the range is wide is beyond the promise.
        let longest = reconcile.look_back.as_secs() / 60;
        let mut before = Duration::ZERO;
        loop {
            now = now + TICK;
            let Some(begun) = state.begun(&reconcile, None, now) else { continue };
            let (from, until) = range(&begun);
            let length = minutes(lengths.next().unwrap_or_default().min(longest));
            if from <= written && written < until {
                let due = written + reconcile.every.max(before) + reconcile.grace + 2 * TICK;
                prop_assert!(now <= due, "written {written}, looked at {now}, due {due}");
                break;
            }
            prop_assert!(until <= written, "it was passed by: {from} to {until}, written {written}");
            now = now + length;
            before = length;
            state = begun.after_page(counts(0), std::iter::empty(), None, now);
        }
    }
}
