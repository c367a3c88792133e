//! Reports what happened to batches, as metrics.

use std::collections::BTreeMap;

use landfall_core::batch::{HistoryEvent, State};

use super::{Advanced, End, Transition};
use crate::metrics::{Metrics, RouteMetrics};

/// Writes the metrics of what one invocation did to batches.
pub fn report(metrics: &Metrics, advanced: &[Advanced]) {
    let mut routes: BTreeMap<&str, RouteMetrics> = BTreeMap::new();
    for Advanced { batch, transitions, .. } in advanced {
        let of = routes.entry(&batch.route).or_default();
        for Transition { what, at, dpu_seconds, .. } in transitions {
            let first_arrival = batch.first_arrival_at.unwrap_or(batch.opened_at);
            let seconds = at.since(first_arrival).as_secs_f64();
            match what {
                HistoryEvent::Started => {
                    of.started += 1;
                    of.seconds_to_start.push(seconds);
                    let prepared = batch.prepared.as_ref();
                    of.objects_started += prepared.map_or(0, |prepared| prepared.objects);
                    of.bytes_started += prepared.and_then(|p| p.bytes).unwrap_or(0);
                }
                HistoryEvent::Succeeded => {
                    of.succeeded += 1;
                    let is_unclaimed =
                        matches!(batch.state, State::Succeeded { claimed: false, .. });
                    of.succeeded_unclaimed += u64::from(is_unclaimed);
                    of.seconds_to_success.push(seconds);
                }
                HistoryEvent::Announced => of.announced += 1,
                HistoryEvent::Failed => of.failed += 1,
                what if what.is_put_off() => of.put_off += 1,
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
        advanced.transitions.iter().filter_map(|written| written.code.as_deref()).chain(failed)
    });
    metrics.failures(codes);
}
