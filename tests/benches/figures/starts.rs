//! Compares processes side by side: the floor, the calls alone, the trigger, and its peers in
//! Python. It measures a start until the process asks for work, and until it has answered its first
//! event, and then each further event.
//!
//! CPU is that of the process. Wall time includes the stand-ins, which aren't optimised, and
//! whatever else the machine does. It is printed but never judged.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use landfall_stand_ins::tls::Server;
use landfall_tests::lambda::Function;
use landfall_tests::{python, root, target_dir};
use serde_json::{Value, json};

use crate::instructions;
use crate::process::{cpu_time, peak_kb};
use crate::report::Report;
use crate::stage::{AT_ONCE, Stage, event};

const STARTS: usize = 30;
const EVENTS: usize = 300;
/// With a tool that counts instructions, each event is about fifty times slower.
const COUNTED_EVENTS: usize = 20;

/// The bounds of the trigger. For CPU they are multiples of the floor's and fractions of the
/// peers', with room for a busy machine. For instructions they are millions, without such room.
/// `docs/performance.md` has the targets.
const START_TO_FLOOR: f64 = 4.5;
const START_TO_CALLS: f64 = 1.7;
const START_TO_PEER: f64 = 1.0 / 45.0;
const EVENT_TO_PEER: f64 = 1.0 / 4.0;
const START_INSTRUCTIONS: f64 = 8.6;
const EVENT_INSTRUCTIONS: f64 = 3.8;
/// How many times the instructions of a start with two routes one with [`MANY`] takes.
const START_TO_FEW_ROUTES: f64 = 1.2;

/// The number of routes of the start with many.
const MANY: usize = 500;

/// What is measured, and how.
#[derive(Clone, Copy)]
pub struct Setting<'s> {
    pub functions: &'s Path,
    /// How long AWS takes to answer a call.
    pub latency: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Hello,
    /// The SDK's calls as the trigger makes them, and nothing else.
    Calls,
    Trigger,
    /// The trigger, with [`MANY`] routes instead of two.
    TriggerOfMany,
    /// The trigger, with AWS behind TLS.
    TriggerTls,
    Peer,
    PeerWithLedger,
}

const PROGRAMS: [Program; 7] = [
    Program::Hello,
    Program::Calls,
    Program::Trigger,
    Program::TriggerOfMany,
    Program::TriggerTls,
    Program::Peer,
    Program::PeerWithLedger,
];

impl Program {
    fn title(self) -> &'static str {
        match self {
            Self::Hello => "hello, world",
            Self::Calls => "calls alone",
            Self::Trigger => "trigger",
            Self::TriggerOfMany => "trigger, 500 routes",
            Self::TriggerTls => "trigger, TLS",
            Self::Peer => "Python",
            Self::PeerWithLedger => "Python, with a ledger",
        }
    }

    fn stage(self, setting: Setting) -> Result<Stage> {
        let mut stage = Stage::new(setting.functions)?;
        stage.aws.latency(setting.latency);
        if self == Self::TriggerOfMany {
            stage.have_routes(MANY - 2)?;
        }
        if self == Self::TriggerTls {
            let server = Server::start(&stage.endpoint);
            let system = system_certificates()?;
            let bundle = stage.folder().join("bundle.pem");
            std::fs::write(&bundle, system + server.certificate())?;
            stage.endpoint = server.url();
            stage.variables.insert("SSL_CERT_FILE".to_owned(), bundle.display().to_string());
        }
        Ok(stage)
    }

    fn command(self, stage: &Stage) -> Result<Command> {
        let handler = match self {
            Self::Hello => return Ok(Command::new(stage.binary("hello"))),
            Self::Calls => return Ok(Command::new(stage.binary("calls"))),
            Self::Trigger | Self::TriggerOfMany | Self::TriggerTls => {
                return Ok(Command::new(stage.binary("trigger")));
            }
            Self::Peer => "peer.handler",
            Self::PeerWithLedger => "peer_with_ledger.handler",
        };
        let mut command = Command::new(python::peer()?.program("python"));
        command
            .args(["-X", &format!("pycache_prefix={}", target_dir().join("peer").display())])
            .args(["-m", "awslambdaric", handler])
            .current_dir(root().join("tests/benches/peer"));
        Ok(command)
    }

    /// Returns how many runs it starts for an event.
    fn starts(self) -> u64 {
        u64::from(self != Self::Hello)
    }

    async fn answer(self, stage: &Stage, function: &Function, round: usize) -> Result<()> {
        let answer = stage.invoke("function", function, event(AT_ONCE, round, 1, 1)).await;
        let answer = answer.with_context(|| format!("{} failed", self.title()))?;
        let expected = match self {
            Self::Hello => Value::from("hello"),
            _ => json!({ "batchItemFailures": [] }),
        };
        let title = self.title();
        ensure!(answer == expected, "{title} answered {answer}:\n{}", stage.logged("function"));
        Ok(())
    }
}

/// Returns the system's trusted certificates in one file, as Amazon Linux has them.
fn system_certificates() -> Result<String> {
    const PLACES: [&str; 2] =
        ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];
    let found = PLACES.iter().find_map(|place| std::fs::read_to_string(place).ok());
    found.context("this machine has no bundle of certificates")
}

#[derive(Clone, Copy)]
struct Start {
    ready: Duration,
    answered: Duration,
    cpu_ready: Duration,
    cpu: Duration,
    peak_kb: u64,
}

/// The cost of each further event.
struct Warm {
    cpu: Duration,
    p50: Duration,
    p99: Duration,
    calls: f64,
}

pub async fn measure(setting: Setting<'_>, report: &mut Report) -> Result<()> {
    let mut starts = PROGRAMS.map(|program| (program, Vec::new()));
    // Python compiles what it imports the first time, so start each program once beforehand.
    for program in PROGRAMS {
        start(program, setting).await?;
    }
    // Take turns, so that other load on the machine affects all of them.
    for _ in 0..STARTS {
        for (program, measured) in &mut starts {
            measured.push(start(*program, setting).await?);
        }
    }
    let mut events = Vec::new();
    for program in PROGRAMS {
        events.push((program, further(program, setting).await?));
    }
    let mut counted = Vec::new();
    for program in PROGRAMS {
        let first = count(program, setting, 1).await?;
        let more = count(program, setting, 1 + COUNTED_EVENTS).await?;
        let each = (more - first) as f64 / COUNTED_EVENTS as f64;
        counted.push((program, first as f64, each));
    }
    print_starts(report, &starts, &counted);
    print_events(report, &events, &counted, setting.latency);
    Ok(())
}

async fn start(program: Program, setting: Setting<'_>) -> Result<Start> {
    let stage = program.stage(setting)?;
    let began = Instant::now();
    let function = stage.run(program.command(&stage)?, "function")?;
    ensure!(function.wait_until_ready().await?, "{} ended at once", program.title());
    let ready = began.elapsed();
    let cpu_ready = cpu_time(function.id())?;
    let asked = Instant::now();
    program.answer(&stage, &function, 0).await?;
    let answered = asked.elapsed();
    let cpu = cpu_time(function.id())?;
    let started = stage.aws.usage().calls.get("StartJobRun").copied().unwrap_or(0);
    ensure!(started == program.starts(), "{} started {started} runs", program.title());
    Ok(Start { ready, answered, cpu_ready, cpu, peak_kb: peak_kb(function.id())? })
}

async fn further(program: Program, setting: Setting<'_>) -> Result<Warm> {
    let stage = program.stage(setting)?;
    let function = stage.run(program.command(&stage)?, "function")?;
    program.answer(&stage, &function, 0).await?;
    stage.aws.clear_calls();
    let before = cpu_time(function.id())?;
    let mut walls = Vec::new();
    for round in 1..=EVENTS {
        let asked = Instant::now();
        program.answer(&stage, &function, round).await?;
        walls.push(asked.elapsed());
    }
    let cpu = cpu_time(function.id())?.saturating_sub(before) / EVENTS as u32;
    walls.sort_unstable();
    let calls: u64 = stage.aws.usage().calls.values().sum();
    Ok(Warm {
        cpu,
        p50: walls[EVENTS / 2],
        p99: walls[EVENTS * 99 / 100],
        calls: calls as f64 / EVENTS as f64,
    })
}

/// Counts the instructions of a process that answers this many events.
async fn count(program: Program, setting: Setting<'_>, events: usize) -> Result<u64> {
    let stage = program.stage(setting)?;
    let counter = instructions::Counter::new(stage.folder());
    let function = stage.run(counter.wrap(&program.command(&stage)?), "function")?;
    for round in 0..events {
        program.answer(&stage, &function, round).await?;
    }
    function.terminate()?;
    counter.counted()
}

fn print_starts(
    report: &mut Report,
    starts: &[(Program, Vec<Start>)],
    counted: &[(Program, f64, f64)],
) {
    let of = |program: Program, figure: fn(&Start) -> f64| {
        let found = starts.iter().find(|(measured, _)| *measured == program);
        median(found.map_or(&[][..], |(_, measured)| measured), figure)
    };
    let instructions = |program: Program| {
        counted
            .iter()
            .find(|(found, ..)| *found == program)
            .map_or(f64::NAN, |(_, first, _)| *first)
    };
    let cpu = |start: &Start| start.cpu.as_secs_f64() * 1e3;
    let floor = (of(Program::Hello, cpu), instructions(Program::Hello));
    let calls = of(Program::Calls, cpu);
    let rows = PROGRAMS.map(|program| {
        let milliseconds = |figure: fn(&Start) -> Duration| {
            let found = starts.iter().find(|(measured, _)| *measured == program);
            median(found.map_or(&[][..], |(_, s)| s), |start| figure(start).as_secs_f64() * 1e3)
        };
        vec![
            program.title().into(),
            milliseconds(|start| start.ready).into(),
            milliseconds(|start| start.answered).into(),
            milliseconds(|start| start.cpu_ready).into(),
            milliseconds(|start| start.cpu).into(),
            (of(program, cpu) / floor.0).into(),
            (of(program, cpu) / calls).into(),
            (instructions(program) / 1e6).into(),
            (instructions(program) / floor.1).into(),
            of(program, |start| start.peak_kb as f64 / 1_024.0).into(),
        ]
    });
    report.table(
        &format!(
            "A cold start with its first event, an arrival that starts a run; medians of {STARTS}"
        ),
        &[
            "",
            "wall ms until it asks",
            "wall ms of the event",
            "CPU ms until it asks",
            "CPU ms in all",
            "CPU, floor = 1",
            "CPU, calls alone = 1",
            "M instructions",
            "instructions, floor = 1",
            "peak MB",
        ],
        &rows,
    );
    let trigger = of(Program::Trigger, cpu);
    let to_floor = trigger / floor.0;
    report.check(to_floor <= START_TO_FLOOR, || {
        format!("a start takes at most {START_TO_FLOOR} times the CPU of the floor: {to_floor:.2}")
    });
    let to_calls = trigger / calls;
    report.check(to_calls <= START_TO_CALLS, || {
        format!(
            "a start takes at most {START_TO_CALLS} times the CPU of its calls alone: {to_calls:.2}"
        )
    });
    for peer in [Program::Peer, Program::PeerWithLedger] {
        let to_peer = trigger / of(peer, cpu);
        report.check(to_peer <= START_TO_PEER, || {
            let title = peer.title();
            let (most, is) = (1.0 / START_TO_PEER, 1.0 / to_peer);
            format!("a start takes at most 1/{most:.0} of the CPU of `{title}`: 1/{is:.0}")
        });
    }
    let millions = instructions(Program::Trigger) / 1e6;
    report.check(millions <= START_INSTRUCTIONS, || {
        format!("a start takes at most {START_INSTRUCTIONS} million instructions: {millions:.2}")
    });
    let to_few = instructions(Program::TriggerOfMany) / instructions(Program::Trigger);
    report.check(to_few <= START_TO_FEW_ROUTES, || {
        format!(
            "a start with {MANY} routes takes at most {START_TO_FEW_ROUTES} times the instructions of one with two: \
             {to_few:.2}"
        )
    });
}

fn print_events(
    report: &mut Report,
    events: &[(Program, Warm)],
    counted: &[(Program, f64, f64)],
    latency: Duration,
) {
    let of = |program: Program| events.iter().find(|(found, _)| *found == program);
    let peer = of(Program::PeerWithLedger).map_or(f64::NAN, |(_, warm)| warm.cpu.as_secs_f64());
    let rows: Vec<Vec<Value>> = events
        .iter()
        .map(|(program, warm)| {
            let each = counted.iter().find(|(found, ..)| found == program);
            // The calls of one arrival are made one after the other, but for Landfall's first two.
            let has_pair =
                !matches!(program, Program::Hello | Program::Peer | Program::PeerWithLedger);
            let waited = latency.as_secs_f64() * (warm.calls - f64::from(u8::from(has_pair)));
            let own = |wall: Duration| (wall.as_secs_f64() - waited) * 1e3;
            vec![
                program.title().into(),
                warm.calls.into(),
                (warm.cpu.as_secs_f64() * 1e3).into(),
                (warm.cpu.as_secs_f64() / peer).into(),
                each.map_or(Value::Null, |(_, _, each)| (each / 1e6).into()),
                own(warm.p50).into(),
                own(warm.p99).into(),
            ]
        })
        .collect();
    report.table(
        &format!(
            "Each further event, an arrival that starts a run; wall without {} ms for each call",
            latency.as_millis()
        ),
        &[
            "",
            "calls",
            "CPU ms",
            "CPU, Python with a ledger = 1",
            "M instructions",
            "wall ms p50",
            "wall ms p99",
        ],
        &rows,
    );
    if let Some((_, warm)) = of(Program::Trigger) {
        let ratio = warm.cpu.as_secs_f64() / peer;
        report.check(ratio <= EVENT_TO_PEER, || {
            format!("an event takes at most a quarter of the peer's CPU: {ratio:.2}")
        });
    }
    let each = counted.iter().find(|(found, ..)| *found == Program::Trigger);
    let millions = each.map_or(f64::NAN, |(_, _, each)| each / 1e6);
    report.check(millions <= EVENT_INSTRUCTIONS, || {
        format!("an event takes at most {EVENT_INSTRUCTIONS} million instructions: {millions:.2}")
    });
}

fn median(measured: &[Start], figure: impl Fn(&Start) -> f64) -> f64 {
    let mut figures: Vec<f64> = measured.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
