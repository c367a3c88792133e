//! The ledger and the claims on the emulated DynamoDB: many writers at once, and calls that fail.
//!
//! The emulator never cancels a transaction because of a conflict, and its indexes are never
//! behind.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement,
    KeyType, Projection, ProjectionType, ScalarAttributeType,
};
use futures_util::future::try_join_all;
use landfall_aws::claims::Claims;
use landfall_aws::clock::now;
use landfall_aws::ledger::{Held, Ledger};
use landfall_core::batch::{
    Batch, Bounds, Claim, ClaimMode, Closing, Draft, EndOutcome, Member, NEWEST_VERSION, Prepared,
    RunState, Scope, Seen, Start, Started, State, Step, next,
};
use landfall_core::moment::Moment;
use landfall_tests::proxy::{Fault, Kind, Proxy};
use landfall_tests::{DATA, REGION};

use crate::faults;
use crate::stage::Stage;

/// The time limit of a call, including its retries.
const A_CALL: Duration = Duration::from_secs(40);

/// Nothing that the writers write to closes before this.
const PLENTY: Duration = Duration::from_secs(60);

pub fn arrivals_told_many_times_at_once_are_each_in_exactly_one_batch(stage: &Stage) -> Result<()> {
    stage.cloud.wait(async {
        let fixture = Fixture::new(stage, "landfall-crowded").await?;
        let members = members(400);
        let windowed = Closing { window_secs: Some(3600), ..Closing::default() };
        let full = Closing { max_objects: Some(150), ..windowed };
        for (route, closing) in
            [("at-once", Closing::default()), ("windowed", windowed), ("full", full)]
        {
            // Three writers begin at different places, and each records all arrivals.
            let writers = [0, 130, 270].map(|first| {
                let mut rotated = members.clone();
                rotated.rotate_left(first);
                let fixture = &fixture;
                async move { fixture.record(route, closing, &rotated).await }
            });
            try_join_all(writers).await?;
            let batches = fixture.in_one_batch_each(route, &members).await?;
            match route {
                "windowed" => ensure!(batches.len() == 1, "{} batches", batches.len()),
                "full" => ensure!(batches.values().all(|members| members.len() <= 150)),
                _ => {}
            }
        }
        Ok(())
    })
}

pub fn a_call_that_fails_while_arrivals_are_recorded_loses_and_doubles_none(
    stage: &Stage,
) -> Result<()> {
    stage.cloud.wait(async {
        let members = members(200);
        let windowed = Closing { window_secs: Some(3600), ..Closing::default() };
        for (name, closing) in [("at-once", Closing::default()), ("windowed", windowed)] {
            let plain = Fixture::new(stage, &format!("landfall-faultless-{name}")).await?;
            plain.record(name, closing, &members).await?;
            let calls = plain.proxy.calls().len();
            ensure!(calls >= 3, "200 arrivals take {calls} calls");
            let cases = (1..=calls).flat_map(|call| Kind::ALL.map(|kind| (call, kind)));
            try_join_all(cases.map(async |(call, kind)| {
                let table = format!("landfall-{name}-{call}-{kind:?}").to_lowercase();
                let fixture = Fixture::new(stage, &table).await?;
                fixture.proxy.plan(vec![Fault::at_call(call, kind)]);
                // It may fail. Then the same arrivals are recorded again, as SQS would deliver them
                // again.
                if fixture.record(name, closing, &members).await.is_err() {
                    fixture.record(name, closing, &members).await?;
                }
                let again = fixture.record(name, closing, &members).await?;
                ensure!(again == members.len(), "{table}: {again} of 200 were known");
                fixture.in_one_batch_each(name, &members).await.context(table)
            }))
            .await?;
        }
        Ok(())
    })
}

pub fn of_many_that_begin_a_batch_one_does_and_limits_hold_whoever_begins(
    stage: &Stage,
) -> Result<()> {
    stage.cloud.wait(async {
        let fixture = Fixture::new(stage, "landfall-beginners").await?;
        let bounds = Bounds {
            reconciliation: Duration::from_secs(900),
            manifests_kept: Duration::from_secs(90 * 86_400),
        };
        let closing = Closing { max_objects: Some(1), ..Closing::default() };
        for member in members(12) {
            fixture.record("limited", closing, &[member]).await?;
        }
        let due = fixture.ledger.due(now()).await?.0;
        ensure!(due.len() == 12, "{} batches are due", due.len());
        // Begin each batch four times, all at once. Two runs at a time are admitted.
        let begin = async |id: String| -> Result<Option<Batch>> {
            loop {
                let batch = prepared(fixture.batch(&id).await?);
                let slot = fixture.ledger.slot(&batch.start.job_key()).await?;
                match next(&batch, &Seen::Slot(slot), &moment(), &bounds) {
                    Step::Begin { batch, slot } => {
                        match fixture.ledger.begin(*batch, slot).await? {
                            Held::Yes(begun) => return Ok(Some(*begun)),
                            Held::OtherBatch | Held::OtherSlot => continue,
                        }
                    }
                    _ => return Ok(None),
                }
            }
        };
        let ids = due.iter().cycle().take(48).map(|waiting| begin(waiting.id.clone()));
        let begun: Vec<Batch> = try_join_all(ids).await?.into_iter().flatten().collect();
        let distinct: BTreeSet<&str> = begun.iter().map(|batch| batch.id.as_str()).collect();
        ensure!(begun.len() == 2 && distinct.len() == 2, "{} began: {distinct:?}", begun.len());

        // The end of a run frees its slot, and the batches that wait are found.
        let ended = begun.into_iter().next().context("no batch began")?;
        let job_key = ended.start.job_key();
        let run_id = "jr_1".to_owned();
        let state = State::Started(Started {
            epoch: 1,
            run_id: run_id.clone(),
            since: now(),
            look_at: now(),
            missing: None,
            repeat: None,
        });
        let run = landfall_core::batch::Run { epoch: 1, run_id, state: None, error: None };
        let started = Batch { state, runs: vec![run], ..ended };
        let started = fixture.ledger.write(started).await?.context("the batch was not written")?;
        let claim = Claim { holder: Some(1), ended: 0 };
        let seen = Seen::Claim { run: RunState::Succeeded.into(), claim };
        let Step::Write { batch, counts: true } = next(&started, &seen, &moment(), &bounds) else {
            anyhow::bail!("a run that succeeded did not release its slot");
        };
        fixture.ledger.write_counted(*batch).await?.context("the slot was not released")?;
        let slot = fixture.ledger.slot(&job_key).await?;
        ensure!(slot.live.len() == 1, "{} batches hold the slot", slot.live.len());
        Ok(())
    })
}

pub fn an_item_of_a_newer_version_is_left_alone_and_what_it_adds_survives(
    stage: &Stage,
) -> Result<()> {
    stage.cloud.wait(async {
        let fixture = Fixture::new(stage, "landfall-newer").await?;
        fixture.record("rolling", Closing::default(), &members(1)).await?;
        let id = fixture.ledger.due(now()).await?.0[0].id.clone();
        // A newer release that only adds fields keeps the version number.
        let mut document = serde_json::to_value(fixture.batch(&id).await?)?;
        document["priority"] = serde_json::json!({ "of": "a later release" });
        fixture.overwrite(&id, 1, &document.to_string()).await?;
        let batch = fixture.batch(&id).await?;
        let written = fixture.ledger.write(batch).await?.context("the batch was not written")?;
        ensure!(written.unknown["priority"]["of"] == "a later release");
        let kept = serde_json::to_value(fixture.batch(&id).await?)?;
        ensure!(kept["priority"]["of"] == "a later release", "{kept}");
        // A release that changes more raises the version number.
        fixture.overwrite(&id, NEWEST_VERSION + 1, "{}").await?;
        let error = fixture.ledger.batch(&id).await.expect_err("the batch has a newer version");
        ensure!(error.code() == "ledger_newer", "{error}");
        Ok(())
    })
}

pub fn a_claim_changes_hands_only_after_its_holder_has_ended(stage: &Stage) -> Result<()> {
    stage.cloud.wait(async {
        let fixture = Fixture::new(stage, "landfall-claimed").await?;
        let arn = format!("arn:aws:dynamodb:{REGION}:{DATA}:table/landfall-claimed-claims");
        let claims = Claims::new(&fixture.config, &arn);
        ensure!(claims.read("b").await? == Claim::default());
        fixture.claim("b", 1).await?;
        ensure!(claims.read("b").await? == Claim { holder: Some(1), ended: 0 });
        // While this run lives, nothing can be said about the run of another epoch.
        ensure!(claims.end("b", 2).await? == EndOutcome::HeldBy(1));
        ensure!(claims.end("b", 1).await? == EndOutcome::Ended);
        ensure!(claims.end("b", 1).await? == EndOutcome::Ended, "ending the run again is refused");
        ensure!(claims.read("b").await?.live().is_none());
        // A run that ended before it claimed the batch leaves no holder behind.
        ensure!(claims.end("c", 3).await? == EndOutcome::Ended);
        ensure!(claims.read("c").await? == Claim { holder: None, ended: 3 });
        Ok(())
    })
}

/// A ledger of its own, behind a proxy that can fail.
struct Fixture {
    table: String,
    proxy: Proxy,
    config: SdkConfig,
    client: Client,
    ledger: Ledger,
}

impl Fixture {
    async fn new(stage: &Stage, table: &str) -> Result<Fixture> {
        let proxy = Proxy::start(&stage.cloud.emulator.endpoint())?;
        let config = faults::config(proxy.endpoint(), DATA, A_CALL);
        let client = Client::new(&faults::config(stage.cloud.emulator.endpoint(), DATA, A_CALL));
        make_table(&client, table, &[("pk", "sk", None), ("due_shard", "due_at", Some("due"))])
            .await?;
        make_claims(&client, &format!("{table}-claims")).await?;
        let ledger = Ledger::new(Client::new(&config), table.to_owned(), Duration::from_secs(60));
        Ok(Fixture { table: table.to_owned(), proxy, config, client, ledger })
    }

    /// Records the members, and returns how many were known before.
    async fn record(&self, route: &str, closing: Closing, members: &[Member]) -> Result<usize> {
        let draft = Draft {
            route: route.to_owned(),
            bucket: "acme".to_owned(),
            group: BTreeMap::new(),
            start: start(),
            closing,
            listing: None,
            members: members.to_vec(),
            markers: Vec::new(),
        };
        let id = |first: &Member| first.arrival_key(route).replace(' ', "-");
        let deadline = SystemTime::now() + PLENTY;
        Ok(self.ledger.record(&draft, id, moment, deadline).await?.duplicates)
    }

    async fn batch(&self, id: &str) -> Result<Batch> {
        self.ledger.batch(id).await?.with_context(|| format!("there is no batch `{id}`"))
    }

    /// Returns the members of each batch. Fails unless every recorded arrival is in exactly one batch,
    /// and in the one that the ledger names.
    async fn in_one_batch_each(
        &self,
        route: &str,
        members: &[Member],
    ) -> Result<BTreeMap<String, Vec<String>>> {
        let mut batch_of = BTreeMap::new();
        for member in members {
            let found = self.ledger.find("acme", &member.key).await?;
            let of_route: Vec<_> = found.iter().filter(|found| found.route == route).collect();
            ensure!(of_route.len() == 1, "`{}` is in {} batches", member.key, of_route.len());
            batch_of.insert(member.key.clone(), of_route[0].batch.clone());
        }
        let mut batches: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for id in batch_of.values().collect::<BTreeSet<_>>() {
            let batch = self.batch(id).await?;
            let held = self.ledger.members(&batch).await?;
            ensure!(held.len() as u64 == batch.members, "`{id}` miscounts its members");
            batches.insert(id.clone(), held.into_iter().map(|member| member.key).collect());
        }
        let held: Vec<(&String, &String)> =
            batches.iter().flat_map(|(id, keys)| keys.iter().map(move |key| (key, id))).collect();
        ensure!(
            held.len() == members.len(),
            "batches hold {} of {} members",
            held.len(),
            members.len()
        );
        for (key, id) in held {
            ensure!(batch_of.get(key) == Some(id), "`{key}` is not where its arrival says");
        }
        Ok(batches)
    }

    async fn overwrite(&self, id: &str, version: u32, document: &str) -> Result<()> {
        self.client
            .update_item()
            .table_name(&self.table)
            .key("pk", AttributeValue::S(format!("batch#{id}")))
            .key("sk", AttributeValue::S("batch".to_owned()))
            .update_expression("SET doc = :doc, v = :v")
            .expression_attribute_values(":doc", AttributeValue::S(document.to_owned()))
            .expression_attribute_values(":v", AttributeValue::N(version.to_string()))
            .send()
            .await?;
        Ok(())
    }

    /// Claims a batch as the first run of this epoch does.
    async fn claim(&self, batch: &str, epoch: u32) -> Result<()> {
        self.client
            .put_item()
            .table_name(format!("{}-claims", self.table))
            .item("batch_id", AttributeValue::S(batch.to_owned()))
            .item("holder", AttributeValue::S(format!("{epoch}#nonce")))
            .item("epoch", AttributeValue::N(epoch.to_string()))
            .send()
            .await?;
        Ok(())
    }
}

fn members(number: usize) -> Vec<Member> {
    let member = |n: usize| Member {
        key: format!("orders/{n:04} ü+%.csv"),
        version_id: None,
        etag: Some("e".to_owned()),
        size: Some(1),
        sequencer: Some(format!("{n:04X}")),
        event_time: None,
        listing: None,
        again: false,
    };
    (0..number).map(member).collect()
}

/// Returns a start that nobody ever makes.
pub fn start() -> Start {
    Start {
        target: "analytics".to_owned(),
        account: "222222222222".to_owned(),
        region: REGION.to_owned(),
        starter_role_arn: "arn:aws:iam::222222222222:role/landfall/landfall-starter".to_owned(),
        job: "orders".to_owned(),
        arguments: BTreeMap::new(),
        values: BTreeMap::new(),
        max_concurrent_runs: Some(2),
        max_runs_per_hour: None,
        attempts: 1,
        retry_states: Vec::new(),
        scope: Scope::Job,
        claim: ClaimMode::Required,
        announce: false,
        listing_limit: None,
    }
}

fn prepared(batch: Batch) -> Batch {
    let manifest = "s3://landfall-manifests/m.json".to_owned();
    let prepared = Prepared { objects: 1, bytes: None, manifest, arguments: BTreeMap::new() };
    Batch { prepared: Some(prepared), ..batch }
}

fn moment() -> Moment {
    Moment { now: now(), lease: now() + PLENTY, jitter: 0 }
}

/// Creates a table. The keys without a name are the table's own, and the others are those of
/// indexes.
pub async fn make_table(
    client: &Client,
    table: &str,
    keys: &[(&str, &str, Option<&str>)],
) -> Result<()> {
    let mut make = client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    for (hash, range, index) in keys {
        let numeric = match *range {
            "sk" => ScalarAttributeType::S,
            _ => ScalarAttributeType::N,
        };
        make = make
            .attribute_definitions(attribute(hash, ScalarAttributeType::S)?)
            .attribute_definitions(attribute(range, numeric)?);
        let schema = [element(hash, KeyType::Hash)?, element(range, KeyType::Range)?];
        make = match index {
            None => make.set_key_schema(Some(schema.to_vec())),
            Some(index) => make.global_secondary_indexes(
                GlobalSecondaryIndex::builder()
                    .index_name(*index)
                    .set_key_schema(Some(schema.to_vec()))
                    .projection(
                        Projection::builder().projection_type(ProjectionType::KeysOnly).build(),
                    )
                    .build()?,
            ),
        };
    }
    make.send().await?;
    Ok(())
}

pub async fn make_claims(client: &Client, table: &str) -> Result<()> {
    client
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("batch_id", ScalarAttributeType::S)?)
        .key_schema(element("batch_id", KeyType::Hash)?)
        .send()
        .await?;
    Ok(())
}

fn attribute(name: &str, kind: ScalarAttributeType) -> Result<AttributeDefinition> {
    Ok(AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build()?)
}

fn element(name: &str, kind: KeyType) -> Result<KeySchemaElement> {
    Ok(KeySchemaElement::builder().attribute_name(name).key_type(kind).build()?)
}
