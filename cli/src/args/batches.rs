//! The arguments of what is about the ledger: `batches`, `batch`, `retry` and `find`.

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use landfall_core::batch::{BatchId, State};
use landfall_core::moment::{Time, parse_duration};

use super::accept;
use super::roles::region;

/// How far back `batches` looks if it is not told.
const A_DAY: Duration = Duration::from_secs(86_400);

/// Which ledger, and how it is printed.
#[derive(Args)]
pub struct LedgerArgs {
    /// The ledger's table.
    #[arg(
        long,
        value_name = "NAME",
        env = "LANDFALL_LEDGER_TABLE",
        default_value = "landfall-ledger",
        value_parser = NonEmptyStringValueParser::new(),
    )]
    pub table: String,
    /// The region of the data account's stack. Default: that of the environment or the profile.
    #[arg(long, value_name = "REGION", value_parser = region)]
    pub region: Option<String>,
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// List batches, the newest first: where each stands, and what it waits for.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall batches
  landfall batches --state parked
  landfall batches --former
  landfall batches --route orders --since 2026-01-31T00:00:00Z --json

It looks with your own credentials for the data account, found as `diff` finds them, which need
dynamodb:GetItem, dynamodb:Query and dynamodb:Scan on the ledger's table and its indexes.

Exit status: 0 however many there are, 2 wrong usage, or a ledger that cannot be read.")]
pub struct BatchesArgs {
    /// Only batches of this route.
    #[arg(long, value_name = "NAME")]
    pub route: Option<String>,
    /// Only batches in this state; several may be given.
    #[arg(long, value_enum, value_name = "STATE", value_delimiter = ',')]
    pub state: Vec<StateName>,
    /// Only batches opened since then: so long ago (90s, 5m, 24h, 7d), or a time as RFC 3339. Default:
    /// 24h; with `--state parked` and no other state, however old they are.
    #[arg(long, value_name = "AGO|TIME", value_parser = since)]
    pub since: Option<Since>,
    /// Only batches of the version before that are not done, however old. Reader roles reach them as long as
    /// the stacks' AdmitsFormerBatches is true.
    #[arg(long, conflicts_with = "since")]
    pub former: bool,
    /// The most that are listed.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

/// Tell all that is known of a batch: what it waits for, its runs, what happened to it.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall batch 222222222222-899bfd94d19c4ed05147d6815125b225
  landfall batch --members 222222222222-899bfd94d19c4ed05147d6815125b225

It needs dynamodb:GetItem on the ledger's table, and for what the job said of its outcome on that of the
claims.

Exit status: 0 the batch is told of, 3 there is none of this id, 2 wrong usage, or a ledger that
cannot be read.")]
pub struct BatchArgs {
    /// The batch's id, as `batches` and `find` print it.
    #[arg(value_name = "ID", value_parser = batch_id)]
    pub id: String,
    /// Print all members, not just the first 20.
    #[arg(long)]
    pub members: bool,
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

/// Return parked batches: each is started again, with all its attempts.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall retry 222222222222-899bfd94d19c4ed05147d6815125b225
  landfall retry --all-parked --route orders

Remove first what the batch was parked for: `landfall batch ID` tells it. The monitor starts a returned
batch within a minute. It needs dynamodb:GetItem and dynamodb:PutItem on the ledger's table;
--all-parked needs what `batches` needs too.

Exit status: 0 all are returned, 1 one was not: it is not parked, or another one by now, or one of
--all-parked was not understood or not looked at, or you said no; 2 wrong usage, or a ledger that cannot
be read or written.")]
pub struct RetryArgs {
    /// The batches' ids.
    #[arg(value_name = "ID", value_parser = batch_id)]
    #[arg(required_unless_present = "all_parked", conflicts_with = "all_parked")]
    pub ids: Vec<String>,
    /// All batches that are parked; asks before it returns them.
    #[arg(long)]
    pub all_parked: bool,
    /// With --all-parked: only those of this route.
    #[arg(long, value_name = "NAME", conflicts_with = "ids")]
    pub route: Option<String>,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

/// Tell what became of an object: when it arrived, in which batch it is, which run reads it.
#[derive(Args)]
#[command(after_help = "Examples:
  landfall find s3://acme-landing/orders/dt=2026-01-31/a.csv

A URI is taken as it is written, as `explain` takes it. It needs dynamodb:GetItem and dynamodb:Query on
the ledger's table.

Exit status: 0 the ledger knows the object, 3 it does not, 2 wrong usage, or a ledger that cannot be
read.")]
pub struct FindArgs {
    /// The object.
    #[arg(value_name = "S3_URI")]
    pub uri: String,
    /// The most versions that are told of, the newest first.
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

impl BatchesArgs {
    /// What to list, asked at `now`. All parked batches by default, however old: each waits for somebody.
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

/// Which batches a list is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// Those that were opened since then.
    Since(Time),
    /// All that are parked.
    Parked,
    /// All of the version before that are not done.
    Former,
}

/// The states of a batch, by the names that the ledger has for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StateName {
    /// Takes objects.
    Open,
    /// Waits to be started.
    Sealed,
    /// A run is being started, or it is not known whether one was.
    Starting,
    /// A run is under way.
    Started,
    /// A run ended without success; it is about to be retried or parked.
    Failed,
    /// Done.
    Succeeded,
    /// Waits for `landfall retry`.
    Parked,
    /// Closed without objects.
    Empty,
}

impl StateName {
    /// Whether this is the name of `state`.
    pub fn names(self, state: &State) -> bool {
        self.to_possible_value().is_some_and(|value| value.get_name() == state.name())
    }
}

/// From when on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    Ago(Duration),
    At(Time),
}

impl Since {
    /// The time that is meant, asked at `now`.
    pub fn time(self, now: Time) -> Time {
        match self {
            Self::Ago(duration) => now - duration,
            Self::At(time) => time,
        }
    }
}

fn since(text: &str) -> Result<Since, &'static str> {
    let time = || Time::parse(text).map(Since::At);
    parse_duration(text).map(Since::Ago).or_else(time).ok_or(
        "neither a length of time (90s, 5m, 24h, 7d) nor a time as RFC 3339 writes it: \
         2026-01-31T23:59:59Z",
    )
}

fn batch_id(text: &str) -> Result<String, &'static str> {
    let why = "a batch id is the analytics account's id, a dash, and 32 hexadecimal digits in lower case; \
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
        for text in ["", "s", "24", "+1h", "1 h", "24H", "99999999999999999d", "7ä", "2026-01-31"]
        {
            assert!(since(text).is_err(), "{text}");
        }
    }

    #[test]
    fn each_state_has_the_name_that_the_ledger_has_for_it() {
        let (t, run_id) = (Time(0), String::new);
        let run_state = landfall_core::batch::RunState::Failed;
        let why = landfall_core::batch::Why::Other;
        let states = [
            State::Open { closes_at: t },
            State::Sealed { due: t, waits_for_slot: false },
            State::Starting(Starting { t0: t, lease: t, look_at: t }),
            State::Started(Started {
                epoch: 1,
                run_id: run_id(),
                since: t,
                look_at: t,
                missing: None,
            }),
            State::Failed(Failed {
                epoch: 1,
                run_id: run_id(),
                run_state,
                since: t,
                look_at: t,
                missing: None,
            }),
            State::Succeeded { run_id: run_id() },
            State::Parked { why, message: String::new() },
            State::Empty,
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
