//! The life of one custom resource: what a CloudFormation request means, given what is remembered of the
//! requests before it.
//!
//! Requests come late, twice or out of order, and whoever handles one can die at any step. A small item per
//! resource (stack and logical ID) holds the lock and a [`Memory`]. [`decide`] turns the memory and a request
//! into what to do. `lifecycle/model.rs` drives this very function through a model of CloudFormation, the
//! network, the lock and IAM, and shows what each guard is for.
//!
//! This module doesn't hold the lock, read the item or send the response, and doesn't know what a role is.
//!
//! The caller must do the following:
//! 1. It takes the lock before it reads the memory, and keeps it until after it has recorded the response. The
//!    lease outlasts the invocation, so an expired lease means that its holder is dead.
//! 2. It saves the memory in a [`Decision`] before the first side effect.
//! 3. It deletes a role only if the role's tags name this resource and a physical ID that is
//!    [gone](Memory::is_gone). It creates or changes a role only if there is none of that name or its tags name
//!    this resource, and then tags it with the request's physical ID.
//! 4. In an Update, it also looks at the role that the *old* properties name, and deletes that one under the
//!    same rule. This is the only place where a replacement that CloudFormation cancelled is removed.
//! 5. It records the response in the write that releases the lock, and sends it afterwards.
//! 6. It serves a request that doesn't say when it was issued only if CloudFormation confirms, under the lock,
//!    that it waits for that very request.
//! 7. It keeps the memory for as long as [`Memory::kept_for`] says.
//!
//! CloudFormation doesn't wait for a response before it goes on. If another resource fails, it cancels a Create
//! or an Update that is in progress and sends the Delete or the inverse at once, the Delete with an ID that it
//! invents. No time-out of ours bounds that.
//!
//! There are two limits. First, a cancelled request that is delivered for the first time after its successor
//! looks like a new one if both were issued in the same second, or if only the successor has no date. Only a
//! confirmation by CloudFormation tells them apart then. Second, if failed resources are preserved and two
//! Creates in a row go wrong, an invented ID can be taken for the wrong one of them.

mod issued;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::limits::Scope;

pub use issued::Issued;

/// The version of [`Memory`]'s shape that this code writes.
pub const VERSION: u32 = 1;

/// The number of requests that are remembered. A duplicate of a forgotten request is still refused if it says
/// when it was issued.
pub const REMEMBERED: usize = 50;

/// The type of a CloudFormation request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestType {
    /// CloudFormation creates the resource.
    Create,
    /// CloudFormation changes the resource's properties, or undoes such a change.
    Update,
    /// CloudFormation removes the resource.
    Delete,
}

/// The parts of a request that decide what happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The type of the request.
    pub request_type: RequestType,
    /// CloudFormation's `RequestId`, which is the same when the request is delivered again.
    pub request_id: &'a str,
    /// The `PhysicalResourceId` in the event. A Create has none.
    pub named: Option<&'a str>,
    /// The ID that the response will carry: [`physical_id`] for a Create and for an Update that replaces the
    /// resource, otherwise the same as `named`.
    pub physical_id: &'a str,
    /// When CloudFormation issued the request, if the signature of the response URL says so.
    pub issued: Option<Issued>,
}

/// What is remembered of one resource, stored as JSON. Readers ignore unknown fields and treat missing fields as
/// empty, so both the version before and the version after can read it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// The version of the shape that the writer used.
    pub version: u32,
    /// The request that began last.
    pub latest: Option<Latest>,
    /// The IDs of the newest [`REMEMBERED`] requests, in the order in which they began.
    pub requests: Vec<String>,
    /// The physical IDs that were given out and not yet given up, in the order in which their requests began.
    pub standing: Vec<Standing>,
    /// The physical IDs whose resources must no longer exist.
    pub gone: BTreeSet<String>,
    /// What the resource was last admitted to name. Earlier versions didn't remember it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// The buckets in which something of the resource (a rule, a statement) was ever put, or may have been. `None` if
    /// that isn't known: earlier versions didn't remember it, and roles put nothing. This module doesn't look into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announced: Option<BTreeSet<String>>,
}

/// The request that began last.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Latest {
    /// CloudFormation's `RequestId` of that request.
    pub request_id: String,
    /// The latest time of issue of all requests so far. A request that doesn't say when it was issued leaves this
    /// unchanged, so that it neither overtakes a dated request nor lets an older one pass.
    #[serde(default, deserialize_with = "issued::stored")]
    pub issued: Option<Issued>,
    /// The response, once there is one. This module doesn't look into it.
    #[serde(default)]
    pub answer: Option<String>,
}

/// A physical ID that was given out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Standing {
    /// The `PhysicalResourceId` in the response.
    pub physical_id: String,
    /// `true` if a Create gave it out, `false` if an Update did.
    #[serde(default)]
    pub created: bool,
    /// `true` if CloudFormation has named it since then, and therefore knows it.
    #[serde(default)]
    pub heard: bool,
}

/// What to do about a request. The caller must save the memory in it before any side effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The request was answered before. Send this response again, without side effects.
    Replay(String),
    /// Another request came after this one, so CloudFormation no longer waits for this one. There is nothing to
    /// do or save. A response isn't required but does no harm.
    Superseded,
    /// The request is a Create or an Update of something that was deleted. There is nothing to do or save, and the
    /// response is a failure.
    Gone,
    /// Create the resource, or bring it to the properties of the request.
    Converge(Memory),
    /// Remove everything with an ID that is gone. Finding nothing is a success.
    Remove(Memory),
}

/// Returns the physical ID of the resource that a Create, or an Update that replaces it, makes:
/// `{logical_id}-{16 hex digits}`. The same arguments give the same ID.
///
/// The request ID is part of it. With the stack and the logical ID alone, the resource could never be replaced.
/// With a name instead, it would meet its own tombstone on the way from A to B and back to A.
pub fn physical_id(stack_id: &str, logical_id: &str, request_id: &str) -> String {
    let mut hash = Sha256::new();
    for part in [stack_id, logical_id, request_id] {
        // The length distinguishes `ab`, `c` from `a`, `bc`.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let hex: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{logical_id}-{hex}")
}

/// Returns the token that marks everything of a resource in buckets: 16 hex digits. A replacement keeps it.
pub fn token(stack_id: &str, logical_id: &str) -> String {
    let id = physical_id(stack_id, logical_id, "");
    id.rsplit('-').next().unwrap_or_default().to_owned()
}

/// Decides what a request means. The same arguments give the same decision. If the handling dies after the memory
/// was saved, deciding again gives the same work again, until a response is recorded.
pub fn decide(memory: &Memory, request: &Request) -> Decision {
    match &memory.latest {
        Some(latest) if latest.request_id == request.request_id => {
            if let Some(answer) = &latest.answer {
                return Decision::Replay(answer.clone());
            }
        }
        Some(latest) if memory.has_seen(request.request_id) || is_older(request, latest) => {
            return Decision::Superseded;
        }
        _ => {}
    }
    let mut next = memory.clone();
    match request.request_type {
        RequestType::Delete => {
            next.begin(request);
            next.remove(request.physical_id);
            Decision::Remove(next)
        }
        RequestType::Create | RequestType::Update => {
            if request.named.is_some_and(|id| memory.is_gone(id))
                || memory.is_gone(request.physical_id)
            {
                return Decision::Gone;
            }
            next.begin(request);
            next.stand(request);
            Decision::Converge(next)
        }
    }
}

fn is_older(request: &Request, latest: &Latest) -> bool {
    matches!((request.issued, latest.issued), (Some(mine), Some(last)) if mine < last)
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            version: VERSION,
            latest: None,
            requests: Vec::new(),
            standing: Vec::new(),
            gone: BTreeSet::new(),
            scope: None,
            announced: None,
        }
    }
}

/// How long a memory is kept if the request was refused before anything began. It then holds nothing but a lock.
const KEPT_OF_NOTHING: Duration = Duration::from_secs(86_400);

/// How long tombstones are kept once no physical ID stands any more. The requests that they guard against either say
/// when they were issued, and are then refused after a quarter of an hour, or need CloudFormation's confirmation.
const KEPT_OF_GONE: Duration = Duration::from_secs(30 * 86_400);

impl Memory {
    /// Returns how long the memory must be kept from now on. `None` means for as long as a physical ID stands.
    pub fn kept_for(&self) -> Option<Duration> {
        match (self.standing.is_empty(), self.gone.is_empty()) {
            (false, _) => None,
            (true, false) => Some(KEPT_OF_GONE),
            (true, true) => Some(KEPT_OF_NOTHING),
        }
    }

    /// Returns `true` if this request began last. As long as it has no response, its handling continues.
    pub fn goes_on(&self, request_id: &str) -> bool {
        self.latest.as_ref().is_some_and(|latest| latest.request_id == request_id)
    }

    /// Returns a copy without the time at which the last request was issued, so that the next request isn't taken
    /// for a late one. Keeps everything else.
    pub fn unlocked(&self) -> Self {
        let mut memory = self.clone();
        if let Some(latest) = &mut memory.latest {
            latest.issued = None;
        }
        memory
    }

    /// Records the response to the request that began last. Ignores the response to any other request, because
    /// CloudFormation waits for only one.
    pub fn answered(&mut self, request_id: &str, answer: &str) {
        if let Some(latest) = &mut self.latest
            && latest.request_id == request_id
        {
            latest.answer = Some(answer.to_owned());
        }
    }

    /// Returns `true` if the resource with this physical ID must no longer exist.
    pub fn is_gone(&self, physical_id: &str) -> bool {
        self.gone.contains(physical_id)
    }

    fn has_seen(&self, request_id: &str) -> bool {
        self.requests.iter().any(|seen| seen == request_id)
    }

    fn begin(&mut self, request: &Request) {
        self.version = VERSION;
        if self.goes_on(request.request_id) {
            return;
        }
        self.requests.push(request.request_id.to_owned());
        let surplus = self.requests.len().saturating_sub(REMEMBERED);
        self.requests.drain(..surplus);
        self.latest = Some(Latest {
            request_id: request.request_id.to_owned(),
            issued: request.issued.max(self.latest.as_ref().and_then(|latest| latest.issued)),
            answer: None,
        });
    }

    /// Notes the physical IDs of a Create or an Update. An ID that CloudFormation neither names nor is about to
    /// receive is one that it has forgotten: the replacement from an Update that was cancelled or timed out. No
    /// Delete will come for it, so it counts as gone.
    fn stand(&mut self, request: &Request) {
        if let Some(named) = request.named {
            let (kept, forgotten) = std::mem::take(&mut self.standing)
                .into_iter()
                .partition(|it| it.physical_id == named || it.physical_id == request.physical_id);
            self.standing = kept;
            self.gone.extend(forgotten.into_iter().map(|it: Standing| it.physical_id));
            self.note(named, false, true);
        }
        self.note(request.physical_id, request.named.is_none(), false);
    }

    fn note(&mut self, physical_id: &str, created: bool, heard: bool) {
        match self.standing.iter_mut().find(|it| it.physical_id == physical_id) {
            Some(it) => it.heard |= heard,
            None => {
                let physical_id = physical_id.to_owned();
                self.standing.push(Standing { physical_id, created, heard });
            }
        }
    }

    /// Marks a physical ID as gone. If CloudFormation cancels a Create before its response, it invents a physical
    /// ID for the Delete that follows. So an ID that nobody gave out stands for the first Create whose ID
    /// CloudFormation hasn't shown that it knows.
    fn remove(&mut self, physical_id: &str) {
        let invented = !self.is_gone(physical_id)
            && !self.standing.iter().any(|it| it.physical_id == physical_id);
        self.gone.insert(physical_id.to_owned());
        if invented && let Some(it) = self.standing.iter().find(|it| it.created && !it.heard) {
            self.gone.insert(it.physical_id.clone());
        }
        let gone = &self.gone;
        self.standing.retain(|it| !gone.contains(&it.physical_id));
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
