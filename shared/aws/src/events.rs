//! Landfall's own events on the default bus of EventBridge. People route them to where they look.

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;

use crate::sdk_error::sdk_error_parts;

/// The source of every event of Landfall's.
pub const SOURCE: &str = "landfall";

/// Puts an event with this detail, which is JSON, on the account's default bus. Who puts it twice is heard twice.
///
/// # Errors
/// Returns the reason if EventBridge doesn't take the event.
pub async fn put(client: &Client, detail_type: &str, detail: String) -> Result<(), String> {
    let entry = PutEventsRequestEntry::builder()
        .source(SOURCE)
        .detail_type(detail_type)
        .detail(detail)
        .build();
    let answer = client.put_events().entries(entry).send().await.map_err(|error| {
        let (code, message) = sdk_error_parts(&error);
        format!("{code}: {message}")
    })?;
    let refused = answer.entries().iter().find_map(|entry| entry.error_code());
    refused.map_or(Ok(()), |code| Err(code.to_owned()))
}
