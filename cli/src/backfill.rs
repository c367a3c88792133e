//! `landfall backfill` and `landfall replay`: bring objects of a bucket to a route that S3 did not announce, or once more.
//!
//! `source` reads what names the objects, `work` sends, `report` says what will be and what was done. `failed` returns parked
//! batches instead.

mod estimate;
mod failed;
mod report;
mod source;
mod work;

use std::ffi::OsStr;

use anyhow::{Context, anyhow, bail};
use landfall_aws::clock::now;
use landfall_core::backfill::{Backfill, Mode, Selection, Source, Standing};
use landfall_core::problem::did_you_mean;
use landfall_core::routes::{Route, Routes};
use landfall_inspection::{Clients, Place, cloudformation};

use self::estimate::Estimate;
use self::report::Plan;
use self::source::Keys;
use self::work::{Stop, Work};
use crate::args::Color;
use crate::args::backfill::{
    BackfillArgs, BackfillCommand, BackfillId, BoundArgs, ModeArg, ReplayArgs, StartArgs,
};
use crate::args::batches::LedgerArgs;
use crate::input::read_routes;
use crate::ledger::{Connection, connect};
use crate::object::deployed;
use crate::terminal::consent::{can_ask, confirm};
use crate::terminal::output::{Output, Printed, Status};
use crate::terminal::printable;
use crate::terminal::progress::say;
use crate::{aws, version};

/// Runs `landfall backfill`.
pub fn run(args: &BackfillArgs, color: Color) -> Printed {
    match &args.command {
        None => match args.mode {
            ModeArg::Missing => start(&args.start, Mode::Missing, args.reason.as_deref(), color),
            ModeArg::Failed => failed::run(&args.start),
            ModeArg::All => start(&args.start, Mode::All, args.reason.as_deref(), color),
        },
        Some(BackfillCommand::Status { id, ledger }) => status(id.as_deref(), ledger),
        Some(BackfillCommand::Pause(of)) => stand(of, Standing::Paused),
        Some(BackfillCommand::Cancel(of)) => stand(of, Standing::Cancelled),
        Some(BackfillCommand::Resume { of, bounds, keys, routes }) => {
            resume(of, *bounds, keys.as_deref(), routes.as_deref(), color)
        }
    }
}

/// Runs `landfall replay`.
pub fn replay(args: &ReplayArgs, color: Color) -> Printed {
    start(&args.start, Mode::All, Some(&args.reason), color)
}

/// What every backfill needs.
struct Desk {
    connection: Connection,
    clients: Clients,
    routes: Routes,
    /// The data account.
    place: Place,
    /// The ARN of whoever asks.
    caller: String,
    /// The queue that the trigger reads backfills from.
    queue: String,
}

impl Desk {
    async fn new(ledger: &LedgerArgs, routes: Option<Routes>) -> anyhow::Result<Self> {
        let connection = connect(ledger).await?;
        let clients = Clients::new(connection.config());
        let stack = version::stack_of(&ledger.table).with_context(|| {
            format!(
                "table `{}` doesn't tell the name of its stack, so its queue isn't known",
                ledger.table
            )
        })?;
        let identity = aws::identity(connection.config()).await?;
        let queue = cloudformation::output(&clients, stack, QUEUE).await;
        let queue =
            queue.map_err(|why| anyhow!("failed to find the queue of stack `{stack}`: {why}"))?;
        let queue = queue.with_context(|| {
            format!("stack `{stack}` has no queue of backfills: deploy it with this version of Landfall first")
        })?;
        let routes = match routes {
            Some(routes) => routes,
            None => deployed(&clients, stack).await.map_err(|why| anyhow!(why))?.routes,
        };
        let place = aws::place(&identity, connection.config())?;
        let caller = identity.arn().unwrap_or_default().to_owned();
        Ok(Self { connection, clients, routes, place, caller, queue })
    }

    fn route(&self, name: &str) -> anyhow::Result<&Route> {
        let routes = &self.routes.routes;
        routes.iter().find(|route| route.name == name).ok_or_else(|| {
            let names = routes.iter().map(|route| route.name.as_str());
            let hint = did_you_mean(name, names.clone());
            let hint = hint.unwrap_or_else(|| {
                format!("the routes are {}", names.collect::<Vec<_>>().join(", "))
            });
            anyhow!("there is no route `{}`: {hint}", printable(name))
        })
    }
}

/// The output of the data account's stack that names the queue.
const QUEUE: &str = "BackfillQueueArn";

fn from_file(file: Option<&OsStr>, color: Color) -> Result<Option<Routes>, Output> {
    let Some(file) = file else { return Ok(None) };
    let (_, (routes, _)) = read_routes(file, Routes::parse, color)?;
    Ok(Some(routes))
}

fn start(args: &StartArgs, mode: Mode, reason: Option<&str>, color: Color) -> Printed {
    can_ask(args.yes || args.dry_run, "a backfill asks before it sends anything")?;
    let routes = from_file(args.routes.as_deref(), color)?;
    let output = aws::wait(async {
        let desk = Desk::new(&args.ledger, routes).await?;
        let route = desk.route(args.route.as_deref().unwrap_or_default())?;
        let selection = selection(args, route)?;
        let keys = args.keys.as_deref().map(|file| Keys::read(file, &route.bucket)).transpose()?;
        let source = match (&keys, &args.inventory) {
            (Some(keys), _) => keys.source(),
            (None, Some(manifest)) => {
                let (bucket, prefix) = (&route.bucket, &selection.prefix);
                source::inventory(&desk, manifest, bucket, prefix).await?.source()
            }
            (None, None) => Source::Bucket,
        };
        let now = now();
        let backfill = Backfill::new(
            work::id(mode, now)?,
            selection,
            mode,
            reason.map(str::to_owned),
            desk.caller.clone(),
            now,
        );
        let max_runs_per_hour = args.max_runs_per_hour;
        let backfill = Backfill { source, max_runs_per_hour, ..backfill };
        let mut work = Work::new(&desk, route, backfill, args.bounds, keys).await?;
        let survey = work.look(|counts| say(&report::looking(counts))).await?;
        let estimate = Estimate::new(&desk, args, route, survey.batches()).await;
        let (backfill, bounds) = (work.backfill(), &args.bounds);
        let plan = Plan { backfill, route, survey: &survey, bounds, estimate };
        let mut output = Output::success(if args.ledger.output.is_json() {
            plan.document()
        } else {
            plan.text()
        });
        if survey.counts.refused > 0 {
            output.worsen(Status::Problems);
        }
        if args.dry_run || survey.counts.taken == 0 {
            return Ok(output);
        }
        if !args.ledger.output.is_json() {
            crate::terminal::progress::show(&std::mem::take(&mut output.stdout));
        }
        confirm(args.yes, "send them?")?;
        go(work, Some(survey.counts.taken), output).await
    })?;
    Ok(output)
}

fn selection(args: &StartArgs, route: &Route) -> anyhow::Result<Selection> {
    let (beginning, _) = route.key.literal_ends();
    let prefix = match &args.prefix {
        None => beginning,
        Some(prefix)
            if prefix.starts_with(&beginning) || beginning.starts_with(prefix.as_str()) =>
        {
            prefix.clone()
        }
        Some(prefix) => bail!(
            "route `{}` takes only keys that begin with `{beginning}`, so none that begin with `{}`",
            route.name,
            printable(prefix)
        ),
    };
    let time = |since: Option<crate::args::batches::Since>| since.map(|since| since.time(now()));
    Ok(Selection {
        route: route.name.clone(),
        bucket: route.bucket.clone(),
        prefix,
        since: time(args.since),
        until: time(args.until),
    })
}

/// Sends, and tells what became of it.
async fn go(mut work: Work<'_>, total: Option<u64>, mut output: Output) -> anyhow::Result<Output> {
    let mut progress = report::Progress::new(total, work.backfill().counts.taken);
    say(&format!(
        "{} goes on by itself until it ends; to stop it: landfall backfill pause {0}",
        work.backfill().id
    ));
    let stop = work.send(|counts| progress.tell(counts)).await;
    let id = &work.backfill().id;
    match stop {
        Ok(stop) => {
            output.stderr.push_str(&report::stopped(stop, work.backfill()));
            if stop == Stop::Bound {
                output.worsen(Status::Problems);
            }
            Ok(output)
        }
        Err(error) => Err(error.context(format!(
            "backfill `{id}` stopped; nothing is lost, and nothing is processed twice if you go on: landfall backfill resume {id}"
        ))),
    }
}

fn resume(
    of: &BackfillId,
    bounds: BoundArgs,
    keys: Option<&OsStr>,
    routes: Option<&OsStr>,
    color: Color,
) -> Printed {
    let routes = from_file(routes, color)?;
    let output = aws::wait(async {
        let desk = Desk::new(&of.ledger, routes).await?;
        let Some(backfill) = read(&desk.connection, &of.id).await? else {
            return Ok(missing(&of.id, &desk.connection));
        };
        if let Standing::Done | Standing::Cancelled = backfill.standing {
            let why = format!(
                "backfill `{}` is {}: start another one",
                backfill.id,
                report::standing(backfill.standing)
            );
            return Ok(Output::failure(&why, Status::Problems));
        }
        let route = desk.route(&backfill.selection.route)?;
        anyhow::ensure!(
            route.bucket == backfill.selection.bucket,
            "route `{}` takes objects of bucket `{}` by now: start another backfill",
            route.name,
            route.bucket
        );
        let backfill = Backfill { standing: Standing::Running, ..backfill };
        let keys = keys.map(|file| Keys::read(file, &route.bucket)).transpose()?;
        let work = Work::new(&desk, route, backfill, bounds, keys).await?;
        go(work, None, Output::default()).await
    })?;
    Ok(output)
}

async fn read(connection: &Connection, id: &str) -> anyhow::Result<Option<Backfill>> {
    connection.ledger.backfill(id).await.map_err(|error| connection.explained(error))
}

fn missing(id: &str, connection: &Connection) -> Output {
    let message = format!("there is no backfill `{id}` in {}", connection.place());
    Output::failure(&message, Status::Nothing)
}

/// Pauses or cancels.
fn stand(of: &BackfillId, standing: Standing) -> Printed {
    let output = aws::wait(async {
        let connection = connect(&of.ledger).await?;
        loop {
            let Some(backfill) = read(&connection, &of.id).await? else {
                return Ok(missing(&of.id, &connection));
            };
            let is_over = matches!(backfill.standing, Standing::Done | Standing::Cancelled);
            if is_over && backfill.standing != standing {
                let why = format!(
                    "backfill `{}` is {} already",
                    of.id,
                    report::standing(backfill.standing)
                );
                return Ok(Output::failure(&why, Status::Problems));
            }
            let written =
                connection.ledger.write_backfill(Backfill { standing, ..backfill }, now());
            // If it went on meanwhile, the next attempt meets what it wrote.
            if let Some(written) = written.await.map_err(|error| connection.explained(error))? {
                return Ok(Output::done(&report::told_to_stand(&written)));
            }
        }
    })?;
    Ok(output)
}

fn status(id: Option<&str>, ledger: &LedgerArgs) -> Printed {
    let output = aws::wait(async {
        let connection = connect(ledger).await?;
        let backfills = match id {
            Some(id) => match read(&connection, id).await? {
                Some(backfill) => vec![backfill],
                None => return Ok(missing(id, &connection)),
            },
            None => {
                let all = connection.ledger.backfills().await;
                all.map_err(|error| connection.explained(error))?
            }
        };
        Ok(Output::success(if ledger.output.is_json() {
            report::documents(&backfills)
        } else {
            report::backfills(&backfills, now())
        }))
    })?;
    Ok(output)
}
