//! The provisioner while AWS fails: each call in turn fails, hangs or is throttled, before or after
//! it took effect. The function runs in this process, against the emulator, through a proxy that
//! makes calls fail.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sqs::types::QueueAttributeName;
use futures_util::future::try_join_all;
use lambda_runtime::LambdaEvent;
use landfall_aws::config::{connector, single_use};
use landfall_core::limits::Limits;
use landfall_core::roles::Home;
use landfall_provisioner::{Check, Context, Settings, handle};
use landfall_provisioning::iam::observe;
use landfall_tests::proxy::{At, Fault, Kind, Proxy};
use landfall_tests::{ANALYTICS, REGION};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use wiremock::matchers::{any, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::lifecycle::properties;
use crate::stage::Stage;

/// The number of calls that a complete creation makes. A test fails if it changes.
const CALLS: usize = 11;

/// How much time the function and each of its calls have.
#[derive(Clone, Copy)]
pub struct Time {
    pub invocation: Duration,
    pub call: Duration,
}

/// Enough time if everything succeeds in the end, although other tests and perhaps a compiler run
/// at the same time.
pub const PLENTY: Time =
    Time { invocation: Duration::from_secs(90), call: Duration::from_secs(12) };

/// Little time if nothing succeeds and the test is about the end.
pub const LITTLE: Time =
    Time { invocation: Duration::from_secs(20), call: Duration::from_millis(1_500) };

pub fn a_call_that_fails_once_fails_no_request(stage: &Stage) -> Result<()> {
    stage.cloud.wait(async {
        let plain = Life::new(stage, "landfall-faultless", PLENTY).await?;
        plain.is_made(stage).await?;
        let calls = plain.proxy.calls();
        ensure!(calls.len() == CALLS, "a creation makes {} calls: {calls:?}", calls.len());
        plain.is_removed(stage).await?;
        for kind in Kind::ALL {
            try_join_all((1..=CALLS).map(async |call| {
                let name = format!("landfall-fault-{kind:?}-{call}").to_lowercase();
                let life = Life::new(stage, &name, PLENTY).await?;
                life.proxy.plan(vec![Fault::at_call(call, kind)]);
                let made = life.is_made(stage).await;
                made.with_context(|| format!("{kind:?} of call {call}: {:?}", life.proxy.calls()))?;
                life.is_removed(stage).await
            }))
            .await?;
        }
        Ok(())
    })
}

pub fn a_call_that_fails_once_fails_no_notification(stage: &Stage) -> Result<()> {
    stage.cloud.wait(async {
        let queue = queue(stage).await?;
        let plain = Life::notified(stage, "acme-faultless", &queue).await?;
        plain.is_notified(stage).await?;
        let calls = plain.proxy.calls().len();
        ensure!(plain.proxy.calls().iter().any(|c| c.operation.contains("PUT")), "no put");
        for kind in Kind::ALL {
            try_join_all((1..=calls).map(async |call| {
                let name = format!("acme-fault-{kind:?}-{call}").to_lowercase();
                let life = Life::notified(stage, &name, &queue).await?;
                life.proxy.plan(vec![Fault::at_call(call, kind)]);
                let made = life.is_notified(stage).await;
                made.with_context(|| format!("{kind:?} of call {call}: {:?}", life.proxy.calls()))
            }))
            .await?;
        }
        Ok(())
    })
}

/// Creates a queue that buckets may send to.
pub async fn queue(stage: &Stage) -> Result<String> {
    let arn = format!("arn:aws:sqs:{REGION}:{ANALYTICS}:faults");
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "s3.amazonaws.com" },
        "Action": "sqs:SendMessage", "Resource": arn }] });
    let create = stage.cloud.analytics.sqs.create_queue().queue_name("faults");
    create.attributes(QueueAttributeName::Policy, policy.to_string()).send().await?;
    Ok(arn)
}

pub fn a_call_that_always_fails_is_answered_in_time_and_a_repetition_converges(
    stage: &Stage,
) -> Result<()> {
    let operations = [
        "iam:GetRole",
        "iam:CreateRole",
        "iam:PutRolePolicy",
        "iam:ListRolePolicies",
        "dynamodb:UpdateItem",
    ];
    stage.cloud.wait(async {
        let cases = operations.into_iter().flat_map(|operation| {
            [Kind::Before500, Kind::After500, Kind::Hang].map(|kind| (operation, kind))
        });
        try_join_all(cases.map(async |(operation, kind)| {
            let short = operation.split_once(':').map_or(operation, |(_, name)| name);
            let name = format!("landfall-{kind:?}-{short}").to_lowercase();
            let mut life = Life::new(stage, &name, LITTLE).await?;
            let always = |nth| Fault { at: At::Nth(operation.to_owned(), nth), kind };
            life.proxy.plan((1..200).map(always).collect());
            let begun = SystemTime::now();
            let answer = life.answer("create", "Create", None).await?;
            ensure!(
                begun.elapsed()? < LITTLE.invocation,
                "{operation} {kind:?}: answered too late"
            );
            // If every call took effect, the creation can succeed, provided that it notices in
            // time.
            let has_effect = matches!(operation, "iam:CreateRole" | "iam:PutRolePolicy");
            if answer["Status"] == "SUCCESS" && kind == Kind::After500 && has_effect {
                let role = observe(&stage.cloud.analytics.iam, &name).await?;
                ensure!(
                    role.is_some_and(|role| role.policies.len() == 1),
                    "the role is incomplete: {answer}"
                );
            } else {
                ensure!(answer["Status"] == "FAILED", "{operation} {kind:?}: {answer}");
            }
            let id = answer["PhysicalResourceId"].as_str().context("no id")?.to_owned();

            // Do what CloudFormation does next once AWS works again.
            life.proxy.plan(vec![]);
            life.wait_for_the_lease().await;
            life.give(PLENTY);
            let deleted = life.answer("delete", "Delete", Some(&id)).await?;
            ensure!(deleted["Status"] == "SUCCESS", "{operation} {kind:?}: {deleted}");
            let left = observe(&stage.cloud.analytics.iam, &name).await?;
            ensure!(left.is_none(), "{operation} {kind:?}: the role still exists");
            life.is_made(stage).await?;
            life.is_removed(stage).await
        }))
        .await?;
        Ok(())
    })
}

pub fn an_answer_that_does_not_arrive_is_sent_again(stage: &Stage) -> Result<()> {
    stage.cloud.wait(async {
        let life = Life::new(stage, "landfall-unanswered", PLENTY).await?;
        let failures = [
            ResponseTemplate::new(500),
            ResponseTemplate::new(503),
            ResponseTemplate::new(200).set_delay(Duration::from_secs(60)),
        ];
        for failure in failures {
            let once = Mock::given(any()).respond_with(failure).up_to_n_times(1).with_priority(1);
            once.mount(&life.sink).await;
        }
        life.is_made(stage).await?;

        // The response URL refuses for good. Lambda gets an error and delivers the request again,
        // and the answer is the same.
        let first = life.answer("again", "Update", Some("Role-x")).await?;
        let refused = Mock::given(path("/twice")).respond_with(ResponseTemplate::new(403));
        refused.up_to_n_times(1).with_priority(1).mount(&life.sink).await;
        let request = life.request("twice", "Update", Some("Role-x"));
        let error = life.handle(&request).await.expect_err("the response URL refused the answer");
        ensure!(error.code() == "response_refused", "{error}");
        let second = life.answer("twice", "Update", Some("Role-x")).await?;
        ensure!(first["Data"] == second["Data"], "{first} {second}");
        Ok(())
    })
}

/// One role, with everything that its requests need.
pub struct Life {
    name: String,
    pub proxy: Proxy,
    pub sink: MockServer,
    pub context: Context,
    invocation: Duration,
    resource_type: &'static str,
    pub properties: Value,
}

impl Life {
    /// Makes a bucket of this name, with notifications.
    pub async fn notified(stage: &Stage, bucket: &str, queue: &str) -> Result<Life> {
        stage.cloud.analytics.s3.create_bucket().bucket(bucket).send().await?;
        let mut life = Life::new(stage, bucket, PLENTY).await?;
        life.resource_type = "Custom::LandfallBucketNotifications";
        life.properties["Routes"]["routes"][0]["bucket"] = json!(bucket);
        let routes = life.properties["Routes"].clone();
        life.properties = json!({ "Routes": routes, "QueueArn": queue });
        Ok(life)
    }

    /// Returns the number of the bucket's rules.
    pub async fn rules(&self, stage: &Stage) -> Result<usize> {
        let get = stage.cloud.analytics.s3.get_bucket_notification_configuration();
        Ok(get.bucket(&self.name).send().await?.queue_configurations().len())
    }

    async fn is_notified(&self, stage: &Stage) -> Result<()> {
        let rules = async || self.rules(stage).await;
        let answer = self.answer("made", "Create", None).await?;
        ensure!(answer["Status"] == "SUCCESS", "{answer}");
        ensure!(rules().await? == 1, "the bucket has {} rules", rules().await?);
        let id = answer["PhysicalResourceId"].as_str().context("no id")?;
        let answer = self.answer("removed", "Delete", Some(id)).await?;
        ensure!(answer["Status"] == "SUCCESS", "{answer}");
        ensure!(rules().await? == 0, "the bucket has {} rules", rules().await?);
        Ok(())
    }

    pub async fn new(stage: &Stage, name: &str, time: Time) -> Result<Life> {
        let proxy = Proxy::start(&stage.cloud.emulator.endpoint())?;
        let sink = MockServer::start().await;
        Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&sink).await;
        let context = context(&proxy, time);
        Ok(Life {
            name: name.to_owned(),
            proxy,
            sink,
            context,
            invocation: time.invocation,
            resource_type: "Custom::LandfallStarterRole",
            properties: properties(name, "one"),
        })
    }

    pub fn give(&mut self, time: Time) {
        self.context = context(&self.proxy, time);
        self.invocation = time.invocation;
    }

    pub fn request(&self, id: &str, kind: &str, physical_id: Option<&str>) -> Value {
        let properties = self.properties.clone();
        let stack = format!("arn:aws:cloudformation:{REGION}:{ANALYTICS}:stack/{}/1", self.name);
        let mut request = json!({
            "RequestType": kind,
            "RequestId": id,
            "StackId": stack,
            "ResponseURL": format!("{}/{id}", self.sink.uri()),
            "ResourceType": self.resource_type,
            "LogicalResourceId": "Role",
            "ResourceProperties": properties,
        });
        if let Some(physical_id) = physical_id {
            request["PhysicalResourceId"] = json!(physical_id);
            request["OldResourceProperties"] = properties;
        }
        request
    }

    pub async fn handle(&self, request: &Value) -> Result<(), landfall_provisioner::Error> {
        let deadline = SystemTime::now() + self.invocation;
        let mut context = lambda_runtime::Context::default();
        let since = deadline.duration_since(UNIX_EPOCH).unwrap_or_default();
        context.deadline = u64::try_from(since.as_millis()).unwrap_or_default();
        let payload = RawValue::from_string(request.to_string()).expect("a value is JSON");
        handle(&self.context, LambdaEvent::new(payload, context)).await
    }

    /// Handles a request and returns the last answer to it.
    pub async fn answer(&self, id: &str, kind: &str, physical_id: Option<&str>) -> Result<Value> {
        self.answer_to(id, &self.request(id, kind, physical_id)).await
    }

    /// Handles a request with this ID and returns the last answer to it.
    pub async fn answer_to(&self, id: &str, request: &Value) -> Result<Value> {
        self.handle(request).await.context("the function failed")?;
        let received = self.sink.received_requests().await.unwrap_or_default();
        let of_it = |r: &&wiremock::Request| r.url.path() == format!("/{id}");
        let last = received.iter().rev().find(of_it).context("no answer arrived")?;
        Ok(serde_json::from_slice(&last.body)?)
    }

    pub async fn is_made(&self, stage: &Stage) -> Result<()> {
        let answer = self.answer("made", "Create", None).await?;
        ensure!(answer["Status"] == "SUCCESS", "{answer}");
        let role = observe(&stage.cloud.analytics.iam, &self.name).await?;
        let role = role.context("there is no role")?;
        ensure!(role.policies.len() == 1, "the role is incomplete: {role:?}");
        Ok(())
    }

    pub async fn is_removed(&self, stage: &Stage) -> Result<()> {
        let made = self.answer("made", "Create", None).await?;
        let id = made["PhysicalResourceId"].as_str().context("no id")?;
        let answer = self.answer("removed", "Delete", Some(id)).await?;
        ensure!(answer["Status"] == "SUCCESS", "{answer}");
        let role = observe(&stage.cloud.analytics.iam, &self.name).await?;
        ensure!(role.is_none(), "the role is still there");
        Ok(())
    }

    /// Waits for the lease. A request that was cut off keeps the lock for as long as its invocation
    /// could have lived.
    async fn wait_for_the_lease(&self) {
        tokio::time::sleep(Duration::from_secs(6)).await;
    }
}

pub fn settings() -> Settings {
    Settings {
        table: "landfall-provisioner".to_owned(),
        propagation: Duration::ZERO,
        admit_loopback: true,
        home: Home {
            partition: "aws".to_owned(),
            account: ANALYTICS.to_owned(),
            region: REGION.to_owned(),
        },
        limits: Limits::ANY,
        check: Check::Nothing,
    }
}

fn context(proxy: &Proxy, time: Time) -> Context {
    Context::new(settings(), config(proxy.endpoint(), ANALYTICS, time.call), connector())
}

/// Returns the configuration of the root of `account`. A call may take this long, and each attempt
/// half of it.
pub fn config(endpoint: String, account: &str, call: Duration) -> SdkConfig {
    let credentials = Credentials::new(account, "hushhush", None, None, "faults");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .timeout_config(
            TimeoutConfig::builder()
                .operation_attempt_timeout(call / 2)
                .operation_timeout(call)
                .build(),
        )
        .build();
    let http = single_use(&config);
    config.into_builder().http_client(http).build()
}
