//! The properties of the custom resources for roles, as written. The JSON Schemas are generated from these types.
//! `spec` checks what the values mean.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Kind;
use crate::routes::written::RoutesFile;
use crate::secret::Secret;

/// The path of roles whose properties give none.
pub const DEFAULT_PATH: &str = "/landfall/";

/// Defines a struct with the properties that all roles have, and its own.
macro_rules! properties {
    ($(#[$about:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* }) => {
        #[derive(Debug, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, rename_all = "PascalCase")]
        $(#[$about])*
        pub(crate) struct $name {
            /// The version of these properties. Default: 1.
            #[schemars(range(min = 1, max = 1))]
            pub version: Option<u32>,
            /// The time of the last repair: at most 64 letters, digits and `-:.`. With another value, CloudFormation asks
            /// for an Update, which puts right what differs from the other properties. The value itself means nothing.
            #[schemars(length(max = 64), regex(pattern = "^[0-9A-Za-z:.-]*$"))]
            pub repair: Option<String>,
            /// The role's name, which the other account's stack names too. A change replaces the role.
            #[schemars(required, regex(pattern = r"^[\w+=,.@-]{1,64}$"))]
            pub role_name: Option<String>,
            /// The role's path, which begins and ends with a slash. Default: `/landfall/`.
            #[schemars(regex(pattern = "^/([!-~]+/)*$"))]
            pub path: Option<String>,
            /// The role's description.
            #[schemars(length(max = 1000))]
            pub description: Option<String>,
            /// The ARN of the managed policy that is the role's permissions boundary. The templates don't allow the
            /// provisioner to create a role without the boundary that they give it.
            pub permissions_boundary: Option<String>,
            /// The longest session, in seconds. Default: 3600.
            #[schemars(range(min = 3600, max = 43200))]
            pub max_session_duration: Option<u32>,
            /// Further tags for the role, besides the ones that name its owner.
            pub tags: Option<BTreeMap<String, String>>,
            /// The ARN of a role in another account. The provisioner assumes it to make the role there.
            pub provisioning_role_arn: Option<String>,
            /// The external ID that the provisioning role demands.
            pub provisioning_external_id: Option<Secret>,
            $($(#[$attribute])* pub $field: $type,)*
        }

        impl $name {
            /// Returns the properties that all roles have.
            pub(crate) fn common(&self) -> Common<'_> {
                Common {
                    version: self.version,
                    repair: self.repair.as_deref(),
                    role_name: self.role_name.as_deref(),
                    path: self.path.as_deref(),
                    description: self.description.as_deref(),
                    permissions_boundary: self.permissions_boundary.as_deref(),
                    max_session_duration: self.max_session_duration,
                    tags: self.tags.as_ref(),
                    provisioning_role_arn: self.provisioning_role_arn.as_deref(),
                    provisioning_external_id: self.provisioning_external_id.as_ref(),
                }
            }
        }
    };
}

/// The properties that all roles have.
pub(crate) struct Common<'a> {
    pub version: Option<u32>,
    pub repair: Option<&'a str>,
    pub role_name: Option<&'a str>,
    pub path: Option<&'a str>,
    pub description: Option<&'a str>,
    pub permissions_boundary: Option<&'a str>,
    pub max_session_duration: Option<u32>,
    pub tags: Option<&'a BTreeMap<String, String>>,
    pub provisioning_role_arn: Option<&'a str>,
    pub provisioning_external_id: Option<&'a Secret>,
}

properties! {
    /// `Custom::LandfallStarterRole`, in the analytics account. The trusted roles may start the jobs of the
    /// routes whose target names this role as `starter_role`, and look up their job runs.
    #[schemars(title = "Custom::LandfallStarterRole")]
    StarterRole {
        /// The routes file, included with `AWS::Include`.
        #[schemars(required)]
        routes: Option<RoutesFile>,
        /// The ARNs of the roles that may assume this role, all in one data account. They don't have to exist yet.
        #[schemars(required, length(min = 1))]
        trusted_role_arns: Option<Vec<String>>,
        /// The external ID that the trusted roles must present.
        #[schemars(required)]
        external_id: Option<Secret>,
        /// A second external ID that is accepted while the first one is being changed. Empty means none.
        previous_external_id: Option<Secret>,
    }
}

properties! {
    /// `Custom::LandfallReaderRole`, in the data account. The trusted roles may read what the routes to
    /// their account take, and nothing else.
    #[schemars(title = "Custom::LandfallReaderRole")]
    ReaderRole {
        /// The routes file, included with `AWS::Include`.
        #[schemars(required)]
        routes: Option<RoutesFile>,
        /// The ARNs of the job roles, all in one analytics account. They don't have to exist yet.
        #[schemars(required, length(min = 1))]
        trusted_role_arns: Option<Vec<String>>,
        /// The external ID that the trusted roles must present. Leave it out to require none, because not all
        /// of Glue's connectors can present one.
        external_id: Option<Secret>,
        /// A second external ID that is accepted while the first one is being changed. Empty means none.
        previous_external_id: Option<Secret>,
        /// The ARNs of the KMS keys that objects are encrypted with. Default: the keys of the buckets'
        /// default encryption.
        kms_key_arns: Option<Vec<String>>,
        /// The name of Landfall's own bucket for manifests, which no route may use. The role may read the
        /// manifests of the trusted roles' account. Empty means none.
        manifests_bucket_name: Option<String>,
        /// The ARN of the table in which jobs claim their batches. The role may get and update the items of
        /// the trusted roles' account. Empty means none.
        claims_table_arn: Option<String>,
        /// Whether the role also reaches former batches, which the version before made and whose IDs name no
        /// account. Use `true` as long as any are in flight, and `false` afterwards. If you leave this out,
        /// the role reaches every batch of every account, as it did in that version.
        admits_former_batches: Option<bool>,
    }
}

properties! {
    /// `Custom::LandfallJobRole`, in the analytics account. Glue may run jobs with it, and they may assume
    /// the reader roles, read what routes with `access: bucket_policy` take, and write logs. Add policies of your own
    /// for whatever else your jobs need.
    #[schemars(title = "Custom::LandfallJobRole")]
    JobRole {
        /// The ARNs of the reader roles. They don't have to exist yet.
        #[schemars(required, length(min = 1))]
        reader_role_arns: Option<Vec<String>>,
        /// The routes file, included with `AWS::Include`. The role may read what the routes to its account take that
        /// have `access: bucket_policy`, if the buckets' policies admit it. Default: it reads with the reader roles only.
        routes: Option<RoutesFile>,
        /// The account that owns the buckets of those routes. The role reads no bucket of another account. Needed if
        /// there is such a route.
        data_account_id: Option<String>,
        /// The name of Landfall's own bucket for manifests in that account. If there is such a route, the role may read
        /// the manifests of its own account. Empty means none.
        manifests_bucket_name: Option<String>,
    }
}

/// Returns the JSON Schema of the properties of `kind`.
pub fn json_schema(kind: Kind) -> String {
    let schema = match kind {
        Kind::Starter => schemars::schema_for!(StarterRole),
        Kind::Reader => schemars::schema_for!(ReaderRole),
        Kind::Job => schemars::schema_for!(JobRole),
    };
    // A `Schema` is a JSON value, so printing it can't fail.
    format!("{:#}\n", schema.to_value())
}
