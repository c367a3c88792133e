//! Carries out what [`next`] decides about a batch, until it decides to rest.
//!
//! Nothing here makes a choice: each step is one write or call, and its outcome is the next thing
//! that [`next`] sees. If a process dies between two steps, another takes the batch up when it is
//! due.

mod at_once;
mod lineage;
mod log;
mod report;
mod start;

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use landfall_core::batch::{
    BATCH_CLOSED, Batch, Bounds, HistoryEvent, JobResources, Lookup, Manifest, Member, Seen, State,
    Step, Unprepared, Why, next,
};
use landfall_core::lineage::{RunEvent, events as run_events};
use landfall_core::moment::Time;
use tokio::sync::Mutex;
use tracing::Instrument;

use crate::claims::Claims;
use crate::clock::{has_time, moment};
use crate::clock_check::ClockCheck;
use crate::config::{CALL_TIMEOUT, timeouts, with_short_attempts};
use crate::events::Events;
use crate::glue::Searched;
use crate::ledger::{Held, Ledger, LedgerError, pause};
use crate::lineage::Lineage;
use crate::sdk_error::{chain, sdk_error_parts};
use crate::settings::Settings;
use crate::targets::Targets;
use crate::traces;

pub use at_once::{AtOnce, NotBegun, advance_begun};
pub use lineage::send_lineage;
pub use report::report;

/// The time to reserve for a start: the write that announces it, and the call.
pub const START_MAY_TAKE: Duration = CALL_TIMEOUT.saturating_mul(2);

/// The stable identifier of an event that EventBridge did not take, as far as anybody knows.
const NOT_ANNOUNCED: &str = "batch_not_announced";

/// The stable identifier of a manifest that S3 did not take.
const MANIFEST_NOT_WRITTEN: &str = "manifest_not_written";

/// A batch of more members than this is prepared alone. Up to 32 of fewer members are in memory at a
/// time.
const MANY_MEMBERS: u64 = 2_000;

/// The clients and settings that steps need.
#[derive(Debug)]
pub struct Clients {
    /// The ledger.
    pub ledger: Ledger,
    claims: Claims,
    s3: aws_sdk_s3::Client,
    events: Events,
    pub(crate) targets: Targets,
    job_resources: JobResources,
    account: String,
    bounds: Bounds,
    lineage: Option<Lineage>,
    /// Locked while a large batch is in memory.
    preparing: Mutex<()>,
}

/// What became of a batch.
#[derive(Debug)]
pub struct Advanced {
    /// The batch as it was last read or written.
    pub batch: Batch,
    /// What was written to the ledger, in order.
    pub transitions: Vec<Transition>,
    /// What lineage should say about its runs; empty if there is no destination for lineage.
    lineage: Vec<RunEvent>,
    /// Why the work on the batch stopped.
    pub end: End,
}

/// One write to the ledger that added to a batch's history.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// What happened.
    pub what: HistoryEvent,
    /// When it happened.
    pub at: Time,
    /// If something went wrong, the stable identifier of the reason.
    pub code: Option<String>,
    /// If this is the end of a run, what Glue bills for it, in DPU-seconds.
    pub dpu_seconds: Option<f64>,
}

/// Why the work on a batch stopped.
#[derive(Debug)]
pub enum End {
    /// There is nothing to do until the batch is due.
    Rests,
    /// Another invocation has written the batch meanwhile, and goes on with it.
    Overtaken,
    /// Less time was left than the next step may take. The batch is still due.
    OutOfTime,
    /// The ledger could not be read or written. The batch is still due.
    Failed(LedgerError),
}

impl Advanced {
    /// Returns `true` if the batch gave back its share of its job's slot, so that another may
    /// begin.
    pub fn has_freed_a_slot(&self) -> bool {
        self.transitions.iter().any(|transition| match transition.what {
            HistoryEvent::Succeeded | HistoryEvent::Failed => true,
            // A batch that was never begun held nothing.
            HistoryEvent::Parked => self.batch.epoch > 0,
            _ => false,
        })
    }

    /// Returns `true` if the batch has just got the run that it was refused before, for another
    /// reason than a limit of its job.
    pub fn is_unblocked(&self) -> bool {
        let is_start = |transition: &Transition| transition.what == HistoryEvent::Started;
        self.transitions.iter().any(is_start) && self.batch.was_blocked()
    }
}

impl Clients {
    /// Builds the clients. Makes no call.
    pub fn new(settings: &Settings, config: &SdkConfig) -> Self {
        let s3 = aws_sdk_s3::config::Builder::from(config).timeout_config(timeouts().build());
        let config = &with_short_attempts(config);
        // Every invocation calls the ledger, so these answers check the clock.
        let dynamodb = aws_sdk_dynamodb::config::Builder::from(config);
        let dynamodb = dynamodb.interceptor(ClockCheck::default()).build();
        let dynamodb = aws_sdk_dynamodb::Client::from_conf(dynamodb);
        Self {
            ledger: Ledger::new(dynamodb, settings.ledger_table.clone(), settings.retention),
            claims: Claims::new(config, &settings.job_resources.claims_table_arn),
            s3: aws_sdk_s3::Client::from_conf(s3.build()),
            events: Events::new(config),
            targets: Targets::new(settings, config),
            job_resources: settings.job_resources.clone(),
            account: settings.account.clone(),
            bounds: Bounds {
                reconciliation: settings.reconciliation,
                manifests_kept: settings.manifests_kept,
            },
            lineage: settings.lineage.as_ref().map(|to| Lineage::new(to, config)),
            preparing: Mutex::default(),
        }
    }

    /// Writes a manifest. Doing it again gives the same result.
    async fn put_manifest(&self, key: &str, manifest: String) -> Result<(), String> {
        let put = self.s3.put_object().bucket(&self.job_resources.manifests_bucket).key(key);
        let put = put.expected_bucket_owner(&self.account).content_type("application/json");
        let answer = put.body(manifest.into_bytes().into()).send().await;
        answer.map(|_| ()).map_err(|error| {
            let (code, message) = sdk_error_parts(&error);
            let uri = self.job_resources.manifest_uri(key);
            format!("failed to write `{uri}`: {code}: {message}")
        })
    }
}

/// Takes a batch as far as it goes now. `batch` was just read or written, and `seen` is what else
/// is known. `members` are all its members, if the caller has them; otherwise they are read when
/// needed. Begins nothing that `deadline` could cut off.
pub async fn advance(
    clients: &Clients,
    batch: Batch,
    members: Option<&[Member]>,
    seen: Seen,
    deadline: SystemTime,
) -> Advanced {
    Work::new(clients, batch, members).advanced(seen, deadline).await
}

struct Work<'c> {
    clients: &'c Clients,
    /// All members of the batch, if the caller has them.
    members: Option<&'c [Member]>,
    batch: Batch,
    transitions: Vec<Transition>,
    lineage: Vec<RunEvent>,
    /// The stable identifier of what last went wrong.
    code: Option<String>,
    /// What Glue bills for the run that was seen to have ended.
    dpu_seconds: Option<f64>,
    /// When the search that was just made began.
    searched_at: Option<Time>,
}

impl<'c> Work<'c> {
    fn new(clients: &'c Clients, batch: Batch, members: Option<&'c [Member]>) -> Self {
        Self {
            clients,
            members,
            batch,
            transitions: Vec::new(),
            lineage: Vec::new(),
            code: None,
            dpu_seconds: None,
            searched_at: None,
        }
    }

    async fn advanced(mut self, seen: Seen, deadline: SystemTime) -> Advanced {
        let (batch_id, route, job) = (&self.batch.id, &self.batch.route, &self.batch.start.job);
        let span = tracing::info_span!(target: traces::TARGET, "advance", batch_id, route, job);
        let end = self.run(seen, deadline).instrument(span).await;
        if let End::Failed(error) = &end {
            log::failed(&self.batch, error);
        }
        let Self { batch, transitions, lineage, .. } = self;
        Advanced { batch, transitions, lineage, end }
    }

    async fn run(&mut self, mut seen: Seen, deadline: SystemTime) -> End {
        let mut at = moment(deadline);
        loop {
            let step = next(&self.batch, &seen, &at, &self.clients.bounds);
            // Taken before the call: what appears while the call lasts has not been missed by it.
            at = moment(deadline);
            let carried_out = match step {
                Step::Rest => return End::Rests,
                Step::Begin { .. } if !has_time(deadline, START_MAY_TAKE) => return End::OutOfTime,
                // However late it is, what was learned is written, and what was announced is done.
                Step::Write { batch, counts } => self.write(*batch, counts).await,
                Step::Assume(batch) => {
                    self.batch = *batch;
                    Ok(Seen::Wake)
                }
                Step::Begin { batch, slot } => {
                    match self.clients.targets.ready(&batch.start).await {
                        // Getting ready took time too.
                        Ok(()) if !has_time(deadline, START_MAY_TAKE) => return End::OutOfTime,
                        Ok(()) => {
                            let held = self.clients.ledger.begin(*batch, slot).await;
                            self.begun(held).await
                        }
                        Err(error) => {
                            let NotBegun { code, message } = error.into();
                            self.code = Some(code.to_owned());
                            Ok(Seen::Prepared(Err(Unprepared::NotNow(message))))
                        }
                    }
                }
                Step::Start => Ok(self.start().await),
                _ if !has_time(deadline, CALL_TIMEOUT) => return End::OutOfTime,
                step => self.call(step, deadline).await,
            };
            seen = match carried_out {
                Ok(seen) => seen,
                Err(end) => return end,
            };
            // The search may have begun earlier, for another batch.
            at.now = self.searched_at.take().map_or(at.now, |began| at.now.min(began));
        }
    }

    async fn write(&mut self, batch: Batch, counts: bool) -> Result<Seen, End> {
        let ledger = &self.clients.ledger;
        let written =
            if counts { ledger.write_counted(batch).await } else { ledger.write(batch).await };
        match written.map_err(End::Failed)? {
            Some(batch) => {
                self.is_written(batch);
                Ok(Seen::Nothing)
            }
            None => Err(End::Overtaken),
        }
    }

    async fn begun(&mut self, held: Result<Held, LedgerError>) -> Result<Seen, End> {
        match held.map_err(End::Failed)? {
            Held::Yes(batch) => {
                self.is_written(*batch);
                Ok(Seen::Begun)
            }
            Held::OtherBatch => Err(End::Overtaken),
            Held::OtherSlot => {
                pause().await;
                Ok(Seen::Wake)
            }
        }
    }

    /// Carries out a step that writes nothing to the ledger.
    async fn call(&mut self, step: Step, deadline: SystemTime) -> Result<Seen, End> {
        let Clients { ledger, claims, targets, .. } = self.clients;
        let id = &self.batch.id;
        let start = &self.batch.start;
        let mut failed = |code: &str, error: &(dyn std::error::Error + 'static)| {
            self.code = Some(code.to_owned());
            Seen::Failed(chain(error))
        };
        Ok(match step {
            Step::Prepare => self.prepare(deadline).await.unwrap_or_else(|unprepared| {
                let code = match &unprepared {
                    Unprepared::NotNow(_) => MANIFEST_NOT_WRITTEN,
                    Unprepared::Refused(reason) => reason.code(),
                    Unprepared::Scope(_) => Why::ScopeNotKept.code(),
                };
                self.code = Some(code.to_owned());
                Seen::Prepared(Err(unprepared))
            }),
            Step::Announce { detail } => {
                let put = self.clients.events.put(BATCH_CLOSED, detail).await;
                Seen::Announced(put.map_err(|reason| {
                    self.code = Some(NOT_ANNOUNCED.to_owned());
                    format!("{NOT_ANNOUNCED}: {reason}")
                }))
            }
            Step::ReadSlot => Seen::Slot(ledger.slot(&start.job_key()).await.map_err(End::Failed)?),
            Step::Lookup { since, not_before } => {
                let glue = targets.glue(start);
                let from = (since, not_before);
                let Searched { began, lookup } =
                    glue.find_runs(&start.job, id, from, deadline).await;
                match lookup {
                    Lookup::Complete(_) => {}
                    Lookup::Unclear(_) => self.code = Some("runs_not_clear".to_owned()),
                    Lookup::Unanswered(_) => self.code = Some("runs_not_seen".to_owned()),
                }
                self.searched_at = Some(began);
                Seen::Lookup(lookup)
            }
            Step::Follow { run_id } => match targets.glue(start).run(&start.job, &run_id).await {
                Ok(run) => {
                    self.dpu_seconds = run.as_ref().and_then(|run| run.dpu_seconds);
                    Seen::Run(run.map(|run| run.observed))
                }
                Err(error) => failed("run_not_seen", &error),
            },
            Step::ReadClaim { run } => match claims.read(id).await {
                Ok(claim) => Seen::Claim { run, claim },
                Err(error) => failed("claim_not_seen", &error),
            },
            Step::FindRepeat { run_id, run, claim } => {
                match targets.glue(start).repeat(&start.job, &run_id).await {
                    Ok(repeat) => Seen::Repeat { run, claim, repeat },
                    Err(error) => failed("run_not_seen", &error),
                }
            }
            Step::EndClaim { epoch } => match claims.end(id, epoch).await {
                Ok(outcome) => Seen::ClaimEnded(outcome),
                Err(error) => failed("claim_not_ended", &error),
            },
            Step::Rest
            | Step::Write { .. }
            | Step::Assume(_)
            | Step::Begin { .. }
            | Step::Start => unreachable!("carried out elsewhere"),
        })
    }

    /// Writes the manifest, and fills in the arguments. Doing it again gives the same result.
    async fn prepare(&self, deadline: SystemTime) -> Result<Seen, Unprepared> {
        let Clients { ledger, job_resources, preparing, .. } = self.clients;
        let batch = &self.batch;
        // A function has room for one large batch at a time.
        let _alone = if batch.members > MANY_MEMBERS { Some(preparing.lock().await) } else { None };
        let read = match self.members {
            Some(_) => Ok(Vec::new()),
            None => ledger.members_before(batch, deadline).await,
        };
        let read = read.map_err(|error| Unprepared::NotNow(chain(&error)))?;
        let manifest = Manifest::of(self.members.unwrap_or(&read).iter().collect());
        let key = JobResources::manifest_key(&batch.route, &batch.id);
        let prepared = manifest.prepared(batch, job_resources, &key)?;
        let put = self.clients.put_manifest(&key, manifest.json(&batch.bucket)).await;
        put.map_err(Unprepared::NotNow)?;
        Ok(Seen::Prepared(Ok(prepared)))
    }

    /// Records and logs what the ledger has now.
    fn is_written(&mut self, batch: Batch) {
        let entries = |batch: &Batch| batch.history.iter().map(|e| u64::from(e.times)).sum::<u64>();
        let has_new_entry = entries(&batch) != entries(&self.batch)
            || batch.history.last() != self.batch.history.last();
        if let Some(entry) = batch.history.last().filter(|_| has_new_entry) {
            let known = self.code.take();
            let code = match &batch.state {
                State::Parked { why, .. } => Some(why.code().to_owned()),
                // Without a known code, it is a limit of the route.
                State::Sealed { .. } if entry.what.is_put_off() => {
                    known.or_else(|| Some(entry.detail.clone()))
                }
                _ => known,
            };
            log::written(&batch, entry, code.as_deref());
            // A run that has ended is looked at again while its claim cannot be read, or while Glue is to repeat it.
            let is_looked_at_again =
                matches!(entry.what, HistoryEvent::NotSeen | HistoryEvent::AwaitsRepeat);
            let dpu_seconds = self.dpu_seconds.take().filter(|_| !is_looked_at_again);
            let (what, at) = (entry.what.clone(), entry.at);
            self.transitions.push(Transition { what, at, code, dpu_seconds });
        }
        if self.clients.lineage.is_some() {
            self.lineage.extend(run_events(&self.batch, &batch));
        }
        self.batch = batch;
    }
}
