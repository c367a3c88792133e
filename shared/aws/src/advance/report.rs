//! What became of batches, as metrics.

use std::collections::BTreeMap;

use super::{Advanced, End, PUT_OFF, Told};
use crate::metrics::{Metrics, OfRoute};

/// Writes the metrics of what one invocation did to batches.
pub fn report(metrics: &Metrics, advanced: &[Advanced]) {
    let mut routes: BTreeMap<&str, OfRoute> = BTreeMap::new();
    for Advanced { batch, told, .. } in advanced {
        let of = routes.entry(&batch.route).or_default();
        for Told { what, at, dpu_seconds, .. } in told {
            let first_arrival = batch.first_arrival_at.unwrap_or(batch.opened_at);
            let seconds = at.since(first_arrival).as_secs_f64();
            match what.as_str() {
                "started" => {
                    of.started += 1;
                    of.seconds_to_start.push(seconds);
                    let prepared = batch.prepared.as_ref();
                    of.objects_started += prepared.map_or(0, |prepared| prepared.objects);
                    of.bytes_started += prepared.and_then(|p| p.bytes).unwrap_or(0);
                }
                "succeeded" => {
                    of.succeeded += 1;
                    of.seconds_to_success.push(seconds);
                }
                "failed" => of.failed += 1,
                what if PUT_OFF.contains(&what) => of.put_off += 1,
                _ => {}
            }
            of.dpu_seconds.extend(dpu_seconds);
        }
    }
    metrics.routes(&routes);
    let codes = advanced.iter().flat_map(|advanced| {
        let failed = match &advanced.end {
            End::Failed(error) => Some(error.code()),
            _ => None,
        };
        advanced.told.iter().filter_map(|told| told.code.as_deref()).chain(failed)
    });
    metrics.failures(codes);
}
