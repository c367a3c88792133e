//! The stations that a request goes through, in this order: guard → recall → ask → lock → decide → ask
//! again → admit → remember → carry out → finish.
//!
//! Whoever may invoke the function can send it anything, so what costs others something comes late: the
//! lock is taken, and anything written, only for what CloudFormation waits for. It is asked again under the
//! lock, since waiting for that makes the first answer stale.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use landfall_aws::clock::now;
use landfall_core::lifecycle::{self, Aim, Decision, Memory, decide};
use landfall_core::limits::{Named, Scope, Way};
use landfall_core::roles::Owner;
use landfall_core::routes::refused;
use landfall_provisioning::lifecycle_table::Held;
use tokio::time::{Instant, timeout_at};

use crate::asked::{self, Patience, Question, Told};
use crate::guard::{self, Passed};
use crate::protocol::{Envelope, Request, RequestType, Response, Status};
use crate::resource::Failure;
use crate::subject::Subject;
use crate::{Context, Deadlines, Error, failed};

/// For so long Lambda is certain to deliver an event again: it does so twice, after one minute and after
/// two more, and the last one waits for the lock until 285 seconds after the request was issued at least.
const DELIVERED_AGAIN: Duration = Duration::from_secs(240);

/// A request that CloudFormation can have sent, and what it is about.
struct Case<'a> {
    request: &'a Request,
    passed: &'a Passed,
    subject: Subject<'a>,
    /// The physical id that the answer carries.
    own_id: String,
}

/// What to answer, after everything that the request asks for has been done.
///
/// # Errors
/// Another request is at work on the same, and this one will be delivered again.
pub async fn respond(
    context: &Context,
    request: &Request,
    deadlines: Deadlines,
) -> Result<Response, Error> {
    let refused = |reason: &str| failed(&request.envelope, reason);
    let passed = match guard::check(&request.envelope, &context.settings, now()) {
        Ok(passed) => passed,
        Err(refusal) => {
            tracing::error!(code = refusal.code(), "refused");
            context.metrics.request_refused(refusal.code());
            return Ok(refused(&refusal.to_string()));
        }
    };
    let subject = match Subject::of(request, &passed.home) {
        Ok(subject) => subject,
        // What was never made needs no removal.
        Err(_) if request.request_type == RequestType::Delete => {
            return Ok(Response { status: Status::Success, reason: String::new(), ..refused("") });
        }
        Err(failure) => return Ok(refused(&failure.reason)),
    };
    let case = Case::new(request, &passed, subject);
    if let Some(response) = case.recalled(context, deadlines).await {
        return Ok(response);
    }
    let named = request.envelope.physical_id.as_deref();
    let goes = |id: &str| named == Some(id);
    if let Err(failure) = case.ask(context, &goes, Patience::ForTheBeginning, deadlines.work).await
    {
        return Ok(case.not_begun(context, failure));
    }
    let held = match context.table.lock(&case.key(), deadlines.lease, deadlines.work).await {
        Ok(held) => held,
        Err(error) => {
            tracing::error!(code = error.code(), %error, "no lock");
            return match error.is_locked() && case.is_delivered_again() {
                true => Err(case.busy(error.to_string())),
                false => Ok(case.refused(error.to_string())),
            };
        }
    };
    Box::pin(case.under_the_lock(context, held, deadlines)).await
}

impl<'a> Case<'a> {
    fn new(request: &'a Request, passed: &'a Passed, subject: Subject<'a>) -> Self {
        let Envelope { stack_id, request_id, logical_id, physical_id, .. } = &request.envelope;
        let own_id = match (request.request_type, physical_id) {
            (RequestType::Delete, Some(id)) => id.clone(),
            (RequestType::Update, Some(id)) if !subject.is_replaced() => id.clone(),
            _ => lifecycle::physical_id(stack_id, logical_id, request_id),
        };
        Self { request, passed, subject, own_id }
    }

    fn key(&self) -> String {
        let Envelope { stack_id, logical_id, .. } = &self.request.envelope;
        format!("{stack_id}/{logical_id}")
    }

    fn decide(&self, memory: &Memory) -> Decision {
        let Envelope { request_id, physical_id, .. } = &self.request.envelope;
        let request = lifecycle::Request {
            request_type: match self.request.request_type {
                RequestType::Create => lifecycle::RequestType::Create,
                RequestType::Update => lifecycle::RequestType::Update,
                RequestType::Delete => lifecycle::RequestType::Delete,
            },
            request_id,
            named: physical_id.as_deref(),
            physical_id: &self.own_id,
            issued: self.passed.issued,
        };
        decide(memory, &request)
    }

    /// The answer to a request that has no effect by what is remembered: it was answered, or another took
    /// its place. That needs no lock, and nobody has to be asked.
    async fn recalled(&self, context: &Context, deadlines: Deadlines) -> Option<Response> {
        let key = self.key();
        let memory = context.table.recall(&key);
        match timeout_at(deadlines.work, memory).await.ok()? {
            Ok(memory) => self.work(self.decide(&memory)).err(),
            // The lock will tell.
            Err(error) => {
                tracing::warn!(code = error.code(), %error, "not recalled");
                None
            }
        }
    }

    /// The memory to save before the work that was decided on, and whether that is a removal; or the answer,
    /// where no work is to be done.
    fn work(&self, decision: Decision) -> Result<(Memory, bool), Response> {
        Err(match decision {
            Decision::Converge(memory) => return Ok((memory, false)),
            Decision::Remove(memory) => return Ok((memory, true)),
            Decision::Replay(answer) => serde_json::from_str(&answer).unwrap_or_else(|_| {
                self.refused("the answer that was given before cannot be read")
            }),
            Decision::Gone => self.refused("the resource was deleted by a later request"),
            Decision::Superseded => self.refused("a later request took the place of this one"),
        })
    }

    async fn ask(
        &self,
        context: &Context,
        goes: &dyn Fn(&str) -> bool,
        patience: Patience,
        deadline: Instant,
    ) -> Result<Told, Failure> {
        let client = aws_sdk_cloudformation::Client::new(&context.config);
        let question =
            Question { request: self.request, is_dated: self.passed.issued.is_some(), goes };
        asked::check(&client, context.settings.check, &question, patience, deadline).await
    }

    /// Decides, asks again, and does what is asked for.
    async fn under_the_lock(
        &self,
        context: &Context,
        mut held: Held,
        deadlines: Deadlines,
    ) -> Result<Response, Error> {
        if let Some(record) = &held.unlocked {
            tracing::warn!(code = "resource_unlocked", record, "somebody unlocked the resource");
        }
        let (mut memory, is_removal) = match self.work(self.decide(&held.memory)) {
            Ok(work) => work,
            Err(response) => {
                let memory = held.memory.clone();
                unlock(held, memory, deadlines.record).await;
                return Ok(response);
            }
        };
        let goes = |id: &str| memory.is_gone(id);
        let told = match self.ask(context, &goes, Patience::ForAnAnswer, deadlines.work).await {
            Ok(told) => told,
            Err(failure) => {
                let memory = held.memory.clone();
                unlock(held, memory, deadlines.record).await;
                return Ok(self.not_begun(context, failure));
            }
        };
        let owner = self.owner();
        let is_update = self.request.request_type == RequestType::Update;
        let aim = match is_removal {
            true => Aim::Remove,
            false if is_update && told.is_taken_back => Aim::Restore,
            false => Aim::Converge,
        };
        let admitted = match aim {
            // What is removed may name anything.
            Aim::Remove => Ok(None),
            Aim::Converge | Aim::Restore => {
                let admitted = Box::pin(self.admit(context, &held.memory, aim, &owner));
                let late = || Failure::new("out_of_time", NO_TIME);
                timeout_at(deadlines.work, admitted).await.unwrap_or_else(|_| Err(late())).map(Some)
            }
        };
        let outcome = match admitted {
            Err(failure) => Err(failure),
            Ok(scope) => {
                memory.scope = scope.or(memory.scope);
                if let Err(error) = held.save(memory.clone(), deadlines.work).await {
                    // The lease ends by itself; whether the memory was written is not known.
                    tracing::error!(code = error.code(), %error, "nothing begun");
                    return Ok(self.refused(error.to_string()));
                }
                let effects = self.subject.carry_out(context, &owner, &memory, aim, deadlines);
                let effects = AssertUnwindSafe(Box::pin(effects)).catch_unwind();
                match timeout_at(deadlines.work, effects).await {
                    Ok(Ok(outcome)) => outcome,
                    Ok(Err(_)) => Err(Failure::new(
                        "panicked",
                        "the provisioner panicked; its log says where",
                    )),
                    // A call may still be on its way: the lock is kept until its lease ends.
                    Err(_) => return Ok(self.refused(NO_TIME)),
                }
            }
        };
        self.finish(held, memory, outcome, deadlines).await
    }

    /// What the resource may name from now on, if the request names nothing that is not admitted.
    async fn admit(
        &self,
        context: &Context,
        memory: &Memory,
        aim: Aim,
        owner: &Owner,
    ) -> Result<Scope, Failure> {
        let wanted = self.subject.names()?;
        let is_update = self.request.request_type == RequestType::Update;
        // A stack that goes back must get there, whatever it was.
        if aim != Aim::Restore {
            self.subject.has_external_id_to_admit()?;
            let refused = refused(&self.request.properties["Routes"]);
            if !refused.is_empty() {
                let reason = format!("the properties cannot be used: {}", refused.join("; "));
                return Err(Failure::new("properties_invalid", reason));
            }
        }
        let found = match &memory.scope {
            Some(scope) => scope.clone(),
            // An earlier version made it, and did not remember.
            None if is_update => Scope::found(self.subject.names_now(context, owner).await?),
            None => Scope::found(Named::default()),
        };
        let way = match () {
            () if aim == Aim::Restore => Way::Back,
            () if memory.goes_on(&self.request.envelope.request_id) => Way::Again,
            () => Way::Forward,
        };
        found
            .admit(&context.settings.limits, wanted, way)
            .map_err(|outside| Failure::new(outside.code(), outside.to_string()))
    }

    /// Remembers the answer, and gives the lock back.
    async fn finish(
        &self,
        held: Held,
        mut memory: Memory,
        outcome: Result<BTreeMap<String, String>, Failure>,
        deadlines: Deadlines,
    ) -> Result<Response, Error> {
        let response = match outcome {
            Ok(data) => Response {
                status: Status::Success,
                reason: String::new(),
                physical_id: self.own_id.clone(),
                data,
            },
            // No answer is remembered: the next delivery does the same work again.
            Err(failure) if failure.is_busy && self.is_delivered_again() => {
                unlock(held, memory, deadlines.record).await;
                return Err(self.busy(failure.reason));
            }
            Err(failure) => {
                tracing::error!(code = failure.code, reason = failure.reason, "not done");
                self.refused(failure.reason)
            }
        };
        if let Ok(answer) = serde_json::to_string(&response) {
            memory.answered(&self.request.envelope.request_id, &answer);
        }
        unlock(held, memory, deadlines.record).await;
        Ok(response)
    }

    fn owner(&self) -> Owner {
        let Envelope { stack_id, logical_id, .. } = &self.request.envelope;
        Owner {
            stack_id: stack_id.clone(),
            logical_id: logical_id.clone(),
            physical_id: self.own_id.clone(),
        }
    }

    /// CloudFormation does not wait for it, or does not say.
    fn not_begun(&self, context: &Context, failure: Failure) -> Response {
        tracing::error!(code = failure.code, reason = failure.reason, "nothing begun");
        if failure.code == asked::NOT_ASKED_FOR {
            context.metrics.request_refused(failure.code);
        }
        self.refused(failure.reason)
    }

    fn refused(&self, reason: impl AsRef<str>) -> Response {
        let response = failed(&self.request.envelope, reason.as_ref());
        Response { physical_id: self.own_id.clone(), ..response }
    }

    fn busy(&self, reason: String) -> Error {
        let Envelope { request_id, logical_id, .. } = self.request.envelope.clone();
        Error::Busy { request_id, logical_id, reason }
    }

    /// Whether it is certain, by the time at which the request was issued.
    fn is_delivered_again(&self) -> bool {
        let issued = self.passed.issued;
        issued.is_some_and(|issued| now().since(issued.time()) < DELIVERED_AGAIN)
    }
}

const NO_TIME: &str = "there was not enough time; the log tells how far it got";

/// Without the record a repetition does the same again, with the same result; without the unlocking
/// it waits for the lease to end.
async fn unlock(held: Held, memory: Memory, deadline: Instant) {
    if let Err(error) = held.release(memory, deadline).await {
        tracing::warn!(code = error.code(), %error, "the answer is not remembered");
    }
}
