//! The SDK's words for a notification configuration ↔ the core's.
//!
//! Events and names of filter rules that the SDK has no word for stay what they are. What a rule
//! cannot be without is an error in either direction, never filled in.

use aws_sdk_s3::error::BuildError;
use aws_sdk_s3::operation::get_bucket_notification_configuration::GetBucketNotificationConfigurationOutput;
use aws_sdk_s3::types;
use landfall_core::bucket_notifications::{Configuration, Entry, FilterRule};

/// # Errors
/// What it has that cannot be told on.
pub(crate) fn from_sdk(
    answer: &GetBucketNotificationConfigurationOutput,
) -> Result<Configuration, String> {
    let topics = answer.topic_configurations().iter();
    let queues = answer.queue_configurations().iter();
    let functions = answer.lambda_function_configurations().iter();
    Ok(Configuration {
        topics: topics
            .map(|it| entry(it.id(), it.topic_arn(), it.events(), it.filter()))
            .collect::<Result<_, _>>()?,
        queues: queues
            .map(|it| entry(it.id(), it.queue_arn(), it.events(), it.filter()))
            .collect::<Result<_, _>>()?,
        functions: functions
            .map(|it| entry(it.id(), it.lambda_function_arn(), it.events(), it.filter()))
            .collect::<Result<_, _>>()?,
        event_bridge: answer.event_bridge_configuration().is_some(),
    })
}

fn entry(
    id: Option<&str>,
    arn: &str,
    events: &[types::Event],
    filter: Option<&types::NotificationConfigurationFilter>,
) -> Result<Entry, String> {
    // The SDK puts empty ones where there are none.
    if arn.is_empty() || events.is_empty() {
        return Err(format!("rule `{}` without destination or events", id.unwrap_or_default()));
    }
    let rules = filter.and_then(|filter| filter.key()).map_or(&[][..], |key| key.filter_rules());
    let filter_rules = rules.iter().map(|rule| {
        let name = rule.name().ok_or("a filter rule without `Name`")?;
        // An empty value can be written as an absent one.
        let value = rule.value().unwrap_or_default();
        Ok(FilterRule { name: name.as_str().to_owned(), value: value.to_owned() })
    });
    Ok(Entry {
        id: id.map(str::to_owned),
        arn: arn.to_owned(),
        events: events.iter().map(|event| event.as_str().to_owned()).collect(),
        filter_rules: filter_rules.collect::<Result<_, String>>()?,
    })
}

/// # Errors
/// What it has that cannot be told on; nothing that [`from_sdk`] made.
pub(crate) fn to_sdk(
    configuration: &Configuration,
) -> Result<types::NotificationConfiguration, String> {
    let topics = configuration.topics.iter().map(|it| {
        types::TopicConfiguration::builder()
            .set_id(it.id.clone())
            .topic_arn(&it.arn)
            .set_events(events(it))
            .set_filter(filter(it))
            .build()
    });
    let queues = configuration.queues.iter().map(|it| {
        types::QueueConfiguration::builder()
            .set_id(it.id.clone())
            .queue_arn(&it.arn)
            .set_events(events(it))
            .set_filter(filter(it))
            .build()
    });
    let functions = configuration.functions.iter().map(|it| {
        types::LambdaFunctionConfiguration::builder()
            .set_id(it.id.clone())
            .lambda_function_arn(&it.arn)
            .set_events(events(it))
            .set_filter(filter(it))
            .build()
    });
    let incomplete = |error: BuildError| error.to_string();
    let event_bridge =
        configuration.event_bridge.then(|| types::EventBridgeConfiguration::builder().build());
    Ok(types::NotificationConfiguration::builder()
        .set_topic_configurations(Some(topics.collect::<Result<_, _>>().map_err(incomplete)?))
        .set_queue_configurations(Some(queues.collect::<Result<_, _>>().map_err(incomplete)?))
        .set_lambda_function_configurations(Some(
            functions.collect::<Result<_, _>>().map_err(incomplete)?,
        ))
        .set_event_bridge_configuration(event_bridge)
        .build())
}

fn events(entry: &Entry) -> Option<Vec<types::Event>> {
    Some(entry.events.iter().map(|event| types::Event::from(event.as_str())).collect())
}

fn filter(entry: &Entry) -> Option<types::NotificationConfigurationFilter> {
    let rules: Vec<types::FilterRule> = entry
        .filter_rules
        .iter()
        .map(|rule| {
            let name = types::FilterRuleName::from(rule.name.as_str());
            types::FilterRule::builder().name(name).value(&rule.value).build()
        })
        .collect();
    let key = types::S3KeyFilter::builder().set_filter_rules(Some(rules)).build();
    let filter = types::NotificationConfigurationFilter::builder().key(key).build();
    (!entry.filter_rules.is_empty()).then_some(filter)
}
