//! `landfall console`: what became of your files, as pages for a browser on this machine.
//!
//! It only reads, and looks through the same functions as `find`, `batch` and `batches`. `guard` decides who may see a
//! page, and `pages` writes them. The JSON of a page is what the command prints.

mod guard;
mod pages;

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Router, serve};
use landfall_aws::clock::now;
use landfall_core::batch::BatchId;
use maud::Markup;
use serde::Deserialize;
use tokio::net::TcpListener;

use self::guard::{Guard, Verdict};
use crate::args::batches::{BatchArgs, BatchesArgs, FindArgs, StateName};
use crate::args::console::ConsoleArgs;
use crate::ledger::{Connection, connect};
use crate::terminal::output::{self, Output, Printed};
use crate::terminal::progress::show;
use crate::{aws, batch, batches, find, input, state};

/// How long a console waits for somebody to open a page.
const IDLE: Duration = Duration::from_secs(8 * 3_600);

/// Nothing but the console's own files, and no frame around it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

struct Console {
    connection: Connection,
    args: crate::args::batches::LedgerArgs,
    guard: Guard,
    /// When somebody last opened a page.
    used: Mutex<Instant>,
}

type Shared = State<Arc<Console>>;

/// Serves the pages until nobody wants them any more.
pub fn run(args: &ConsoleArgs) -> Printed {
    aws::wait(async {
        let connection = connect(&args.ledger).await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).await;
        let listener =
            listener.with_context(|| format!("failed to listen on port {}", args.port))?;
        let guard = Guard::new(listener.local_addr().context("failed to learn the port")?.port())?;
        show(&match args.ledger.output.is_json() {
            true => output::json(&serde_json::json!({ "address": guard.address() })),
            false => {
                format!("{}\nopen this address in your browser; Ctrl-C ends\n", guard.address())
            }
        });
        let used = Mutex::new(Instant::now());
        let console = Arc::new(Console { connection, args: args.ledger.clone(), guard, used });
        tokio::select! {
            ended = async { serve(listener, router(console.clone())).await } => ended.context("failed to serve pages")?,
            () = console.idle() => {}
        }
        Ok(())
    })?;
    Ok(Output::done("nobody opened a page for 8 hours, so the console has ended\n"))
}

fn router(console: Arc<Console>) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/search", get(search))
        .route("/object", get(object))
        .route("/object.json", get(object_json))
        .route("/batch/{id}", get(batch_page))
        .route("/batches", get(async |state: Shared| list(state, Vec::new(), false).await))
        .route("/batches.json", get(async |state: Shared| list(state, Vec::new(), true).await))
        .route(
            "/parked",
            get(async |state: Shared| list(state, vec![StateName::Parked], false).await),
        )
        .route(
            "/parked.json",
            get(async |state: Shared| list(state, vec![StateName::Parked], true).await),
        )
        .route(
            "/console.css",
            get(|| file("text/css; charset=utf-8", include_str!("console/console.css"))),
        )
        .route(
            "/console.js",
            get(|| file("text/javascript; charset=utf-8", include_str!("console/console.js"))),
        )
        .fallback(async || refused(StatusCode::NOT_FOUND, "There is no such page."))
        .layer(middleware::from_fn_with_state(console.clone(), guarded))
        .with_state(console)
}

impl Console {
    /// Waits until nobody has opened a page for long.
    async fn idle(&self) {
        loop {
            let used = *self.used.lock().unwrap_or_else(PoisonError::into_inner);
            let left = IDLE.saturating_sub(used.elapsed());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}

async fn guarded(State(console): Shared, request: Request, next: Next) -> Response {
    let mut response = match console.guard.judge(request.method(), request.uri(), request.headers())
    {
        Verdict::Serve => {
            // A page that looks again by itself shows nobody's presence.
            if !request.headers().contains_key("landfall-refresh") {
                *console.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            }
            next.run(request).await
        }
        Verdict::Admit(cookie) => {
            ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
        }
        Verdict::Refuse(status, why) => refused(status, why),
    };
    harden(response.headers_mut());
    response
}

fn harden(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn refused(status: StatusCode, why: &'static str) -> Response {
    (status, format!("{why}\n")).into_response()
}

async fn file(kind: &'static str, content: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], content).into_response()
}

fn page(status: StatusCode, markup: Markup) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    (status, kind, markup.into_string()).into_response()
}

fn json(document: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document).into_response()
}

/// A page that says what failed, in the words of the command.
fn failed(error: &anyhow::Error, status: StatusCode) -> Response {
    let mut output = Output::default();
    output.error(error);
    page(status, pages::page("This can't be shown", false, None, &pages::problems(&output.stderr)))
}

async fn home(State(console): Shared) -> Response {
    let content = pages::home(&console.connection.place());
    page(StatusCode::OK, pages::page("What became of my file?", false, None, &content))
}

#[derive(Deserialize)]
struct Searched {
    q: String,
}

async fn search(Query(Searched { q }): Query<Searched>) -> Response {
    let text = q.trim();
    if BatchId::parse(text).is_some() {
        return Redirect::to(&format!("/batch/{}", pages::encoded(text))).into_response();
    }
    // A key can begin or end with a space.
    let uri = if input::object(&q).is_ok() { &q } else { text };
    Redirect::to(&format!("/object?uri={}", pages::encoded(uri))).into_response()
}

#[derive(Deserialize)]
struct Named {
    uri: String,
}

impl Named {
    fn args(self, console: &Console) -> FindArgs {
        FindArgs {
            uri: self.uri,
            routes: None,
            limit: 20,
            watch: None,
            ledger: console.args.clone(),
        }
    }
}

async fn object(State(console): Shared, Query(named): Query<Named>) -> Response {
    let args = named.args(&console);
    let object = match input::object(&args.uri) {
        Ok(object) => object,
        Err(error) => return failed(&error, StatusCode::BAD_REQUEST),
    };
    let seen = match find::see(&console.connection, &args, object, None).await {
        Ok(seen) => seen,
        Err(error) => return failed(&error, StatusCode::BAD_GATEWAY),
    };
    let monitor = seen.monitor(&console.connection).await;
    let absence = seen.absence(&args);
    let content = pages::object(&seen, absence.as_deref(), now(), &monitor);
    let twin = format!("/object.json?uri={}", pages::encoded(&args.uri));
    page(StatusCode::OK, pages::page(&args.uri, !seen.is_settled(), Some(&twin), &content))
}

async fn object_json(State(console): Shared, Query(named): Query<Named>) -> Response {
    let args = named.args(&console);
    let object = match input::object(&args.uri) {
        Ok(object) => object,
        Err(error) => return failed(&error, StatusCode::BAD_REQUEST),
    };
    match find::see(&console.connection, &args, object, None).await {
        Ok(seen) => json(seen.document()),
        Err(error) => failed(&error, StatusCode::BAD_GATEWAY),
    }
}

async fn batch_page(State(console): Shared, Path(id): Path<String>) -> Response {
    let (id, is_json) = match id.strip_suffix(".json") {
        Some(id) => (id.to_owned(), true),
        None => (id, false),
    };
    if BatchId::parse(&id).is_none() {
        return failed(&anyhow!("`{id}` is no batch's ID"), StatusCode::BAD_REQUEST);
    }
    let args = BatchArgs { id, members: false, watch: None, ledger: console.args.clone() };
    let mut said = Output::default();
    let details = match batch::see(&console.connection, &args, &mut said).await {
        Ok(Some(details)) => details,
        Ok(None) => {
            let content = pages::problems(&said.stderr);
            return page(
                StatusCode::NOT_FOUND,
                pages::page("No such batch", false, None, &content),
            );
        }
        Err(error) => return failed(&error, StatusCode::BAD_GATEWAY),
    };
    if is_json {
        return json(details.document());
    }
    let monitor = details.monitor(&console.connection).await;
    let content =
        maud::html! { (pages::problems(&said.stderr)) (pages::batch(&details, now(), &monitor)) };
    let (title, twin) = (format!("Batch {}", args.id), format!("/batch/{}.json", args.id));
    let is_live = !state::is_settled(&details.batch.state);
    page(StatusCode::OK, pages::page(&title, is_live, Some(&twin), &content))
}

async fn list(State(console): Shared, state: Vec<StateName>, is_json: bool) -> Response {
    let (title, twin) = match state.as_slice() {
        [] => ("Batches", "/batches.json"),
        [..] => ("Parked batches", "/parked.json"),
    };
    let ledger = console.args.clone();
    let args = BatchesArgs { route: None, state, since: None, former: false, limit: 100, ledger };
    let now = now();
    let selection = args.selection(now);
    let listing = match batches::see(&console.connection, &args, selection).await {
        Ok(listing) => listing,
        Err(error) => return failed(&error, StatusCode::BAD_GATEWAY),
    };
    if is_json {
        return json(batches::document(&listing, selection));
    }
    let list = pages::list(&listing, selection, now);
    let mut said = Output::default();
    for error in listing.unreadable {
        said.error(&console.connection.explained(error));
    }
    let content = maud::html! { (pages::problems(&said.stderr)) (list) };
    page(StatusCode::OK, pages::page(title, false, Some(twin), &content))
}
