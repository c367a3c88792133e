//! `landfall retry`: returns parked batches, so that they are sealed and due at once.
//!
//! It writes a batch only if the batch is still as it was read, so it undoes nothing that happened meanwhile.

use std::io;

use landfall_aws::clock::now;
use landfall_aws::ledger::Left;
use landfall_core::batch::Batch;
use landfall_core::moment::Time;
use serde::Serialize;

use crate::args::batches::RetryArgs;
use crate::ledger::{Connection, connect};
use crate::monitor::Monitor;
use crate::terminal::consent::{can_ask, confirm};
use crate::terminal::output::{self, Output, Printed, Status};
use crate::terminal::phrases::counted;
use crate::terminal::{printable, width};
use crate::{aws, batches, state};

/// What became of a batch that the command tried to return.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Returned {
        route: String,
    },
    /// The batch is in another state.
    NotParked(&'static str),
    NotFound,
    /// Something else wrote the batch after it was read.
    Changed,
    /// A call failed, so it is unknown whether the batch was returned.
    Failed(String),
}

/// Returns the batches that `args` name.
pub fn run(args: &RetryArgs) -> Printed {
    can_ask(args.yes || !args.all_parked, "--all-parked asks before it returns batches")?;
    let output = aws::wait(async {
        let connection = connect(&args.ledger).await?;
        if !args.all_parked {
            return Ok(give_back_by_id(&connection, &args.ids, args.ledger.output.is_json()).await);
        }
        let (parked, are_all) = parked(&connection, args.route.as_deref()).await?;
        let mut output =
            give_all_back(&connection, &parked, args.yes, args.ledger.output.is_json()).await?;
        if !are_all {
            output.worsen(Status::Problems);
        }
        Ok(output)
    })?;
    Ok(output)
}

/// Returns the parked batches of this route or of all routes, the newest first, and `true` if these are all of them: none
/// was unreadable, and none was left out.
pub async fn parked(
    connection: &Connection,
    route: Option<&str>,
) -> anyhow::Result<(Vec<Batch>, bool)> {
    let parked = connection.ledger.parked(route).await;
    let parked = parked.map_err(|error| connection.explained(error))?;
    let are_all = parked.unreadable.is_empty() && parked.left == Left::None;
    for error in parked.unreadable {
        eprintln!("note: {}", printable(&error.to_string()));
    }
    if parked.left != Left::None {
        eprintln!(
            "note: there are too many parked batches to read the older ones: once these are returned, \
             run the command again"
        );
    }
    Ok((parked.batches, are_all))
}

/// Returns these parked batches, and reports on each. Asks first, unless `yes`.
pub async fn give_all_back(
    connection: &Connection,
    parked: &[Batch],
    yes: bool,
    is_json: bool,
) -> anyhow::Result<Output> {
    if !yes && !parked.is_empty() {
        eprint!("{}", batches::rows(parked, now(), width(io::stderr())));
        confirm(false, &format!("return {}?", counted(parked.len(), "batch")))?;
    }
    let ids: Vec<String> = parked.iter().map(|batch| batch.id.clone()).collect();
    Ok(give_back_by_id(connection, &ids, is_json).await)
}

async fn give_back_by_id(connection: &Connection, ids: &[String], is_json: bool) -> Output {
    let mut outcomes = Vec::new();
    for id in ids {
        let outcome = give_back(connection, id, now()).await;
        outcomes.push((id.clone(), outcome));
    }
    let is_returned = outcomes.iter().any(|(_, outcome)| outcome.is_returned());
    let monitor = match is_returned && !is_json {
        true => Monitor::look(connection).await,
        false => Monitor::NotKnown,
    };
    report(&outcomes, connection, &monitor, is_json)
}

async fn give_back(connection: &Connection, id: &str, now: Time) -> Outcome {
    let failed = |error| Outcome::Failed(format!("{:#}", connection.explained(error)));
    let batch = match connection.ledger.batch(id).await {
        Ok(Some(batch)) => batch,
        Ok(None) => return Outcome::NotFound,
        Err(error) => return failed(error),
    };
    let Some(returned) = batch.returned(now) else {
        return Outcome::NotParked(state::standing(&batch.state));
    };
    match connection.ledger.write(returned).await {
        Ok(Some(batch)) => Outcome::Returned { route: batch.route },
        Ok(None) => Outcome::Changed,
        Err(error) => failed(error),
    }
}

#[derive(Serialize)]
struct OutcomeList<'a> {
    batches: Vec<OutcomeEntry<'a>>,
}

#[derive(Serialize)]
struct OutcomeEntry<'a> {
    id: &'a str,
    /// `returned`, `not_parked`, `not_found`, `changed` or `failed`.
    outcome: &'static str,
    message: String,
}

/// Reports each batch separately, so that a failure hides no other batch.
fn report(
    outcomes: &[(String, Outcome)],
    connection: &Connection,
    monitor: &Monitor,
    is_json: bool,
) -> Output {
    let mut output = Output::default();
    let mut entries = Vec::new();
    for (id, outcome) in outcomes {
        let message = printable(&in_words(id, outcome, connection));
        match outcome {
            Outcome::Returned { .. } if is_json => {}
            Outcome::Returned { .. } => output.stdout.push_str(&format!("{message}\n")),
            Outcome::Failed(_) => output.fail(&message, Status::Unusable),
            Outcome::NotParked(_) | Outcome::NotFound | Outcome::Changed => {
                output.fail(&message, Status::Problems);
            }
        }
        entries.push(OutcomeEntry { id, outcome: outcome.code(), message });
    }
    if is_json {
        output.stdout = output::json(&OutcomeList { batches: entries });
        return output;
    }
    let when = match monitor {
        Monitor::Ticks => "at its next tick, usually within a minute",
        Monitor::Silent(_) | Monitor::NotKnown => "at its next tick",
    };
    let returned = outcomes.iter().filter(|(_, outcome)| outcome.is_returned()).count();
    output.stdout.push_str(&match returned {
        0 if outcomes.is_empty() => "no parked batch was found\n".to_owned(),
        0 => String::new(),
        1 => format!("the monitor starts it {when}\n"),
        _ => format!("the monitor starts them {when}, as far as their jobs' limits allow\n"),
    });
    if let Some(doubt) = monitor.doubt() {
        output.stdout.push_str(&format!("{doubt}\n"));
    }
    output
}

fn in_words(id: &str, outcome: &Outcome, connection: &Connection) -> String {
    match outcome {
        Outcome::Returned { route } => format!("batch `{id}` of route `{route}` is returned"),
        Outcome::NotParked(standing) => {
            format!("batch `{id}` {standing}: only one that is parked can be returned")
        }
        Outcome::NotFound => connection.no_batch(id),
        Outcome::Changed => format!(
            "batch `{id}` was changed by somebody else meanwhile, and is not returned: \
             `landfall batch {id}` tells how it stands"
        ),
        Outcome::Failed(error) => format!(
            "batch `{id}`: {error}; `landfall batch {id}` tells whether it was returned all the same"
        ),
    }
}

impl Outcome {
    fn is_returned(&self) -> bool {
        matches!(self, Self::Returned { .. })
    }

    /// Returns the outcome's stable identifier.
    fn code(&self) -> &'static str {
        match self {
            Self::Returned { .. } => "returned",
            Self::NotParked(_) => "not_parked",
            Self::NotFound => "not_found",
            Self::Changed => "changed",
            Self::Failed(_) => "failed",
        }
    }
}
