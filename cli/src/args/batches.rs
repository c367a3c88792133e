//! The arguments of the commands that read the ledger: `batches`, `batch`, `retry` and `find`.

use std::ffi::OsString;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use landfall_core::batch::{BatchId, State};
use landfall_core::moment::Time;

use super::accept;
use super::access::AccessArgs;
use super::output::OutputArgs;

/// How far back `batches` looks by default.
const A_DAY: Duration = Duration::from_secs(86_400);

/// Selects the ledger and the output format.
#[derive(Args, Clone)]
pub struct LedgerArgs {
    /// The name of the ledger's table.
    #[arg(
        long,
        value_name = "NAME",
        env = "LANDFALL_LEDGER_TABLE",
        default_value = "landfall-ledger",
        value_parser = NonEmptyStringValueParser::new(),
    )]
    pub table: String,
    #[command(flatten)]
    pub access: AccessArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// List batches, newest first, with each one's state and what it waits for.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall batches
  landfall batches --state parked
  landfall batches --former
  landfall batches --route orders --since yesterday --format json

`batches` uses your own credentials for the data account, and finds them as `diff` does. They need
dynamodb:GetItem, dynamodb:Query and dynamodb:Scan on the ledger's table and its indexes.

Exit status: 0 the batches were listed, even if there are none; 2 wrong usage, or the ledger can't be
read.")]
pub struct BatchesArgs {
    /// List only batches of this route.
    #[arg(long, value_name = "NAME")]
    pub route: Option<String>,
    /// List only batches in this state. Separate several states with commas.
    #[arg(long, value_enum, value_name = "STATE", value_delimiter = ',')]
    pub state: Vec<StateName>,
    /// List only batches opened since then: a length of time ago (90s, 24h, 2 days), today, yesterday, a date or a
    /// time in RFC 3339 format; days are in UTC. Default: 24h. With `--state parked` and no other state: all of them, however old.
    #[arg(long, value_name = "AGO|TIME", value_parser = since)]
    pub since: Option<Since>,
    /// List only unfinished batches of the previous version, however old. Reader roles can reach them as long
    /// as AdmitsFormerBatches is true in the stacks.
    #[arg(long, conflicts_with = "since")]
    pub former: bool,
    /// The most batches to list.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

/// Show everything about a batch: what it waits for, its job runs, why they failed, where their logs are, its
/// history and its members.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall batch 222222222222-899bfd94d19c4ed05147d6815125b225
  landfall batch --members 222222222222-899bfd94d19c4ed05147d6815125b225
  landfall batch --watch 222222222222-899bfd94d19c4ed05147d6815125b225

With --watch, `batch` looks again until the batch is done or parked. A terminal shows the newest look;
otherwise, the lines that changed follow each other. Ctrl-C ends it.

Your credentials need dynamodb:GetItem on the ledger's table. To show the outcome that the job
reported, they need it on the claims table too. If they have cloudwatch:GetMetricData, `batch` says
how soon the monitor does what is due.

Exit status: 0 the batch was found; 3 there is no batch with this ID; 2 wrong usage, or the ledger
can't be read.")]
pub struct BatchArgs {
    /// The batch's ID, as `batches` and `find` print it.
    #[arg(value_name = "ID", value_parser = batch_id)]
    pub id: String,
    /// Print all members, not just the first 20.
    #[arg(long)]
    pub members: bool,
    /// Look again every 5 seconds, or every SECONDS, until nothing is left to wait for.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, conflicts_with_all = ["json", "format"])]
    #[arg(default_missing_value = "5", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub watch: Option<u32>,
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

/// Return parked batches, so that each starts again with all its attempts.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall retry 222222222222-899bfd94d19c4ed05147d6815125b225
  landfall retry --all-parked --route orders

First remove the cause: `landfall batch ID` shows why the batch was parked. The monitor starts a
returned batch at its next tick. Where jobs need not claim (`claim: optional`), you answer for the
runs so far: Landfall judges the next run alone. Your credentials need dynamodb:GetItem and
dynamodb:PutItem on the ledger's table. --all-parked also needs what `batches` needs. If they have
cloudwatch:GetMetricData, `retry` says whether the monitor ticks.

Exit status: 0 every batch was returned; 1 at least one wasn't, because it isn't parked or has changed
meanwhile, because --all-parked couldn't read or reach one, or because you declined; 2 wrong usage, or
the ledger can't be read or written.")]
pub struct RetryArgs {
    /// The IDs of the batches.
    #[arg(value_name = "ID", value_parser = batch_id)]
    #[arg(required_unless_present = "all_parked", conflicts_with = "all_parked")]
    pub ids: Vec<String>,
    /// Return all parked batches. Asks for confirmation first.
    #[arg(long)]
    pub all_parked: bool,
    /// With --all-parked, return only batches of this route.
    #[arg(long, value_name = "NAME", conflicts_with = "ids")]
    pub route: Option<String>,
    /// Don't ask for confirmation.
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

/// Show what became of an object: when it arrived, which batch it is in, and which job run reads it.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall find s3://acme-landing/orders/dt=2026-01-31/a.csv
  landfall find --routes infra/routes.yaml s3://acme-landing/orders/dt=2026-01-31/a.csv
  landfall find --watch s3://acme-landing/orders/dt=2026-01-31/a.csv

With --watch, `find` looks again until each batch that it shows is done or parked. If the ledger doesn't
know the object, it looks again as long as the object's event may be on its way. A terminal shows the
newest look; otherwise, the lines that changed follow each other. Ctrl-C ends it.

`find` reads the URI as you write it, as `explain` does. Your credentials need dynamodb:GetItem and
dynamodb:Query on the ledger's table. If the ledger doesn't know the object, `find` asks S3 whether it
exists, and says which of the deployed routes takes it, or why none does. For that they need
s3:GetObject on the object and s3:ListBucket on its bucket, and for the routes
cloudformation:GetTemplate on the data account's stack and s3:GetObject on the routes file in the
artifacts bucket. Without these, name a file with --routes. If they have cloudwatch:GetMetricData,
`find` says how soon the monitor does what is due.

Exit status: 0 the ledger knows the object; 3 it doesn't; 2 wrong usage, or the ledger can't be
read.")]
pub struct FindArgs {
    /// The object, as `s3://bucket/key`.
    #[arg(value_name = "S3_URI")]
    pub uri: String,
    /// The routes file to judge by if the ledger doesn't know the object. Default: the routes that the stack
    /// was deployed with.
    #[arg(long, value_name = "FILE")]
    pub routes: Option<OsString>,
    /// The most versions to show, newest first.
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// Look again every 5 seconds, or every SECONDS, until nothing is left to wait for.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, conflicts_with_all = ["json", "format"])]
    #[arg(default_missing_value = "5", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub watch: Option<u32>,
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

impl BatchesArgs {
    /// Returns which batches to list at `now`. If only parked ones are wanted, age does not limit the
    /// list, because each of them waits for a person.
    pub fn selection(&self, now: Time) -> Selection {
        let is_parked = |name: &StateName| *name == StateName::Parked;
        match self.since {
            _ if self.former => Selection::Former,
            Some(since) => Selection::Since(since.time(now)),
            None if !self.state.is_empty() && self.state.iter().all(is_parked) => Selection::Parked,
            None => Selection::Since(now - A_DAY),
        }
    }
}

/// The batches that a list covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// The batches opened since this time.
    Since(Time),
    /// All parked batches.
    Parked,
    /// All unfinished batches of the previous version.
    Former,
}

/// The states of a batch, under the names that the ledger uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StateName {
    /// The batch takes more objects.
    Open,
    /// The batch waits to start.
    Sealed,
    /// A job run is starting, or Landfall doesn't know whether it started.
    Starting,
    /// A job run is under way.
    Started,
    /// A job run ended without success; the monitor is about to retry or park the batch.
    Failed,
    /// The batch is done.
    Succeeded,
    /// The batch waits for `landfall retry`.
    Parked,
    /// The batch closed without objects.
    Empty,
    /// An event says that the batch has closed, and no job starts: it is done.
    Announced,
}

impl StateName {
    /// Returns `true` if this is the name of `state`.
    pub fn names(self, state: &State) -> bool {
        self.to_possible_value().is_some_and(|value| value.get_name() == state.name())
    }
}

/// The start of a list, as the user writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    Ago(Duration),
    At(Time),
    /// The beginning of the day in UTC that is so many days ago.
    Day(u32),
}

impl Since {
    /// Returns the start as a time, counted back from `now`.
    pub fn time(self, now: Time) -> Time {
        match self {
            Self::Ago(duration) => now - duration,
            Self::At(time) => time,
            Self::Day(ago) => {
                let today = Time(now.0 - now.0 % A_DAY.as_millis() as u64);
                today - A_DAY * ago
            }
        }
    }
}

/// Reads a point in time as people write it.
pub fn since(text: &str) -> Result<Since, &'static str> {
    let text = text.trim();
    let time = || Time::parse(text).or_else(|| Time::parse(&format!("{text}T00:00:00Z")));
    match text {
        "today" => Ok(Since::Day(0)),
        "yesterday" => Ok(Since::Day(1)),
        _ => ago(text).map(Since::Ago).or_else(|| time().map(Since::At)).ok_or(
            "neither a length of time (90s, 24h, 2 days), nor today, yesterday, a date (2026-01-31) or a time in \
             RFC 3339 format (2026-01-31T23:59:59Z)",
        ),
    }
}

/// Reads a length of time, with or without `ago` behind it.
fn ago(text: &str) -> Option<Duration> {
    let length = text.strip_suffix("ago").unwrap_or(text).trim_end();
    let length: jiff::Span = length.parse().ok()?;
    // A month has no length of its own.
    let length = length.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(length).ok()
}

fn batch_id(text: &str) -> Result<String, &'static str> {
    let why = "a batch ID is the analytics account's ID, a dash, and 32 hexadecimal digits in lower case; \
               `landfall batches` lists them";
    accept(text, BatchId::parse(text).is_some(), why)
}

#[cfg(test)]
mod tests {
    use landfall_core::batch::{Failed, Started, Starting};

    use super::*;

    #[test]
    fn since_is_a_length_of_time_or_a_time() {
        let ago = |secs| Ok(Since::Ago(Duration::from_secs(secs)));
        assert_eq!(since("90s"), ago(90));
        assert_eq!(since("5m"), ago(300));
        assert_eq!(since("24h"), ago(86_400));
        assert_eq!(since("7d"), ago(604_800));
        assert_eq!(since("1970-01-01T01:00:01+01:00"), Ok(Since::At(Time(1000))));
        assert_eq!(since("2 days"), ago(172_800));
        assert_eq!(since("1 week ago"), ago(604_800));
        assert_eq!(since("1h30m"), ago(5_400));
        assert_eq!(since("1970-01-02"), Ok(Since::At(Time(86_400_000))));
        for text in
            ["", "s", "24", "-1h", "99999999999999999d", "7ä", "2026-02-30", "1 month", "tomorrow"]
        {
            assert!(since(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_day_begins_at_midnight_in_utc() {
        let now = Time::parse("2026-01-31T23:59:59Z").expect("a time");
        let begins = |text| since(text).map(|since| since.time(now).to_string());
        assert_eq!(begins("today").as_deref(), Ok("2026-01-31T00:00:00Z"));
        assert_eq!(begins("yesterday").as_deref(), Ok("2026-01-30T00:00:00Z"));
    }

    #[test]
    fn each_state_has_the_name_that_the_ledger_has_for_it() {
        let (t, run_id) = (Time(0), String::new);
        let run_state = landfall_core::batch::RunState::Failed;
        let why = landfall_core::batch::Why::Other;
        let states = [
            State::Open { closes_at: t },
            State::Sealed { due: t, waits_for_slot: false },
            State::Starting(Starting { t0: t, lease: t, look_at: t, missing: None }),
            State::Started(Started {
                epoch: 1,
                run_id: run_id(),
                since: t,
                look_at: t,
                missing: None,
                repeat: None,
            }),
            State::Failed(Failed {
                epoch: 1,
                run_id: run_id(),
                run_state,
                claimed: true,
                since: t,
                look_at: t,
                missing: None,
            }),
            State::Succeeded { run_id: run_id(), claimed: true },
            State::Parked { why, message: String::new() },
            State::Empty,
            State::Announced,
        ];
        for (name, state) in StateName::value_variants().iter().zip(&states) {
            assert!(name.names(state), "{name:?}");
        }
        assert_eq!(StateName::value_variants().len(), states.len());
    }

    #[test]
    fn a_batch_id_is_whole_and_in_lower_case() {
        let hash = "899bfd94d19c4ed05147d6815125b225";
        // The version before wrote the hash alone.
        for text in [hash, &format!("222222222222-{hash}")] {
            assert_eq!(batch_id(text).as_deref(), Ok(text));
        }
        let wrong = ["899bfd", "899BFD94D19C4ED05147D6815125B225", "", &"ä".repeat(16)];
        let parts = ["2222-", "-", "222222222222-222222222222-", "222222222222"];
        let wrong = wrong.map(str::to_owned).into_iter();
        for text in wrong.chain(parts.map(|part| format!("{part}{hash}"))) {
            assert!(batch_id(&text).is_err(), "{text}");
        }
    }
}
