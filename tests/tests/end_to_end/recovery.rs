//! The compiled trigger and monitor while AWS fails and while they are killed: calls fail, hang or
//! are throttled, before or after they took effect, and the process dies at each call.
//!
//! They run outside Lambda, as roles with the policies that the templates give, against tables of
//! their own, through a proxy. Whatever happens, each arrival is in one batch, and each batch has
//! one run.

pub mod fixture;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::env;
use std::pin::pin;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::{Either, select, try_join_all};
use futures_util::{StreamExt, TryStreamExt, stream};
use landfall_aws::clock::now;
use landfall_core::batch::{Batch, Started, State, Why};
use landfall_tests::cloud::{LANDING_BUCKET, has_ended, wait_until};
use landfall_tests::lambda::{Answer, Function};
use landfall_tests::proxy::{Fault, Kind};
use landfall_tests::{ANALYTICS, DATA, REGION};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use self::fixture::{Case, Fixture, binary, notification, session, surroundings};
use crate::stage::Stage;

/// The time that an invocation has. A call that hangs takes ten seconds of it, and no start begins
/// with less than twenty seconds left.
pub const LEFT: Duration = Duration::from_secs(45);

/// Enough time to record arrivals, and too little to start a run.
const NO_TIME_TO_START: Duration = Duration::from_secs(19);

/// The time for the lease of an invocation that was cut off and for the pauses between looks, on a
/// busy machine.
const RECOVERED: Duration = Duration::from_secs(400);

/// The number of cases that run at the same time, of all tests.
const SIDE_BY_SIDE: usize = 20;
static SLOTS: Semaphore = Semaphore::const_new(SIDE_BY_SIDE);

/// The number of attempts at a case in which the process does not come to the call. If it never
/// does, the test fails.
const ATTEMPTS: usize = 5;

/// What happens at a call.
#[derive(Clone, Copy, Debug)]
enum Disruption {
    Fails(Kind),
    /// The process is killed while it waits for the answer.
    Killed(Kind),
}

impl Disruption {
    /// Returns the disruptions of a call: both kills and, in turn, two of the six failures. With
    /// `EVERY_CASE` set, as by `make simulate`, it returns all of them. The handlers' tests fail
    /// every call, before and after its effect, in one process.
    fn of(call: usize) -> impl Iterator<Item = Disruption> {
        const TURNS: usize = 3;
        let is_every = env::var_os("EVERY_CASE").is_some();
        let fails = Kind::ALL.into_iter().enumerate();
        let fails = fails.filter(move |(at, _)| is_every || (at + call).is_multiple_of(TURNS));
        let kills = [Kind::Hang, Kind::HangAfter].map(Disruption::Killed);
        fails.map(|(_, kind)| Disruption::Fails(kind)).chain(kills)
    }
}

pub fn a_trigger_whose_calls_fail_or_that_is_killed_loses_nothing_and_starts_once(
    stage: &Stage,
) -> Result<()> {
    let fixture = Fixture::new(stage, "trigger", "required")?;
    stage.cloud.wait(async {
        // The calls are: record, write the manifest, assume, look at the job; start, write.
        let calls =
            calls_of(&fixture, "trigger", "trigger", async |case: &Case<'_>| Ok(case.messages()))
                .await?;
        ensure!(calls >= 6, "a trigger makes {calls} calls");
        each(&fixture, "trigger", calls, async |case: &Case<'_>, call, disruption| {
            let first = disrupt(case, "trigger", case.messages(), call, disruption).await?;
            let Some(first) = first else { return Ok(Tried::CallNotMade) };
            // SQS delivers again what was not acknowledged, and now and then what was.
            let again = case.function("trigger")?.invoke(case.messages(), LEFT).await?;
            is_acknowledged(&again).with_context(|| format!("first {first:?}"))?;
            is_started_once(case).await?;
            Ok(Tried::Passed)
        })
        .await
    })
}

pub fn a_monitor_whose_calls_fail_or_that_is_killed_while_it_starts_starts_once(
    stage: &Stage,
) -> Result<()> {
    let fixture = Fixture::new(stage, "starting", "required")?;
    stage.cloud.wait(async {
        let recorded = async |case: &Case<'_>| {
            let trigger = case.function("trigger")?;
            is_acknowledged(&trigger.invoke(case.messages(), NO_TIME_TO_START).await?)?;
            Ok(tick())
        };
        let calls = calls_of(&fixture, "starting", "monitor", recorded).await?;
        ensure!(calls >= 12, "a monitor makes {calls} calls to start a batch");
        each(&fixture, "starting", calls, async |case: &Case<'_>, call, disruption| {
            let tick = recorded(case).await?;
            if disrupt(case, "monitor", tick, call, disruption).await?.is_none() {
                return Ok(Tried::CallNotMade);
            }
            is_started_once(case).await?;
            Ok(Tried::Passed)
        })
        .await
    })
}

pub fn a_monitor_whose_calls_fail_or_that_is_killed_while_it_follows_learns_the_outcome(
    stage: &Stage,
) -> Result<()> {
    let fixture = Fixture::new(stage, "following", "required")?;
    stage.cloud.wait(async {
        // The batch is started and claimed by its run, which has succeeded, and is due to be looked
        // at.
        let followed = async |case: &Case<'_>| {
            let trigger = case.function("trigger")?;
            // On a busy machine a call can take too long. What goes back to the queue is delivered again.
            let mut delivered = trigger.invoke(case.messages(), LEFT).await?;
            for _ in 1..ATTEMPTS {
                if is_acknowledged(&delivered).is_ok() {
                    break;
                }
                delivered = trigger.invoke(case.messages(), LEFT).await?;
            }
            is_acknowledged(&delivered)?;
            is_started_once(case).await?;
            for mut batch in case.batches().await? {
                case.claim(&batch).await?;
                if let State::Started(Started { look_at, .. }) = &mut batch.state {
                    *look_at = now();
                }
                case.ledger.write(batch).await?.context("another process wrote the batch")?;
            }
            Ok(tick())
        };
        let calls = calls_of(&fixture, "following", "monitor", followed).await?;
        ensure!(calls >= 8, "a monitor makes {calls} calls to follow a run");
        each(&fixture, "following", calls, async |case: &Case<'_>, call, disruption| {
            let tick = followed(case).await?;
            if disrupt(case, "monitor", tick, call, disruption).await?.is_none() {
                return Ok(Tried::CallNotMade);
            }
            let is_done = |batch: &Batch| matches!(batch.state, State::Succeeded { .. });
            recovered(case, is_done).await?;
            is_started_once(case).await?;
            Ok(Tried::Passed)
        })
        .await
    })
}

pub fn two_runs_of_which_none_claimed_are_never_called_a_success(stage: &Stage) -> Result<()> {
    /// More than the monitor looks for the run before it starts another.
    const HIDDEN: usize = 200;
    let fixture = Fixture::new(stage, "unclaimed", "optional")?;
    stage.cloud.wait(async {
        let case = fixture.case("unclaimed").await?;
        // The first run begins, but its start has no answer, and Glue doesn't list it.
        let hidden = |number| Fault::at_nth("glue:GetJobRuns", number, Kind::NoRuns);
        let lost = Fault::at_nth("glue:StartJobRun", 1, Kind::ResetAfter);
        case.begin_plan((1..=HIDDEN).map(hidden).chain([lost]).collect());
        is_acknowledged(&case.function("trigger")?.invoke(case.messages(), LEFT).await?)?;
        let is_parked = |batch: &Batch| matches!(batch.state, State::Parked { .. });
        let parked = recovered(&case, is_parked).await.with_context(|| case.logged())?;
        for batch in parked {
            let State::Parked { why, .. } = &batch.state else { bail!("not parked: {batch:?}") };
            ensure!(*why == Why::OutcomeUnknown, "{batch:?}");
            let runs = case.runs_of(&batch).await?;
            ensure!(runs == 2, "batch `{}` has {runs} runs: {batch:?}", batch.id);
        }
        Ok(())
    })
}

/// Returns the number of calls that `function` makes if nothing fails.
async fn calls_of(
    fixture: &Fixture<'_>,
    name: &str,
    function: &str,
    event: impl AsyncFn(&Case<'_>) -> Result<Value>,
) -> Result<usize> {
    let case = fixture.case(&format!("{name}-faultless")).await?;
    let event = event(&case).await?;
    case.begin_plan(vec![]);
    let answer = case.function(function)?.invoke(event, LEFT).await?;
    ensure!(
        matches!(answer, Answer::Response(_)),
        "`{function}` fails without a fault: {answer:?}"
    );
    let calls = case.proxy.calls().len();
    is_started_once(&case).await?;
    Ok(calls)
}

/// How a case ended that did not fail.
enum Tried {
    Passed,
    /// The function gave up before it made the call, because an earlier one took too long: the
    /// machine is busy.
    CallNotMade,
}

/// Tries each disruption at each call, each in a ledger of its own.
async fn each(
    fixture: &Fixture<'_>,
    name: &str,
    calls: usize,
    check: impl AsyncFn(&Case<'_>, usize, Disruption) -> Result<Tried>,
) -> Result<()> {
    let cases =
        (1..=calls).flat_map(|call| Disruption::of(call).map(move |disruption| (call, disruption)));
    let check = &check;
    stream::iter(cases)
        .map(async |(call, disruption)| {
            let _slot = SLOTS.acquire().await?;
            let (Disruption::Fails(kind) | Disruption::Killed(kind)) = disruption;
            let how = if matches!(disruption, Disruption::Killed(_)) { "killed" } else { "fails" };
            for attempt in 1..=ATTEMPTS {
                let name = format!("{name}-{call}-{how}-{kind:?}-{attempt}");
                let case = fixture.case(&name).await?;
                let tried = check(&case, call, disruption).await.with_context(|| {
                    format!("{disruption:?} at call {call} of {calls}; logged:\n{}", case.logged())
                })?;
                if matches!(tried, Tried::Passed) {
                    return Ok(());
                }
            }
            bail!("call {call} of {calls} was not made in {ATTEMPTS} attempts ({disruption:?})")
        })
        .buffer_unordered(SIDE_BY_SIDE)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(())
}

/// Gives `event` to a new process and disrupts this call. Returns `None` if the process did not come
/// to it.
async fn disrupt(
    case: &Case<'_>,
    function: &str,
    event: Value,
    call: usize,
    disruption: Disruption,
) -> Result<Option<Answer>> {
    let function = case.function(function)?;
    let (Disruption::Fails(kind) | Disruption::Killed(kind)) = disruption;
    case.begin_plan(vec![Fault::at_call(call, kind)]);
    let invoked = function.invoke(event, LEFT);
    let answer = match disruption {
        Disruption::Fails(_) => invoked.await?,
        Disruption::Killed(_) => {
            let is_made = async || {
                let calls = case.proxy.calls();
                let made = calls.get(call - 1);
                let has_effect = made.is_some_and(|call| call.upstream.is_some());
                // On a busy machine the function may have given up the call and retried it.
                let is_over = kind == Kind::Hang || has_effect || calls.len() > call;
                Ok((made.is_some() && is_over).then_some(()))
            };
            let made = wait_until("the call was not made", LEFT, is_made);
            let invoked = pin!(invoked);
            match select(pin!(made), invoked).await {
                // The process made the call, or takes too long.
                Either::Left((_, invoked)) => {
                    function.kill()?;
                    invoked.await?
                }
                Either::Right((answer, _)) => answer?,
            }
        }
    };
    Ok(case.end_plan(call).then_some(answer))
}

/// Fails unless everything that was delivered is acknowledged.
pub fn is_acknowledged(answer: &Answer) -> Result<()> {
    match answer {
        Answer::Response(response) if response["batchItemFailures"] == json!([]) => Ok(()),
        other => bail!("not acknowledged: {other:?}"),
    }
}

/// Ticks until all batches satisfy `is_wanted`.
async fn recovered(case: &Case<'_>, is_wanted: impl Fn(&Batch) -> bool) -> Result<Vec<Batch>> {
    let monitor = case.function("monitor")?;
    wait_until("the batches do not reach the expected state", RECOVERED, async || {
        let batches = case.batches().await?;
        if !batches.is_empty() && batches.iter().all(&is_wanted) {
            return Ok(Some(batches));
        }
        let answer = monitor.invoke(tick(), LEFT).await?;
        // On a busy machine a call of a tick can take too long. The next tick continues.
        let is_fine = match &answer {
            Answer::Response(_) => true,
            Answer::Error(error) => error["errorType"] == "ledger_failed",
            Answer::None => false,
        };
        ensure!(is_fine, "a tick without a fault fails: {answer:?}");
        Ok(None)
    })
    .await
}

/// Fails unless every arrival is in one batch, and each batch gets one run.
async fn is_started_once(case: &Case<'_>) -> Result<()> {
    let is_started =
        |batch: &Batch| matches!(batch.state, State::Started { .. } | State::Succeeded { .. });
    for batch in recovered(case, is_started).await? {
        let runs = case.runs_of(&batch).await?;
        ensure!(runs == 1, "batch `{}` has {runs} runs: {batch:?}", batch.id);
    }
    let sent = case.clear_starts();
    ensure!(sent.is_none_or(|sent| sent == 1), "StartJobRun was sent {sent:?} times");
    Ok(())
}

pub fn tick() -> Value {
    json!({ "source": "aws.events", "detail-type": "Scheduled Event", "detail": {} })
}

/// Passes five thousand objects of fifty groups, every event twice and in no order, to three
/// processes of the deployed trigger, of which two are killed. The deployed monitor closes the
/// batches and follows the runs.
pub fn three_triggers_of_which_two_are_killed_put_each_object_into_one_batch(
    stage: &Stage,
) -> Result<()> {
    const OBJECTS: usize = 5_000;
    const GROUPS: usize = 50;
    const MESSAGES: usize = 1_000;
    let session = session(stage, "landfall-trigger")?;
    let mut variables = surroundings(&session, stage.cloud.emulator.endpoint())?;
    let root = stage.cloud.emulator.folder().join("stage/trigger");
    variables.extend(
        [
            ("LAMBDA_TASK_ROOT", root.display().to_string()),
            (
                "LANDFALL_READER_ROLE_ARN",
                format!("arn:aws:iam::{DATA}:role/landfall/landfall-reader-{ANALYTICS}"),
            ),
            ("LANDFALL_LEDGER_TABLE", "landfall-ledger".to_owned()),
            (
                "LANDFALL_CLAIMS_TABLE_ARN",
                format!("arn:aws:dynamodb:{REGION}:{DATA}:table/landfall-claims"),
            ),
            ("LANDFALL_MANIFESTS_BUCKET", format!("landfall-manifests-{DATA}-{REGION}")),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    let key = |object: usize| format!("in/grouped/{}/{object}.csv", object % GROUPS);
    let mut events: Vec<usize> = (0..OBJECTS).chain(0..OBJECTS).collect();
    shuffle(&mut events);
    let invocations: VecDeque<Vec<usize>> =
        events.chunks(MESSAGES).map(<[usize]>::to_vec).collect();
    let queue = Mutex::new(invocations);
    let next = || queue.lock().expect("nobody panics with the queue").pop_front();
    let back = |objects| queue.lock().expect("nobody panics with the queue").push_back(objects);
    let functions = (0..3)
        .map(|_| Function::start(&binary(stage, "trigger"), &variables, Stdio::null()))
        .collect::<Result<Vec<_>>>()?;

    stage.cloud.wait(async {
        // Make one invocation, and cut it short after a while if it is to be killed. What isn't
        // acknowledged goes back to the queue.
        let serve = async |function: &Function,
                           objects: Vec<usize>,
                           dies: Option<Duration>|
               -> Result<()> {
            let records = objects.iter().map(|object| {
                let body = notification(LANDING_BUCKET, &key(*object), *object).to_string();
                json!({ "messageId": format!("{object}"), "eventSource": "aws:sqs", "body": body })
            });
            let event = json!({ "Records": records.collect::<Vec<_>>() });
            let invoked = function.invoke(event, Duration::from_secs(120));
            let killed = async {
                match dies {
                    Some(after) => {
                        tokio::time::sleep(after).await;
                        function.kill()
                    }
                    None => Ok(()),
                }
            };
            let (answer, killed) = futures_util::future::join(invoked, killed).await;
            killed?;
            let Answer::Response(answer) = answer? else {
                back(objects);
                return Ok(());
            };
            let failures = answer["batchItemFailures"].as_array().context("no list")?;
            let id = |failure: &Value| failure["itemIdentifier"].as_str()?.parse().ok();
            let again: Vec<usize> = failures.iter().filter_map(id).collect();
            if !again.is_empty() {
                back(again);
            }
            Ok(())
        };
        // Two die during their first invocation. The third serves the rest, including theirs.
        let firsts = functions.iter().zip([None, Some(700), Some(1_400)]);
        try_join_all(firsts.map(async |(function, dies)| match next() {
            Some(objects) => serve(function, objects, dies.map(Duration::from_millis)).await,
            None => bail!("there is nothing to do"),
        }))
        .await?;
        while let Some(objects) = next() {
            serve(&functions[0], objects, None).await?;
        }

        let mut batches: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let found = stream::iter(0..OBJECTS).map(async |object| {
            let key = key(object);
            let found = stage.ledger.find(LANDING_BUCKET, &key).await?;
            ensure!(found.len() == 1, "`{key}` is in {} batches", found.len());
            Ok((found[0].batch.clone(), key))
        });
        for (batch, key) in found.buffered(16).try_collect::<Vec<_>>().await? {
            batches.entry(batch).or_default().insert(key);
        }
        ensure!(batches.len() >= GROUPS, "{} batches of {GROUPS} groups", batches.len());
        for (id, keys) in &batches {
            let key = keys.first().context("a batch without members")?;
            let is_done = |batch: &Batch| matches!(batch.state, State::Succeeded { .. });
            let batch = stage.batch_of("grouped", key, RECOVERED, is_done).await?;
            ensure!(batch.id == *id && batch.runs.len() == 1, "{batch:?}");
            let members = stage.ledger.members(&batch).await?;
            let members: BTreeSet<String> = members.into_iter().map(|member| member.key).collect();
            ensure!(members == *keys, "`{id}` has other members than its objects say");
        }
        let mut runs: BTreeMap<String, usize> = BTreeMap::new();
        for run in stage.cloud.runs("claims").await? {
            ensure!(has_ended(&run), "a run has not ended: {run:?}");
            let id = run.arguments().and_then(|arguments| arguments.get("--landfall-batch-id"));
            *runs.entry(id.cloned().unwrap_or_default()).or_default() += 1;
        }
        for id in batches.keys() {
            ensure!(runs.get(id) == Some(&1), "batch `{id}` has {:?} runs", runs.get(id));
        }
        Ok(())
    })
}

/// Shuffles in the same way in every run.
fn shuffle(items: &mut [usize]) {
    let mut state = 0x9E37_79B9_u64;
    for at in (1..items.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        items.swap(at, usize::try_from(state >> 33).unwrap_or(0) % (at + 1));
    }
}
