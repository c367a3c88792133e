//! An intake laid out for planning, and what becomes of its messages.

use std::collections::{BTreeMap, BTreeSet};

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse};
use landfall_core::arrivals::{Arrival, Ignored, Intake};
use landfall_core::plan::{self, JobRunRequest, Plan};
use landfall_core::routes::Routes;

use crate::record::{Outcome, Started};
use crate::{Error, RecordedBatch, Response, Summary};

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
        if work.ignored.total() > 0 {
            tracing::info!(ignored = %work.ignored, "events that create no object");
        }
        work
    }

    /// The number of messages.
    pub fn messages(&self) -> usize {
        self.ids.len()
    }

    /// What to start. A message of which anything is refused has failed.
    pub fn plan(&mut self, routes: &Routes) -> Plan {
        let plan = plan::plan_messages(routes, &self.arrivals, &self.message_of);
        for refusal in &plan.refusals {
            let message = self.message_of[refusal.arrival];
            let message_id = self.ids[message].as_deref();
            let Arrival { bucket, key, .. } = &self.arrivals[refusal.arrival];
            let (code, route, reason) = (refusal.reason.code(), &refusal.route, &refusal.reason);
            tracing::error!(code, route, bucket, key, message_id, %reason, "message goes back");
            self.failures.entry(message).or_insert(Error::Refused(refusal.clone()));
        }
        for &arrival in &plan.unmatched {
            let message_id = self.ids[self.message_of[arrival]].as_deref();
            let Arrival { bucket, key, version_id, size, .. } = &self.arrivals[arrival];
            tracing::debug!(message_id, bucket, key, version_id, size, "no route takes the object");
        }
        plan
    }

    /// How many messages brought what a request takes, and the ids of the first of them, spaces between
    /// them: a log line has room for so many. All are logged one by one at level `DEBUG`.
    pub fn messages_of(&self, request: &JobRunRequest) -> (usize, String) {
        const MAX: usize = 10;
        let messages = request.arrivals.iter().map(|arrival| self.message_of[*arrival]);
        let messages: BTreeSet<usize> = messages.collect();
        let ids = messages.iter().filter_map(|message| self.ids[*message].as_deref());
        (messages.len(), ids.take(MAX).collect::<Vec<_>>().join(" "))
    }

    /// The messages of which anything was not recorded.
    pub fn failed(&self, plan: &Plan, recorded: &[Outcome]) -> BTreeSet<usize> {
        let mut failed: BTreeSet<usize> = self.failures.keys().copied().collect();
        for (request, recorded) in plan.requests.iter().zip(recorded) {
            let JobRunRequest { route, arrivals, .. } = request;
            // One, but for what fills a batch and begins the next.
            let batch_ids = recorded.iter().flat_map(|recorded| &recorded.batches);
            let batch_ids: Vec<&str> = batch_ids.map(|batch| batch.id.as_str()).collect();
            let batch_ids = batch_ids.join(" ");
            for &arrival in arrivals {
                let Arrival { bucket, key, version_id, .. } = &self.arrivals[arrival];
                let message = self.message_of[arrival];
                let message_id = self.ids[message].as_deref();
                match recorded {
                    Ok(_) => tracing::debug!(
                        message_id, bucket, key, version_id, route, batch_ids, "recorded"
                    ),
                    Err(error) => {
                        let code = error.code();
                        tracing::warn!(
                            code,
                            message_id,
                            bucket,
                            key,
                            version_id,
                            route,
                            "message goes back"
                        );
                        failed.insert(message);
                    }
                }
            }
        }
        failed
    }

    /// The ids of those of the failed messages that nothing is wrong with: they may be recorded as they are.
    pub fn waiting(
        &self,
        plan: &Plan,
        recorded: &[Outcome],
        failed: &BTreeSet<usize>,
    ) -> BTreeSet<&str> {
        let recorded = plan.requests.iter().zip(recorded);
        let is_hopeless = |outcome: &Outcome| outcome.as_ref().is_err_and(|e| !e.is_passing());
        let hopeless = recorded.filter(|(_, outcome)| is_hopeless(outcome));
        let hopeless = hopeless.flat_map(|(request, _)| &request.arrivals);
        let hopeless: BTreeSet<usize> = hopeless.map(|arrival| self.message_of[*arrival]).collect();
        let waiting = failed
            .iter()
            .filter(|message| !self.failures.contains_key(message) && !hopeless.contains(message));
        waiting.filter_map(|message| self.ids[*message].as_deref()).collect()
    }

    /// Takes these messages out of the failed ones.
    pub fn acknowledge(&self, ids: &BTreeSet<String>, failed: &mut BTreeSet<usize>) {
        failed.retain(|message| {
            self.ids[*message].as_ref().is_none_or(|message_id| !ids.contains(message_id))
        });
    }

    /// The function's answer.
    ///
    /// # Errors
    /// A direct invocation of which anything was not recorded.
    pub fn respond(
        mut self,
        plan: &Plan,
        recorded: Vec<Outcome>,
        started: &Started,
        failed: &BTreeSet<usize>,
    ) -> Result<Response, Error> {
        if let [None] = self.ids[..] {
            if let Some((_, error)) = self.failures.pop_first() {
                return Err(error);
            }
            let recorded = recorded.into_iter().collect::<Result<Vec<_>, _>>()?;
            let duplicates = recorded.iter().map(|recorded| recorded.duplicates).sum();
            let advanced = started.advanced.iter().map(|advanced| &advanced.batch);
            let advanced = advanced.chain(&started.left);
            let open = recorded.iter().flat_map(|recorded| &recorded.batches);
            let batches = advanced.chain(open.filter(|batch| batch.is_open()));
            let batches = batches.map(|batch| RecordedBatch {
                route: batch.route.clone(),
                batch_id: batch.id.clone(),
                state: batch.state.name(),
                job_run_id: batch.runs.last().map(|run| run.run_id.clone()),
            });
            return Ok(Response::Direct(Summary {
                batches: batches.collect(),
                duplicates,
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
