//! The arguments of what changes stacks: `deploy` and `destroy`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::roles::{name_prefix, region};

/// Deploy both accounts from a routes file, showing every change before it is made.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall deploy infra/routes.yaml --data-profile acme-data --analytics-profile acme-lake \\
      --parameter analytics:OutputBucketName=acme-lake-parquet
  landfall deploy infra/routes.yaml --data-profile acme-data --analytics-profile acme-lake --dry-run
  landfall deploy infra/routes.yaml --package target/package --yes

Four stacks, in this order: PREFIX-provisioner in both accounts, PREFIX in the analytics account, PREFIX
in the data account; and before them landfall-artifacts in both, a bucket for what is uploaded. Each is
changed by a change set, which is shown first. What the stacks have to know follows from the routes; what
else a template has for a parameter is given by --parameter, and is kept when it is not given again.

The functions are built from the checkout that the current folder lies in, with cargo-lambda (and zig,
as `pip install cargo-lambda` brings it), unless --package names a folder that `make package` laid out.

The external ID is taken from the environment variable that the routes name for the target
(LANDFALL_EXTERNAL_ID for most). If it is not set, the stacks keep the one that they have, and new stacks
get a random one. It is never printed. --rotate-external-id changes it while both stay usable; the one before
is then taken from LANDFALL_PREVIOUS_EXTERNAL_ID.

Each provisioner is told which accounts its roles may trust, which buckets data lands in and which jobs there
are, as the routes have them. One provisioner can serve several stacks, so that is added to what it was told
before. --narrow-provisioner takes away what these routes don't need, once all stacks are deployed: use it if
no other stack relies on the provisioners.

Credentials are taken from the profiles, or without from the environment: of the account that no profile
is named for. A profile that needs SSO or a process is asked for by `aws configure export-credentials`.

--dry-run changes nothing and makes no stack and no bucket: it says what would be created, and shows the
change set of each stack that exists, for which it uploads to the artifacts bucket if there is one.

Exit status: 0 all is deployed, or nothing was to be changed; 1 the routes file has errors, a stack failed
(what failed first and why is printed), or a change was declined; 2 wrong usage, or somebody could not look.")]
pub struct DeployArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// A folder that `make package` laid out, instead of a build.
    #[arg(long, value_name = "DIR")]
    pub package: Option<PathBuf>,
    /// What the functions are built for. Default: arm64; what they were built for with --package.
    #[arg(long, value_enum, value_name = "ARCHITECTURE")]
    pub architecture: Option<Architecture>,
    /// A parameter of a template, `STACK:NAME=VALUE`; STACK is data, analytics or provisioner.
    #[arg(long = "parameter", value_name = "STACK:NAME=VALUE", value_parser = parameter)]
    pub parameters: Vec<GivenParameter>,
    /// A tag of the stacks, which hand it on to what they make.
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
    pub tags: Vec<(String, String)>,
    /// A bucket of the data account to upload to, instead of landfall-artifacts-ACCOUNT-REGION.
    #[arg(long, value_name = "BUCKET")]
    pub data_artifacts: Option<String>,
    /// A bucket of the analytics account to upload to.
    #[arg(long, value_name = "BUCKET")]
    pub analytics_artifacts: Option<String>,
    /// Give both stacks a new external ID, in three steps.
    #[arg(long)]
    pub rotate_external_id: bool,
    /// At the end, hold both provisioners to what the routes need.
    #[arg(long)]
    pub narrow_provisioner: bool,
    /// Which of the two accounts comes first, after the provisioner.
    #[arg(long, value_enum, default_value_t)]
    pub order: Order,
    /// Show what would be done, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask, as in CI.
    #[arg(long)]
    pub yes: bool,
}

/// Build what is deployed, and lay it out in a folder: for `deploy --package`, or to deploy with other tools.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall package target/package
  landfall package target/package --routes routes.yaml --architecture x86_64

It builds the functions with cargo-lambda, from the checkout that the current folder lies in. The folder gets the
templates, the functions with their routes, the example jobs and the library of jobs, each where the templates look
for it: `sam deploy` and `aws cloudformation package` take it as it is.

Exit status: 0 the folder is complete, 1 the routes file has errors, 2 wrong usage, or something could not be
built, read or written.")]
pub struct PackageArgs {
    /// The folder to lay it out in.
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
    /// The routes file; `-` is standard input.
    #[arg(long, value_name = "FILE", default_value = "infra/routes.yaml")]
    pub routes: OsString,
    /// What the functions are built for.
    #[arg(long, value_enum, default_value_t = Architecture::Arm64)]
    pub architecture: Architecture,
    /// Build for this machine, with its own linker.
    #[arg(long, conflicts_with = "architecture")]
    pub native: bool,
    /// Do not optimise, as in tests.
    #[arg(long, requires = "native", hide = true)]
    pub debug: bool,
}

/// Delete the stacks that `deploy` made, in the reverse order.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall destroy infra/routes.yaml --data-profile acme-data --analytics-profile acme-lake --dry-run
  landfall destroy infra/routes.yaml --data-profile acme-data --analytics-profile acme-lake

Before it asks, it says what is deleted and what stays: tables and buckets that the templates retain,
with the command that removes each. The provisioner goes last, since it removes roles and notifications.
The artifacts buckets and the landing buckets stay. A batch that waits is not started any more.

Exit status: 0 the stacks are gone, or there were none; 1 a stack could not be deleted, the deletion was
declined, or the routes file has errors; 2 wrong usage, or somebody could not look.")]
pub struct DestroyArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Say what would be deleted, and delete nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask, as in CI.
    #[arg(long)]
    pub yes: bool,
}

/// Which stacks are meant, and whose credentials reach them.
#[derive(Args)]
pub struct PlaceArgs {
    /// The routes file; `-` is standard input.
    #[arg(value_name = "ROUTES")]
    pub routes: OsString,
    /// The profile of the data account; without it the environment's credentials.
    #[arg(long, value_name = "PROFILE")]
    pub data_profile: Option<String>,
    /// The profile of the analytics account; without it the environment's credentials.
    #[arg(long, value_name = "PROFILE")]
    pub analytics_profile: Option<String>,
    /// The target whose account it is, if the routes lead to several.
    #[arg(long, value_name = "NAME")]
    pub target: Option<String>,
    /// The region of the stacks. Default: that of the target.
    #[arg(long, value_name = "REGION", value_parser = region)]
    pub region: Option<String>,
    /// The region of the data account's stacks, if it is another.
    #[arg(long, value_name = "REGION", value_parser = region)]
    pub data_region: Option<String>,
    /// What the names of the stacks and of all that they make begin with.
    #[arg(long, value_name = "PREFIX", value_parser = name_prefix, default_value = "landfall")]
    pub name_prefix: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Architecture {
    Arm64,
    #[value(name = "x86_64")]
    X86_64,
}

impl Architecture {
    /// As Lambda and the templates call it.
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

/// One of the templates that parameters are given to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TemplateName {
    Provisioner,
    Analytics,
    Data,
}

impl TemplateName {
    pub fn name(self) -> &'static str {
        match self {
            Self::Provisioner => "provisioner",
            Self::Analytics => "analytics",
            Self::Data => "data",
        }
    }
}

/// `data:LogLevel=DEBUG`. The value may be a secret: it has no `Debug` that shows it.
#[derive(Clone)]
pub struct GivenParameter {
    pub template: TemplateName,
    pub name: String,
    pub value: String,
}

const PARAMETER: &str =
    "write STACK:NAME=VALUE, as data:LogLevel=DEBUG; STACK is data, analytics or provisioner";

pub fn parameter(text: &str) -> Result<GivenParameter, &'static str> {
    let (template, rest) = text.split_once(':').ok_or(PARAMETER)?;
    let (name, value) = rest.split_once('=').ok_or(PARAMETER)?;
    let template = match template {
        "data" => TemplateName::Data,
        "analytics" => TemplateName::Analytics,
        "provisioner" => TemplateName::Provisioner,
        _ => return Err(PARAMETER),
    };
    if name.is_empty() {
        return Err(PARAMETER);
    }
    Ok(GivenParameter { template, name: name.to_owned(), value: value.to_owned() })
}

fn tag(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE"),
    }
}
