//! The checks of a job's arguments.

use std::collections::BTreeMap;

use crate::at::At;
use crate::pattern::Pattern;
use crate::problem::did_you_mean;
use crate::routes::resolve::batch::Resolved;
use crate::routes::written;
use crate::template::{BUILT_INS, Template, TemplateError};

/// The arguments that Glue sets itself and that nobody else may set.
/// <https://docs.aws.amazon.com/glue/latest/dg/aws-glue-programming-etl-glue-arguments.html>
const INTERNAL: [&str; 5] = ["--conf", "--debug", "--mode", "--JOB_NAME", "--JOB_RUN_ID"];

/// The arguments that Landfall passes to a job.
const OWN: [&str; 6] = [
    "--landfall-batch-id",
    "--landfall-claims-table",
    "--landfall-epoch",
    "--landfall-manifest",
    "--landfall-reader-role",
    "--landfall-scope",
];

/// The arguments that Glue interprets. Whoever names an object must not be able to choose the code
/// that reads it, where it logs or how it is secured. The list follows the same page and the one on
/// Python shell jobs.
const INTERPRETED: [&str; 36] = [
    "--additional-python-modules",
    "--auto-scale-within-microbatch",
    "--class",
    "--continuous-log-conversionPattern",
    "--continuous-log-logGroup",
    "--continuous-log-logStreamPrefix",
    "--customer-driver-env-vars",
    "--customer-executor-env-vars",
    "--datalake-formats",
    "--disable-proxy-v2",
    "--enable-auto-scaling",
    "--enable-continuous-cloudwatch-log",
    "--enable-continuous-log-filter",
    "--enable-glue-datacatalog",
    "--enable-job-insights",
    "--enable-lakeformation-fine-grained-access",
    "--enable-metrics",
    "--enable-observability-metrics",
    "--enable-s3-parquet-optimized-committer",
    "--enable-spark-ui",
    "--encryption-type",
    "--extra-files",
    "--extra-jars",
    "--extra-py-files",
    "--job-bookmark-from",
    "--job-bookmark-option",
    "--job-bookmark-to",
    "--job-language",
    "--library-set",
    "--python-modules-installer-option",
    "--scriptLocation",
    "--spark-event-logs-path",
    "--TempDir",
    "--use-postgres-driver",
    "--user-jars-first",
    "--write-shuffle-files-to-s3",
];

/// The built-in names that only a batch of one object has.
const OF_ONE_OBJECT: [&str; 3] = ["key", "object_uri", "object_path"];

/// The built-in names of the folder that all objects of a batch share.
const OF_THE_FOLDER: [&str; 2] = ["prefix_uri", "prefix_path"];

/// Returns the templates of the valid arguments, by name, and reports the problems of the others.
pub(crate) fn resolve(
    start: &written::Start,
    key: Option<&Pattern>,
    batch: &Resolved,
    at: &mut At<'_>,
) -> BTreeMap<String, Template> {
    let mut resolved = BTreeMap::new();
    for (name, value) in start.arguments.iter().flatten() {
        let mut at = at.key(name);
        check_name(name, &mut at);
        let template = match Template::parse(value) {
            Ok(template) => template,
            Err(error) => {
                let hint = match error {
                    TemplateError::BadName(_) => {
                        "a name consists of lower-case letters, digits and `_`"
                    }
                    _ => "write `{{` and `}}` for braces that are part of the value",
                };
                at.error(error.to_string(), hint);
                continue;
            }
        };
        if value.starts_with('-') {
            at.error(
                format!("the value of `{name}` begins with `-`"),
                "the job would read it as the name of another argument",
            );
        }
        if !template.is_fixed() && INTERPRETED.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            at.error(
                format!("`{name}` must not depend on the object's key or size"),
                "Glue acts on it, so anyone who uploads could choose what runs: use a fixed value",
            );
        }
        if let Some(pattern) = key {
            check_names(&template, pattern, batch, &mut at);
        }
        resolved.insert(name.clone(), template);
    }
    resolved
}

fn check_name(name: &str, at: &mut At<'_>) {
    let is_name = name.strip_prefix("--").is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_alphabetic())
            && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    });
    let is_named = |own: &&str| own.eq_ignore_ascii_case(name);
    // `getResolvedOptions` accepts the beginning of an option for the whole option.
    let mut reserved = OWN.iter().chain(&INTERNAL).chain(&INTERPRETED);
    let shortened = reserved.find(|own| own.starts_with(name) && *own != &name);
    let (message, hint) = if name.contains(['{', '}']) {
        ("argument names can't contain captures".to_owned(), "use the capture in the value")
    } else if !is_name {
        let hint = "write `--`, a letter, and then letters, digits, `-`, `_` or `.`: \"--day\"";
        ("not a valid argument name".to_owned(), hint)
    } else if name.to_ascii_lowercase().starts_with("--landfall") {
        (
            "arguments that begin with `--landfall` are reserved for Landfall".to_owned(),
            "choose another name",
        )
    } else if INTERNAL.iter().any(is_named) {
        ("Glue sets this argument itself".to_owned(), "remove it")
    } else if let Some(own) = shortened {
        (format!("a job could read this as an abbreviation of `{own}`"), "choose another name")
    } else {
        return;
    };
    let problem = crate::problem::Problem::error(&at.key_place(), format!("`{name}`: {message}"));
    at.problems.push(problem.hint(hint));
}

fn check_names(
    template: &Template,
    pattern: &Pattern,
    Resolved { by, closing, marker }: &Resolved,
    at: &mut At<'_>,
) {
    let captures: Vec<&str> = pattern.capture_names().collect();
    for name in template.names() {
        let is_capture = captures.contains(&name);
        if !is_capture && !BUILT_INS.contains(&name) {
            let hint = did_you_mean(name, captures.iter().copied().chain(BUILT_INS))
                .unwrap_or_else(|| {
                    format!(
                        "a value can use captures of the key and {{{}}}",
                        BUILT_INS.join("}, {")
                    )
                });
            at.error(format!("`{{{name}}}` is unknown here"), hint);
            continue;
        }
        let varies = OF_ONE_OBJECT.contains(&name) || (is_capture && !by.iter().any(|n| n == name));
        if OF_THE_FOLDER.contains(&name) && marker.is_none() {
            at.warning(
                format!("`{{{name}}}` is a folder that can hold more than the batch"),
                "the job reads again what earlier batches read: close the batch by `batch.marker`, \
                 or let the job read `{manifest_uri}`",
            );
        }
        if varies && closing.max_objects != Some(1) {
            let hint = if is_capture {
                format!("add `{name}` to `batch.by`, or set `batch.max_objects: 1`")
            } else {
                "set `batch.max_objects: 1`; the job gets all objects in its manifest".to_owned()
            };
            at.error(format!("`{{{name}}}` differs between the objects of a batch"), hint);
        }
    }
}
