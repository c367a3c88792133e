//! Finds what is gone, and whether somebody holds its repair.

use aws_sdk_s3::error::ProvideErrorMetadata;
use landfall_aws::sdk_error::sdk_error_parts;
use landfall_core::audit::repair::{HOLD, Resource};
use landfall_inspection::drift::{self, State};
use landfall_inspection::requested::Requested;
use landfall_stacks::stack::Observed;

use crate::{Context, Error};

/// A resource that is gone, as a whole or from some buckets.
#[derive(Debug)]
pub(crate) struct Gone {
    pub resource: Resource,
    /// The buckets that have nothing of it.
    pub buckets: Vec<String>,
}

/// Finds the resources of which everything that differs is gone.
///
/// # Errors
/// Fails if it isn't known what the stack asks for.
pub(crate) async fn gone(context: &Context, observed: &Observed) -> Result<Vec<Gone>, Error> {
    let Context { settings, stacks, clients, .. } = context;
    let template = stacks.processed_template(&settings.stack).await.map_err(Error::of_stack)?;
    let ids = stacks.physical_ids(&settings.stack).await.map_err(Error::of_stack)?;
    let requested = Requested::new(&template, &observed.id, &observed.parameters, ids);
    let requested = requested.map_err(Error::of_stack)?;
    let mut gone = Vec::new();
    for compared in drift::compare(clients, &requested).await {
        let (name, logical_id) = (compared.name, compared.resource.logical_id);
        match compared.state {
            State::AsDesired => {}
            State::Drifted { is_gone: true, buckets, .. } => {
                gone.push(Gone { resource: Resource { logical_id, name }, buckets });
            }
            State::Drifted { is_gone: false, .. } | State::Stuck(_) => {
                let message = "it differs: run `landfall deploy --repair` or decide what is right";
                tracing::info!(code = "not_only_gone", resource = name, "{message}");
            }
            State::Unknown(reason) => {
                tracing::warn!(code = "could_not_look", resource = name, reason, "not known");
            }
        }
    }
    Ok(gone)
}

/// Returns why somebody holds the repair, if one of the buckets has the tag for it. A role that is gone has no tags.
///
/// # Errors
/// Fails if the tags of a bucket can't be read.
pub(crate) async fn hold(context: &Context, gone: &Gone) -> Result<Option<String>, Error> {
    for bucket in &gone.buckets {
        let get = context.s3.get_bucket_tagging().bucket(bucket);
        let tags = match get.expected_bucket_owner(&context.settings.account).send().await {
            Ok(found) => found.tag_set,
            // S3 calls it an error if there is no tag.
            Err(error) if error.code() == Some("NoSuchTagSet") => Vec::new(),
            Err(error) => {
                let (code, message) = sdk_error_parts(&error);
                let (bucket, message) = (bucket.clone(), format!("{code}: {message}"));
                return Err(Error::Tags { bucket, message });
            }
        };
        if tags.iter().any(|tag| tag.key() == HOLD) {
            return Ok(Some(format!("bucket `{bucket}` has the tag `{HOLD}`")));
        }
    }
    Ok(None)
}
