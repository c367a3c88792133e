//! The manifest of a batch lists what its job reads.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::arguments::{CLAIMS_TABLE, READER_ROLE, SCOPE, arguments};
use super::paths::{Unreadable, escaped, folder, unreadable_alone, unreadable_in_folder};
use super::{Batch, JobResources, Member, RefusalReason, Scope, ScopeError, cut};
use crate::arrivals::{EventTime, compare_sequencers};
use crate::template::Template;

/// What all runs of a batch get.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Prepared {
    /// The number of distinct objects.
    pub objects: u64,
    /// Their size; `None` if an event did not say it.
    pub bytes: Option<u64>,
    /// The manifest's S3 URI.
    pub manifest: String,
    /// The job arguments that all runs get, by name.
    pub arguments: BTreeMap<String, String>,
}

impl Prepared {
    /// Returns the table in which its runs claim the batch.
    pub fn claims_table_arn(&self) -> Option<&str> {
        self.arguments.get(CLAIMS_TABLE).map(String::as_str)
    }

    /// Returns the policy that runs of this scope are started with (see [`Scope::session_policy`]).
    pub(super) fn session_policy(&self, scope: Scope) -> Result<Option<String>, ScopeError> {
        let reader_role = self.arguments.get(READER_ROLE);
        scope.session_policy(reader_role.map_or("", String::as_str))
    }
}

/// Why a batch has no manifest, or no arguments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unprepared {
    /// Another attempt may succeed.
    #[error("{0}")]
    NotNow(String),
    /// The arguments cannot be made for this batch.
    #[error("{0}")]
    Refused(RefusalReason),
    /// No session policy can keep the scope of the batch.
    #[error(transparent)]
    Scope(#[from] ScopeError),
}

/// The distinct objects of a batch, in the order of their keys. `M` is a member or a reference to one.
#[derive(Debug)]
pub struct Manifest<M = Member> {
    members: Vec<M>,
}

/// An object in the form of Amazon Redshift's COPY manifest, plus what pins its version.
#[derive(Serialize)]
struct Input<'a> {
    url: String,
    mandatory: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<Meta>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<&'a str>,
}

#[derive(Serialize)]
struct Meta {
    content_length: u64,
}

impl<'a> Input<'a> {
    /// Takes the size in bytes, and the ETag without quotes.
    fn new(
        url: String,
        size: Option<u64>,
        version_id: Option<&'a str>,
        etag: Option<&'a str>,
    ) -> Self {
        let meta = size.map(|content_length| Meta { content_length });
        Self { url, mandatory: true, meta, version_id, etag }
    }
}

impl<M: Borrow<Member>> Manifest<M> {
    /// Keeps one version of each key: the newest by sequencer. If a sequencer is missing, nothing says which version is
    /// newer, and all versions of that key are kept.
    pub fn of(mut members: Vec<M>) -> Self {
        members.sort_by(|one, other| one.borrow().key.cmp(&other.borrow().key));
        let mut stands = Vec::with_capacity(members.len());
        for versions in members.chunk_by(|one, other| one.borrow().key == other.borrow().key) {
            let newest = newest(versions);
            stands.extend((0..versions.len()).map(|at| newest.is_none_or(|newest| newest == at)));
        }
        let mut stands = stands.into_iter();
        members.retain(|_| stands.next() == Some(true));
        Self { members }
    }

    /// Returns `true` if a run reads this version, and not another one of the same key in its place.
    pub fn includes(&self, member: &Member) -> bool {
        self.members().any(|one| one == member)
    }

    /// Returns the members in the order of their keys.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().map(Borrow::borrow)
    }

    fn keys(&self) -> impl Iterator<Item = &str> + Clone {
        self.members.iter().map(|member| member.borrow().key.as_str())
    }

    /// Returns the number of distinct objects.
    pub fn objects(&self) -> u64 {
        self.members.len() as u64
    }

    /// Returns the size of all objects; `None` if an event did not say the size of one.
    pub fn bytes(&self) -> Option<u64> {
        self.members().try_fold(0_u64, |sum, member| sum.checked_add(member.size?))
    }

    /// Returns the manifest's text (see [`ascii_json`]).
    pub fn json(&self, bucket: &str) -> String {
        let mut json = String::with_capacity(64 + self.members.len() * 200);
        json.push_str("{\"entries\":[");
        for (index, member) in self.members().enumerate() {
            json.push_str(if index == 0 { "\n" } else { ",\n" });
            let url = format!("s3://{bucket}/{}", member.key);
            let (version_id, etag) = (member.version_id.as_deref(), member.etag.as_deref());
            json.push_str(&ascii_json(&Input::new(url, member.size, version_id, etag)));
        }
        json.push_str("\n]}\n");
        json
    }

    /// Returns a route's arguments for a batch of these objects. `values` hold for all of them, and `manifest_uri` is where
    /// the manifest lies.
    ///
    /// # Errors
    /// An argument cannot be filled in, or names a path by which Spark would not read exactly these objects.
    pub fn arguments(
        &self,
        templates: &BTreeMap<String, Template>,
        batch_id: &str,
        values: &BTreeMap<String, String>,
        manifest_uri: &str,
    ) -> Result<BTreeMap<String, String>, RefusalReason> {
        for (argument, template) in templates {
            let unreadable = template.names().find_map(|name| match name {
                "object_path" => unreadable_alone(self.keys()),
                "prefix_path" => unreadable_in_folder(self.keys()),
                _ => None,
            });
            if let Some(Unreadable { key, why }) = unreadable {
                return Err(RefusalReason::NotForSpark {
                    argument: argument.clone(),
                    key: cut(&key),
                    why,
                });
            }
        }
        let times = || self.members().filter_map(|m| EventTime::parse(m.event_time.as_deref()?));
        let uri = |of: &str| values.get("bucket").map(|bucket| format!("s3://{bucket}/{of}"));
        arguments(templates, |name| match name {
            "manifest_uri" => Some(manifest_uri.to_owned()),
            "object_path" => uri(&escaped(values.get("key")?)),
            "prefix_uri" => uri(folder(self.keys())),
            "prefix_path" => uri(&escaped(folder(self.keys()))),
            "batch_id" => Some(batch_id.to_owned()),
            "count" => Some(self.objects().to_string()),
            "bytes" => self.bytes().map(|bytes| bytes.to_string()),
            "event_time" => times().max().map(|time| time.to_string()),
            known => values.get(known).cloned(),
        })
    }

    /// Returns what the runs of `batch` get whose manifest has this object key.
    ///
    /// # Errors
    /// An argument cannot be filled in, or the batch's scope cannot be kept.
    pub fn prepared(
        &self,
        batch: &Batch,
        resources: &JobResources,
        manifest_key: &str,
    ) -> Result<Prepared, Unprepared> {
        let templates = batch.start.arguments.iter().map(|(name, text)| {
            // It was a template when it was written.
            let template = Template::parse(text).map_err(|_| RefusalReason::UnknownValue {
                argument: name.clone(),
                value: text.clone(),
            });
            template.map(|template| (name.clone(), template))
        });
        let templates = templates.collect::<Result<_, _>>().map_err(Unprepared::Refused)?;
        let manifest_uri = resources.manifest_uri(manifest_key);
        let arguments = self.arguments(&templates, &batch.id, &batch.start.values, &manifest_uri);
        let mut arguments = arguments.map_err(Unprepared::Refused)?;
        if batch.start.has_job() {
            arguments.extend(resources.arguments(&batch.id, &batch.start.account, &manifest_uri));
        }
        let scope = batch.start.scope;
        if scope != Scope::Job {
            arguments.insert(SCOPE.to_owned(), scope.as_str().to_owned());
        }
        let prepared = Prepared {
            objects: self.objects(),
            bytes: self.bytes(),
            manifest: manifest_uri,
            arguments,
        };
        prepared.session_policy(scope)?;
        Ok(prepared)
    }
}

/// Returns which of the versions of a key is the newest, if all have a sequencer.
fn newest<M: Borrow<Member>>(versions: &[M]) -> Option<usize> {
    let sequencers = versions.iter().map(|version| version.borrow().sequencer.as_deref());
    let sequencers: Vec<&str> = sequencers.collect::<Option<_>>()?;
    let by_age =
        |one: &usize, other: &usize| compare_sequencers(sequencers[*one], sequencers[*other]);
    (0..versions.len()).max_by(by_age)
}

/// Returns JSON in ASCII, so that no layer between here and the job can change a key's encoding.
fn ascii_json(value: &impl Serialize) -> String {
    // Strings, numbers and structs of them always serialise.
    let json = serde_json::to_string(value).unwrap_or_default();
    if json.is_ascii() {
        return json;
    }
    let mut ascii = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            ascii.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                ascii.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    ascii
}
