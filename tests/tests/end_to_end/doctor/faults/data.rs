//! Faults of the data account.

use anyhow::{Context, Result};
use aws_sdk_sqs::types::QueueAttributeName;
use landfall_tests::cloud::{LANDING_BUCKET, LocalCloud};
use landfall_tests::{DATA, REGION};
use serde_json::{Value, json};

use super::{Fault, Mend, denies_from_elsewhere, keep, staged, with};

/// The queue that S3 sends to.
const ARRIVALS: &str = "landfall-arrivals";
const DEAD_LETTERS: &str = "landfall-arrivals-dlq";
const RUNS_DLQ: &str = "landfall-runs-dlq";

pub(super) const FAULTS: [Fault; 18] = [
    Fault {
        problem: "notification_missing",
        breaks: |cloud| {
            let get =
                ["s3api", "get-bucket-notification-configuration", "--bucket", LANDING_BUCKET];
            cloud.stage("notifications.json", &cloud.data.cli.run(get)?)?;
            put_notifications(cloud, "{}")
        },
        mend: Mend::By(|cloud| put_notifications(cloud, "file://notifications.json")),
    },
    Fault {
        problem: "mapping_disabled",
        breaks: |cloud| {
            let uuid = mapping_of_arrivals(cloud)?;
            let update = ["lambda", "update-event-source-mapping", "--no-enabled", "--uuid", &uuid];
            cloud.data.cli.run(update).map(drop)
        },
        mend: Mend::AsPrinted,
    },
    Fault {
        problem: "function_concurrency_zero",
        breaks: |cloud| {
            let put = ["lambda", "put-function-concurrency", "--function-name", "landfall-trigger"];
            let none = ["--reserved-concurrent-executions", "0"];
            cloud.data.cli.run([&put[..], &none].concat()).map(drop)
        },
        mend: Mend::AsPrinted,
    },
    Fault {
        problem: "schedule_disabled",
        breaks: |cloud| {
            let rule = tick(cloud)?;
            cloud.data.cli.run(["events", "disable-rule", "--name", &rule]).map(drop)
        },
        mend: Mend::AsPrinted,
    },
    Fault {
        problem: "queue_policy_changed",
        breaks: |cloud| {
            cloud.stage("policy.json", &policy_of_arrivals(cloud)?)?;
            set_policy(cloud, "")
        },
        mend: Mend::By(|cloud| set_policy(cloud, &staged(cloud, "policy.json")?)),
    },
    Fault {
        problem: "dead_letters",
        breaks: |cloud| {
            let send = cloud.data.sqs.send_message().queue_url(url_of(cloud, DEAD_LETTERS)?);
            cloud.wait(send.message_body("{}").send()).context("failed to send").map(drop)
        },
        mend: Mend::By(|cloud| {
            let purge = cloud.data.sqs.purge_queue().queue_url(url_of(cloud, DEAD_LETTERS)?);
            cloud.wait(purge.send()).context("failed to purge").map(drop)
        }),
    },
    Fault {
        problem: "notification_narrower",
        breaks: |cloud| {
            let get =
                ["s3api", "get-bucket-notification-configuration", "--bucket", LANDING_BUCKET];
            let mut found = keep(cloud, "notifications.json", &cloud.data.cli, &get)?;
            let rule = &mut found["QueueConfigurations"][0];
            rule["Filter"]["Key"]["FilterRules"] =
                json!([{ "Name": "prefix", "Value": "in/only-some/" }]);
            put_notifications(cloud, &found.to_string())
        },
        mend: Mend::By(|cloud| put_notifications(cloud, "file://notifications.json")),
    },
    Fault {
        problem: "bucket_versioning_off",
        breaks: |cloud| {
            let put = ["s3api", "put-bucket-versioning", "--bucket", LANDING_BUCKET];
            let off = ["--versioning-configuration", "Status=Suspended"];
            cloud.data.cli.run([&put[..], &off].concat()).map(drop)
        },
        mend: Mend::AsPrinted,
    },
    Fault {
        problem: "bucket_owner_not_enforced",
        breaks: |cloud| {
            let put = ["s3api", "put-bucket-ownership-controls", "--bucket", LANDING_BUCKET];
            let writer = ["--ownership-controls", "Rules=[{ObjectOwnership=ObjectWriter}]"];
            cloud.data.cli.run([&put[..], &writer].concat()).map(drop)
        },
        mend: Mend::AsPrinted,
    },
    Fault {
        problem: "bucket_public_access_open",
        breaks: |cloud| {
            let delete = ["s3api", "delete-public-access-block", "--bucket", LANDING_BUCKET];
            cloud.data.cli.run(delete).map(drop)
        },
        mend: Mend::AsPrinted,
    },
    Fault {
        problem: "bucket_policy_denies",
        breaks: |cloud| {
            let objects = format!("arn:aws:s3:::{LANDING_BUCKET}/*");
            let denial = denies_from_elsewhere("s3:GetObject", &objects);
            let policy = json!({ "Version": "2012-10-17", "Statement": [denial] }).to_string();
            let put = ["s3api", "put-bucket-policy", "--bucket", LANDING_BUCKET, "--policy"];
            cloud.data.cli.run([&put[..], &[&policy]].concat()).map(drop)
        },
        mend: Mend::By(|cloud| {
            let delete = ["s3api", "delete-bucket-policy", "--bucket", LANDING_BUCKET];
            cloud.data.cli.run(delete).map(drop)
        }),
    },
    Fault {
        problem: "bucket_key_changed",
        breaks: |cloud| encrypt_with_a_new_key(cloud).map(drop),
        mend: Mend::By(encrypt_as_before),
    },
    Fault {
        problem: "key_disabled",
        breaks: |cloud| {
            let key = encrypt_with_a_new_key(cloud)?;
            cloud.data.cli.run(["kms", "disable-key", "--key-id", &key]).map(drop)
        },
        mend: Mend::By(encrypt_as_before),
    },
    Fault {
        problem: "key_pending_deletion",
        breaks: |cloud| {
            let key = encrypt_with_a_new_key(cloud)?;
            cloud.data.cli.run(["kms", "schedule-key-deletion", "--key-id", &key]).map(drop)
        },
        mend: Mend::By(encrypt_as_before),
    },
    Fault {
        problem: "queue_policy_denies",
        breaks: |cloud| {
            let policy = policy_of_arrivals(cloud)?;
            cloud.stage("policy.json", &policy)?;
            let queue = format!("arn:aws:sqs:{REGION}:{DATA}:{ARRIVALS}");
            set_policy(cloud, &with(&policy, denies_from_elsewhere("sqs:SendMessage", &queue))?)
        },
        mend: Mend::By(|cloud| set_policy(cloud, &staged(cloud, "policy.json")?)),
    },
    Fault {
        problem: "mapping_missing",
        breaks: |cloud| {
            let uuid = mapping_of_arrivals(cloud)?;
            let delete = ["lambda", "delete-event-source-mapping", "--uuid", &uuid];
            cloud.data.cli.run(delete).map(drop)
        },
        mend: Mend::AsPrinted,
    },
    Fault {
        problem: "queue_missing",
        breaks: |cloud| {
            let delete = cloud.data.sqs.delete_queue().queue_url(url_of(cloud, RUNS_DLQ)?);
            cloud.wait(delete.send()).context("failed to delete the queue").map(drop)
        },
        mend: Mend::By(|cloud| {
            let create = cloud.data.sqs.create_queue().queue_name(RUNS_DLQ);
            cloud.wait(create.send()).context("failed to create the queue").map(drop)
        }),
    },
    Fault {
        problem: "routes_not_deployed",
        breaks: |cloud| {
            let routes = staged(cloud, "routes.yaml")?;
            cloud.stage("deployed.yaml", &routes)?;
            cloud.stage("routes.yaml", &routes.replace("{file}.csv", "{file}.tsv"))
        },
        mend: Mend::By(|cloud| cloud.stage("routes.yaml", &staged(cloud, "deployed.yaml")?)),
    },
];

fn url_of(cloud: &LocalCloud, queue: &str) -> Result<String> {
    let found = cloud.wait(cloud.data.sqs.get_queue_url().queue_name(queue).send())?;
    found.queue_url.context("the queue has no URL")
}

/// Sets the policy of the queue that S3 sends to.
fn set_policy(cloud: &LocalCloud, policy: &str) -> Result<()> {
    let set = cloud.data.sqs.set_queue_attributes().queue_url(url_of(cloud, ARRIVALS)?);
    let set = set.attributes(QueueAttributeName::Policy, policy);
    cloud.wait(set.send()).context("failed to set the queue's policy").map(drop)
}

fn policy_of_arrivals(cloud: &LocalCloud) -> Result<String> {
    let get = cloud.data.sqs.get_queue_attributes().queue_url(url_of(cloud, ARRIVALS)?);
    let found = cloud.wait(get.attribute_names(QueueAttributeName::Policy).send())?;
    let mut attributes = found.attributes.unwrap_or_default();
    attributes.remove(&QueueAttributeName::Policy).context("no policy")
}

/// Returns the ID of the mapping that feeds the trigger from the queue that S3 sends to.
fn mapping_of_arrivals(cloud: &LocalCloud) -> Result<String> {
    let queue = format!("arn:aws:sqs:{REGION}:{DATA}:{ARRIVALS}");
    let list = ["lambda", "list-event-source-mappings", "--function-name", "landfall-trigger"];
    let found = cloud.data.cli.json([&list[..], &["--event-source-arn", &queue]].concat())?;
    let uuid = found["EventSourceMappings"][0]["UUID"].as_str();
    uuid.map(str::to_owned).context("no mapping")
}

/// Has new objects of the bucket encrypted with another key than at the last deployment. Returns the key's ID.
fn encrypt_with_a_new_key(cloud: &LocalCloud) -> Result<String> {
    let created = cloud.data.cli.json(["kms", "create-key"])?;
    let text = |name: &str| created["KeyMetadata"][name].as_str().context("a key without a name");
    put_encryption(cloud, &json!({ "SSEAlgorithm": "aws:kms", "KMSMasterKeyID": text("Arn")? }))?;
    Ok(text("KeyId")?.to_owned())
}

fn encrypt_as_before(cloud: &LocalCloud) -> Result<()> {
    put_encryption(cloud, &json!({ "SSEAlgorithm": "AES256" }))
}

fn put_encryption(cloud: &LocalCloud, default: &Value) -> Result<()> {
    let rules = json!({ "Rules": [{ "ApplyServerSideEncryptionByDefault": default }] }).to_string();
    let put = ["s3api", "put-bucket-encryption", "--bucket", LANDING_BUCKET];
    let put = [&put[..], &["--server-side-encryption-configuration", &rules]].concat();
    cloud.data.cli.run(put).map(drop)
}

fn put_notifications(cloud: &LocalCloud, configuration: &str) -> Result<()> {
    let put = ["s3api", "put-bucket-notification-configuration", "--bucket", LANDING_BUCKET];
    let put = [&put[..], &["--notification-configuration", configuration]].concat();
    cloud.data.cli.run(put).map(drop)
}

/// Returns the name of the rule that runs the monitor.
fn tick(cloud: &LocalCloud) -> Result<String> {
    let ids = ["cloudformation", "describe-stack-resource", "--stack-name", "landfall"];
    let found = [&ids[..], &["--logical-resource-id", "MonitorTick"]].concat();
    let found = cloud.data.cli.json(found)?;
    let id = found["StackResourceDetail"]["PhysicalResourceId"].as_str();
    id.map(str::to_owned).context("the rule has no ID")
}
