//! What a tick reports as metrics. The names are stable: README lists them.

use std::time::SystemTime;

use landfall_aws::telemetry::Metrics;
use metrique_writer::Entry;
use metrique_writer::unit::{AsCount, AsSeconds};

use crate::Ticked;

#[derive(Entry)]
#[entry(rename_all = "PascalCase")]
struct Tick<'e> {
    #[entry(timestamp)]
    timestamp: SystemTime,
    /// Several stacks of an account have a monitor each.
    function_name: &'e str,
    batches_due: AsCount<u64>,
    batches_left: AsCount<u64>,
    oldest_due_seconds: AsSeconds<u64>,
    batches_stuck: AsCount<u64>,
    batches_parked: AsCount<u64>,
}

/// Writes the metrics of one tick.
pub fn report(metrics: &Metrics, function_name: &str, ticked: &Ticked) {
    let tick = Tick {
        timestamp: SystemTime::now(),
        function_name,
        batches_due: (ticked.due as u64).into(),
        batches_left: (ticked.left as u64).into(),
        oldest_due_seconds: ticked.oldest_due_seconds.into(),
        batches_stuck: (ticked.stuck as u64).into(),
        batches_parked: (ticked.parked as u64).into(),
    };
    metrics.emit(&tick, &["FunctionName"]);
}
