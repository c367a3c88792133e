//! What a job said of its outcome, in the claims that its run was told of.

use aws_sdk_dynamodb::types::AttributeValue;
use expect_test::expect;
use landfall_core::batch::{Claim, ObservedRun, RunState, Seen};
use landfall_stand_ins::Act;
use serde_json::{Value, json};

use super::batches::a_run;
use super::desk::{Desk, id, member};

#[tokio::test]
async fn a_batch_is_told_with_what_its_job_said_of_the_outcome() {
    let desk = Desk::new();
    let batch = desk.sealed(1, "orders", 0, &[member("orders/1.csv")]).await;
    let [Seen::Prepared(Ok(mut prepared)), rest @ ..] = a_run() else { panic!("it is prepared") };
    let arn = "arn:aws:dynamodb:eu-west-1:111111111111:table/landfall-claims";
    prepared.arguments.insert("--landfall-claims-table".to_owned(), arn.to_owned());
    desk.advanced(batch, 0, [Seen::Prepared(Ok(prepared))].into_iter().chain(rest)).await;
    let lines = |shown: &str| -> String {
        let runs = shown.split_once("\nruns\n").expect("runs").1;
        let table = runs.split_once("\n\n").expect("what follows").0;
        table.lines().map(str::trim).collect::<Vec<_>>().join("\n")
    };
    let said = |options: &[&str]| desk.landfall(&[&["batch"][..], options, &[&id(1)]].concat());
    // There is no claim yet.
    expect![[r#"
          EPOCH  RUN   LAST SEEN
          1      jr_1  RUNNING"#]]
    .assert_eq(&lines(&said(&[]).stdout));
    let document: Value = serde_json::from_str(&said(&["--json"]).stdout).expect("JSON");
    assert_eq!(document.get("job_outcome"), None);
    let put = async |pairs: &[(&str, AttributeValue)]| {
        let item = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let put = desk.client.put_item().table_name("landfall-claims").set_item(Some(item));
        put.send().await.expect("a claim");
    };
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let mut claim = vec![
        ("batch_id", text(&id(1))),
        ("holder", text("1-nonce")),
        ("epoch", AttributeValue::N("1".to_owned())),
        ("outcome", text("failed")),
        ("outcome_at", text("2026-01-31T12:04:59Z")),
        ("error", text("ValueError")),
    ];
    put(&claim).await;
    expect![[r#"
        EPOCH  RUN   LAST SEEN
        1      jr_1  RUNNING
        the run of epoch 1 reported at 2026-01-31T12:04:59Z: failed, with ValueError"#]]
    .assert_eq(&lines(&said(&[]).stdout));
    let document: Value = serde_json::from_str(&said(&["--json"]).stdout).expect("JSON");
    let expected = json!({
        "epoch": 1, "outcome": "failed", "at": "2026-01-31T12:04:59Z", "error": "ValueError",
    });
    assert_eq!(document["job_outcome"], expected);
    assert_eq!(document["state"], "started", "nothing is decided by it");
    // What is not understood, and what may not be read, hides nothing else.
    claim[3].1 = AttributeValue::N("1".to_owned());
    put(&claim).await;
    let shown = said(&[]);
    expect![[r#"
        note: the outcome that the job reported is unknown: failed to read the claim on batch `00000000000000000000000000000001` in table `landfall-claims`: `outcome` is no text
    "#]].assert_eq(&shown.stderr);
    assert_eq!((shown.status, lines(&shown.stdout).contains("reported")), (0, false));
    desk.stand_in.answer("GetItem", |call, _| match call.body["TableName"] == "landfall-claims" {
        true => Act::Fail { status: 400, code: "AccessDeniedException" },
        false => Act::Serve,
    });
    let shown = said(&[]);
    assert_eq!(shown.status, 0);
    let note = "note: the outcome that the job reported is unknown: ";
    assert!(shown.stderr.starts_with(note), "{}", shown.stderr);
    assert!(shown.stderr.contains("AccessDeniedException"), "{}", shown.stderr);
}

#[tokio::test]
async fn a_batch_is_told_with_why_its_run_failed_and_where_to_read_more() {
    let desk = Desk::new();
    let batch = desk.sealed(1, "orders", 0, &[member("orders/1.csv")]).await;
    let run = ObservedRun::new(RunState::Failed, Some("MemoryError\u{1b}[2J"));
    let failed = Seen::Claim { run, claim: Claim { holder: Some(1), ended: 0 } };
    desk.advanced(batch, 0, a_run().into_iter().chain([failed])).await;
    let shown = desk.landfall(&["batch", &id(1)]);
    let (told, rest) = shown.stdout.split_once("\n\n").expect("what it is about");
    expect![[r#"
        batch 00000000000000000000000000000001 has failed
          Run `jr_1` (epoch 1) ended as FAILED 2026-01-31T12:00:05Z (long ago).
          The monitor ends the run's claim, then starts another run.
          Glue says why run `jr_1` failed: MemoryError\u{1b}[2J.
          The monitor should have taken it up long ago: is the monitor running? Check its alarms and its log."#]].assert_eq(told);
    let (_, more) = rest.split_once("\nmore about").expect("where to read more");
    expect![[r#"
        run jr_1, in account 222222222222
          logs     /aws-glue/jobs/error and /aws-glue/jobs/output, stream jr_1
                   (of a Spark job; a Python shell job has /aws-glue/python-jobs/error and so on)
          log      aws logs tail /aws-glue/jobs/error --region eu-west-1 --log-stream-names jr_1 --since 7d
          run      aws glue get-job-run --region eu-west-1 --job-name orders-to-parquet --run-id jr_1
          console  https://eu-west-1.console.aws.amazon.com/gluestudio/home?region=eu-west-1#/job/orders-to-parquet/run/jr_1"#]].assert_eq(more.split_once("\n\n").expect("what follows").0.trim_start());
    let shown = desk.landfall(&["batch", "--json", &id(1)]);
    let document: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    assert_eq!(document["runs"][0]["error"], "MemoryError\u{1b}[2J");
    expect![[r#"
        {
          "account": "222222222222",
          "console": "https://eu-west-1.console.aws.amazon.com/gluestudio/home?region=eu-west-1#/job/orders-to-parquet/run/jr_1",
          "get_log": "aws logs tail /aws-glue/jobs/error --region eu-west-1 --log-stream-names jr_1 --since 7d",
          "get_run": "aws glue get-job-run --region eu-west-1 --job-name orders-to-parquet --run-id jr_1",
          "log_groups": [
            "/aws-glue/jobs/error",
            "/aws-glue/jobs/output"
          ],
          "log_groups_of_python_shell": [
            "/aws-glue/python-jobs/error",
            "/aws-glue/python-jobs/output"
          ],
          "log_stream": "jr_1",
          "region": "eu-west-1",
          "run_id": "jr_1"
        }"#]].assert_eq(&format!("{:#}", document["logs"]));
    let found = desk.landfall(&["find", "s3://acme-landing/orders/1.csv"]).stdout;
    assert!(found.contains("failed: MemoryError\\u{1b}[2J."), "{found}");
}
