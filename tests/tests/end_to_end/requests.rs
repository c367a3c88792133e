//! Requests that come late, twice, too early, or without a known time of issue. The function runs
//! in this process, against the emulator. It doesn't ask CloudFormation, because the stacks are
//! invented.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use landfall_aws::config::connector;
use landfall_core::limits::Limits;
use landfall_provisioner::{Context, Settings};
use landfall_provisioning::lifecycle_table::Table;
use landfall_tests::{ANALYTICS, DATA, REGION};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::faults::{self, LITTLE, Life, PLENTY, Time};
use crate::lifecycle::{assert_starts, properties, role};
use crate::stage::Stage;

pub fn a_request_that_comes_late_or_twice_does_no_harm(stage: &Stage) -> Result<()> {
    let name = "landfall-late";
    stage.cloud.wait(async {
        let mut life = Life::new(stage, name, PLENTY).await?;
        let create = life.request("create", "Create", None);
        let made = life.answer_to("create", &create).await?;
        ensure!(made["Status"] == "SUCCESS", "{made}");
        ensure!(made["Data"]["Arn"].as_str().is_some_and(|arn| arn.ends_with(name)), "{made}");
        let id = made["PhysicalResourceId"].as_str().context("no id")?;
        ensure!(life.answer_to("create", &create).await? == made, "a replay gets another answer");

        life.properties = properties(name, "two");
        let update = life.request("update", "Update", Some(id));
        ensure!(life.answer_to("update", &update).await?["Status"] == "SUCCESS", "not updated");
        // Deliver the Create once more. The changes that came after it stay.
        life.answer_to("create", &create).await?;
        assert_starts(stage, name, "two").await?;

        let delete = life.request("delete", "Delete", Some(id));
        for _ in 0..2 {
            ensure!(life.answer_to("delete", &delete).await?["Status"] == "SUCCESS", "not deleted");
            ensure!(role(stage, name).await?.is_none(), "the role is still there");
        }
        for (id, late) in [("create", &create), ("update", &update), ("delete", &delete)] {
            life.answer_to(id, late).await?;
            ensure!(role(stage, name).await?.is_none(), "a late request brought the role back");
        }
        Ok(())
    })
}

pub fn a_late_cleanup_leaves_the_rules_of_the_id_that_stands(stage: &Stage) -> Result<()> {
    stage.cloud.wait(async {
        let queue = faults::queue(stage).await?;
        let life = Life::notified(stage, "acme-late-cleanup", &queue).await?;
        let create = async |id: &str| {
            let made = life.answer(id, "Create", None).await?;
            ensure!(made["Status"] == "SUCCESS", "{made}");
            Ok(made["PhysicalResourceId"].as_str().context("no id")?.to_owned())
        };
        let (first, second) = (create("first").await?, create("second").await?);
        ensure!(first != second, "both are `{first}`");
        for (request, id, rules) in [("late", &first, 1), ("last", &second, 0)] {
            let deleted = life.answer(request, "Delete", Some(id)).await?;
            ensure!(deleted["Status"] == "SUCCESS", "{deleted}");
            let left = life.rules(stage).await?;
            ensure!(left == rules, "after the {request} clean-up there are {left} rules");
        }
        Ok(())
    })
}

pub fn rules_are_removed_whatever_else_the_properties_say(stage: &Stage) -> Result<()> {
    stage.cloud.wait(async {
        let queue = faults::queue(stage).await?;
        let mut life = Life::notified(stage, "acme-old-shape", &queue).await?;
        let made = life.answer("made", "Create", None).await?;
        ensure!(made["Status"] == "SUCCESS" && life.rules(stage).await? == 1, "{made}");
        // Act as if another version had written them.
        life.properties["Version"] = json!("9");
        life.properties["Fifo"] = json!([["x"]]);
        life.properties["QueueArn"] = Value::Null;
        let deleted = life.answer("removed", "Delete", made["PhysicalResourceId"].as_str()).await?;
        ensure!(deleted["Status"] == "SUCCESS", "{deleted}");
        ensure!(life.rules(stage).await? == 0, "the rules are still there");
        Ok(())
    })
}

pub fn a_request_that_meets_a_lock_is_left_for_the_next_delivery(stage: &Stage) -> Result<()> {
    let name = "landfall-locked";
    stage.cloud.wait(async {
        // It waits for the lock as long as it may, but no call of it runs out of time.
        let mut life = Life::new(stage, name, Time { call: PLENTY.call, ..LITTLE }).await?;
        let client = aws_sdk_dynamodb::Client::new(&faults::config(
            life.proxy.endpoint(),
            ANALYTICS,
            PLENTY.call,
        ));
        let stack = format!("arn:aws:cloudformation:{REGION}:{ANALYTICS}:stack/{name}/1");
        let table = Table::new(client, "landfall-provisioner".to_owned());
        // A request was cut off and holds the lock until its lease ends.
        let lease = Duration::from_secs(600);
        let held = table.lock(&format!("{stack}/Role"), lease, Instant::now()).await?;

        let early = issued(life.request("early", "Create", None), 0);
        let error = life.handle(&early).await.expect_err("the request stays unanswered");
        ensure!(error.code() == "resource_locked", "{error}");
        // Lambda may not deliver these again.
        let late = issued(life.request("late", "Create", None), -300);
        for (id, last) in [("late", late), ("undated", life.request("undated", "Create", None))] {
            let answer = life.answer_to(id, &last).await?;
            ensure!(answer["Status"] == "FAILED", "{answer}");
        }
        ensure!(
            role(stage, name).await?.is_none(),
            "a role was created under another request's lock"
        );

        let memory = held.memory.clone();
        held.release(memory, Instant::now() + PLENTY.call).await?;
        // There is nothing left to wait for.
        life.give(PLENTY);
        let answer = life.answer_to("early", &early).await?;
        ensure!(answer["Status"] == "SUCCESS", "{answer}");
        let deleted =
            life.answer("removed", "Delete", answer["PhysicalResourceId"].as_str()).await?;
        ensure!(deleted["Status"] == "SUCCESS", "{deleted}");
        Ok(())
    })
}

pub fn a_request_of_another_time_has_no_effect(stage: &Stage) -> Result<()> {
    let name = "landfall-untimely";
    stage.cloud.wait(async {
        let life = Life::new(stage, name, PLENTY).await?;
        for (id, seconds) in [("past", -1_200), ("future", 1_200), ("next-year", 31_536_000)] {
            let answer =
                life.answer_to(id, &issued(life.request(id, "Create", None), seconds)).await?;
            ensure!(answer["Status"] == "FAILED", "{answer}");
            ensure!(role(stage, name).await?.is_none(), "{id}: a role was created");
        }
        // They left nothing behind that would make the next request late.
        let now = issued(life.request("made", "Create", None), -60);
        let answer = life.answer_to("made", &now).await?;
        ensure!(answer["Status"] == "SUCCESS", "{answer}");
        life.is_removed(stage).await
    })
}

pub fn a_role_that_would_trust_another_account_is_refused(stage: &Stage) -> Result<()> {
    let name = "landfall-trusting";
    stage.cloud.wait(async {
        let mut life = Life::new(stage, name, PLENTY).await?;
        let only = |account: &str| Settings {
            limits: Limits::parse(account, "*", "*").expect("an account"),
            ..faults::settings()
        };
        let config = faults::config(life.proxy.endpoint(), ANALYTICS, PLENTY.call);
        life.context = Context::new(only("333333333333"), config.clone(), connector());
        let answer = life.answer("refused", "Create", None).await?;
        let reason = answer["Reason"].as_str().unwrap_or_default();
        ensure!(reason.contains(DATA) && reason.contains("TrustedAccountIds"), "{answer}");
        ensure!(role(stage, name).await?.is_none(), "the role was created");
        life.context = Context::new(only(DATA), config, connector());
        life.is_made(stage).await?;
        life.is_removed(stage).await
    })
}

/// Returns the request as if CloudFormation had issued it this many seconds from now.
fn issued(mut request: Value, seconds: i64) -> Value {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = i64::try_from(since.as_secs()).unwrap_or_default() + seconds;
    let at = DateTime::from_secs(at);
    let text = at.fmt(DateTimeFormat::DateTime).expect("a date");
    let date: String = text.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let url = request["ResponseURL"].as_str().unwrap_or_default();
    request["ResponseURL"] = json!(format!("{url}?X-Amz-Date={date}"));
    request
}
