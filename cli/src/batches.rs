//! `landfall batches`: where the batches stand, the newest first.

use std::collections::BTreeMap;

use landfall_aws::clock::now;
use landfall_aws::ledger::{Left, Listing, Wanted};
use landfall_core::batch::Batch;
use landfall_core::moment::Time;
use serde::Serialize;

use crate::args::batches::{BatchesArgs, Selection};
use crate::ledger::connect;
use crate::terminal::output::{self, Output, Printed};
use crate::terminal::phrases::moment;
use crate::terminal::printable;
use crate::terminal::table::Align::{Left as L, Right as R};
use crate::terminal::table::table;
use crate::{aws, state};

/// The most batches that are read to find those that are asked for.
const MAX_READ: usize = 20_000;

/// A group's longer values are cut; `--json` and `landfall batch` have all of them.
const MAX_GROUP_CHARS: usize = 48;

/// Lists what `args` ask for.
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

/// The newest of a list, so many at most.
fn first(mut listing: Listing, limit: usize) -> Listing {
    if listing.batches.len() > limit {
        listing.batches.truncate(limit);
        listing.left = listing.left.max(Left::Older);
    }
    listing
}

/// The list, and what it does not have.
fn text(listing: &Listing, selection: Selection, now: Time) -> String {
    let Listing { batches, left, .. } = listing;
    let mut out = if batches.is_empty() { String::new() } else { rows(batches, now) + "\n" };
    out.push_str(&match selection {
        Selection::Since(since) => counted(batches, &moment(since, now)),
        Selection::Parked => match batches.len() {
            0 => "no such batch is parked\n".to_owned(),
            1 => "1 parked batch, however old\n".to_owned(),
            more => format!("{more} parked batches, however old\n"),
        },
        Selection::Former => match batches.len() {
            0 => "no such batch of the version before is unfinished\n".to_owned(),
            1 => "1 unfinished batch of the version before\n".to_owned(),
            more => format!("{more} unfinished batches of the version before\n"),
        },
    });
    out.push_str(match (left, selection) {
        (Left::None, _) => "",
        (Left::Older, Selection::Since(_) | Selection::Former) => {
            "there are more, all older: raise --limit, or choose by --route or --state\n"
        }
        (Left::Older, Selection::Parked) => {
            "there are more, all older: raise --limit, or choose by --route\n"
        }
        (Left::Unread, Selection::Since(_) | Selection::Former) => {
            "older ones were not looked at, for there are too many: choose by --route, or a later --since\n"
        }
        (Left::Unread, Selection::Parked) => {
            "older ones were not looked at, for there are too many: choose by --route together with --since\n"
        }
        // To choose by a route leaves out what is read, not what is looked through.
        (Left::Any, Selection::Former) => {
            "not all could be looked at, for too many batches are unfinished: ask again later\n"
        }
        (Left::Any, _) => "not all could be looked at, for there are too many: choose by --route\n",
    });
    out
}

/// How many there are of each state, since then.
fn counted(batches: &[Batch], since: &str) -> String {
    let counts: Vec<String> =
        by_state(batches).iter().map(|(state, count)| format!("{count} {state}")).collect();
    match batches.len() {
        0 => format!("no such batch was opened since {since}\n"),
        1 => format!("1 batch opened since {since}: {}\n", counts.join(", ")),
        more => format!("{more} batches opened since {since}: {}\n", counts.join(", ")),
    }
}

/// A row for each batch, under headings.
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

/// `dt=2026-01-31`; `-` for the one group of a route that has no others.
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
    /// Null where the list is that of all parked batches, or of all of the version before.
    since: Option<String>,
    batches: Vec<BatchEntry<'a>>,
    counts: BTreeMap<&'static str, usize>,
    /// What is not listed: `none`, `older`, `unread` or `any`.
    left: &'static str,
}

/// A batch in a list.
#[derive(Serialize)]
pub struct BatchEntry<'a> {
    id: &'a str,
    opened_at: String,
    route: &'a str,
    group: &'a BTreeMap<String, String>,
    state: &'static str,
    arrivals: u64,
    run_id: Option<&'a str>,
    due_at: Option<String>,
    parked_for: Option<&'static str>,
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
    }
}

#[cfg(test)]
mod tests;
