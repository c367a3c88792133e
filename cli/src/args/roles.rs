//! The arguments of the commands about roles: `policies` and `diff`.

use std::ffi::OsString;

use clap::{Args, ValueEnum};
use landfall_core::arn::{PolicyArn, is_account};
use landfall_core::partition::is_region;
use landfall_core::roles::DEFAULT_PATH;

use super::accept;
use super::output::OutputFormat;

/// Print the policies of the roles that the provisioner creates from a routes file, and its statements in buckets' policies.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall policies --routes infra/routes.yaml --data-account 111111111111
  landfall policies --routes infra/routes.yaml --data-account 111111111111 \\
      --account data --format json
  landfall policies --routes infra/routes.yaml --data-account 111111111111 --terraform-notifications

The output is what the stacks of data-account.yaml and analytics-account.yaml request. The same code
as in the provisioner composes it. Where the routes don't settle something, the stacks have a
parameter: here it is an option with the same default. `policies` neither reads nor prints external
IDs, and shows `…` for them.

Terraform's aws_s3_bucket_notification replaces all notifications of its bucket, those of Landfall and
the switch of EventBridge included. If you have one for a landing bucket, --terraform-notifications
prints the blocks to put into it. Apply them, and then give the data account's stack
ManagesNotifications=false.

Exit status: 0 all roles were printed; 1 the routes file has errors, or a role can't be made from it;
2 wrong usage, or a file can't be read.")]
pub struct PoliciesArgs {
    #[command(flatten)]
    pub roles: RolesArgs,
    /// Print only the roles of this account's stack. Default: both accounts.
    #[arg(long, value_enum)]
    pub account: Option<WhichAccount>,
    /// Print no roles, but the notifications of the landing buckets, for Terraform.
    #[arg(long, conflicts_with_all = ["account", "format"])]
    pub terraform_notifications: bool,
}

/// Compare the roles that `policies` prints with the roles in IAM.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall diff --routes infra/routes.yaml --data-account 111111111111 --account analytics
  landfall diff --routes infra/routes.yaml --data-account 111111111111 --account data --format json

`diff` changes nothing. It uses your own credentials, which need iam:GetRole, iam:ListRolePolicies,
iam:GetRolePolicy and iam:ListAttachedRolePolicies, and for attached policies iam:GetPolicy and
iam:GetPolicyVersion. They come from --profile, from AWS_PROFILE or from the environment.

`diff` shows each difference as the step that the provisioner would take. It learns from the role's own
tags which stack the role belongs to. If the variable that the routes name is set, `diff` compares the
external ID too, and never prints it.

Exit status: 0 no differences; 1 differences; 2 `diff` couldn't compare: wrong usage, a routes file
with errors, no credentials, credentials for another account, or IAM refused a call.")]
pub struct DiffArgs {
    #[command(flatten)]
    pub roles: RolesArgs,
    /// The account that the credentials are for.
    #[arg(long, value_enum)]
    pub account: WhichAccount,
    /// The profile that the credentials come from. Default: AWS_PROFILE, or the environment's credentials.
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<String>,
}

/// Selects the roles, and sets what the routes don't say about them.
#[derive(Args)]
pub struct RolesArgs {
    /// The routes file; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub routes: OsString,
    /// The ID of the data account.
    #[arg(long, value_name = "ID", value_parser = account_id)]
    pub data_account: String,
    /// Use only the roles of this target. Default: every target that a route starts jobs in.
    #[arg(long, value_name = "NAME")]
    pub target: Option<String>,
    /// The NamePrefix of the stacks. Default: in the analytics account the prefix of the target's starter
    /// role, in the data account `landfall`.
    #[arg(long, value_name = "PREFIX", value_parser = name_prefix)]
    pub name_prefix: Option<String>,
    /// The NamePrefix of the data account's stack, if it differs.
    #[arg(long, value_name = "PREFIX", value_parser = name_prefix)]
    pub data_name_prefix: Option<String>,
    /// The NamePrefix of the analytics account's stack, if it differs.
    #[arg(long, value_name = "PREFIX", value_parser = name_prefix)]
    pub analytics_name_prefix: Option<String>,
    /// The NamePrefix of the provisioner's stacks, whose permissions boundary the roles get.
    #[arg(long, value_name = "PREFIX", value_parser = name_prefix, default_value = "landfall")]
    pub provisioner_name_prefix: String,
    /// The RolePath of the stacks: the path of the roles of trigger and monitor.
    #[arg(long, value_name = "PATH", value_parser = role_path, default_value = "/")]
    pub role_path: String,
    /// The ProvisionedRolePath of the stacks: the path of the roles that the provisioner creates.
    #[arg(long, value_name = "PATH", value_parser = role_path, default_value = DEFAULT_PATH)]
    pub provisioned_role_path: String,
    /// The permissions boundary of the roles, if you gave the provisioner one. Repeat for the other
    /// account.
    #[arg(long, value_name = "ARN", value_parser = boundary)]
    pub permissions_boundary: Vec<String>,
    /// The region of the analytics account's stack. Default: the target's region.
    #[arg(long, value_name = "REGION", value_parser = region)]
    pub region: Option<String>,
    /// The region of the data account's stack. Default: the region of the analytics account's stack.
    #[arg(long, value_name = "REGION", value_parser = region)]
    pub data_region: Option<String>,
    /// A KMS key that encrypts objects. Repeat for further keys.
    #[arg(long, value_name = "ARN")]
    pub kms_key_arn: Vec<String>,
    /// A further role that may assume the reader role, as OtherJobRoleArns of the data account's stack names it.
    /// Repeat for further roles.
    #[arg(long, value_name = "ARN")]
    pub other_job_role_arn: Vec<String>,
    /// A job role that reads by bucket policy, as BucketPolicyJobRoleArns of the data account's stack names it.
    /// Repeat for further roles. Default: the job roles of the stacks.
    #[arg(long, value_name = "ARN")]
    pub bucket_policy_job_role_arn: Vec<String>,
    /// The data account's stacks have AdmitsFormerBatches=true, so reader roles also reach batches of the
    /// previous version.
    #[arg(long)]
    pub admits_former_batches: bool,
    /// The output format.
    #[arg(long, value_enum, default_value_t)]
    pub format: OutputFormat,
}

/// One of the two accounts.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WhichAccount {
    /// The account where data lands, with the reader role.
    Data,
    /// The account where jobs run, with the starter role and the job role.
    Analytics,
}

fn account_id(text: &str) -> Result<String, &'static str> {
    accept(text, is_account(text), "an account ID has 12 digits")
}

/// Accepts text in the form of a region's name.
pub fn region(text: &str) -> Result<String, &'static str> {
    accept(text, is_region(text), "a region looks like eu-west-1")
}

/// Accepts what the templates' `AllowedPattern` for a NamePrefix accepts.
pub fn name_prefix(text: &str) -> Result<String, &'static str> {
    let is_fine = text.len() <= 31
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let why = "a NamePrefix is a letter, then at most 30 letters, digits and `-`, all lower case";
    accept(text, is_fine, why)
}

/// Accepts what the templates' `AllowedPattern` for a path accepts.
fn role_path(text: &str) -> Result<String, &'static str> {
    let is_fine = |b: u8| b.is_ascii_alphanumeric() || b"/_+=,.@-".contains(&b);
    let is_path = text.starts_with('/') && text.ends_with('/') && !text.contains("//");
    let why = "a path begins and ends with `/`: /landfall/";
    accept(text, is_path && text.bytes().all(is_fine), why)
}

fn boundary(text: &str) -> Result<String, &'static str> {
    let why = "not the ARN of a managed policy: arn:aws:iam::111111111111:policy/landfall-boundary";
    accept(text, account_of_policy(text).is_some(), why)
}

/// Returns the account of a managed policy; `aws` for a policy of AWS's own.
pub fn account_of_policy(arn: &str) -> Option<&str> {
    PolicyArn::parse(arn).map(|policy| policy.account)
}
