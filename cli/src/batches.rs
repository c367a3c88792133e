//! `landfall batches`: lists batches with their states, newest first.

use std::collections::BTreeMap;
use std::io;

use landfall_aws::clock::now;
use landfall_aws::ledger::{Left, Listing, Wanted};
use landfall_core::batch::Batch;
use landfall_core::moment::Time;
use serde::Serialize;

use crate::args::batches::{BatchesArgs, Selection};
use crate::ledger::{Connection, connect};
use crate::terminal::output::{self, Output, Printed};
use crate::terminal::phrases::{counted, moment};
use crate::terminal::table::Align::{Left as L, Right as R};
use crate::terminal::table::{cut, fitted, table};
use crate::terminal::{printable, width};
use crate::{aws, state};

/// The most batches to read in search of matching ones.
const MAX_READ: usize = 20_000;

/// The most columns of a group in the table. `--format json` and `landfall batch` show the whole group.
const MAX_GROUP: usize = 49;

/// Lists the batches that `args` select.
pub fn run(args: &BatchesArgs) -> Printed {
    let now = now();
    let selection = args.selection(now);
    let (listing, connection) = aws::wait(async {
        let connection = connect(&args.ledger).await?;
        Ok((see(&connection, args, selection).await?, connection))
    })?;
    let mut output = Output::success(if args.ledger.output.is_json() {
        document(&listing, selection)
    } else {
        text(&listing, selection, now, width(io::stdout()))
    });
    for error in listing.unreadable {
        output.error(&connection.explained(error));
    }
    Ok(output)
}

/// Reads the batches that `args` select.
pub async fn see(
    connection: &Connection,
    args: &BatchesArgs,
    selection: Selection,
) -> anyhow::Result<Listing> {
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
    listing.map_err(|error| connection.explained(error))
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
fn text(listing: &Listing, selection: Selection, now: Time, width: Option<usize>) -> String {
    let Listing { batches, left, .. } = listing;
    let out = if batches.is_empty() { String::new() } else { rows(batches, now, width) + "\n" };
    out + &summary(batches, *left, selection, now)
}

/// Says what the list covers and what it leaves out.
pub fn summary(batches: &[Batch], left: Left, selection: Selection, now: Time) -> String {
    let count = batches.len();
    let mut out = match selection {
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
    };
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

/// Returns a row for each batch, under headings. If a terminal has too few columns, cells are cut, and in a narrow one
/// each ID, which has to stay whole, gets a line of its own.
pub fn rows(batches: &[Batch], now: Time, width: Option<usize>) -> String {
    let rows: Vec<_> = batches.iter().map(|batch| row(batch, now)).collect();
    let [opened, route, group, state, objects, waits] = [
        ("OPENED", L),
        ("ROUTE", L),
        ("GROUP", L),
        ("STATE", L),
        ("OBJECTS", R),
        ("RUN, OR WAITS FOR", L),
    ];
    let least = [None, Some(8), Some(10), None, None, Some(17)];
    let whole = [opened, route, group, state, objects, waits, ("ID", L)];
    let Some(width) = width else { return table(whole, &rows) };
    let [a, b, c, d, e, f] = least;
    if let Some(rows) = fitted(whole, [a, b, c, d, e, f, None], rows.clone(), width) {
        return table(whole, &rows);
    }
    let columns = [opened, route, group, state, objects, waits];
    let (rows, ids): (Vec<_>, Vec<_>) =
        rows.into_iter().map(|[a, b, c, d, e, f, id]| ([a, b, c, d, e, f], id)).unzip();
    // Nothing is left to cut in a terminal that is narrower still.
    let rows = fitted(columns, least, rows.clone(), width).unwrap_or(rows);
    let table = table(columns, &rows);
    let (heading, rows) = table.split_once('\n').unwrap_or((&table, ""));
    let rows = rows.lines().zip(ids).map(|(row, id)| format!("{row}\n  {id}\n"));
    format!("{heading}\n{}", rows.collect::<String>())
}

fn row(batch: &Batch, now: Time) -> [String; 7] {
    [
        batch.opened_at.to_string(),
        printable(&batch.route),
        cut(&group(batch), MAX_GROUP),
        batch.state.name().to_owned(),
        batch.members.to_string(),
        state::in_short(batch, now),
        printable(&batch.id),
    ]
}

/// Returns a batch's group, such as `dt=2026-01-31`; `-` if its route has no groups.
pub fn group(batch: &Batch) -> String {
    let values = batch.group.iter().map(|(name, value)| format!("{name}={}", printable(value)));
    if batch.group.is_empty() { "-".to_owned() } else { values.collect::<Vec<_>>().join(",") }
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
    /// The code of what has put off the start; `null` if nothing has.
    waits_for: Option<&'a str>,
    parked_for: Option<&'static str>,
    claim: &'static str,
    /// Whether a run claimed the batch; `null` until it has succeeded.
    claimed: Option<bool>,
}

/// Returns the JSON document.
pub fn document(listing: &Listing, selection: Selection) -> String {
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
        waits_for: state::put_off_for(batch),
        parked_for: state::parked_for(&batch.state),
        claim: batch.start.claim.as_str(),
        claimed: state::claimed(&batch.state),
    }
}

#[cfg(test)]
mod tests;
