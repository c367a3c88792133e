//! Parses an SQS event, either with lean serde alone or as the trigger does. `make bench` runs it
//! under a tool that counts instructions.
//!
//! Usage: `parsing nothing|lean|whole EVENT ROUTES`. `nothing` is what both share, which the bench
//! subtracts.

use std::borrow::Cow;
use std::error::Error;
use std::fs;
use std::hint::black_box;

use landfall_core::arrivals::Intake;
use landfall_core::plan::plan_messages;
use landfall_core::routes::Routes;
use serde::Deserialize;
use serde_json::value::RawValue;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, event, routes] = arguments.as_slice() else {
        return Err(
            "expected nothing, lean or whole, then a file with an event and a file with routes"
                .into(),
        );
    };
    let event = RawValue::from_string(fs::read_to_string(event)?)?;
    let routes =
        Routes::parse(&fs::read_to_string(routes)?).routes.ok_or("the routes have errors")?;
    match what.as_str() {
        "nothing" => {}
        "lean" => {
            let count = lean(&event)?;
            println!("{count} arrivals");
        }
        "whole" => {
            let count = whole(&event, &routes)?;
            println!("{count} arrivals");
        }
        other => return Err(format!("`{other}` is not nothing, lean or whole").into()),
    }
    Ok(())
}

/// Does what the trigger does before it calls anything.
fn whole(event: &RawValue, routes: &Routes) -> Result<usize, Box<dyn Error>> {
    let intake = Intake::read(event, None)?;
    let (mut arrivals, mut message_of, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for (index, message) in intake.messages.into_iter().enumerate() {
        let content = message.content?;
        message_of.extend(content.arrivals.iter().map(|_| index));
        arrivals.extend(content.arrivals);
        ids.push(message.id);
    }
    let plan = black_box(plan_messages(routes, &arrivals, &message_of));
    let planned: usize = plan.requests.iter().map(|request| request.objects).sum();
    if planned != arrivals.len() || !plan.unmatched.is_empty() {
        return Err(format!("{planned} of {} arrivals planned for", arrivals.len()).into());
    }
    Ok(planned)
}

/// Reads both layers of JSON, borrowed if the text allows it. It checks, decodes and matches
/// nothing.
fn lean(event: &RawValue) -> Result<usize, Box<dyn Error>> {
    let event: Event<'_> = serde_json::from_str(event.get())?;
    let mut count = 0;
    for message in &event.records {
        black_box(&message.message_id);
        let body: Notification<'_> = serde_json::from_str(&message.body)?;
        count += body.records.len();
        black_box(&body);
    }
    Ok(count)
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "Records")]
    records: Vec<Message<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    #[serde(borrow)]
    message_id: Cow<'a, str>,
    #[serde(borrow)]
    body: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Notification<'a> {
    #[serde(borrow, rename = "Records")]
    records: Vec<Record<'a>>,
}

// What matters is that the fields of a record are read, not what becomes of them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "it is read to be measured")]
struct Record<'a> {
    #[serde(borrow)]
    event_source: Cow<'a, str>,
    #[serde(borrow)]
    event_version: Cow<'a, str>,
    #[serde(borrow)]
    event_name: Cow<'a, str>,
    #[serde(borrow)]
    event_time: Cow<'a, str>,
    #[serde(borrow)]
    s3: Entity<'a>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "it is read to be measured")]
struct Entity<'a> {
    #[serde(borrow)]
    bucket: Bucket<'a>,
    #[serde(borrow)]
    object: Object<'a>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "it is read to be measured")]
struct Bucket<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "it is read to be measured")]
struct Object<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    size: u64,
    #[serde(borrow)]
    e_tag: Cow<'a, str>,
    #[serde(borrow)]
    version_id: Cow<'a, str>,
    #[serde(borrow)]
    sequencer: Cow<'a, str>,
}
