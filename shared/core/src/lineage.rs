//! Lineage: a batch that changed → OpenLineage run events.
//!
//! The same change gives the same events, byte for byte, because IDs and times come from the batch and never from a clock.
//! So an event that is sent twice says nothing new. This module sends nothing and knows no endpoint.

mod event;

use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::{Builder, Uuid};

use crate::batch::{Batch, Failed, Manifest, RunState, Started, State, attempt_of};
use crate::moment::Time;

use event::{
    DatasetFacets, DatasetVersion, EmissionPattern, ErrorMessage, Facet, InputFacets,
    InputStatistics, Job, JobFacets, JobType, Landfall, Run, RunFacets,
};
pub use event::{EventType, Input, RunEvent};

/// The most bytes of an event with several inputs. EventBridge takes 256 KB for an entry, and its envelope has to fit into
/// what comes after it.
pub const MAX_BYTES: usize = 200_000;

/// The most characters of an error's message.
const MAX_MESSAGE: usize = 2_000;

const SCHEMA: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";

/// The producer of the events, as a URI.
const PRODUCER: &str = concat!("urn:landfall:", env!("CARGO_PKG_VERSION"));

/// Returns what the change from `before` to `after` says about runs, in order and without inputs.
///
/// A run starts when it is first followed. It ends when it is no longer followed: because it succeeded or failed, or
/// because another run holds the claim. A run that Glue repeats by itself is one run, and ends with its last attempt.
pub fn events(before: &Batch, after: &Batch) -> Vec<RunEvent> {
    let followed = |batch: &Batch| match &batch.state {
        State::Started(Started { epoch, run_id, .. }) => Some((*epoch, run_id.clone())),
        _ => None,
    };
    let (was, is) = (followed(before), followed(after));
    let run = |followed: &Option<(u32, String)>| {
        followed.as_ref().map(|(epoch, run_id)| (*epoch, attempt_of(run_id).0.to_owned()))
    };
    if run(&was) == run(&is) {
        return Vec::new();
    }
    let ended = was.map(|(epoch, run_id)| {
        let (event_type, message) = outcome(after, &run_id);
        // The time of the write that recorded it.
        let at = after.history.last().map_or(after.opened_at, |entry| entry.at);
        event(after, event_type, at, epoch, &run_id, message)
    });
    let started = is.map(|(epoch, run_id)| {
        event(after, EventType::Start, began(after, epoch), epoch, &run_id, None)
    });
    ended.into_iter().chain(started).collect()
}

/// Returns how a run ended that was followed until now, and why if it did not succeed.
fn outcome(after: &Batch, run_id: &str) -> (EventType, Option<String>) {
    match &after.state {
        State::Succeeded { .. } => (EventType::Complete, None),
        State::Failed(Failed { run_state, .. }) => {
            let event_type = match run_state {
                // Somebody stopped it, or it never began.
                RunState::Stopped | RunState::Expired => EventType::Abort,
                _ => EventType::Fail,
            };
            (event_type, Some(format!("run `{run_id}` is {}", run_state.as_str())))
        }
        State::Parked { why, message } => {
            (EventType::Fail, Some(format!("{}: {message}", why.code())))
        }
        // It had no effect, whatever Glue says about it.
        State::Started(Started { run_id: holder, .. }) => {
            (EventType::Abort, Some(format!("run `{holder}` holds the claim on the batch")))
        }
        state => (EventType::Other, Some(format!("the batch is {}", state.name()))),
    }
}

/// Returns when the start of this epoch was written, or a later time if a long history no longer has it.
fn began(batch: &Batch, epoch: u32) -> Time {
    let begun = batch.history.iter().find(|entry| entry.is_start_of(epoch));
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
        // The field is required, and nobody here knows what a job is written in.
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
        // The job's ARN in two parts, as OpenLineage names Glue's tables.
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

/// Returns the ID of a run: a UUID of version 7 with the time when the batch was opened, filled up with a digest of the
/// batch's ID and the epoch. Glue's ID is not known before the start, but a job can derive this one from its arguments,
/// apart from the time.
fn run_uuid(batch: &Batch, epoch: u32) -> Uuid {
    let digest = Sha256::digest(format!("{}/{epoch}", batch.id));
    let mut rest = [0; 10];
    rest.copy_from_slice(&digest[..10]);
    Builder::from_unix_timestamp_millis(batch.opened_at.0, &rest).into_uuid()
}

/// Returns RFC 3339 in UTC, to the millisecond.
fn text(time: Time) -> String {
    let nanoseconds = i128::from(time.0) * 1_000_000;
    let date = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok();
    date.and_then(|date| date.format(&Rfc3339).ok()).unwrap_or_else(|| time.to_string())
}

impl RunEvent {
    /// Returns the event with these inputs, in as many events as it takes. The first keeps its type, and the others have the
    /// type `RUNNING`. A receiver adds up the events of a run.
    pub fn with_inputs(self, bucket: &str, manifest: &Manifest) -> impl Iterator<Item = Self> {
        let envelope = length(&self);
        let mut inputs = manifest.inputs(bucket).peekable();
        let mut next = Some(self);
        std::iter::from_fn(move || {
            let mut event = next.take()?;
            let mut bytes = envelope;
            while let Some(input) = inputs.peek() {
                // The comma counts too.
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

    /// Returns `true` for the event that says that the run began.
    pub fn is_start(&self) -> bool {
        self.event_type == EventType::Start
    }

    /// Returns the event's JSON, as it is sent.
    pub fn json(&self) -> String {
        // Texts, numbers and structs of them always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn length(value: &impl serde::Serialize) -> usize {
    serde_json::to_string(value).map_or(0, |json| json.len())
}

impl Manifest {
    /// Returns the objects as OpenLineage names them: `s3://BUCKET` is the namespace, and the key is the name.
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
