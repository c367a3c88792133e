//! Defines all metrics, with their units and dimensions. `docs/metrics.md` lists them, and a test
//! checks it against this file; the dashboard and the alarms use no others.
//!
//! Each line is CloudWatch EMF on standard output, where Lambda reads it. All have the dimension
//! `Ledger`, the name of the ledger's table, which the functions of one deployment share. The
//! metrics of the provisioner, which serves several deployments, have the dimension `Provisioner`
//! instead, the name of its table, and those of an auditor `Auditor`, the name of its table.

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

/// Writes metrics, one line of EMF each. Their `_aws` field distinguishes them from logs.
pub struct Metrics {
    output: Mutex<Box<dyn Write + Send>>,
    whose: Whose,
    /// The name of the table.
    name: String,
}

/// The dimension that all lines of a function have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Ledger,
    Provisioner,
    Auditor,
}

/// What one invocation of the trigger received.
#[derive(Entry)]
#[entry(rename_all = "PascalCase")]
pub struct Intake {
    /// Messages that SQS delivered.
    pub messages: AsCount<u64>,
    /// Messages that go back to the queue.
    pub messages_failed: AsCount<u64>,
    /// Arrivals in these messages.
    pub arrivals: AsCount<u64>,
    /// Arrivals that no route takes.
    pub arrivals_unmatched: AsCount<u64>,
    /// Arrivals that the ledger already knew.
    pub arrivals_known: AsCount<u64>,
    /// Event records that are not arrivals.
    pub events_ignored: AsCount<u64>,
}

/// The state of affairs at a tick of the monitor.
#[derive(Entry)]
#[entry(rename_all = "PascalCase")]
pub struct Tick {
    /// Batches that are due.
    pub batches_due: AsCount<u64>,
    /// Due batches that are left to the next tick.
    pub batches_left: AsCount<u64>,
    /// Batches that repeatedly make no progress.
    pub batches_stuck: AsCount<u64>,
    /// Parked batches.
    pub batches_parked: AsCount<u64>,
    /// How long the most overdue batch has been due.
    pub oldest_due_seconds: AsSeconds<u64>,
    /// The longest that any batch the tick looked at has waited for its start since it closed.
    pub oldest_waiting_seconds: AsSeconds<u64>,
    /// The longest that any of these has waited without being held up by a limit of its job.
    pub oldest_blocked_seconds: AsSeconds<u64>,
}

/// What became of a route's batches in one invocation.
#[derive(Debug, Default, PartialEq)]
pub struct RouteMetrics {
    /// Batches for which a job run was started.
    pub started: u64,
    /// Batches that an event announced.
    pub announced: u64,
    /// Batches whose start or announcement was put off.
    pub put_off: u64,
    /// Batches whose job run succeeded.
    pub succeeded: u64,
    /// Those of them that no run ever claimed.
    pub succeeded_unclaimed: u64,
    /// Job runs that failed.
    pub failed: u64,
    /// Objects in the batches that were started.
    pub objects_started: u64,
    /// The bytes of these objects.
    pub bytes_started: u64,
    /// For each start, the time since the batch's first arrival.
    pub seconds_to_start: Vec<f64>,
    /// For each success, the time since the batch's first arrival.
    pub seconds_to_success: Vec<f64>,
    /// For each run that has ended, what Glue bills for it.
    pub dpu_seconds: Vec<f64>,
}

/// What is open at the end of an audit.
#[derive(Entry)]
#[entry(rename_all = "PascalCase")]
pub struct OpenFindings {
    /// Open findings.
    findings: AsCount<u64>,
    /// Those of them with severity high or critical.
    findings_high: AsCount<u64>,
}

impl OpenFindings {
    /// Counts the open findings, and those of them with severity high or critical.
    pub fn new(all: usize, high: usize) -> Self {
        let count = |count| u64::try_from(count).unwrap_or(u64::MAX).into();
        Self { findings: count(all), findings_high: count(high) }
    }
}

/// What one run of the reconciler came to.
#[derive(Entry)]
#[entry(rename_all = "PascalCase")]
pub struct Passes {
    /// Objects that it found in the buckets.
    pub objects_listed: AsCount<u64>,
    /// Those of them that a route takes, and that are in no batch of it.
    pub arrivals_missed: AsCount<u64>,
    /// How long ago everything was written that passes have looked at, of the route that is farthest behind.
    pub reconciled_age_seconds: AsSeconds<u64>,
}

#[derive(Entry)]
#[entry(rename_all = "PascalCase")]
struct RouteLine<'e> {
    route: &'e str,
    /// Left out of most lines: each metric of a route costs.
    batches_announced: Option<AsCount<u64>>,
    job_runs_started: AsCount<u64>,
    job_runs_not_started: AsCount<u64>,
    job_runs_succeeded: AsCount<u64>,
    job_runs_succeeded_unclaimed: AsCount<u64>,
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

/// The fields of every line.
#[derive(Entry)]
#[entry(rename_all = "PascalCase")]
struct Common<'e> {
    #[entry(timestamp)]
    timestamp: SystemTime,
    ledger: Option<&'e str>,
    provisioner: Option<&'e str>,
    auditor: Option<&'e str>,
}

impl Metrics {
    /// Writes to `output`: standard output in a function, a buffer in a test. `ledger` is the name
    /// of the ledger's table.
    pub fn new(output: impl Write + Send + 'static, ledger: &str) -> Self {
        let output: Box<dyn Write + Send> = Box::new(output);
        Self { output: Mutex::new(output), whose: Whose::Ledger, name: ledger.to_owned() }
    }

    /// Writes a provisioner's metrics to `output`. `table` is the name of its table.
    pub fn of_provisioner(output: impl Write + Send + 'static, table: &str) -> Self {
        Self { whose: Whose::Provisioner, ..Self::new(output, table) }
    }

    /// Writes an auditor's metrics to `output`. `table` is the name of its table.
    pub fn of_auditor(output: impl Write + Send + 'static, table: &str) -> Self {
        Self { whose: Whose::Auditor, ..Self::new(output, table) }
    }

    /// Writes what is open at the end of an audit.
    pub fn audit(&self, open: &OpenFindings) {
        self.emit(open, &[&[]]);
    }

    /// Writes what one run of the reconciler came to.
    pub fn passes(&self, passes: &Passes) {
        self.emit(passes, &[&[]]);
    }

    /// Counts a request that did not come from CloudFormation, or that it has no use for, by the
    /// reason for refusing it.
    pub fn request_refused(&self, code: &str) {
        self.emit(&RefusedLine { code, requests_refused: 1.into() }, &[&[], &["Code"]]);
    }

    /// Writes what one invocation of the trigger received.
    pub fn intake(&self, intake: &Intake) {
        self.emit(intake, &[&[]]);
    }

    /// Writes the state of affairs at one tick of the monitor.
    pub fn tick(&self, tick: &Tick) {
        self.emit(tick, &[&[]]);
    }

    /// Writes what one invocation did, by route. Leaves out a route where nothing happened.
    pub fn routes(&self, routes: &BTreeMap<&str, RouteMetrics>) {
        for (route, of) in routes.iter().filter(|(_, of)| **of != RouteMetrics::default()) {
            let line = RouteLine {
                route,
                batches_announced: (of.announced > 0).then(|| of.announced.into()),
                job_runs_started: of.started.into(),
                job_runs_not_started: of.put_off.into(),
                job_runs_succeeded: of.succeeded.into(),
                job_runs_succeeded_unclaimed: of.succeeded_unclaimed.into(),
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

    /// Counts how often each code occurs.
    pub fn failures<'e>(&self, codes: impl IntoIterator<Item = &'e str>) {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for code in codes {
            *counts.entry(code).or_default() += 1;
        }
        for (code, failures) in counts {
            self.emit(&CodeLine { code, failures: failures.into() }, &[&["Code"]]);
        }
    }

    /// Writes `entry` under each set of dimensions, which name string fields of it, together with
    /// the dimension of the function. Logs a failure: metrics never fail an invocation.
    fn emit(&self, entry: &impl Entry, dimensions: &[&[&str]]) {
        let name = |whose| (self.whose == whose).then_some(self.name.as_str());
        let common = Common {
            timestamp: system_time(),
            ledger: name(Whose::Ledger),
            provisioner: name(Whose::Provisioner),
            auditor: name(Whose::Auditor),
        };
        let whose = match self.whose {
            Whose::Ledger => "Ledger",
            Whose::Provisioner => "Provisioner",
            Whose::Auditor => "Auditor",
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

/// A metric with one observation per value, and no metric if there are none.
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
