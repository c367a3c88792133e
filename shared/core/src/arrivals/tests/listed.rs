//! What a listing found: from a message of the queue of backfills, and from nowhere else.

use super::*;

const QUEUE: &str = "arn:aws:sqs:eu-west-1:111111111111:arrivals";

fn listing() -> Listing {
    Listing {
        id: "backfill-1".to_owned(),
        route: "orders".to_owned(),
        again: false,
        max_runs_per_hour: None,
    }
}

fn found(key: &str, version_id: Option<&str>) -> Listed {
    Listed {
        key: key.to_owned(),
        size: 1024,
        etag: "d41d8cd98f00b204e9800998ecf8427e-2".to_owned(),
        version_id: version_id.map(str::to_owned),
        last_modified: EventTime::parse("2026-01-31T23:59:59Z").expect("a time"),
    }
}

fn body(found: &[Listed], listing: &Listing) -> String {
    let records: Vec<String> = found.iter().map(|one| one.record("landing", listing)).collect();
    messages(&records, usize::MAX).concat()
}

/// Reads an event as the function does whose backfills come from [`QUEUE`].
fn read_trusting(event: &str) -> Vec<Result<Content, ArrivalError>> {
    let raw: Box<RawValue> = serde_json::from_str(event).expect("JSON");
    let messages = Intake::read(&raw, Some(QUEUE)).expect("an event").messages;
    messages.into_iter().map(|message| message.content).collect()
}

#[test]
fn what_a_listing_found_is_read_exactly_as_it_was_found() {
    let again = Listing { again: true, ..listing() };
    for listing in [listing(), again] {
        let all = [found("orders/a+b %41 ü\u{1}.csv", None), found("orders/c.csv", Some("v1"))];
        let event = sqs(&[body(&all, &listing)]);
        let expected: Vec<Arrival> =
            all.iter().map(|one| one.arrival("landing", &listing)).collect();
        for event in [
            event.clone(),
            event.replacen('{', "{\"more\":{},", 1),
            of_pipe(&[body(&all, &listing)]),
        ] {
            let [Ok(content)] = &read_trusting(&event)[..] else { panic!("{event}") };
            assert_eq!(content.arrivals, expected);
        }
    }
}

#[test]
fn only_the_queue_of_backfills_may_say_what_a_listing_found() {
    let body = body(&[found("orders/a.csv", None)], &listing());
    let other = sqs(&[body.clone(), notification("orders/b.csv")]).replace(":arrivals", ":other");
    let [Err(error), Ok(announced)] = &read_trusting(&other)[..] else { panic!("{other}") };
    assert_eq!(*error, ArrivalError::UntrustedListing);
    assert_eq!((error.code(), announced.arrivals.len()), ("event_untrusted_listing", 1));
    for event in [
        body.clone(),
        of_sns(std::slice::from_ref(&body)),
        sqs(&[sns(&body)]).replace("eventSourceARN", "arn"),
    ] {
        assert_eq!(read_trusting(&event)[..], [Err(ArrivalError::UntrustedListing)], "{event}");
    }
    // A function of a stack without such a queue believes nobody.
    assert_eq!(one(&sqs(&[body])), Err(ArrivalError::UntrustedListing));
}

#[test]
fn a_record_that_lacks_what_listings_are_compared_by_is_refused() {
    let body = body(&[found("orders/a.csv", None)], &listing());
    for (field, missing) in [
        ("eTag", "object.eTag"),
        ("size", "object.size"),
        ("eventTime", "eventTime"),
        ("listing", "listing"),
        ("s3", "s3"),
    ] {
        let without = body.replace(&format!("\"{field}\":"), &format!("\"no-{field}\":"));
        let [Err(error)] = &read_trusting(&sqs(&[without]))[..] else { panic!("{field}") };
        assert_eq!(*error, ArrivalError::Missing(missing));
    }
    let ill_typed = body.replace("\"id\":\"backfill-1\"", "\"id\":1");
    assert_eq!(read_trusting(&sqs(&[ill_typed]))[..], [Err(ArrivalError::IllTyped)]);
}

#[test]
fn a_message_is_no_longer_than_it_may_be_and_holds_one_record_at_least() {
    let records: Vec<String> = (0..100).map(|n| "x".repeat(n)).collect();
    let messages = messages(&records, 100);
    assert!(
        messages.iter().all(|message| message.len() <= 100 || message.matches('x').count() > 80)
    );
    let text = messages.concat();
    assert_eq!(text.matches('x').count(), 99 * 100 / 2);
    assert_eq!(super::messages(&[], 100), [""; 0]);
}
