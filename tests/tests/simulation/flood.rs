//! Floods under AWS's limits: how long they last, and how long others wait for them.
//!
//! Each scenario has fifty innocent routes, which get an object now and then, beside what happens.
//! `make test` runs a small flood with a seed of its own each time. `make simulate` runs all, with
//! a tenth of their load and with all of it, which shows what ten times the load costs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use landfall_core::batch::{Batch, HistoryEvent, State};

use crate::checks::Ledger;
use crate::functions::{Function, Lambda, poll_within, tick};
use crate::limits::Limits;
use crate::time::spawn;
use crate::world::{Outage, Upload, Weather, World, upload_and_tell};

/// By how much loads and ceilings are divided.
const SCALE: u64 = 200;

/// The longest time that an innocent route may wait.
const LONGEST: Duration = Duration::from_secs(120);

/// The routes that have nothing to do with the flood. Of two, one has a window of a minute.
const INNOCENT: u64 = 50;
const WINDOW: Duration = Duration::from_secs(60);

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// The parameters of the data account's stack that bound how much is under way at a time.
const TRIGGERS: usize = 5;
const BATCH_SIZE: u64 = 1_000;
const WORKERS: usize = 10;

/// What happens, with the numbers of the full size.
#[derive(Clone)]
struct Scenario {
    name: &'static str,
    flood: Flood,
    /// What is away: a service, or the monitor.
    away: Option<(&'static str, Range<Duration>)>,
    /// Between an innocent route's objects.
    every: Duration,
    lasts: Duration,
    /// The longest time that an innocent route may wait, from when what was away is back.
    longest: Duration,
}

#[derive(Clone, Copy)]
enum Flood {
    /// So many objects within a minute, in so many groups.
    Objects { route: &'static str, objects: u64, groups: u64 },
    /// So many objects a minute, each minute with groups of its own, of a hundred objects.
    Steady { a_minute: u64 },
}

/// What became of a scenario.
#[derive(Debug)]
struct Outcome {
    name: &'static str,
    objects: usize,
    lost: usize,
    doubled: usize,
    /// When the last batch of the flood had its run; `None` if one still waits.
    drained: Option<Duration>,
    /// The most starts within a minute.
    starts: usize,
    innocent: Duration,
    in_doubt: usize,
    longest: Duration,
    write_units: f64,
    read_units: f64,
    refused: BTreeMap<String, u64>,
}

fn routes() -> String {
    let mut text = r#"version: 1
targets:
  analytics: { account: "222222222222", region: REGION, starter_role: landfall-starter }
routes:
  - name: crowd
    bucket: landing
    key: "crowd/{group}/*"
    batch: { by: [group], window: 2m }
    start: { target: analytics, job: crowd }
  - name: slots
    bucket: landing
    key: "slots/{group}/*"
    batch: { by: [group] }
    start: { target: analytics, job: slots, max_concurrent_runs: 3 }
"#
    .to_owned();
    for number in 0..INNOCENT {
        let batch = if has_window(number) { "by: [day], window: 1m" } else { "by: [day]" };
        let _ = write!(
            text,
            r#"  - name: innocent-{number}
    bucket: landing
    key: "innocent/{number}/{{day}}/*"
    batch: {{ {batch} }}
    start: {{ target: analytics, job: innocent-{number} }}
"#
        );
    }
    text
}

fn has_window(number: u64) -> bool {
    number % 2 == 1
}

/// Runs a scenario with `part` of its load.
fn run(scenario: &Scenario, part: f64, seed: u64) -> Outcome {
    run_within(scenario, Limits::at_scale(SCALE), part, seed)
}

fn run_within(scenario: &Scenario, limits: Limits, part: f64, seed: u64) -> Outcome {
    fastrand::seed(seed);
    let outages = scenario.away.iter().map(|(service, Range { start, end })| Outage {
        service,
        from: *start,
        until: *end,
    });
    let weather = Weather { outages: outages.collect(), ..Weather::calm() };
    let world = World::within(seed, weather, routes(), limits);
    world.aws.remember_calls(false);
    world.timeline.clone().run(live(Arc::clone(&world), scenario.clone(), part));
    judge(&world, scenario)
}

async fn live(world: Arc<World>, scenario: Scenario, part: f64) {
    let (trigger, monitor) = (Lambda::new(Function::Trigger), Lambda::new(Function::Monitor));
    let scale = world.limits.as_ref().map_or(1, |limits| limits.scale);
    let most = usize::try_from((BATCH_SIZE / scale).max(1)).expect("small");
    for _ in 0..TRIGGERS {
        spawn(poll_within(Arc::clone(&world), |it| &it.arrivals, Arc::clone(&trigger), most));
        spawn(poll_within(Arc::clone(&world), |it| &it.runs, Arc::clone(&monitor), 10));
    }
    for _ in 0..WORKERS {
        spawn(poll_within(Arc::clone(&world), |world| &world.work, Arc::clone(&monitor), 1));
    }
    spawn(tick(Arc::clone(&world), monitor));
    spawn(innocent(Arc::clone(&world), scenario.every, scenario.lasts));
    spawn(flood(Arc::clone(&world), scenario.flood, part / scale as f64));
    world.timeline.sleep(scenario.lasts).await;
}

/// Gives each innocent route an object now and then, until only the longest wait is left.
async fn innocent(world: Arc<World>, every: Duration, lasts: Duration) {
    let until = lasts.saturating_sub(2 * LONGEST + WINDOW);
    let mut number = 0;
    while world.timeline.elapsed() < until {
        let route = number % INNOCENT;
        upload_and_tell(&world, format!("innocent/{route}/{number}/a"), 0..2);
        number += 1;
        world.timeline.sleep(every / INNOCENT as u32).await;
    }
}

async fn flood(world: Arc<World>, flood: Flood, part: f64) {
    // The innocent ones come first.
    world.timeline.sleep(2 * MINUTE).await;
    let scaled = |number: u64| ((number as f64 * part) as u64).max(1);
    match flood {
        Flood::Objects { route, objects, groups } => {
            let (objects, groups) = (scaled(objects), scaled(groups));
            for number in 0..objects {
                let key = format!("{route}/{}/{number}", number % groups);
                upload_and_tell(&world, key, 0..2);
                world.timeline.sleep(MINUTE / u32::try_from(objects).expect("some")).await;
            }
        }
        Flood::Steady { a_minute } => {
            let objects = scaled(a_minute);
            for minute in 0_u64.. {
                for number in 0..objects {
                    let key = format!("crowd/{minute}-{}/{number}", number / 100);
                    upload_and_tell(&world, key, 0..2);
                    world.timeline.sleep(MINUTE / u32::try_from(objects).expect("some")).await;
                }
            }
        }
    }
}

fn judge(world: &Arc<World>, scenario: &Scenario) -> Outcome {
    let ledger = Ledger::of(world);
    let usage = world.aws.usage();
    let state = world.state();
    let mut begun: BTreeMap<&str, Duration> = BTreeMap::new();
    let mut epochs = BTreeSet::new();
    let mut doubled = 0;
    for ran in state.ran.values() {
        let first = begun.entry(&ran.batch_id).or_insert(ran.began);
        *first = (*first).min(ran.began);
        doubled += usize::from(!epochs.insert((&ran.batch_id, &ran.epoch)));
    }
    // If nobody knows whether a start was made, it is made again after the reconciliation window.
    let is_in_doubt = |batch: &Batch| {
        batch.history.iter().any(|entry| entry.what == HistoryEvent::OutcomeNotKnownYet)
    };
    let in_doubt = ledger.batches.iter().filter(|batch| is_in_doubt(batch));
    let in_doubt: BTreeSet<&str> = in_doubt.map(|batch| batch.id.as_str()).collect();
    let back = scenario.away.as_ref().map_or(Duration::ZERO, |(_, away)| away.end);
    let (mut lost, mut innocent, mut drained) = (0, Duration::ZERO, Some(Duration::ZERO));
    // What came in the last moments is still under way.
    let until = scenario.lasts.saturating_sub(2 * LONGEST + WINDOW);
    for upload in state.uploads.iter().filter(|upload| upload.at < until) {
        let batches = ledger.batches_of(upload);
        doubled += batches.len().saturating_sub(1);
        lost += usize::from(batches.is_empty() && !world.arrivals.has(&upload.key));
        let began = batches.first().and_then(|id| begun.get(id.as_str()));
        match innocent_number(upload) {
            Some(_) if batches.iter().any(|id| in_doubt.contains(id.as_str())) => {}
            Some(number) => {
                let window = if has_window(number) { WINDOW } else { Duration::ZERO };
                let ready = (upload.at + window).max(back);
                let began = began.copied().unwrap_or(scenario.lasts);
                innocent = innocent.max(began.saturating_sub(ready));
            }
            None => drained = drained.zip(began).map(|(last, began)| last.max(*began)),
        }
    }
    let parked = |batch: &Batch| matches!(batch.state, State::Parked { .. });
    lost += ledger.batches.iter().filter(|batch| parked(batch)).count();
    let mut minutes: BTreeMap<u64, usize> = BTreeMap::new();
    for ran in state.ran.values() {
        *minutes.entry(ran.began.as_secs() / 60).or_default() += 1;
    }
    Outcome {
        name: scenario.name,
        objects: state.uploads.len(),
        lost,
        doubled,
        drained,
        starts: minutes.into_values().max().unwrap_or_default(),
        innocent,
        in_doubt: in_doubt.len(),
        longest: scenario.longest,
        write_units: usage.write_units,
        read_units: usage.read_units,
        refused: world.limits.as_ref().map(Limits::refused).unwrap_or_default(),
    }
}

fn innocent_number(upload: &Upload) -> Option<u64> {
    upload.key.strip_prefix("innocent/")?.split('/').next()?.parse().ok()
}

impl Outcome {
    fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.lost > 0 || self.doubled > 0 {
            found.push(format!("{} lost, {} doubled", self.lost, self.doubled));
        }
        if self.innocent > self.longest {
            found.push(format!("an innocent route waited for {:?}", self.innocent));
        }
        found.into_iter().map(|what| format!("{}: {what}: {self}", self.name)).collect()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = |units: f64| units / self.objects.max(1) as f64;
        let drained = self.drained.map_or("not yet".to_owned(), |at| format!("{} s", at.as_secs()));
        write!(
            f,
            "{:34} {:6} objects, {} lost, {} doubled, the last start at {drained}, {} starts in a \
             minute, innocent {:.0} s, {} in doubt, an object {:.2} write units and {:.2} read, refused {:?}",
            self.name,
            self.objects,
            self.lost,
            self.doubled,
            self.starts,
            self.innocent.as_secs_f64(),
            self.in_doubt,
            each(self.write_units),
            each(self.read_units),
            self.refused,
        )
    }
}

const SLOTS: Scenario = Scenario {
    name: "200,000 wait for three slots",
    flood: Flood::Objects { route: "slots", objects: 200_000, groups: 200_000 },
    away: None,
    every: Duration::from_secs(600),
    lasts: Duration::from_secs(2 * 3_600),
    longest: LONGEST,
};

fn scenarios() -> Vec<Scenario> {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let flood = |name, route, groups| Scenario {
        name,
        flood: Flood::Objects { route, objects: 1_000_000, groups },
        away: None,
        every: minutes(10),
        lasts: minutes(40),
        longest: LONGEST,
    };
    let steady = |a_minute| Flood::Steady { a_minute };
    let away = |name, service, flood, away: Range<Duration>, lasts, every| Scenario {
        name,
        flood,
        away: Some((service, away)),
        every,
        lasts,
        longest: match service {
            // SQS hides a message that couldn't be recorded for six minutes.
            "dynamodb" => LONGEST + minutes(6),
            // Pauses grow to a quarter of an hour, and not all that was put off is resumed sooner.
            "glue" => LONGEST + minutes(18),
            _ => LONGEST,
        },
    };
    vec![
        flood("1,000,000 into one group", "crowd", 1),
        flood("1,000,000 into 10,000 groups", "crowd", 10_000),
        Scenario {
            name: "50,000,000 a day",
            flood: steady(34_722),
            away: None,
            every: minutes(10),
            lasts: minutes(20),
            longest: LONGEST,
        },
        SLOTS,
        away(
            "the ledger away for two hours",
            "dynamodb",
            steady(1_000),
            minutes(10)..minutes(130),
            minutes(170),
            minutes(20),
        ),
        away(
            "Glue away for two hours",
            "glue",
            steady(5_000),
            minutes(10)..minutes(130),
            minutes(170),
            minutes(20),
        ),
        away(
            "the monitor off for a day",
            "monitor",
            steady(200),
            minutes(10)..24 * HOUR,
            25 * HOUR,
            minutes(120),
        ),
    ]
}

#[test]
fn a_small_flood_under_awss_limits_loses_nothing_and_no_innocent_route_waits() {
    let seed = std::env::var("FLOOD").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::Rng::new().u64(1..1_000_000));
    let scenario = Scenario { lasts: Duration::from_secs(1_800), ..SLOTS };
    let outcome = run(&scenario, 0.3, seed);
    let violations = outcome.violations();
    assert!(violations.is_empty(), "repeat it with FLOOD={seed}:\n{}", violations.join("\n"));
}

/// This flood isn't divided, because it is about how much the functions do at a time.
#[test]
#[ignore = "takes minutes: `make simulate`"]
fn the_monitor_starts_5000_batches_a_minute_if_glue_lets_it() {
    let scenario = Scenario {
        name: "7,000 batches due at once",
        flood: Flood::Objects { route: "crowd", objects: 7_000, groups: 7_000 },
        lasts: 10 * MINUTE,
        ..SLOTS
    };
    let outcome = run_within(&scenario, Limits::at_scale(1).with_starts(1_000.0), 1.0, 1);
    println!("{outcome}");
    assert!(outcome.violations().is_empty() && outcome.starts >= 5_000, "{outcome}");
}

#[test]
#[ignore = "takes minutes: `make simulate`"]
fn no_flood_and_no_outage_loses_or_doubles_anything_or_holds_up_an_innocent_route() {
    let only = std::env::var("ONLY").unwrap_or_default();
    let seed = std::env::var("FLOOD").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let scenarios = scenarios().into_iter().filter(|scenario| scenario.name.contains(&only));
    let jobs: Vec<(Scenario, f64)> =
        scenarios.flat_map(|it| [(it.clone(), 0.1), (it, 1.0)]).collect();
    let next = std::sync::Mutex::new(jobs.into_iter());
    let work = || {
        let mut outcomes = Vec::new();
        loop {
            let Some((scenario, part)) = next.lock().expect("not poisoned").next() else {
                return outcomes;
            };
            let began = std::time::Instant::now();
            let outcome = run(&scenario, part, seed);
            println!("{part} of {outcome} ({:?})", began.elapsed());
            outcomes.push(outcome);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    let violations: Vec<String> = outcomes.iter().flat_map(Outcome::violations).collect();
    assert!(violations.is_empty(), "FLOOD={seed}:\n{}", violations.join("\n"));
}
