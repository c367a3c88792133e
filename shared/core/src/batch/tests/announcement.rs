//! What is decided about a batch that an event announces, and what the event says.

use expect_test::expect_file;
use serde_json::Value;

use super::*;

/// Announced, and then the job starts.
fn with_job() -> Start {
    Start { announce: true, ..start() }
}

/// Announced, and nothing starts.
fn without_job() -> Start {
    let none = || NO_TARGET.to_owned();
    Start {
        target: none(),
        account: none(),
        region: String::new(),
        starter_role_arn: String::new(),
        job: String::new(),
        arguments: BTreeMap::new(),
        ..with_job()
    }
}

fn opened_for(start: Start) -> Batch {
    let closing = Closing { window_secs: Some(60), ..Closing::default() };
    let draft = Draft { start, ..draft(closing) };
    draft.batch("none-0123456789abcdef0123456789abcdef".to_owned(), &moment(0))
}

/// Closed after a minute with one member, prepared, and due.
fn closed(start: Start) -> Batch {
    let open = opened_for(start).with(1, false, true, &moment(0));
    Batch { prepared: Some(prepared()), ..written(&open, &Seen::Nothing, 60) }
}

#[track_caller]
fn detail(batch: &Batch, seen: &Seen) -> String {
    match next(batch, seen, &moment(60), &SETTINGS) {
        Step::Announce { detail } => detail,
        step => panic!("{step:?}"),
    }
}

#[test]
fn a_batch_is_announced_once_its_manifest_is_written_and_that_is_the_end_without_a_job() {
    let batch = Batch { prepared: None, ..closed(without_job()) };
    assert_eq!(next(&batch, &Seen::Nothing, &moment(60), &SETTINGS), Step::Prepare);
    let step = next(&batch, &Seen::Prepared(Ok(prepared())), &moment(60), &SETTINGS);
    let Step::Assume(batch) = step else { panic!("{step:?}") };
    let said: Value = serde_json::from_str(&detail(&batch, &Seen::Wake)).expect("it is JSON");
    expect_file!["../../../../../tests/fixtures/batch-closed.json"]
        .assert_eq(&format!("{said:#}\n"));
    let ended = written(&batch, &Seen::Announced(Ok(())), 61);
    assert_eq!((&ended.state, ended.announced_at), (&State::Announced, Some(NOW + secs(61))));
    assert!(ended.state.is_final() && ended.due().is_none() && ended.awaits().is_none());
    assert_eq!(ended.history.last().map(|entry| &entry.what), Some(&HistoryEvent::Announced));
    for seen in [Seen::Nothing, Seen::Wake] {
        assert_eq!(next(&ended, &seen, &moment(9_999), &SETTINGS), Step::Rest);
    }
}

#[test]
fn an_event_that_is_not_taken_is_put_again_and_says_the_same() {
    for start in [with_job(), without_job()] {
        let batch = closed(start);
        let first = detail(&batch, &Seen::Nothing);
        let refused = Seen::Announced(Err("batch_not_announced: Throttled: slow down".to_owned()));
        let mut deferred = written(&batch, &refused, 60);
        assert_eq!(deferred.announced_at, None);
        assert_eq!(deferred.due(), Some(NOW + secs(90)));
        assert_eq!(next(&deferred, &Seen::Nothing, &moment(89), &SETTINGS), Step::Rest);
        for after in [90, 150, 270, 510] {
            let step = next(&deferred, &Seen::Nothing, &moment(after), &SETTINGS);
            assert_eq!(step, Step::Announce { detail: first.clone() });
            deferred = written(&deferred, &refused, after);
        }
        assert!(deferred.is_stuck() && deferred.blocked_since().is_some());
    }
}

#[test]
fn a_job_starts_after_its_batch_was_announced_and_never_without() {
    let batch = closed(with_job());
    detail(&batch, &Seen::Wake);
    let announced = written(&batch, &Seen::Announced(Ok(())), 61);
    assert_eq!(announced.due(), Some(NOW + secs(61)));
    let begun = starting_at(&announced, 61);
    assert_eq!((begun.epoch, begun.announced_at), (1, Some(NOW + secs(61))));
    // Whatever becomes of its runs, it was announced.
    let parked = State::Parked { why: Why::AttemptsExhausted, message: String::new() };
    let parked = Batch { state: parked, ..announced };
    let returned = parked.returned(NOW + secs(100)).expect("parked");
    assert_eq!(starting_at(&returned, 100).epoch, 1);
}

#[track_caller]
fn starting_at(batch: &Batch, after: u64) -> Batch {
    match next(batch, &Seen::Nothing, &moment(after), &SETTINGS) {
        Step::Begin { batch, .. } => *batch,
        step => panic!("{step:?}"),
    }
}

#[test]
fn a_batch_that_only_a_marker_closed_is_not_announced() {
    let open = opened_for(without_job()).with(0, true, true, &moment(0));
    let due = open.due().expect("open").since(NOW).as_secs();
    assert_eq!(written(&open, &Seen::Nothing, due).state, State::Empty);
}

#[test]
fn an_older_version_leaves_a_batch_that_is_announced_alone_and_others_keep_their_bytes() {
    assert_eq!((opened_for(with_job()).v, opened_for(without_job()).v), (4, 4));
    let plain = serde_json::to_value(sealed()).expect("it serialises");
    assert_eq!(plain["v"], 1);
    for field in ["closed_at", "announced_at"] {
        assert_eq!(plain.get(field), None, "{field}");
    }
    assert_eq!(plain["start"].get("announce"), None);
    let ended = written(&closed(without_job()), &Seen::Announced(Ok(())), 60);
    let json = serde_json::to_string(&ended).expect("it serialises");
    assert_eq!(serde_json::from_str::<Batch>(&json).expect("it is read back"), ended);
}

#[test]
fn without_a_target_a_batch_has_a_place_of_its_own_for_its_manifest() {
    let draft = Draft { start: without_job(), ..draft(Closing::default()) };
    let arrival = crate::arrivals::tests::arrival("landing", "a");
    let id = draft.batch_id(&Member::from(&arrival));
    assert_eq!(BatchId::account_of(&id), Some(NO_TARGET));
    assert!(JobResources::manifest_key("orders", &id).starts_with("manifests/none/orders/none-"));
    assert!(!draft.batch(id, &moment(0)).is_former());
}

/// `EventBridge` takes 256 KB.
#[test]
fn the_event_fits_whatever_the_group_and_a_group_of_s3s_keys_is_always_in_it() {
    // An object key has 1,024 bytes, and JSON takes six for a control character.
    let longest = BTreeMap::from([("a".to_owned(), "\u{1}".repeat(1_024))]);
    let too_long = BTreeMap::from([("a".to_owned(), "\u{1}".repeat(50_000))]);
    for (group, is_in_it) in [(longest, true), (too_long, false)] {
        let batch = Batch { group, ..closed(without_job()) };
        let text = detail(&batch, &Seen::Nothing);
        assert!(text.len() < 210_000, "{}", text.len());
        let detail: Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(detail["group"].is_object(), is_in_it);
        assert_eq!(detail["batch_id"], batch.id);
    }
}
