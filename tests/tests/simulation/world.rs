//! What surrounds the functions: AWS in memory, its weather, and what everybody else does in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use landfall_core::arrivals::{EventTime, Listed, Listing, messages};
use landfall_stand_ins::{Request, StandIn, Table};
use serde_json::{Value, json};

use crate::functions::ROUTES;
use crate::limits::Limits;
use crate::queue::Queue;
use crate::time::{Timeline, spawn};

pub const LEDGER: &str = "ledger";
pub const CLAIMS: &str = "claims";

/// The number of deliveries of a message, as in the template.
pub const MAX_RECEIVE_COUNT: u32 = 10;

static WORLDS: AtomicU64 = AtomicU64::new(1);

/// Returns the time at which each simulation begins: 2026-01-31T00:00:00Z.
pub fn beginning() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_769_817_600)
}

/// What goes wrong, and for how long.
#[derive(Debug, Clone)]
pub struct Weather {
    /// Of 1,000 calls, this many fail, before or after their effect.
    pub faults: u32,
    /// Of 100 invocations, this many are killed.
    pub kills: u32,
    /// Of 100 runs, this many fail.
    pub failing_runs: u32,
    /// Of 100 events, this many are delivered twice.
    pub repeats: u32,
    /// Of 100 ends of runs, this many produce no event.
    pub untold: u32,
    /// The maximum difference between a clock and the right time.
    pub skew: Duration,
    /// The maximum time for which Glue hides a run.
    pub hides: Duration,
    pub outages: Vec<Outage>,
    /// Whether a newer version is deployed, takes batches up, and is rolled back.
    pub upgrades: bool,
    /// From this time on, nothing goes wrong any more.
    pub calm_after: Duration,
}

/// A service that doesn't work for a while.
#[derive(Debug, Clone)]
pub struct Outage {
    pub service: &'static str,
    pub from: Duration,
    pub until: Duration,
}

impl Weather {
    /// Returns the weather of a seed, from a calm day to a bad one.
    pub fn of(random: &mut Rng) -> Self {
        let calm_after = Duration::from_secs(random.u64(1_200..5_400));
        let outage = |random: &mut Rng| {
            let service = random.choice(["glue", "dynamodb", "sts", "s3"]).unwrap_or("glue");
            let from = Duration::from_secs(random.u64(0..1_800));
            let lasts = Duration::from_secs(random.u64(60..4_500));
            Outage { service, from, until: (from + lasts).min(calm_after) }
        };
        let outages = (0..random.u32(0..3)).map(|_| outage(random)).collect();
        let choose = |random: &mut Rng, from: &[u32]| *random.choice(from).unwrap_or(&0);
        Self {
            faults: choose(random, &[0, 5, 20, 60, 150]),
            kills: choose(random, &[0, 5, 20]),
            failing_runs: choose(random, &[0, 10, 40]),
            repeats: choose(random, &[0, 20, 100]),
            untold: choose(random, &[0, 30, 100]),
            skew: Duration::from_millis(u64::from(choose(random, &[0, 1_000, 4_000]))),
            hides: Duration::from_secs(u64::from(choose(random, &[0, 5, 300]))),
            outages,
            upgrades: random.bool(),
            calm_after,
        }
    }

    /// Returns weather in which nothing goes wrong, for tests that add a fault.
    pub fn calm() -> Self {
        Self {
            faults: 0,
            kills: 0,
            failing_runs: 0,
            repeats: 0,
            untold: 0,
            skew: Duration::ZERO,
            hides: Duration::ZERO,
            outages: Vec::new(),
            upgrades: false,
            calm_after: Duration::MAX,
        }
    }
}

/// An object as it was uploaded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Upload {
    pub key: String,
    pub sequencer: String,
    pub at: Duration,
}

/// What a run did.
#[derive(Debug, Clone)]
pub struct Ran {
    pub batch_id: String,
    pub epoch: String,
    pub run_id: String,
    pub job: String,
    pub began: Duration,
    pub ended: Option<Duration>,
    /// Whether it held the claim, or needed none, when it succeeded.
    pub has_effect: bool,
}

pub struct World {
    pub timeline: Timeline,
    pub aws: StandIn,
    pub weather: Weather,
    /// A region that no other simulation has. All clients of a process share the SDK's budget of
    /// retries for a service in a region.
    pub region: String,
    pub arrivals: Queue,
    pub backfill: Queue,
    pub runs: Queue,
    pub work: Queue,
    pub routes: String,
    /// AWS's limits, if they are switched on.
    pub limits: Option<Limits>,
    random: Mutex<Rng>,
    state: Mutex<State>,
}

#[derive(Default)]
pub struct State {
    pub uploads: BTreeSet<Upload>,
    pub ran: BTreeMap<String, Ran>,
    /// When Glue begins to show each run.
    pub shown_at: BTreeMap<String, Duration>,
    pub indexes_shown_at: Duration,
    pub invocations: u64,
    /// The number of invocations that are under way.
    pub running: usize,
    /// A hash of all calls and what became of them. Two simulations of one seed have the same.
    pub trace: u64,
}

impl World {
    pub fn new(seed: u64, weather: impl FnOnce(&mut Rng) -> Weather) -> Arc<Self> {
        let mut random = Rng::with_seed(seed);
        let weather = weather(&mut random);
        Self::of(random, weather, ROUTES.to_owned(), None)
    }

    /// Makes a world under AWS's limits.
    pub fn within(seed: u64, weather: Weather, routes: String, limits: Limits) -> Arc<Self> {
        Self::of(Rng::with_seed(seed), weather, routes, Some(limits))
    }

    fn of(random: Rng, weather: Weather, routes: String, limits: Option<Limits>) -> Arc<Self> {
        let timeline = Timeline::default();
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Arc::new(Self {
            aws: StandIn::in_process(vec![Table::ledger(LEDGER), Table::claims(CLAIMS)]),
            arrivals: Queue::new("arrivals", minutes(6), MAX_RECEIVE_COUNT),
            backfill: Queue::new("backfill", minutes(6), MAX_RECEIVE_COUNT),
            runs: Queue::new("runs", minutes(6), MAX_RECEIVE_COUNT),
            work: Queue::new("work", minutes(6), 1_000).keeping(minutes(2)),
            routes,
            limits,
            timeline,
            weather,
            region: format!("eu-west-{}", WORLDS.fetch_add(1, Ordering::Relaxed)),
            random: Mutex::new(random),
            state: Mutex::default(),
        })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the lock")
    }

    /// Returns a number of this range, as the seed determines it.
    pub fn random(&self, range: std::ops::Range<u64>) -> u64 {
        match range.is_empty() {
            true => range.start,
            false => self.random.lock().expect("no thread panics with the lock").u64(range),
        }
    }

    pub fn random_secs(&self, range: std::ops::Range<u64>) -> Duration {
        let (from, until) = (range.start * 1_000, range.end * 1_000);
        Duration::from_millis(self.random(from..until))
    }

    /// Returns whether something that happens in `percent` of 100 cases happens now.
    pub fn happens(&self, percent: u32) -> bool {
        percent > 0 && self.random(0..100) < u64::from(percent)
    }

    pub fn is_calm(&self) -> bool {
        self.timeline.elapsed() >= self.weather.calm_after
    }

    /// Returns `true` while nobody invokes the monitor.
    pub fn monitor_is_off(&self) -> bool {
        self.is_out("monitor")
    }

    pub fn is_out(&self, service: &str) -> bool {
        let now = self.timeline.elapsed();
        let is_out = |outage: &Outage| {
            outage.service == service && (outage.from..outage.until).contains(&now)
        };
        self.weather.outages.iter().any(is_out)
    }

    /// Lets a request take effect now.
    pub fn serve(&self, request: &Request) -> hyper::Response<hyper::body::Bytes> {
        self.aws.set_time(beginning() + self.timeline.elapsed());
        self.aws.serve(request)
    }

    /// Makes a call that can't fail, for somebody who isn't simulated. Returns the status and the
    /// body of the answer.
    pub fn call(&self, service: &'static str, operation: &str, body: Value) -> (u16, Value) {
        let answer = self.serve(&Request::of(service, operation, body));
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(answer.body()).unwrap_or(Value::Null))
    }
}

/// Uploads an object. S3 sends its event late, twice, in any order.
pub fn upload(world: &Arc<World>, key: String) {
    upload_and_tell(world, key, 0..90);
}

/// Uploads an object. S3 sends its event this many seconds late.
pub fn upload_and_tell(world: &Arc<World>, key: String, late: std::ops::Range<u64>) {
    let at = world.timeline.elapsed();
    let sequencer = format!("{:016X}", at.as_micros());
    let event = json!({ "Records": [{
        "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "eventTime": "2026-01-31T00:00:00.000Z",
        "s3": {
            "bucket": { "name": "landing" },
            "object": { "key": key, "size": 1, "sequencer": sequencer },
        },
    }]});
    world.state().uploads.insert(Upload { key, sequencer, at });
    for _ in 0..1 + u32::from(world.happens(world.weather.repeats)) {
        let late = world.random_secs(late.clone());
        let (to, event) = (Arc::clone(world), event.to_string());
        spawn(async move {
            to.timeline.sleep(late).await;
            to.arrivals.send(&to, event);
        });
    }
}

/// What the keys of objects begin with that were there before.
pub const OLD: &str = "once/old-";

/// The listing that finds them, which limits the starts of its batches.
pub const LISTING: &str = "backfill-1";
pub const MAX_PER_HOUR_OF_LISTING: usize = 3;

/// Lets a backfill find an object that was there before. S3 announces it all the same, or not, before or after. Each
/// message comes late, twice, in any order. Every other object has a version.
pub fn find(world: &Arc<World>, number: u64) {
    let written = EventTime::parse("2026-01-30T20:00:00Z").expect("a time");
    let listed = Listed {
        key: format!("{OLD}{}/{number}", number % 3),
        size: 1,
        etag: format!("e{number}"),
        version_id: number.is_multiple_of(2).then(|| format!("v{number}")),
        last_modified: written,
    };
    let listing = Listing {
        id: LISTING.to_owned(),
        route: "once".to_owned(),
        again: false,
        max_runs_per_hour: u32::try_from(MAX_PER_HOUR_OF_LISTING).ok(),
    };
    let mut object =
        json!({ "key": listed.key, "size": 1, "eTag": listed.etag, "sequencer": "0A" });
    if let Some(version_id) = &listed.version_id {
        object["versionId"] = json!(version_id);
    }
    let event = json!({ "Records": [{
        "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "eventTime": written.to_string(), "s3": { "bucket": { "name": "landing" }, "object": object },
    }]});
    let found = messages(&[listed.record("landing", &listing)], 200_000).remove(0);
    let at = world.timeline.elapsed();
    // The ledger has it with the event's sequencer, or with none.
    world.state().uploads.insert(Upload { key: listed.key, sequencer: String::new(), at });
    let send = |queue: fn(&World) -> &Queue, body: String| {
        for _ in 0..1 + u32::from(world.happens(world.weather.repeats)) {
            let late = world.random_secs(0..600);
            let (to, body) = (Arc::clone(world), body.clone());
            spawn(async move {
                to.timeline.sleep(late).await;
                queue(&to).send(&to, body);
            });
        }
    };
    send(|world| &world.backfill, found);
    if world.happens(60) {
        send(|world| &world.arrivals, event.to_string());
    }
}

/// Does what a run of a job with the library does: it claims its batch, works, and ends. The job
/// `plain` knows nothing of claims.
pub async fn job(world: Arc<World>, run_id: String) {
    let ran = world.state().ran[&run_id].clone();
    world.timeline.sleep(world.random_secs(5..60)).await;
    let is_early = !world.is_calm() && world.happens(world.weather.failing_runs / 4);
    let holds = !is_early && (ran.job == "plain" || claim(&world, &ran));
    if holds {
        world.timeline.sleep(world.random_secs(5..900)).await;
    }
    let fails = is_early || holds && world.happens(world.weather.failing_runs) && !world.is_calm();
    let outcome = match fails {
        true if world.happens(50) => "FAILED",
        true => "TIMEOUT",
        false => "SUCCEEDED",
    };
    world.aws.set_time(beginning() + world.timeline.elapsed());
    assert!(world.aws.set_run_state(&run_id, outcome), "{run_id} was started");
    if let Some(ran) = world.state().ran.get_mut(&run_id) {
        ran.ended = Some(world.timeline.elapsed());
        ran.has_effect = holds && !fails;
    }
    if world.happens(world.weather.untold) {
        return;
    }
    world.timeline.sleep(world.random_secs(0..20)).await;
    let event = json!({
        "version": "0", "source": "aws.glue", "detail-type": "Glue Job State Change",
        "account": "222222222222", "region": world.region,
        "detail": { "jobName": ran.job, "jobRunId": run_id, "state": outcome, "severity": "INFO" },
    });
    world.runs.send(&world, event.to_string());
}

/// Claims a batch on the condition that `landfall/_claim.py` uses.
fn claim(world: &World, ran: &Ran) -> bool {
    let (status, answer) = world.call(
        "dynamodb",
        "UpdateItem",
        json!({
            "TableName": CLAIMS,
            "Key": { "batch_id": { "S": ran.batch_id } },
            "UpdateExpression": "SET #holder = :mine, #epoch = :epoch",
            "ConditionExpression": "(attribute_not_exists(#ended) OR #ended < :epoch)\
                AND (attribute_not_exists(#holder) OR #holder = :mine OR #epoch <= #ended)",
            "ExpressionAttributeNames": { "#holder": "holder", "#epoch": "epoch", "#ended": "ended" },
            "ExpressionAttributeValues": {
                ":mine": { "S": format!("{}#{}", ran.epoch, ran.run_id) },
                ":epoch": { "N": ran.epoch },
            },
        }),
    );
    let is_refused =
        answer["__type"].as_str().is_some_and(|kind| kind.contains("ConditionalCheck"));
    assert!(status == 200 || is_refused, "a claim is taken or refused: {answer}");
    status == 200
}

/// Deploys a newer version for a while. It takes up some batches in progress, and writes them so
/// that this version doesn't understand them. Then it is rolled back, and deployed again later.
pub async fn upgrade(world: Arc<World>) {
    let calm_after = world.weather.calm_after.as_secs();
    world.timeline.sleep(world.random_secs(60..calm_after / 2)).await;
    let all = world.aws.items(LEDGER);
    let moves = |item: &&Value| {
        let state = item["state"]["S"].as_str();
        state.is_some_and(|state| !matches!(state, "succeeded" | "parked" | "empty"))
    };
    let taken: Vec<Value> = all.iter().filter(moves).take(3).cloned().collect();
    taken.iter().for_each(|item| rewrite(&world, item, "99"));
    world.timeline.sleep(world.random_secs(60..calm_after / 2)).await;
    for item in &taken {
        let key = ["pk", "sk"].map(|name| item[name]["S"].as_str().unwrap_or_default());
        let now = world.aws.item(LEDGER, &key).expect("nobody deletes it");
        assert_eq!(now["v"]["N"], "99", "an item of a newer version stays unchanged");
        rewrite(&world, &now, item["v"]["N"].as_str().unwrap_or_default());
    }
}

/// Writes an item again, as one of this version.
fn rewrite(world: &World, item: &Value, version: &str) {
    let mut document: Value =
        serde_json::from_str(item["doc"]["S"].as_str().unwrap_or_default()).expect("JSON");
    let revision = document["revision"].as_u64().unwrap_or_default() + 1;
    document["revision"] = revision.into();
    let (status, answer) = world.call(
        "dynamodb",
        "UpdateItem",
        json!({
            "TableName": LEDGER,
            "Key": { "pk": item["pk"], "sk": item["sk"] },
            "UpdateExpression": "SET v = :v, revision = :revision, doc = :doc",
            "ExpressionAttributeValues": {
                ":v": { "N": version },
                ":revision": { "N": revision.to_string() },
                ":doc": { "S": document.to_string() },
            },
        }),
    );
    assert_eq!(status, 200, "{answer}");
}
