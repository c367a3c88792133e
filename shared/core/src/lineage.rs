//! What is told of runs to who keeps lineage: a batch that changed → OpenLineage's run events.
//!
//! The same change gives the same events, down to the last byte: ids and times are taken from the batch,
//! never from a clock. So what is sent again tells a receiver nothing new. Sends nothing, and knows of no
//! endpoint.

mod event;

use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::{Builder, Uuid};

use crate::batch::{Batch, Manifest, RunState, State};
use crate::moment::Time;

use event::{
    DatasetFacets, DatasetVersion, EmissionPattern, ErrorMessage, Facet, InputFacets,
    InputStatistics, Job, JobFacets, JobType, Landfall, Run, RunFacets,
};
pub use event::{EventType, Input, RunEvent};

/// The most bytes of an event with several inputs: EventBridge admits 256 KB to an entry, and puts the
/// event into an envelope that is to fit into what comes after it.
pub const MAX_BYTES: usize = 200_000;

/// The most characters of an error's message.
const MAX_MESSAGE: usize = 2_000;

const SCHEMA: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";

/// Who tells it, as a URI.
const PRODUCER: &str = concat!("urn:landfall:", env!("CARGO_PKG_VERSION"));

/// What the change from `before` to `after` says of runs, in order, without inputs.
///
/// A run starts when it is followed for the first time, and ends when it is followed no more: whether
/// well, badly, or because another run holds the claim.
pub fn events(before: &Batch, after: &Batch) -> Vec<RunEvent> {
    let followed = |batch: &Batch| match &batch.state {
        State::Started { epoch, run_id, .. } => Some((*epoch, run_id.clone())),
        _ => None,
    };
    let (was, is) = (followed(before), followed(after));
    if was == is {
        return Vec::new();
    }
    let ended = was.map(|(epoch, run_id)| {
        let (event_type, message) = outcome(after, &run_id);
        // What the ledger has of the write that tells it.
        let at = after.history.last().map_or(after.opened_at, |entry| entry.at);
        event(after, event_type, at, epoch, &run_id, message)
    });
    let started = is.map(|(epoch, run_id)| {
        event(after, EventType::Start, began(after, epoch), epoch, &run_id, None)
    });
    ended.into_iter().chain(started).collect()
}

/// How a run ended that was followed until now, and why, if not well.
fn outcome(after: &Batch, run_id: &str) -> (EventType, Option<String>) {
    match &after.state {
        State::Succeeded { .. } => (EventType::Complete, None),
        State::Failed { run_state, .. } => {
            let event_type = match run_state {
                // Somebody ended it, or it never began.
                RunState::Stopped | RunState::Expired => EventType::Abort,
                _ => EventType::Fail,
            };
            (event_type, Some(format!("run `{run_id}` is {}", run_state.as_str())))
        }
        State::Parked { why, message } => {
            (EventType::Fail, Some(format!("{}: {message}", why.code())))
        }
        // It left without effect, whatever Glue says of it.
        State::Started { run_id: holder, .. } => {
            (EventType::Abort, Some(format!("run `{holder}` holds the claim on the batch")))
        }
        state => (EventType::Other, Some(format!("the batch is {}", state.name()))),
    }
}

/// When the start of this epoch was written ahead. A long history may have forgotten it.
fn began(batch: &Batch, epoch: u32) -> Time {
    let detail = format!("epoch {epoch}");
    let begun = batch.history.iter().find(|e| e.what == "starting" && e.detail == detail);
    begun.or(batch.history.last()).map_or(batch.opened_at, |entry| entry.at)
}

fn event(
    batch: &Batch,
    event_type: EventType,
    at: Time,
    epoch: u32,
    run_id: &str,
    message: Option<String>,
) -> RunEvent {
    let Batch { id, route, group, start, prepared, .. } = batch;
    let landfall = Landfall {
        batch_id: id.clone(),
        route: route.clone(),
        group: group.clone(),
        epoch,
        job_run_id: run_id.to_owned(),
        objects: prepared.as_ref().map(|prepared| prepared.objects),
        bytes: prepared.as_ref().and_then(|prepared| prepared.bytes),
        manifest: prepared.as_ref().map(|prepared| prepared.manifest.clone()),
    };
    let error_message = message.map(|message| ErrorMessage {
        message: message.chars().take(MAX_MESSAGE).collect(),
        // Required; what a job is written in is not known here.
        programming_language: "unknown",
    });
    let partition = start.starter_role_arn.split(':').nth(1).unwrap_or("aws");
    let job_type = JobType {
        processing_type: "BATCH",
        integration: "LANDFALL",
        job_type: "JOB",
        emission_pattern: EmissionPattern {
            event_trigger: "EVENT_BASED",
            event_content_mode: "ACCUMULATIVE",
        },
    };
    RunEvent {
        event_type,
        event_time: text(at),
        run: Run {
            run_id: run_uuid(batch, epoch),
            facets: RunFacets {
                landfall: Facet::of(landfall),
                error_message: error_message.map(Facet::of),
            },
        },
        // The job's ARN in two, as OpenLineage names Glue's tables.
        job: Job {
            namespace: format!("arn:{partition}:glue:{}:{}", start.region, start.account),
            name: format!("job/{}", start.job),
            facets: JobFacets { job_type: Facet::of(job_type) },
        },
        inputs: Vec::new(),
        producer: PRODUCER,
        schema_url: SCHEMA,
    }
}

/// The id of a run: of version 7, with the time when the batch was opened, and what is left of a digest
/// of the batch's id and the epoch. Glue's id is not known before the start, and this one a job can
/// derive from its arguments alone, but for the time.
fn run_uuid(batch: &Batch, epoch: u32) -> Uuid {
    let digest = Sha256::digest(format!("{}/{epoch}", batch.id));
    let mut rest = [0; 10];
    rest.copy_from_slice(&digest[..10]);
    Builder::from_unix_timestamp_millis(batch.opened_at.0, &rest).into_uuid()
}

/// RFC 3339 in UTC, to the millisecond.
fn text(time: Time) -> String {
    let nanoseconds = i128::from(time.0) * 1_000_000;
    let date = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok();
    date.and_then(|date| date.format(&Rfc3339).ok()).unwrap_or_else(|| time.to_string())
}

impl RunEvent {
    /// The same with these inputs, in as many events as it takes: the first as it is, the others of type
    /// `RUNNING`. What is told of a run adds up.
    pub fn with_inputs(self, bucket: &str, manifest: &Manifest) -> impl Iterator<Item = Self> {
        let envelope = length(&self);
        let mut inputs = manifest.inputs(bucket).peekable();
        let mut next = Some(self);
        std::iter::from_fn(move || {
            let mut event = next.take()?;
            let mut bytes = envelope;
            while let Some(input) = inputs.peek() {
                // With its comma.
                bytes += length(input) + 1;
                if bytes > MAX_BYTES && !event.inputs.is_empty() {
                    break;
                }
                event.inputs.extend(inputs.next());
            }
            next = inputs.peek().is_some().then(|| Self {
                event_type: EventType::Running,
                inputs: Vec::new(),
                ..event.clone()
            });
            Some(event)
        })
    }

    pub fn is_start(&self) -> bool {
        self.event_type == EventType::Start
    }

    /// The event in JSON, as it is sent.
    pub fn json(&self) -> String {
        // Texts, numbers and structs of them always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn length(value: &impl serde::Serialize) -> usize {
    serde_json::to_string(value).map_or(0, |json| json.len())
}

impl Manifest {
    /// The objects as OpenLineage names them: `s3://BUCKET` is the namespace, the key the name.
    fn inputs<'m>(&'m self, bucket: &str) -> impl Iterator<Item = Input> + use<'m> {
        let namespace = format!("s3://{bucket}");
        self.members().map(move |member| {
            let version = member.version_id.clone();
            let version = version.map(|dataset_version| DatasetVersion { dataset_version });
            let size = member.size.map(|size| InputStatistics { size, file_count: 1 });
            Input {
                namespace: namespace.clone(),
                name: member.key.clone(),
                facets: version.map(|version| DatasetFacets { version: Facet::of(version) }),
                input_facets: size.map(|size| InputFacets { input_statistics: Facet::of(size) }),
            }
        })
    }
}

#[cfg(test)]
mod tests;
