//! The functions: processes that Lambda makes, invokes and kills.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_glue::config::SharedAsyncSleep;
use futures_util::future::{Either, select};
use lambda_runtime::{Context as LambdaContext, LambdaEvent};
use landfall_aws::clock::{Clock, under};
use landfall_aws::metrics::Metrics;
use landfall_aws::settings::Settings;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use crate::network::Network;
use crate::queue::{Message, Queue, arn};
use crate::time::{MachineClock, spawn};
use crate::world::{CLAIMS, LEDGER, MAX_RECEIVE_COUNT, World, beginning};

/// The timeout of both functions, as in the template.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The number of concurrent invocations for one queue.
const CONCURRENT: usize = 3;

/// The maximum number of messages of an invocation.
const MAX_MESSAGES: usize = 10;

pub const ROUTES: &str = r#"version: 1
targets:
  analytics: { account: "222222222222", region: REGION, starter_role: landfall-starter }
routes:
  - name: once
    bucket: landing
    key: "once/{day}/*"
    batch: { by: [day] }
    start: { target: analytics, job: once }
  - name: windowed
    bucket: landing
    key: "windowed/{day}/*"
    batch: { by: [day], window: 3m, quiet: 1m, max_objects: 4 }
    start: { target: analytics, job: windowed }
  - name: limited
    bucket: landing
    key: "limited/{name}"
    batch: { by: [name] }
    start:
      target: analytics
      job: limited
      max_concurrent_runs: 2
      retry: { attempts: 9, states: [FAILED, TIMEOUT] }
  - name: hourly
    bucket: landing
    key: "hourly/{name}"
    batch: { by: [name] }
    start: { target: analytics, job: hourly, max_runs_per_hour: 4 }
  - name: scoped
    bucket: landing
    key: "scoped/{name}"
    batch: { by: [name] }
    start: { target: analytics, job: scoped, scope: batch }
  - name: plain
    bucket: landing
    key: "plain/{name}"
    batch: { by: [name] }
    start:
      target: analytics
      job: plain
      claim: optional
      retry: { attempts: 9, states: [FAILED, TIMEOUT] }
"#;

/// The limits that `ROUTES` sets.
pub const MAX_CONCURRENT: usize = 2;
pub const MAX_PER_HOUR: usize = 4;

fn settings(world: &World) -> Settings {
    let region = world.region.as_str();
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), world.routes.replace("REGION", region)).expect("writable");
    let claims = format!("arn:aws:dynamodb:{region}:111111111111:table/{CLAIMS}");
    let find = |name: &str| {
        Some(match name {
            "LANDFALL_ROUTES" => file.path().to_str()?.to_owned(),
            "LANDFALL_READER_ROLE_ARN" => "arn:aws:iam::111111111111:role/landfall-reader".into(),
            "LANDFALL_LEDGER_TABLE" => LEDGER.to_owned(),
            "LANDFALL_CLAIMS_TABLE_ARN" => claims.clone(),
            "LANDFALL_RETENTION_DAYS" => "1".to_owned(),
            "LANDFALL_ARRIVALS_QUEUE_ARN" => arn(region, "arrivals"),
            "LANDFALL_BACKFILL_QUEUE_ARN" => arn(region, "backfill"),
            "LANDFALL_MAX_RECEIVE_COUNT" => MAX_RECEIVE_COUNT.to_string(),
            "LANDFALL_WORK_QUEUE_ARN" => arn(region, "work"),
            "LANDFALL_MANIFESTS_BUCKET" => "manifests".to_owned(),
            "AWS_LAMBDA_FUNCTION_NAME" => "landfall".to_owned(),
            _ => return None,
        })
    };
    Settings::from_env(find).expect("settings")
}

/// Which function it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Function {
    Trigger,
    Monitor,
}

enum Code {
    Trigger(Box<landfall_trigger::Context>),
    Monitor(Box<landfall_monitor::Context>),
}

/// A process, which serves one invocation at a time.
struct Process {
    code: Code,
    clock: Arc<dyn Clock>,
}

impl Process {
    fn new(world: &Arc<World>, function: Function) -> Self {
        let region = &world.region;
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(Network(Arc::clone(world)))
            .sleep_impl(SharedAsyncSleep::new(world.timeline.clone()))
            .retry_config(RetryConfig::standard())
            .timeout_config(landfall_aws::config::timeouts().build())
            .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
            .region(Region::new(region.clone()))
            .endpoint_url(world.aws.endpoint())
            .build();
        landfall_aws::config::instead(Network(Arc::clone(world)));
        let metrics = Metrics::new(std::io::sink(), LEDGER);
        let code = match function {
            Function::Trigger => Code::Trigger(Box::new(landfall_trigger::Context::new(
                settings(world),
                &config,
                metrics,
            ))),
            Function::Monitor => {
                let context = landfall_monitor::Context::new(&settings(world), &config, metrics);
                let scale = world.limits.as_ref().map_or(1, |limits| limits.scale);
                Code::Monitor(Box::new(context.at_scale(scale)))
            }
        };
        let skew = u64::try_from(world.weather.skew.as_millis()).unwrap_or(0);
        let began =
            beginning() - world.weather.skew + Duration::from_millis(world.random(0..2 * skew + 1));
        let clock = Arc::new(MachineClock { timeline: world.timeline.clone(), began });
        Self { code, clock }
    }

    /// Returns the answer as JSON, or `None` if the invocation failed.
    async fn invoke(&self, event: &Value) -> Option<Value> {
        let deadline = self.clock.now() + TIMEOUT;
        let event = LambdaEvent::new(to_raw_value(event).expect("JSON"), context(deadline));
        match &self.code {
            Code::Trigger(code) => {
                let answer = landfall_trigger::handle(code, event).await;
                answer.ok().map(|answer| serde_json::to_value(answer).expect("JSON"))
            }
            Code::Monitor(code) => {
                let answer = landfall_monitor::handle(code, event).await;
                answer.ok().map(|answer| serde_json::to_value(answer).expect("JSON"))
            }
        }
    }
}

fn context(deadline: SystemTime) -> LambdaContext {
    let mut lambda = LambdaContext::default();
    let since = deadline.duration_since(UNIX_EPOCH).unwrap_or_default();
    lambda.deadline = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    lambda
}

/// A function as Lambda runs it.
pub struct Lambda {
    function: Function,
    idle: Mutex<Vec<Process>>,
}

impl Lambda {
    pub fn new(function: Function) -> Arc<Self> {
        Arc::new(Self { function, idle: Mutex::default() })
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Process>> {
        self.idle.lock().expect("no thread panics with the lock")
    }

    /// Invokes the function. Returns `None` if it failed, was killed, or took too long.
    pub async fn invoke(&self, world: &Arc<World>, event: &Value) -> Option<Value> {
        world.state().invocations += 1;
        world.state().running += 1;
        let answer = self.invoke_one(world, event).await;
        world.state().running -= 1;
        answer
    }

    async fn invoke_one(&self, world: &Arc<World>, event: &Value) -> Option<Value> {
        let warm = self.idle().pop();
        let process = warm.unwrap_or_else(|| Process::new(world, self.function));
        let is_killed = !world.is_calm() && world.happens(world.weather.kills);
        let killed_after = match is_killed {
            true => Duration::from_millis(world.random(1..3_000)),
            false => TIMEOUT,
        };
        let invocation = Box::pin(under(Arc::clone(&process.clock), process.invoke(event)));
        let done = match select(invocation, world.timeline.sleep(killed_after)).await {
            Either::Left((answer, _)) => Some(answer),
            Either::Right(_) => None,
        };
        let answer = done?;
        self.idle().push(process);
        answer
    }
}

/// Delivers the messages of a queue to a function.
pub async fn poll(world: Arc<World>, queue: fn(&World) -> &Queue, lambda: Arc<Lambda>) {
    let busy = Arc::new(Mutex::new(0_usize));
    loop {
        world.timeline.sleep(Duration::from_millis(world.random(200..2_000))).await;
        if *busy.lock().expect("not poisoned") >= CONCURRENT {
            continue;
        }
        let messages = queue(&world).receive(&world, MAX_MESSAGES);
        if messages.is_empty() {
            continue;
        }
        *busy.lock().expect("not poisoned") += 1;
        let (world, lambda, busy) = (Arc::clone(&world), Arc::clone(&lambda), Arc::clone(&busy));
        spawn(async move {
            deliver(&world, queue(&world), &lambda, &messages).await;
            *busy.lock().expect("not poisoned") -= 1;
        });
    }
}

/// Invokes the function with messages, and deletes those that it is done with.
async fn deliver(world: &Arc<World>, queue: &Queue, lambda: &Lambda, messages: &[Message]) {
    let event = queue.event(&world.region, messages);
    let Some(answer) = lambda.invoke(world, &event).await else { return };
    let failures = answer["batchItemFailures"].as_array().cloned().unwrap_or_default();
    let goes_back = |id: &str| failures.iter().any(|f| f["itemIdentifier"] == id);
    let done = messages.iter().map(|message| message.id.as_str()).filter(|id| !goes_back(id));
    queue.delete(&done.collect());
}

/// Delivers the messages of a queue as Lambda does under AWS's limits: so many invocations at a
/// time, each with so many messages.
pub async fn poll_within(
    world: Arc<World>,
    queue: fn(&World) -> &Queue,
    lambda: Arc<Lambda>,
    most: usize,
) {
    loop {
        let limits = world.limits.as_ref().expect("a world with limits");
        let has_room = limits.has_concurrency(&world)
            && queue(&world).in_flight(&world) < limits.in_flight()
            && !(world.monitor_is_off() && lambda.function == Function::Monitor);
        let messages = if has_room { queue(&world).receive(&world, most) } else { Vec::new() };
        if messages.is_empty() {
            world.timeline.sleep(Duration::from_millis(world.random(200..1_200))).await;
            continue;
        }
        deliver(&world, queue(&world), &lambda, &messages).await;
    }
}

/// Sends a tick every minute.
pub async fn tick(world: Arc<World>, lambda: Arc<Lambda>) {
    let event = json!({ "source": "aws.events", "detail-type": "Scheduled Event", "detail": {} });
    loop {
        world.timeline.sleep(Duration::from_secs(60)).await;
        if world.monitor_is_off() {
            continue;
        }
        let (world, lambda, event) = (Arc::clone(&world), Arc::clone(&lambda), event.clone());
        spawn(async move {
            lambda.invoke(&world, &event).await;
        });
    }
}
