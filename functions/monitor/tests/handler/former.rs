//! Batches of the previous version, whose IDs name no account, beside those of this one.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use landfall_aws::clock::moment;
use landfall_aws::clock::now;
use landfall_core::arrivals::Intake;
use landfall_core::batch::{BatchId, Started, Starting, State};
use landfall_core::plan::plan;
use landfall_core::routes::Routes;
use serde_json::json;
use serde_json::value::to_raw_value;

use crate::stage::{ROUTES, Stage, created};

const CLAIMS: &str = "claims";

/// Records these objects as the previous version did, which differs only in the IDs, and then dies.
async fn recorded_formerly(stage: &Stage, keys: &[&str]) {
    let records: Vec<_> = keys.iter().map(|key| created(key)).collect();
    let event = to_raw_value(&json!({ "Records": records })).expect("JSON");
    let messages = Intake::read(&event, None).expect("an event").messages.into_iter();
    let arrivals: Vec<_> =
        messages.flat_map(|message| message.content.expect("arrivals").arrivals).collect();
    let routes = Routes::parse(ROUTES).routes.expect("valid routes");
    let deadline = SystemTime::now() + Duration::from_secs(10);
    for request in plan(&routes, &arrivals).requests {
        let draft = request.draft;
        let former = |first: &_| {
            let id = draft.batch_id(first);
            BatchId::parse(&id).expect("an id").hash.to_owned()
        };
        let recorded = stage.ledger.record(&draft, former, || moment(deadline), deadline).await;
        assert_eq!(recorded.expect("recorded").duplicates, 0);
    }
}

/// Returns what each run was passed about its batch.
fn told(stage: &Stage) -> Vec<(String, String)> {
    let told = |call: &serde_json::Value| {
        let argument = |name: &str| call["Arguments"][name].as_str().expect("a text").to_owned();
        (argument("--landfall-batch-id"), argument("--landfall-manifest"))
    };
    stage.aws.calls_of("StartJobRun").iter().map(told).collect()
}

/// Ends the only run that is still running, with this state, and reports it to the monitor.
async fn ends(stage: &Stage, job: &str, state: &str) {
    let run = stage.running(job).remove(0);
    stage.end(&run, state).await;
    assert_eq!(stage.told(&[&run]).await, [""; 0]);
}

#[tokio::test]
async fn a_batch_of_the_version_before_goes_on_to_its_end_with_its_id_its_manifest_and_its_claim() {
    let stage = Stage::new().await;
    recorded_formerly(&stage, &["retried/x"]).await;
    let batch = stage.batch().await;
    assert_eq!((batch.state.name(), BatchId::account_of(&batch.id)), ("sealed", None));
    assert_eq!((stage.tick().await.due, stage.starts()), (1, 1));
    // The batch makes all its attempts and is parked. Then somebody returns it.
    ends(&stage, "retried", "FAILED").await;
    stage.make_due(stage.again(&batch).await).await;
    assert_eq!((stage.tick().await.due, stage.starts()), (1, 2));
    ends(&stage, "retried", "FAILED").await;
    let parked = stage.again(&batch).await;
    stage.write(parked.returned(now()).expect("it is parked")).await;
    assert_eq!((stage.tick().await.due, stage.starts()), (1, 3));
    ends(&stage, "retried", "SUCCEEDED").await;
    assert_eq!(stage.batch().await.state.name(), "succeeded");
    let key = format!("manifests/retried/{}.json", batch.id);
    let expected = (batch.id.clone(), format!("s3://manifests/{key}"));
    assert_eq!(told(&stage), vec![expected; 3]);
    assert_eq!(stage.aws.objects("manifests"), [key]);
    // There is one claim, under the one key.
    let claims = stage.aws.items(CLAIMS);
    assert_eq!(claims.len(), 1, "{claims:?}");
    assert_eq!(claims[0]["batch_id"]["S"], batch.id);
}

#[tokio::test]
async fn a_run_that_the_version_before_started_is_followed_by_the_claim_of_its_id() {
    let stage = Stage::new().await;
    recorded_formerly(&stage, &["retried/x"]).await;
    stage.tick().await;
    // The previous version left the batch started, or with a start whose outcome it didn't learn.
    let batch = stage.batch().await;
    let State::Started(Started { epoch: 1, .. }) = &batch.state else { panic!("{batch:?}") };
    let t = now() - Duration::from_secs(100);
    let starting = State::Starting(Starting { t0: t, lease: t, look_at: t, missing: None });
    let (state, runs) = (starting, Vec::new());
    let batch = stage.write(landfall_core::batch::Batch { state, runs, ..batch }).await;
    stage.tick().await;
    assert_eq!((stage.again(&batch).await.state.name(), stage.starts()), ("started", 1));
    ends(&stage, "retried", "SUCCEEDED").await;
    assert_eq!(stage.again(&batch).await.state.name(), "succeeded");
}

#[tokio::test]
async fn an_open_batch_of_the_version_before_takes_what_arrives_and_keeps_its_id() {
    let stage = Stage::new().await;
    recorded_formerly(&stage, &["marked/x/a"]).await;
    let batch = stage.batch().await;
    stage.arrive(&["marked/x/b"]).await;
    stage.arrive(&["marked/x/a", "marked/x/_SUCCESS"]).await;
    let again = stage.batch().await;
    assert_eq!((&again.id, again.state.name(), again.members), (&batch.id, "open", 2));
    stage.make_due(again).await;
    assert_eq!((stage.tick().await.due, stage.starts()), (1, 1));
    let manifest = format!("s3://manifests/manifests/marked/{}.json", batch.id);
    assert_eq!(told(&stage), [(batch.id.clone(), manifest)]);
    // The next batch of the group is of this version.
    stage.arrive(&["marked/x/c"]).await;
    let accounts: Vec<bool> = stage.batches().await.iter().map(|b| b.is_former()).collect();
    assert_eq!(accounts, [true, false]);
}

#[tokio::test]
async fn what_the_version_before_recorded_is_in_no_second_batch() {
    let stage = Stage::new().await;
    recorded_formerly(&stage, &["orders/x/a", "orders/x/b", "marked/x/a"]).await;
    let before: BTreeSet<String> = stage.batches().await.into_iter().map(|b| b.id).collect();
    assert_eq!(before.len(), 2);
    // The message was not acknowledged, so this version gets it again, and gets it twice.
    for _ in 0..2 {
        stage.arrive(&["orders/x/a", "orders/x/b", "marked/x/a"]).await;
    }
    let after: BTreeSet<String> = stage.batches().await.into_iter().map(|b| b.id).collect();
    assert_eq!(after, before);
    stage.arrive(&["orders/x/b", "orders/x/c"]).await;
    let batches = stage.batches().await;
    let [new] = &batches.iter().filter(|b| !before.contains(&b.id)).collect::<Vec<_>>()[..] else {
        panic!("{batches:?}")
    };
    assert_eq!((new.members, BatchId::account_of(&new.id)), (1, Some("222222222222")));
}

#[tokio::test]
async fn a_batch_is_named_after_the_account_that_its_route_had_when_it_was_opened() {
    let mut stage = Stage::new().await;
    stage.arrive(&["marked/x/a"]).await;
    stage.reroute(&ROUTES.replace("222222222222", "333333333333"));
    stage.arrive(&["marked/x/b", "marked/y/a", "marked/x/_SUCCESS", "marked/y/_SUCCESS"]).await;
    for batch in stage.batches().await {
        stage.make_due(batch).await;
    }
    stage.tick().await;
    let mut told = told(&stage);
    told.sort();
    let batches = stage.batches().await;
    let mut expected = Vec::new();
    for batch in &batches {
        let account = BatchId::account_of(&batch.id).expect("an account");
        assert_eq!(account, batch.start.account);
        let key = format!("manifests/{account}/marked/{}.json", batch.id);
        expected.push((batch.id.clone(), format!("s3://manifests/{key}")));
    }
    let accounts: Vec<&str> = batches.iter().map(|batch| batch.start.account.as_str()).collect();
    assert_eq!((accounts, batches[0].members), (vec!["222222222222", "333333333333"], 2));
    expected.sort();
    assert_eq!(told, expected);
}
