//! The checks of when a batch closes and of what happens to its job runs.

use strum::VariantArray;

use crate::at::At;
use crate::batch::{ClaimMode, Closing, RunState, Scope};
use crate::pattern::Pattern;
use crate::problem::did_you_mean;
use crate::routes::{Access, Limits, Retry, written};

/// The valid parts of `batch`.
#[derive(Default)]
pub(crate) struct Resolved {
    pub by: Vec<String>,
    pub closing: Closing,
    pub marker: Option<Pattern>,
}

/// Returns the group key, the conditions that close a batch, and the pattern of its marker. Reports
/// problems.
pub(crate) fn resolve(
    written: &written::Batch,
    key: Option<&Pattern>,
    at: &mut At<'_>,
) -> Resolved {
    let by = written.by.clone().unwrap_or_default();
    if let Some(pattern) = key {
        let captures: Vec<&str> = pattern.capture_names().collect();
        let in_folder: Vec<&str> = pattern.folder_capture_names().collect();
        for (index, name) in by.iter().enumerate() {
            let mut at = at.key("by");
            if !captures.contains(&name.as_str()) {
                let hint = did_you_mean(name, captures.iter().copied()).unwrap_or_else(|| {
                    "`by` lists captures of the key, such as `name` for `{name}`".to_owned()
                });
                at.index(index).error(format!("the key has no capture `{name}`"), hint);
            } else if by[..index].contains(name) {
                at.index(index).error(format!("`{name}` is listed twice"), "remove one of them");
            } else if written.marker.is_some() && !in_folder.contains(&name.as_str()) {
                at.index(index).error(
                    format!("with a marker, `by` cannot use `{name}`"),
                    "a marker stands for a whole folder: use only captures before the last `/`",
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
        at.key("max_objects").error("`max_objects` is out of range", "use 1 to 100,000");
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
        at.key("marker").error(
            format!("`{marker}` is not a valid marker name"),
            "write only the name: _SUCCESS",
        );
    }
    if written.marker.is_some() && written.max_objects == Some(1) {
        at.key("max_objects").error(
            "`max_objects: 1` can't be combined with a marker",
            "a batch of one object closes with that object: remove one of the two",
        );
    }
    if written.settle.is_some() && written.marker.is_none() {
        at.key("settle")
            .error("`settle` needs a `marker`", "it is the time to wait after the marker");
    }
    let seconds = |period: &Option<written::Period>| {
        period.as_ref().and_then(written::Period::seconds).filter(|seconds| *seconds > 0)
    };
    let closing = Closing {
        window_secs: seconds(&written.window),
        quiet_secs: seconds(&written.quiet),
        settle_secs: seconds(&written.settle).unwrap_or(0),
        max_objects: written.max_objects,
    };
    Resolved { by, closing, marker: marker(written, key) }
}

/// Returns the pattern of the marker: its name in the folder of the keys.
fn marker(written: &written::Batch, key: Option<&Pattern>) -> Option<Pattern> {
    let (name, key) = (written.marker.as_ref()?, key?.to_string());
    let folder = key.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    // The caller has reported an invalid name.
    Pattern::parse(&format!("{folder}{name}")).ok()
}

fn check_period(field: &str, period: Option<&written::Period>, at: &mut At<'_>) {
    const MAX_SECS: u64 = 7 * 86_400;
    let Some(period) = period else {
        return;
    };
    match period.seconds() {
        Some(seconds) if seconds <= MAX_SECS => {}
        Some(_) => {
            at.key(field).error(format!("`{field}` is longer than 7 days"), "use at most 7d")
        }
        None => at.key(field).error(
            format!("`{}` is not a length of time", period.0),
            "write a number and s, m, h or d: 90s, 5m, 1h, 1d",
        ),
    }
}

/// Returns the limits and the retries of a job. Without `retry`, there is one attempt.
pub(crate) fn start(start: &written::Start, at: &mut At<'_>) -> (Limits, Retry) {
    check_start(start, at);
    let limits = Limits {
        max_concurrent_runs: start.max_concurrent_runs,
        max_runs_per_hour: start.max_runs_per_hour,
    };
    let states = start.retry.as_ref().and_then(|retry| retry.states.as_ref());
    let retry = Retry {
        attempts: start.retry.as_ref().and_then(|retry| retry.attempts).unwrap_or(1),
        states: match states {
            Some(states) => states.iter().map(|state| RunState::parse(state)).collect(),
            None => vec![RunState::Failed, RunState::Timeout, RunState::Error],
        },
    };
    (limits, retry)
}

/// Returns the choice that `word` names, or the default if there is no word. Reports a word that names none.
pub(crate) fn choice<T>(field: &str, word: Option<&String>, hint: &str, at: &mut At<'_>) -> T
where
    T: Copy + Default + Into<&'static str> + VariantArray,
{
    let Some(word) = word else {
        return T::default();
    };
    let words = T::VARIANTS.iter().map(|choice| ((*choice).into(), *choice));
    let named = words.clone().find(|(name, _)| *name == word);
    named.map(|(_, choice)| choice).unwrap_or_else(|| {
        let hint =
            did_you_mean(word, words.map(|(name, _)| name)).unwrap_or_else(|| hint.to_owned());
        at.key(field).error(format!("`{word}` is not a value of `{field}`"), hint);
        // This value is never used, because a file with an error is refused.
        T::default()
    })
}

/// Returns how much of the job role's permissions a job run has.
pub(crate) fn scope(start: &written::Start, at: &mut At<'_>) -> Scope {
    let hint =
        "`job`: everything that the job role may do; `batch`: no other role than the reader role";
    choice("scope", start.scope.as_ref(), hint, at)
}

/// Returns whether the job's runs must claim their batch.
pub(crate) fn claim(start: &written::Start, at: &mut At<'_>) -> ClaimMode {
    let hint = "`required`: a run counts only if it claimed its batch; `optional`: any job will do";
    choice("claim", start.claim.as_ref(), hint, at)
}

/// Returns how the job reads the objects of its batch.
pub(crate) fn access(start: &written::Start, scope: Scope, at: &mut At<'_>) -> Access {
    let hint = "`role`: through the reader role; `bucket_policy`: with the job's own role";
    let access = choice("access", start.access.as_ref(), hint, at);
    if access == Access::BucketPolicy && scope == Scope::Batch {
        at.key("access").error(
            "`access: bucket_policy` can't keep `scope: batch`",
            "a bucket policy admits the job's role to all that its routes take: use `access: role`, \
             or `scope: job`",
        );
    }
    access
}

/// Reports what only a job can need, of a route that starts none.
pub(crate) fn check_without_job(start: &written::Start, at: &mut At<'_>) {
    for (field, is_set) in [
        ("job", start.job.is_some()),
        ("arguments", start.arguments.is_some()),
        ("max_concurrent_runs", start.max_concurrent_runs.is_some()),
        ("max_runs_per_hour", start.max_runs_per_hour.is_some()),
        ("retry", start.retry.is_some()),
        ("scope", start.scope.is_some()),
        ("claim", start.claim.is_some()),
        ("access", start.access.is_some()),
    ] {
        if is_set {
            at.key(field).error(
                format!("`{field}` has no use with `target: none`"),
                "without a target, no job is started: remove it, or name a target",
            );
        }
    }
    if start.announce == Some(false) {
        at.key("announce").error(
            "with `target: none`, a batch is always announced",
            "otherwise nothing would follow from it: remove `announce: false`",
        );
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
        Some(_) => at.key("attempts").error("`attempts` is out of range", "use 1 to 10"),
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
