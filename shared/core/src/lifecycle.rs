//! The life of one custom resource: what a request of CloudFormation's means, given what is
//! remembered of the requests before it.
//!
//! Requests come late, twice, out of order, and whoever handles one can die at any step. A small
//! item per resource (stack and logical id) holds the lock and a [`Memory`]; [`decide`] turns the
//! memory and a request into what to do. `lifecycle/model.rs` drives this very function through a
//! model of CloudFormation, the network, the lock and IAM, and shows what each guard is for.
//!
//! This module does not hold the lock, read the item, send the answer, or know what a role is.
//!
//! What the caller owes:
//! 1. It takes the lock before it reads the memory, and keeps it until after the answer is
//!    recorded. The lease outlasts the invocation, so that a lease that has passed means a dead
//!    holder.
//! 2. It saves the memory that a [`Decision`] brings before the first side effect.
//! 3. It deletes a role only if the role's tags name this resource and a physical id that is
//!    [gone](Memory::is_gone); it creates or changes one only if there is none of that name or the
//!    tags name this resource, and then tags it with the request's physical id.
//! 4. In an update it also looks at the role that the *old* properties name, and deletes that
//!    under the same rule. A replacement that CloudFormation cancelled is removed only there.
//! 5. It records the answer in the write that releases the lock, and sends it afterwards.
//! 6. It serves a request that does not say when it was issued only if CloudFormation confirms, under
//!    the lock, that it waits for that very request.
//! 7. It keeps the memory for as long as [`Memory::kept_for`] says.
//!
//! CloudFormation does not wait for an answer before it goes on: when another resource fails, it
//! cancels a Create or an Update that is at work and sends the Delete or the inverse at once, the
//! Delete with an id that it invents. No time-out of ours bounds that.
//!
//! Two limits. A cancelled request that is first handed over after its successor cannot be told from a
//! new one if both were issued in the same second, or if only the successor has no date; CloudFormation's
//! word alone stands against it there. If failed resources are preserved and two Creates in a row go
//! wrong, an invented id can be read as the wrong one of them.

mod issued;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::limits::Scope;

pub use issued::Issued;

/// The version of [`Memory`]'s shape that this code writes.
pub const VERSION: u32 = 1;

/// How many requests are remembered. A duplicate of one that is forgotten is still refused if it
/// says when it was issued.
pub const REMEMBERED: usize = 50;

/// What CloudFormation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestType {
    Create,
    Update,
    Delete,
}

/// The parts of a request that decide what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    pub request_type: RequestType,
    pub request_id: &'a str,
    /// The `PhysicalResourceId` of the event: none in a Create.
    pub named: Option<&'a str>,
    /// The id that the answer will carry: [`physical_id`] for a Create and for an Update that
    /// replaces, otherwise the same as `named`.
    pub physical_id: &'a str,
    /// When CloudFormation issued the request, if the signature of the response URL tells it.
    pub issued: Option<Issued>,
}

/// What is remembered of one resource, stored as JSON. Unknown fields are ignored, missing ones
/// are empty, so that the version before and the version after can both read it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    pub version: u32,
    /// The request that began last.
    pub latest: Option<Latest>,
    /// The ids of the newest [`REMEMBERED`] requests, in the order in which they began.
    pub requests: Vec<String>,
    /// The physical ids that were given out and not yet given up, in the order of their beginning.
    pub standing: Vec<Standing>,
    /// The physical ids that must not exist any more.
    pub gone: BTreeSet<String>,
    /// What the resource was last admitted to name. Earlier versions did not remember it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
}

/// The request that began last.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Latest {
    pub request_id: String,
    /// The latest time of issue of all requests until then: one that does not say when it was issued
    /// leaves it as it was, so that it neither overtakes a dated request nor lets an older one pass.
    #[serde(default, deserialize_with = "issued::stored")]
    pub issued: Option<Issued>,
    /// The answer, once there is one; opaque here.
    #[serde(default)]
    pub answer: Option<String>,
}

/// A physical id that was given out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Standing {
    pub physical_id: String,
    /// Whether a Create gave it out, rather than an Update.
    #[serde(default)]
    pub created: bool,
    /// Whether CloudFormation has named it since, and therefore knows it.
    #[serde(default)]
    pub heard: bool,
}

/// What to do about a request. The memory in it is to be saved before any side effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Answered before: send this answer again. No side effects.
    Replay(String),
    /// Another request came after this one, and CloudFormation no longer waits for it. No side
    /// effects, nothing to save. An answer is not owed, and does no harm.
    Superseded,
    /// A Create or an Update of something that was deleted. No side effects, nothing to save; the
    /// answer is a failure.
    Gone,
    /// Create the resource, or bring it to the properties of the request.
    Converge(Memory),
    /// Remove whatever bears an id that is gone. To find nothing is success.
    Remove(Memory),
}

/// What a request comes down to, once CloudFormation has been asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// A Create, or an Update that goes forward.
    Converge,
    /// An Update while CloudFormation takes the stack's update back. A stack whose way back is barred can
    /// go nowhere.
    Restore,
    /// A Delete.
    Remove,
}

impl Aim {
    /// Returns `true` if the effects behind one that failed are still to come. On the way forward they are
    /// not: what comes last takes away what stood before.
    pub fn goes_on_after_a_failure(self) -> bool {
        self != Self::Converge
    }
}

/// The physical id of what a Create, or an Update that replaces, makes:
/// `{logical_id}-{16 hex digits}`. The same arguments give the same id.
///
/// The request's id is part of it, because the stack and the logical id alone could never be
/// replaced, and a name instead would meet its own tombstone on the way from A to B and back to A.
pub fn physical_id(stack_id: &str, logical_id: &str, request_id: &str) -> String {
    let mut hash = Sha256::new();
    for part in [stack_id, logical_id, request_id] {
        // The length keeps `ab`, `c` apart from `a`, `bc`.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let hex: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{logical_id}-{hex}")
}

/// Decides what a request means. The same arguments give the same decision, and deciding again
/// after the memory was saved (its handling died) gives the same work again, until an answer is
/// recorded.
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
        }
    }
}

/// How long what was refused before anything began is remembered: that is nothing but a lock.
const KEPT_OF_NOTHING: Duration = Duration::from_secs(86_400);

/// How long tombstones are remembered once nothing stands. A request that they guard against says when it
/// was issued, and is refused after a quarter of an hour; or it does not, and CloudFormation is asked.
const KEPT_OF_GONE: Duration = Duration::from_secs(30 * 86_400);

impl Memory {
    /// How long it must be kept from now on; `None` means for as long as something stands.
    pub fn kept_for(&self) -> Option<Duration> {
        match (self.standing.is_empty(), self.gone.is_empty()) {
            (false, _) => None,
            (true, false) => Some(KEPT_OF_GONE),
            (true, true) => Some(KEPT_OF_NOTHING),
        }
    }

    /// Returns `true` if this request began last and has no answer yet, so that it goes on.
    pub fn goes_on(&self, request_id: &str) -> bool {
        self.latest.as_ref().is_some_and(|latest| latest.request_id == request_id)
    }

    /// Forgets when the last request was issued, and nothing else: a request that comes next is not taken
    /// for a late one because of it.
    pub fn unlocked(&self) -> Self {
        let mut memory = self.clone();
        if let Some(latest) = &mut memory.latest {
            latest.issued = None;
        }
        memory
    }

    /// Records the answer of the request that began last. The answer of any other is not kept:
    /// CloudFormation waits for no more than one.
    pub fn answered(&mut self, request_id: &str, answer: &str) {
        if let Some(latest) = &mut self.latest
            && latest.request_id == request_id
        {
            latest.answer = Some(answer.to_owned());
        }
    }

    /// Whether what bears this physical id must not exist any more.
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

    /// What CloudFormation neither names nor is about to be told has been forgotten by it: the
    /// replacement of an Update that was cancelled or timed out. No Delete will come for that.
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

    /// When CloudFormation cancels a Create before its answer, it invents a physical id for the
    /// Delete that follows. An id that nobody gave out therefore stands for the first Create of
    /// whose id CloudFormation has shown no knowledge.
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
