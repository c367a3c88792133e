//! The failures of a request, as the answer and the log report them.

use landfall_aws::assumed_role::AssumeError;
use landfall_aws::sdk_error::{AwsError, chain};
use landfall_core::limits::Outside;
use landfall_core::roles::SpecError;
use landfall_core::routes::NEW_EXTERNAL_ID_CHARS;
use landfall_provisioning::bucket_notifications as s3_notifications;
use landfall_provisioning::bucket_policies as s3_policies;
use landfall_provisioning::iam::IamError;
use landfall_provisioning::kms::KmsError;
use landfall_provisioning::lifecycle_table::TableError;

/// Why a request fails.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum Failure {
    #[error(
        "resource type `{0}` is unknown; the known types are Custom::LandfallStarterRole, \
        Custom::LandfallReaderRole, Custom::LandfallJobRole, Custom::LandfallBucketNotifications and \
        Custom::LandfallBucketAccess"
    )]
    UnknownType(String),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(
        "`{0}` has fewer than {NEW_EXTERNAL_ID_CHARS} characters and can be guessed: give both accounts \
        the same random one (`openssl rand -hex 16`)"
    )]
    ShortExternalId(&'static str),
    #[error(transparent)]
    Outside(#[from] Outside),
    #[error("CloudFormation does not wait for this request: {0}")]
    NotAwaited(String),
    #[error("failed to check that CloudFormation waits for this request")]
    NotChecked(#[source] AwsError),
    #[error(transparent)]
    Assume(#[from] AssumeError),
    #[error(transparent)]
    Iam(#[from] IamError),
    #[error(transparent)]
    Kms(#[from] KmsError),
    /// The lock of a bucket cannot be taken.
    #[error(transparent)]
    Lock(#[from] TableError),
    #[error("{}", .0.join("; "))]
    Hindered(Vec<String>),
    #[error("{}", .0.join("; "))]
    PoliciesHindered(Vec<String>),
    #[error(transparent)]
    Notifications(#[from] s3_notifications::Error),
    #[error(transparent)]
    Policies(#[from] s3_policies::Error),
    #[error("S3 did not answer in time about bucket `{0}`")]
    BucketOutOfTime(String),
    #[error("{}", .0.iter().map(Failure::reason).collect::<Vec<_>>().join("; "))]
    Several(Vec<Failure>),
    #[error("there was not enough time; the log shows how far the work got")]
    OutOfTime,
    #[error("the provisioner panicked; its log shows where")]
    Panicked,
}

impl Failure {
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownType(_) => "resource_type_unknown",
            Self::Spec(error) => error.code(),
            Self::ShortExternalId(_) => "external_id_too_short",
            Self::Outside(outside) => outside.code(),
            Self::NotAwaited(_) => "request_not_asked_for",
            Self::NotChecked(_) => "request_not_checked",
            Self::Assume(error) => error.code(),
            Self::Iam(error) => error.code(),
            Self::Kms(error) => error.code(),
            Self::Lock(error) => error.code(),
            Self::Hindered(_) => "notifications_hindered",
            Self::PoliciesHindered(_) => "bucket_policies_hindered",
            Self::Notifications(error) => error.code(),
            Self::Policies(error) => error.code(),
            Self::BucketOutOfTime(_) => "notifications_out_of_time",
            Self::Several(failures) => failures.first().map_or("unknown", Self::code),
            Self::OutOfTime => "out_of_time",
            Self::Panicked => "panicked",
        }
    }

    /// Returns the failure and all its causes in one line, for the answer and the log.
    pub fn reason(&self) -> String {
        chain(self)
    }

    /// Returns `true` if another request is at work, which will have ended by the next delivery.
    pub fn is_busy(&self) -> bool {
        match self {
            Self::Lock(error) => error.is_locked(),
            Self::Several(failures) => failures.iter().any(Self::is_busy),
            _ => false,
        }
    }
}
