//! The arguments of what is about roles: `policies` and `diff`.

use std::ffi::OsString;

use clap::{Args, ValueEnum};
use landfall_core::arn::{PolicyArn, is_account};
use landfall_core::partition::is_region;
use landfall_core::roles::DEFAULT_PATH;

use super::accept;

/// Print the policies of the roles that the provisioner makes from a routes file.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall policies --routes infra/routes.yaml --data-account 111111111111
  landfall policies --routes infra/routes.yaml --data-account 111111111111 \\
      --account data --format json

What is printed is what the stacks of data-account.yaml and analytics-account.yaml ask for, by the
code that carries it out. What the routes do not tell are parameters of the stacks: options here, with
the same defaults. External IDs are neither read nor printed; `…` stands for them.

Exit status: 0 all roles, 1 the routes file has errors or a role cannot be made from it, 2 wrong usage
or a file that cannot be read.")]
pub struct PoliciesArgs {
    #[command(flatten)]
    pub roles: RolesArgs,
    /// Only the roles of this account's stack; without it those of both.
    #[arg(long, value_enum)]
    pub account: Option<Account>,
}

/// Compare the roles that `policies` prints with those that are in IAM.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall diff --routes infra/routes.yaml --data-account 111111111111 --account analytics
  landfall diff --routes infra/routes.yaml --data-account 111111111111 --account data --format json

It looks with your own credentials, which need iam:GetRole, iam:ListRolePolicies, iam:GetRolePolicy and
iam:ListAttachedRolePolicies, and iam:GetPolicy and iam:GetPolicyVersion for what is attached, and changes
nothing. They are taken from the environment, or from a
profile that holds keys. With SSO, or a profile that runs a process, do this first:

  eval \"$(aws configure export-credentials --format env)\"

A difference is told as the step that the provisioner would take. The stack that a role belongs to is
taken from the role's own tags. The external ID is compared if the variable that the routes name is
set; it is never printed.

Exit status: 0 no difference, 1 differences, 2 somebody could not look: wrong usage, a routes file that
has errors, no credentials, those of another account, or a refusal of IAM's.")]
pub struct DiffArgs {
    #[command(flatten)]
    pub roles: RolesArgs,
    /// Which account the credentials are for.
    #[arg(long, value_enum)]
    pub account: Account,
}

/// Which roles are meant, and what the routes do not tell of them.
#[derive(Args)]
pub struct RolesArgs {
    /// The routes file; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub routes: OsString,
    /// The id of the data account.
    #[arg(long, value_name = "ID", value_parser = account_id)]
    pub data_account: String,
    /// Only the roles of this target; without it those of every target that a route starts jobs in.
    #[arg(long, value_name = "NAME")]
    pub target: Option<String>,
    /// The stacks' NamePrefix. Default: that of the target's starter role in the analytics account,
    /// `landfall` in the data account.
    #[arg(long, value_name = "PREFIX", value_parser = name_prefix)]
    pub name_prefix: Option<String>,
    /// The NamePrefix of the data account's stack, if it is another.
    #[arg(long, value_name = "PREFIX", value_parser = name_prefix)]
    pub data_name_prefix: Option<String>,
    /// The NamePrefix of the analytics account's stack, if it is another.
    #[arg(long, value_name = "PREFIX", value_parser = name_prefix)]
    pub analytics_name_prefix: Option<String>,
    /// The NamePrefix of the provisioner's stacks, whose boundary the roles have.
    #[arg(long, value_name = "PREFIX", value_parser = name_prefix, default_value = "landfall")]
    pub provisioner_name_prefix: String,
    /// The stacks' RolePath: that of trigger and monitor.
    #[arg(long, value_name = "PATH", value_parser = role_path, default_value = "/")]
    pub role_path: String,
    /// The stacks' ProvisionedRolePath: that of the roles.
    #[arg(long, value_name = "PATH", value_parser = role_path, default_value = DEFAULT_PATH)]
    pub provisioned_role_path: String,
    /// The roles' permissions boundary in its account, if the provisioner was given one; once for
    /// each account.
    #[arg(long, value_name = "ARN", value_parser = boundary)]
    pub permissions_boundary: Vec<String>,
    /// The region of the analytics account's stack. Default: that of the target.
    #[arg(long, value_name = "REGION", value_parser = region)]
    pub region: Option<String>,
    /// The region of the data account's stack. Default: that of the analytics account's.
    #[arg(long, value_name = "REGION", value_parser = region)]
    pub data_region: Option<String>,
    /// A KMS key that objects are encrypted with; as often as there are keys.
    #[arg(long, value_name = "ARN")]
    pub kms_key_arn: Vec<String>,
    /// The data account's stacks have AdmitsFormerBatches=true: reader roles reach batches of the version before
    /// too.
    #[arg(long)]
    pub admits_former_batches: bool,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t)]
    pub format: RolesFormat,
}

/// One of the two accounts.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Account {
    /// Where data lands: the reader role.
    Data,
    /// Where jobs run: the starter role and the job role.
    Analytics,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum RolesFormat {
    /// To be read.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

fn account_id(text: &str) -> Result<String, &'static str> {
    accept(text, is_account(text), "an account id has 12 digits")
}

/// What has the form of a region's name.
pub fn region(text: &str) -> Result<String, &'static str> {
    accept(text, is_region(text), "a region looks like eu-west-1")
}

/// As the templates' `AllowedPattern` has it.
pub fn name_prefix(text: &str) -> Result<String, &'static str> {
    let is_fine = text.len() <= 31
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let why = "a NamePrefix is a letter, then at most 30 letters, digits and `-`, all lower-case";
    accept(text, is_fine, why)
}

/// As the templates' `AllowedPattern` has it.
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

/// The account of a managed policy, `aws` for one that every account has.
pub fn account_of_policy(arn: &str) -> Option<&str> {
    PolicyArn::parse(arn).map(|policy| policy.account)
}
