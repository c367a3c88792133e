//! The repairer brings back what is gone: a role, a bucket's notifications or its statements, which the stack asks for and
//! somebody deleted. It has CloudFormation do it, by a change set of the stack.
//!
//! Each invocation does the same, whatever invoked it: it looks at the stack, compares what the stack asks for with what
//! is there, and takes only what is gone. It repairs nothing that is narrower, wider or different. The change set keeps
//! the template and all parameters but the times of the repairs, and is executed only if it changes nothing but the
//! resources that are gone. Several invocations at once are safe: only one of them gets the right to begin.

#![warn(missing_docs, unreachable_pub)]

mod announce;
mod change;
mod look;
mod settings;

use aws_config::SdkConfig;
use lambda_runtime::Diagnostic;
use landfall_aws::clock::now;
use landfall_aws::cloudtrail::CloudTrail;
use landfall_aws::findings::{Findings, FindingsError};
use landfall_aws::sdk_error::chain;
use landfall_core::audit::repair::{Brake, Decision, HOLD, State, Trace, brake};
use landfall_inspection::Clients;
use landfall_stacks::repair as asked;
use landfall_stacks::stack::{Observed, Stacks, Standing};
use serde::Serialize;

use self::announce::{stop, tell_once, tell_that_it_waits};
use self::look::Gone;

pub use self::announce::EVENT_TYPE;
pub use self::settings::{Settings, SettingsError};

/// Why an invocation failed. The next one tries again, as often as the bounds allow.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum Error {
    #[error(transparent)]
    Findings(#[from] FindingsError),
    #[error("{0}")]
    Stack(String),
    #[error("failed to read the tags of bucket `{bucket}`: {message}")]
    Tags { bucket: String, message: String },
    #[error("failed to announce what became of a repair of stack `{stack}`: {message}")]
    Event { stack: String, message: String },
}

impl Error {
    /// Returns a stable identifier for logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Findings(_) => "findings_unavailable",
            Self::Stack(_) | Self::Tags { .. } => "repair_failed",
            Self::Event { .. } => "repair_not_announced",
        }
    }

    /// Returns the error with all of its causes. The crate that reads and changes stacks keeps secrets out of them.
    fn of_stack(error: anyhow::Error) -> Self {
        Self::Stack(format!("{error:#}"))
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
    s3: aws_sdk_s3::Client,
    stacks: Stacks,
    findings: Findings,
    events: aws_sdk_eventbridge::Client,
    cloudtrail: CloudTrail,
}

impl Context {
    /// Builds the clients. Makes no call.
    pub fn new(settings: Settings, config: &SdkConfig) -> Self {
        let Settings { stack, findings_table, account, region, .. } = &settings;
        let partition = landfall_core::partition::of_region(region).unwrap_or("aws");
        let stacks = Stacks {
            client: aws_sdk_cloudformation::Client::new(config),
            place: format!("account `{account}`, region `{region}`"),
        };
        Self {
            findings: Findings::new(config, findings_table, stack),
            events: aws_sdk_eventbridge::Client::new(config),
            cloudtrail: CloudTrail::new(config, partition, region),
            clients: Clients::new(config),
            s3: aws_sdk_s3::Client::from_conf(landfall_aws::config::s3(config).build()),
            stacks,
            settings,
        }
    }
}

/// What an invocation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// There is no stack, or it is being changed, which looks like drift.
    NotSettled,
    /// Nothing is gone.
    NothingGone,
    /// Somebody holds repairs with a tag, or has to mend the stack first.
    Held,
    /// What is gone may not be repaired now: another invocation is at it, it is too soon, it was given up, or the stack
    /// has no parameter for it.
    Waits,
    /// CloudFormation would have changed more than what is gone, so nothing was changed.
    Refused,
    /// CloudFormation repairs what is gone.
    Started,
}

/// Repairs what is gone of the stack, if that may begin now.
///
/// # Errors
/// Fails if the stack or the table can't be read, if CloudFormation refuses the change, or if an event isn't taken.
pub async fn handle(context: &Context) -> Result<Outcome, Error> {
    // All calls together make a future that is too large for a thread's stack.
    let outcome = Box::pin(repair(context)).await;
    outcome.inspect_err(|error| {
        tracing::error!(code = error.code(), error = chain(error), "the repair failed")
    })
}

async fn repair(context: &Context) -> Result<Outcome, Error> {
    let stack = context.settings.stack.as_str();
    let observed = context.stacks.find(stack).await.map_err(Error::of_stack)?;
    let Some(observed) = observed else {
        stop("stack_not_settled", stack, &[], "there is no stack");
        return Ok(Outcome::NotSettled);
    };
    let hindrance = match observed.standing() {
        Standing::Updatable => {
            let is_held = observed.tags.contains_key(HOLD);
            is_held.then(|| format!("stack `{stack}` has the tag `{HOLD}`"))
        }
        Standing::Broken(hint) => Some(format!("stack `{stack}` is {}: {hint}", observed.status)),
        Standing::Absent | Standing::FailedFirst | Standing::Busy => {
            stop("stack_not_settled", stack, &[], &observed.status);
            return Ok(Outcome::NotSettled);
        }
    };
    let gone = look::gone(context, &observed).await?;
    if gone.is_empty() {
        tracing::info!(code = "nothing_gone", stack, "nothing of the stack is gone");
        return Ok(Outcome::NothingGone);
    }
    let free = free(context, gone, hindrance).await?;
    if free.is_empty() {
        return Ok(Outcome::Held);
    }
    let begun = begin(context, &observed, free).await?;
    if begun.is_empty() {
        return Ok(Outcome::Waits);
    }
    change::change(context, &observed, begun).await
}

/// Returns what nobody holds, and tells others of the rest. `hindrance` is what holds everything.
async fn free(
    context: &Context,
    gone: Vec<Gone>,
    hindrance: Option<String>,
) -> Result<Vec<Gone>, Error> {
    let mut free = Vec::new();
    for gone in gone {
        let why = match &hindrance {
            Some(why) => Some(why.clone()),
            None => look::hold(context, &gone).await?,
        };
        match why {
            Some(why) => tell_once(context, &gone, State::Held, &why).await?,
            None => free.push(gone),
        }
    }
    Ok(free)
}

/// Records the beginning of a repair for each resource that may be repaired now, and returns those. If another invocation
/// is at it too, the first resource that both want decides: whoever comes second takes nothing more.
async fn begin(
    context: &Context,
    observed: &Observed,
    gone: Vec<Gone>,
) -> Result<Vec<Gone>, Error> {
    let (stack, now) = (context.settings.stack.as_str(), now());
    let mut begun = Vec::new();
    for mut gone in gone {
        let id = gone.resource.logical_id.as_str();
        let parameter = asked::parameter(id);
        if !observed.parameters.contains_key(&parameter) {
            let why = format!(
                "stack `{stack}` comes from an earlier version and has no parameter `{parameter}`: deploy it again"
            );
            tell_once(context, &gone, State::Refused, &why).await?;
            continue;
        }
        let kept = context.findings.repairs(id).await?;
        let resource = [&gone.resource];
        match kept.history.decide(now) {
            Decision::Begin(history) => {
                let trace = match context.settings.pause.is_zero() {
                    true => Trace::Nothing,
                    false => look::trace(context, &gone).await,
                };
                let brake = brake(&kept.history, &trace, context.settings.pause, now);
                if let Brake::Wait(until) = brake {
                    tell_that_it_waits(context, &gone, &kept, until, &trace).await?;
                    continue;
                }
                gone.cause = trace.cause();
                if !context.findings.keep_repairs(id, &kept, &history, now).await? {
                    stop("repair_taken", stack, &resource, "another invocation repairs it");
                    break;
                }
                begun.push(gone);
            }
            Decision::MayBeAtWork => {
                stop("repair_taken", stack, &resource, "another invocation may be repairing it");
                break;
            }
            Decision::TooSoon => {
                stop(
                    "repair_too_soon",
                    stack,
                    &resource,
                    "the last repair is less than an hour ago",
                );
            }
            Decision::GivenUp => {
                let why = "it is gone again after three repairs within 24 hours";
                tell_once(context, &gone, State::GivenUp, why).await?;
            }
        }
    }
    Ok(begun)
}
