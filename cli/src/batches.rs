//! `landfall batches`: lists batches with their states, newest first.

use std::collections::BTreeMap;

use landfall_aws::clock::now;
use landfall_aws::ledger::{Left, Listing, Wanted};
use landfall_core::batch::Batch;
use landfall_core::moment::Time;
use serde::Serialize;

use crate::args::batches::{BatchesArgs, Selection};
use crate::ledger::connect;
use crate::terminal::output::{self, Output, Printed};
use crate::terminal::phrases::{counted, moment};
use crate::terminal::printable;
use crate::terminal::table::Align::{Left as L, Right as R};
use crate::terminal::table::table;
use crate::{aws, state};

/// The most batches to read in search of matching ones.
const MAX_READ: usize = 20_000;

/// The length limit of a group in the table. `--json` and `landfall batch` show the whole group.
const MAX_GROUP_CHARS: usize = 48;

/// Lists the batches that `args` select.
pub fn run(args: &BatchesArgs) -> Printed {
    let now = now();
    let selection = args.selection(now);
    let (listing, connection) = aws::wait(async {
        let connection = connect(&args.ledger).await?;
        let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
        let route = args.route.as_deref();
        let is_wanted = |batch: &Batch| {
            args.state.is_empty() || args.state.iter().any(|name| name.names(&batch.state))
        };
        let is_former = |batch: &Batch| {
            batch.is_former() && route.is_none_or(|route| *route == batch.route) && is_wanted(batch)
        };
        let first = |listing| first(listing, limit);
        let ledger = &connection.ledger;
        let listing = match selection {
            Selection::Since(since) => {
                let wanted = Wanted { route, since, limit, most_read: MAX_READ };
                ledger.batches(&wanted, is_wanted).await
            }
            Selection::Parked => ledger.parked(route).await.map(first),
            Selection::Former => ledger.unfinished(is_former).await.map(first),
        };
        let listing = listing.map_err(|error| connection.explained(error))?;
        Ok((listing, connection))
    })?;
    let mut output = Output::success(if args.ledger.json {
        document(&listing, selection)
    } else {
        text(&listing, selection, now)
    });
    for error in listing.unreadable {
        output.error(&connection.explained(error));
    }
    Ok(output)
}

/// Keeps the newest batches of a list, at most `limit`.
fn first(mut listing: Listing, limit: usize) -> Listing {
    if listing.batches.len() > limit {
        listing.batches.truncate(limit);
        listing.left = listing.left.max(Left::Older);
    }
    listing
}

/// Returns the list as a table, and below it what the list leaves out.
fn text(listing: &Listing, selection: Selection, now: Time) -> String {
    let Listing { batches, left, .. } = listing;
    let mut out = if batches.is_empty() { String::new() } else { rows(batches, now) + "\n" };
    let count = batches.len();
    out.push_str(&match selection {
        Selection::Since(since) if count == 0 => {
            format!("no matching batch was opened since {}\n", moment(since, now))
        }
        Selection::Since(since) => {
            let states = by_state(batches);
            let states: Vec<String> =
                states.iter().map(|(state, count)| format!("{count} {state}")).collect();
            let (batches, since) = (counted(count, "batch"), moment(since, now));
            format!("{batches} opened since {since}: {}\n", states.join(", "))
        }
        Selection::Parked if count == 0 => "no matching batch is parked\n".to_owned(),
        Selection::Parked => format!("{}, however old\n", counted(count, "parked batch")),
        Selection::Former if count == 0 => {
            "no matching batch of the previous version is unfinished\n".to_owned()
        }
        Selection::Former => {
            format!("{} of the previous version\n", counted(count, "unfinished batch"))
        }
    });
    out.push_str(match (left, selection) {
        (Left::None, _) => "",
        (Left::Older, Selection::Since(_) | Selection::Former) => {
            "there are more, all of them older: raise --limit, or filter by --route or --state\n"
        }
        (Left::Older, Selection::Parked) => {
            "there are more, all of them older: raise --limit, or filter by --route\n"
        }
        (Left::Unread, Selection::Since(_) | Selection::Former) => {
            "there are too many batches to read the older ones: filter by --route, or set a later --since\n"
        }
        (Left::Unread, Selection::Parked) => {
            "there are too many batches to read the older ones: filter by --route together with --since\n"
        }
        // A route filters what is read, not what is searched.
        (Left::Any, Selection::Former) => {
            "too many batches are unfinished to read all of them: try again later\n"
        }
        (Left::Any, _) => "there are too many batches to read all of them: filter by --route\n",
    });
    out
}

/// Returns a row for each batch, under headings.
pub fn rows(batches: &[Batch], now: Time) -> String {
    let rows: Vec<_> = batches.iter().map(|batch| row(batch, now)).collect();
    let columns = [
        ("OPENED", L),
        ("ROUTE", L),
        ("GROUP", L),
        ("STATE", L),
        ("OBJECTS", R),
        ("RUN, OR WAITS FOR", L),
        ("ID", L),
    ];
    table(columns, &rows)
}

fn row(batch: &Batch, now: Time) -> [String; 7] {
    [
        batch.opened_at.to_string(),
        printable(&batch.route),
        cut(&group(batch)),
        batch.state.name().to_owned(),
        batch.members.to_string(),
        state::in_short(&batch.state, now),
        printable(&batch.id),
    ]
}

/// Returns a batch's group, such as `dt=2026-01-31`; `-` if its route has no groups.
pub fn group(batch: &Batch) -> String {
    let values = batch.group.iter().map(|(name, value)| format!("{name}={}", printable(value)));
    if batch.group.is_empty() { "-".to_owned() } else { values.collect::<Vec<_>>().join(",") }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_GROUP_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn by_state(batches: &[Batch]) -> BTreeMap<&'static str, usize> {
    batches.iter().fold(BTreeMap::new(), |mut counts, batch| {
        *counts.entry(batch.state.name()).or_default() += 1;
        counts
    })
}

#[derive(Serialize)]
struct BatchList<'a> {
    /// `null` if the list covers all parked batches, or all of the previous version.
    since: Option<String>,
    batches: Vec<BatchEntry<'a>>,
    counts: BTreeMap<&'static str, usize>,
    /// What the list leaves out: `none`, `older`, `unread` or `any`.
    left: &'static str,
}

#[derive(Serialize)]
struct BatchEntry<'a> {
    id: &'a str,
    opened_at: String,
    route: &'a str,
    group: &'a BTreeMap<String, String>,
    state: &'static str,
    arrivals: u64,
    run_id: Option<&'a str>,
    due_at: Option<String>,
    parked_for: Option<&'static str>,
    claim: &'static str,
    /// Whether a run claimed the batch; `null` until it has succeeded.
    claimed: Option<bool>,
}

fn document(listing: &Listing, selection: Selection) -> String {
    let Listing { batches, left, .. } = listing;
    let since = match selection {
        Selection::Since(since) => Some(since),
        Selection::Parked | Selection::Former => None,
    };
    output::json(&BatchList {
        since: since.map(|since| since.to_string()),
        batches: batches.iter().map(entry).collect(),
        counts: by_state(batches),
        left: match left {
            Left::None => "none",
            Left::Older => "older",
            Left::Unread => "unread",
            Left::Any => "any",
        },
    })
}

fn entry(batch: &Batch) -> BatchEntry<'_> {
    BatchEntry {
        id: &batch.id,
        opened_at: batch.opened_at.to_string(),
        route: &batch.route,
        group: &batch.group,
        state: batch.state.name(),
        arrivals: batch.members,
        run_id: state::run_id(&batch.state),
        due_at: batch.due().map(|due| due.to_string()),
        parked_for: state::parked_for(&batch.state),
        claim: batch.start.claim.as_str(),
        claimed: state::claimed(&batch.state),
    }
}

#[cfg(test)]
mod tests;
