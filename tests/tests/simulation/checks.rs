//! What must hold when a simulation has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use landfall_core::batch::{Batch, Chunk, ClaimMode, Entry, HistoryEvent, State, Why};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::functions::{MAX_CONCURRENT, MAX_PER_HOUR};
use crate::world::{LEDGER, LISTING, MAX_PER_HOUR_OF_LISTING, OLD, Ran, Upload, World};

/// The longest time until an object that was uploaded in calm weather has its run, whatever else
/// waits.
const SOON: Duration = Duration::from_secs(300);

const HOUR: Duration = Duration::from_secs(3_600);

/// The ledger as it stands.
pub struct Ledger {
    pub batches: Vec<Batch>,
    /// The batches that have an object, by its key and sequencer.
    members: BTreeMap<(String, String), Vec<String>>,
}

impl Ledger {
    pub fn of(world: &World) -> Self {
        let items = world.aws.items(LEDGER);
        let begins = |item: &&Value, prefix: &str| {
            item["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with(prefix))
        };
        let batches = items.iter().filter(|item| begins(item, "batch#")).map(read).collect();
        let mut members: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for item in items.iter().filter(|item| begins(item, "chunk#")) {
            let id = item["pk"]["S"].as_str().and_then(|pk| pk.split('#').nth(1));
            for member in read::<Chunk>(item).members {
                // What a listing found has no sequencer, and S3 may have announced it first.
                let sequencer = member.sequencer.filter(|_| !member.key.starts_with(OLD));
                let version = (member.key, sequencer.unwrap_or_default());
                members.entry(version).or_default().push(id.unwrap_or_default().to_owned());
            }
        }
        Self { batches, members }
    }

    /// Returns the IDs of the batches that have this upload.
    pub fn batches_of(&self, upload: &Upload) -> &[String] {
        let version = (upload.key.clone(), upload.sequencer.clone());
        self.members.get(&version).map_or(&[], Vec::as_slice)
    }

    /// Returns `true` if the ledger has everything that was uploaded, and nothing changes any more.
    pub fn is_at_rest(&self, world: &World) -> bool {
        self.members.len() == world.state().uploads.len()
            && self.batches.iter().all(|batch| batch.state.is_final() || is_parked(batch))
    }
}

fn is_parked(batch: &Batch) -> bool {
    matches!(batch.state, State::Parked { .. })
}

fn read<T: DeserializeOwned>(item: &Value) -> T {
    serde_json::from_str(item["doc"]["S"].as_str().expect("a document")).expect("of this version")
}

/// Returns everything that doesn't hold, in words.
pub fn violations(world: &World, is_over: bool) -> Vec<String> {
    let ledger = Ledger::of(world);
    let mut found = Vec::new();
    if !is_over {
        let moving = ledger.batches.iter().filter(|b| !b.state.is_final() && !is_parked(b));
        found.extend(moving.map(|b| format!("batch `{}` never ends: {:?}", b.id, b.history)));
        found.push("the simulation does not come to rest".to_owned());
    }
    for queue in [&world.arrivals, &world.backfill, &world.runs] {
        found.extend(queue.dead().iter().map(|dead| format!("in a dead-letter queue: {dead:?}")));
    }
    let state = world.state();
    each_upload_is_in_one_batch(&state.uploads, &ledger, &mut found);
    let mut by_batch: BTreeMap<&str, Vec<&Ran>> = BTreeMap::new();
    for ran in state.ran.values() {
        by_batch.entry(&ran.batch_id).or_default().push(ran);
    }
    for batch in &ledger.batches {
        let runs = by_batch.remove(batch.id.as_str()).unwrap_or_default();
        found.extend(of_batch(batch, &runs).into_iter().map(|why| {
            format!(
                "batch `{}` of `{}` {why}: {runs:?}: {:?}",
                batch.id, batch.route, batch.history
            )
        }));
    }
    found
        .extend(by_batch.into_keys().map(|id| format!("batch `{id}` has runs but does not exist")));
    limits_hold(state.ran.values(), &mut found);
    listing_limit_holds(state.ran.values(), &ledger, &mut found);
    what_comes_in_calm_starts_soon(world, &state.uploads, &ledger, &by_id(&state.ran), &mut found);
    found
}

fn by_id(ran: &BTreeMap<String, Ran>) -> BTreeMap<&str, Duration> {
    let mut first: BTreeMap<&str, Duration> = BTreeMap::new();
    for ran in ran.values() {
        let began = first.entry(&ran.batch_id).or_insert(ran.began);
        *began = (*began).min(ran.began);
    }
    first
}

fn each_upload_is_in_one_batch(
    uploads: &BTreeSet<Upload>,
    ledger: &Ledger,
    found: &mut Vec<String>,
) {
    for Upload { key, sequencer, .. } in uploads {
        let batches = ledger.members.get(&(key.clone(), sequencer.clone()));
        match batches.map_or(0, Vec::len) {
            1 => {}
            many => found.push(format!("`{key}` is in {many} batches: {batches:?}")),
        }
    }
    if ledger.members.len() > uploads.len() {
        found.push("the ledger has objects that nobody uploaded".to_owned());
    }
}

fn of_batch(batch: &Batch, runs: &[&Ran]) -> Vec<String> {
    let mut found = Vec::new();
    let epochs: BTreeSet<&str> = runs.iter().map(|run| run.epoch.as_str()).collect();
    if epochs.len() < runs.len() {
        found.push("has two runs of one epoch".to_owned());
    }
    let effects = runs.iter().filter(|run| run.has_effect).count();
    if effects > 1 {
        found.push(format!("took effect {effects} times"));
    }
    let overlap = runs.iter().any(|one| {
        let others = runs.iter().filter(|other| other.run_id != one.run_id);
        others.into_iter().any(|other| {
            one.began <= other.began && one.ended.is_none_or(|ended| other.began < ended)
        })
    });
    if overlap {
        found.push("has two runs at a time".to_owned());
    }
    match &batch.state {
        State::Succeeded { .. } if effects == 0 => {
            found.push("succeeded without effect".to_owned())
        }
        State::Parked { why, message } => match why {
            Why::AttemptsExhausted | Why::StateNotRetried => {}
            // Without a claim, a start of which nobody knows what came leaves a doubt.
            Why::OutcomeUnknown if is_in_doubt(batch) => {}
            why => found.push(format!("is parked: {}: {message}", why.code())),
        },
        _ => {}
    }
    found
}

fn is_in_doubt(batch: &Batch) -> bool {
    let is_lost = |entry: &Entry| entry.what == HistoryEvent::NotStarted;
    batch.start.claim == ClaimMode::Optional && batch.history.iter().any(is_lost)
}

fn limits_hold<'r>(ran: impl Iterator<Item = &'r Ran> + Clone, found: &mut Vec<String>) {
    let of = |job: &'static str| ran.clone().filter(move |ran| ran.job == job);
    for one in of("limited") {
        let at_once = of("limited").filter(|other| {
            other.began <= one.began && other.ended.is_none_or(|ended| ended > one.began)
        });
        let at_once = at_once.count();
        if at_once > MAX_CONCURRENT {
            found.push(format!("{at_once} runs of `limited` at {:?}", one.began));
        }
    }
    for one in of("hourly") {
        let within =
            of("hourly").filter(|other| (one.began..one.began + HOUR).contains(&other.began));
        let within = within.count();
        if within > MAX_PER_HOUR {
            found.push(format!("{within} runs of `hourly` in the hour from {:?}", one.began));
        }
    }
}

fn listing_limit_holds<'r>(
    ran: impl Iterator<Item = &'r Ran>,
    ledger: &Ledger,
    found: &mut Vec<String>,
) {
    let listed = ledger.batches.iter().filter(|batch| batch.listing.as_deref() == Some(LISTING));
    let listed: BTreeSet<&str> = listed.map(|batch| batch.id.as_str()).collect();
    let ran: Vec<&Ran> = ran.filter(|ran| listed.contains(ran.batch_id.as_str())).collect();
    for one in &ran {
        let within = ran.iter().filter(|it| (one.began..one.began + HOUR).contains(&it.began));
        let within = within.count();
        if within > MAX_PER_HOUR_OF_LISTING {
            found.push(format!("{within} runs of `{LISTING}` in the hour from {:?}", one.began));
        }
    }
}

fn what_comes_in_calm_starts_soon(
    world: &World,
    uploads: &BTreeSet<Upload>,
    ledger: &Ledger,
    begun: &BTreeMap<&str, Duration>,
    found: &mut Vec<String>,
) {
    let in_calm = uploads.iter().filter(|upload| {
        upload.key.starts_with("once/late/") && upload.at >= world.weather.calm_after
    });
    for Upload { key, sequencer, at } in in_calm {
        let batch =
            ledger.members.get(&(key.clone(), sequencer.clone())).and_then(|ids| ids.first());
        let began = batch.and_then(|id| begun.get(id.as_str()));
        if began.is_none_or(|began| *began > *at + SOON) {
            found.push(format!("`{key}`, uploaded at {at:?}, started at {began:?}"));
        }
    }
}
