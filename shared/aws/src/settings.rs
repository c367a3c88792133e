//! Reads the settings of the trigger and the monitor: their environment, and the routes file beside
//! their binaries.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use landfall_core::arn::{QueueArn, RoleArn, TableArn};
use landfall_core::batch::JobResources;
use landfall_core::problem::Problem;
use landfall_core::routes::packaged::{Unpackaged, unpackage};
use landfall_core::routes::{
    ExternalId, NEW_EXTERNAL_ID_CHARS, Routes, is_external_id, is_short_external_id,
};
use landfall_core::secret::Secret;

use crate::assumed_role::session_name;
use crate::lineage::{ApiKey, Destination};

/// Defaults: how long the ledger keeps a batch that is done, and how long Glue may hide a run.
const RETENTION_DAYS: u64 = 30;
const RECONCILIATION_SECONDS: u64 = 900;

/// Default: after how many days a manifest expires.
const MANIFEST_RETENTION_DAYS: u64 = 90;

/// Default: how many invocations of the monitor take up due batches beside the tick.
const WORK_CONCURRENCY: u64 = 10;

/// The settings of both functions: both start batches, but only the monitor follows their runs.
#[derive(Debug)]
pub struct Settings {
    /// The routes.
    pub routes: Routes,
    /// The external IDs, by target.
    pub external_ids: BTreeMap<String, Secret>,
    /// The resources that every job run uses.
    pub job_resources: JobResources,
    /// The account of these resources, which is the data account.
    pub account: String,
    /// The name of the ledger's table.
    pub ledger_table: String,
    /// How long the ledger keeps a batch that is done.
    pub retention: Duration,
    /// How long Glue may take to list a run that was started.
    pub reconciliation: Duration,
    /// How long a manifest is kept.
    pub manifests_kept: Duration,
    /// The source identity for the sessions of starter roles.
    pub source_identity: Option<String>,
    /// The name of these sessions.
    pub session_name: String,
    /// The destination of lineage; none by default.
    pub lineage: Option<Destination>,
    /// The queues that the functions send to.
    pub queues: Queues,
}

/// The queues that the functions send to. The environment of an older version names none.
#[derive(Debug, Default)]
pub struct Queues {
    /// The ARN of the queue that arrivals come from. Messages that have to wait are sent to it
    /// again.
    pub arrivals: Option<String>,
    /// How often that queue, and the queue of run events, deliver a message before they move it to
    /// the dead-letter queue.
    pub max_receive_count: Option<u64>,
    /// The ARN of the queue whose messages may say what a listing found.
    pub backfill: Option<String>,
    /// The ARN of the work queue, which spreads due batches over invocations of the monitor.
    pub work: Option<String>,
    /// How many of these invocations work at a time.
    pub work_concurrency: u64,
}

impl Queues {
    /// Returns the number of deliveries from which on a message that only has to wait is not left
    /// to SQS any more; `None` if the environment does not say how many there are. It is half of
    /// them, because not every delivery ends with an answer.
    pub fn late_deliveries(&self) -> Option<u64> {
        self.max_receive_count.map(|count| count.div_ceil(2))
    }
}

/// Why a function cannot work with its settings.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum SettingsError {
    #[error("failed to read routes from `{}`", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("failed to use the routes in `{}`: {} errors", path.display(), problems.iter().filter(|p| p.is_error()).count())]
    Invalid { path: PathBuf, problems: Vec<Problem> },
    #[error(
        "failed to find the external ID of target `{target}`: \
         environment variable `{variable}` is not set"
    )]
    NoExternalId { target: String, variable: String },
    #[error(
        "failed to use the external ID of target `{target}`: environment variable `{variable}` \
         holds none that STS admits (2 to 1,224 letters, digits and `_+=,.@:/-`)"
    )]
    BadExternalId { target: String, variable: String },
    #[error("failed to learn the reader role: `LANDFALL_READER_ROLE_ARN` is not the ARN of a role")]
    BadReaderRole,
    #[error(
        "failed to use `LANDFALL_SOURCE_IDENTITY`: a source identity has 2 to 64 letters, digits \
         and `_+=,.@-`"
    )]
    BadSourceIdentity,
    #[error("failed to learn {what}: environment variable `{variable}` is not set")]
    Missing { variable: &'static str, what: &'static str },
    #[error("failed to use environment variable `{variable}`: it is not {expected}")]
    Malformed { variable: &'static str, expected: &'static str },
}

impl SettingsError {
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "routes_unreadable",
            Self::Invalid { .. } => "routes_invalid",
            Self::NoExternalId { .. } => "external_id_missing",
            Self::BadExternalId { .. } => "external_id_malformed",
            Self::BadReaderRole => "reader_role_malformed",
            Self::BadSourceIdentity => "source_identity_malformed",
            Self::Missing { .. } => "setting_missing",
            Self::Malformed { .. } => "setting_malformed",
        }
    }

    /// Writes the error to the log, with a line for each problem in a routes file.
    pub fn log(&self) {
        let code = self.code();
        if let Self::Invalid { path, problems } = self {
            for problem in problems {
                tracing::error!(code, "{}:{problem}", path.display());
            }
        }
        match std::error::Error::source(self) {
            Some(source) => tracing::error!(code, "{self}: {source}"),
            None => tracing::error!(code, "{self}"),
        }
    }
}

impl Settings {
    /// Reads `LANDFALL_ROUTES` (a path; the default is `routes.yaml` beside the binary, in
    /// `LAMBDA_TASK_ROOT`), `LANDFALL_READER_ROLE_ARN` (where `{account}` stands for a target's
    /// account), `LANDFALL_LEDGER_TABLE`, `LANDFALL_CLAIMS_TABLE_ARN`, `LANDFALL_MANIFESTS_BUCKET`,
    /// `LANDFALL_RETENTION_DAYS`, `LANDFALL_RECONCILIATION_SECONDS`,
    /// `LANDFALL_MANIFEST_RETENTION_DAYS`, `LANDFALL_SOURCE_IDENTITY`,
    /// `LANDFALL_ARRIVALS_QUEUE_ARN`, `LANDFALL_MAX_RECEIVE_COUNT`, `LANDFALL_WORK_QUEUE_ARN`,
    /// `LANDFALL_WORK_CONCURRENCY`, the variables of [`Destination`], those that the routes name,
    /// and Lambda's own. An empty variable counts as not set.
    ///
    /// # Errors
    /// Returns everything that is wrong, together.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<SettingsError>> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let mut errors = Vec::new();
        let routes = routes_from_env(variable).map_err(|error| errors.push(error)).ok();
        let external_ids = match &routes {
            Some(routes) => external_ids(routes, variable, &mut errors),
            None => BTreeMap::new(),
        };
        let mut required = |name: &'static str, what: &'static str| {
            let value = variable(name);
            if value.is_none() {
                errors.push(SettingsError::Missing { variable: name, what });
            }
            value.unwrap_or_default()
        };
        let ledger_table = required("LANDFALL_LEDGER_TABLE", "the table of the ledger");
        let claims_table_arn = required("LANDFALL_CLAIMS_TABLE_ARN", "the table of the claims");
        let manifests_bucket = required("LANDFALL_MANIFESTS_BUCKET", "the bucket of the manifests");
        if !claims_table_arn.is_empty() && TableArn::parse(&claims_table_arn).is_none() {
            let variable = "LANDFALL_CLAIMS_TABLE_ARN";
            errors.push(SettingsError::Malformed { variable, expected: "the ARN of a table" });
        }
        let mut number = |name: &'static str, default: u64, most: u64| match variable(name) {
            None => default,
            Some(text) => {
                text.parse().ok().filter(|n| (1..=most).contains(n)).unwrap_or_else(|| {
                    let expected = "a whole number, 1 or more, and not beyond all bounds";
                    errors.push(SettingsError::Malformed { variable: name, expected });
                    default
                })
            }
        };
        let days = number("LANDFALL_RETENTION_DAYS", RETENTION_DAYS, 36_500);
        let seconds = number("LANDFALL_RECONCILIATION_SECONDS", RECONCILIATION_SECONDS, 7 * 86_400);
        let manifest_days =
            number("LANDFALL_MANIFEST_RETENTION_DAYS", MANIFEST_RETENTION_DAYS, 36_500);
        let name = "LANDFALL_MAX_RECEIVE_COUNT";
        let max_receive_count = variable(name).map(|_| number(name, 1, 1_000));
        let work_concurrency = number("LANDFALL_WORK_CONCURRENCY", WORK_CONCURRENCY, 1_000);
        let mut queue = |name: &'static str| {
            let arn = variable(name);
            if arn.as_ref().is_some_and(|arn| QueueArn::parse(arn).is_none()) {
                let expected = "the ARN of a queue";
                errors.push(SettingsError::Malformed { variable: name, expected });
            }
            arn
        };
        let arrivals = queue("LANDFALL_ARRIVALS_QUEUE_ARN");
        let backfill = queue("LANDFALL_BACKFILL_QUEUE_ARN");
        let work = queue("LANDFALL_WORK_QUEUE_ARN");
        let queues = Queues { arrivals, max_receive_count, backfill, work, work_concurrency };
        let reader_role_arn = variable("LANDFALL_READER_ROLE_ARN").unwrap_or_default();
        let function = variable("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
        // The reader role is in the function's own account.
        let any_reader = reader_role_arn.replace("{account}", "0");
        let account = match RoleArn::parse(&any_reader) {
            Some(reader) => reader.account.to_owned(),
            None => {
                errors.push(SettingsError::BadReaderRole);
                String::new()
            }
        };
        let source_identity = variable("LANDFALL_SOURCE_IDENTITY");
        if source_identity.as_ref().is_some_and(|name| !is_source_identity(name)) {
            errors.push(SettingsError::BadSourceIdentity);
        }
        let lineage = Destination::read(variable).unwrap_or_else(|(variable, expected)| {
            errors.push(SettingsError::Malformed { variable, expected });
            None
        });
        if let Some(Destination::Http { api_key: Some(ApiKey::Plain(_)), .. }) = &lineage {
            tracing::warn!(
                code = "lineage_api_key_in_environment",
                "the key for lineage is in `LANDFALL_LINEAGE_API_KEY`, where anyone who can read the \
                function's configuration sees it; keep it in Secrets Manager, and name the secret in \
                `LANDFALL_LINEAGE_API_KEY_ARN`"
            );
        }
        match routes {
            Some(routes) if errors.is_empty() => Ok(Self {
                routes,
                external_ids,
                job_resources: JobResources { reader_role_arn, claims_table_arn, manifests_bucket },
                session_name: session_name(&[&function, &account]),
                account,
                ledger_table,
                retention: Duration::from_secs(days * 86_400),
                reconciliation: Duration::from_secs(seconds),
                manifests_kept: Duration::from_secs(manifest_days * 86_400),
                source_identity,
                lineage,
                queues,
            }),
            _ => Err(errors),
        }
    }
}

/// Returns `true` if STS allows the name: 2 to 64 characters of `[\w+=,.@-]`.
fn is_source_identity(text: &str) -> bool {
    (2..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b))
}

/// Reads the routes file beside the binary, or at `LANDFALL_ROUTES`. If they were packaged, they are beside it in a file
/// that ends with `.packaged`, and needn't be parsed.
///
/// # Errors
/// Fails if the file can't be read, or isn't valid.
pub fn routes_from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Routes, SettingsError> {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let path = match variable("LANDFALL_ROUTES") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(variable("LAMBDA_TASK_ROOT").unwrap_or_else(|| ".".to_owned()))
            .join("routes.yaml"),
    };
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(source) => return Err(SettingsError::Unreadable { path, source }),
    };
    let warn = |warning: &dyn Display| {
        tracing::warn!(code = "routes_warning", "{}:{warning}", path.display());
    };
    if let Some(Unpackaged { routes, warnings }) = packaged(&path, &text) {
        warnings.iter().for_each(|warning| warn(warning));
        return Ok(routes);
    }
    let text = match String::from_utf8(text) {
        Ok(text) => text,
        Err(error) => {
            let source = std::io::Error::new(std::io::ErrorKind::InvalidData, error.utf8_error());
            return Err(SettingsError::Unreadable { path, source });
        }
    };
    let parsed = Routes::parse(&text);
    let Some(routes) = parsed.routes else {
        return Err(SettingsError::Invalid { path, problems: parsed.problems });
    };
    parsed.problems.iter().for_each(|problem| warn(problem));
    Ok(routes)
}

/// Returns the routes that were packaged beside the file at `path`, which holds `text`. If there are some that can't be
/// used, logs why.
fn packaged(path: &Path, text: &[u8]) -> Option<Unpackaged> {
    let path = path.with_extension("packaged");
    let unusable = |reason: &dyn Display| {
        tracing::warn!(
            code = "routes_parsed",
            "can't use `{}`: {reason}; each start of the function parses the text of the routes instead and takes \
             longer: deploy again with `landfall deploy`, or with a new package of `landfall package`",
            path.display()
        );
    };
    let file = match std::fs::read(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            unusable(&error);
            return None;
        }
    };
    unpackage(file, text).inspect_err(|reason| unusable(reason)).ok()
}

fn external_ids(
    routes: &Routes,
    variable: impl Fn(&str) -> Option<String>,
    errors: &mut Vec<SettingsError>,
) -> BTreeMap<String, Secret> {
    let mut external_ids = BTreeMap::new();
    for target in routes.targets.values() {
        let secret = match &target.external_id {
            None => continue,
            Some(ExternalId::Literal(secret)) => secret.clone(),
            Some(ExternalId::Variable(name)) => {
                let (target, name) = (target.name.clone(), name.clone());
                match variable(&name) {
                    Some(text) if is_external_id(&text) => Secret::new(text),
                    Some(_) => {
                        errors.push(SettingsError::BadExternalId { target, variable: name });
                        continue;
                    }
                    None => {
                        errors.push(SettingsError::NoExternalId { target, variable: name });
                        continue;
                    }
                }
            }
        };
        if is_short_external_id(secret.expose()) {
            tracing::warn!(
                code = "external_id_short",
                "the external ID of target `{}` has fewer than {NEW_EXTERNAL_ID_CHARS} characters and can be \
                 guessed; rotate it",
                target.name
            );
        }
        external_ids.insert(target.name.clone(), secret);
    }
    external_ids
}
