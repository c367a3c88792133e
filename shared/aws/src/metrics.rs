//! What is told in metrics: all of them, with their units and dimensions. `docs/metrics.md` lists them,
//! and a test holds it to this file; the dashboard and the alarms refer to nothing else.
//!
//! Each line is CloudWatch EMF on standard output, where Lambda takes it from. All have the dimension
//! `Ledger`, the name of the ledger's table: what the functions of one deployment share. Those of the
//! provisioner, which serves several, have the dimension `Provisioner` instead, the name of its table.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use metrique_writer::format::Format;
use metrique_writer::unit::{AsBytes, AsCount, AsSeconds, Second, UnitTag};
use metrique_writer::value::MetricFlags;
use metrique_writer::{Entry, Observation, Value, ValueWriter};
use metrique_writer_format_emf::Emf;

use crate::clock::system_time;

/// The namespace of all metrics.
pub const NAMESPACE: &str = "Landfall";

/// Where metrics go, one line of EMF each. They are told apart from logs by their `_aws` field.
pub struct Metrics {
    output: Mutex<Box<dyn Write + Send>>,
    whose: Whose,
    /// The name of the table.
    name: String,
}

/// Which dimension all lines of a function have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Ledger,
    Provisioner,
}

/// What came into an invocation of the trigger.
#[derive(Entry)]
#[entry(rename_all = "PascalCase")]
pub struct Intake {
    /// Messages that SQS handed over.
    pub messages: AsCount<u64>,
    /// Of these, what goes back to the queue.
    pub messages_failed: AsCount<u64>,
    /// Arrivals that these messages tell of.
    pub arrivals: AsCount<u64>,
    /// No route takes them.
    pub arrivals_unmatched: AsCount<u64>,
    /// They were told before.
    pub arrivals_known: AsCount<u64>,
    /// Event records that are no arrivals.
    pub events_ignored: AsCount<u64>,
}

/// How things stand at a tick of the monitor.
#[derive(Entry)]
#[entry(rename_all = "PascalCase")]
pub struct Tick {
    /// Batches that are due.
    pub batches_due: AsCount<u64>,
    /// Of these, what is left to the next.
    pub batches_left: AsCount<u64>,
    /// They get no further, time and again.
    pub batches_stuck: AsCount<u64>,
    /// Batches that are parked.
    pub batches_parked: AsCount<u64>,
    /// How long nobody has taken up the one that is due the longest.
    pub oldest_due_seconds: AsSeconds<u64>,
    /// How long the oldest has waited for its start since it was closed, of those that were looked at.
    pub oldest_waiting_seconds: AsSeconds<u64>,
    /// The same, of those that no limit of their job holds up.
    pub oldest_blocked_seconds: AsSeconds<u64>,
}

/// What became of the batches of a route in an invocation.
#[derive(Debug, Default, PartialEq)]
pub struct OfRoute {
    /// Batches for which a job run was started.
    pub started: u64,
    /// Batches whose start was put off.
    pub put_off: u64,
    /// Batches whose job run succeeded.
    pub succeeded: u64,
    /// Job runs that failed.
    pub failed: u64,
    /// Objects in the batches that were started.
    pub objects_started: u64,
    /// The bytes of these objects.
    pub bytes_started: u64,
    /// From the first arrival of a batch to a run of it.
    pub seconds_to_start: Vec<f64>,
    /// From the first arrival of a batch to its success.
    pub seconds_to_success: Vec<f64>,
    /// What Glue bills for, of each run that has ended.
    pub dpu_seconds: Vec<f64>,
}

#[derive(Entry)]
#[entry(rename_all = "PascalCase")]
struct RouteLine<'e> {
    route: &'e str,
    job_runs_started: AsCount<u64>,
    job_runs_not_started: AsCount<u64>,
    job_runs_succeeded: AsCount<u64>,
    job_runs_failed: AsCount<u64>,
    objects_started: AsCount<u64>,
    bytes_started: AsBytes<u64>,
    seconds_to_start: Seconds<'e>,
    seconds_to_success: Seconds<'e>,
    dpu_seconds: Seconds<'e>,
}

#[derive(Entry)]
#[entry(rename_all = "PascalCase")]
struct CodeLine<'e> {
    code: &'e str,
    failures: AsCount<u64>,
}

#[derive(Entry)]
#[entry(rename_all = "PascalCase")]
struct RefusedLine<'e> {
    code: &'e str,
    requests_refused: AsCount<u64>,
}

/// What every line has.
#[derive(Entry)]
#[entry(rename_all = "PascalCase")]
struct Common<'e> {
    #[entry(timestamp)]
    timestamp: SystemTime,
    ledger: Option<&'e str>,
    provisioner: Option<&'e str>,
}

impl Metrics {
    /// To standard output in a function; to a buffer in a test. `ledger` is the name of its table.
    pub fn new(output: impl Write + Send + 'static, ledger: &str) -> Self {
        let output: Box<dyn Write + Send> = Box::new(output);
        Self { output: Mutex::new(output), whose: Whose::Ledger, name: ledger.to_owned() }
    }

    /// The same for a provisioner; `table` is the name of its table.
    pub fn of_provisioner(output: impl Write + Send + 'static, table: &str) -> Self {
        Self { whose: Whose::Provisioner, ..Self::new(output, table) }
    }

    /// A request that CloudFormation did not send, or did not ask for, and why it was refused.
    pub fn request_refused(&self, code: &str) {
        self.emit(&RefusedLine { code, requests_refused: 1.into() }, &[&[], &["Code"]]);
    }

    /// Of one invocation of the trigger.
    pub fn intake(&self, intake: &Intake) {
        self.emit(intake, &[&[]]);
    }

    /// Of one tick of the monitor.
    pub fn tick(&self, tick: &Tick) {
        self.emit(tick, &[&[]]);
    }

    /// Of one invocation; a route of which nothing is to be told is left out.
    pub fn routes(&self, routes: &BTreeMap<&str, OfRoute>) {
        for (route, of) in routes.iter().filter(|(_, of)| **of != OfRoute::default()) {
            let line = RouteLine {
                route,
                job_runs_started: of.started.into(),
                job_runs_not_started: of.put_off.into(),
                job_runs_succeeded: of.succeeded.into(),
                job_runs_failed: of.failed.into(),
                objects_started: of.objects_started.into(),
                bytes_started: of.bytes_started.into(),
                seconds_to_start: Seconds(&of.seconds_to_start),
                seconds_to_success: Seconds(&of.seconds_to_success),
                dpu_seconds: Seconds(&of.dpu_seconds),
            };
            self.emit(&line, &[&[], &["Route"]]);
        }
    }

    /// How often each code occurs.
    pub fn failures<'e>(&self, codes: impl IntoIterator<Item = &'e str>) {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for code in codes {
            *counts.entry(code).or_default() += 1;
        }
        for (code, failures) in counts {
            self.emit(&CodeLine { code, failures: failures.into() }, &[&["Code"]]);
        }
    }

    /// Writes `entry` by each set of dimensions, which name string fields of it, and by whose it is. A
    /// failure is logged: metrics never fail an invocation.
    fn emit(&self, entry: &impl Entry, dimensions: &[&[&str]]) {
        let name = |whose| (self.whose == whose).then_some(self.name.as_str());
        let common = Common {
            timestamp: system_time(),
            ledger: name(Whose::Ledger),
            provisioner: name(Whose::Provisioner),
        };
        let whose = match self.whose {
            Whose::Ledger => "Ledger",
            Whose::Provisioner => "Provisioner",
        };
        let all = |set: &&[&str]| {
            std::iter::once(whose).chain(set.iter().copied()).map(str::to_owned).collect()
        };
        let dimensions = dimensions.iter().map(all).collect();
        let mut line = Vec::new();
        let written = Emf::all_validations(NAMESPACE.to_owned(), dimensions)
            .format(&common.merge_by_ref(entry), &mut line)
            .map_err(|error| error.to_string())
            .and_then(|()| {
                let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
                // One write, so that no other line gets in between.
                output.write_all(&line).map_err(|error| error.to_string())
            });
        if let Err(error) = written {
            tracing::error!(code = "metrics_failed", error, "failed to write metrics");
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Each is an observation; of none nothing is told.
struct Seconds<'e>(&'e [f64]);

impl Value for Seconds<'_> {
    fn write(&self, writer: impl ValueWriter) {
        if !self.0.is_empty() {
            let each = self.0.iter().copied().map(Observation::Floating);
            writer.metric(each, Second::UNIT, [], MetricFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests;
