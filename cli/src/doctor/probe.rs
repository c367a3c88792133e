//! `landfall doctor --probe`: has the trigger make the calls before a start, with its own role.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use aws_sdk_lambda::primitives::Blob;
use landfall_aws::config;
use landfall_aws::sdk_error::sdk_error_parts;
use landfall_core::doctor::explain;
use landfall_core::probe::{Answer, EVENT, Outcome, Probe};
use serde::{Deserialize, Serialize};

use super::explain::in_words;
use super::object::{DataAccount, connect};
use crate::args::doctor::DoctorArgs;
use crate::aws;
use crate::terminal::consent::{can_ask, confirm};
use crate::terminal::escape::shown;
use crate::terminal::output::{self, Output, Printed, Status};
use crate::terminal::phrases::counted;
use crate::terminal::printable;
use crate::terminal::table::{Align, table};

/// The version of the JSON document.
const VERSION: u32 = 1;

/// The longest that a function can run, and some time for the way.
const LIMIT: Duration = Duration::from_secs(930);

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    probes: &'a [Probe],
}

/// What Lambda answers if the function fails.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    error_type: Option<String>,
    error_message: Option<String>,
}

/// Says what will be done, asks, does it and reports.
pub fn run(args: &DoctorArgs) -> Printed {
    let function = format!("{}-trigger", args.stacks.name_prefix);
    can_ask(args.yes, "`doctor --probe` asks before it invokes the trigger")?;
    let answer = aws::wait(async {
        let account = connect(&args.stacks).await?;
        let place = &account.place;
        eprintln!(
            "This invokes function `{}` in account {}, region {}, once. With its own role, it assumes the starter \
             role of each target, and calls glue:GetJob for each job that the deployed routes start. It starts no job run \
             and writes nothing but its log. CloudTrail records the calls in both accounts.",
            printable(&function),
            place.account,
            printable(&place.region)
        );
        confirm(args.yes, "invoke the trigger?")?;
        invoke(&account, &function).await
    })?;
    if args.output.is_json() {
        let document = output::json(&Document { version: VERSION, probes: &answer.probes });
        return Ok(Output { stdout: document, status: status(&answer), ..Output::default() });
    }
    Ok(Output { stdout: text(&answer), status: status(&answer), ..Output::default() })
}

async fn invoke(account: &DataAccount, function: &str) -> anyhow::Result<Answer> {
    let limits = config::timeouts()
        .operation_timeout(LIMIT)
        .operation_attempt_timeout(LIMIT)
        .read_timeout(LIMIT)
        .build();
    let config = account.config.to_builder().timeout_config(limits).build();
    let client = aws_sdk_lambda::Client::new(&config);
    let invoke = client.invoke().function_name(function).payload(Blob::new(EVENT));
    let answer = invoke.send().await.map_err(|error| {
        let (code, message) = sdk_error_parts(&error);
        anyhow!("failed to invoke `{function}`: {code}: {message}{}", hint(&code))
    })?;
    let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
    if answer.function_error.is_some() {
        let failure: Option<Failure> = serde_json::from_slice(&payload).ok();
        let (code, message) = failure.map_or((None, None), |it| (it.error_type, it.error_message));
        let code = code.unwrap_or_else(|| "unknown".to_owned());
        bail!(
            "`{function}` failed: {code}: {}; a trigger of an earlier version knows no probe: deploy it again",
            message.unwrap_or_default()
        );
    }
    serde_json::from_slice(&payload)
        .with_context(|| format!("`{function}` answered something else than a probe's outcome"))
}

fn hint(code: &str) -> &'static str {
    match code {
        "AccessDeniedException" => " (your credentials need lambda:InvokeFunction on it)",
        "ResourceNotFoundException" => {
            " (are these credentials for the data account, and is --region the stack's?)"
        }
        _ => "",
    }
}

/// What works is no problem; what there was no time for is unknown.
fn status(answer: &Answer) -> Status {
    let has = |wanted: fn(&Outcome) -> bool| answer.probes.iter().any(|it| wanted(&it.outcome));
    if has(|it| matches!(it, Outcome::Failed { .. } | Outcome::NoSuchJob)) {
        Status::Problems
    } else if has(|it| *it == Outcome::OutOfTime) {
        Status::Unusable
    } else {
        Status::Success
    }
}

fn text(answer: &Answer) -> String {
    let rows: Vec<[String; 5]> = answer.probes.iter().map(row).collect();
    let columns = ["STATUS", "TARGET", "ACCOUNT", "JOB", "SEEN"].map(|name| (name, Align::Left));
    let failed = answer.probes.iter().filter(|it| it.outcome != Outcome::Works).count();
    let mut text = match failed {
        0 => format!("the trigger can start {}\n\n", counted(rows.len(), "job")),
        _ => format!("of {}, {failed} can't be started or seen\n\n", counted(rows.len(), "job")),
    };
    text.push_str(&table(columns, &rows));
    // The jobs of a role that can't be assumed have the same message.
    let mut told: Vec<&str> = Vec::new();
    for probe in &answer.probes {
        let Outcome::Failed { message, .. } = &probe.outcome else { continue };
        if told.contains(&message.as_str()) {
            continue;
        }
        told.push(message);
        for found in explain(message) {
            text.push_str(&format!("\n{}", in_words(&found)));
        }
    }
    text
}

fn row(probe: &Probe) -> [String; 5] {
    let (status, seen) = match &probe.outcome {
        Outcome::Works => ("ok", "it assumed the starter role and saw the job".to_owned()),
        Outcome::NoSuchJob => {
            ("broken", "it assumed the starter role; there is no such job".to_owned())
        }
        Outcome::Failed { code, message } => ("broken", format!("{message} [{code}]")),
        Outcome::OutOfTime => ("unknown", "the function had no time left for it".to_owned()),
    };
    [
        status.to_owned(),
        printable(&probe.target),
        printable(&probe.account),
        printable(&probe.job),
        shown(&seen),
    ]
}
