//! The arguments as they are written; `--help` is made from the docstrings here.

pub mod batches;
pub mod deploy;
pub mod roles;
pub mod unlock;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand, ValueEnum};
use landfall_core::arrivals::EventTime;

use self::batches::{BatchArgs, BatchesArgs, FindArgs, RetryArgs};
use self::deploy::{DeployArgs, DestroyArgs, GivenParameter, PackageArgs};
use self::roles::{DiffArgs, PoliciesArgs};
use self::unlock::UnlockArgs;

/// Landfall starts AWS Glue jobs in one account when data lands in a bucket of another.
#[derive(Parser)]
#[command(name = "landfall", version, arg_required_else_help = true)]
#[command(after_help = "Examples:
  landfall check infra/routes.yaml
  landfall explain --routes infra/routes.yaml s3://acme-landing/orders/dt=2026-01-31/a.csv
  landfall policies --routes infra/routes.yaml --data-account 111111111111
  landfall deploy infra/routes.yaml --data-profile acme-data --analytics-profile acme-lake --dry-run
  landfall find s3://acme-landing/orders/dt=2026-01-31/a.csv
  landfall batches --state parked
  landfall schema > routes.schema.json")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// When to colour what is shown. NO_COLOR turns `auto` off.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        display_order = 99
    )]
    pub color: Color,
}

#[derive(Subcommand)]
pub enum Command {
    Check(CheckArgs),
    Explain(ExplainArgs),
    Policies(PoliciesArgs),
    Diff(DiffArgs),
    Deploy(DeployArgs),
    Destroy(DestroyArgs),
    Package(PackageArgs),
    Batches(BatchesArgs),
    Batch(BatchArgs),
    Retry(RetryArgs),
    Find(FindArgs),
    Unlock(UnlockArgs),
    Wheel(WheelArgs),
    /// Print the JSON Schema of a routes file, or of a role's properties, for editors to complete and
    /// check it.
    #[command(after_help = "Examples:
  landfall schema > infra/routes.schema.json
  landfall schema reader-role > infra/schemas/reader-role.json")]
    Schema {
        /// What the schema is of.
        #[arg(value_enum, default_value_t)]
        subject: SchemaOf,
    },
}

/// What there are JSON Schemas of.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// A routes file.
    #[default]
    Routes,
    /// The properties of `Custom::LandfallStarterRole`.
    StarterRole,
    /// The properties of `Custom::LandfallReaderRole`.
    ReaderRole,
    /// The properties of `Custom::LandfallJobRole`.
    JobRole,
    /// The properties of `Custom::LandfallBucketNotifications`.
    BucketNotifications,
}

/// Report all problems of routes files, each with its place and a hint.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall check infra/routes.yaml
  landfall check --format short --deny-warnings infra/routes.yaml
  landfall check infra/routes.yaml --parameter provisioner:TrustedAccountIds=222222222222

Exit status: 0 no error, 1 errors (with --deny-warnings: or warnings), 2 wrong usage or a file
that cannot be read. The value of an `external_id` is shown as asterisks.")]
pub struct CheckArgs {
    /// Routes files; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<OsString>,
    /// How problems are shown.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Let warnings count as errors.
    #[arg(long)]
    pub deny_warnings: bool,
    /// A parameter that `landfall deploy` is given: what the provisioners are told must fit the routes.
    #[arg(long = "parameter", value_name = "STACK:NAME=VALUE", value_parser = deploy::parameter)]
    pub parameters: Vec<GivenParameter>,
}

/// Say which routes an object or an event matches, and what would be started.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall explain --routes infra/routes.yaml s3://acme-landing/orders/dt=2026-01-31/a.csv
  landfall explain --routes infra/routes.yaml --size 0 s3://acme-landing/orders/
  landfall explain --routes infra/routes.yaml --json event.json

A URI is taken as it is written: the bucket ends at the first `/`, all that follows is the key, and
nothing in it is URL-decoded. An event may come in any envelope that the trigger reads: an S3
notification or an EventBridge event, by itself, in SQS, or in SNS in SQS.

Exit status: 0 something would be started, 3 nothing would be, 1 the routes file has errors or a
message of the event cannot be read, 2 wrong usage or a file that cannot be read.")]
pub struct ExplainArgs {
    /// The routes file; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub routes: OsString,
    /// `s3://bucket/key`, or a file with an event as the trigger gets it; `-` is standard input.
    #[arg(value_name = "S3_URI|EVENT.json|-")]
    pub subject: OsString,
    /// The object's size in bytes; not known otherwise.
    #[arg(long, value_name = "BYTES")]
    pub size: Option<u64>,
    /// The object's version.
    #[arg(long, value_name = "ID")]
    pub version_id: Option<String>,
    /// When the object was created, as RFC 3339: 2026-01-31T23:59:59Z.
    #[arg(long, value_name = "TIME", value_parser = event_time)]
    pub event_time: Option<EventTime>,
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// The text if it `is_valid`; `why` not otherwise.
fn accept(text: &str, is_valid: bool, why: &'static str) -> Result<String, &'static str> {
    if is_valid { Ok(text.to_owned()) } else { Err(why) }
}

fn event_time(text: &str) -> Result<EventTime, &'static str> {
    EventTime::parse(text).ok_or("not a time as RFC 3339 writes it: 2026-01-31T23:59:59Z")
}

/// Write the Python library of Glue jobs, as the wheel of this version; print its path.
#[derive(Args)]
#[command(after_help = "Examples:
  aws s3 cp $(landfall wheel) s3://acme-artifacts/landfall/
  pip install $(landfall wheel /tmp)

A Glue job takes it with --additional-python-modules, a Python shell job with --extra-py-files.")]
pub struct WheelArgs {
    /// The folder to write it to.
    #[arg(default_value = ".", value_name = "FOLDER")]
    pub folder: PathBuf,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// With the line of the file, as a compiler shows it.
    #[default]
    Full,
    /// One line each, `FILE:LINE:COL: error: message (hint)`, for editors and CI.
    Short,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

impl Color {
    /// Whether what goes to `stream` is to be coloured.
    pub fn applies_to(self, stream: &impl IsTerminal) -> bool {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => stream.is_terminal() && !is_set("NO_COLOR") && !is_dumb(),
        }
    }
}

/// A usage error that does not repeat the value of a parameter, which may be a secret.
pub fn without_values(mut error: clap::Error) -> clap::Error {
    let argument = error.get(ContextKind::InvalidArg).map(ToString::to_string);
    if argument.is_some_and(|argument| argument.starts_with("--parameter")) {
        error.insert(ContextKind::InvalidValue, ContextValue::String("…".to_owned()));
    }
    error
}
