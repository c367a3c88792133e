//! The reconciler lists the buckets of routes that ask for it, or reads their inventories, and finds what S3 never announced.
//!
//! It decides nothing: the core says when a pass begins, at which objects it looks, and what becomes of them. What it misses
//! goes to the queue of backfills, and takes the same way from there as what `landfall backfill` finds. Every invocation does
//! the same, whatever invoked it: it goes on where the one before ended, page by page. Several at once are safe: of two that
//! write how far a route has come, one is refused and leaves the route to the other.

#![warn(missing_docs, unreachable_pub)]

mod names;
mod pass;
mod settings;

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use lambda_runtime::Diagnostic;
use landfall_aws::clock::now;
use landfall_aws::ledger::{Ledger, LedgerError};
use landfall_aws::metrics::{Metrics, Passes};
use landfall_aws::queue::{Queue, QueueError};
use landfall_aws::sdk_error::chain;
use landfall_core::moment::Time;
use landfall_inspection::{Clients, Unseen};
use serde::Serialize;

pub use settings::Settings;

/// Why a run failed, as a whole or for a route. The next run does what this one left undone.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum Error {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("failed to look at bucket `{bucket}`: {why}")]
    Bucket { bucket: String, why: Unseen },
    #[error("failed to read an inventory for route `{route}`: {why}")]
    Inventory { route: String, why: String },
    #[error("failed to look when stack `{stack}` was changed: {why}")]
    Stack { stack: String, why: Unseen },
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("failed to announce what route `{route}` misses: {message}")]
    Event { route: String, message: String },
    #[error("failed to reconcile {} routes, the first of them `{}`", .0.len(), .0.first().map_or("", String::as_str))]
    Routes(Vec<String>),
}

impl Error {
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ledger(error) => error.code(),
            Self::Bucket { .. } => "bucket_not_listed",
            Self::Inventory { .. } => "inventory_not_read",
            Self::Stack { .. } => "stack_not_seen",
            Self::Queue(_) => "arrivals_not_sent",
            Self::Event { .. } => "finding_not_announced",
            Self::Routes(_) => "routes_not_reconciled",
        }
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        Self { error_type: error.code().to_owned(), error_message: chain(&error) }
    }
}

/// What invocations share.
#[derive(Debug)]
pub struct Context {
    settings: Settings,
    clients: Clients,
    ledger: Ledger,
    queue: Queue,
    events: aws_sdk_eventbridge::Client,
    metrics: Metrics,
}

impl Context {
    /// Builds the clients. Makes no call.
    pub fn new(settings: Settings, config: &SdkConfig, metrics: Metrics) -> Self {
        let dynamodb = aws_sdk_dynamodb::Client::new(config);
        // It writes no batch, so how long the ledger keeps one doesn't matter here.
        let ledger = Ledger::new(dynamodb, settings.ledger_table.clone(), Duration::ZERO);
        let queue = Queue::new(&settings.backfill_queue, config);
        let events = aws_sdk_eventbridge::Client::new(config);
        Self { settings, clients: Clients::new(config), ledger, queue, events, metrics }
    }
}

/// What a run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Reconciled {
    /// How many passes have ended.
    pub ended: usize,
    /// How many objects it found.
    pub listed: u64,
    /// How many of them are in no batch of their route.
    pub missed: u64,
}

/// Goes on with the passes that are under way, and begins those that are due, as far as the time until `deadline` allows.
///
/// # Errors
/// Fails if what the ledger knows can't be read, or a route fails. One route never hinders the others.
pub async fn handle(context: &Context, deadline: SystemTime) -> Result<Reconciled, Error> {
    // All calls of a run together make a future that is too large for a thread's stack.
    let run = Box::pin(run(context, deadline)).await;
    run.inspect_err(|error| {
        tracing::error!(code = error.code(), error = chain(error), "the run failed")
    })
}

async fn run(context: &Context, deadline: SystemTime) -> Result<Reconciled, Error> {
    let Context { settings, ledger, metrics, .. } = context;
    let mut kept = ledger.reconciliations().await?;
    let routes = settings.routes.routes.iter();
    let reconciled = routes.filter_map(|route| Some((route, route.reconcile.as_ref()?)));
    let mut work: Vec<_> = reconciled.map(|it| (it, kept.remove(&it.0.name))).collect();
    for retired in kept.into_values().filter_map(|it| it.ok()?.retired()) {
        // If somebody else has written it meanwhile, the next run looks at it again.
        ledger.write_reconciliation(retired, now()).await?;
    }
    // The route that waited longest goes first, so that a large bucket doesn't keep the others waiting for ever.
    work.sort_by_key(|(_, kept)| match kept {
        Some(Ok(kept)) => kept.updated_at,
        Some(Err(_)) | None => Time(0),
    });
    let mut total = Reconciled::default();
    let mut failed = Vec::new();
    let mut behind: Option<Time> = None;
    for (route, kept) in work {
        let mut reached = None;
        let run = async {
            let kept = kept.transpose()?;
            pass::go_on(context, route, kept, deadline, &mut reached, &mut total).await
        };
        if let Err(error) = run.await {
            let (code, route) = (error.code(), &route.0.name);
            tracing::error!(code, route, error = chain(&error), "route not reconciled");
            metrics.failures([code]);
            failed.push(route.clone());
        }
        behind = [behind, reached].into_iter().flatten().min();
    }
    metrics.passes(&Passes {
        objects_listed: total.listed.into(),
        arrivals_missed: total.missed.into(),
        reconciled_age_seconds: behind.map_or(0, |it| now().since(it).as_secs()).into(),
    });
    if failed.is_empty() { Ok(total) } else { Err(Error::Routes(failed)) }
}
