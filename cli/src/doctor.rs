//! `landfall doctor`: finds the first broken link between a bucket and its Glue job, and says what errors mean.
//!
//! `landfall-inspection` looks, and the core judges. This command only reads.

mod explain;
mod look;
mod object;
mod probe;
mod report;

use std::ffi::OsStr;

use landfall_core::chain::permissions::{deploying, permissions};
use landfall_core::chain::{Side, judge, request_to_owners};
use landfall_core::policy::Document;
use landfall_core::routes::Routes;

use self::report::Report;
use crate::accounts::target;
use crate::args::Color;
use crate::args::doctor::{DoctorArgs, PolicyFor, TaskArgs};
use crate::args::roles::WhichAccount;
use crate::terminal::output::{self, Output, Printed};
use crate::{aws, input};

/// Does what the arguments say.
pub fn run(args: &DoctorArgs, color: Color) -> Printed {
    match &args.task {
        TaskArgs { explain: Some(text), .. } => explain::run(text, args.output.is_json()),
        TaskArgs { print_policy: Some(policy_for), routes, .. } => match policy_for {
            PolicyFor::Deploy => policy_to_deploy(args),
            PolicyFor::Data | PolicyFor::Analytics
                if args.only.is_some() || !args.bucket.is_empty() =>
            {
                let why = "--only and --bucket go with `--print-policy deploy`: try '--help'";
                Err(anyhow::anyhow!(why).into())
            }
            PolicyFor::Data => policy(Side::Data, routes.as_deref(), &args.script, color),
            PolicyFor::Analytics => policy(Side::Analytics, routes.as_deref(), &args.script, color),
        },
        TaskArgs { probe: true, .. } => probe::run(args),
        TaskArgs { object: Some(uri), .. } => object::run(args, uri, color),
        TaskArgs { routes: Some(routes), .. } => examine(args, routes, color),
        TaskArgs { routes: None, .. } => Err(anyhow::anyhow!("there is nothing to do").into()),
    }
}

/// Looks at the chain, and reports the verdict.
fn examine(args: &DoctorArgs, routes: &OsStr, color: Color) -> Printed {
    let target = target::find(routes, &args.stacks, Routes::parse, color)?;
    let question = look::Question::new(args, routes, &target)?;
    let observations = aws::wait(question.look())?;
    if let (Err(data), Err(analytics)) = (&observations.data, &observations.analytics) {
        let why = format!("can't look at either account: {data}; {analytics}");
        return Err(anyhow::anyhow!(why).into());
    }
    let checks = judge(&observations);
    let requests = request_to_owners(&observations);
    let report = Report { checks: &checks, requests: &requests, object: None };
    let mut output =
        Output::success(if args.output.is_json() { report.json() } else { report.text() });
    output.worsen(report.status());
    Ok(output)
}

/// Prints the policy that allows to look at an account. Without routes, it is for all buckets.
fn policy(side: Side, routes: Option<&OsStr>, scripts: &[String], color: Color) -> Printed {
    let mut buckets = Vec::new();
    if let Some(file) = routes {
        let (_, (routes, _)) = input::read_routes(file, Routes::parse, color)?;
        buckets.extend(routes.routes.iter().map(|route| route.bucket.clone()));
        buckets.sort();
        buckets.dedup();
    }
    let mut names: Vec<&str> = buckets.iter().map(String::as_str).collect();
    if names.is_empty() {
        names.push("*");
    }
    let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
    let policy = Document::new(permissions(side, &names, &scripts));
    Ok(Output::success(output::json(policy.value())))
}

/// Prints the policy that allows to deploy one account's half.
fn policy_to_deploy(args: &DoctorArgs) -> Printed {
    let side = match args.only {
        Some(WhichAccount::Data) => Side::Data,
        Some(WhichAccount::Analytics) => Side::Analytics,
        None => {
            let why = "which account? add --only data or --only analytics: try '--help'";
            return Err(anyhow::anyhow!(why).into());
        }
    };
    let buckets: Vec<&str> = args.bucket.iter().map(String::as_str).collect();
    let policy = Document::new(deploying(side, &args.stacks.name_prefix, &buckets));
    Ok(Output::success(output::json(policy.value())))
}
