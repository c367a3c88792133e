//! The arguments of `backfill` and `replay`.

use std::ffi::OsString;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, ValueEnum};

use super::batches::{LedgerArgs, Since, since};

/// Start jobs for objects that S3 never announced: those that were in the bucket before its route, or whose events got
/// lost.
///
/// It lists the bucket, or reads a list of keys or an S3 Inventory. It leaves out what is in a batch of the route already, and
/// sends the rest to the trigger, on a queue of its own. First it shows what it would do, and asks.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Examples:
  landfall backfill --route orders --dry-run
  landfall backfill --route orders --since 30d
  landfall backfill --route orders --prefix orders/dt=2026-01 --max-runs 100 --yes
  landfall backfill --route orders --max-runs-per-hour 20
  landfall backfill --route orders --prefix orders/dt=2026-01 --mode failed
  landfall backfill --route orders --keys missing.txt
  landfall backfill --route orders --inventory s3://inventories/landing/all/2026-01-31T01-00Z/manifest.json
  landfall backfill status
  landfall backfill pause backfill-20260131T235959Z-1f3a
  landfall backfill resume backfill-20260131T235959Z-1f3a

Objects that were written less than an hour ago are left out: S3 may still announce them. An object is in one batch of the
route, whether S3 announces it, a backfill finds it, or both. In a bucket without versioning, only ETag, size and time tell
objects apart: the same bytes written again within five minutes count as one object.

A backfill that was killed, or met one of its bounds, goes on with `resume`. Its batches close when they are full
(`max_objects` of the route, or 10,000 objects), or five minutes after the last object of their group. Where jobs are at
their limits, what S3 announces comes first.

Your credentials are for the data account. They need s3:ListBucket, s3:ListBucketVersions and s3:GetBucketVersioning on the
bucket, and with --keys or --inventory s3:GetObject there and on the inventory; dynamodb:GetItem, dynamodb:PutItem and dynamodb:Query on the ledger's table; sqs:SendMessage on the queue of
backfills; and to find the routes that are deployed, cloudformation:DescribeStacks and cloudformation:GetTemplate on the
stack and s3:GetObject on the bucket of its artifacts. If the stack names OperatorRoleArns, only these roles may send.

Exit status: 0 all was sent, or nothing is missing; 1 a bound was met, objects were refused, or you declined; 2 wrong usage,
or something could not be read, sent or written; 3 there is no such backfill.")]
pub struct BackfillArgs {
    #[command(subcommand)]
    pub command: Option<BackfillCommand>,
    /// Which of the objects the route is to take.
    #[arg(long, value_name = "MODE", value_enum, default_value_t = ModeArg::Missing)]
    pub mode: ModeArg,
    /// With --mode all: why. `landfall backfill status` shows it.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    #[arg(required_if_eq("mode", "all"))]
    pub reason: Option<String>,
    #[command(flatten)]
    pub start: StartArgs,
}

/// Which of the objects a route is to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// Those that are in no batch of the route.
    Missing,
    /// Those whose batches are parked: these batches are returned, as `landfall retry` does.
    Failed,
    /// All, once more, as `landfall replay` does.
    All,
}

/// Start jobs again for objects that were processed before.
///
/// Each of the objects is in one more batch of the route. A job whose output replaces what it wrote before shows no
/// difference; others write everything twice.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall replay --route orders --prefix orders/dt=2026-01-31 --reason 'wrong currency' --dry-run
  landfall replay --route orders --since 2026-01-31T00:00:00Z --until 2026-02-01T00:00:00Z --reason 'wrong currency'

`landfall backfill status`, `pause`, `resume` and `cancel` are for replays too. Permissions and exit status: see
`landfall backfill --help`. To start a parked batch again, use `landfall retry`.")]
pub struct ReplayArgs {
    /// Why. `landfall backfill status` shows it.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub reason: String,
    #[command(flatten)]
    pub start: StartArgs,
}

/// Selects objects, and says how to send them.
#[derive(Args)]
pub struct StartArgs {
    /// The route that is to take the objects.
    #[arg(long, value_name = "NAME", required = true)]
    pub route: Option<String>,
    /// Only objects whose keys begin with this. Default: what the route's keys begin with.
    #[arg(long, value_name = "PREFIX")]
    pub prefix: Option<String>,
    /// Only objects written since then: a length of time ago (90s, 24h, 2 days), today, yesterday, a date or a
    /// time in RFC 3339 format; days are in UTC.
    #[arg(long, value_name = "AGO|TIME", value_parser = since)]
    pub since: Option<Since>,
    /// Only objects written before then.
    #[arg(long, value_name = "AGO|TIME", value_parser = since)]
    pub until: Option<Since>,
    /// Take the objects that this file names, one key or s3:// URI a line, instead of listing the bucket. `-` is standard
    /// input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prefix", "inventory"])]
    pub keys: Option<OsString>,
    /// Take the objects that this S3 Inventory lists, in CSV, instead of listing the bucket: the s3:// URI of its
    /// manifest.json.
    #[arg(long, value_name = "URI")]
    pub inventory: Option<String>,
    /// Show what would be done, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Don't ask.
    #[arg(long, conflicts_with = "dry_run")]
    pub yes: bool,
    #[command(flatten)]
    pub bounds: BoundArgs,
    /// Start no more than this many runs an hour for what this backfill sends, whatever the route admits.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_runs_per_hour: Option<u32>,
    /// How many minutes of a DPU a run uses, for the estimate of costs. Default: the average of the route's runs of the last
    /// 30 days.
    #[arg(long, value_name = "MINUTES", value_parser = positive)]
    pub dpu_minutes: Option<f64>,
    /// What Glue charges for an hour of a DPU, in dollars.
    #[arg(long, value_name = "DOLLARS", default_value = "0.44", value_parser = positive)]
    pub dpu_hour_price: f64,
    /// The routes file. Default: the routes that the stack was deployed with.
    #[arg(long, value_name = "FILE")]
    pub routes: Option<OsString>,
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

/// Where to stop, and how fast to go.
#[derive(Args, Clone, Copy)]
pub struct BoundArgs {
    /// Stop after this many objects, and leave the rest to `resume`.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_objects: Option<u64>,
    /// Stop before more than this many runs are needed, and leave the rest to `resume`.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_runs: Option<u64>,
    /// Send no more than this many objects a second.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
}

#[derive(Subcommand)]
pub enum BackfillCommand {
    /// Show the backfills and replays, newest first, or one of them.
    Status {
        /// The ID. Default: all.
        #[arg(value_name = "ID")]
        id: Option<String>,
        #[command(flatten)]
        ledger: LedgerArgs,
    },
    /// Let a backfill stop after the page that it is at.
    Pause(BackfillId),
    /// Go on with a backfill that was paused or killed, or that met a bound.
    Resume {
        #[command(flatten)]
        of: BackfillId,
        #[command(flatten)]
        bounds: BoundArgs,
        /// The list of keys, if the backfill was started with one.
        #[arg(long, value_name = "FILE")]
        keys: Option<OsString>,
        /// The routes file. Default: the routes that the stack was deployed with.
        #[arg(long, value_name = "FILE")]
        routes: Option<OsString>,
    },
    /// Let a backfill stop, and never go on. What it has sent is processed.
    Cancel(BackfillId),
}

/// Names a backfill.
#[derive(Args)]
pub struct BackfillId {
    /// The ID, as `landfall backfill status` shows it.
    #[arg(value_name = "ID")]
    pub id: String,
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

fn positive(text: &str) -> Result<f64, &'static str> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or("a number above 0")
}
