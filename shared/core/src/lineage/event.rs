//! OpenLineage's run event, as far as Landfall tells it: specification 2-0-2, and the facets' own
//! versions. The words are the specification's; `landfall` is a facet of ours, whose schema is
//! `infra/schemas/openlineage-landfall-run-facet.json`.

use std::collections::BTreeMap;

use serde::Serialize;
use uuid::Uuid;

use super::PRODUCER;

/// What is told of a run at a time.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunEvent {
    pub(super) event_type: EventType,
    pub(super) event_time: String,
    pub(super) run: Run,
    pub(super) job: Job,
    pub(super) inputs: Vec<Input>,
    pub(super) producer: &'static str,
    #[serde(rename = "schemaURL")]
    pub(super) schema_url: &'static str,
}

/// What happened to the run, in OpenLineage's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EventType {
    /// The run began.
    Start,
    /// The run goes on. Landfall sends it to add inputs that didn't fit into the start.
    Running,
    /// The run succeeded.
    Complete,
    /// The run was stopped, never began, or lost the claim to another run.
    Abort,
    /// The run ended without success, or its batch was parked.
    Fail,
    /// Landfall no longer follows the run, for any other reason.
    Other,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Run {
    #[serde(serialize_with = "as_text")]
    pub run_id: Uuid,
    pub facets: RunFacets,
}

fn as_text<S: serde::Serializer>(uuid: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(uuid)
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunFacets {
    pub landfall: Facet<Landfall>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<Facet<ErrorMessage>>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Job {
    pub namespace: String,
    pub name: String,
    pub facets: JobFacets,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobFacets {
    pub job_type: Facet<JobType>,
}

/// A dataset that a run reads: an object.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    pub(super) namespace: String,
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) facets: Option<DatasetFacets>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) input_facets: Option<InputFacets>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct DatasetFacets {
    pub version: Facet<DatasetVersion>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InputFacets {
    pub input_statistics: Facet<InputStatistics>,
}

/// A facet says who tells it and where its schema is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Facet<C> {
    #[serde(rename = "_producer")]
    producer: &'static str,
    #[serde(rename = "_schemaURL")]
    schema_url: &'static str,
    #[serde(flatten)]
    content: C,
}

pub(super) trait HasSchema {
    const SCHEMA: &'static str;
}

impl<C: HasSchema> Facet<C> {
    pub(super) fn of(content: C) -> Self {
        Self { producer: PRODUCER, schema_url: C::SCHEMA, content }
    }

    #[cfg(test)]
    pub(super) fn content(&self) -> &C {
        &self.content
    }
}

/// What a run is to Landfall.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Landfall {
    pub batch_id: String,
    pub route: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub group: BTreeMap<String, String>,
    pub epoch: u32,
    pub job_run_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
}

impl HasSchema for Landfall {
    const SCHEMA: &'static str =
        "urn:landfall:openlineage:1-0-0:LandfallRunFacet#/$defs/LandfallRunFacet";
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorMessage {
    pub message: String,
    pub programming_language: &'static str,
}

impl HasSchema for ErrorMessage {
    const SCHEMA: &'static str = "https://openlineage.io/spec/facets/1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet";
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobType {
    pub processing_type: &'static str,
    pub integration: &'static str,
    pub job_type: &'static str,
    pub emission_pattern: EmissionPattern,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EmissionPattern {
    pub event_trigger: &'static str,
    pub event_content_mode: &'static str,
}

impl HasSchema for JobType {
    const SCHEMA: &'static str =
        "https://openlineage.io/spec/facets/2-0-4/JobTypeJobFacet.json#/$defs/JobTypeJobFacet";
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DatasetVersion {
    pub dataset_version: String,
}

impl HasSchema for DatasetVersion {
    const SCHEMA: &'static str = "https://openlineage.io/spec/facets/1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet";
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InputStatistics {
    /// In bytes.
    pub size: u64,
    pub file_count: u32,
}

impl HasSchema for InputStatistics {
    const SCHEMA: &'static str = "https://openlineage.io/spec/facets/1-0-0/InputStatisticsInputDatasetFacet.json#/$defs/InputStatisticsInputDatasetFacet";
}
