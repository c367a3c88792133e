//! AWS's limits, which a simulation can switch on: how long calls take, how much a partition takes,
//! and which calls AWS refuses.
//!
//! A simulation has a part of the load, [`Limits::scale`] times smaller, and ceilings that are as
//! much smaller. What the load doesn't divide stays as it is: how long a call takes, how many
//! messages and batches one invocation works on at a time, and what one item of the table takes,
//! because no item is written more often when there are more of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use landfall_stand_ins::{Call, Request};
use serde_json::Value;

use crate::world::{LEDGER, World};

/// The write units a second that a partition key of a table or an index takes.
const UNITS: f64 = 1_000.0;

/// `StartJobRun` calls a second. AWS doesn't publish the number. It is high, because the load of the
/// innocent routes isn't divided, and after an outage all of them start at once.
const STARTS: f64 = 900.0;

/// Other calls of Glue, and calls of STS, a second. AWS doesn't publish these either.
const LOOKS: f64 = 200.0;

/// The quota of concurrent runs of an account, raised far above its default.
const MAX_RUNS: u64 = 200_000;

/// The concurrent invocations of an account by default, and the messages in flight of a queue.
const CONCURRENCY: usize = 1_000;
const IN_FLIGHT: u64 = 120_000;

/// The ledger's indexes, with their keys.
const INDEXES: [(&str, [&str; 2]); 3] = [
    ("due", ["due_shard", "due_at"]),
    ("awaits", ["awaits", "awaits_since"]),
    ("routes", ["route", "created_at"]),
];

/// Why AWS doesn't carry a call out.
#[derive(Debug, Clone, Copy)]
pub enum Refusal {
    /// Another transaction is under way on one of the items.
    Conflict,
    /// AWS has this code for it.
    Throttled(&'static str),
}

pub struct Limits {
    /// By how much load and ceilings are divided.
    pub scale: u64,
    /// `StartJobRun` calls a second.
    starts: f64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    buckets: BTreeMap<String, Bucket>,
    /// Until when a transaction is under way on an item.
    busy: BTreeMap<String, Duration>,
    refused: BTreeMap<String, u64>,
}

/// What is left of a partition or a rate. A call that is admitted can overdraw it.
struct Bucket {
    left: f64,
    at: Duration,
}

/// A write to an item.
struct Write<'r> {
    pk: String,
    sk: String,
    /// `None` if it only changes when a batch is due.
    item: Option<&'r Value>,
    due_at: Option<&'r Value>,
    is_claim: bool,
}

impl Limits {
    pub fn at_scale(scale: u64) -> Self {
        Self { scale, starts: STARTS, state: Mutex::default() }
    }

    /// Lets Glue take this many `StartJobRun` calls a second.
    pub fn with_starts(self, starts: f64) -> Self {
        Self { starts, ..self }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the lock")
    }

    /// Returns how often AWS refused a call, by what it ran into.
    pub fn refused(&self) -> BTreeMap<String, u64> {
        self.lock().refused.clone()
    }

    pub fn in_flight(&self) -> usize {
        usize::try_from(IN_FLIGHT / self.scale).expect("small")
    }

    /// Returns `true` if one more invocation may begin in this account.
    pub fn has_concurrency(&self, world: &World) -> bool {
        world.state().running < CONCURRENCY
    }

    /// Returns how long a call takes. One in a hundred takes ten times as long as usual.
    pub fn latency(&self, world: &World, call: &Call) -> Duration {
        let usual = match (call.service, call.operation.as_str()) {
            ("dynamodb", "TransactWriteItems" | "BatchGetItem" | "Query") => 12,
            ("dynamodb", _) => 5,
            ("glue", "StartJobRun") => 500,
            ("glue", _) => 120,
            ("sts", _) => 60,
            ("s3", _) => 30,
            _ => 15,
        };
        let slow = if world.happens(1) { 10 } else { 1 };
        Duration::from_micros(usual * slow * world.random(600..1_400))
    }

    /// Decides whether AWS carries a call out that takes this long.
    pub fn admit(&self, world: &World, request: &Request, takes: Duration) -> Option<Refusal> {
        let now = world.timeline.elapsed();
        let call = &request.call;
        let throttled = "ThrottlingException";
        match (call.service, call.operation.as_str()) {
            ("dynamodb", _) => self.writes(world, call, now + takes),
            ("glue", "StartJobRun") => {
                let running = world.state().ran.values().filter(|ran| ran.ended.is_none()).count();
                if running as u64 >= MAX_RUNS / self.scale {
                    return Some(self.refuse("runs", "ResourceNumberLimitExceededException"));
                }
                let is_empty = self.is_empty("StartJobRun", now, self.starts);
                is_empty.then(|| self.refuse("StartJobRun", throttled))
            }
            ("glue" | "sts", operation) => {
                let is_empty = self.is_empty(operation, now, LOOKS);
                is_empty.then(|| self.refuse(operation, throttled))
            }
            _ => None,
        }
    }

    fn refuse(&self, what: &str, code: &'static str) -> Refusal {
        *self.lock().refused.entry(what.to_owned()).or_default() += 1;
        match code {
            "conflict" => Refusal::Conflict,
            code => Refusal::Throttled(code),
        }
    }

    /// Returns a rate as it is here, and what its bucket holds: what a minute brings. The full load
    /// spreads its work over the minute. A small part of it comes in a burst, because calls take as
    /// long, and as many are under way at a time.
    fn scaled(&self, rate: f64) -> (f64, f64) {
        let rate = rate / self.scale as f64;
        (rate, 60.0 * rate)
    }

    /// Takes one call of a rate. Returns `true` if none is left.
    fn is_empty(&self, name: &str, now: Duration, rate: f64) -> bool {
        let mut state = self.lock();
        let bucket = Bucket::of(&mut state.buckets, name, now, self.scaled(rate));
        let is_empty = bucket.left <= 0.0;
        if !is_empty {
            bucket.left -= 1.0;
        }
        is_empty
    }

    fn writes(&self, world: &World, call: &Call, until: Duration) -> Option<Refusal> {
        let now = world.timeline.elapsed();
        let writes = Write::all(call);
        let is_transaction = call.operation == "TransactWriteItems";
        let mut taken: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for write in &writes {
            write.consumed(world, is_transaction, &mut taken);
        }
        let mut state = self.lock();
        // What only one invocation writes meets nobody.
        let is_shared = |write: &&Write| !write.pk.starts_with("object#");
        let shared: Vec<&Write> = writes.iter().filter(is_shared).collect();
        if shared.iter().any(|write| state.busy.get(&write.pk).is_some_and(|busy| *busy > now)) {
            drop(state);
            return Some(self.refuse("conflict", "conflict"));
        }
        let mut full = None;
        for (name, (rate, _)) in &taken {
            let (rate, most) = match name.split_once('/') {
                Some(_) => self.scaled(*rate),
                None => (*rate, *rate),
            };
            if Bucket::of(&mut state.buckets, name, now, (rate, most)).left <= 0.0 {
                full = Some(name.clone());
            }
        }
        if let Some(full) = full {
            drop(state);
            let of = full.split('#').next().unwrap_or_default();
            return Some(self.refuse(of, "ProvisionedThroughputExceededException"));
        }
        for (name, (_, units)) in taken {
            state.buckets.entry(name).and_modify(|bucket| bucket.left -= units);
        }
        if is_transaction {
            state.busy.retain(|_, busy| *busy > now);
            state.busy.extend(shared.iter().map(|write| (write.pk.clone(), until)));
        }
        None
    }
}

impl Bucket {
    /// Returns the bucket of this name, which gets `rate` a second and holds `most`, with what it
    /// has gained. It is full when it is first used.
    fn of<'b>(
        buckets: &'b mut BTreeMap<String, Self>,
        name: &str,
        now: Duration,
        (rate, most): (f64, f64),
    ) -> &'b mut Self {
        if !buckets.contains_key(name) {
            buckets.insert(name.to_owned(), Self { left: most, at: now });
        }
        let bucket = buckets.get_mut(name).expect("it was put there");
        bucket.left = (bucket.left + rate * (now - bucket.at).as_secs_f64()).min(most);
        bucket.at = now;
        bucket
    }
}

impl<'r> Write<'r> {
    fn all(call: &'r Call) -> Vec<Self> {
        let body = &call.body;
        match call.operation.as_str() {
            "PutItem" => vec![Self::put(body)],
            "UpdateItem" | "DeleteItem" => vec![Self::update(body)],
            "TransactWriteItems" => {
                let all = body["TransactItems"].as_array().into_iter().flatten();
                all.filter_map(|write| {
                    let (kind, body) = write.as_object()?.iter().next()?;
                    Some(if kind == "Put" { Self::put(body) } else { Self::update(body) })
                })
                .collect()
            }
            _ => Vec::new(),
        }
    }

    fn put(body: &'r Value) -> Self {
        Self { item: Some(&body["Item"]), ..Self::of(&body["Item"], body) }
    }

    fn update(body: &'r Value) -> Self {
        let due_at = Some(&body["ExpressionAttributeValues"][":until"]);
        Self { due_at: due_at.filter(|at| !at.is_null()), ..Self::of(&body["Key"], body) }
    }

    fn of(key: &Value, body: &Value) -> Self {
        let text = |name: &str| key[name]["S"].as_str().unwrap_or_default().to_owned();
        let is_claim = body["TableName"].as_str().is_some_and(|name| !name.ends_with(LEDGER));
        Self { pk: text("pk"), sk: text("sk"), item: None, due_at: None, is_claim }
    }

    /// Adds what the write takes of each partition: how much that gets a second, and how much is
    /// taken. The names of partitions of indexes have a slash.
    fn consumed(
        &self,
        world: &World,
        is_transaction: bool,
        taken: &mut BTreeMap<String, (f64, f64)>,
    ) {
        if self.is_claim {
            return;
        }
        let mut take = |name: String, units: f64| {
            taken.entry(name).or_insert((UNITS, 0.0)).1 += units;
        };
        let old = match self.pk.starts_with("batch#") {
            true => world.aws.item(LEDGER, &[&self.pk, &self.sk]),
            false => None,
        };
        let bytes = self.item.or(old.as_ref()).map_or(1, |item| item.to_string().len());
        let units = bytes.div_ceil(1_024) as f64;
        take(self.pk.clone(), if is_transaction { 2.0 * units } else { units });
        if !self.pk.starts_with("batch#") {
            return;
        }
        let nothing = Value::Null;
        for (index, [hash, range]) in INDEXES {
            let place = |item: &'_ Value| {
                let hash = item[hash]["S"].as_str()?.to_owned();
                Some((hash, item[range]["N"].as_str()?.to_owned()))
            };
            let before = place(old.as_ref().unwrap_or(&nothing));
            let after = match (self.item, self.due_at) {
                (Some(item), _) => place(item),
                (None, Some(at)) if index == "due" => {
                    let at = at["N"].as_str().unwrap_or_default().to_owned();
                    before.clone().map(|(hash, _)| (hash, at))
                }
                (None, _) => before.clone(),
            };
            if before != after {
                for (hash, _) in before.into_iter().chain(after) {
                    take(format!("{index}/{hash}"), 1.0);
                }
            }
        }
    }
}
