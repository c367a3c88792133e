//! The item in the ledger: version 1 of its schema. What is changed here must still be read.

use expect_test::expect;

use super::*;

#[test]
fn an_item_of_version_1_looks_like_this_and_is_read_back() {
    let batch = with_limits(Some(3), None);
    let batch = written(&started(&batch), &Seen::Run(Some(RunState::Running.into())), 60);
    let json = serde_json::to_string_pretty(&batch).expect("it serialises");
    expect![[r#"
        {
          "v": 1,
          "id": "0123456789abcdef0123456789abcdef",
          "route": "orders",
          "bucket": "landing",
          "group": {
            "dt": "2026-01-31"
          },
          "start": {
            "target": "analytics",
            "account": "222222222222",
            "region": "eu-west-1",
            "starter_role_arn": "arn:aws:iam::222222222222:role/landfall-starter",
            "job": "orders",
            "arguments": {
              "--dt": "{dt}"
            },
            "values": {
              "dt": "2026-01-31"
            },
            "max_concurrent_runs": 3,
            "max_runs_per_hour": null,
            "attempts": 3,
            "retry_states": [
              "FAILED",
              "TIMEOUT"
            ]
          },
          "closing": {
            "window_secs": null,
            "quiet_secs": null,
            "settle_secs": 0,
            "max_objects": null
          },
          "state": {
            "name": "started",
            "epoch": 1,
            "run_id": "jr_1",
            "since": 1000000000000,
            "look_at": 1000000240000
          },
          "epoch": 1,
          "failures": 0,
          "deferrals": 0,
          "opened_at": 1000000000000,
          "first_arrival_at": 1000000000000,
          "last_arrival_at": 1000000000000,
          "marker_at": null,
          "members": 1,
          "chunks": 1,
          "prepared": {
            "objects": 1,
            "bytes": 42,
            "manifest": "s3://manifests/manifests/orders/0123.json",
            "arguments": {
              "--dt": "2026-01-31"
            }
          },
          "runs": [
            {
              "epoch": 1,
              "run_id": "jr_1",
              "state": "RUNNING"
            }
          ],
          "holds_slot": true,
          "history": [
            {
              "at": 1000000000000,
              "what": "opened"
            },
            {
              "at": 1000000000000,
              "what": "sealed",
              "detail": "1 members"
            },
            {
              "at": 1000000000000,
              "what": "starting",
              "detail": "epoch 1"
            },
            {
              "at": 1000000000000,
              "what": "started",
              "detail": "jr_1"
            }
          ],
          "revision": 0
        }"#]]
    .assert_eq(&json);
    assert_eq!(serde_json::from_str::<Batch>(&json).expect("version 1"), batch);
}

#[test]
fn every_state_is_written_like_this_and_is_read_back() {
    let run_id = || "jr_1".to_owned();
    let states = [
        State::Open { closes_at: NOW },
        State::Sealed { due: NOW, waits_for_slot: true },
        State::Starting(Starting { t0: NOW, lease: NOW, look_at: NOW, missing: None }),
        State::Started(Started {
            epoch: 1,
            run_id: run_id(),
            since: NOW,
            look_at: NOW,
            missing: None,
            repeat: None,
        }),
        State::Failed(Failed {
            epoch: 1,
            run_id: run_id(),
            run_state: RunState::Timeout,
            claimed: true,
            since: NOW,
            look_at: NOW,
            missing: None,
        }),
        State::Succeeded { run_id: run_id(), claimed: true },
        State::Parked { why: Why::AttemptsExhausted, message: "m".to_owned() },
        State::Empty,
    ];
    let lines: Vec<String> = states
        .iter()
        .map(|state| {
            let json = serde_json::to_string(state).expect("it serialises");
            assert_eq!(serde_json::from_str::<State>(&json).expect("version 1"), *state);
            assert!(json.contains(&format!("\"name\":\"{}\"", state.name())), "{json}");
            json + "\n"
        })
        .collect();
    expect![[r#"
        {"name":"open","closes_at":1000000000000}
        {"name":"sealed","due":1000000000000,"waits_for_slot":true}
        {"name":"starting","t0":1000000000000,"lease":1000000000000,"look_at":1000000000000}
        {"name":"started","epoch":1,"run_id":"jr_1","since":1000000000000,"look_at":1000000000000}
        {"name":"failed","epoch":1,"run_id":"jr_1","run_state":"TIMEOUT","since":1000000000000,"look_at":1000000000000}
        {"name":"succeeded","run_id":"jr_1"}
        {"name":"parked","why":"attempts_exhausted","message":"m"}
        {"name":"empty"}
    "#]].assert_eq(&lines.concat());
}

#[test]
fn other_items_of_version_1_look_like_this() {
    let start = Start { max_concurrent_runs: Some(1), max_runs_per_hour: Some(5), ..start() };
    let slot = Slot::default().admit("b", 1, &start, NOW).expect("free");
    let claim = Claim::default().taken(1).expect("free");
    let key = "orders/a.csv".to_owned();
    let (version_id, etag, size) = (None, Some("e".to_owned()), Some(1));
    let member = Member {
        key,
        version_id,
        etag,
        size,
        sequencer: None,
        event_time: None,
        listing: None,
        again: false,
    };
    let chunk = Chunk { v: SCHEMA_VERSION, members: vec![member] };
    let json = [
        serde_json::to_string(&slot).expect("it serialises"),
        serde_json::to_string(&claim).expect("it serialises"),
        serde_json::to_string(&chunk).expect("it serialises"),
    ];
    expect![[r#"
        {"v":1,"live":{"b":1},"starts":{"16666666":1},"revision":0}
        {"holder":1,"ended":0}
        {"v":1,"members":[{"key":"orders/a.csv","etag":"e","size":1}]}"#]]
    .assert_eq(&json.join("\n"));
    assert_eq!(serde_json::from_str::<Slot>(&json[0]).expect("version 1"), slot);
    assert_eq!(serde_json::from_str::<Chunk>(&json[2]).expect("version 1"), chunk);
}

#[test]
fn what_a_newer_version_has_added_is_kept_through_a_step() {
    let mut json = serde_json::to_value(started(&sealed())).expect("it serialises");
    json["priority"] = serde_json::json!({ "level": 3 });
    let batch: Batch = serde_json::from_value(json).expect("a batch");
    let after = written(&batch, &Seen::Run(Some(RunState::Running.into())), 60);
    let json = serde_json::to_value(after).expect("it serialises");
    assert_eq!(json["priority"]["level"], 3);

    let slot = serde_json::json!({ "v": 1, "live": {}, "starts": {}, "revision": 7, "new": true });
    let slot: Slot = serde_json::from_value(slot).expect("a slot");
    let limited = Start { max_concurrent_runs: Some(1), ..start() };
    let slot = slot
        .admit("b", 1, &limited, NOW)
        .expect("free")
        .after(&Batch { id: "b".to_owned(), ..sealed() });
    assert_eq!(serde_json::to_value(slot).expect("it serialises")["new"], true);
}

#[test]
fn a_run_keeps_why_it_failed_and_one_of_the_version_before_is_read_without_it() {
    let run = ObservedRun::new(RunState::Failed, Some("ValueError: \u{1b}[2J"));
    let claim = Claim { holder: Some(1), ended: 0 };
    let batch = written(&started(&sealed()), &Seen::Claim { run, claim }, 60);
    let json = serde_json::to_value(&batch).expect("it serialises");
    let written =
        r#"[{"epoch":1,"error":"ValueError: \u001b[2J","run_id":"jr_1","state":"FAILED"}]"#;
    assert_eq!(json["runs"].to_string(), written);
    assert_eq!(json["v"], SCHEMA_VERSION, "the version before still takes it up");
    assert_eq!(serde_json::from_value::<Batch>(json).expect("a batch"), batch);
    let before = r#"{"epoch":1,"run_id":"jr_1","state":"FAILED"}"#;
    let run: Run = serde_json::from_str(before).expect("a run");
    assert_eq!(run.error, None);
    assert_eq!(serde_json::to_string(&run).expect("it serialises"), before);
}

#[test]
fn words_that_are_not_known_are_read_all_the_same() {
    let state = RunState::parse("HIBERNATING");
    assert_eq!(state, RunState::Other("HIBERNATING".to_owned()));
    assert!(!state.is_failure(), "it is taken for live");
    assert_eq!(serde_json::to_value(&state).expect("it serialises"), "HIBERNATING");
    assert_eq!(serde_json::from_str::<Why>("\"eclipsed\"").expect("a reason"), Why::Other);
}

#[test]
fn every_word_of_the_history_is_written_like_this_and_one_of_a_newer_version_survives() {
    let words = [
        "opened",
        "marker",
        "sealed",
        "empty",
        "deferred",
        "waits_for_slot",
        "starting",
        "not_started",
        "outcome_not_known_yet",
        "started",
        "followed",
        "awaits_repeat",
        "repeated",
        "not_seen",
        "succeeded",
        "failed",
        "claim_not_ended",
        "retried",
        "returned",
        "parked",
    ];
    let read = |word: &str| {
        let json = format!(r#"{{"at":1000000000000,"what":"{word}","detail":"d","times":2}}"#);
        let entry: Entry = serde_json::from_str(&json).expect("an entry");
        assert_eq!(serde_json::to_string(&entry).expect("it serialises"), json);
        assert_eq!((entry.what.as_str(), entry.what.to_string().as_str()), (word, word));
        entry.what
    };
    for word in words {
        assert!(!matches!(read(word), HistoryEvent::Unknown(_)), "{word}");
    }
    assert_eq!(read("eclipsed"), HistoryEvent::Unknown("eclipsed".to_owned()));
    // What a newer version wrote is kept through a step of this one.
    let mut json = serde_json::to_value(started(&sealed())).expect("it serialises");
    json["history"][0]["what"] = "eclipsed".into();
    let batch: Batch = serde_json::from_value(json).expect("a batch");
    let after = written(&batch, &Seen::Run(Some(RunState::Running.into())), 60);
    let json = serde_json::to_value(after).expect("it serialises");
    assert_eq!(json["history"][0]["what"], "eclipsed");
}

#[test]
fn a_history_keeps_its_first_entry_and_the_last_ones_and_counts_repetitions() {
    let mut batch = opened(Closing::default());
    for n in 0..500 {
        batch.note(NOW, HistoryEvent::Unknown("looked".to_owned()), &(n / 2).to_string());
    }
    assert_eq!(batch.history.len(), history::MAX_ENTRIES);
    let of = |at: usize| (batch.history[at].what.as_str(), batch.history[at].times);
    assert_eq!((of(0), of(1)), (("opened", 1), ("looked", 2)));
    assert_eq!(batch.history.last().map(|entry| entry.detail.as_str()), Some("249"));
}

#[test]
fn what_wakes_a_batch_is_the_end_of_its_run_or_a_slot_that_gets_free() {
    assert_eq!(started(&sealed()).awaits(), Some(run_ended(&start(), "jr_1")));
    let waits = Batch { state: State::Sealed { due: NOW, waits_for_slot: true }, ..sealed() };
    assert_eq!(waits.awaits(), Some("slot 222222222222/eu-west-1/orders".to_owned()));
    assert_eq!((sealed().awaits(), starting(&sealed()).awaits()), (None, None));
    let why = Why::NoSuchJob;
    let parked = Batch { state: State::Parked { why, message: String::new() }, ..sealed() };
    assert_eq!(parked.awaits().as_deref(), Some(PARKED));
}
