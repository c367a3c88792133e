//! An intake laid out for planning, and what becomes of its messages.

use std::collections::{BTreeMap, BTreeSet};

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse};
use landfall_core::arrivals::{Arrival, Ignored, Intake};
use landfall_core::plan::{self, JobRunRequest, Plan};
use landfall_core::routes::Routes;

use crate::start::Outcome;
use crate::{Error, Response, StartedRun, Summary};

pub struct Work {
    /// SQS's ids of the messages; none where the function was invoked directly.
    ids: Vec<Option<String>>,
    /// By message, why nothing of it is done.
    pub failures: BTreeMap<usize, Error>,
    /// Of all messages that can be read.
    pub arrivals: Vec<Arrival>,
    /// For each arrival its message.
    message_of: Vec<usize>,
    pub ignored: Ignored,
}

impl Work {
    pub fn new(intake: Intake) -> Self {
        let mut work = Self {
            ids: Vec::new(),
            failures: BTreeMap::new(),
            arrivals: Vec::new(),
            message_of: Vec::new(),
            ignored: Ignored::default(),
        };
        for (index, message) in intake.messages.into_iter().enumerate() {
            match message.content {
                Ok(content) => {
                    work.ignored += content.ignored;
                    work.message_of.extend(content.arrivals.iter().map(|_| index));
                    work.arrivals.extend(content.arrivals);
                }
                Err(error) => {
                    let message_id = message.id.as_deref();
                    tracing::error!(code = error.code(), message_id, %error, "message goes back");
                    work.failures.insert(index, error.into());
                }
            }
            work.ids.push(message.id);
        }
        work
    }

    /// The number of messages.
    pub fn messages(&self) -> usize {
        self.ids.len()
    }

    /// What to start. A message of which anything is refused has failed.
    pub fn plan(&mut self, routes: &Routes, settings: &plan::Settings) -> Plan {
        let plan = plan::plan_messages(routes, &self.arrivals, &self.message_of, settings);
        for refusal in &plan.refusals {
            let message = self.message_of[refusal.arrival];
            let message_id = self.ids[message].as_deref();
            let Arrival { bucket, key, .. } = &self.arrivals[refusal.arrival];
            let (code, route, reason) = (refusal.reason.code(), &refusal.route, &refusal.reason);
            tracing::error!(code, route, bucket, key, message_id, %reason, "message goes back");
            self.failures.entry(message).or_insert(Error::Refused(refusal.clone()));
        }
        for Arrival { bucket, key, size, .. } in plan.unmatched.iter().map(|i| &self.arrivals[*i]) {
            tracing::debug!(bucket, key, size, "no route takes the object");
        }
        plan
    }

    /// The messages of which anything was not done; logs which run it was.
    pub fn failed(&self, plan: &Plan, outcomes: &[Outcome]) -> BTreeSet<usize> {
        let mut failed: BTreeSet<usize> = self.failures.keys().copied().collect();
        for (request, outcome) in plan.requests.iter().zip(outcomes) {
            let JobRunRequest { batch_id, route, arrivals, .. } = request;
            for &arrival in arrivals {
                let Arrival { bucket, key, .. } = &self.arrivals[arrival];
                let message = self.message_of[arrival];
                let message_id = self.ids[message].as_deref();
                match outcome {
                    Ok(job_run_id) => {
                        tracing::info!(
                            message_id, bucket, key, route, batch_id, job_run_id, "served"
                        );
                    }
                    Err(error) => {
                        let code = error.code();
                        tracing::warn!(
                            code,
                            message_id,
                            bucket,
                            key,
                            route,
                            batch_id,
                            "message goes back"
                        );
                        failed.insert(message);
                    }
                }
            }
        }
        failed
    }

    /// The function's answer.
    ///
    /// # Errors
    /// A direct invocation of which anything was not done.
    pub fn respond(
        mut self,
        plan: Plan,
        outcomes: Vec<Outcome>,
        failed: &BTreeSet<usize>,
    ) -> Result<Response, Error> {
        if let [None] = self.ids[..] {
            if let Some((_, error)) = self.failures.pop_first() {
                return Err(error);
            }
            let started = plan.requests.into_iter().zip(outcomes).map(|(request, outcome)| {
                let (route, batch_id) = (request.route, request.batch_id);
                outcome.map(|job_run_id| StartedRun { route, batch_id, job_run_id })
            });
            return Ok(Response::Direct(Summary {
                started: started.collect::<Result<_, _>>()?,
                ignored: self.ignored,
                unmatched: plan.unmatched.len(),
            }));
        }
        // A set: SQS may deliver a message twice in one batch, and an id that stands twice in the
        // answer makes Lambda fail the whole batch.
        let ids: BTreeSet<String> =
            failed.iter().filter_map(|index| self.ids[*index].take()).collect();
        let mut response = SqsBatchResponse::default();
        response.batch_item_failures = ids
            .into_iter()
            .map(|id| {
                let mut failure = BatchItemFailure::default();
                failure.item_identifier = id;
                failure
            })
            .collect();
        Ok(Response::Sqs(response))
    }
}
