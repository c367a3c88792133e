//! `landfall`, the operator's command line: `check`, `explain`, `schema`.
//!
//! Every command is a function from arguments to an [`output::Output`], printed here. The command
//! line reads files and standard input, and calls no AWS.

mod args;
mod check;
mod explain;
mod input;
mod mask;
mod output;
mod problems;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = match &cli.command {
        Command::Check(args) => check::run(args, cli.color),
        Command::Explain(args) => explain::run(args, cli.color),
        Command::Schema => Output::success(landfall_core::routes::json_schema()),
    };
    output.print()
}
