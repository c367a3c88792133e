//! Whether the monitor ticks, as CloudWatch knows it. Nothing in the ledger says so.
//!
//! Only how a command puts what happens next depends on it, so a look never fails, and never keeps a
//! command waiting for long.

use std::time::Duration;

use landfall_aws::clock::now;
use landfall_core::{partition, shell};
use landfall_inspection::cloudwatch::{CloudWatch, Metric};

use crate::ledger::Connection;
use crate::terminal::phrases::length;
use crate::version;

/// How long the monitor may be silent: as long as the alarm `monitor-silent` waits.
pub const SILENT_AFTER: Duration = Duration::from_secs(300);

/// The time limit for asking CloudWatch.
const LIMIT: Duration = Duration::from_secs(3);

/// What is known of the monitor's ticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Monitor {
    /// It ticked within [`SILENT_AFTER`].
    Ticks,
    /// CloudWatch knows of no such tick. Holds the command that tells more.
    Silent(String),
    /// Nobody could look.
    NotKnown,
}

impl Monitor {
    /// Asks CloudWatch when the monitor of the ledger last ticked.
    pub async fn look(connection: &Connection) -> Self {
        let config = connection.config();
        let region = config.region().map(ToString::to_string).unwrap_or_default();
        let Some(partition) = partition::of_region(&region) else { return Self::NotKnown };
        let watch = CloudWatch::new(config, partition, &region);
        let (ticks, until) = ([ticks(connection.table())], now());
        let newest = watch.newest(&ticks, until - SILENT_AFTER, until);
        match tokio::time::timeout(LIMIT, newest).await {
            Ok(Ok(newest)) if newest.iter().any(Option::is_some) => Self::Ticks,
            Ok(Ok(_)) => Self::Silent(status(connection.table())),
            Ok(Err(_)) | Err(_) => Self::NotKnown,
        }
    }

    /// Says what to do if CloudWatch knows of no tick; `None` if there is nothing to say.
    pub fn doubt(&self) -> Option<String> {
        let Self::Silent(status) = self else { return None };
        Some(format!(
            "CloudWatch knows of no tick of the monitor in the last {}. To find out whether it runs, run: {status}",
            length(SILENT_AFTER)
        ))
    }
}

/// Returns the command that shows when the monitor of this ledger last ticked.
fn status(ledger: &str) -> String {
    match version::stack_of(ledger).filter(|prefix| *prefix != "landfall") {
        Some(prefix) => format!("landfall status --name-prefix {}", shell::word(prefix)),
        None => "landfall status".to_owned(),
    }
}

/// Returns the metric that each tick reports, whatever its value is.
pub fn ticks(ledger: &str) -> Metric<'_> {
    Metric {
        namespace: "Landfall",
        name: "BatchesDue",
        dimensions: vec![("Ledger", ledger)],
        statistic: "SampleCount",
    }
}
