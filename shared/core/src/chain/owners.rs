//! What to send to the owners of an account that nobody could look at.

use super::judge::distinct;
use super::link::Side;
use super::observed::{Observations, RouteFacts};
use crate::shell;

/// Returns a paragraph to send to the owners of each account that nobody could look at.
pub fn request_to_owners(observations: &Observations) -> Vec<(Side, String)> {
    let Observations { routes, data, analytics, .. } = observations;
    let (data, analytics) = (data.as_ref().ok(), analytics.as_ref().ok());
    let of_data = data.is_none().then(|| {
        let ours = analytics.map(|it| format!(" Our analytics account is {}.", it.account));
        let what = "files that land in your account start no job in ours";
        (Side::Data, request(Side::Data, what, routes, ours, &facts_of_buckets(routes)))
    });
    let of_analytics = analytics.is_none().then(|| {
        let ours = data.map(|it| format!(" Our data account is {}.", it.account));
        let what = "your Glue jobs don't run for files that land in our account";
        (Side::Analytics, request(Side::Analytics, what, routes, ours, &facts_of_jobs(routes)))
    });
    of_data.into_iter().chain(of_analytics).collect()
}

fn request(
    side: Side,
    what: &str,
    routes: &[RouteFacts],
    ours: Option<String>,
    facts: &[String],
) -> String {
    let names: Vec<&str> = routes.iter().map(|route| route.name.as_str()).collect();
    format!(
        "We are looking for the reason why {what} (routes: {}).{} We can't look into your account. Please run this \
         command with credentials of your account and the routes file that we send along, and send us what it prints. \
         It only reads:\n\n  \
         landfall doctor --routes routes.yaml --only {side}\n\n\
         `landfall doctor --print-policy {side} --routes routes.yaml` prints the least policy that it needs. If you don't have Landfall, \
         please send us the output of these commands instead:\n\n{}",
        names.join(", "),
        ours.unwrap_or_default(),
        facts.iter().map(|command| format!("  {command}\n")).collect::<String>(),
        side = side.name(),
    )
}

/// Returns the commands that show the facts of the data account which break most often.
fn facts_of_buckets(routes: &[RouteFacts]) -> Vec<String> {
    let of_bucket = |bucket: &str| {
        let bucket = shell::word(bucket);
        [
            format!("aws s3api get-bucket-notification-configuration --bucket {bucket}"),
            format!("aws s3api get-bucket-policy --bucket {bucket} --query Policy --output text"),
        ]
    };
    let of_stack = [
        "aws lambda list-event-source-mappings --query 'EventSourceMappings[].[FunctionArn,State]'",
        "aws iam list-roles --path-prefix /landfall/",
    ];
    let buckets = distinct(routes.iter().map(|route| route.bucket.as_str()));
    buckets.into_iter().flat_map(of_bucket).chain(of_stack.map(str::to_owned)).collect()
}

/// Returns the commands that show the facts of the analytics account which break most often.
fn facts_of_jobs(routes: &[RouteFacts]) -> Vec<String> {
    let of_job = |job: &str| {
        let job = shell::word(job);
        [
            format!("aws glue get-job --job-name {job}"),
            format!("aws glue get-job-runs --job-name {job} --max-items 5"),
        ]
    };
    let roles = "aws iam list-roles --path-prefix /landfall/".to_owned();
    let jobs = distinct(routes.iter().filter_map(|route| route.job.as_deref()));
    jobs.into_iter().flat_map(of_job).chain([roles]).collect()
}
