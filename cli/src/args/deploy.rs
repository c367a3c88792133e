//! The arguments of `deploy`, `destroy` and `package`.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::roles::{name_prefix, region};

/// Deploy both accounts from a routes file. Shows every change before it makes it.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall deploy infra/routes.yaml --data-profile acme-data --analytics-profile acme-lake \\
      --parameter analytics:OutputBucketName=acme-lake-parquet
  landfall deploy infra/routes.yaml --data-profile acme-data --analytics-profile acme-lake --dry-run
  landfall deploy infra/routes.yaml --package target/package --yes
  landfall deploy infra/routes.yaml --data-profile acme-data --analytics-profile acme-lake --repair

`deploy` creates or updates six stacks, in this order: PREFIX-provisioner in both accounts, PREFIX in
the analytics account, PREFIX in the data account, PREFIX-auditor in both accounts. Before them, it
creates the stack landfall-artifacts in both accounts, with a bucket for uploads. It changes each
stack through a change set, and shows you the change set first. Most parameters follow from the
routes. Set the others with --parameter; a stack keeps them until you set them again.

`deploy` takes the functions and templates from the packages that were installed with it, after it has
checked their sums, and says which ones it uses. In a checkout of Landfall it builds them instead, with
cargo-lambda and zig (`pip install cargo-lambda` brings both). --package names another folder: the
packages of a release, or a folder from `landfall package`.

The external ID comes from the environment variable that the routes name for the target, usually
LANDFALL_EXTERNAL_ID. If the variable isn't set, existing stacks keep their external ID and new stacks
get a random one. `deploy` never prints it. --rotate-external-id replaces it while both IDs stay
usable; set LANDFALL_PREVIOUS_EXTERNAL_ID to the current one first.

From the routes, each provisioner learns which accounts its roles may trust, which buckets data lands
in, and which jobs exist. One provisioner can serve several stacks, so `deploy` only adds to what the
provisioner already allows. --narrow-provisioner removes what these routes don't need, once all
stacks are deployed. Use it if no other stack relies on the provisioners.

The auditors look every 15 minutes for what keeps data from getting to its job. Their names, paths,
boundaries and alarms follow the other stacks of the same account. --without-auditor leaves both of
their stacks out: none is created, and those that exist stay as they are.

CloudTrail delivers IAM's events in one region only, such as us-east-1. If an auditor is in another
one, `deploy` creates PREFIX-iam-events there, a stack that forwards the events about Landfall's roles.
If nobody may use that region, pass --without-iam-events: the auditor then learns of a changed role
with its next audit.

Credentials come from the profiles. For an account without a profile, they come from the environment.

--repair puts right what somebody changed or deleted by hand: the roles that the provisioner makes,
the buckets' notifications, and Landfall's statements in buckets' policies. It shows what differs
from the deployed stacks, builds and uploads nothing, and changes no template and none of your
parameters. It refuses a change set that would change anything else. It doesn't compare external
IDs, which CloudFormation doesn't show, and doesn't look at the functions' own roles. It needs to
read the stacks and what they ask for: cloudformation:GetTemplate, iam:GetRole, iam:ListRolePolicies,
iam:GetRolePolicy, iam:ListAttachedRolePolicies, iam:GetPolicy, iam:GetPolicyVersion,
s3:GetBucketNotification, s3:GetEncryptionConfiguration, kms:DescribeKey and, if a route has
access: bucket_policy, s3:GetBucketPolicy.

--dry-run changes nothing, and creates no stack and no bucket. It shows what would be created, and the
change set of each stack that exists. For a change set it uploads to the artifacts bucket, if there is
one.

Exit status: 0 everything is deployed or repaired, or nothing had to change; 1 the routes file has
errors, a stack failed (the output names the first failure and its reason), something can't be
repaired, or you declined a change; 2 wrong usage, or an account, a stack or what it asks for can't
be read.")]
pub struct DeployArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Deploy this folder: the packages of a release, or a folder from `landfall package`.
    #[arg(long, value_name = "DIR")]
    pub package: Option<PathBuf>,
    /// The functions' architecture. Default: arm64, or that of the folder from `landfall package`.
    #[arg(long, value_enum, value_name = "ARCHITECTURE")]
    pub architecture: Option<Architecture>,
    /// Set a template parameter, `STACK:NAME=VALUE`. STACK is data, analytics, provisioner or auditor.
    #[arg(long = "parameter", value_name = "STACK:NAME=VALUE", value_parser = parameter)]
    pub parameters: Vec<GivenParameter>,
    /// Tag the stacks. They pass the tag on to their resources.
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
    pub tags: Vec<(String, String)>,
    /// Upload to this bucket in the data account, instead of landfall-artifacts-ACCOUNT-REGION.
    #[arg(long, value_name = "BUCKET")]
    pub data_artifacts: Option<String>,
    /// Upload to this bucket in the analytics account.
    #[arg(long, value_name = "BUCKET")]
    pub analytics_artifacts: Option<String>,
    /// Give both stacks a new external ID, in three steps.
    #[arg(long)]
    pub rotate_external_id: bool,
    /// At the end, limit both provisioners to what the routes need.
    #[arg(long)]
    pub narrow_provisioner: bool,
    /// Leave out the stacks of the auditors. Those that exist stay as they are.
    #[arg(long)]
    pub without_auditor: bool,
    /// Leave out the stacks that forward IAM's events to the auditors. Those that exist stay as they are.
    #[arg(long)]
    pub without_iam_events: bool,
    /// Deploy nothing new, but repair what drifted from the deployed stacks: roles, notifications and statements in
    /// buckets' policies.
    #[arg(long, conflicts_with_all = [
        "package", "architecture", "parameters", "tags", "data_artifacts", "analytics_artifacts",
        "rotate_external_id", "narrow_provisioner", "without_auditor",
        "without_iam_events",
    ])]
    pub repair: bool,
    /// Which account to deploy first, after the provisioners.
    #[arg(long, value_enum, default_value_t)]
    pub order: Order,
    /// Show what would change, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Don't ask for confirmation, for example in CI.
    #[arg(long)]
    pub yes: bool,
}

/// Write a package with your routes to a folder, for `deploy --package` or for other deployment tools.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall package target/package
  landfall package target/package --routes routes.yaml --architecture x86_64
  landfall package target/package --routes routes.yaml --zip

`package` takes what `deploy` would take: the packages that were installed with it, or the folder that
--package names, or in a checkout the functions that it builds with cargo-lambda. It writes the
templates, the functions with your routes, the example jobs and the job library, each where the
templates look for it. `sam deploy` and `aws cloudformation package` accept the folder as it is. With
--zip, it also writes each function as an archive, which the Terraform module uploads.

Exit status: 0 the folder is complete; 1 the routes file has errors; 2 wrong usage, or something
couldn't be built, read or written.")]
pub struct PackageArgs {
    /// The folder to write the package to.
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
    /// The routes file; `-` is standard input.
    #[arg(long, value_name = "FILE", default_value = "infra/routes.yaml")]
    pub routes: OsString,
    /// Take the functions and templates from this folder: the packages of a release.
    #[arg(long, value_name = "DIR")]
    pub package: Option<PathBuf>,
    /// The functions' architecture. Default: arm64.
    #[arg(long, value_enum, value_name = "ARCHITECTURE")]
    pub architecture: Option<Architecture>,
    /// Write each function as an archive too, for the Terraform module.
    #[arg(long)]
    pub zip: bool,
    /// Build for this machine, with its own linker.
    #[arg(long, conflicts_with_all = ["architecture", "package"])]
    pub native: bool,
    /// Don't optimise, as tests want it.
    #[arg(long, requires = "native", hide = true)]
    pub debug: bool,
}

/// Delete the stacks that `deploy` created, in reverse order.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall destroy infra/routes.yaml --data-profile acme-data --analytics-profile acme-lake --dry-run
  landfall destroy infra/routes.yaml --data-profile acme-data --analytics-profile acme-lake

Before it asks for confirmation, `destroy` shows what it will delete and what stays: the tables and
buckets that the templates retain, each with the command that removes it. The auditors and what forwards
IAM's events to them go first, so that they don't report what the command removes, and the provisioner
goes last, because it removes roles and notifications. The artifacts buckets and the landing buckets
stay. Batches that still wait never start.

Exit status: 0 the stacks are gone, or there were none; 1 a stack couldn't be deleted, you declined, or
the routes file has errors; 2 wrong usage, or an account or a stack can't be read.")]
pub struct DestroyArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Don't look for the stacks that forward IAM's events to the auditors.
    #[arg(long)]
    pub without_iam_events: bool,
    /// Show what would be deleted, and delete nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Don't ask for confirmation, for example in CI.
    #[arg(long)]
    pub yes: bool,
}

/// The routes, and the stacks that serve them.
#[derive(Args)]
pub struct PlaceArgs {
    /// The routes file; `-` is standard input. `--routes FILE` says the same.
    #[arg(value_name = "ROUTES", required_unless_present = "routes_option")]
    routes: Option<OsString>,
    #[arg(
        long = "routes",
        id = "routes_option",
        value_name = "FILE",
        conflicts_with = "routes",
        hide = true
    )]
    routes_option: Option<OsString>,
    #[command(flatten)]
    pub stacks: StackArgs,
}

impl PlaceArgs {
    /// Returns the routes file, whichever way it was given.
    pub fn routes(&self) -> &OsStr {
        self.routes.as_deref().or(self.routes_option.as_deref()).unwrap_or_default()
    }
}

/// Selects the stacks and the credentials that reach them.
#[derive(Args)]
pub struct StackArgs {
    /// The profile for both accounts, if neither of the next two names another. Default: AWS_PROFILE, or the environment's
    /// credentials.
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<String>,
    /// The profile for the data account.
    #[arg(long, value_name = "PROFILE")]
    pub data_profile: Option<String>,
    /// The profile for the analytics account.
    #[arg(long, value_name = "PROFILE")]
    pub analytics_profile: Option<String>,
    /// The target whose account to use, if the routes lead to several.
    #[arg(long, value_name = "NAME")]
    pub target: Option<String>,
    /// The region of the stacks. Default: the target's region.
    #[arg(long, value_name = "REGION", value_parser = region)]
    pub region: Option<String>,
    /// The region of the data account's stacks, if it differs.
    #[arg(long, value_name = "REGION", value_parser = region)]
    pub data_region: Option<String>,
    /// The prefix of the names of the stacks and of everything they create.
    #[arg(long, value_name = "PREFIX", value_parser = name_prefix, default_value = "landfall")]
    pub name_prefix: String,
}

impl StackArgs {
    /// Returns the profile for the data account, if one is named.
    pub fn data_profile(&self) -> Option<&str> {
        self.data_profile.as_deref().or(self.profile.as_deref())
    }

    /// Returns the profile for the analytics account, if one is named.
    pub fn analytics_profile(&self) -> Option<&str> {
        self.analytics_profile.as_deref().or(self.profile.as_deref())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Architecture {
    Arm64,
    #[value(name = "x86_64")]
    X86_64,
}

impl Architecture {
    /// Returns the name that Lambda and the templates use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::X86_64 => "x86_64",
        }
    }
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, ValueEnum)]
pub enum Order {
    #[default]
    AnalyticsFirst,
    DataFirst,
}

/// A template that takes parameters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TemplateName {
    Provisioner,
    Analytics,
    Data,
    Auditor,
}

impl TemplateName {
    pub const ALL: [Self; 4] = [Self::Provisioner, Self::Analytics, Self::Data, Self::Auditor];

    pub fn name(self) -> &'static str {
        match self {
            Self::Provisioner => "provisioner",
            Self::Analytics => "analytics",
            Self::Data => "data",
            Self::Auditor => "auditor",
        }
    }
}

/// A `--parameter`, such as `data:LogLevel=DEBUG`. The value can be a secret, so there is no `Debug`.
#[derive(Clone)]
pub struct GivenParameter {
    pub template: TemplateName,
    pub name: String,
    pub value: String,
}

const PARAMETER: &str = "write STACK:NAME=VALUE, like data:LogLevel=DEBUG; STACK is data, analytics, provisioner or auditor";

pub fn parameter(text: &str) -> Result<GivenParameter, &'static str> {
    let (template, rest) = text.split_once(':').ok_or(PARAMETER)?;
    let (name, value) = rest.split_once('=').ok_or(PARAMETER)?;
    match TemplateName::ALL.into_iter().find(|known| known.name() == template) {
        Some(template) if !name.is_empty() => {
            Ok(GivenParameter { template, name: name.to_owned(), value: value.to_owned() })
        }
        _ => Err(PARAMETER),
    }
}

fn tag(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE"),
    }
}
