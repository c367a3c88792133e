//! The events are kept as files, which pytest judges by OpenLineage's own classes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use expect_test::{ExpectFile, expect_file};

use super::*;
use crate::batch::{
    Bounds, Claim, ClaimMode, Closing, Draft, EndOutcome, FoundRun, Lookup, Member, Prepared,
    RepeatSeen, Scope, Seen, Start, StartOutcome, Step, Why, next,
};
use crate::moment::Moment;

const NOW: Time = Time(1_000_000_000_000);

fn moment(after: u64) -> Moment {
    let now = NOW + Duration::from_secs(after);
    Moment { now, lease: now + Duration::from_secs(120), jitter: 0 }
}

/// Closed with so many members, prepared, and due.
fn sealed(members: usize) -> Batch {
    let start = Start {
        target: "analytics".to_owned(),
        account: "222222222222".to_owned(),
        region: "eu-west-1".to_owned(),
        starter_role_arn: "arn:aws:iam::222222222222:role/landfall-starter".to_owned(),
        job: "orders".to_owned(),
        arguments: BTreeMap::new(),
        values: BTreeMap::new(),
        max_concurrent_runs: None,
        max_runs_per_hour: None,
        attempts: 3,
        retry_states: vec![RunState::Failed],
        scope: Scope::Job,
        claim: ClaimMode::Required,
        announce: false,
        listing_limit: None,
    };
    let id = "0123456789abcdef0123456789abcdef".to_owned();
    let draft = Draft {
        route: "orders".to_owned(),
        bucket: "landing".to_owned(),
        group: BTreeMap::from([("dt".to_owned(), "2026-01-31".to_owned())]),
        start,
        closing: Closing::default(),
        listing: None,
        members: Vec::new(),
        markers: Vec::new(),
    };
    let batch = draft.batch(id, &moment(0)).with(members, false, true, &moment(0));
    let prepared = Prepared {
        objects: members as u64,
        bytes: Some(42),
        manifest: "s3://manifests/manifests/orders/0123.json".to_owned(),
        arguments: BTreeMap::new(),
    };
    Batch { prepared: Some(prepared), ..batch }
}

/// What is written when this is seen so many seconds after [`NOW`].
#[track_caller]
fn written(batch: &Batch, seen: &Seen, after: u64) -> Batch {
    let bounds = Bounds {
        reconciliation: Duration::from_secs(900),
        manifests_kept: Duration::from_secs(90 * 86_400),
    };
    match next(batch, seen, &moment(after), &bounds) {
        Step::Write { batch, .. } | Step::Begin { batch, .. } => *batch,
        step => panic!("{step:?}"),
    }
}

fn run_id(epoch: u32) -> String {
    format!("jr_{epoch}")
}

/// Written ahead, and with its run.
fn started(batch: &Batch, after: u64) -> [Batch; 2] {
    let starting = written(batch, &Seen::Wake, after);
    let run = Seen::Start(StartOutcome::Started(run_id(starting.epoch)));
    let started = written(&starting, &run, after + 1);
    [starting, started]
}

fn ended(started: &Batch, run_state: RunState, holder: Option<u32>) -> Batch {
    let claim = Claim { holder, ended: 0 };
    written(started, &Seen::Claim { run: run_state.into(), claim }, 62)
}

fn member(key: &str) -> Member {
    Member {
        key: key.to_owned(),
        version_id: Some("3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY".to_owned()),
        etag: Some("d41d8cd98f00b204e9800998ecf8427e".to_owned()),
        size: Some(42),
        sequencer: Some("01".to_owned()),
        event_time: None,
        listing: None,
        again: false,
    }
}

fn types(events: &[RunEvent]) -> Vec<EventType> {
    events.iter().map(|event| event.event_type).collect()
}

/// The only event of a change, as it is kept.
#[track_caller]
fn check(before: &Batch, after: &Batch, inputs: Vec<Member>, expect: ExpectFile) {
    let events = events(before, after);
    let [event] = &events[..] else { panic!("{events:?}") };
    let events: Vec<_> = event.clone().with_inputs("landing", &Manifest::of(inputs)).collect();
    expect.assert_eq(&format!("{}\n", serde_json::to_string_pretty(&events).expect("JSON")));
}

macro_rules! kept {
    ($name:literal) => {
        expect_file![concat!("../../../../tests/fixtures/openlineage/", $name, ".json")]
    };
}

#[test]
fn a_run_that_was_started_is_told_with_what_it_reads() {
    let [starting, started] = started(&sealed(2), 1);
    let bare =
        Member { version_id: None, size: None, ..member("orders/dt=2026-01-31/ö \" +.csv") };
    let inputs = vec![member("orders/dt=2026-01-31/a.csv"), bare];
    check(&starting, &started, inputs, kept!["start"]);
}

#[test]
fn the_outcome_of_a_run_is_told() {
    let [_, started] = started(&sealed(1), 1);
    let inputs = || vec![member("orders/dt=2026-01-31/a.csv")];
    let succeeded = ended(&started, RunState::Succeeded, Some(1));
    check(&started, &succeeded, inputs(), kept!["complete"]);
    let failed = ended(&started, RunState::Failed, Some(1));
    check(&started, &failed, Vec::new(), kept!["fail"]);
    let stopped = ended(&started, RunState::Stopped, None);
    check(&started, &stopped, Vec::new(), kept!["abort"]);
    // It did not show that it did its work.
    let parked = ended(&started, RunState::Succeeded, None);
    assert!(matches!(parked.state, State::Parked { why: Why::NotClaimed, .. }));
    check(&started, &parked, Vec::new(), kept!["not_claimed"]);
}

#[test]
fn what_is_no_start_and_no_end_of_a_run_is_not_told() {
    let sealed = sealed(1);
    let [starting, started] = started(&sealed, 1);
    let seen = Seen::Run(Some(RunState::Running.into()));
    let running = written(&started, &seen, 61);
    let refused = Seen::Start(StartOutcome::Unknown("no answer".to_owned()));
    let unknown = written(&starting, &refused, 1);
    let failed = ended(&started, RunState::Failed, Some(1));
    let retried = written(&failed, &Seen::ClaimEnded(EndOutcome::Ended), 62);
    let changes =
        [(&sealed, &starting), (&started, &running), (&starting, &unknown), (&failed, &retried)];
    for (before, after) in changes {
        assert_eq!(events(before, after), Vec::new(), "{after:?}");
    }
}

#[test]
fn a_retry_is_another_run_and_start_and_end_of_one_run_have_one_id() {
    let [starting, first] = started(&sealed(1), 1);
    let failed = ended(&first, RunState::Failed, Some(1));
    let retried = written(&failed, &Seen::ClaimEnded(EndOutcome::Ended), 62);
    let [starting_again, second] = started(&retried, 1_000);
    let succeeded = ended(&second, RunState::Succeeded, Some(2));
    let sent: Vec<RunEvent> =
        [(&starting, &first), (&first, &failed), (&starting_again, &second), (&second, &succeeded)]
            .iter()
            .flat_map(|(before, after)| events(before, after))
            .collect();
    assert_eq!(
        types(&sent),
        [EventType::Start, EventType::Fail, EventType::Start, EventType::Complete]
    );
    let ids: Vec<Uuid> = sent.iter().map(|event| event.run.run_id).collect();
    assert_eq!((ids[0], ids[2]), (ids[1], ids[3]));
    assert_ne!(ids[0], ids[2]);
    assert!(ids.iter().all(|id| id.get_version_num() == 7), "{ids:?}");
}

/// Two runs of one batch: the second is followed, and leaves, since the first holds the claim.
#[test]
fn a_run_that_lost_the_claim_has_ended_without_effect_and_the_holder_goes_on_as_it_began() {
    let [starting, first] = started(&sealed(1), 1);
    let runs = [1, 2].map(|epoch| FoundRun { epoch, run_id: run_id(epoch) });
    let found = Seen::Lookup(Lookup::Complete(runs.to_vec()));
    let second = written(&Batch { epoch: 2, ..starting.clone() }, &found, 2);
    let holder = ended(&second, RunState::Succeeded, Some(1));
    let sent = events(&second, &holder);
    assert_eq!(types(&sent), [EventType::Abort, EventType::Start]);
    let message = sent[0].run.facets.error_message.as_ref().map(Facet::content);
    let message = message.map(|error| error.message.as_str());
    assert_eq!(message, Some("run `jr_1` holds the claim on the batch"));
    // As it was sent when the run was started: a receiver learns nothing new.
    assert_eq!(events(&starting, &first), [sent[1].clone()]);
}

/// By itself, as the job's `MaxRetries` says.
#[test]
fn the_attempts_that_glue_makes_of_a_run_are_one_run_for_lineage() {
    let mut sealed = sealed(1);
    sealed.start.claim = ClaimMode::Optional;
    let [starting, started] = started(&sealed, 1);
    let failed =
        |repeat| Seen::Repeat { run: RunState::Failed.into(), claim: Claim::default(), repeat };
    let waits = written(&started, &failed(RepeatSeen::NotSeen { max_retries: 1 }), 62);
    let repeated = written(&waits, &failed(RepeatSeen::Begun), 122);
    let succeeded = ended(&repeated, RunState::Succeeded, None);
    let told: Vec<RunEvent> =
        [(&starting, &started), (&started, &waits), (&waits, &repeated), (&repeated, &succeeded)]
            .iter()
            .flat_map(|(before, after)| events(before, after))
            .collect();
    assert_eq!(types(&told), [EventType::Start, EventType::Complete]);
    assert_eq!(told[0].run.run_id, told[1].run.run_id);
}

#[test]
fn the_same_change_is_told_in_the_same_words_whenever_it_is_told() {
    let [starting, started] = started(&sealed(1), 1);
    let sent = |_| events(&starting, &started).iter().map(RunEvent::json).collect::<String>();
    assert_eq!(BTreeSet::from([0, 1].map(sent)).len(), 1);
}

/// The first as long as keys can be.
#[test]
fn inputs_are_told_in_pieces_that_fit_and_each_once() {
    let key = |n: usize| format!("{n:06}{}", "\u{1}".repeat(if n < 1_000 { 1_018 } else { 40 }));
    let keys: Vec<String> = (0..20_000).map(key).collect();
    let manifest = Manifest::of(keys.iter().map(|key| member(key)).collect());
    let [starting, started] = started(&sealed(keys.len()), 1);
    let event = events(&starting, &started).remove(0);
    let pieces: Vec<RunEvent> = event.clone().with_inputs("landing", &manifest).collect();
    assert!(pieces.iter().all(|piece| piece.json().len() <= MAX_BYTES));
    let fullest = pieces.iter().map(|piece| piece.json().len()).max();
    assert!(fullest > Some(MAX_BYTES - 10_000), "{fullest:?}");
    let rest = types(&pieces[1..]);
    assert!(pieces[0].is_start() && rest.iter().all(|t| *t == EventType::Running));
    let sent = pieces.iter().flat_map(|piece| &piece.inputs).map(|input| &input.name);
    assert!(sent.eq(keys.iter()), "in order, each once");
    let ids: BTreeSet<Uuid> = pieces.iter().map(|piece| piece.run.run_id).collect();
    assert_eq!(ids.len(), 1);
    let alone: Vec<_> = event.with_inputs("landing", &Manifest::of(Vec::new())).collect();
    assert_eq!(alone.len(), 1, "without inputs an event is sent all the same");
}

#[test]
fn a_long_message_is_cut() {
    let [_, started] = started(&sealed(1), 1);
    let message = "é".repeat(100_000);
    let parked = State::Parked { why: Why::RunVanished, message };
    let parked = Batch { state: parked, ..started.clone() };
    assert!(events(&started, &parked)[0].json().len() < 10_000);
}
