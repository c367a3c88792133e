//! Translates a notification configuration between the SDK's types and the core's.
//!
//! Events and filter rule names that the SDK does not know stay as they are. If a rule lacks a
//! required part, this is an error in either direction; the part is never filled in.

use aws_sdk_s3::error::BuildError;
use aws_sdk_s3::operation::get_bucket_notification_configuration::GetBucketNotificationConfigurationOutput;
use aws_sdk_s3::types;
use landfall_core::bucket_notifications::{Configuration, Entry, FilterRule};

/// Translates to the core's types.
///
/// # Errors
/// Returns what cannot be translated.
pub(crate) fn from_sdk(
    answer: &GetBucketNotificationConfigurationOutput,
) -> Result<Configuration, String> {
    // The SDK has a type of its own for each kind of destination.
    macro_rules! entries {
        ($rules:ident, $arn:ident) => {
            answer
                .$rules()
                .iter()
                .map(|it| entry(it.id(), it.$arn(), it.events(), it.filter()))
                .collect::<Result<_, _>>()?
        };
    }
    Ok(Configuration {
        topics: entries!(topic_configurations, topic_arn),
        queues: entries!(queue_configurations, queue_arn),
        functions: entries!(lambda_function_configurations, lambda_function_arn),
        event_bridge: answer.event_bridge_configuration().is_some(),
    })
}

fn entry(
    id: Option<&str>,
    arn: &str,
    events: &[types::Event],
    filter: Option<&types::NotificationConfigurationFilter>,
) -> Result<Entry, String> {
    // The SDK fills in empty values for missing ones.
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

/// Translates to the SDK's types.
///
/// # Errors
/// Returns what cannot be translated. This never happens to a result of [`from_sdk`].
pub(crate) fn to_sdk(
    configuration: &Configuration,
) -> Result<types::NotificationConfiguration, String> {
    macro_rules! rules {
        ($entries:ident, $kind:ident, $arn:ident) => {{
            let rules = configuration.$entries.iter().map(|it| {
                types::$kind::builder()
                    .set_id(it.id.clone())
                    .$arn(&it.arn)
                    .set_events(events(it))
                    .set_filter(filter(it))
                    .build()
            });
            Some(rules.collect::<Result<_, _>>().map_err(|error: BuildError| error.to_string())?)
        }};
    }
    let functions = rules!(functions, LambdaFunctionConfiguration, lambda_function_arn);
    let event_bridge =
        configuration.event_bridge.then(|| types::EventBridgeConfiguration::builder().build());
    Ok(types::NotificationConfiguration::builder()
        .set_topic_configurations(rules!(topics, TopicConfiguration, topic_arn))
        .set_queue_configurations(rules!(queues, QueueConfiguration, queue_arn))
        .set_lambda_function_configurations(functions)
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
