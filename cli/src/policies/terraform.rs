//! The landing buckets' notifications as Terraform's blocks.

use anyhow::{Context, anyhow};
use landfall_core::bucket_notifications::{
    Configuration, Desired, Destination, Entry, buckets, merge,
};
use landfall_core::routes::Routes;

use crate::args::Color;
use crate::args::roles::{RolesArgs, WhichAccount};
use crate::desired::stacks;
use crate::input::read_routes;
use crate::terminal::output::{Output, Printed};

const HEADING: &str = "\
# aws_s3_bucket_notification replaces all notifications of its bucket. If you have one for a bucket, add the blocks
# to it: there must be no second one. With Transport=EventBridge, put `eventbridge = true` in place of the queues.
# Apply them, and then give the data account's stack ManagesNotifications=false.
";

/// Prints one resource for each bucket, with the rules that the provisioner would put there.
///
/// # Errors
/// Fails if the routes file or an option has errors, or if S3 would refuse the rules.
pub fn notifications(args: &RolesArgs, color: Color) -> Printed {
    let (_, (routes, _)) = read_routes(&args.routes, Routes::parse, color)?;
    let stacks = stacks::find(&routes, args, Some(WhichAccount::Data))?;
    let stack =
        stacks.first().context("no route starts a job, so no bucket needs notifications")?;
    let region = args.data_region.as_ref().unwrap_or(&stack.region);
    let stacks::Stack { partition, data_account, data_name_prefix: prefix, .. } = stack;
    let queue = format!("arn:{partition}:sqs:{region}:{data_account}:{prefix}-arrivals");
    let mut text = HEADING.to_owned();
    for (bucket, filters) in buckets(&routes) {
        let desired = Desired {
            // Not the owner of the provisioner's own rules, so it leaves these alone.
            owner: prefix.clone(),
            destination: Destination::Queue(queue.clone()),
            filters: filters.filters,
        };
        let merged = merge(&Configuration::default(), &desired)
            .map_err(|conflict| anyhow!("the rules of bucket `{bucket}`: {conflict}"))?;
        text.push_str(&resource(&bucket, &merged.unwrap_or_default().queues));
    }
    Ok(Output::success(text))
}

fn resource(bucket: &str, rules: &[Entry]) -> String {
    // A bucket's name has no underscore, so no two names become the same.
    let label = format!("landfall_{}", bucket.replace('.', "_"));
    let mut text = format!(
        "\nresource \"aws_s3_bucket_notification\" {} {{\n  bucket = {}\n",
        quoted(&label),
        quoted(bucket)
    );
    for rule in rules {
        let events: Vec<String> = rule.events.iter().map(|event| quoted(event)).collect();
        let mut lines = vec![
            ("id".to_owned(), quoted(rule.id.as_deref().unwrap_or_default())),
            ("queue_arn".to_owned(), quoted(&rule.arn)),
            ("events".to_owned(), format!("[{}]", events.join(", "))),
        ];
        let filters = rule.filter_rules.iter();
        lines.extend(filters.map(|rule| (format!("filter_{}", rule.name), quoted(&rule.value))));
        let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        text.push_str("\n  queue {\n");
        for (name, value) in lines {
            text.push_str(&format!("    {name:width$} = {value}\n"));
        }
        text.push_str("  }\n");
    }
    text + "}\n"
}

/// Returns a string of Terraform's, in which nothing is a template.
fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json.replace("${", "$${").replace("%{", "%%{")
}
