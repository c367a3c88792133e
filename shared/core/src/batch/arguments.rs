//! The arguments of a job run.

use std::collections::BTreeMap;

use crate::plan::RefusalReason;
use crate::template::Template;

/// Glue admits 260 KB of arguments to a run, names and values together; Landfall's own are short.
const MAX_BYTES: usize = 250_000;

/// Fills the templates in, and refuses what is too long for a run.
///
/// # Errors
/// As [`fill`].
pub fn arguments(
    templates: &BTreeMap<String, Template>,
    value: impl Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>, RefusalReason> {
    let arguments = fill(templates, value)?;
    let bytes = arguments.iter().map(|(name, value)| name.len() + value.len()).sum();
    match bytes > MAX_BYTES {
        true => Err(RefusalReason::ArgumentsTooLong { bytes, limit: MAX_BYTES }),
        false => Ok(arguments),
    }
}

/// Fills the templates in, however long that gets.
///
/// # Errors
/// A value is not known, or is one that a job would misread.
pub fn fill(
    templates: &BTreeMap<String, Template>,
    value: impl Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>, RefusalReason> {
    let mut arguments = BTreeMap::new();
    for (name, template) in templates {
        let value = template.fill(&value).map_err(|value| RefusalReason::UnknownValue {
            argument: name.clone(),
            value: value.to_owned(),
        })?;
        if value.starts_with('-') {
            return Err(RefusalReason::LeadingDash { argument: name.clone() });
        }
        if value.contains('\0') {
            return Err(RefusalReason::Nul { argument: name.clone() });
        }
        arguments.insert(name.clone(), value);
    }
    Ok(arguments)
}

/// What Landfall itself tells a job about a batch, the epoch apart.
pub fn own_arguments(
    batch_id: &str,
    manifest: &str,
    reader_role_arn: &str,
    claims_table_arn: &str,
) -> [(String, String); 4] {
    [
        ("--landfall-batch-id", batch_id),
        ("--landfall-manifest", manifest),
        ("--landfall-reader-role", reader_role_arn),
        ("--landfall-claims-table", claims_table_arn),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
}
