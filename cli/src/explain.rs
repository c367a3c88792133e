//! `landfall explain`: shows what an object or an event would start, and why.
//!
//! It decides nothing itself. The core makes the verdicts and the plan, as it does for the trigger.

pub mod document;
pub mod text;

use anyhow::{anyhow, bail};
use landfall_core::arrivals::{Arrival, ArrivalError, Content, Delivery, Intake, Message};
use landfall_core::batch::RefusalReason;
use landfall_core::plan::{Plan, plan, plan_messages};
use landfall_core::routes::Routes;
use serde_json::value::RawValue;

use crate::args::{Color, ExplainArgs};
use crate::input::{self, read_routes};
use crate::terminal::output::{Output, Printed, Status};

/// The object or the event to explain, as the core reads it.
#[derive(Debug)]
struct Subject {
    delivery: Delivery,
    /// Whether the subject is a URI, so that only the command line says more about the object.
    is_uri: bool,
}

/// Everything that an explanation shows.
struct Explanation<'a> {
    routes: &'a Routes,
    subject: &'a Subject,
    plan: Plan,
    /// The arguments that Landfall adds, whose values are unknown here.
    added: &'static [&'static str],
}

/// The arguments that every job gets besides those of its route.
const ADDED: [&str; 5] = [
    "--landfall-batch-id",
    "--landfall-epoch",
    "--landfall-manifest",
    "--landfall-reader-role",
    "--landfall-claims-table",
];

/// Explains the object or the event that `args` name.
pub fn run(args: &ExplainArgs, color: Color) -> Printed {
    if input::is_stdin(&args.routes) && input::is_stdin(&args.subject) {
        return Err(anyhow!("standard input (`-`) can be read only once").into());
    }
    let (_, (routes, _)) = read_routes(&args.routes, Routes::parse, color)?;
    let subject = subject(args)?;
    let explanation = Explanation {
        routes: &routes,
        subject: &subject,
        plan: plan_of(&routes, &subject),
        added: &ADDED,
    };
    let mut output = Output::success(if args.output.is_json() {
        document::print(&explanation)
    } else {
        text::print(&explanation)
    });
    if explanation.plan.requests.is_empty() {
        output.worsen(Status::Nothing);
    }
    if !subject.delivery.unreadable.is_empty() {
        output.worsen(Status::Problems);
    }
    Ok(output)
}

/// Returns the plan that the trigger would carry out. A URI says less than an event: the trigger would not
/// refuse an object for what only the URI lacks, so such a refusal hides nothing else.
fn plan_of(routes: &Routes, subject: &Subject) -> Plan {
    let Delivery { arrivals, message_of, .. } = &subject.delivery;
    let of_each = plan(routes, arrivals);
    let is_unknown = |reason: &RefusalReason| matches!(reason, RefusalReason::UnknownValue { .. });
    if subject.is_uri && of_each.refusals.iter().all(|refusal| is_unknown(&refusal.reason)) {
        return of_each;
    }
    plan_messages(routes, arrivals, message_of)
}

fn subject(args: &ExplainArgs) -> anyhow::Result<Subject> {
    let text = args.subject.to_string_lossy();
    if text.contains("://") && !text.starts_with("s3://") {
        input::object(&text)?;
    }
    if let Some(uri) = args.subject.to_str().filter(|text| text.starts_with("s3://")) {
        let content = Content { arrivals: vec![arrival(uri, args)?], ..Content::default() };
        let message = Message { id: None, listings_from: None, content: Ok(content) };
        return Ok(Subject { delivery: [message].into_iter().collect(), is_uri: true });
    }
    if args.size.is_some() || args.version_id.is_some() || args.event_time.is_some() {
        bail!(
            "--size, --version-id and --event-time work only with an s3:// URI, because an event has its own values"
        );
    }
    let text = input::read(&args.subject)?;
    let delivery = take_apart(text.trim_start_matches('\u{feff}'));
    Ok(Subject { delivery, is_uri: false })
}

/// Returns an arrival of the object that a URI names.
fn arrival(uri: &str, args: &ExplainArgs) -> anyhow::Result<Arrival> {
    let (bucket, key) = input::object(uri)?;
    Ok(Arrival {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        size: args.size,
        etag: None,
        version_id: args.version_id.clone(),
        sequencer: None,
        event_time: args.event_time,
        listing: None,
    })
}

fn take_apart(event: &str) -> Delivery {
    let intake = match serde_json::from_str::<&RawValue>(event) {
        Ok(event) => Intake::read(event, None),
        Err(error) => Err(ArrivalError::NotJson(error.to_string())),
    };
    let messages = match intake {
        Ok(intake) => intake.messages,
        Err(error) => vec![Message { id: None, listings_from: None, content: Err(error) }],
    };
    messages.into_iter().collect()
}
