//! `landfall`, the operator's command line.
//!
//! Every command is a function from its arguments to an [`Output`], which this file prints. Commands read files and
//! standard input. `diff` reads IAM, `doctor` looks at everything in both accounts, `status` at what goes on in the data
//! account, `audit` reads what the auditors found,
//! and `batches`, `batch`, `find` and `console` read the ledger; `console` serves it as pages. `retry` writes to the ledger, `backfill` and `replay` list
//! buckets and send what they find to the trigger, `unlock` writes to the provisioner's table, and `deploy` and `destroy` change stacks: these print
//! their progress as they work.

mod accounts;
mod archive;
mod args;
mod audit;
mod aws;
mod backfill;
mod batch;
mod batches;
mod check;
mod cloudformation;
mod completions;
mod console;
mod deploy;
mod desired;
mod destroy;
mod diff;
mod doctor;
mod explain;
mod find;
#[cfg(test)]
mod fixtures;
mod init;
mod input;
mod ledger;
mod monitor;
mod object;
mod package;
mod policies;
mod repair;
mod retry;
mod state;
mod status;
mod terminal;
mod unlock;
mod version;
mod watch;
mod wheel;

use std::process::ExitCode;

use clap::Parser;
use landfall_core::roles::Kind;
use landfall_core::{roles, routes};

use crate::args::{Cli, Command, SchemaOf};
use crate::terminal::output::Output;

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| args::without_values(error).exit());
    let printed = match &cli.command {
        Command::Init(args) => init::run(args, cli.color),
        Command::Check(args) => check::run(args, cli.color),
        Command::Explain(args) => explain::run(args, cli.color),
        Command::Policies(args) => policies::run(args, cli.color),
        Command::Diff(args) => diff::run(args, cli.color),
        Command::Deploy(args) => deploy::run(args, cli.color),
        Command::Destroy(args) => destroy::run(args, cli.color),
        Command::Package(args) => package::run(args, cli.color),
        Command::Batches(args) => batches::run(args),
        Command::Batch(args) => batch::run(args),
        Command::Console(args) => console::run(args),
        Command::Retry(args) => retry::run(args),
        Command::Find(args) => find::run(args, cli.color),
        Command::Backfill(args) => backfill::run(args, cli.color),
        Command::Replay(args) => backfill::replay(args, cli.color),
        Command::Doctor(args) => doctor::run(args, cli.color),
        Command::Audit(args) => audit::run(args, cli.color),
        Command::Status(args) => status::run(args),
        Command::Unlock(args) => unlock::run(args),
        Command::Wheel(args) => wheel::run(args),
        Command::Completions(args) => Ok(completions::script(args.shell)),
        Command::ManPages(args) => completions::man_pages(&args.folder),
        Command::Schema { subject } => Ok(Output::success(schema(*subject))),
    };
    printed.unwrap_or_else(|early| early).print()
}

fn schema(subject: SchemaOf) -> String {
    match subject {
        SchemaOf::Routes => routes::json_schema(),
        SchemaOf::StarterRole => roles::json_schema(Kind::Starter),
        SchemaOf::ReaderRole => roles::json_schema(Kind::Reader),
        SchemaOf::JobRole => roles::json_schema(Kind::Job),
        SchemaOf::BucketNotifications => landfall_core::bucket_notifications::json_schema(),
        SchemaOf::BucketAccess => landfall_core::bucket_access::json_schema(),
    }
}
