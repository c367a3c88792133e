//! What the function is told by its environment, and the routes beside its binary.

use std::collections::BTreeMap;
use std::path::PathBuf;

use landfall_aws::assumed_role::session_name;
use landfall_core::problem::Problem;
use landfall_core::routes::{ExternalId, Routes, is_external_id};
use landfall_core::secret::Secret;

/// The settings of the trigger.
#[derive(Debug)]
pub struct Settings {
    pub routes: Routes,
    /// By target.
    pub external_ids: BTreeMap<String, Secret>,
    /// Passed to the jobs.
    pub reader_role_arn: Option<String>,
    pub source_identity: Option<String>,
    pub session_name: String,
}

/// Why the function cannot work at all.
#[derive(Debug, thiserror::Error)]
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
}

impl SettingsError {
    /// A stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "routes_unreadable",
            Self::Invalid { .. } => "routes_invalid",
            Self::NoExternalId { .. } => "external_id_missing",
            Self::BadExternalId { .. } => "external_id_malformed",
        }
    }

    /// Writes it to the log; each problem of a routes file as a line of its own.
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
    /// Reads `LANDFALL_ROUTES`, a path (default: `routes.yaml` beside the binary, which is
    /// `LAMBDA_TASK_ROOT`), `LANDFALL_READER_ROLE_ARN`, `LANDFALL_SOURCE_IDENTITY`, the variables
    /// that the routes name, and Lambda's own. An empty variable counts as one that is not set.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let path = match variable("LANDFALL_ROUTES") {
            Some(path) => PathBuf::from(path),
            None => PathBuf::from(variable("LAMBDA_TASK_ROOT").unwrap_or_else(|| ".".to_owned()))
                .join("routes.yaml"),
        };
        let routes = read_routes(path)?;
        let external_ids = external_ids(&routes, variable)?;
        let function = variable("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
        let reader_role_arn = variable("LANDFALL_READER_ROLE_ARN");
        // The reader role is in the account that the function is in.
        let account = reader_role_arn.as_deref().and_then(|arn| arn.split(':').nth(4));
        let session_name = match account {
            Some(account) => session_name(&[&function, account]),
            None => session_name(&[&function]),
        };
        Ok(Self {
            routes,
            external_ids,
            reader_role_arn,
            source_identity: variable("LANDFALL_SOURCE_IDENTITY"),
            session_name,
        })
    }
}

fn read_routes(path: PathBuf) -> Result<Routes, SettingsError> {
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(SettingsError::Unreadable { path, source }),
    };
    let parsed = Routes::parse(&text);
    let Some(routes) = parsed.routes else {
        return Err(SettingsError::Invalid { path, problems: parsed.problems });
    };
    for problem in parsed.problems {
        tracing::warn!(code = "routes_warning", "{}:{problem}", path.display());
    }
    Ok(routes)
}

fn external_ids(
    routes: &Routes,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, Secret>, SettingsError> {
    let mut external_ids = BTreeMap::new();
    for target in routes.targets.values() {
        let secret = match &target.external_id {
            None => continue,
            Some(ExternalId::Literal(secret)) => secret.clone(),
            Some(ExternalId::Variable(name)) => {
                let (target, name) = (target.name.clone(), name.clone());
                let Some(text) = variable(&name) else {
                    return Err(SettingsError::NoExternalId { target, variable: name });
                };
                if !is_external_id(&text) {
                    return Err(SettingsError::BadExternalId { target, variable: name });
                }
                Secret::new(text)
            }
        };
        external_ids.insert(target.name.clone(), secret);
    }
    Ok(external_ids)
}
