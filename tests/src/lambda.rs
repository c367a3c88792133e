//! Runs a compiled function as Lambda does: in a process of its own that asks the Runtime API for
//! work.
//!
//! It gives a function one event at a time and takes its answer. It has no timeout: to time a
//! function out, kill it.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, server};
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::sync::{Notify, oneshot};

/// The header in which Lambda gives a function its deadline.
const DEADLINE: &str = "Lambda-Runtime-Deadline-Ms";

/// A trace that X-Ray doesn't sample.
const TRACE: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0";

/// The interval at which to check that the process is still alive.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The result of an invocation.
#[derive(Debug)]
pub enum Answer {
    Response(Value),
    Error(Value),
    /// The function ended, or was killed, before it answered.
    None,
}

/// A running function. Dropping it ends the process.
pub struct Function {
    child: Mutex<Child>,
    api: Arc<RuntimeApi>,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

/// The Runtime API's side of a function.
#[derive(Default)]
struct RuntimeApi {
    state: Mutex<State>,
    has_work: Notify,
    is_ready: Notify,
}

#[derive(Default)]
struct State {
    /// Events with their deadlines, by request ID.
    waiting: VecDeque<(u64, Value, SystemTime)>,
    /// The function has asked for work.
    is_ready: bool,
    answers: BTreeMap<u64, oneshot::Sender<Answer>>,
    number: u64,
}

impl Function {
    /// Starts `binary` with these variables and nothing else in its environment. Its log goes to
    /// `log`.
    pub fn start(
        binary: &Path,
        variables: &BTreeMap<String, String>,
        log: Stdio,
    ) -> Result<Function> {
        let name = binary.file_name().unwrap_or_default().to_string_lossy();
        Self::run(Command::new(binary), &format!("landfall-{name}"), variables, log)
    }

    /// Starts any command in the same way.
    pub fn run(
        mut command: Command,
        name: &str,
        variables: &BTreeMap<String, String>,
        log: Stdio,
    ) -> Result<Function> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to listen")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<Infallible>();
        let api = Arc::new(RuntimeApi::default());
        let shared = Arc::clone(&api);
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    _ = serve(listener, shared) => {}
                }
            });
        });
        let child = command
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", name)
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .envs(variables)
            .stdout(log)
            .spawn()
            .with_context(|| format!("failed to start `{}`", command.get_program().display()))?;
        let (child, stop) = (Mutex::new(child), Some(stop));
        Ok(Function { child, api, stop, thread: Some(thread) })
    }

    /// Passes an event, with this much time left until its deadline, and waits for the answer.
    pub async fn invoke(&self, event: Value, left: Duration) -> Result<Answer> {
        let (sender, answer) = oneshot::channel();
        {
            let mut state = self.api.state();
            state.number += 1;
            let id = state.number;
            state.waiting.push_back((id, event, SystemTime::now() + left));
            state.answers.insert(id, sender);
        }
        self.api.has_work.notify_one();
        tokio::pin!(answer);
        loop {
            tokio::select! {
                answered = &mut answer => return Ok(answered.unwrap_or(Answer::None)),
                () = tokio::time::sleep(POLL_INTERVAL) => {
                    if self.has_ended()? {
                        return Ok(answer.try_recv().unwrap_or(Answer::None));
                    }
                }
            }
        }
    }

    /// Waits until the function asks for its first event. Returns `false` if it ended before that.
    pub async fn wait_until_ready(&self) -> Result<bool> {
        loop {
            let asks = self.api.is_ready.notified();
            if self.api.state().is_ready {
                return Ok(true);
            }
            tokio::select! {
                () = asks => {}
                () = tokio::time::sleep(POLL_INTERVAL) => {
                    if self.has_ended()? {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// Asks the function to end, and waits until it has.
    pub fn terminate(&self) -> Result<()> {
        let mut child = self.child();
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let id = id.context("the function has no process ID")?;
        kill_process(id, Signal::TERM).context("failed to terminate the function")?;
        child.wait().context("failed to wait for the function")?;
        Ok(())
    }

    /// Ends the function at once, as a crash does.
    pub fn kill(&self) -> Result<()> {
        let mut child = self.child();
        child.kill().context("failed to kill the function")?;
        child.wait().context("failed to wait for the function")?;
        Ok(())
    }

    pub fn id(&self) -> u32 {
        self.child().id()
    }

    fn has_ended(&self) -> Result<bool> {
        Ok(self
            .child()
            .try_wait()
            .context("failed to check whether the function has ended")?
            .is_some())
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().expect("no thread panics with the lock")
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        // The function may have ended by itself.
        self.kill().ok();
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl RuntimeApi {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the lock")
    }

    async fn next(&self) -> (u64, Value, SystemTime) {
        loop {
            if let Some(found) = self.state().waiting.pop_front() {
                return found;
            }
            self.has_work.notified().await;
        }
    }
}

async fn serve(listener: TcpListener, api: Arc<RuntimeApi>) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let api = Arc::clone(&api);
        tokio::spawn(async move {
            let answer = service_fn(|request| handle(request, &api));
            // Killing a function breaks its connection.
            server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await
                .ok();
        });
    }
}

async fn handle(request: Request<Incoming>, api: &RuntimeApi) -> Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let path: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
    match (parts.method, path.as_slice()) {
        (Method::GET, [_, "runtime", "invocation", "next"]) => {
            api.state().is_ready = true;
            api.is_ready.notify_waiters();
            let (id, event, deadline) = api.next().await;
            let deadline = deadline.duration_since(UNIX_EPOCH)?.as_millis();
            Ok(Response::builder()
                .header("Lambda-Runtime-Aws-Request-Id", id)
                .header(DEADLINE, deadline.to_string())
                .header(
                    "Lambda-Runtime-Invoked-Function-Arn",
                    "arn:aws:lambda:us-east-1:111111111111:function:local",
                )
                .header("Lambda-Runtime-Trace-Id", TRACE)
                .header(CONTENT_TYPE, "application/json")
                .body(Full::from(event.to_string()))?)
        }
        (Method::POST, [_, "runtime", "invocation", id, what]) => {
            let value = serde_json::from_slice(&body).context("the answer is not JSON")?;
            let answer = match *what {
                "response" => Answer::Response(value),
                _ => Answer::Error(value),
            };
            if let Some(sender) = api.state().answers.remove(&id.parse()?) {
                // The caller may be gone.
                sender.send(answer).ok();
            }
            Ok(Response::builder().status(202).body(Full::default())?)
        }
        (method, _) => bail!("the Runtime API has no {method} {}", parts.uri.path()),
    }
}
