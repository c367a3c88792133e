//! The kinds of custom resource, and what a request for each comes down to.

use std::collections::{BTreeMap, BTreeSet};

use landfall_aws::assumed_role::{AssumedRole, Assumption, session_name};
use landfall_aws::iam::{self, IamError, Removal};
use landfall_core::lifecycle::Memory;
use landfall_core::roles::{Home, Identity, Kind, Owner, Spec, SpecError};
use serde_json::Value;
use tokio::time::Instant;

use crate::Context;
use crate::protocol::{Request, RequestType};

/// Why a request fails.
#[derive(Debug)]
pub struct Failure {
    /// A stable identifier for logs and metrics.
    pub code: &'static str,
    pub reason: String,
}

impl Failure {
    pub fn new(code: &'static str, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

impl From<SpecError> for Failure {
    fn from(error: SpecError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<IamError> for Failure {
    fn from(error: IamError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// A role that a request is about.
#[derive(Debug)]
pub struct Resource<'a> {
    kind: Kind,
    identity: Identity,
    /// The role that the properties before an Update named, if it is another.
    before: Option<Identity>,
    properties: &'a Value,
    home: &'a Home,
    /// Whether an Update makes another role.
    pub is_replaced: bool,
}

impl<'a> Resource<'a> {
    /// # Errors
    /// The type is not known, or the properties do not tell which role they mean.
    pub fn of(request: &'a Request, home: &'a Home) -> Result<Self, Failure> {
        let kind = match request.resource_type.as_str() {
            "Custom::LandfallStarterRole" => Kind::Starter,
            "Custom::LandfallReaderRole" => Kind::Reader,
            "Custom::LandfallJobRole" => Kind::Job,
            other => {
                let reason = format!(
                    "resource type `{other}` is not known; there are Custom::LandfallStarterRole, \
                     Custom::LandfallReaderRole, Custom::LandfallJobRole and Custom::LandfallBucketNotifications"
                );
                return Err(Failure::new("resource_type_unknown", reason));
            }
        };
        let properties = &request.properties;
        let Some(identity) = Identity::read(properties, home) else {
            // Says all that is wrong, the name or the provisioning role among it.
            let error = match Spec::read(kind, properties, home) {
                Err(error) => error.into(),
                Ok(_) => Failure::new("properties_invalid", "the properties name no role"),
            };
            return Err(error);
        };
        let before = request.old_properties.as_ref().map(|old| Identity::read(old, home));
        let is_replaced = request.request_type == RequestType::Update
            && !before.as_ref().is_some_and(|before| {
                before.as_ref().is_some_and(|before| before.is_same_role(&identity))
            });
        let before = before.flatten().filter(|_| is_replaced);
        Ok(Self { kind, identity, before, properties, home, is_replaced })
    }

    /// Does what was decided; returns what `Fn::GetAtt` gives.
    ///
    /// # Errors
    /// The properties are wrong, the role is somebody else's, or AWS refuses.
    pub async fn carry_out(
        &self,
        context: &Context,
        owner: &Owner,
        memory: &Memory,
        is_removal: bool,
        deadline: Instant,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let client = client(context, &self.identity).await?;
        if is_removal {
            remove(&client, &self.identity, owner, memory, deadline).await?;
            return Ok(BTreeMap::new());
        }
        let spec = Spec::read(self.kind, self.properties, self.home)?;
        let role = spec.role(owner, &BTreeSet::new())?;
        for note in &spec.notes {
            tracing::warn!(code = "wider_than_the_routes", role = role.name, "{note}");
        }
        // A replacement that was cancelled is named by nobody but the properties before.
        if let Some(before) = &self.before {
            remove(&self::client(context, before).await?, before, owner, memory, deadline).await?;
        }
        let observed = iam::converge(&client, &role, deadline).await?;
        let mut data = role.attributes(&observed);
        data.insert("Notes".to_owned(), spec.notes.join("\n"));
        Ok(data)
    }
}

async fn remove(
    client: &aws_sdk_iam::Client,
    identity: &Identity,
    owner: &Owner,
    memory: &Memory,
    deadline: Instant,
) -> Result<(), Failure> {
    let is_gone = |id: &str| memory.is_gone(id);
    match iam::remove(client, &identity.name, owner, is_gone, deadline).await? {
        Removal::Removed | Removal::Absent => {}
        Removal::NotOurs => {
            let role = &identity.name;
            tracing::warn!(
                code = "role_left_alone",
                role,
                "the role is not this resource's to remove"
            );
        }
    }
    Ok(())
}

/// IAM in the account of the role.
async fn client(context: &Context, identity: &Identity) -> Result<aws_sdk_iam::Client, Failure> {
    let Some(provisioning) = &identity.provisioning else {
        return Ok(aws_sdk_iam::Client::new(&context.config));
    };
    let role = AssumedRole::new(
        aws_sdk_sts::Client::new(&context.config),
        Assumption {
            role_arn: provisioning.role_arn.clone(),
            external_id: provisioning.external_id.clone(),
            session_name: session_name(&["landfall-provisioner"]),
            source_identity: None,
        },
    );
    let credentials = role.credentials().await;
    let credentials = credentials.map_err(|error| Failure::new(error.code(), error.to_string()))?;
    let config = aws_sdk_iam::config::Builder::from(&context.config)
        .credentials_provider(credentials)
        .build();
    Ok(aws_sdk_iam::Client::from_conf(config))
}
