//! The compiled trigger and monitor with an implementation of Glue that has `MaxConcurrentRuns` of
//! its own. In the emulator, we added it. Everything else comes from the emulator.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use aws_sdk_glue::types::{ExecutionProperty, JobCommand, JobRun, JobRunState};
use landfall_aws::clock::now;
use landfall_core::batch::{Batch, HistoryEvent, Started, State};
use landfall_tests::cloud::wait_until;
use landfall_tests::lambda::{Answer, Function};
use landfall_tests::moto::Moto;
use landfall_tests::proxy::Proxy;
use landfall_tests::{ANALYTICS, REGION};
use serde_json::{Value, json};

use crate::faults;
use crate::recovery::fixture::{Case, Fixture, JOB};
use crate::recovery::{LEFT, is_acknowledged, tick};
use crate::stage::Stage;

/// The time limit of a call.
const A_CALL: Duration = Duration::from_secs(20);

/// How often a run must be read in each of its states, `STARTING` and `RUNNING`, before it moves on.
/// The functions read it less often, so the test decides when it ends.
const LOOKS: usize = 20;

/// The time for that many reads on a busy machine.
const ENDED: Duration = Duration::from_secs(60);

pub fn a_job_at_its_limit_in_another_implementation_of_glue_makes_batches_wait_until_a_run_ends(
    stage: &Stage,
) -> Result<()> {
    let moto = Moto::start(&stage.cloud.python)?;
    let fixture = Fixture::new(stage, "another-glue", "required")?;
    stage.cloud.wait(async {
        let case = fixture.case("another-glue").await?;
        let glue = Glue::with_job(&moto).await?;
        let endpoint = glue.proxy.endpoint();
        let function =
            |name: &str| case.function_with(name, &[("AWS_ENDPOINT_URL_GLUE", &endpoint)]);
        let (trigger, monitor) = (function("trigger")?, function("monitor")?);
        one_after_the_other(&case, &glue, &trigger, &monitor)
            .await
            .with_context(|| format!("logged:\n{}", case.logged()))
    })
}

async fn one_after_the_other(
    case: &Case<'_>,
    glue: &Glue,
    trigger: &Function,
    monitor: &Function,
) -> Result<()> {
    let messages = case.messages();
    let messages = messages["Records"].as_array().context("no messages")?;
    for message in messages {
        let answer = trigger.invoke(json!({ "Records": [message] }), LEFT).await?;
        is_acknowledged(&answer)?;
    }
    let batches = progress(case, &["started", "waits", "waits"]).await?;
    ensure!(glue.starts() == [200, 400, 400], "{:?}", glue.starts());
    for batch in &batches[1..] {
        let entry = batch.history.last().context("no history")?;
        let is_refused = entry.what == HistoryEvent::WaitsForSlot
            && entry.detail.starts_with("start_concurrent_runs_exceeded: ")
            && entry.detail.contains("ConcurrentRunsExceededException");
        ensure!(is_refused, "{batch:?}");
    }

    // Make them due again. The run has not ended.
    for mut batch in batches {
        if let State::Sealed { due, .. } = &mut batch.state {
            *due = now();
            case.ledger.write(batch).await?.context("somebody else wrote it")?;
        }
    }
    let answer = monitor.invoke(tick(), LEFT).await?;
    // On a busy machine the one that is started is due to be looked at, too.
    let is_fine = |ticked: &Value| ticked["due"].as_u64().is_some_and(|due| due >= 2);
    ensure!(matches!(&answer, Answer::Response(ticked) if is_fine(ticked)), "{answer:?}");
    progress(case, &["started", "waits", "waits"]).await?;
    // The first that waits shows what becomes of the other, which is put off.
    ensure!(glue.starts() == [200, 400, 400, 400], "{:?}", glue.starts());

    let mut runs = Vec::new();
    for after in [
        ["succeeded", "started", "waits"],
        ["succeeded", "succeeded", "started"],
        ["succeeded", "succeeded", "succeeded"],
    ] {
        let batches = case.batches().await?;
        let of_run = |batch: &Batch| match &batch.state {
            State::Started(Started { run_id, .. }) => Some(run_id.clone()),
            _ => None,
        };
        let mut started = batches.iter().filter_map(|batch| Some((batch, of_run(batch)?)));
        let (batch, run) = started.next().context("no batch is started")?;
        case.claim(batch).await?;
        glue.end(&run).await?;
        is_acknowledged(&monitor.invoke(ended(&run), LEFT).await?)?;
        progress(case, &after).await.with_context(|| format!("after the end of `{run}`"))?;
        runs.push(run);
    }
    // Each end of a run started one batch, and nothing else was tried.
    ensure!(glue.starts() == [200, 400, 400, 400, 200, 200], "{:?}", glue.starts());

    let known: BTreeMap<String, String> = glue.runs().await?;
    let expected = case.batches().await?.into_iter().map(|batch| {
        let [run] = &batch.runs[..] else { bail!("not exactly one run: {batch:?}") };
        Ok((run.run_id.clone(), batch.id))
    });
    let expected: BTreeMap<String, String> = expected.collect::<Result<_>>()?;
    ensure!(known == expected && known.len() == 3, "{known:?}\n{expected:?}");
    ensure!(runs.iter().all(|run| known.contains_key(run)), "{runs:?}");
    Ok(())
}

/// Returns the batches, oldest first. Fails if their states differ from `wanted`.
async fn progress(case: &Case<'_>, wanted: &[&str]) -> Result<Vec<Batch>> {
    let mut batches = case.batches().await?;
    batches.sort_by_key(|batch| batch.opened_at);
    let states = batches.iter().map(|batch| match &batch.state {
        State::Sealed { waits_for_slot: true, .. } => "waits",
        state => state.name(),
    });
    let states: Vec<&str> = states.collect();
    ensure!(states == wanted, "{states:?}: {batches:?}");
    Ok(batches)
}

/// Returns the event of a run's end, as SQS delivers it.
fn ended(run: &str) -> Value {
    let event = json!({
        "version": "0", "source": "aws.glue", "detail-type": "Glue Job State Change",
        "account": ANALYTICS, "region": REGION,
        "detail": { "jobName": JOB, "jobRunId": run, "state": "SUCCEEDED", "severity": "INFO" },
    });
    json!({ "Records": [
        { "messageId": run, "eventSource": "aws:sqs", "body": event.to_string() },
    ] })
}

/// The other implementation of Glue, with one job.
struct Glue {
    /// The proxy through which the functions reach it.
    proxy: Proxy,
    client: aws_sdk_glue::Client,
}

impl Glue {
    async fn with_job(moto: &Moto) -> Result<Glue> {
        let config = faults::config(moto.endpoint(), ANALYTICS, A_CALL);
        let glue = Glue {
            proxy: Proxy::start(&moto.endpoint())?,
            client: aws_sdk_glue::Client::new(&config),
        };
        let transition = json!({ "progression": "manual", "times": LOOKS });
        moto.set_transition("glue::job_run", &transition)?;
        glue.client
            .create_job()
            .name(JOB)
            .role(format!("arn:aws:iam::{ANALYTICS}:role/any"))
            .command(JobCommand::builder().name("glueetl").script_location("s3://any/any").build())
            .execution_property(ExecutionProperty::builder().max_concurrent_runs(1).build())
            .max_retries(0)
            .send()
            .await
            .context("failed to create the job")?;
        Ok(glue)
    }

    /// Returns the status of each `StartJobRun` that the functions sent.
    fn starts(&self) -> Vec<u16> {
        let calls = self.proxy.calls().into_iter();
        let starts = calls.filter(|call| call.operation == "glue:StartJobRun");
        starts.map(|call| call.answered.unwrap_or_default()).collect()
    }

    /// Reads a run until it has ended. Reading makes it end.
    async fn end(&self, run: &str) -> Result<()> {
        wait_until("the run does not end", ENDED, async || {
            for _ in 0..=LOOKS {
                let request = self.client.get_job_run().job_name(JOB).run_id(run);
                let answer = request.send().await.context("failed to read the run")?;
                let state = answer.job_run.and_then(|run| run.job_run_state);
                if state == Some(JobRunState::Succeeded) {
                    return Ok(Some(()));
                }
            }
            Ok(None)
        })
        .await
    }

    /// Returns the batch ID of each run, by run ID.
    async fn runs(&self) -> Result<BTreeMap<String, String>> {
        let answer = self.client.get_job_runs().job_name(JOB).send().await;
        let answer = answer.context("failed to list the runs")?;
        ensure!(answer.next_token().is_none(), "the list has further pages");
        let batch = |run: &JobRun| {
            let id = run.arguments()?.get("--landfall-batch-id")?;
            Some((run.id()?.to_owned(), id.clone()))
        };
        let runs = answer.job_runs().iter().map(|run| batch(run).context("a run has no batch"));
        runs.collect()
    }
}
