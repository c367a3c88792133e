//! The path of a call to AWS, on which anything can happen to it.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::future::pending;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Bytes;
use landfall_stand_ins::Request;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::limits::{Limits, Refusal};
use crate::time::spawn;
use crate::world::{Ran, World, job};

#[derive(Clone)]
pub struct Network(pub Arc<World>);

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

impl HttpClient for Network {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Network {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let world = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x();
            let request = request.map_err(|error| ConnectorError::user(error.into()))?;
            let (parts, body) = request.into_parts();
            let content = body.collect().await.map_err(ConnectorError::user)?.to_bytes();
            let answer = travel(&world, Request::new(&parts, content)).await?;
            HttpResponse::try_from(answer.map(SdkBody::from))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Hash)]
enum Fate {
    Served,
    /// The call has no effect, and the answer says so.
    Refused(u16, &'static str),
    /// The call conflicts with another transaction.
    Conflicts,
    /// The call has no effect, and the connection breaks.
    Lost,
    /// The call has no effect, and no answer comes.
    Hangs,
    /// The call has its effect, and the connection breaks.
    AnswerLost,
    /// The call has its effect, and no answer comes.
    AnswerHangs,
    /// The call has its effect, but the answer says that it has none.
    Mistaken,
}

impl Fate {
    fn of(world: &World, request: &Request) -> Self {
        let service = request.call.service;
        let broken = match service {
            "sts" => Self::Refused(403, "AccessDenied"),
            "glue" => Self::Refused(500, "InternalServiceException"),
            _ => Self::Refused(503, "ServiceUnavailable"),
        };
        if world.is_out(service) {
            return match world.random(0..10) {
                0 => Self::Hangs,
                1 => Self::Lost,
                _ => broken,
            };
        }
        if world.is_calm() || world.random(0..1_000) >= u64::from(world.weather.faults) {
            return Self::Served;
        }
        let throttled = match service {
            "dynamodb" => "ProvisionedThroughputExceededException",
            _ => "ThrottlingException",
        };
        match world.random(0..8) {
            7 if service == "dynamodb" && request.call.operation.contains("Write") => {
                Self::Conflicts
            }
            0 => Self::Refused(400, throttled),
            1 => broken,
            2 => Self::Lost,
            3 => Self::Hangs,
            4 => Self::AnswerLost,
            5 => Self::AnswerHangs,
            _ => Self::Mistaken,
        }
    }
}

async fn travel(world: &Arc<World>, request: Request) -> Result<Response<Bytes>, ConnectorError> {
    let fate = Fate::of(world, &request);
    note(world, &request, fate);
    let refused = |status, code| Ok(request.refused(status, code));
    if let Some(limits) = &world.limits
        && fate == Fate::Served
    {
        return within(world, limits, request).await;
    }
    match fate {
        Fate::Refused(status, code) => {
            world.timeline.sleep(Duration::from_millis(world.random(1..50))).await;
            return refused(status, code);
        }
        Fate::Conflicts => return Ok(request.conflicted()),
        Fate::Lost => return Err(ConnectorError::io("broken off".into())),
        Fate::Hangs => return pending().await,
        _ => {}
    }
    // The call arrives even if its sender is gone.
    let (send, answered) = oneshot::channel();
    let (there, way, sent) = (Arc::clone(world), world.random(1..40), request.clone());
    spawn(async move {
        there.timeline.sleep(Duration::from_millis(way)).await;
        send.send(effect(&there, &sent)).ok();
    });
    let answer = answered.await;
    let answer = answer.map_err(|error| ConnectorError::other(error.into(), None))?;
    world.timeline.sleep(Duration::from_millis(world.random(1..40))).await;
    match fate {
        Fate::AnswerLost => Err(ConnectorError::io("broken off".into())),
        Fate::AnswerHangs => pending().await,
        Fate::Mistaken => refused(500, "InternalServerError"),
        _ => Ok(answer),
    }
}

/// Serves a call as far as AWS's limits let it.
async fn within(
    world: &Arc<World>,
    limits: &Limits,
    request: Request,
) -> Result<Response<Bytes>, ConnectorError> {
    let takes = limits.latency(world, &request.call);
    let refusal = limits.admit(world, &request, takes);
    let (send, answered) = oneshot::channel();
    let there = Arc::clone(world);
    spawn(async move {
        there.timeline.sleep(takes).await;
        let answer = match refusal {
            None => effect(&there, &request),
            Some(Refusal::Conflict) => request.conflicted(),
            Some(Refusal::Throttled(code)) => request.refused(400, code),
        };
        send.send(answer).ok();
    });
    answered.await.map_err(|error| ConnectorError::other(error.into(), None))
}

fn note(world: &World, request: &Request, fate: Fate) {
    let mut state = world.state();
    let mut hash = DefaultHasher::new();
    let (at, what) = (world.timeline.elapsed(), &request.call);
    // A body is read into maps that are sorted. Each simulation has a region of its own.
    let body = what.body.to_string().replace(&world.region, "REGION");
    (state.trace, at, what.service, &what.operation, body, fate).hash(&mut hash);
    state.trace = hash.finish();
}

/// Carries out a call and returns what the caller sees of it.
fn effect(world: &Arc<World>, request: &Request) -> Response<Bytes> {
    let (operation, body) = (request.call.operation.as_str(), &request.call.body);
    if !body["IndexName"].is_null() {
        show_indexes(world);
    }
    let answer = world.serve(request);
    match operation {
        "SendMessageBatch" => {
            for (name, queue) in [("arrivals", &world.arrivals), ("work", &world.work)] {
                queue.send_entries(world, &world.aws.take_messages(name));
            }
        }
        "StartJobRun" if answer.status() == 200 => started(world, body, &answer),
        "GetJobRuns" | "GetJobRun" if answer.status() == 200 => {
            return without_hidden(world, request, answer);
        }
        _ => {}
    }
    answer
}

/// Updates the indexes a few seconds late.
fn show_indexes(world: &World) {
    let now = world.timeline.elapsed();
    let age = now - world.state().indexes_shown_at;
    let is_shown = match &world.limits {
        // A copy of an index costs time that isn't simulated.
        Some(_) => age > Duration::from_secs(3),
        None => age > Duration::from_secs(5) || world.happens(70),
    };
    if is_shown {
        world.state().indexes_shown_at = now;
        world.aws.show_indexes();
    }
}

fn started(world: &Arc<World>, asked: &Value, answer: &Response<Bytes>) {
    let answer: Value = serde_json::from_slice(answer.body()).expect("JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (run_id, arguments) = (text(&answer["JobRunId"]), &asked["Arguments"]);
    let began = world.timeline.elapsed();
    let ran = Ran {
        batch_id: text(&arguments["--landfall-batch-id"]),
        epoch: text(&arguments["--landfall-epoch"]),
        run_id: run_id.clone(),
        job: text(&asked["JobName"]),
        began,
        ended: None,
        has_effect: false,
    };
    let shown_at = began + world.random_secs(0..world.weather.hides.as_secs());
    world.state().shown_at.insert(run_id.clone(), shown_at);
    world.state().ran.insert(run_id.clone(), ran);
    spawn(job(Arc::clone(world), run_id));
}

/// Removes runs that Glue doesn't show yet.
fn without_hidden(world: &World, request: &Request, answer: Response<Bytes>) -> Response<Bytes> {
    let now = world.timeline.elapsed();
    let state = world.state();
    let is_hidden = |run: &Value| {
        run["Id"].as_str().and_then(|id| state.shown_at.get(id)).is_some_and(|at| *at > now)
    };
    let mut body: Value = serde_json::from_slice(answer.body()).expect("JSON");
    if is_hidden(&body["JobRun"]) {
        return request.refused(400, "EntityNotFoundException");
    }
    if let Some(runs) = body["JobRuns"].as_array_mut() {
        runs.retain(|run| !is_hidden(run));
    } else {
        return answer;
    }
    answer.map(|_| Bytes::from(json!(body).to_string()))
}
