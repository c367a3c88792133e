//! The arguments of `landfall doctor`.

use std::ffi::OsString;

use clap::Args;

/// Explain the text of an error: which layer refused, why, and what to do.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall doctor --explain \"ClientError: ... is not authorized to perform: kms:Decrypt ...\"
  landfall doctor --explain job.log
  aws logs tail /aws-glue/jobs/error | landfall doctor --explain -

The text can hold anything else besides the error, such as a stack trace. docs/errors.md lists what
is known.

Exit status: 0 explained; 3 nothing is known about the text; 2 wrong usage, or a file can't be read.")]
pub struct DoctorArgs {
    /// The text, a file that holds it, or `-` for standard input.
    #[arg(long, required = true, value_name = "TEXT|FILE|-", allow_hyphen_values = true)]
    pub explain: OsString,
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
}
