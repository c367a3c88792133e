//! The auditor looks at its own account's half of the chain, and keeps what is wrong with it as findings.
//!
//! It makes the calls of `landfall doctor`, and the core judges what they show in the same way. Each invocation is a whole
//! audit, whatever invoked it, so there is only one way through the code. The auditor changes nothing but its own table.
//! Several invocations at once are safe: of two that change the same finding, one is refused.

#![warn(missing_docs, unreachable_pub)]

mod look;
mod settings;

use aws_config::SdkConfig;
use lambda_runtime::Diagnostic;
use landfall_aws::clock::now;
use landfall_aws::events;
use landfall_aws::findings::{Findings, FindingsError, LastAudit};
use landfall_aws::metrics::{Metrics, OpenFindings};
use landfall_aws::sdk_error::chain;
use landfall_core::audit::{self, Change, Finding, State};
use landfall_core::chain::problems::Severity;
use landfall_inspection::Clients;
use serde::Serialize;

pub use settings::{Settings, SettingsError};

/// Why an audit failed. What could not be looked at is no failure but a finding.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum Error {
    #[error(transparent)]
    Findings(#[from] FindingsError),
    #[error("failed to announce finding `{id}`: {message}")]
    Event { id: String, message: String },
}

impl Error {
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Findings(_) => "findings_unavailable",
            Self::Event { .. } => "finding_not_announced",
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
    findings: Findings,
    events: aws_sdk_eventbridge::Client,
    metrics: Metrics,
}

impl Context {
    /// Builds the clients. Makes no call.
    pub fn new(settings: Settings, config: &SdkConfig, metrics: Metrics) -> Self {
        let findings = Findings::new(config, &settings.findings_table, &settings.stack);
        let events = aws_sdk_eventbridge::Client::new(config);
        Self { settings, clients: Clients::new(config), findings, events, metrics }
    }
}

/// What an audit came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audited {
    /// How many checks it made. Zero if the stack is being changed, because half of a change looks like drift.
    pub checks: usize,
    /// How many findings are open.
    pub open: usize,
    /// How many of them have opened with this audit.
    pub opened: usize,
    /// How many findings are resolved with this audit.
    pub resolved: usize,
}

/// Audits the account's half of the chain.
///
/// # Errors
/// Fails if the findings can't be read, kept or announced. The next audit does what this one left undone.
pub async fn handle(context: &Context) -> Result<Audited, Error> {
    // All calls of an audit together make a future that is too large for a thread's stack.
    let audited = Box::pin(audit(context)).await;
    audited.inspect_err(|error| {
        tracing::error!(code = error.code(), error = chain(error), "the audit failed")
    })
}

async fn audit(context: &Context) -> Result<Audited, Error> {
    let Context { settings, clients, findings, metrics, .. } = context;
    let kept = findings.read().await?;
    for id in &kept.unreadable {
        tracing::warn!(
            code = "finding_unreadable",
            finding = id,
            "a finding of another version stays as it is"
        );
    }
    let stack = landfall_inspection::cloudformation::stack(clients, &settings.stack).await;
    let is_changing = stack.as_ref().is_ok_and(|stack| stack.status.ends_with("_IN_PROGRESS"));
    let (mut opened, mut resolved, mut count) = (0, 0, 0);
    let mut open = kept.findings.clone();
    if is_changing {
        tracing::info!(stack = settings.stack, "the stack is being changed: nothing is judged");
    } else {
        let mut used = kept.usage.clone();
        let checks = look::checks(context, &stack, &mut used).await;
        if used != kept.usage {
            findings.remember(&used).await?;
        }
        count = checks.len();
        for change in audit::changes(&kept.findings, &checks, now()) {
            let is_kept = apply(context, &change).await?;
            if is_kept && let Some(finding) = change.to_announce() {
                match finding.state {
                    State::Resolved => resolved += 1,
                    State::Open | State::Suspected => opened += 1,
                }
            }
            open.retain(|finding| finding.id != change.id);
            open.extend(change.after);
        }
        findings.audited(&LastAudit { at: now(), checks: count }).await?;
    }
    open.retain(|finding| finding.state == State::Open);
    let high = open.iter().filter(|finding| finding.severity >= Severity::High).count();
    metrics.audit(&OpenFindings::new(open.len(), high));
    Ok(Audited { checks: count, open: open.len(), opened, resolved })
}

/// Announces the change if others should hear of it, and then keeps it. Killed between the two, the next audit announces
/// it once more.
async fn apply(context: &Context, change: &Change) -> Result<bool, Error> {
    if let Some(finding) = change.to_announce() {
        announce(context, finding).await?;
    }
    Ok(context.findings.keep(change).await?)
}

async fn announce(context: &Context, finding: &Finding) -> Result<(), Error> {
    let Settings { stack, place, .. } = &context.settings;
    let Finding { id, code, resource, state, .. } = finding;
    let severity = finding.severity.name();
    tracing::warn!(
        code,
        finding = id,
        resource,
        severity,
        state = state.name(),
        "finding {}",
        state.name()
    );
    let detail = finding.event(stack, &place.region).to_string();
    let put = events::put(&context.events, events::FINDING, detail).await;
    put.map_err(|message| Error::Event { id: id.clone(), message })
}
