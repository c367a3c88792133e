//! What the functions' roles and the analytics account can reach of the data account's state.

use anyhow::{Context, Result, ensure};
use landfall_tests::cloud::{JOB, wait_until};
use landfall_tests::{ANALYTICS, DATA, REGION};

use crate::caller::{Caller, role};
use crate::stage::{SOON, Stage};

const ITEM: &str = r#"{"pk":{"S":"access"},"sk":{"S":"access"}}"#;
const CLAIM: &str = r#"{"batch_id":{"S":"access"}}"#;
const SET: [&str; 4] =
    ["--update-expression", "SET a = :a", "--expression-attribute-values", r#"{":a":{"S":"a"}}"#];
const WITH_HASH: [&str; 2] = ["--expression-attribute-values", r#"{":h":{"S":"access"}}"#];

pub fn trigger_and_monitor_keep_the_ledger_and_only_the_monitor_reaches_the_claims(
    stage: &Stage,
) -> Result<()> {
    let cloud = &stage.cloud;
    let transaction = format!(
        r#"[{{"Put":{{"TableName":"landfall-ledger","Item":{ITEM}}}}},
            {{"Put":{{"TableName":"landfall-ledger","Item":{{"pk":{{"S":"access"}},"sk":{{"S":"other"}}}}}}}}]"#
    );
    let some = format!(r#"{{"landfall-ledger":{{"Keys":[{ITEM}]}}}}"#);
    let bucket = format!("landfall-manifests-{DATA}-{REGION}");
    let bucket = ["--bucket", &bucket];
    let ledger = ["--table-name", "landfall-ledger"];
    let claims = ["--table-name", "landfall-claims"];
    let due = ["--index-name", "due", "--key-condition-expression", "due_shard = :h"];
    let awaits = ["--index-name", "awaits", "--key-condition-expression", "awaits = :h"];
    let key = ["--key", ITEM];
    let claim = ["--key", CLAIM];
    // Which functions may make the call: both, the monitor only, or neither.
    let (both, monitor, neither) = ([true, true], [false, true], [false, false]);
    let calls = [
        (both, [&["dynamodb", "put-item", "--item", ITEM][..], &ledger].concat()),
        (both, [&["dynamodb", "get-item"][..], &ledger, &key].concat()),
        (both, vec!["dynamodb", "batch-get-item", "--request-items", &some]),
        (monitor, [&["dynamodb", "update-item"][..], &ledger, &key, &SET].concat()),
        (both, vec!["dynamodb", "transact-write-items", "--transact-items", &transaction]),
        (monitor, [&["dynamodb", "query"][..], &ledger, &due, &WITH_HASH].concat()),
        (monitor, [&["dynamodb", "query"][..], &ledger, &awaits, &WITH_HASH].concat()),
        (neither, [&["dynamodb", "scan"][..], &ledger].concat()),
        (neither, [&["dynamodb", "delete-item"][..], &ledger, &key].concat()),
        (monitor, [&["dynamodb", "update-item"][..], &claims, &claim, &SET].concat()),
        (monitor, [&["dynamodb", "get-item"][..], &claims, &claim].concat()),
        (neither, [&["dynamodb", "delete-item"][..], &claims, &claim].concat()),
        (both, [&["s3api", "put-object", "--key", "manifests/access"][..], &bucket].concat()),
        (neither, [&["s3api", "put-object", "--key", "elsewhere/access"][..], &bucket].concat()),
        (neither, [&["s3api", "delete-object", "--key", "manifests/access"][..], &bucket].concat()),
    ];
    for (index, name) in ["landfall-trigger", "landfall-monitor"].into_iter().enumerate() {
        let function = Caller::of(&cloud.data.cli, &role(DATA, name))?;
        for (expected, call) in &calls {
            let may = function.may(call)?;
            ensure!(may == expected[index], "`{name}` may do this: {may}: {call:?}");
        }
    }
    Ok(())
}

pub fn only_the_rule_of_the_analytics_account_sends_to_the_queue_of_runs(
    stage: &Stage,
) -> Result<()> {
    let cloud = &stage.cloud;
    let url = cloud.wait(stage.queue_url("landfall-runs"))?;
    // The monitor doesn't know the run, so it drops the event.
    let event = r#"{"version":"0","source":"aws.glue","detail-type":"Glue Job State Change","detail":{"jobName":"none","jobRunId":"jr_none","state":"SUCCEEDED"}}"#;
    let send = ["sqs", "send-message", "--queue-url", &url, "--message-body", event];
    let analytics = &cloud.analytics.cli;
    let name = ["--role-name", "access-sender"];
    let trust = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{{"AWS":"arn:aws:iam::{ANALYTICS}:root"}}}}]}}"#
    );
    let create = ["iam", "create-role", "--assume-role-policy-document", &trust];
    analytics.run([&create[..], &name].concat())?;
    let may = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sqs:SendMessage","Resource":"*"}]}"#;
    let put = ["iam", "put-role-policy", "--policy-name", "all", "--policy-document", may];
    analytics.run([&put[..], &name].concat())?;

    let other = Caller::of(analytics, &role(ANALYTICS, "access-sender"))?;
    ensure!(!other.may(&send)?, "another role of the analytics account may send");
    let root = Caller::root(analytics);
    ensure!(!root.may(&send)?, "the analytics account's root may send");

    // Only EventBridge can assume the rule's role. That the end of a run arrives shows that the
    // role may send.
    cloud.wait(async {
        let start = cloud.analytics.glue.start_job_run().job_name(JOB);
        start.send().await.with_context(|| format!("failed to start job `{JOB}`"))?;
        wait_until("no event arrived in the queue of run ends", SOON, async || {
            Ok(cloud.emulator.log().contains("EventBridge → SQS landfall-runs").then_some(()))
        })
        .await
    })
}
