//! `landfall retry`: parked batches back to sealed, due at once. The only command that writes.
//!
//! A batch is written on condition that it is still as it was read, so nothing that somebody else did
//! meanwhile is undone.

use landfall_aws::clock::now;
use landfall_aws::ledger::Left;
use landfall_core::moment::Time;
use serde::Serialize;

use crate::args::batches::RetryArgs;
use crate::ledger::{Connection, connect};
use crate::terminal::consent::{can_ask, is_confirmed};
use crate::terminal::output::{self, Output, Printed, Status};
use crate::terminal::printable;
use crate::{aws, batches, state};

/// What became of a batch that was to be returned.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Returned {
        route: String,
    },
    /// How it stands instead.
    NotParked(&'static str),
    NotFound,
    /// Somebody else wrote it after it was read.
    Changed,
    /// Whether it was written is not known.
    Failed(String),
}

/// Returns the batches that `args` name.
pub fn run(args: &RetryArgs) -> Printed {
    can_ask(args.yes || !args.all_parked, "--all-parked asks before it returns them")?;
    let returned = aws::wait(async {
        let connection = connect(&args.ledger).await?;
        let chosen = if args.all_parked {
            chosen(&connection, args).await?
        } else {
            Some(Chosen { ids: args.ids.clone(), are_all: true })
        };
        let Some(Chosen { ids, are_all }) = chosen else { return Ok(None) };
        let mut outcomes = Vec::new();
        for id in ids {
            let outcome = give_back(&connection, &id, now()).await;
            outcomes.push((id, outcome));
        }
        Ok(Some((outcomes, are_all, connection)))
    })?;
    let Some((outcomes, are_all, connection)) = returned else {
        let stderr = "nothing is returned\n".to_owned();
        return Err(Output { stderr, status: Status::Problems, ..Output::default() });
    };
    let mut output = report(&outcomes, &connection, args.ledger.json);
    if !are_all {
        output.worsen(Status::Problems);
    }
    Ok(output)
}

/// What is to be returned.
struct Chosen {
    ids: Vec<String>,
    /// Of those that were asked for: none was unreadable, and none was not looked at.
    are_all: bool,
}

/// The batches that are parked, if they are to be returned.
async fn chosen(connection: &Connection, args: &RetryArgs) -> anyhow::Result<Option<Chosen>> {
    let parked = connection.ledger.parked(args.route.as_deref()).await;
    let parked = parked.map_err(|error| connection.explained(error))?;
    let are_all = parked.unreadable.is_empty() && parked.left == Left::None;
    for error in parked.unreadable {
        eprintln!("note: {}", printable(&error.to_string()));
    }
    if parked.left != Left::None {
        eprintln!(
            "note: older ones were not looked at, for there are too many: ask again when these are \
             returned"
        );
    }
    let parked = parked.batches;
    if !args.yes && !parked.is_empty() {
        eprint!("{}", batches::rows(&parked, now()));
        let question = match parked.len() {
            1 => "return this batch?".to_owned(),
            more => format!("return these {more} batches?"),
        };
        if !is_confirmed(false, &question)? {
            return Ok(None);
        }
    }
    let ids = parked.into_iter().map(|batch| batch.id).collect();
    Ok(Some(Chosen { ids, are_all }))
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

/// Each batch by itself: one that is not returned hides no other.
fn report(outcomes: &[(String, Outcome)], connection: &Connection, is_json: bool) -> Output {
    let mut output = Output::default();
    let mut entries = Vec::new();
    for (id, outcome) in outcomes {
        let message = printable(&in_words(id, outcome, connection));
        match outcome {
            Outcome::Returned { .. } if is_json => {}
            Outcome::Returned { .. } => output.stdout.push_str(&format!("{message}\n")),
            _ => output.stderr.push_str(&format!("error: {message}\n")),
        }
        output.worsen(match outcome {
            Outcome::Returned { .. } => Status::Success,
            Outcome::NotParked(_) | Outcome::NotFound | Outcome::Changed => Status::Problems,
            Outcome::Failed(_) => Status::Unusable,
        });
        entries.push(OutcomeEntry { id, outcome: outcome.code(), message });
    }
    if is_json {
        output.stdout = output::json(&OutcomeList { batches: entries });
        return output;
    }
    let is_returned = |outcome: &&(String, Outcome)| matches!(outcome.1, Outcome::Returned { .. });
    output.stdout.push_str(match outcomes.iter().filter(is_returned).count() {
        0 if outcomes.is_empty() => "no parked batch was found\n",
        0 => "",
        1 => "the monitor starts it within a minute\n",
        _ => "the monitor starts them within a minute, as far as their jobs' limits admit\n",
    });
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
    /// A stable identifier.
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
