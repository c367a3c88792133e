//! What became of batches, as metrics. The names are stable: README lists them.

use std::collections::BTreeMap;
use std::time::SystemTime;

use metrique_writer::Entry;
use metrique_writer::unit::{AsBytes, AsCount};

use super::{Advanced, End, PUT_OFF, Told};
use crate::telemetry::{Metrics, report_failures};

#[derive(Default, PartialEq)]
struct Counts {
    started: u64,
    put_off: u64,
    succeeded: u64,
    failed: u64,
    objects_started: u64,
    bytes_started: u64,
}

#[derive(Entry)]
#[entry(rename_all = "PascalCase")]
struct OfRoute<'e> {
    #[entry(timestamp)]
    timestamp: SystemTime,
    route: &'e str,
    job_runs_started: AsCount<u64>,
    job_runs_not_started: AsCount<u64>,
    job_runs_succeeded: AsCount<u64>,
    job_runs_failed: AsCount<u64>,
    objects_started: AsCount<u64>,
    bytes_started: AsBytes<u64>,
}

/// Writes the metrics of what one invocation did to batches.
pub fn report(metrics: &Metrics, advanced: &[Advanced]) {
    let timestamp = SystemTime::now();
    let mut routes: BTreeMap<&str, Counts> = BTreeMap::new();
    for Advanced { batch, told, .. } in advanced {
        let counts = routes.entry(&batch.route).or_default();
        for Told { what, .. } in told {
            match what.as_str() {
                "started" => {
                    counts.started += 1;
                    let prepared = batch.prepared.as_ref();
                    counts.objects_started += prepared.map_or(0, |prepared| prepared.objects);
                    counts.bytes_started += prepared.and_then(|p| p.bytes).unwrap_or(0);
                }
                "succeeded" => counts.succeeded += 1,
                "failed" => counts.failed += 1,
                what if PUT_OFF.contains(&what) => counts.put_off += 1,
                _ => {}
            }
        }
    }
    for (route, counts) in routes.into_iter().filter(|(_, counts)| *counts != Counts::default()) {
        let of_route = OfRoute {
            timestamp,
            route,
            job_runs_started: counts.started.into(),
            job_runs_not_started: counts.put_off.into(),
            job_runs_succeeded: counts.succeeded.into(),
            job_runs_failed: counts.failed.into(),
            objects_started: counts.objects_started.into(),
            bytes_started: counts.bytes_started.into(),
        };
        metrics.emit(&of_route, &["Route"]);
    }
    let codes = advanced.iter().flat_map(|advanced| {
        let failed = match &advanced.end {
            End::Failed(error) => Some(error.code()),
            _ => None,
        };
        advanced.told.iter().filter_map(|told| told.code.as_deref()).chain(failed)
    });
    report_failures(metrics, codes);
}
