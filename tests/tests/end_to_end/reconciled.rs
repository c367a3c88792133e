//! A notification rule that was removed for a while, and the reconciler that finds what S3 didn't announce meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use landfall_aws::clock::now;
use landfall_aws::ledger::{Ledger, Wanted};
use landfall_core::moment::Time;
use landfall_core::reconcile::Reconciliation;
use landfall_core::routes::Routes;
use landfall_tests::cloud::wait_until;
use serde_json::{Value, json};

use crate::deploy::Deployment;
use crate::repairer::invoke;
use crate::stage::{SOON, Stage, ledger_of};
use crate::upgrade::real_functions;

const PREFIX: &str = "reconciled";

/// Each route with its bucket. The first bucket keeps no versions.
const ROUTES: [(&str, &str); 2] =
    [("plain", "acme-reconciled"), ("versions", "acme-reconciled-versions")];

const HOUR: Duration = Duration::from_secs(3_600);

/// How many objects land in each bucket before, while, and after the rule is away.
const OBJECTS: usize = 8;

pub fn what_s3_never_announced_is_in_one_batch_with_and_without_versions(
    stage: &Stage,
) -> Result<()> {
    let cli = &stage.cloud.data.cli;
    let deployment = Deployment::new(stage, PREFIX)?;
    let [(_, _), (_, versions)] = ROUTES;
    cli.make_bucket(versions)?;
    let versioning = ["s3api", "put-bucket-versioning", "--bucket", versions];
    cli.run([&versioning[..], &["--versioning-configuration", "Status=Enabled"]].concat())?;
    for (name, bucket) in ROUTES {
        deployment.add_route(&format!(
            "{{ name: {name}, bucket: {bucket}, key: \"in/{{file}}\", start: {{ target: none }}, \
             reconcile: {{ every: 1h, look_back: 1d, action: start }} }}"
        ))?;
    }
    let staged = stage.cloud.emulator.folder().join("stage");
    real_functions(&staged, &deployment.package)?;
    let file = "reconciler/bootstrap";
    fs::copy(staged.join(file), deployment.package.join(file)).context("failed to copy it")?;
    deployment.deploy(&["--yes"])?.expect(0)?;
    let ledger = ledger_of(&stage.cloud, PREFIX);

    land(stage, "before")?;
    held(stage, &ledger, OBJECTS)?;
    let mut rules = BTreeMap::new();
    for (_, bucket) in ROUTES {
        let get = ["s3api", "get-bucket-notification-configuration", "--bucket", bucket];
        rules.insert(bucket, cli.run(get)?);
        put_rules(stage, bucket, "{}")?;
    }
    land(stage, "while")?;
    for (bucket, rules) in &rules {
        ensure!(rules.contains("QueueConfigurations"), "`{bucket}` has no rule: {rules}");
        put_rules(stage, bucket, rules)?;
    }
    land(stage, "after")?;
    held(stage, &ledger, 2 * OBJECTS)?;

    // As if the routes had been deployed before these objects were written.
    let text = fs::read_to_string(deployment.package.join("changed.yaml"))?;
    let routes = Routes::parse(&text).routes.context("the routes are not valid")?;
    for (name, _) in ROUTES {
        let route = routes.routes.iter().find(|route| route.name == name).context("no route")?;
        let new = Reconciliation::new(route, now() - 4 * HOUR, None, now());
        let written =
            stage.cloud.wait(async { anyhow::Ok(ledger.write_reconciliation(new, now()).await?) });
        ensure!(written?.is_some(), "route `{name}` was reconciled before");
    }
    let first = reconcile(stage, "first")?;
    let all = u64::try_from(3 * OBJECTS * ROUTES.len())?;
    let expected = json!({ "ended": 2, "listed": all, "missed": all / 3 });
    ensure!(first == expected, "the first run came to {first}");
    let held_by = held(stage, &ledger, 3 * OBJECTS)?;
    let twice: Vec<_> = held_by.iter().filter(|(_, batches)| batches.len() > 1).collect();
    ensure!(twice.is_empty(), "objects in two batches: {twice:#?}");

    // An hour later, nothing is missing.
    for (name, _) in ROUTES {
        let earlier = stage.cloud.wait(async {
            let kept =
                ledger.reconciliations().await?.remove(name).context("nothing is kept")??;
            let mut last = kept.last.clone().context("no pass has ended")?;
            last.started_at = last.started_at - HOUR;
            anyhow::Ok(
                ledger
                    .write_reconciliation(Reconciliation { last: Some(last), ..kept }, now())
                    .await?,
            )
        });
        ensure!(earlier?.is_some(), "somebody else reconciles route `{name}`");
    }
    let second = reconcile(stage, "second")?;
    ensure!(second == json!({ "ended": 2, "listed": all, "missed": 0 }), "{second}");
    ensure!(held(stage, &ledger, 3 * OBJECTS)? == held_by, "an object is in another batch");
    for (_, bucket) in ROUTES {
        let mut find = stage.cloud.landfall_without_profiles("find")?;
        let table = format!("{PREFIX}-ledger");
        find.args([&format!("s3://{bucket}/in/while-0"), "--table", &table])
            .env("AWS_PROFILE", "data");
        let said = find.output().context("failed to run landfall")?;
        let said = String::from_utf8_lossy(&said.stdout);
        let expected = "S3 never announced it; found by reconciliation on 20";
        ensure!(said.contains(expected), "{said}");
    }
    Ok(())
}

/// Puts objects into each bucket that count as written two hours ago.
fn land(stage: &Stage, when: &str) -> Result<()> {
    let written = (now() - 2 * HOUR).to_string();
    stage.cloud.wait(async {
        for (_, bucket) in ROUTES {
            for number in 0..OBJECTS {
                let put = stage.cloud.data.s3.put_object().bucket(bucket);
                let put = put.key(format!("in/{when}-{number}")).metadata("written", &written);
                let put = put.body(format!("{when} {number}").into_bytes().into()).send().await;
                put.with_context(|| format!("failed to put an object into `{bucket}`"))?;
            }
        }
        Ok(())
    })
}

fn put_rules(stage: &Stage, bucket: &str, rules: &str) -> Result<()> {
    let put = ["s3api", "put-bucket-notification-configuration", "--bucket", bucket];
    let put = [&put[..], &["--notification-configuration", rules]].concat();
    stage.cloud.data.cli.run(put).map(drop)
}

fn reconcile(stage: &Stage, name: &str) -> Result<Value> {
    let answer = invoke(stage, &stage.cloud.data, &format!("{PREFIX}-reconciler"), name)?;
    serde_json::from_str(&answer).with_context(|| format!("the answer is `{answer}`"))
}

/// Waits until this many objects of each bucket are in batches, and returns the batches of each object.
fn held(stage: &Stage, ledger: &Ledger, each: usize) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let what = format!("not {each} objects of each bucket are in batches");
    stage.cloud.wait(wait_until(&what, SOON, async || {
        let mut held: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (route, bucket) in ROUTES {
            let wanted =
                Wanted { route: Some(route), since: Time(0), limit: 1_000, most_read: 1_000 };
            for batch in ledger.batches(&wanted, |_| true).await?.batches {
                for member in ledger.first_members(&batch, usize::MAX).await? {
                    let uri = format!("s3://{bucket}/{}", member.key);
                    let is_new = held.entry(uri.clone()).or_default().insert(batch.id.clone());
                    ensure!(is_new, "{uri} is in batch `{}` twice", batch.id);
                }
            }
        }
        Ok(Some(held).filter(|held| held.len() >= each * ROUTES.len()))
    }))
}
