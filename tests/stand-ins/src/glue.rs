//! Glue: jobs and their runs.

use std::collections::{BTreeMap, HashMap};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::call::Answer;

/// The maximum number of runs on a page.
const MAX_RUNS: u64 = 200;

/// The maximum number of characters of a session policy.
const MAX_POLICY: usize = 2_048;

/// A job run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The ID: `jr_` and a number in hexadecimal digits. The first is `jr_1`. If Glue repeats it by
    /// itself, `_attempt_1` and so on stand behind it.
    pub id: String,
    /// How often Glue has repeated the run by itself before this attempt.
    pub attempt: i32,
    pub job: String,
    /// The state: `RUNNING` until a test sets another.
    pub state: String,
    /// Why the run failed, as a test says.
    pub error_message: Option<String>,
    pub arguments: BTreeMap<String, String>,
    /// `ExecutionRoleSessionPolicy`, which the stand-in keeps and doesn't apply.
    pub session_policy: Option<String>,
    pub started_at: SystemTime,
    /// When the state became final.
    pub ended_at: Option<SystemTime>,
}

#[derive(Debug, Default)]
pub(crate) struct Glue {
    /// The jobs, with the number of times that Glue retries a run of each. If it is empty, all jobs
    /// exist.
    pub(crate) jobs: BTreeMap<String, i32>,
    /// The ARNs of the roles of jobs. Of a job without one, `GetJob` shows only its retries.
    pub(crate) roles: BTreeMap<String, String>,
    /// The runs of each job, in the order in which they were started.
    runs: HashMap<String, Vec<Run>>,
    /// For each run ID, the job and the run's index.
    places: HashMap<String, (String, usize)>,
}

impl Glue {
    pub(crate) fn serve(&mut self, operation: &str, body: &Value, now: SystemTime) -> Answer {
        let answer = match operation {
            "StartJobRun" => self.start(body, now),
            "GetJobRuns" => self.list(body),
            "GetJobRun" => self.get(body),
            "GetJob" => self.job(body),
            _ => Err(("UnknownOperationException", "the stand-in does not know it")),
        };
        match answer {
            Ok(body) => Answer::json(200, &body),
            Err((code, message)) => Answer::error("glue", 400, code, message),
        }
    }

    pub(crate) fn runs_of(&self, job: &str) -> &[Run] {
        self.runs.get(job).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn set_state(&mut self, run_id: &str, state: &str, now: SystemTime) -> bool {
        let Some((job, place)) = self.places.get(run_id) else { return false };
        let Some(run) = self.runs.get_mut(job).and_then(|runs| runs.get_mut(*place)) else {
            return false;
        };
        let goes_on = matches!(state, "STARTING" | "RUNNING" | "STOPPING" | "WAITING");
        run.ended_at = (!goes_on).then_some(now);
        state.clone_into(&mut run.state);
        let run = run.clone();
        if matches!(state, "FAILED" | "ERROR") && run.attempt < self.max_retries(&run.job) {
            self.repeat(&run, now);
        }
        true
    }

    /// Sets why a run fails.
    pub(crate) fn set_error(&mut self, run_id: &str, message: &str) -> bool {
        let Some((job, place)) = self.places.get(run_id) else { return false };
        let run = self.runs.get_mut(job).and_then(|runs| runs.get_mut(*place));
        run.map(|run| run.error_message = Some(message.to_owned())).is_some()
    }

    fn max_retries(&self, job: &str) -> i32 {
        self.jobs.get(job).copied().unwrap_or(0)
    }

    /// Starts the next attempt of a run that failed, at once and with the same arguments.
    fn repeat(&mut self, run: &Run, now: SystemTime) {
        let attempt = run.attempt + 1;
        let first = run.id.split("_attempt_").next().unwrap_or_default();
        let id = format!("{first}_attempt_{attempt}");
        let state = "RUNNING".to_owned();
        let (error_message, ended_at) = (None, None);
        self.push(Run {
            id,
            attempt,
            state,
            error_message,
            started_at: now,
            ended_at,
            ..run.clone()
        });
    }

    fn push(&mut self, run: Run) {
        let runs = self.runs.entry(run.job.clone()).or_default();
        self.places.insert(run.id.clone(), (run.job.clone(), runs.len()));
        runs.push(run);
    }

    fn known(&self, name: &Value) -> Result<String, Refused> {
        let name = name.as_str().filter(|name| !name.is_empty()).ok_or(INVALID)?;
        match self.jobs.is_empty() || self.jobs.contains_key(name) {
            true => Ok(name.to_owned()),
            false => Err(NOT_FOUND),
        }
    }

    fn start(&mut self, body: &Value, now: SystemTime) -> Result<Value, Refused> {
        let job = self.known(&body["JobName"])?;
        let id = format!("jr_{:x}", self.places.len() + 1);
        let arguments = body["Arguments"].as_object().into_iter().flatten();
        let arguments = arguments
            .map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect::<Option<_>>()
            .ok_or(INVALID)?;
        let session_policy = match &body["ExecutionRoleSessionPolicy"] {
            Value::Null => None,
            Value::String(policy) if (2..=MAX_POLICY).contains(&policy.chars().count()) => {
                Some(policy.clone())
            }
            _ => return Err(INVALID),
        };
        self.push(Run {
            id: id.clone(),
            attempt: 0,
            job,
            state: "RUNNING".to_owned(),
            error_message: None,
            arguments,
            session_policy,
            started_at: now,
            ended_at: None,
        });
        Ok(json!({ "JobRunId": id }))
    }

    /// Lists the newest runs first. A token is the number of runs that follow the page, so runs
    /// that start in the meantime don't move it.
    fn list(&self, body: &Value) -> Result<Value, Refused> {
        let job = self.known(&body["JobName"])?;
        let runs = self.runs_of(&job);
        let most = body["MaxResults"].as_u64().unwrap_or(MAX_RUNS);
        if !(1..=MAX_RUNS).contains(&most) {
            return Err(INVALID);
        }
        let end = match body["NextToken"].as_str() {
            Some(token) => token.parse().ok().filter(|end| *end <= runs.len()).ok_or(INVALID)?,
            None => runs.len(),
        };
        let begin = end.saturating_sub(usize::try_from(most).unwrap_or(usize::MAX));
        let page: Vec<Value> = runs[begin..end].iter().rev().map(Run::wire).collect();
        Ok(match begin {
            0 => json!({ "JobRuns": page }),
            _ => json!({ "JobRuns": page, "NextToken": begin.to_string() }),
        })
    }

    fn get(&self, body: &Value) -> Result<Value, Refused> {
        let job = self.known(&body["JobName"])?;
        let place = body["RunId"].as_str().and_then(|id| self.places.get(id));
        let (_, place) = place.filter(|(of, _)| *of == job).ok_or(NOT_FOUND)?;
        Ok(json!({ "JobRun": self.runs_of(&job)[*place].wire() }))
    }

    fn job(&self, body: &Value) -> Result<Value, Refused> {
        let name = self.known(&body["JobName"])?;
        let retries = self.max_retries(&name);
        let mut job = json!({ "Name": name, "MaxRetries": retries });
        if let Some(role) = self.roles.get(&name) {
            job["Role"] = role.as_str().into();
            job["ExecutionProperty"] = json!({ "MaxConcurrentRuns": 10 });
            let script = format!("s3://acme-scripts/{name}.py");
            job["Command"] = json!({ "Name": "glueetl", "ScriptLocation": script });
        }
        Ok(json!({ "Job": job }))
    }
}

type Refused = (&'static str, &'static str);

const INVALID: Refused = ("InvalidInputException", "the request is not valid");
const NOT_FOUND: Refused = ("EntityNotFoundException", "there is no such job or run");

impl Run {
    fn wire(&self) -> Value {
        let seconds = |time: SystemTime| {
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            // Glue reports times to the millisecond.
            since.as_millis() as f64 / 1_000.0
        };
        let mut run = json!({
            "Id": self.id,
            "Attempt": self.attempt,
            "JobName": self.job,
            "JobRunState": self.state,
            "Arguments": self.arguments,
            "StartedOn": seconds(self.started_at),
            "LastModifiedOn": seconds(self.ended_at.unwrap_or(self.started_at)),
        });
        if self.attempt > 0 {
            let (before, _) = self.id.rsplit_once('_').unwrap_or_default();
            run["PreviousRunId"] = match self.attempt {
                1 => before.trim_end_matches("_attempt").into(),
                attempt => format!("{before}_{}", attempt - 1).into(),
            };
        }
        if let Some(policy) = &self.session_policy {
            run["ExecutionRoleSessionPolicy"] = policy.as_str().into();
        }
        if let Some(message) = &self.error_message {
            run["ErrorMessage"] = message.as_str().into();
        }
        if let Some(ended) = self.ended_at {
            run["CompletedOn"] = seconds(ended).into();
        }
        run
    }
}
