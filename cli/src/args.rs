//! The arguments as the user writes them. clap makes `--help` from the doc comments here.

pub mod access;
pub mod audit;
pub mod backfill;
pub mod batches;
pub mod console;
pub mod deploy;
pub mod doctor;
pub mod init;
pub mod output;
pub mod roles;
pub mod status;
pub mod unlock;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand, ValueEnum};
use landfall_core::arrivals::EventTime;

use self::audit::AuditArgs;
use self::backfill::{BackfillArgs, ReplayArgs};
use self::batches::{BatchArgs, BatchesArgs, FindArgs, RetryArgs};
use self::console::ConsoleArgs;
use self::deploy::{DeployArgs, DestroyArgs, GivenParameter, PackageArgs};
use self::doctor::DoctorArgs;
use self::init::InitArgs;
use self::output::OutputArgs;
use self::roles::{DiffArgs, PoliciesArgs};
use self::status::StatusArgs;
use self::unlock::UnlockArgs;

/// Starts AWS Glue jobs in one account when data lands in a bucket of another account.
#[derive(Parser)]
#[command(name = "landfall", version, arg_required_else_help = true)]
#[command(after_help = "Examples:
  landfall init my-routes.yaml
  landfall check infra/routes.yaml
  landfall explain --routes infra/routes.yaml s3://acme-landing/orders/dt=2026-01-31/a.csv
  landfall policies --routes infra/routes.yaml --data-account 111111111111
  landfall deploy infra/routes.yaml --data-profile acme-data --analytics-profile acme-lake --dry-run
  landfall status
  landfall find s3://acme-landing/orders/dt=2026-01-31/a.csv
  landfall batches --state parked
  landfall schema > routes.schema.json")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// When to use colours. `auto` respects NO_COLOR.
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
    Init(InitArgs),
    Check(CheckArgs),
    Explain(ExplainArgs),
    Policies(PoliciesArgs),
    Diff(DiffArgs),
    Deploy(DeployArgs),
    Destroy(DestroyArgs),
    Package(PackageArgs),
    Batches(BatchesArgs),
    Batch(BatchArgs),
    Console(ConsoleArgs),
    Retry(RetryArgs),
    Find(FindArgs),
    Backfill(BackfillArgs),
    Replay(ReplayArgs),
    Doctor(DoctorArgs),
    Audit(AuditArgs),
    Status(StatusArgs),
    Unlock(UnlockArgs),
    Wheel(WheelArgs),
    Completions(CompletionsArgs),
    #[command(hide = true)]
    ManPages(ManPagesArgs),
    /// Print the JSON Schema of a routes file or of a custom resource's properties.
    ///
    /// Editors use it to complete and check what you write.
    #[command(after_help = "Examples:
  landfall schema > infra/routes.schema.json
  landfall schema reader-role > infra/schemas/reader-role.json")]
    Schema {
        /// What the schema describes.
        #[arg(value_enum, default_value_t)]
        subject: SchemaOf,
    },
}

/// The things that have a JSON Schema.
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
    /// The properties of `Custom::LandfallBucketAccess`.
    BucketAccess,
}

/// Check routes files and report every problem, with its place and a hint.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall check infra/routes.yaml
  landfall check --format short --deny-warnings infra/routes.yaml
  landfall check infra/routes.yaml --parameter provisioner:TrustedAccountIds=222222222222

Asterisks hide the value of an `external_id` in the output.

Exit status: 0 no errors; 1 errors, or warnings with --deny-warnings; 2 wrong usage, or a file can't
be read.")]
pub struct CheckArgs {
    /// The routes files; `-` is standard input. `--routes FILE` says the same.
    #[arg(required_unless_present = "routes", value_name = "FILE")]
    files: Vec<OsString>,
    #[arg(long, value_name = "FILE", hide = true)]
    routes: Vec<OsString>,
    /// How to show problems.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Treat warnings as errors.
    #[arg(long)]
    pub deny_warnings: bool,
    /// A parameter that you pass to `landfall deploy`, to check the provisioner's against the routes.
    #[arg(long = "parameter", value_name = "STACK:NAME=VALUE", value_parser = deploy::parameter)]
    pub parameters: Vec<GivenParameter>,
}

impl CheckArgs {
    /// Returns the routes files, whichever way they were given.
    pub fn files(&self) -> impl Iterator<Item = &OsString> {
        self.files.iter().chain(&self.routes)
    }
}

/// Explain which routes an object or an event matches, and which job runs it would start.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall explain --routes infra/routes.yaml s3://acme-landing/orders/dt=2026-01-31/a.csv
  landfall explain --routes infra/routes.yaml --size 0 s3://acme-landing/orders/
  landfall explain --routes infra/routes.yaml --format json event.json

`explain` reads a URI as you write it: the bucket ends at the first `/`, everything after it is the
key, and nothing is URL-decoded. An event can come in any envelope that the trigger reads: an S3
notification or an EventBridge event, on its own, in SQS, or in SNS in SQS.

Without --size, a route that limits the size of its objects matches under that condition.

Exit status: 0 at least one job run would start; 3 none would; 1 the routes file has errors, or a
message of the event can't be read; 2 wrong usage, or a file can't be read.")]
pub struct ExplainArgs {
    /// The routes file; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub routes: OsString,
    /// `s3://bucket/key`, or a file that holds an event as the trigger gets it; `-` is standard input.
    #[arg(value_name = "S3_URI|EVENT.json|-")]
    pub subject: OsString,
    /// The object's size in bytes. Default: unknown.
    #[arg(long, value_name = "BYTES")]
    pub size: Option<u64>,
    /// The object's version ID.
    #[arg(long, value_name = "ID")]
    pub version_id: Option<String>,
    /// When the object was created, in RFC 3339 format: 2026-01-31T23:59:59Z.
    #[arg(long, value_name = "TIME", value_parser = event_time)]
    pub event_time: Option<EventTime>,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Returns the text if it `is_valid`, and `why` not otherwise.
fn accept(text: &str, is_valid: bool, why: &'static str) -> Result<String, &'static str> {
    if is_valid { Ok(text.to_owned()) } else { Err(why) }
}

fn event_time(text: &str) -> Result<EventTime, &'static str> {
    EventTime::parse(text).ok_or("not a time in RFC 3339 format: 2026-01-31T23:59:59Z")
}

/// Write this version of the Python library for Glue jobs as a wheel, and print its path.
#[derive(Args)]
#[command(after_help = "Examples:
  aws s3 cp $(landfall wheel) s3://acme-artifacts/landfall/
  pip install $(landfall wheel /tmp)

Pass it to a Glue job with --additional-python-modules, and to a Python shell job with
--extra-py-files.")]
pub struct WheelArgs {
    /// The folder to write the wheel to.
    #[arg(default_value = ".", value_name = "FOLDER")]
    pub folder: PathBuf,
}

/// Print a script that lets your shell complete commands and options.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall completions bash > ~/.local/share/bash-completion/completions/landfall
  landfall completions zsh > ~/.local/share/zsh/site-functions/_landfall
  landfall completions fish > ~/.config/fish/completions/landfall.fish

The installation script puts these three into place. zsh looks there if your fpath has the folder.")]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// Write the manual pages of all commands to a folder, as a release has them.
#[derive(Args)]
pub struct ManPagesArgs {
    /// The folder, which must exist.
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Each problem with the line of the file that it is in, as a compiler shows it.
    #[default]
    Full,
    /// One line for each problem, `FILE:LINE:COL: error: message (hint)`, for editors and CI.
    Short,
    /// One SARIF 2.1.0 document, for code scanners.
    Sarif,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

impl Color {
    /// Returns `true` if output to `stream` should be coloured.
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

/// Removes the value of a `--parameter` from a usage error, because it can be a secret.
pub fn without_values(mut error: clap::Error) -> clap::Error {
    let argument = error.get(ContextKind::InvalidArg).map(ToString::to_string);
    if argument.is_some_and(|argument| argument.starts_with("--parameter")) {
        error.insert(ContextKind::InvalidValue, ContextValue::String("…".to_owned()));
    }
    error
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_page_of_the_command_line_has_every_command() {
        let page = include_str!("../../docs/command-line.md");
        let command = Cli::command();
        let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
        let names = shown.map(clap::Command::get_name);
        let missing: Vec<&str> =
            names.filter(|name| !page.contains(&format!("`{name}`"))).collect();
        assert!(missing.is_empty(), "docs/command-line.md lacks {missing:?}");
    }

    /// Returns the command lines that a page shows in its code blocks, each on one line.
    fn commands(page: &str) -> Vec<String> {
        let page = page.replace("\\\n", " ");
        let blocks = page.split("```").skip(1).step_by(2);
        let parts = blocks.flat_map(str::lines).flat_map(|line| line.split(" | "));
        let commands = parts.filter_map(|part| {
            let part = part.trim().trim_start_matches("$ ");
            let mut words = part.split(' ').skip_while(|word| word.contains('='));
            (words.next() == Some("landfall")).then(|| part.to_owned())
        });
        commands.collect()
    }

    #[test]
    fn every_command_in_the_documents_is_one_that_the_command_line_takes() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let pages = std::fs::read_dir(root.join("docs")).expect("the folder of documents");
        let pages = pages.map(|page| page.expect("a page").path());
        let pages = pages.filter(|page| page.extension().is_some_and(|ending| ending == "md"));
        let (mut seen, mut refused) = (0, Vec::new());
        for page in pages.chain([root.join("README.md")]) {
            let text = std::fs::read_to_string(&page).expect("a page");
            for line in commands(&text) {
                let words = shlex::split(&line).expect("words of a shell");
                // `…` stands for what a page has said before.
                let words = words.into_iter().filter(|word| word != "…");
                let words = words.skip_while(|word| word != "landfall").map(|word| match &*word {
                    "ID" => format!("222222222222-{}", "0".repeat(32)),
                    "$DATA" => "111111111111".to_owned(),
                    _ => word,
                });
                if let Err(error) = Cli::try_parse_from(words)
                    && error.use_stderr()
                {
                    refused.push(format!("{}: `{line}`: {error}", page.display()));
                }
                seen += 1;
            }
        }
        assert!(seen > 50, "only {seen} commands were found");
        assert!(refused.is_empty(), "{}", refused.join("\n"));
    }
}
