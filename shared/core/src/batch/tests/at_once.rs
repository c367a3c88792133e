//! A start that is written together with the arrivals of its batch.

use super::*;
use crate::arrivals::tests::arrival;

/// Closed with one member, as its start leaves it in the same write.
fn begun_at_once() -> Batch {
    let batch = Batch { prepared: None, ..sealed() };
    begun(&batch, &put_with_it(&batch), &moment(0), &SETTINGS).expect("nothing else is needed")
}

/// What its runs get whose manifest is put at the same time.
fn put_with_it(batch: &Batch) -> Prepared {
    let key = JobResources::manifest_key_by_content(&batch.route, &batch.id, "{}");
    Prepared { manifest: format!("s3://manifests/{key}"), ..prepared() }
}

#[test]
fn a_batch_begins_as_it_is_recorded_if_nothing_else_has_to_be_known() {
    let batch = begun_at_once();
    let what: Vec<&str> = batch.history.iter().map(|entry| entry.what.as_str()).collect();
    assert_eq!((what, batch.epoch), (vec!["opened", "sealed", "starting"], 1));
    assert_eq!(next(&batch, &Seen::Begun, &moment(0), &SETTINGS), Step::Start);
    let announced = Batch { start: Start { announce: true, ..start() }, ..sealed() };
    let open = opened(Closing { window_secs: Some(60), ..Closing::default() });
    for other in [with_limits(Some(1), None), with_limits(None, Some(1)), announced, open] {
        assert_eq!(begun(&other, &put_with_it(&other), &moment(0), &SETTINGS), None, "{other:?}");
    }
}

#[test]
fn only_what_needs_nothing_else_and_fits_one_write_is_recorded_as_begun() {
    let member = |n: u32| Member::from(&arrival("landing", &format!("orders/{n:03}")));
    let draft = Draft { members: vec![member(0)], ..draft(Closing::default()) };
    let of = |change: fn(&mut Draft)| {
        let mut draft = draft.clone();
        change(&mut draft);
        draft.starts_at_once(NOW)
    };
    assert!(of(|_| {}));
    assert!(!of(|draft| draft.start.max_concurrent_runs = Some(1)));
    assert!(!of(|draft| draft.start.announce = true));
    assert!(!of(|draft| draft.start.job.clear()));
    assert!(!of(|draft| draft.listing = Some("0123".to_owned())));
    assert!(!of(|draft| draft.closing.window_secs = Some(60)));
    assert!(!of(|draft| draft.members.clear()));
    let many = |number| Draft { members: (0..number).map(member).collect(), ..draft.clone() };
    assert!(many(98).starts_at_once(NOW) && !many(99).starts_at_once(NOW));
}

#[test]
fn a_start_that_is_not_made_waits_and_is_prepared_anew_wherever_it_was_left() {
    let batch = begun_at_once();
    let not_made = written(&batch, &Seen::NotBegun("no role".to_owned()), 1);
    let last = not_made.history.last().expect("a history");
    assert_eq!((last.what.as_str(), last.detail.as_str()), ("deferred", "no role"));
    let nothing = Seen::Lookup(Lookup::Complete(Vec::new()));
    let not_found = written(&batch, &nothing, 120 + 900);
    let unclear = (0..3).fold(batch, |batch, times| {
        written(&batch, &Seen::Lookup(Lookup::Unclear(String::new())), 120 + times * 1_800)
    });
    let returned = unclear.returned(NOW).expect("it is parked");
    for batch in [not_made, not_found, returned] {
        let due = batch.due().expect("it is sealed");
        let moment = Moment { now: due, ..moment(0) };
        assert_eq!(next(&batch, &Seen::Nothing, &moment, &SETTINGS), Step::Prepare);
    }
}

#[test]
fn a_manifest_whose_batch_may_not_be_recorded_is_never_written_over_another() {
    let id = "222222222222-0123456789abcdef0123456789abcdef";
    let key = |manifest| JobResources::manifest_key_by_content("orders", id, manifest);
    assert_eq!(key("{}"), key("{}"));
    assert_ne!(key("{}"), key("{ }"));
    assert!(key("{}").starts_with(&format!("manifests/222222222222/orders/{id}-")));
}

#[test]
fn a_run_is_first_looked_at_when_its_start_was_due_which_is_five_minutes_later_or_the_lease() {
    let started = |lease: u64, window: u64| {
        let settings = Bounds { reconciliation: secs(window), ..SETTINGS };
        let moment = Moment { lease: NOW + secs(lease), ..moment(0) };
        let batch = Batch { prepared: None, ..sealed() };
        let begun = begun(&batch, &put_with_it(&batch), &moment, &settings).expect("it begins");
        let started = written(&begun, &Seen::Start(StartOutcome::Started("jr_1".to_owned())), 0);
        [begun, started].map(|batch| batch.due().map(|due| due.since(NOW).as_secs()))
    };
    assert_eq!(started(70, 900), [Some(300), Some(300)]);
    assert_eq!(started(610, 900), [Some(610), Some(610)]);
    assert_eq!(started(900, 900), [Some(900), Some(60)], "that would be too late");
    assert_eq!(started(70, 120), [Some(120), Some(120)], "a window that is shorter");
}
