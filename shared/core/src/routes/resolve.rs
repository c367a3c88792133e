//! As written → valid. Each check reports and goes on, so that one mistake does not hide another.

mod arguments;

use std::collections::BTreeMap;

use super::written;
use super::{Condition, ExternalId, Route, Routes, Target};
use crate::pattern::Pattern;
use crate::problem::{Place, Problem, did_you_mean};
use crate::secret::Secret;
use crate::template::BUILT_INS;
use crate::yaml::{Node, Step};

/// The valid routes as far as they go; they may be used only if `problems` has no error.
pub fn resolve(written: &written::RoutesFile, root: &Node, problems: &mut Vec<Problem>) -> Routes {
    let mut at = At { root, path: Vec::new(), problems };
    match written.version {
        Some(1) => {}
        Some(version) => {
            at.key("version").error(format!("version {version} is not known"), "this is version 1");
        }
        None => at.missing("version"),
    }
    let targets = targets(written, &mut at.key("targets"));
    let routes = routes(written, &targets, &mut at);
    Routes::new(targets, routes)
}

/// A place in the file, and where its problems go.
struct At<'a> {
    root: &'a Node,
    path: Vec<Step>,
    problems: &'a mut Vec<Problem>,
}

impl At<'_> {
    fn below(&mut self, step: Step) -> At<'_> {
        let mut path = self.path.clone();
        path.push(step);
        At { root: self.root, path, problems: self.problems }
    }

    fn key(&mut self, key: &str) -> At<'_> {
        self.below(Step::Key(key.to_owned()))
    }

    fn index(&mut self, index: usize) -> At<'_> {
        self.below(Step::Index(index))
    }

    /// The value, or else what is nearest above it.
    fn place(&self) -> Place {
        let depths = (0..=self.path.len()).rev();
        let node = depths.filter_map(|depth| self.root.at(&self.path[..depth])).next();
        node.unwrap_or(self.root).place.clone()
    }

    fn key_place(&self) -> Place {
        self.root.entry(&self.path).map_or_else(|| self.place(), |entry| entry.key_place.clone())
    }

    fn error(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        let problem = Problem::error(&self.place(), message).hint(hint);
        self.problems.push(problem);
    }

    fn warning(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        let problem = Problem::warning(&self.key_place(), message).hint(hint);
        self.problems.push(problem);
    }

    /// Reports that `field` is not there, unless something is: then it was reported when it was read.
    fn missing(&mut self, field: &str) {
        let mut place = self.place();
        if self.problems.iter().any(|p| {
            p.is_error()
                && place.bytes.contains(&p.place.bytes.start)
                && p.message.contains(&format!("`{field}`"))
        }) {
            return;
        }
        // The beginning of a mapping is its first key; all of it would be underlined otherwise.
        place.bytes.end = place.bytes.start;
        self.problems.push(Problem::error(&place, format!("`{field}` is missing")));
    }

    /// The text of a required field, if it passes `check`, which returns message and hint.
    fn text<'t>(
        &mut self,
        field: &str,
        value: &'t Option<String>,
        check: impl Fn(&str) -> Result<(), (String, String)>,
    ) -> Option<&'t str> {
        let Some(text) = value else {
            self.missing(field);
            return None;
        };
        match check(text) {
            Ok(()) => Some(text),
            Err((message, hint)) => {
                self.key(field).error(message, hint);
                None
            }
        }
    }
}

fn targets(written: &written::RoutesFile, at: &mut At<'_>) -> BTreeMap<String, Target> {
    let Some(targets) = &written.targets else {
        at.path.clear();
        at.missing("targets");
        return BTreeMap::new();
    };
    targets
        .iter()
        .filter_map(|(name, target)| {
            let mut at = at.key(name);
            if !is_route_name(name) {
                let problem =
                    Problem::error(&at.key_place(), format!("`{name}` is not a target's name"));
                at.problems.push(problem.hint(ROUTE_NAME));
            }
            Some((name.clone(), self::target(name, target, &mut at)?))
        })
        .collect()
}

fn target(name: &str, written: &written::Target, at: &mut At<'_>) -> Option<Target> {
    let account = at.text("account", &written.account, |account| {
        is_account(account).then_some(()).ok_or_else(|| {
            (format!("`{account}` is not an account id"), "an account id has 12 digits".to_owned())
        })
    });
    let region = at.text("region", &written.region, |region| {
        is_region(region).then_some(()).ok_or_else(|| {
            (format!("`{region}` is not a region"), "a region looks like `eu-west-1`".to_owned())
        })
    });
    let role = at.text("starter_role", &written.starter_role, |role| role_problem(role, account));
    let external_id = written.external_id.as_deref().and_then(|text| external_id(text, at));
    if written.external_id.is_none() {
        at.warning(
            format!("target `{name}` has no `external_id`"),
            "with one, only who knows it can make the trigger's account assume the role: \
             external_id: ${LANDFALL_EXTERNAL_ID}",
        );
    }
    let (account, region, role) = (account?, region?, role?);
    Some(Target {
        name: name.to_owned(),
        account: account.to_owned(),
        region: region.to_owned(),
        starter_role_arn: if role.starts_with("arn:") {
            role.to_owned()
        } else {
            let role = role.trim_start_matches('/');
            format!("arn:{}:iam::{account}:role/{role}", partition(region))
        },
        external_id,
    })
}

fn role_problem(role: &str, account: Option<&str>) -> Result<(), (String, String)> {
    let name = match role.strip_prefix("arn:") {
        None => role,
        Some(rest) => {
            let mut fields = rest.splitn(5, ':');
            let (partition, service, region) = (fields.next(), fields.next(), fields.next());
            let (owner, resource) =
                (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
            let name = resource.strip_prefix("role/");
            let (Some(name), Some("iam"), Some("")) =
                (name.filter(|_| partition.is_some()), service, region)
            else {
                return Err((
                    format!("`{role}` is not the ARN of a role"),
                    "it looks like arn:aws:iam::222222222222:role/landfall-starter".to_owned(),
                ));
            };
            if account.is_some_and(|account| account != owner) {
                return Err((
                    format!("the role is in account `{owner}`, the target is another"),
                    "the starter role and the jobs belong to one account".to_owned(),
                ));
            }
            name
        }
    };
    // IAM: a name has 1 to 64 of these characters, a path is of printable ASCII between slashes.
    let (path, name) = name.rsplit_once('/').unwrap_or(("", name));
    let name_is_fine = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b));
    let path_is_fine = path.len() <= 510 && path.bytes().all(|b| b.is_ascii_graphic() && b != b'*');
    (name_is_fine && path_is_fine).then_some(()).ok_or_else(|| {
        (
            format!("`{role}` is not a role's name"),
            "a name has at most 64 letters, digits and `_+=,.@-`; a path may stand before it"
                .to_owned(),
        )
    })
}

/// The text may be a secret: no message repeats it.
fn external_id(text: &str, at: &mut At<'_>) -> Option<ExternalId> {
    let mut at = at.key("external_id");
    if let Some(name) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
        let is_variable = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_variable {
            at.error("not the name of an environment variable", "write ${LANDFALL_EXTERNAL_ID}");
            return None;
        }
        return Some(ExternalId::Variable(name.to_owned()));
    }
    if !is_external_id(text) {
        at.error(
            "not an external ID",
            "STS admits 2 to 1,224 letters, digits and `_+=,.@:/-`; or write ${LANDFALL_EXTERNAL_ID}",
        );
        return None;
    }
    at.warning(
        "the external ID stands in the file, which is packaged with the function",
        "take it from the environment: ${LANDFALL_EXTERNAL_ID}",
    );
    Some(ExternalId::Literal(Secret::new(text)))
}

/// STS: 2 to 1,224 of `[\w+=,.@:\/-]`.
pub fn is_external_id(text: &str) -> bool {
    (2..=1224).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&b))
}

const ROUTE_NAME: &str = "a name has 1 to 64 lower-case letters, digits and `-`";

fn routes(
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
    for (index, route) in routes.iter().enumerate() {
        let mut at = at.index(index);
        if let Some(name) = &route.name {
            let line = at.key("name").place().line;
            if let Some(first) = first_lines.get(name.as_str()) {
                let hint = format!("the route in line {first} has this name already");
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
        if let Some(twin) = resolved.iter().find(|other| is_twin(other, &route)) {
            let message = format!(
                "routes `{}` and `{}` start the same job for the same keys",
                twin.name, route.name
            );
            at.key("name")
                .warning(message, "every object starts it twice: is one of them left over?");
        }
        resolved.push(route);
    }
    resolved.retain(|route| targets.contains_key(&route.target));
    resolved
}

fn is_twin(one: &Route, other: &Route) -> bool {
    (&one.bucket, &one.key, &one.target, &one.job)
        == (&other.bucket, &other.key, &other.target, &other.job)
}

type Limits = (Option<u32>, Option<u32>);

/// Limits are the job's, so two routes cannot set them differently.
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
            "the limits are the job's: give both routes the same",
        );
    }
}

fn route(written: &written::Route, targets: &[&str], at: &mut At<'_>) -> Option<Route> {
    let name = at.text("name", &written.name, |name| {
        is_route_name(name)
            .then_some(())
            .ok_or_else(|| (format!("`{name}` is not a route's name"), ROUTE_NAME.to_owned()))
    });
    let bucket = at.text("bucket", &written.bucket, |bucket| {
        is_bucket(bucket).then_some(()).ok_or_else(|| {
            (
                format!("`{bucket}` is not a bucket's name"),
                "a name has 3 to 63 lower-case letters, digits, `-` and `.`".to_owned(),
            )
        })
    });
    let key = key(written, at);
    let condition = condition(written.condition.as_ref(), &mut at.key("where"));
    let (by, max_objects) = match &written.batch {
        Some(batch) => self::batch(batch, key.as_ref(), &mut at.key("batch")),
        None => (Vec::new(), None),
    };
    let Some(start) = &written.start else {
        at.missing("start");
        return None;
    };
    let mut at = at.key("start");
    let target = at.text("target", &start.target, |target| {
        if targets.contains(&target) {
            return Ok(());
        }
        let hint = did_you_mean(target, targets.iter().copied())
            .unwrap_or_else(|| format!("the targets are `{}`", targets.join("`, `")));
        Err((format!("there is no target `{target}`"), hint))
    });
    let job = at.text("job", &start.job, |job| {
        let is_name =
            (1..=255).contains(&job.len()) && job.trim() == job && !job.contains(char::is_control);
        is_name.then_some(()).ok_or_else(|| {
            (
                format!("`{}` is not a job's name", job.escape_debug()),
                "a name has 1 to 255 characters, and no white space at its ends".to_owned(),
            )
        })
    });
    let arguments =
        arguments::resolve(start, key.as_ref(), &by, max_objects, &mut at.key("arguments"));
    not_applied_yet(
        "start",
        &[
            ("max_concurrent_runs", start.max_concurrent_runs.is_some()),
            ("max_runs_per_hour", start.max_runs_per_hour.is_some()),
            ("retry", start.retry.is_some()),
        ],
        &mut at,
    );
    check_start(start, &mut at);
    Some(Route {
        name: name?.to_owned(),
        bucket: bucket?.to_owned(),
        key: key?,
        condition,
        by,
        max_objects,
        target: target?.to_owned(),
        job: job?.to_owned(),
        arguments,
    })
}

fn key(written: &written::Route, at: &mut At<'_>) -> Option<Pattern> {
    let Some(text) = &written.key else {
        at.missing("key");
        return None;
    };
    let mut at = at.key("key");
    if text.starts_with("s3://") {
        at.error("the key holds a URI", "write what stands behind the bucket: orders/{file}.csv");
        return None;
    }
    if text.starts_with('/') {
        at.warning("the key begins with `/`", "keys in S3 seldom do: `orders/…`, not `/orders/…`");
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
                format!("`{{{name}}}` has a meaning of its own"),
                "arguments use it for what Landfall knows: choose another name",
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

fn batch(
    written: &written::Batch,
    key: Option<&Pattern>,
    at: &mut At<'_>,
) -> (Vec<String>, Option<usize>) {
    let by = written.by.clone().unwrap_or_default();
    if let Some(pattern) = key {
        let captures: Vec<&str> = pattern.capture_names().collect();
        let in_folder: Vec<&str> = pattern.folder_capture_names().collect();
        for (index, name) in by.iter().enumerate() {
            let mut at = at.key("by");
            if !captures.contains(&name.as_str()) {
                let hint = did_you_mean(name, captures.iter().copied())
                    .unwrap_or_else(|| "`by` names captures of the key: {name}".to_owned());
                at.index(index).error(format!("the key has no capture `{name}`"), hint);
            } else if by[..index].contains(name) {
                at.index(index).error(format!("`{name}` stands twice"), "leave one out");
            } else if written.marker.is_some() && !in_folder.contains(&name.as_str()) {
                at.index(index).error(
                    format!("with a marker, `by` cannot use `{name}`"),
                    "a marker speaks for a folder: use captures before the last `/` only",
                );
            }
        }
    }
    for (field, period) in
        [("window", &written.window), ("quiet", &written.quiet), ("settle", &written.settle)]
    {
        check_period(field, period.as_ref(), at);
    }
    if written.max_objects.is_some_and(|most| !(1..=100_000).contains(&most)) {
        at.key("max_objects").error("`max_objects` is out of range", "from 1 to 100,000");
    }
    let lasts = |period: &Option<written::Period>| {
        period.as_ref().and_then(written::Period::seconds).is_some_and(|seconds| seconds > 0)
    };
    if written.marker.is_some() && !lasts(&written.window) && !lasts(&written.quiet) {
        at.key("marker").error(
            "a marker needs `window` or `quiet`",
            "otherwise a batch whose marker never comes would wait for ever",
        );
    }
    if let Some(marker) = &written.marker
        && (marker.is_empty() || marker.contains(['/', '{', '}', '*']))
    {
        at.key("marker")
            .error(format!("`{marker}` is not a marker's name"), "the name alone: _SUCCESS");
    }
    if written.settle.is_some() && written.marker.is_none() {
        at.key("settle").error("`settle` without `marker`", "it is the wait after the marker");
    }
    not_applied_yet(
        "batch",
        &[
            ("window", lasts(&written.window)),
            ("quiet", written.quiet.is_some()),
            ("marker", written.marker.is_some()),
        ],
        at,
    );
    let max_objects = written.max_objects.and_then(|most| usize::try_from(most).ok());
    (by, max_objects)
}

fn check_period(field: &str, period: Option<&written::Period>, at: &mut At<'_>) {
    const LONGEST_SECS: u64 = 7 * 86_400;
    let Some(period) = period else {
        return;
    };
    match period.seconds() {
        Some(seconds) if seconds <= LONGEST_SECS => {}
        Some(_) => at.key(field).error(format!("`{field}` is longer than 7 days"), "at most 7d"),
        None => at.key(field).error(
            format!("`{}` is not a length of time", period.0),
            "a number and s, m, h or d: 90s, 5m, 1h, 1d",
        ),
    }
}

fn check_start(start: &written::Start, at: &mut At<'_>) {
    const STATES: [&str; 5] = ["FAILED", "TIMEOUT", "ERROR", "STOPPED", "EXPIRED"];
    for (field, limit) in [
        ("max_concurrent_runs", start.max_concurrent_runs),
        ("max_runs_per_hour", start.max_runs_per_hour),
    ] {
        if limit == Some(0) {
            at.key(field).error(format!("`{field}` is 0"), "then no run would ever start");
        }
    }
    let Some(retry) = &start.retry else {
        return;
    };
    let mut at = at.key("retry");
    match retry.attempts {
        None => at.missing("attempts"),
        Some(1..=10) => {}
        Some(_) => at.key("attempts").error("`attempts` is out of range", "from 1 to 10"),
    }
    for (index, state) in retry.states.iter().flatten().enumerate() {
        if !STATES.contains(&state.as_str()) {
            let hint = did_you_mean(state, STATES)
                .unwrap_or_else(|| format!("the states are {}", STATES.join(", ")));
            let message = format!("`{state}` is not a state that can be retried");
            at.key("states").index(index).error(message, hint);
        }
    }
}

/// Says of settings that are read and checked, and have no effect yet, that this is so.
fn not_applied_yet(section: &str, settings: &[(&str, bool)], at: &mut At<'_>) {
    for (field, _) in settings.iter().filter(|(_, is_set)| *is_set) {
        at.key(field).warning(
            format!("`{section}.{field}` has no effect in this version"),
            "what one invocation brings is started at once, and once; Glue's own limits hold",
        );
    }
}

fn is_route_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let (number, words) = parts.split_last().unwrap_or((&"", &[]));
    words.len() >= 2
        && words.iter().all(|w| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase()))
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
}

fn is_bucket(text: &str) -> bool {
    let is_edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (3..=63).contains(&text.len())
        && text.starts_with(is_edge)
        && text.ends_with(is_edge)
        && text.chars().all(|c| is_edge(c) || c == '-' || c == '.')
}

/// The partition of a region, by the prefixes that AWS documents.
fn partition(region: &str) -> &'static str {
    match region {
        r if r.starts_with("cn-") => "aws-cn",
        r if r.starts_with("us-gov-") => "aws-us-gov",
        r if r.starts_with("us-isob-") => "aws-iso-b",
        r if r.starts_with("us-iso-") => "aws-iso",
        r if r.starts_with("eusc-") => "aws-eusc",
        _ => "aws",
    }
}
