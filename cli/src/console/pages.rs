//! The pages. They show what the commands look up, in the commands' own words.

use landfall_aws::ledger::Listing;
use landfall_core::batch::Batch;
use landfall_core::moment::Time;
use landfall_core::shell;
use maud::{DOCTYPE, Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::args::batches::Selection;
use crate::batch::BatchDetails;
use crate::batch::logs::console;
use crate::find::{Seen, Version};
use crate::monitor::Monitor;
use crate::terminal::phrases::{moment, size};
use crate::terminal::printable;
use crate::{batches, state};

/// A whole page. One that `is_live` looks again by itself.
pub fn page(title: &str, is_live: bool, json: Option<&str>, content: &Markup) -> Markup {
    let title = printable(title);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Landfall" }
                link rel="stylesheet" href="/console.css";
                script src="/console.js" defer {}
            }
            body {
                header {
                    a href="/" { "Landfall" }
                    nav aria-label="Lists" {
                        a href="/batches" { "Batches" } " "
                        a href="/parked" { "Parked" }
                    }
                    form action="/search" role="search" {
                        input name="q" aria-label="An object or a batch" required
                            placeholder="s3://bucket/key, or a batch's ID";
                        button { "Find" }
                    }
                }
                main data-live[is_live] {
                    h1 { (title) }
                    (content)
                    @if let Some(json) = json { p { a href=(json) { "The same as JSON" } } }
                }
            }
        }
    }
}

pub fn home(place: &str) -> Markup {
    html! {
        p { "Write an object as " code { "s3://bucket/key" } ", or a batch's ID, above." }
        p.quiet { "This console only shows. It reads " (place) "." }
    }
}

/// What the commands say on standard error.
pub fn problems(text: &str) -> Markup {
    html! { @for line in text.lines() { p.problem { (line) } } }
}

pub fn object(seen: &Seen, absence: Option<&str>, now: Time, monitor: &Monitor) -> Markup {
    html! {
        @if let Some(absence) = absence {
            p { "The ledger has no arrival of this object." }
            pre { (absence) }
        }
        @for version in &seen.versions.versions { (arrival(version, now, monitor)) }
        @if seen.versions.more > 0 { p.quiet { "Older arrivals: " (seen.versions.more) } }
    }
}

fn arrival(version: &Version, now: Time, monitor: &Monitor) -> Markup {
    let Version { found, batch, problem, .. } = version;
    let id = &found.batch;
    html! {
        section {
            h2 { "Route " (printable(&found.route)) " took it " (moment(found.recorded_at, now)) (version.about()) }
            @if let Some(problem) = problem { p.problem { (printable(problem)) } }
            @match batch {
                Some(batch) => {
                    p { "It is in batch " (link(id)) ", which " (state::standing(&batch.state)) "." }
                    (words(batch, now, monitor))
                    (timeline(batch, now))
                }
                None if problem.is_none() => p { "Its batch " (printable(id)) " was done and left the ledger." },
                None => {}
            }
        }
    }
}

fn words(batch: &Batch, now: Time, monitor: &Monitor) -> Markup {
    html! {
        @for sentence in state::in_words(batch, now, monitor) { p { (sentence) } }
        @if state::parked_for(&batch.state).is_some() {
            p { "Once the cause is gone, run " code { "landfall retry " (shell::word(&batch.id)) } }
        }
    }
}

fn timeline(batch: &Batch, now: Time) -> Markup {
    html! {
        ol aria-label="What happened" {
            @for entry in &batch.history {
                li {
                    strong { (printable(entry.what.as_str())) } " " span.quiet { (moment(entry.at, now)) }
                    @if entry.times > 1 { " " (entry.times) " times" }
                    @if !entry.detail.is_empty() { br; (printable(&entry.detail)) }
                }
            }
        }
    }
}

pub fn batch(details: &BatchDetails, now: Time, monitor: &Monitor) -> Markup {
    let BatchDetails { batch, members, outcome } = details;
    let start = &batch.start;
    html! {
        p { "Route " (printable(&batch.route)) ", group " (batches::group(batch)) ", "
            (batch.members) " arrivals. The batch " (state::standing(&batch.state)) "." }
        (words(batch, now, monitor))
        @if let Some(outcome) = outcome { p { "The job reported: " (printable(&outcome.outcome)) } }
        h2 { "What happened" }
        (timeline(batch, now))
        @if !batch.runs.is_empty() {
            h2 { "Job runs" }
            ol {
                @for run in &batch.runs {
                    li {
                        @match console(&start.region, &start.job, &run.run_id) {
                            Some(url) => a href=(url) rel="noreferrer" target="_blank" { (printable(&run.run_id)) },
                            None => (printable(&run.run_id)),
                        }
                        " (epoch " (run.epoch) ")"
                        @if let Some(state) = &run.state { " " (printable(state.as_str())) }
                        @if let Some(error) = &run.error { p.problem { (printable(error)) } }
                    }
                }
            }
        }
        @if let Some(members) = members {
            h2 { "Objects" }
            div.wide { table {
                thead { tr { th scope="col" { "Object" } th scope="col" { "Version" } th scope="col" { "Size" } } }
                tbody { @for member in members {
                    @let uri = format!("s3://{}/{}", batch.bucket, member.key);
                    tr {
                        td { a href={ "/object?uri=" (encoded(&uri)) } { (printable(&uri)) } }
                        td { (printable(member.version_id.as_deref().unwrap_or("-"))) }
                        td { (size(member.size)) }
                    }
                } }
            } }
            @if batch.members > members.len() as u64 {
                p.quiet { "These are the first " (members.len()) ". The rest: "
                    code { "landfall batch --members " (shell::word(&batch.id)) } }
            }
        }
    }
}

pub fn list(listing: &Listing, selection: Selection, now: Time) -> Markup {
    html! {
        p { (batches::summary(&listing.batches, listing.left, selection, now)) }
        @if !listing.batches.is_empty() {
            div.wide { table {
                thead { tr {
                    @for name in ["Opened", "Route", "Group", "State", "Arrivals", "Run, or waits for", "Batch"] {
                        th scope="col" { (name) }
                    }
                } }
                tbody { @for batch in &listing.batches { tr {
                    td { (batch.opened_at.to_string()) }
                    td { (printable(&batch.route)) }
                    td { (batches::group(batch)) }
                    td { (batch.state.name()) }
                    td { (batch.members) }
                    td { (state::in_short(batch, now)) }
                    td { (link(&batch.id)) }
                } } }
            } }
        }
    }
}

fn link(id: &str) -> Markup {
    html! { a href={ "/batch/" (encoded(id)) } { (printable(id)) } }
}

/// Encodes a part of a URL.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
