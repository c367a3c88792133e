//! A proxy between clients and the emulator that makes calls fail as a plan says.
//!
//! It numbers the calls, identifies each of them, and remembers how it ended. It forwards requests
//! unchanged, with the `Host` that was signed, and keeps no connection to the emulator. It doesn't
//! know what a call does; `upstream` says whether the call took effect.

mod protocol;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderMap, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, client, server};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

use self::protocol::identify;

/// Which call fails. Both count from one, from the moment the plan was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// The nth call of all.
    Call(usize),
    /// The nth call of an operation. [`Call::operation`] shows how operations are named.
    Nth(String, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The proxy answers with 500 and doesn't forward the call.
    Before500,
    /// The proxy forwards the call, then answers with 500.
    After500,
    /// The proxy forwards the call, then closes the connection without an answer.
    ResetAfter,
    /// The proxy never answers, and doesn't forward the call.
    Hang,
    /// The proxy forwards the call, then never answers.
    HangAfter,
    /// The proxy answers "too often" in the words of the protocol, and doesn't forward the call.
    Throttle,
    /// The proxy answers as Glue does while it doesn't list a run yet, and doesn't forward the call.
    NoRuns,
}

impl Kind {
    /// All failures. [`Kind::NoRuns`] isn't one.
    pub const ALL: [Kind; 6] = [
        Kind::Before500,
        Kind::After500,
        Kind::ResetAfter,
        Kind::Hang,
        Kind::HangAfter,
        Kind::Throttle,
    ];

    fn forwards(self) -> bool {
        matches!(self, Kind::After500 | Kind::ResetAfter | Kind::HangAfter)
    }
}

#[derive(Clone, Debug)]
pub struct Fault {
    pub at: At,
    pub kind: Kind,
}

impl Fault {
    /// Makes the nth call of all fail.
    pub fn at_call(number: usize, kind: Kind) -> Fault {
        Fault { at: At::Call(number), kind }
    }

    /// Makes the nth call of an operation fail.
    pub fn at_nth(operation: &str, number: usize, kind: Kind) -> Fault {
        Fault { at: At::Nth(operation.to_owned(), number), kind }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The name of the operation, such as `iam:CreateRole` or `dynamodb:PutItem`. Calls to S3 are
    /// named `s3:PUT bucket?notification` or `s3:GET object`, calls to other services with paths
    /// `lambda:GET /path`, and unsigned calls `unsigned PUT`.
    pub operation: String,
    pub path: String,
    /// The emulator's status, or `None` if it wasn't called or couldn't be reached.
    pub upstream: Option<u16>,
    /// The status that the client got, or `None` if the client still waits, perhaps forever.
    pub answered: Option<u16>,
}

/// A proxy that listens until it is dropped.
pub struct Proxy {
    address: SocketAddr,
    record: Arc<Mutex<Record>>,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Record {
    plan: Vec<Fault>,
    calls: Vec<Call>,
    /// Changes with every plan. A call that began under an earlier plan is no longer recorded.
    age: usize,
}

impl Proxy {
    /// Starts a proxy in front of `upstream`, such as `http://127.0.0.1:4566`. It needs no async
    /// runtime.
    pub fn start(upstream: &str) -> Result<Proxy> {
        let upstream = upstream.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to listen")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let record = Arc::new(Mutex::new(Record::default()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<Infallible>();
        let shared = Arc::clone(&record);
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    _ = serve(listener, upstream, shared) => {}
                }
            });
        });
        Ok(Proxy { address, record, stop: Some(stop), thread: Some(thread) })
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets a new plan, forgets the recorded calls, and starts counting again.
    pub fn plan(&self, faults: Vec<Fault>) {
        let mut record = lock(&self.record);
        *record = Record { plan: faults, calls: Vec::new(), age: record.age + 1 };
    }

    /// Returns all calls since the plan was made, in the order in which they came.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.record).calls.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread is gone, whether it finished or panicked.
            thread.join().ok();
        }
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().expect("no thread panics with the lock")
}

async fn serve(listener: TcpListener, upstream: String, record: Arc<Mutex<Record>>) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let (upstream, record) = (upstream.clone(), Arc::clone(&record));
        tokio::spawn(async move {
            let answer = service_fn(|request| handle(request, &upstream, &record));
            // If a connection breaks, either the plan or the client broke it.
            server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await
                .ok();
        });
    }
}

/// Answers one call. An error closes the connection.
async fn handle(
    request: Request<Incoming>,
    upstream: &str,
    record: &Mutex<Record>,
) -> Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let (protocol, operation) = identify(&parts, &body);
    let path = parts.uri.path().to_owned();
    let (number, age, fault) =
        begin(record, Call { operation, path, upstream: None, answered: None });
    let note = |change: &dyn Fn(&mut Call)| {
        let mut record = lock(record);
        if record.age == age {
            change(&mut record.calls[number]);
        }
    };

    let mut answer = None;
    if fault.is_none_or(Kind::forwards) {
        let found = forward(Request::from_parts(parts, Full::new(body)), upstream).await?;
        note(&|call| call.upstream = Some(found.status().as_u16()));
        answer = Some(found);
    }
    let answer = match fault {
        None => answer.context("the call was forwarded")?,
        Some(Kind::Before500 | Kind::After500) => protocol.broken(),
        Some(Kind::Throttle) => protocol.throttled(),
        Some(Kind::NoRuns) => protocol.answer(StatusCode::OK, r#"{"JobRuns":[]}"#.to_owned()),
        Some(Kind::ResetAfter) => bail!("the plan closes the connection"),
        Some(Kind::Hang | Kind::HangAfter) => pending().await,
    };
    note(&|call| call.answered = Some(answer.status().as_u16()));
    Ok(answer)
}

/// Records a call and returns what the plan has for it.
fn begin(record: &Mutex<Record>, call: Call) -> (usize, usize, Option<Kind>) {
    let mut record = lock(record);
    let number = record.calls.len();
    let alike = record.calls.iter().filter(|other| other.operation == call.operation).count();
    let fault = record.plan.iter().find(|fault| match &fault.at {
        At::Call(n) => *n == number + 1,
        At::Nth(operation, n) => *operation == call.operation && *n == alike + 1,
    });
    let kind = fault.map(|fault| fault.kind);
    record.calls.push(call);
    (number, record.age, kind)
}

async fn forward(request: Request<Full<Bytes>>, upstream: &str) -> Result<Response<Full<Bytes>>> {
    let stream = tokio::net::TcpStream::connect(upstream).await?;
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    leave_out_framing(&mut parts.headers);
    let (mut parts, body) =
        sender.send_request(Request::from_parts(parts, body)).await?.into_parts();
    leave_out_framing(&mut parts.headers);
    Ok(Response::from_parts(parts, Full::new(body.collect().await?.to_bytes())))
}

/// Removes the headers that concern a single connection. Each side sets its own.
fn leave_out_framing(headers: &mut HeaderMap) {
    headers.remove(CONNECTION);
    headers.remove(TRANSFER_ENCODING);
}
