//! Landfall's own events on the default bus of EventBridge. People route them to where they look.

use std::sync::OnceLock;

use aws_config::SdkConfig;
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;

use crate::sdk_error::sdk_error_parts;

/// The source of every event of Landfall's.
pub const SOURCE: &str = "landfall";

/// The detail type of the events about findings.
pub const FINDING: &str = "Landfall Finding";

/// Puts events with a client that it makes for the first one. Most processes put none, and begin sooner without it.
#[derive(Debug)]
pub(crate) struct Events {
    config: SdkConfig,
    client: OnceLock<Client>,
}

impl Events {
    /// Makes no call and no client.
    pub(crate) fn new(config: &SdkConfig) -> Self {
        Self { config: config.clone(), client: OnceLock::new() }
    }

    /// Does the same as [`put`].
    pub(crate) async fn put(&self, detail_type: &str, detail: String) -> Result<(), String> {
        let client = self.client.get_or_init(|| Client::new(&self.config));
        put(client, detail_type, detail).await
    }
}

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
    if answer.failed_entry_count() == 0 {
        return Ok(());
    }
    let refused = answer.entries().iter().find_map(|entry| {
        Some(format!("{}: {}", entry.error_code()?, entry.error_message().unwrap_or_default()))
    });
    Err(refused.unwrap_or_else(|| "the event was refused without a reason".to_owned()))
}
