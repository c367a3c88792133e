//! Runs the whole code of trigger and monitor in a simulated world: one process, no sockets, and a
//! time that passes only when nobody has anything to do. Everything that happens follows from a
//! seed.
//!
//! To try more seeds than `make test` does, run `SEEDS=5000 FROM=1 cargo test --workspace --test
//! simulation`. To repeat one of them exactly, set `FROM=17 SEEDS=1`.

mod checks;
mod flood;
mod functions;
mod limits;
mod network;
mod queue;
mod time;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use checks::{Ledger, violations};
use functions::{Function, Lambda, poll, tick};
use time::spawn;
use world::{LEDGER, Outage, Weather, World, beginning, find, upgrade, upload};

/// The number of seeds that `make test` tries.
const SEEDS: u64 = 100;

/// The longest time after bad weather until everything that began in it has ended.
const COMES_TO_REST: Duration = Duration::from_secs(10 * 3_600);

/// The result of a simulation.
struct Outcome {
    violations: Vec<String>,
    trace: u64,
    invocations: u64,
    runs: usize,
    batches: usize,
    lasted: Duration,
}

fn simulate(seed: u64) -> Outcome {
    simulate_in(seed, Weather::of)
}

fn simulate_in(seed: u64, weather: impl FnOnce(&mut fastrand::Rng) -> Weather) -> Outcome {
    // Seeds the randomness of the code and the SDK.
    fastrand::seed(seed);
    let world = World::new(seed, weather);
    let is_over = world.timeline.clone().run(live(Arc::clone(&world)));
    let violations = violations(&world, is_over);
    let batches = Ledger::of(&world).batches.len();
    let state = world.state();
    Outcome {
        violations,
        trace: state.trace,
        invocations: state.invocations,
        runs: state.ran.len(),
        batches,
        lasted: world.timeline.elapsed(),
    }
}

/// Lives until everything is at rest. Returns `false` if it never is.
async fn live(world: Arc<World>) -> bool {
    begin(&world);
    if world.weather.upgrades {
        spawn(upgrade(Arc::clone(&world)));
    }
    uploads(&world).await;
    let calm_after = world.weather.calm_after;
    world.timeline.sleep(calm_after.saturating_sub(world.timeline.elapsed())).await;
    let began = world.timeline.elapsed();
    for number in 0..3 {
        upload(&world, format!("once/late/{number}"));
    }
    while world.timeline.elapsed() < began + COMES_TO_REST {
        world.timeline.sleep(Duration::from_secs(60)).await;
        let queues = [&world.arrivals, &world.backfill, &world.runs];
        let is_idle = queues.iter().all(|queue| queue.is_empty());
        if is_idle && Ledger::of(&world).is_at_rest(&world) {
            return true;
        }
    }
    false
}

/// Starts the functions.
fn begin(world: &Arc<World>) {
    let (trigger, monitor) = (Lambda::new(Function::Trigger), Lambda::new(Function::Monitor));
    spawn(poll(Arc::clone(world), |world| &world.arrivals, Arc::clone(&trigger)));
    spawn(poll(Arc::clone(world), |world| &world.backfill, trigger));
    spawn(poll(Arc::clone(world), |world| &world.runs, Arc::clone(&monitor)));
    spawn(poll(Arc::clone(world), |world| &world.work, Arc::clone(&monitor)));
    spawn(tick(Arc::clone(world), monitor));
}

/// Uploads the objects of the first half hour, and lets a backfill find some that were there before.
async fn uploads(world: &Arc<World>) {
    for number in 0..world.random(0..10) {
        find(world, number);
    }
    for number in 0..world.random(5..25) {
        world.timeline.sleep(world.random_secs(0..120)).await;
        let key = match world.random(0..7) {
            0 | 1 => format!("once/{}/{number}", number % 2),
            2 => format!("windowed/{}/{number}", number % 2),
            3 => format!("limited/{number}"),
            4 => format!("hourly/{number}"),
            5 => format!("plain/{number}"),
            _ => format!("scoped/{number}"),
        };
        upload(world, key);
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn whatever_happens_each_object_is_in_one_batch_and_each_batch_comes_to_its_end() {
    let (from, seeds) = (number("FROM", 1), number("SEEDS", SEEDS));
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let failed: Vec<String> = std::thread::scope(|scope| {
        let each = (0..threads).map(|thread| {
            scope.spawn(move || {
                let mine = (from..from + seeds).filter(|seed| seed % threads == thread);
                mine.filter_map(failure_of).collect::<Vec<_>>()
            })
        });
        let each: Vec<_> = each.collect();
        each.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(failed.is_empty(), "{} of {seeds} seeds:\n{}", failed.len(), failed.join("\n"));
}

/// Returns why a seed fails.
fn failure_of(seed: u64) -> Option<String> {
    let begun = std::time::Instant::now();
    let Outcome { violations, invocations, runs, batches, lasted, .. } = simulate(seed);
    if number("SEEDS", SEEDS) == 1 {
        let took = begun.elapsed();
        println!(
            "{invocations} invocations, {batches} batches, {runs} runs, {lasted:?} in {took:?}"
        );
    }
    (!violations.is_empty()).then(|| format!("seed {seed}: {}", violations.join("\n  ")))
}

/// Simulates a week of a small load in changing weather.
#[test]
#[ignore = "takes minutes: `make simulate`"]
fn a_week_leaves_neither_items_nor_memory_behind() {
    fastrand::seed(1);
    let world = World::new(1, |_| Weather { faults: 20, kills: 5, repeats: 20, ..Weather::calm() });
    let sizes = world.timeline.clone().run(week(Arc::clone(&world)));
    let (early, late) = (&sizes[1], sizes.last().expect("seven days"));
    for (kind, count) in &late.items {
        let before = early.items.get(kind).copied().unwrap_or_default();
        // Arrivals and chunks are kept for 400 days. Everything else is removed with its batch.
        let is_kept = matches!(*kind, "object" | "chunk");
        assert!(is_kept || *count <= before + 20, "`{kind}`: {count} after {before}: {sizes:?}");
    }
    assert!(late.memory < early.memory + 64 * 1024 * 1024, "{sizes:?}");
}

/// What exists after a day.
#[derive(Debug)]
struct Sizes {
    items: BTreeMap<&'static str, usize>,
    /// The memory of this process in bytes, including the stand-ins.
    memory: usize,
}

async fn week(world: Arc<World>) -> Vec<Sizes> {
    begin(&world);
    let mut sizes = Vec::new();
    for day in 0..7 {
        for number in 0..96 {
            world.timeline.sleep(Duration::from_secs(900)).await;
            upload(&world, format!("once/{day}/{number}"));
            world.aws.expire(beginning() + world.timeline.elapsed());
        }
        let kinds = ["object", "head", "batch", "chunk", "slot"];
        let count = |kind| (kind, world.aws.count(LEDGER, &format!("{kind}#")));
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
        let memory = pages.unwrap_or(0_usize) * 4096;
        sizes.push(Sizes { items: kinds.map(count).into(), memory });
    }
    sizes
}

/// SQS gives a message ten deliveries, six minutes apart.
#[test]
fn an_outage_of_the_ledger_that_outlasts_all_deliveries_fills_no_dead_letter_queue() {
    let (from, until) = (Duration::from_secs(600), Duration::from_secs(6_000));
    let weather = |_: &mut fastrand::Rng| Weather {
        outages: vec![Outage { service: "dynamodb", from, until }],
        calm_after: until,
        ..Weather::calm()
    };
    let violations = simulate_in(1, weather).violations;
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn a_seed_does_the_same_again() {
    for seed in 1..=8 {
        let (one, again) = std::thread::scope(|scope| {
            let [one, again] = [(); 2].map(|()| scope.spawn(move || simulate(seed)));
            (one.join().expect("no panic"), again.join().expect("no panic"))
        });
        assert_eq!((one.trace, one.lasted), (again.trace, again.lasted), "seed {seed}");
    }
}
