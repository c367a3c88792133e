//! What the function is told by its environment, and the routes beside its binary.

use std::collections::BTreeMap;
use std::path::PathBuf;

use landfall_aws::assumed_role::session_name;
use landfall_core::arn::RoleArn;
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
    pub reader_role_arn: String,
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
    #[error("failed to learn the reader role: `LANDFALL_READER_ROLE_ARN` is not the ARN of a role")]
    BadReaderRole,
    #[error(
        "failed to use `LANDFALL_SOURCE_IDENTITY`: a source identity has 2 to 64 letters, digits \
         and `_+=,.@-`"
    )]
    BadSourceIdentity,
}

impl SettingsError {
    /// A stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "routes_unreadable",
            Self::Invalid { .. } => "routes_invalid",
            Self::NoExternalId { .. } => "external_id_missing",
            Self::BadExternalId { .. } => "external_id_malformed",
            Self::BadReaderRole => "reader_role_malformed",
            Self::BadSourceIdentity => "source_identity_malformed",
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
    /// All that is wrong, together.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<SettingsError>> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let mut errors = Vec::new();
        let path = match variable("LANDFALL_ROUTES") {
            Some(path) => PathBuf::from(path),
            None => PathBuf::from(variable("LAMBDA_TASK_ROOT").unwrap_or_else(|| ".".to_owned()))
                .join("routes.yaml"),
        };
        let routes = read_routes(path).map_err(|error| errors.push(error)).ok();
        let external_ids = match &routes {
            Some(routes) => external_ids(routes, variable, &mut errors),
            None => BTreeMap::new(),
        };
        let reader_role_arn = variable("LANDFALL_READER_ROLE_ARN").unwrap_or_default();
        let function = variable("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
        let session_name = match RoleArn::parse(&reader_role_arn) {
            // The reader role is in the account that the function is in.
            Some(reader) => session_name(&[&function, reader.account]),
            None => {
                errors.push(SettingsError::BadReaderRole);
                session_name(&[&function])
            }
        };
        let source_identity = variable("LANDFALL_SOURCE_IDENTITY");
        if source_identity.as_ref().is_some_and(|name| !is_source_identity(name)) {
            errors.push(SettingsError::BadSourceIdentity);
        }
        match routes {
            Some(routes) if errors.is_empty() => {
                Ok(Self { routes, external_ids, reader_role_arn, source_identity, session_name })
            }
            _ => Err(errors),
        }
    }
}

/// STS: 2 to 64 of `[\w+=,.@-]`.
fn is_source_identity(text: &str) -> bool {
    (2..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b))
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
        external_ids.insert(target.name.clone(), secret);
    }
    external_ids
}
