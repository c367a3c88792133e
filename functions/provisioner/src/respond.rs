//! Serves a request: guard (pure) → begin → carry out → finish.
//!
//! Anyone who may invoke the function can send it anything, so everything that affects others comes
//! late: the function takes the lock, and writes, only for requests that CloudFormation waits for.
//! It checks with CloudFormation again under the lock, because the first answer is stale after
//! waiting for the lock.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use landfall_aws::clock::now;
use landfall_aws::sdk_error::chain;
use landfall_core::aim::Aim;
use landfall_core::lifecycle::{self, Decision, Memory, decide};
use landfall_core::limits::{Named, Scope, Way};
use landfall_core::roles::{Owner, SpecError};
use landfall_core::routes::refused;
use landfall_provisioning::lifecycle_table::Held;
use tokio::time::timeout_at;

use crate::context::{Context, Deadlines};
use crate::failure::Failure;
use crate::guard::{self, Passed};
use crate::protocol::{Envelope, Request, RequestType, Response, Status};
use crate::stack_check::{self, Patience, Question, StackState};
use crate::subject::Subject;
use crate::{Error, failed};

/// For this long after its issue, a request is certain to be delivered again: Lambda does so twice,
/// after one minute and after two more, and the last delivery waits for the lock until at least 285
/// seconds after the request was issued.
const DELIVERED_AGAIN: Duration = Duration::from_secs(240);

/// A request that CloudFormation may have sent, and what it is about.
struct Case<'a> {
    context: &'a Context,
    deadlines: Deadlines,
    request: &'a Request,
    passed: &'a Passed,
    subject: Subject<'a>,
    /// The physical ID in the answer.
    own_id: String,
}

/// Work that CloudFormation waits for, under the lock.
struct Begun {
    lock: Held,
    /// The memory to save before the first side effect.
    memory: Memory,
    aim: Aim,
}

/// Why the work on a request stops.
enum Stop {
    /// This is the answer.
    Answer(Response),
    /// Another request is at work on the same resource, and Lambda will deliver this one again.
    Redeliver(Error),
}

/// The attributes for `Fn::GetAtt`, or why the work was not done.
type Outcome = Result<BTreeMap<String, String>, Failure>;

/// Serves the request, and returns the answer.
///
/// # Errors
/// Fails if another request is at work on the same resource, and Lambda will deliver this one
/// again.
pub(crate) async fn respond(
    context: &Context,
    request: &Request,
    deadlines: Deadlines,
) -> Result<Response, Error> {
    let passed = match guard::check(&request.envelope, &context.settings, now()) {
        Ok(passed) => passed,
        Err(refusal) => {
            tracing::error!(code = refusal.code(), "refused");
            context.metrics.request_refused(refusal.code());
            return Ok(failed(&request.envelope, &refusal.to_string()));
        }
    };
    let done = match Case::new(context, deadlines, request, &passed) {
        Ok(case) => case.serve().await,
        Err(response) => return Ok(response),
    };
    match done {
        Ok(response) | Err(Stop::Answer(response)) => Ok(response),
        Err(Stop::Redeliver(error)) => Err(error),
    }
}

impl<'a> Case<'a> {
    /// Returns the case, or, if the properties do not show what the request is about, the answer.
    fn new(
        context: &'a Context,
        deadlines: Deadlines,
        request: &'a Request,
        passed: &'a Passed,
    ) -> Result<Self, Response> {
        let Envelope { stack_id, request_id, logical_id, physical_id, .. } = &request.envelope;
        let subject = Subject::of(request, &passed.home).map_err(|failure| {
            let response = failed(&request.envelope, &failure.reason());
            // A resource that was never created needs no removal.
            match request.request_type {
                RequestType::Delete => {
                    Response { status: Status::Success, reason: String::new(), ..response }
                }
                RequestType::Create | RequestType::Update => response,
            }
        })?;
        let own_id = match (request.request_type, physical_id) {
            (RequestType::Delete, Some(id)) => id.clone(),
            (RequestType::Update, Some(id)) if !subject.is_replaced() => id.clone(),
            _ => lifecycle::physical_id(stack_id, logical_id, request_id),
        };
        Ok(Self { context, deadlines, request, passed, subject, own_id })
    }

    async fn serve(&self) -> Result<Response, Stop> {
        let mut begun = Box::pin(self.begin()).await?;
        let outcome = self.carry_out(&mut begun).await?;
        self.finish(begun, outcome).await
    }

    /// Makes sure that there is work to do and that CloudFormation waits for it, and takes the
    /// lock.
    async fn begin(&self) -> Result<Begun, Stop> {
        if let Some(response) = self.recall().await {
            return Err(Stop::Answer(response));
        }
        let named = self.request.envelope.physical_id.as_deref();
        let is_named = |id: &str| named == Some(id);
        self.check_stack(&is_named, Patience::UntilItBegins)
            .await
            .map_err(|failure| self.not_begun(&failure))?;
        let (key, Deadlines { lease, work, .. }) = (self.key(), self.deadlines);
        let lock = self.context.table.lock(&key, lease, work);
        let lock = lock.await.map_err(|error| {
            tracing::error!(code = error.code(), error = chain(&error), "no lock");
            self.stop(error.into())
        })?;
        if let Some(record) = &lock.unlocked {
            tracing::warn!(code = "resource_unlocked", record, "somebody unlocked the resource");
        }
        match self.decide_under_lock(&lock.memory).await {
            Ok((memory, aim)) => Ok(Begun { lock, memory, aim }),
            Err(stop) => {
                let memory = lock.memory.clone();
                self.unlock(lock, memory).await;
                Err(stop)
            }
        }
    }

    /// Returns the answer to a request that, by what the table remembers, has no effect: it was
    /// answered before, or a later one took its place. This needs neither the lock nor
    /// CloudFormation.
    async fn recall(&self) -> Option<Response> {
        let key = self.key();
        let memory = self.context.table.recall(&key);
        match timeout_at(self.deadlines.work, memory).await.ok()? {
            Ok(memory) => self.decide(&memory).err(),
            // Taking the lock will show the error.
            Err(error) => {
                tracing::warn!(code = error.code(), error = chain(&error), "not recalled");
                None
            }
        }
    }

    /// Returns the memory to save before the work, and the work. The request stops here if there is
    /// no work, or if CloudFormation no longer waits for it.
    async fn decide_under_lock(&self, memory: &Memory) -> Result<(Memory, Aim), Stop> {
        let (memory, aim) = self.decide(memory).map_err(Stop::Answer)?;
        let is_gone = |id: &str| memory.is_gone(id);
        let stack = self.check_stack(&is_gone, Patience::ForAnAnswer).await;
        let stack = stack.map_err(|failure| self.not_begun(&failure))?;
        let is_restored = aim == Aim::Converge && self.is_update() && stack.is_rolling_back_update;
        let aim = if is_restored { Aim::Restore } else { aim };
        Ok((memory, aim))
    }

    /// Returns the memory to save before the work, and the work; or the answer, if there is no
    /// work.
    fn decide(&self, memory: &Memory) -> Result<(Memory, Aim), Response> {
        let Envelope { request_id, physical_id, .. } = &self.request.envelope;
        let request = lifecycle::Request {
            request_type: self.request.request_type,
            request_id,
            named: physical_id.as_deref(),
            physical_id: &self.own_id,
            issued: self.passed.issued,
        };
        Err(match decide(memory, &request) {
            Decision::Converge(memory) => return Ok((memory, Aim::Converge)),
            Decision::Remove(memory) => return Ok((memory, Aim::Remove)),
            Decision::Replay(answer) => serde_json::from_str(&answer).unwrap_or_else(|_| {
                self.refused("the answer that was given before cannot be read")
            }),
            Decision::Gone => self.refused("the resource was deleted by a later request"),
            Decision::Superseded => self.refused("a later request took the place of this one"),
        })
    }

    async fn check_stack(
        &self,
        is_deleted: &dyn Fn(&str) -> bool,
        patience: Patience,
    ) -> Result<StackState, Failure> {
        let client = aws_sdk_cloudformation::Client::new(&self.context.config);
        let is_dated = self.passed.issued.is_some();
        let question = Question { request: self.request, is_dated, is_deleted };
        let check = self.context.settings.check;
        stack_check::check(&client, check, &question, patience, self.deadlines.work).await
    }

    /// Saves the memory and carries out what was decided, if the limits allow everything that the
    /// properties name.
    ///
    /// A request that stops here keeps the lock: its lease ends by itself.
    async fn carry_out(&self, begun: &mut Begun) -> Result<Outcome, Stop> {
        let Begun { lock, memory, aim } = begun;
        let owner = self.owner();
        let is_new =
            lock.memory.latest.is_none() && self.request.request_type == RequestType::Create;
        if is_new && matches!(self.subject, Subject::Notifications(_) | Subject::Access(_)) {
            memory.announced = Some(BTreeSet::new());
        }
        // A resource that is to be removed may name anything.
        if *aim != Aim::Remove {
            let admitted = Box::pin(self.admit(&lock.memory, *aim, &owner));
            let admitted = timeout_at(self.deadlines.work, admitted).await;
            match admitted.unwrap_or(Err(Failure::OutOfTime)) {
                Ok(scope) => memory.scope = Some(scope),
                Err(failure) => return Ok(Err(failure)),
            }
        }
        lock.save(memory.clone(), self.deadlines.work).await.map_err(|error| {
            // It is unknown whether the memory was written.
            let reason = chain(&error);
            tracing::error!(code = error.code(), error = reason, "nothing begun");
            Stop::Answer(self.refused(reason))
        })?;
        let effects =
            self.subject.carry_out(self.context, &owner, lock, memory, *aim, self.deadlines);
        let effects = AssertUnwindSafe(Box::pin(effects)).catch_unwind();
        match timeout_at(self.deadlines.work, effects).await {
            Ok(outcome) => Ok(outcome.unwrap_or(Err(Failure::Panicked))),
            // A call may still be on its way, so the lock is kept.
            Err(_) => Err(Stop::Answer(self.refused(Failure::OutOfTime.reason()))),
        }
    }

    /// Returns what the resource may name from now on, if the limits allow everything that the
    /// request names.
    async fn admit(&self, memory: &Memory, aim: Aim, owner: &Owner) -> Result<Scope, Failure> {
        let wanted = self.subject.names()?;
        // A stack that rolls back must reach its earlier state, whatever that was.
        if aim != Aim::Restore {
            self.subject.check_external_id()?;
            let refused = refused(&self.request.properties["Routes"]);
            if !refused.is_empty() {
                return Err(SpecError::Properties(refused).into());
            }
        }
        let found = match &memory.scope {
            Some(scope) => scope.clone(),
            // An earlier version created the resource, and remembered no scope.
            None if self.is_update() => {
                Scope::found(self.subject.names_now(self.context, owner).await?)
            }
            None => Scope::found(Named::default()),
        };
        let way = if aim == Aim::Restore {
            Way::Back
        } else if memory.goes_on(&self.request.envelope.request_id) {
            Way::Again
        } else {
            Way::Forward
        };
        Ok(found.admit(&self.context.settings.limits, wanted, way)?)
    }

    /// Remembers the answer, and releases the lock.
    async fn finish(&self, begun: Begun, outcome: Outcome) -> Result<Response, Stop> {
        let Begun { lock, mut memory, .. } = begun;
        let response = match outcome {
            Ok(data) => Response {
                status: Status::Success,
                reason: String::new(),
                physical_id: self.own_id.clone(),
                data,
            },
            // No answer is remembered, so the next delivery does the same work again.
            Err(failure) if failure.is_busy() && self.is_delivered_again() => {
                self.unlock(lock, memory).await;
                return Err(self.stop(failure));
            }
            Err(failure) => {
                let reason = failure.reason();
                tracing::error!(code = failure.code(), reason, "not done");
                self.refused(reason)
            }
        };
        if let Ok(answer) = serde_json::to_string(&response) {
            memory.answered(&self.request.envelope.request_id, &answer);
        }
        self.unlock(lock, memory).await;
        Ok(response)
    }

    /// Writes the memory and releases the lock. If the memory is not written, a repetition does the
    /// same work with the same result. If the lock is not released, a repetition waits for the
    /// lease to end.
    async fn unlock(&self, lock: Held, memory: Memory) {
        if let Err(error) = lock.release(memory, self.deadlines.record).await {
            let (code, error) = (error.code(), chain(&error));
            tracing::warn!(code, error, "the answer is not remembered");
        }
    }

    /// Returns the ID of the resource's item in the table.
    fn key(&self) -> String {
        let Envelope { stack_id, logical_id, .. } = &self.request.envelope;
        format!("{stack_id}/{logical_id}")
    }

    fn owner(&self) -> Owner {
        let Envelope { stack_id, logical_id, .. } = &self.request.envelope;
        Owner {
            stack_id: stack_id.clone(),
            logical_id: logical_id.clone(),
            physical_id: self.own_id.clone(),
        }
    }

    fn is_update(&self) -> bool {
        self.request.request_type == RequestType::Update
    }

    /// Stops a request that CloudFormation does not wait for, or of which it does not say.
    fn not_begun(&self, failure: &Failure) -> Stop {
        let reason = failure.reason();
        tracing::error!(code = failure.code(), reason, "nothing begun");
        if matches!(failure, Failure::NotAwaited(_)) {
            self.context.metrics.request_refused(failure.code());
        }
        Stop::Answer(self.refused(reason))
    }

    /// Stops a failed request. If only another request at work is in its way, it waits for its next
    /// delivery.
    fn stop(&self, failure: Failure) -> Stop {
        if !(failure.is_busy() && self.is_delivered_again()) {
            return Stop::Answer(self.refused(failure.reason()));
        }
        let Envelope { request_id, logical_id, .. } = self.request.envelope.clone();
        Stop::Redeliver(Error::Busy { request_id, logical_id, source: Box::new(failure) })
    }

    fn refused(&self, reason: impl AsRef<str>) -> Response {
        let response = failed(&self.request.envelope, reason.as_ref());
        Response { physical_id: self.own_id.clone(), ..response }
    }

    /// Returns `true` if, by the time at which the request was issued, another delivery is certain.
    fn is_delivered_again(&self) -> bool {
        let issued = self.passed.issued;
        issued.is_some_and(|issued| now().since(issued.time()) < DELIVERED_AGAIN)
    }
}
