//! How the trigger assumes the starter role.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::Duration;

use landfall_aws::assumed_role::{AssumedRole, Assumption};
use landfall_core::batch::State;
use landfall_stand_ins::{Act, Sts};

use crate::stage::{EXTERNAL_ID, Stage, arrivals, history};

const NONE: [&str; 0] = [];

#[tokio::test]
async fn the_role_is_assumed_once_for_many_invocations_with_external_id_and_a_telling_name() {
    let stage = Stage::new().await;
    for key in ["orders/1/a", "orders/2/a", "orders/3/a"] {
        assert_eq!(stage.failures(&arrivals(&[key])).await, NONE);
    }
    let assumptions = stage.assumptions();
    assert_eq!(assumptions.len(), 1);
    let asked = |name: &str| assumptions[0].get(name).and_then(|value| value.as_str());
    assert_eq!(asked("RoleArn"), Some("arn:aws:iam::222222222222:role/landfall-starter"));
    assert_eq!(asked("ExternalId"), Some(EXTERNAL_ID));
    assert_eq!(asked("RoleSessionName"), Some("landfall-trigger@111111111111"));
    assert_eq!(asked("DurationSeconds"), Some("3600"));
    assert_eq!(asked("SourceIdentity"), None);
}

#[tokio::test]
async fn a_source_identity_is_set_where_one_is_configured() {
    let stage = Stage::with(&[("LANDFALL_SOURCE_IDENTITY", "platform-team")]).await;
    assert_eq!(stage.failures(&arrivals(&["orders/1/a"])).await, NONE);
    assert_eq!(stage.assumptions()[0]["SourceIdentity"], "platform-team");
}

#[tokio::test]
async fn credentials_that_expire_soon_are_refreshed_before_they_do() {
    let stage = Stage::new().await;
    stage.aws.sts(Sts::GrantsFor(Duration::from_secs(240)));
    for key in ["orders/1/a", "orders/2/a"] {
        assert_eq!(stage.failures(&arrivals(&[key])).await, NONE);
    }
    // Each use assumes the role again: before the start, at the start, and once to look at the job.
    assert_eq!((stage.assumptions().len(), stage.starts().len()), (5, 2));
}

#[tokio::test]
async fn credentials_that_cannot_be_refreshed_are_used_until_they_expire() {
    let stage = Stage::new().await;
    stage.aws.sts(Sts::GrantsOnce(Duration::from_secs(240)));
    for key in ["orders/1/a", "orders/2/a", "orders/3/a"] {
        assert_eq!(stage.failures(&arrivals(&[key])).await, NONE);
    }
    assert_eq!((stage.assumptions().len(), stage.aws.runs("orders").len()), (2, 3));
}

#[tokio::test]
async fn a_role_that_cannot_be_assumed_starts_nothing_and_what_waits_for_it_is_in_the_ledger() {
    let stage = Stage::new().await;
    stage.aws.sts(Sts::Denies);
    let event = arrivals(&["orders/1/a", "unrouted", "orders/2/a"]);
    assert_eq!(stage.failures(&event).await, NONE);
    assert_eq!((stage.assumptions().len(), stage.starts().len()), (1, 0));
    let batches = stage.batches().await;
    assert_eq!(batches.len(), 2);
    for batch in &batches {
        assert!(matches!(batch.state, State::Sealed { waits_for_slot: false, .. }), "{batch:?}");
        assert_eq!(history(batch), ["opened", "sealed", "starting", "deferred"]);
        assert_eq!(batch.deferrals, 1);
    }
    assert_eq!(stage.codes(), [("assume_role_denied".to_owned(), 2)].into());
}

#[tokio::test]
async fn a_role_that_refuses_its_old_session_is_assumed_anew() {
    // The error may occur when the trigger looks at the job, or at the start.
    for operation in ["GetJob", "StartJobRun"] {
        let stage = Stage::new().await;
        stage.aws.answer(operation, |_, number| match number {
            0 => Act::Fail { status: 400, code: "UnrecognizedClientException" },
            _ => Act::Serve,
        });
        for key in ["orders/1/a", "orders/2/a"] {
            assert_eq!(stage.failures(&arrivals(&[key])).await, NONE);
        }
        let states = stage.batches().await.into_iter().map(|batch| batch.state.name());
        assert_eq!(states.collect::<Vec<_>>(), ["sealed", "started"], "{operation}");
        assert_eq!(stage.assumptions().len(), 2, "{operation}");
    }
}

#[tokio::test]
async fn a_start_that_never_left_is_known_not_to_have_happened() {
    let stage = Stage::new().await;
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("a port");
    let assumption = Assumption {
        role_arn: "arn:aws:iam::222222222222:role/landfall-starter".to_owned(),
        external_id: None,
        session_name: "test".to_owned(),
        source_identity: None,
    };
    let role = AssumedRole::new(aws_sdk_sts::Client::new(&stage.config), assumption);
    let config = stage.config.to_builder().endpoint_url(format!("http://{closed}")).build();
    let glue = landfall_aws::glue::Glue::new(&config, "222222222222", "eu-west-1", role);
    let error = glue.start_job_run("orders", &BTreeMap::new(), None).await.unwrap_err();
    assert_eq!(error.code(), "start_failed", "{error}");
}
