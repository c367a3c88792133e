//! The arguments of `init`.

use std::path::PathBuf;

use clap::Args;

/// Write a routes file for a first route, from an example of an object.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall init
  landfall init my-routes.yaml --object s3://acme-landing/orders/dt=2026-01-31/a.csv \\
    --account 222222222222 --region eu-west-1 --job orders-to-parquet
  landfall init my-routes.yaml --uses-library --object …

`init` asks for what you don't pass. It never replaces a file, and makes no call of AWS.

In the key of the example, the values of folders such as `dt=2026-01-31`, folders that are dates, and the name of
the file may differ. The route takes every object whose key is like that.

Exit status: 0 written; 2 wrong usage, or the file can't be written.")]
pub struct InitArgs {
    /// The file to write; `-` is standard output.
    #[arg(default_value = "routes.yaml", value_name = "FILE")]
    pub file: PathBuf,
    /// An object that is to start the job, or one like it. It need not exist.
    #[arg(long, value_name = "S3_URI")]
    pub object: Option<String>,
    /// The ID of the account that the job runs in.
    #[arg(long, value_name = "ACCOUNT_ID")]
    pub account: Option<String>,
    /// The region that the job runs in.
    #[arg(long)]
    pub region: Option<String>,
    /// The name of the Glue job.
    #[arg(long)]
    pub job: Option<String>,
    /// The job uses Landfall's job library. Without this, it is started as it is, once for each object.
    #[arg(long)]
    pub uses_library: bool,
}
