//! Batch ids, and what follows from them; batches of the version before beside those of this one.

use super::*;

const HASH: &str = "0123456789abcdef0123456789abcdef";

fn own() -> JobResources {
    JobResources {
        reader_role_arn: "arn:reader".to_owned(),
        claims_table_arn: "arn:claims".to_owned(),
        manifests_bucket: "manifests".to_owned(),
    }
}

fn member() -> Member {
    let (key, size) = ("orders/a.csv".to_owned(), Some(1));
    Member {
        key,
        version_id: None,
        etag: None,
        size,
        sequencer: None,
        event_time: None,
        listing: None,
        again: false,
    }
}

fn of_now(batch: Batch) -> Batch {
    Batch { id: format!("222222222222-{HASH}"), ..batch }
}

#[test]
fn an_id_begins_with_its_account_and_one_of_the_version_before_with_none() {
    let of = |account: &str| {
        let start = Start { account: account.to_owned(), ..start() };
        Draft { start, ..draft(Closing::default()) }.batch_id(&member())
    };
    let (one, other) = (of("222222222222"), of("333333333333"));
    let [one, other] = [&one, &other].map(|id| BatchId::parse(id).expect("an id"));
    assert_eq!((one.account, other.account), (Some("222222222222"), Some("333333333333")));
    // The hash is the one that the version before wrote alone.
    assert_eq!((one.hash, other.hash), ("be4344d53f6aef790769d1e752047235", one.hash));
    let parts = |text: &'static str| BatchId::parse(text).map(|id| (id.account, id.hash));
    assert_eq!(parts(HASH), Some((None, HASH)));
    for text in ["b", "", "0123456789ABCDEF0123456789ABCDEF", "22222222222-", "orders-1"] {
        assert_eq!((parts(text), BatchId::account_of(text)), (None, None), "{text}");
    }
    let uncut = format!("222222222222-{HASH}0");
    assert_eq!(BatchId::parse(&uncut), None);
}

#[test]
fn a_manifest_lies_below_the_account_of_its_batch_and_that_of_a_former_one_where_it_was() {
    let keys = [of_now(sealed()), sealed()].map(|batch| {
        let key = JobResources::manifest_key(&batch.route, &batch.id);
        let manifest = Manifest::of(vec![member()]);
        let prepared = manifest.prepared(&batch, &own(), &key).expect("prepared");
        let uri = format!("s3://manifests/{key}");
        let told = ["--landfall-batch-id", "--landfall-manifest"].map(|n| &prepared.arguments[n]);
        assert_eq!((&prepared.manifest, told), (&uri, [&batch.id, &uri]));
        key
    });
    assert_eq!(
        keys,
        [
            format!("manifests/222222222222/orders/222222222222-{HASH}.json"),
            format!("manifests/orders/{HASH}.json")
        ]
    );
    // Whatever a route is called: of an id without an account the key is the former one.
    let key = JobResources::manifest_key("333333333333", HASH);
    assert_eq!(key, format!("manifests/333333333333/{HASH}.json"));
}

#[test]
fn a_batch_is_former_if_its_id_or_its_manifest_is() {
    let prepared = |batch: &Batch, manifest: String| Batch {
        prepared: Some(Prepared { manifest, ..prepared() }),
        ..batch.clone()
    };
    let now = of_now(opened(Closing::default()));
    assert!(!now.is_former());
    assert!(opened(Closing::default()).is_former());
    let key = JobResources::manifest_key(&now.route, &now.id);
    assert!(!prepared(&now, format!("s3://b/{key}")).is_former());
    let key = JobResources::manifest_key_by_content(&now.route, &now.id, "{}");
    assert!(!prepared(&now, format!("s3://b/{key}")).is_former());
    // A monitor of the version before has prepared it, before it was replaced.
    assert!(prepared(&now, format!("s3://b/manifests/orders/{}.json", now.id)).is_former());
}

/// The item of the version before, in each of its states.
fn former(state: &str) -> Batch {
    let prepared = match state {
        r#"{"name":"open","closes_at":1000000000000}"#
        | r#"{"name":"sealed","due":1000000000000,"waits_for_slot":false}"# => "null".to_owned(),
        _ => format!(
            r#"{{"objects":1,"bytes":1,"manifest":"s3://manifests/manifests/orders/{HASH}.json",
                "arguments":{{"--landfall-batch-id":"{HASH}","--landfall-claims-table":"arn:claims",
                "--landfall-manifest":"s3://manifests/manifests/orders/{HASH}.json",
                "--landfall-reader-role":"arn:reader"}}}}"#
        ),
    };
    let epoch = u8::from(!state.contains("open") && !state.contains("sealed"));
    let item = format!(
        r#"{{"v":1,"id":"{HASH}","route":"orders","bucket":"landing","group":{{"dt":"2026-01-31"}},
        "start":{{"target":"analytics","account":"222222222222","region":"eu-west-1",
        "starter_role_arn":"arn:aws:iam::222222222222:role/landfall-starter","job":"orders","arguments":{{}},
        "values":{{}},"max_concurrent_runs":null,"max_runs_per_hour":null,"attempts":3,
        "retry_states":["FAILED"]}},"closing":{{"window_secs":60,"quiet_secs":null,"settle_secs":0,
        "max_objects":null}},"state":{state},"epoch":{epoch},"failures":0,"deferrals":0,
        "opened_at":1000000000000,"first_arrival_at":1000000000000,"last_arrival_at":1000000000000,
        "marker_at":null,"members":1,"chunks":1,"prepared":{prepared},"runs":[],"holds_slot":false,
        "history":[{{"at":1000000000000,"what":"opened"}}],"revision":1}}"#
    );
    serde_json::from_str(&item).expect("an item of the version before")
}

/// Goes on with a batch until it has succeeded, its first run from here on failing if `fails`: the ids that
/// claims are asked about and the manifests that runs are given.
fn carried_to_the_end(mut batch: Batch, fails: bool) -> (Batch, Vec<String>) {
    let (mut seen, mut after, mut given) = (Seen::Wake, 0, Vec::new());
    let mut failing = fails;
    for _ in 0..100 {
        after += 3_600;
        let epoch = batch.epoch;
        seen = match next(&batch, &seen, &moment(after), &SETTINGS) {
            Step::Rest => match &batch.state {
                State::Succeeded { .. } => return (batch, given),
                State::Parked { .. } => {
                    batch = batch.returned(moment(after).now).expect("it is parked");
                    Seen::Nothing
                }
                _ => Seen::Wake,
            },
            Step::Write { batch: written, .. } => {
                batch = *written;
                Seen::Nothing
            }
            Step::Assume(assumed) => {
                batch = *assumed;
                Seen::Wake
            }
            Step::Begin { batch: begun, .. } => {
                batch = *begun;
                Seen::Begun
            }
            Step::Prepare => {
                let manifest = Manifest::of(vec![member()]);
                let key = JobResources::manifest_key(&batch.route, &batch.id);
                Seen::Prepared(manifest.prepared(&batch, &own(), &key))
            }
            Step::Start => {
                let arguments = &batch.prepared.as_ref().expect("it is prepared").arguments;
                given.push(arguments["--landfall-batch-id"].clone());
                given.push(arguments["--landfall-manifest"].clone());
                Seen::Start(StartOutcome::Started(format!("jr_{epoch}")))
            }
            Step::Announce { .. } => Seen::Announced(Ok(())),
            Step::ReadSlot => Seen::Slot(Slot::default()),
            Step::Lookup { .. } => Seen::Lookup(Lookup::Complete(Vec::new())),
            Step::Follow { .. } => Seen::Run(Some(if std::mem::take(&mut failing) {
                RunState::Failed.into()
            } else {
                RunState::Succeeded.into()
            })),
            Step::ReadClaim { run } => {
                let claim = Claim { holder: Some(epoch), ended: 0 };
                Seen::Claim { run, claim }
            }
            Step::FindRepeat { .. } => {
                unreachable!("a run that must claim is not repeated by Glue")
            }
            Step::EndClaim { .. } => Seen::ClaimEnded(EndOutcome::Ended),
        };
    }
    panic!("it does not end: {batch:?}");
}

#[test]
fn a_batch_of_the_version_before_goes_on_under_its_id_wherever_it_stands() {
    let t = 1_000_000_000_000_u64;
    for state in [
        format!(r#"{{"name":"open","closes_at":{t}}}"#),
        format!(r#"{{"name":"sealed","due":{t},"waits_for_slot":false}}"#),
        format!(r#"{{"name":"starting","t0":{t},"lease":{t},"look_at":{t}}}"#),
        format!(r#"{{"name":"started","epoch":1,"run_id":"jr_1","since":{t},"look_at":{t}}}"#),
        r#"{"name":"parked","why":"no_such_job","message":"m"}"#.to_owned(),
    ] {
        for fails in [false, true] {
            let (batch, given) = carried_to_the_end(former(&state), fails);
            assert_eq!((batch.id.as_str(), batch.is_former()), (HASH, true), "{state}");
            let manifest = format!("s3://manifests/manifests/orders/{HASH}.json");
            let is_same = |given: &[String]| given == [HASH.to_owned(), manifest.clone()];
            assert!(given.chunks(2).all(is_same), "{state}: {given:?}");
            assert_eq!(batch.prepared.expect("it is prepared").manifest, manifest);
        }
    }
}
