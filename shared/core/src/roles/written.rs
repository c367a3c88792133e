//! The properties of the custom resources for roles, as they are written. The JSON Schemas are made
//! from these types. What the values mean is checked in `spec`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Kind;
use crate::routes::written::RoutesFile;
use crate::secret::Secret;

/// The path of roles that are given none.
pub const DEFAULT_PATH: &str = "/landfall/";

/// A struct with the properties that all roles have, and its own.
macro_rules! properties {
    ($(#[$about:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* }) => {
        #[derive(Debug, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, rename_all = "PascalCase")]
        $(#[$about])*
        pub struct $name {
            /// The version of these properties. Default: 1.
            #[schemars(range(min = 1, max = 1))]
            pub version: Option<u32>,
            /// The role's name; the other account's stack names it too. A change replaces the role.
            #[schemars(required, regex(pattern = r"^[\w+=,.@-]{1,64}$"))]
            pub role_name: Option<String>,
            /// The role's path, with a slash at either end. Default: `/landfall/`.
            #[schemars(regex(pattern = "^/([!-~]+/)*$"))]
            pub path: Option<String>,
            /// The role's description.
            #[schemars(length(max = 1000))]
            pub description: Option<String>,
            /// The ARN of the managed policy that bounds what the role may do. The provisioner of the
            /// templates may create no role without the one that it was given.
            pub permissions_boundary: Option<String>,
            /// The longest session, in seconds. Default: 3600.
            #[schemars(range(min = 3600, max = 43200))]
            pub max_session_duration: Option<u32>,
            /// Tags of the role, beside those that say whose it is.
            pub tags: Option<BTreeMap<String, String>>,
            /// A role of another account, to provision there: the provisioner assumes it.
            pub provisioning_role_arn: Option<String>,
            /// The external ID that the provisioning role demands.
            pub provisioning_external_id: Option<Secret>,
            $($(#[$attribute])* pub $field: $type,)*
        }

        impl $name {
            pub fn common(&self) -> Common<'_> {
                Common {
                    version: self.version,
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

/// What all roles have.
pub struct Common<'a> {
    pub version: Option<u32>,
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
    /// `Custom::LandfallStarterRole`, in the analytics account: who is trusted may start the jobs of the
    /// routes whose target names this role as `starter_role`, and look up their runs.
    #[schemars(title = "Custom::LandfallStarterRole")]
    StarterRole {
        /// The routes file, as `AWS::Include` brings it.
        #[schemars(required)]
        routes: Option<RoutesFile>,
        /// The ARNs of the roles that may assume it, all of one data account; they need not exist yet.
        #[schemars(required, length(min = 1))]
        trusted_role_arns: Option<Vec<String>>,
        /// What who assumes it must present.
        #[schemars(required)]
        external_id: Option<Secret>,
        /// A second external ID that is admitted while the first one is being changed; none if empty.
        previous_external_id: Option<Secret>,
    }
}

properties! {
    /// `Custom::LandfallReaderRole`, in the data account: who is trusted may read what the routes to
    /// its account take, and nothing else.
    #[schemars(title = "Custom::LandfallReaderRole")]
    ReaderRole {
        /// The routes file, as `AWS::Include` brings it.
        #[schemars(required)]
        routes: Option<RoutesFile>,
        /// The ARNs of the job roles, all of one analytics account; they need not exist yet.
        #[schemars(required, length(min = 1))]
        trusted_role_arns: Option<Vec<String>>,
        /// What who assumes it must present; none if it is left out, since not all of Glue's connectors
        /// can present one.
        external_id: Option<Secret>,
        /// A second external ID that is admitted while the first one is being changed; none if empty.
        previous_external_id: Option<Secret>,
        /// The ARNs of the KMS keys that objects are encrypted with. Default: those of the buckets'
        /// default encryption.
        kms_key_arns: Option<Vec<String>>,
        /// The bucket of the manifests, which is Landfall's own and no route's: those of the trusted
        /// roles' account can be read. None if empty.
        manifests_bucket_name: Option<String>,
        /// The ARN of the table in which jobs claim their batches; the items of the trusted roles'
        /// account can be got and updated. None if empty.
        claims_table_arn: Option<String>,
        /// Whether the role also reaches batches of the version before, whose ids name no account:
        /// `true` as long as there are any in flight, `false` afterwards. Without it, the role reaches
        /// every batch of every account, as it did in that version.
        admits_former_batches: Option<bool>,
    }
}

properties! {
    /// `Custom::LandfallJobRole`, in the analytics account: Glue may run jobs with it, which may assume
    /// the reader roles and write logs. What else they need is added by policies of your own.
    #[schemars(title = "Custom::LandfallJobRole")]
    JobRole {
        /// The ARNs of the reader roles; they need not exist yet.
        #[schemars(required, length(min = 1))]
        reader_role_arns: Option<Vec<String>>,
    }
}

/// The JSON Schema of the properties of `kind`.
pub fn json_schema(kind: Kind) -> String {
    let schema = match kind {
        Kind::Starter => schemars::schema_for!(StarterRole),
        Kind::Reader => schemars::schema_for!(ReaderRole),
        Kind::Job => schemars::schema_for!(JobRole),
    };
    // A `Schema` is a JSON value; printing one cannot fail.
    format!("{:#}\n", schema.to_value())
}
