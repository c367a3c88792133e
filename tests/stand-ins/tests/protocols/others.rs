//! STS, Glue and S3, and what a rule can do with a call.

use std::time::{Duration, Instant, SystemTime};

use aws_sdk_glue::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumAlgorithm;
use landfall_stand_ins::{Act, StandIn, Sts};
use serde_json::json;

use crate::config;

#[tokio::test]
async fn a_session_is_granted_for_as_long_as_was_said() {
    let aws = StandIn::start(vec![]);
    let sts = aws_sdk_sts::Client::new(&config(&aws).await);
    let assume = || {
        let call = sts.assume_role().role_arn("arn:aws:iam::222222222222:role/starter");
        call.role_session_name("a b&c").external_id("id-7")
    };
    aws.sts(Sts::GrantsOnce(Duration::from_secs(600)));
    let answer = assume().send().await.expect("granted");
    let credentials = answer.credentials.expect("credentials");
    assert_eq!(credentials.access_key_id, "ASIA0");
    let end = SystemTime::try_from(credentials.expiration).expect("a time");
    let left = end.duration_since(SystemTime::now()).expect("in the future");
    assert!((Duration::from_secs(590)..=Duration::from_secs(600)).contains(&left), "{left:?}");
    assert_eq!(aws.calls_of("AssumeRole")[0]["RoleSessionName"], "a b&c");

    assert_eq!(assume().send().await.unwrap_err().code(), Some("RegionDisabledException"));
    aws.sts(Sts::Denies);
    assert_eq!(assume().send().await.unwrap_err().code(), Some("AccessDenied"));
    aws.sts(Sts::RepeatsExternalId);
    let error = assume().send().await.unwrap_err();
    assert!(error.message().is_some_and(|message| message.contains("'id-7'")), "{error:?}");
}

#[tokio::test]
async fn runs_are_listed_the_newest_first_and_keep_their_place_while_others_start() {
    let aws = StandIn::start(vec![]);
    let glue = aws_sdk_glue::Client::new(&config(&aws).await);
    let start = async |batch: &str| {
        let call = glue.start_job_run().job_name("orders").arguments("--batch", batch);
        call.send().await.expect("started").job_run_id.expect("an id")
    };
    for number in 0..5 {
        start(&number.to_string()).await;
    }
    let (mut found, mut token) = (Vec::new(), None);
    loop {
        let call = glue.get_job_runs().job_name("orders").max_results(2).set_next_token(token);
        let page = call.send().await.expect("a page");
        found.extend(
            page.job_runs().iter().map(|run| run.arguments().expect("some")["--batch"].clone()),
        );
        start("later").await;
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(found, ["4", "3", "2", "1", "0"]);
    assert_eq!(aws.runs("orders").len(), 8);
}

#[tokio::test]
async fn the_session_policy_of_a_run_is_kept_and_one_that_is_too_long_refused() {
    let aws = StandIn::start(vec![]);
    let glue = aws_sdk_glue::Client::new(&config(&aws).await);
    let start = async |policy: &str| {
        let call = glue.start_job_run().job_name("orders").execution_role_session_policy(policy);
        call.send().await
    };
    let id = start("{}").await.expect("started").job_run_id.expect("an id");
    let run = glue.get_job_run().job_name("orders").run_id(id).send().await.expect("a run").job_run;
    let kept = run.expect("a run").execution_role_session_policy;
    assert_eq!(kept.as_deref(), Some("{}"));
    for policy in ["{", &"x".repeat(2_049)] {
        let error = start(policy).await.unwrap_err();
        assert_eq!(error.code(), Some("InvalidInputException"));
    }
    assert_eq!(aws.runs("orders").len(), 1);
}

#[tokio::test]
async fn a_run_is_in_the_state_that_the_test_sets() {
    let aws = StandIn::start(vec![]);
    let glue = aws_sdk_glue::Client::new(&config(&aws).await);
    let id = glue.start_job_run().job_name("orders").send().await.expect("started").job_run_id;
    let id = id.expect("an id");
    let run = async |job: &str, id: &str| {
        let answer = glue.get_job_run().job_name(job).run_id(id).send().await;
        answer
            .map(|answer| answer.job_run.expect("a run"))
            .map_err(|error| error.code().unwrap_or_default().to_owned())
    };
    let before = run("orders", &id).await.expect("known");
    assert_eq!(before.job_run_state.expect("a state").as_str(), "RUNNING");
    let started = SystemTime::try_from(before.started_on.expect("a time")).expect("a time");
    assert!(started.elapsed().expect("in the past") < Duration::from_secs(60));
    assert!(aws.set_run_state(&id, "SUCCEEDED") && !aws.set_run_state("jr_0", "FAILED"));
    let after = run("orders", &id).await.expect("known");
    assert_eq!(after.job_run_state.expect("a state").as_str(), "SUCCEEDED");
    assert!(before.completed_on.is_none() && after.completed_on.is_some());
    assert_eq!(run("other", &id).await.unwrap_err(), "EntityNotFoundException");
}

#[tokio::test]
async fn once_a_job_is_named_others_do_not_exist() {
    let aws = StandIn::start(vec![]);
    let glue = aws_sdk_glue::Client::new(&config(&aws).await);
    glue.start_job_run().job_name("other").send().await.expect("all exist");
    aws.job("orders", 2);
    let job = glue.get_job().job_name("orders").send().await.expect("known").job.expect("a job");
    assert_eq!(job.max_retries, 2);
    let error = glue.get_job().job_name("other").send().await.unwrap_err();
    assert_eq!(error.code(), Some("EntityNotFoundException"));
    let error = glue.start_job_run().job_name("other").send().await.unwrap_err();
    assert_eq!(error.code(), Some("EntityNotFoundException"));
}

#[tokio::test]
async fn an_object_is_got_as_it_was_put_whatever_its_key() {
    let aws = StandIn::start(vec![]);
    let s3 = aws_sdk_s3::Client::new(&config(&aws).await);
    let key = "batches/a b+c/ü%20/\u{1F600}.json";
    let content = "line\r\nline".repeat(20_000);
    let put = || s3.put_object().bucket("manifests").key(key);
    put().body(content.clone().into_bytes().into()).send().await.expect("put");
    assert_eq!(aws.object("manifests", key), Some(content.clone().into_bytes()));
    let got = s3.get_object().bucket("manifests").key(key).send().await.expect("got");
    assert_eq!(got.body.collect().await.expect("whole").into_bytes(), content.as_bytes());
    assert_eq!(aws.calls_of("PutObject"), [json!({ "Bucket": "manifests", "Key": key })]);
    assert_eq!(aws.objects("manifests"), [key]);

    // The SDK sends a file in chunks, with the checksum after it.
    let file = std::env::temp_dir().join(format!("stand-ins-{}", std::process::id()));
    std::fs::write(&file, &content).expect("written");
    let body = ByteStream::from_path(&file).await.expect("a file");
    let put = s3.put_object().bucket("manifests").key("k").body(body);
    put.checksum_algorithm(ChecksumAlgorithm::Crc32).send().await.expect("put");
    std::fs::remove_file(file).expect("removed");
    assert_eq!(aws.object("manifests", "k"), Some(content.into_bytes()));

    let error = s3.get_object().bucket("manifests").key("other").send().await.unwrap_err();
    assert!(error.as_service_error().is_some_and(|error| error.is_no_such_key()), "{error:?}");
    let again = s3.put_object().bucket("manifests").key("k").if_none_match("*").send().await;
    assert_eq!(again.unwrap_err().code(), Some("PreconditionFailed"));
}

#[tokio::test]
async fn rules_decide_by_the_call_and_by_its_number_whether_it_takes_effect() {
    let aws = StandIn::start(vec![]);
    let glue = aws_sdk_glue::Client::from_conf(
        aws_sdk_glue::config::Builder::from(&config(&aws).await)
            .retry_config(aws_config::retry::RetryConfig::disabled())
            .build(),
    );
    aws.answer("StartJobRun", |call, number| match number {
        _ if call.body["JobName"] == "named" => {
            Act::Fail { status: 400, code: "ConcurrentRunsExceededException" }
        }
        1 => Act::ServeThenFail { status: 500, code: "InternalServiceException" },
        2 => Act::Drop,
        3 => Act::DropAfter,
        4 => Act::Answer { status: 200, body: "{}".to_owned() },
        5 => Act::ServeThenHang,
        6 => Act::Hang,
        _ => Act::Serve,
    });
    let start = async |job: &str| {
        let call = glue.start_job_run().job_name(job).send();
        match tokio::time::timeout(Duration::from_millis(300), call).await {
            Err(_) => "hangs".to_owned(),
            Ok(Ok(answer)) => answer.job_run_id.unwrap_or_default(),
            Ok(Err(error)) => error.code().unwrap_or("broken").to_owned(),
        }
    };
    assert_eq!(start("named").await, "ConcurrentRunsExceededException");
    for (answer, runs) in [
        ("InternalServiceException", 1),
        ("broken", 1),
        ("broken", 2),
        ("", 2),
        ("hangs", 3),
        ("hangs", 3),
        ("jr_4", 4),
    ] {
        assert_eq!((start("orders").await.as_str(), aws.runs("orders").len()), (answer, runs));
    }
    aws.clear_rules();
    assert_eq!(start("named").await, "jr_5");
    assert_eq!(aws.usage().calls["StartJobRun"], 9);
}

#[tokio::test]
async fn calls_are_counted_even_if_they_are_not_remembered_and_answers_wait() {
    let aws = StandIn::start(vec![]);
    let glue = aws_sdk_glue::Client::new(&config(&aws).await);
    aws.remember_calls(false);
    aws.latency(Duration::from_millis(50));
    let begun = Instant::now();
    glue.start_job_run().job_name("orders").send().await.expect("started");
    assert!(begun.elapsed() >= Duration::from_millis(50));
    assert_eq!((aws.calls().len(), aws.usage().calls["StartJobRun"]), (0, 1));
}
