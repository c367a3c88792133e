//! The compiled trigger and monitor while AWS fails and while they are killed: each call in turn fails,
//! hangs or is throttled, before or after it took effect, and the process dies at each of them.
//!
//! They run beside Lambda, as roles with the policies that the templates give, against tables of their
//! own, through a proxy. Whatever happens: each arrival is in one batch, and each batch has one run.

pub mod ground;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use landfall_aws::clock::now;
use landfall_core::batch::{Batch, Started, State};
use landfall_tests::cloud::{LANDING_BUCKET, has_ended, wait_until};
use landfall_tests::lambda::{Answer, Function};
use landfall_tests::proxy::{Fault, Kind};
use landfall_tests::{ANALYTICS, DATA, REGION};
use serde_json::{Value, json};

use self::ground::{Ground, Plot, binary, notification, session, surroundings};
use crate::stage::Stage;

/// What an invocation is given: a call that hangs takes ten seconds of it, and a start is not begun
/// with less than twenty left.
pub const LEFT: Duration = Duration::from_secs(45);

/// Enough to record, and too little for a start.
const NO_TIME_TO_START: Duration = Duration::from_secs(19);

/// The lease of an invocation that was cut off, the pauses between looks, and a machine that is busy.
const RECOVERED: Duration = Duration::from_secs(400);

/// Cases at a time.
const SIDE_BY_SIDE: usize = 24;

/// What happens at a call.
#[derive(Clone, Copy, Debug)]
enum Mishap {
    Fails(Kind),
    /// The process is killed while it waits for the answer.
    Killed(Kind),
}

impl Mishap {
    fn all() -> impl Iterator<Item = Mishap> {
        let kills = [Kind::Hang, Kind::HangAfter].map(Mishap::Killed);
        Kind::ALL.map(Mishap::Fails).into_iter().chain(kills)
    }
}

pub fn a_trigger_whose_calls_fail_or_that_is_killed_loses_nothing_and_starts_once(
    stage: &Stage,
) -> Result<()> {
    let ground = Ground::new(stage, "trigger")?;
    stage.cloud.wait(async {
        // Record; write the manifest, assume, look at the job, begin, start, write.
        let calls =
            calls_of(&ground, "trigger", "trigger", async |plot: &Plot<'_>| Ok(plot.messages()))
                .await?;
        ensure!(calls >= 7, "a trigger makes {calls} calls");
        each(&ground, "trigger", calls, async |plot: &Plot<'_>, call, mishap| {
            let first = struck(plot, "trigger", plot.messages(), call, mishap).await?;
            // What SQS does with what was not acknowledged, and now and then with what was.
            let again = plot.function("trigger")?.invoke(plot.messages(), LEFT).await?;
            is_acknowledged(&again).with_context(|| format!("first {first:?}"))?;
            is_started_once(plot).await
        })
        .await
    })
}

pub fn a_monitor_whose_calls_fail_or_that_is_killed_while_it_starts_starts_once(
    stage: &Stage,
) -> Result<()> {
    let ground = Ground::new(stage, "starting")?;
    stage.cloud.wait(async {
        let recorded = async |plot: &Plot<'_>| {
            let trigger = plot.function("trigger")?;
            is_acknowledged(&trigger.invoke(plot.messages(), NO_TIME_TO_START).await?)?;
            Ok(tick())
        };
        let calls = calls_of(&ground, "starting", "monitor", recorded).await?;
        ensure!(calls >= 12, "a monitor makes {calls} calls to start a batch");
        each(&ground, "starting", calls, async |plot: &Plot<'_>, call, mishap| {
            let tick = recorded(plot).await?;
            struck(plot, "monitor", tick, call, mishap).await?;
            is_started_once(plot).await
        })
        .await
    })
}

pub fn a_monitor_whose_calls_fail_or_that_is_killed_while_it_follows_learns_the_outcome(
    stage: &Stage,
) -> Result<()> {
    let ground = Ground::new(stage, "following")?;
    stage.cloud.wait(async {
        // Started, claimed by its run, which has succeeded, and to be looked at now.
        let followed = async |plot: &Plot<'_>| {
            let trigger = plot.function("trigger")?;
            is_acknowledged(&trigger.invoke(plot.messages(), LEFT).await?)?;
            is_started_once(plot).await?;
            for mut batch in plot.batches().await? {
                plot.claim(&batch).await?;
                if let State::Started(Started { look_at, .. }) = &mut batch.state {
                    *look_at = now();
                }
                plot.ledger.write(batch).await?.context("somebody else wrote it")?;
            }
            Ok(tick())
        };
        let calls = calls_of(&ground, "following", "monitor", followed).await?;
        ensure!(calls >= 8, "a monitor makes {calls} calls to follow a run");
        each(&ground, "following", calls, async |plot: &Plot<'_>, call, mishap| {
            let tick = followed(plot).await?;
            struck(plot, "monitor", tick, call, mishap).await?;
            let is_done = |batch: &Batch| matches!(batch.state, State::Succeeded { .. });
            recovered(plot, is_done).await?;
            is_started_once(plot).await
        })
        .await
    })
}

/// How many calls `function` makes where nothing fails.
async fn calls_of(
    ground: &Ground<'_>,
    name: &str,
    function: &str,
    event: impl AsyncFn(&Plot<'_>) -> Result<Value>,
) -> Result<usize> {
    let plot = ground.plot(&format!("{name}-faultless")).await?;
    let event = event(&plot).await?;
    plot.begin_plan(vec![]);
    let answer = plot.function(function)?.invoke(event, LEFT).await?;
    ensure!(matches!(answer, Answer::Response(_)), "it fails without a fault: {answer:?}");
    let calls = plot.proxy.calls().len();
    is_started_once(&plot).await?;
    Ok(calls)
}

/// Each mishap at each call, each in a ledger of its own.
async fn each(
    ground: &Ground<'_>,
    name: &str,
    calls: usize,
    case: impl AsyncFn(&Plot<'_>, usize, Mishap) -> Result<()>,
) -> Result<()> {
    let cases = (1..=calls).flat_map(|call| Mishap::all().map(move |mishap| (call, mishap)));
    let case = &case;
    stream::iter(cases)
        .map(async |(call, mishap)| {
            let (Mishap::Fails(kind) | Mishap::Killed(kind)) = mishap;
            let how = if matches!(mishap, Mishap::Killed(_)) { "killed" } else { "fails" };
            let plot = ground.plot(&format!("{name}-{call}-{how}-{kind:?}")).await?;
            case(&plot, call, mishap).await.with_context(|| {
                format!("{mishap:?} at call {call} of {calls}; logged:\n{}", plot.said())
            })
        })
        .buffer_unordered(SIDE_BY_SIDE)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(())
}

/// Gives `event` to a new process that this happens to at this call.
async fn struck(
    plot: &Plot<'_>,
    function: &str,
    event: Value,
    call: usize,
    mishap: Mishap,
) -> Result<Answer> {
    let function = plot.function(function)?;
    let (Mishap::Fails(kind) | Mishap::Killed(kind)) = mishap;
    plot.begin_plan(vec![Fault::at_call(call, kind)]);
    let answer = match mishap {
        Mishap::Fails(_) => function.invoke(event, LEFT).await?,
        Mishap::Killed(_) => {
            let killed = async {
                wait_until("the call was not made", LEFT, async || {
                    let calls = plot.proxy.calls();
                    let made = calls.get(call - 1);
                    let has_effect = made.is_some_and(|call| call.upstream.is_some());
                    // On a machine that is busy the function may have given it up, and asked again.
                    let is_over = kind == Kind::Hang || has_effect || calls.len() > call;
                    Ok((made.is_some() && is_over).then_some(()))
                })
                .await?;
                function.kill()
            };
            let (answer, killed) =
                futures_util::future::join(function.invoke(event, LEFT), killed).await;
            killed?;
            answer?
        }
    };
    plot.end_plan(call)?;
    Ok(answer)
}

/// All that was delivered need not be delivered again.
pub fn is_acknowledged(answer: &Answer) -> Result<()> {
    match answer {
        Answer::Response(response) if response["batchItemFailures"] == json!([]) => Ok(()),
        other => bail!("not acknowledged: {other:?}"),
    }
}

/// Ticks until all batches are as wanted.
async fn recovered(plot: &Plot<'_>, is_wanted: impl Fn(&Batch) -> bool) -> Result<Vec<Batch>> {
    let monitor = plot.function("monitor")?;
    wait_until("the batches do not become what they should", RECOVERED, async || {
        let batches = plot.batches().await?;
        if !batches.is_empty() && batches.iter().all(&is_wanted) {
            return Ok(Some(batches));
        }
        let answer = monitor.invoke(tick(), LEFT).await?;
        // On a busy machine a call of a tick can take too long. The next tick goes on.
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

/// Every arrival is in one batch, and each batch gets one run.
async fn is_started_once(plot: &Plot<'_>) -> Result<()> {
    let is_started =
        |batch: &Batch| matches!(batch.state, State::Started { .. } | State::Succeeded { .. });
    for batch in recovered(plot, is_started).await? {
        let runs = plot.runs_of(&batch).await?;
        ensure!(runs == 1, "batch `{}` has {runs} runs: {batch:?}", batch.id);
    }
    let sent = plot.clear_starts();
    ensure!(sent.is_none_or(|sent| sent == 1), "StartJobRun was sent {sent:?} times");
    Ok(())
}

pub fn tick() -> Value {
    json!({ "source": "aws.events", "detail-type": "Scheduled Event", "detail": {} })
}

/// Five thousand objects of fifty groups, every event twice and in no order, to three processes of the
/// deployed trigger, of which two are killed. The deployed monitor closes the batches and follows the runs.
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
        // One invocation, cut short after a while if it is to be; what is not acknowledged goes back.
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
        // Two die in the midst of their first; the third serves the rest, theirs included.
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
            ensure!(members == *keys, "`{id}` has other members than are said to be in it");
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

/// The same in every run.
fn shuffle(items: &mut [usize]) {
    let mut state = 0x9E37_79B9_u64;
    for at in (1..items.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        items.swap(at, usize::try_from(state >> 33).unwrap_or(0) % (at + 1));
    }
}
