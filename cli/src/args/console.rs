//! The arguments of `landfall console`.

use clap::Args;

use super::batches::LedgerArgs;

/// Show what became of your files on a page in your browser: objects, batches, and what is parked.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall console
  landfall console --port 8400 --profile acme-data

`console` prints an address that works once, in one browser, on this machine only. It changes nothing in
AWS. It ends with Ctrl-C, or after 8 hours in which nobody opened a page. With --format json, it prints
the address in a JSON document.

Your credentials need what `find`, `batch` and `batches` need.

Exit status: 0 nobody opened a page for 8 hours; 2 wrong usage, or the console couldn't start.")]
pub struct ConsoleArgs {
    /// The port to listen on. Default: one that is free.
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    pub port: u16,
    #[command(flatten)]
    pub ledger: LedgerArgs,
}
