//! Logs what happens to a batch, always with the IDs by which you find it again.

use landfall_core::batch::{Batch, Entry, Failed, Started, State};

use crate::ledger::LedgerError;
use crate::sdk_error::chain;

/// Logs what the ledger has now. `code` is the stable identifier of what went wrong, if anything.
pub(super) fn written(batch: &Batch, entry: &Entry, code: Option<&str>) {
    let Batch { id: batch_id, route, start, epoch, state, .. } = batch;
    let (what, detail, job, job_run_id) = (&entry.what, &entry.detail, &start.job, run_id(batch));
    let epoch = *epoch;
    // `tracing` needs the level at compile time, so each level has its own call site.
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                code,
                batch_id,
                route,
                job,
                epoch,
                job_run_id,
                state = state.name(),
                detail,
                "batch {what}"
            )
        };
    }
    match state {
        State::Parked { .. } | State::Failed { .. } => line!(error),
        _ if code.is_some() => line!(warn),
        _ => line!(info),
    }
}

/// Logs why work on a batch failed.
pub(super) fn failed(batch: &Batch, error: &LedgerError) {
    let Batch { id: batch_id, route, start, epoch, state, .. } = batch;
    let (code, job, job_run_id) = (error.code(), &start.job, run_id(batch));
    let (epoch, state) = (*epoch, state.name());
    tracing::error!(
        code,
        batch_id,
        route,
        job,
        epoch,
        job_run_id,
        state,
        error = chain(error),
        "batch not advanced"
    );
}

/// Returns the ID of the run that the batch's state is about.
fn run_id(batch: &Batch) -> Option<&str> {
    match &batch.state {
        State::Started(Started { run_id, .. })
        | State::Failed(Failed { run_id, .. })
        | State::Succeeded { run_id, .. } => Some(run_id),
        // The run has ended, so only the list of runs still has its ID.
        State::Parked { .. } => batch.runs.last().map(|run| run.run_id.as_str()),
        _ => None,
    }
}
