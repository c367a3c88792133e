//! The checks of routes: their buckets, keys, conditions and jobs.

use std::collections::BTreeMap;

use super::buckets::{BUCKET_NAME, has_form_of_bucket};
use super::{ROUTE_NAME, arguments, batch, is_route_name, reconcile};
use crate::at::At;
use crate::batch::NO_TARGET;
use crate::pattern::Pattern;
use crate::problem::did_you_mean;
use crate::routes::{Condition, Route, Target, written};
use crate::template::BUILT_INS;

/// Returns the valid routes and reports the problems of the others.
pub(crate) fn resolve(
    written: &written::RoutesFile,
    targets: &BTreeMap<String, Target>,
    at: &mut At<'_>,
) -> Vec<Route> {
    let Some(routes) = &written.routes else {
        at.missing("routes");
        return Vec::new();
    };
    let mut at = at.key("routes");
    if routes.is_empty() {
        at.error("there is no route", "a file without routes starts nothing");
    }
    let target_names: Vec<&str> = match &written.targets {
        Some(targets) => targets.keys().map(String::as_str).collect(),
        None => Vec::new(),
    };
    let mut resolved: Vec<Route> = Vec::new();
    let mut first_lines: BTreeMap<&str, usize> = BTreeMap::new();
    let mut limits = BTreeMap::new();
    let mut twins: BTreeMap<[String; 4], Vec<(String, Condition)>> = BTreeMap::new();
    for (index, route) in routes.iter().enumerate() {
        let mut at = at.index(index);
        if let Some(name) = &route.name {
            let line = at.key("name").place().line;
            if let Some(first) = first_lines.get(name.as_str()) {
                let hint = match first {
                    // The properties of a custom resource have no lines.
                    0 => "an earlier route already has this name".to_owned(),
                    first => format!("the route in line {first} already has this name"),
                };
                at.key("name").error(format!("a second route `{name}`"), hint);
            }
            first_lines.entry(name).or_insert(line);
        }
        if let Some(start) = &route.start {
            check_limits(route, start, &mut limits, &mut at.key("start"));
        }
        let Some(route) = self::route(route, &target_names, &mut at) else {
            continue;
        };
        let job = route.job.clone().unwrap_or_default();
        let sameness = [route.bucket.clone(), route.key.to_string(), route.target.clone(), job];
        let others = twins.entry(sameness).or_default();
        if let Some((twin, _)) = others.iter().find(|(_, other)| overlap(other, &route.condition)) {
            let (what, twice) = match route.job {
                Some(_) => ("start the same job for", "starts it twice"),
                None => ("announce", "is announced twice"),
            };
            let message = format!("routes `{twin}` and `{}` {what} the same keys", route.name);
            let hint = format!("every object {twice}: is one of them left over?");
            at.key("name").warning(message, hint);
        }
        others.push((route.name.clone(), route.condition.clone()));
        resolved.push(route);
    }
    resolved.retain(|route| route.job.is_none() || targets.contains_key(&route.target));
    resolved
}

/// Returns `true` if some object size satisfies both conditions.
fn overlap(one: &Condition, other: &Condition) -> bool {
    let min = one.min_bytes.max(other.min_bytes).unwrap_or(0);
    [one.max_bytes, other.max_bytes].into_iter().flatten().all(|max| min <= max)
}

type Limits = (Option<u32>, Option<u32>);

/// Reports two routes that set different limits for the same job. Limits belong to the job.
fn check_limits<'w>(
    route: &'w written::Route,
    start: &'w written::Start,
    limits: &mut BTreeMap<(&'w str, &'w str), (&'w str, Limits)>,
    at: &mut At<'_>,
) {
    let (Some(name), Some(target), Some(job)) = (&route.name, &start.target, &start.job) else {
        return;
    };
    let own = (start.max_concurrent_runs, start.max_runs_per_hour);
    let (other, theirs) = limits.entry((target, job)).or_insert((name, own));
    if *theirs != own {
        at.key("job").error(
            format!("routes `{other}` and `{name}` set different limits for job `{job}`"),
            "limits belong to the job: set the same in both routes",
        );
    }
}

fn route(written: &written::Route, targets: &[&str], at: &mut At<'_>) -> Option<Route> {
    let name = at.text("name", &written.name, |name| {
        is_route_name(name)
            .then_some(())
            .ok_or_else(|| (format!("`{name}` is not a valid route name"), ROUTE_NAME.to_owned()))
    });
    let bucket = at.text("bucket", &written.bucket, |bucket| {
        has_form_of_bucket(bucket).then_some(()).ok_or_else(|| {
            (format!("`{bucket}` is not a valid bucket name"), BUCKET_NAME.to_owned())
        })
    });
    let key = key(written, at);
    let condition = condition(written.condition.as_ref(), &mut at.key("where"));
    let batch = match &written.batch {
        Some(batch) => batch::resolve(batch, key.as_ref(), &mut at.key("batch")),
        None => batch::Resolved::default(),
    };
    let reconcile = match &written.reconcile {
        Some(reconcile) => {
            reconcile::resolve(reconcile, bucket, key.as_ref(), &mut at.key("reconcile"))
        }
        None => None,
    };
    let Some(start) = &written.start else {
        at.missing("start");
        return None;
    };
    let mut at = at.key("start");
    let target = at.text("target", &start.target, |target| {
        if targets.contains(&target) || target == NO_TARGET {
            return Ok(());
        }
        let hint = did_you_mean(target, targets.iter().copied()).unwrap_or_else(|| match targets {
            [] => "list it under `targets`".to_owned(),
            targets => format!("the targets are `{}`", targets.join("`, `")),
        });
        Err((format!("there is no target `{target}`"), hint))
    });
    // A target of this name is meant, if there is one.
    let starts_job = target != Some(NO_TARGET) || targets.contains(&NO_TARGET);
    let job = if starts_job {
        Some(job(start, &mut at))
    } else {
        batch::check_without_job(start, &mut at);
        None
    };
    let arguments = arguments::resolve(start, key.as_ref(), &batch, &mut at.key("arguments"));
    let (limits, retry) = batch::start(start, &mut at);
    let scope = batch::scope(start, &mut at);
    let claim = batch::claim(start, &mut at);
    let access = batch::access(start, scope, &mut at);
    Some(Route {
        name: name?.to_owned(),
        bucket: bucket?.to_owned(),
        key: key?,
        condition,
        by: batch.by,
        closing: batch.closing,
        marker: batch.marker,
        target: target?.to_owned(),
        job: match job {
            Some(job) => Some(job?.to_owned()),
            None => None,
        },
        announce: start.announce.unwrap_or(false) || !starts_job,
        arguments,
        limits,
        retry,
        scope,
        claim,
        access,
        reconcile,
        wide: written.wide.unwrap_or(false),
    })
}

fn job<'w>(start: &'w written::Start, at: &mut At<'_>) -> Option<&'w str> {
    at.text("job", &start.job, |job| {
        let is_name =
            (1..=255).contains(&job.len()) && job.trim() == job && !job.contains(char::is_control);
        is_name.then_some(()).ok_or_else(|| {
            (
                format!("`{}` is not a valid job name", job.escape_debug()),
                "a name has 1 to 255 characters, and doesn't begin or end with white space"
                    .to_owned(),
            )
        })
    })
}

fn key(written: &written::Route, at: &mut At<'_>) -> Option<Pattern> {
    let Some(text) = &written.key else {
        at.missing("key");
        return None;
    };
    let mut at = at.key("key");
    if text.starts_with("s3://") {
        at.error("the key is a URI", "write only what follows the bucket: orders/{file}.csv");
        return None;
    }
    if text.starts_with('/') {
        at.warning(
            "the key begins with `/`",
            "keys in S3 rarely do: write `orders/…`, not `/orders/…`",
        );
    }
    if text.trim() != text || text.contains(char::is_control) {
        at.warning(
            "the key begins or ends with white space, or contains a control character",
            "keys in S3 rarely do: if you didn't intend this, quote the key on one line",
        );
    }
    let pattern = match Pattern::parse(text) {
        Ok(pattern) => pattern,
        Err(error) => {
            at.error(error.to_string(), error.hint());
            return None;
        }
    };
    for name in pattern.capture_names() {
        if BUILT_INS.contains(&name) {
            at.error(
                format!("`{{{name}}}` is a built-in name"),
                "arguments use it for a value that Landfall fills in: choose another name",
            );
        }
    }
    Some(pattern)
}

fn condition(written: Option<&written::Where>, at: &mut At<'_>) -> Condition {
    let Some(written) = written else {
        return Condition::default();
    };
    if let (Some(min), Some(max)) = (written.min_bytes, written.max_bytes)
        && min > max
    {
        at.error(format!("no object has at least {min} and at most {max} bytes"), "swap the two");
    }
    Condition {
        min_bytes: written.min_bytes,
        max_bytes: written.max_bytes,
        directory_markers: written.directory_markers.unwrap_or(false),
    }
}
