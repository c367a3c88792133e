//! Bucket notifications as custom resources, in a bucket that already notifies others.

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::types::{
    EventBridgeConfiguration, FilterRule, FilterRuleName, NotificationConfiguration,
    NotificationConfigurationFilter, QueueConfiguration, S3KeyFilter,
};
use aws_sdk_sqs::types::QueueAttributeName;
use landfall_tests::{ANALYTICS, DATA, REGION};
use serde_json::{Value, json};

use crate::stage::Stage;

const BUCKET: &str = "acme-shared";

pub fn rules_of_others_survive_ours_in_every_change(stage: &Stage) -> Result<()> {
    let cloud = &stage.cloud;
    let stacks = &cloud.data.stacks;
    cloud.wait(async {
        let theirs = set_the_bucket(stage).await?;
        let before = rules(stage).await?;

        let created = stacks.create("notified", &template("in/{file}.csv", &theirs.ours)).await?;
        created.expect("CREATE_COMPLETE")?;
        let (kept, ours) = take_ours(rules(stage).await?, &theirs.ours);
        ensure!(kept == before, "the rules of others were {before:?}, and are {kept:?}");
        ensure!(ours == ["in/ .csv"], "{ours:?}");

        let updated = stacks.update("notified", &template("new/{file}", &theirs.ours)).await?;
        updated.expect("UPDATE_COMPLETE")?;
        let (kept, ours) = take_ours(rules(stage).await?, &theirs.ours);
        ensure!(kept == before, "the rules of others were {before:?}, and are {kept:?}");
        ensure!(ours == ["new/ "], "{ours:?}");

        // Their rule covers `theirs/`. Our rule would overlap, so it is refused before anything is
        // put.
        let updated = stacks.update("notified", &template("theirs/x/{f}", &theirs.ours)).await?;
        let outcome = updated.expect("UPDATE_ROLLBACK_COMPLETE")?;
        let said = outcome.failures.concat();
        ensure!(said.contains("somebody-elses"), "{said}");
        let (kept, ours) = take_ours(rules(stage).await?, &theirs.ours);
        ensure!(kept == before && ours == ["new/ "], "{kept:?} {ours:?}");

        stacks.delete("notified").await?.expect("DELETE_COMPLETE")?;
        let after = rules(stage).await?;
        ensure!(after == before, "the rules were {before:?}, and are {after:?}");
        Ok(())
    })
}

fn template(key: &str, queue: &str) -> String {
    let properties = json!({
        "ServiceToken": format!("arn:aws:lambda:{REGION}:{DATA}:function:landfall-provisioner"),
        "ServiceTimeout": 60,
        "QueueArn": queue,
        "Routes": {
            "version": 1,
            "targets": { "there": { "account": ANALYTICS, "region": REGION,
                "starter_role": "landfall/landfall-starter", "external_id": "${X}" } },
            "routes": [{ "name": "r", "bucket": BUCKET, "key": key,
                "start": { "target": "there", "job": "flood" } }],
        },
    });
    let notified =
        json!({ "Type": "Custom::LandfallBucketNotifications", "Properties": properties });
    json!({ "Resources": { "Notified": notified } }).to_string()
}

struct Queues {
    ours: String,
}

/// Makes a bucket with somebody else's rule and with EventBridge on, and a queue for our rules.
async fn set_the_bucket(stage: &Stage) -> Result<Queues> {
    let data = &stage.cloud.data;
    data.s3.create_bucket().bucket(BUCKET).send().await?;
    let ours = queue(stage, "notified").await?;
    let theirs = queue(stage, "notified-theirs").await?;
    let prefix = FilterRule::builder().name(FilterRuleName::Prefix).value("theirs/").build();
    let filter = NotificationConfigurationFilter::builder()
        .key(S3KeyFilter::builder().filter_rules(prefix).build())
        .build();
    let rule = QueueConfiguration::builder()
        .id("somebody-elses")
        .queue_arn(theirs)
        .events("s3:ObjectCreated:Put".into())
        .filter(filter)
        .build()?;
    let configuration = NotificationConfiguration::builder()
        .queue_configurations(rule)
        .event_bridge_configuration(EventBridgeConfiguration::builder().build())
        .build();
    let put = data.s3.put_bucket_notification_configuration().bucket(BUCKET);
    put.notification_configuration(configuration).send().await?;
    Ok(Queues { ours })
}

async fn queue(stage: &Stage, name: &str) -> Result<String> {
    let sqs = &stage.cloud.data.sqs;
    let arn = format!("arn:aws:sqs:{REGION}:{DATA}:{name}");
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "s3.amazonaws.com" },
        "Action": "sqs:SendMessage", "Resource": arn,
        "Condition": { "StringEquals": { "aws:SourceAccount": DATA } },
    }] });
    let create = sqs.create_queue().queue_name(name);
    create.attributes(QueueAttributeName::Policy, policy.to_string()).send().await?;
    Ok(arn)
}

/// Returns each rule as ID, queue, events, prefix and suffix, and whether EventBridge is on.
async fn rules(stage: &Stage) -> Result<Vec<Value>> {
    let get = stage.cloud.data.s3.get_bucket_notification_configuration().bucket(BUCKET);
    let found = get.send().await.context("failed to read the notifications")?;
    let rules = found.queue_configurations().iter().map(|rule| {
        let of = |name: &str| {
            let key = rule.filter().and_then(|filter| filter.key());
            let rules = key.map(|key| key.filter_rules()).unwrap_or_default();
            let is =
                |r: &&FilterRule| r.name().is_some_and(|n| n.as_str().eq_ignore_ascii_case(name));
            rules.iter().find(is).and_then(|r| r.value()).unwrap_or_default().to_owned()
        };
        let events: Vec<&str> = rule.events().iter().map(|event| event.as_str()).collect();
        json!([rule.id(), rule.queue_arn(), events, of("prefix"), of("suffix")])
    });
    let event_bridge = json!(["EventBridge", found.event_bridge_configuration().is_some()]);
    Ok(rules.chain([event_bridge]).collect())
}

/// Separates the rules of others from ours, which are returned as `prefix suffix`.
fn take_ours(rules: Vec<Value>, queue: &str) -> (Vec<Value>, Vec<String>) {
    let (ours, others): (Vec<_>, Vec<_>) = rules.into_iter().partition(|rule| rule[1] == queue);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let ours = ours.iter().map(|rule| format!("{} {}", text(&rule[3]), text(&rule[4])));
    (others, ours.collect())
}
