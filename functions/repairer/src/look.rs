//! Finds what is gone, and whether somebody holds its repair.

use std::time::Duration;

use aws_sdk_s3::error::ProvideErrorMetadata;
use landfall_aws::clock::now;
use landfall_aws::cloudtrail::Whereabouts;
use landfall_aws::sdk_error::sdk_error_parts;
use landfall_core::audit::repair::{HOLD, Resource, Trace};
use landfall_inspection::drift::{self, State};
use landfall_inspection::requested::Requested;
use landfall_stacks::stack::Observed;

use crate::{Context, Error, Settings};

/// How late CloudTrail can be.
const LATE: Duration = Duration::from_secs(3_600);

/// A resource that is gone, as a whole or from some buckets.
#[derive(Debug)]
pub(crate) struct Gone {
    pub resource: Resource,
    /// The buckets that have nothing of it.
    pub buckets: Vec<String>,
    /// The name of the role, if it is one.
    pub role: Option<String>,
    /// Who changed it last, if CloudTrail says so.
    pub cause: Option<String>,
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
                let (resource, role) = (Resource { logical_id, name }, compared.role);
                gone.push(Gone { resource, buckets, role, cause: None });
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

/// Asks CloudTrail who changed the resource last, since the pause before a repair began at the earliest. Of several buckets, the
/// last change of a person counts, then what isn't known.
pub(crate) async fn trace(context: &Context, gone: &Gone) -> Trace {
    let Settings { pause, provisioner, .. } = &context.settings;
    let since = now() - *pause - LATE;
    let mut traces = Vec::new();
    if let Some(role) = &gone.role {
        let look = context.cloudtrail.last_change(Whereabouts::Iam, role, provisioner, since);
        traces.push(look.await);
    }
    for bucket in &gone.buckets {
        let look = context.cloudtrail.last_change(Whereabouts::Region, bucket, provisioner, since);
        traces.push(look.await);
    }
    let rank = |trace: &Trace| match trace {
        Trace::Changed(change) if change.is_own => (0, None),
        Trace::Nothing => (1, None),
        Trace::Unknown(_) => (2, None),
        Trace::Changed(change) => (3, Some(change.at)),
    };
    traces.into_iter().max_by_key(rank).unwrap_or(Trace::Nothing)
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
