//! `landfall find`: shows what became of an object, version by version.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::{self, Write};

use landfall_aws::clock::now;
use landfall_aws::ledger::{Found, Ledger, LedgerError};
use landfall_core::batch::{Batch, Manifest, Member, State};
use landfall_core::moment::Time;
use landfall_core::reconcile;
use landfall_core::routes::Routes;
use landfall_core::shell;
use landfall_inspection::{Clients, head};
use serde::Serialize;

use crate::args::Color;
use crate::args::batches::FindArgs;
use crate::input::{self, read_routes};
use crate::ledger::{Connection, connect};
use crate::monitor::Monitor;
use crate::object::{self, Known, Object, ObjectEntry};
use crate::terminal::output::{self, Output, Printed, Status};
use crate::terminal::phrases::{counted, moment, size};
use crate::terminal::printable;
use crate::watch::{self, Look};
use crate::{aws, state, version};

/// The object's versions, newest first.
#[derive(Debug)]
pub struct Versions {
    uri: String,
    pub versions: Vec<Version>,
    /// The number of older versions that `--limit` leaves out.
    pub more: usize,
}

/// One version of the object, as one route took it.
#[derive(Debug)]
pub struct Version {
    pub found: Found,
    /// `None` if the ledger has forgotten the batch, or if there is a problem.
    pub batch: Option<Batch>,
    role: Role,
    /// Why it is processed again, in the words of whoever started the replay.
    reason: Option<String>,
    /// Why something about the version is unknown.
    pub problem: Option<String>,
}

/// What a version is in its batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    Member(Member),
    /// A job run reads another version in its place, one that is or looks newer.
    Replaced(Member),
    /// It is not a member: it marked the members as complete.
    Marker,
    NotKnown,
}

/// Shows the object that `args` name.
pub fn run(args: &FindArgs, color: Color) -> Printed {
    let object = input::object(&args.uri)?;
    let routes = match &args.routes {
        Some(file) => {
            let (text, (routes, _)) = read_routes(file, Routes::parse, color)?;
            Some(object::from_file(file, routes, text)?)
        }
        None => None,
    };
    let output = aws::wait(async {
        let connection = connect(&args.ledger).await?;
        let (watched, warning) = tokio::join!(
            watch::repeat(args.watch, async || {
                shown(&connection, args, object, routes.as_ref()).await
            }),
            version::of_ledger(connection.config(), &args.ledger.table)
        );
        let mut output = watched?;
        output.warn(warning);
        Ok(output)
    })?;
    Ok(output)
}

/// What the ledger has of an object or, if it has nothing, what S3 and the routes say about it.
pub struct Seen {
    pub versions: Versions,
    absent: Option<Object>,
}

/// Looks at the object.
pub async fn see(
    connection: &Connection,
    args: &FindArgs,
    (bucket, key): (&str, &str),
    routes: Option<&Known>,
) -> anyhow::Result<Seen> {
    let versions = look(connection, args, bucket, key).await?;
    let absent = match versions.versions.as_slice() {
        [] => Some(not_known(connection, args, (bucket, key), routes).await),
        [..] => None,
    };
    Ok(Seen { versions, absent })
}

impl Seen {
    /// Returns the JSON document.
    pub fn document(&self) -> String {
        document(&self.versions, self.absent.as_ref())
    }

    /// Says why the ledger doesn't know the object; `None` if it does.
    pub fn absence(&self, args: &FindArgs) -> Option<String> {
        self.absent.as_ref().map(|absent| absent.text(now(), &doctor(args)))
    }

    /// Asks whether the monitor ticks, if a batch waits for it.
    pub async fn monitor(&self, connection: &Connection) -> Monitor {
        let is_due = |it: &Version| it.batch.as_ref().is_some_and(|it| state::is_due(it, now()));
        match self.versions.versions.iter().any(is_due) {
            true => Monitor::look(connection).await,
            false => Monitor::NotKnown,
        }
    }

    /// Returns `true` if there is nothing left to wait for.
    pub fn is_settled(&self) -> bool {
        match &self.absent {
            Some(absent) => !absent.may_arrive(now()),
            // What can't be read may be under way.
            None => self.versions.versions.iter().all(Version::is_settled),
        }
    }
}

async fn shown(
    connection: &Connection,
    args: &FindArgs,
    object: (&str, &str),
    routes: Option<&Known>,
) -> anyhow::Result<Look> {
    let seen = see(connection, args, object, routes).await?;
    let versions = &seen.versions;
    let mut output = Output::default();
    if let Some(absence) = seen.absence(args) {
        let (place, uri) = (connection.place(), printable(&args.uri));
        output.stderr = format!("the ledger ({place}) has no arrival of {uri}\n");
        if !args.ledger.output.is_json() {
            output.stderr.push_str(&absence);
        }
        output.worsen(Status::Nothing);
    }
    for problem in versions.versions.iter().filter_map(|version| version.problem.as_ref()) {
        output.error(&anyhow::anyhow!("{problem}"));
    }
    if args.ledger.output.is_json() {
        output.stdout = seen.document();
    } else if !versions.versions.is_empty() {
        output.stdout = text(versions, now(), &seen.monitor(connection).await);
    }
    Ok(Look { output, is_settled: seen.is_settled() })
}

/// Looks at an object that the ledger doesn't know, and at the deployed routes if the user names none.
async fn not_known(
    connection: &Connection,
    args: &FindArgs,
    (bucket, key): (&str, &str),
    routes: Option<&Known>,
) -> Object {
    let clients = Clients::new(connection.config());
    let routes = async {
        match routes {
            Some(routes) => Ok(routes.clone()),
            None => object::deployed(&clients, object::stack_of(&args.ledger.table)?).await,
        }
    };
    let (head, routes) = tokio::join!(head(&clients, bucket, key), routes);
    Object::new(bucket, key, head, routes)
}

/// Returns the command that finds out where on its way an object is lost.
fn doctor(args: &FindArgs) -> String {
    let mut command = format!("landfall doctor --object {}", shell::word(&args.uri));
    let stack = version::stack_of(&args.ledger.table).filter(|stack| *stack != "landfall");
    let file = args.routes.as_ref().map(|file| file.to_string_lossy());
    let options = [("--routes", file.as_deref()), ("--name-prefix", stack)];
    for (option, value) in options {
        if let Some(value) = value {
            command.push_str(&format!(" {option} {}", shell::word(value)));
        }
    }
    command + &args.ledger.access.options()
}

async fn look(
    connection: &Connection,
    args: &FindArgs,
    bucket: &str,
    key: &str,
) -> anyhow::Result<Versions> {
    let explained = |error| connection.explained(error);
    let mut found = connection.ledger.find(bucket, key).await.map_err(explained)?;
    found.reverse();
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let more = found.len().saturating_sub(limit);
    found.truncate(limit);
    let mut batches = BTreeMap::new();
    let mut versions = Vec::new();
    for found in found {
        let kept: &Kept = match batches.entry(found.batch.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(kept_of(&connection.ledger, &found.batch, key).await),
        };
        let role = kept.members.as_ref().map_or(Role::NotKnown, |members| role(&found, members));
        let problem = kept.problem.clone().map(|error| format!("{:#}", explained(error)));
        let reason = reason(&connection.ledger, &role).await.map_err(explained)?;
        versions.push(Version { found, batch: kept.batch.clone(), role, reason, problem });
    }
    Ok(Versions { uri: args.uri.clone(), versions, more })
}

/// Returns why a version is processed again.
async fn reason(ledger: &Ledger, role: &Role) -> Result<Option<String>, LedgerError> {
    let listing = role.member().filter(|member| member.again).and_then(|it| it.listing.as_ref());
    let Some(id) = listing else { return Ok(None) };
    Ok(ledger.backfill(id).await?.and_then(|replay| replay.reason))
}

/// What the ledger has of a batch, as far as it can be read.
#[derive(Default)]
struct Kept {
    batch: Option<Batch>,
    /// Only the members with one key, which are few however many the batch has.
    members: Option<Vec<Member>>,
    problem: Option<LedgerError>,
}

async fn kept_of(ledger: &Ledger, id: &str, key: &str) -> Kept {
    let batch = match ledger.batch(id).await {
        Ok(Some(batch)) => batch,
        Ok(None) => return Kept::default(),
        Err(error) => return Kept { problem: Some(error), ..Kept::default() },
    };
    match ledger.members(&batch).await {
        Ok(mut members) => {
            members.retain(|member| member.key == key);
            Kept { batch: Some(batch), members: Some(members), problem: None }
        }
        Err(error) => Kept { batch: Some(batch), members: None, problem: Some(error) },
    }
}

/// Returns the role of `found` among the members of its batch that have its key.
fn role(found: &Found, members: &[Member]) -> Role {
    let is_it = |member: &&Member| member.arrival_key(&found.route) == found.arrival_key;
    match members.iter().find(is_it) {
        None => Role::Marker,
        Some(member) if Manifest::of(members.to_vec()).includes(member) => {
            Role::Member(member.clone())
        }
        Some(member) => Role::Replaced(member.clone()),
    }
}

fn text(versions: &Versions, now: Time, monitor: &Monitor) -> String {
    let mut out = format!("{}\n", printable(&versions.uri));
    for version in &versions.versions {
        // Writing to a string cannot fail.
        let _ = write_version(&mut out, version, now, monitor);
    }
    if versions.more > 0 {
        let more = counted(versions.more, "older arrival");
        out.push_str(&format!("\n… and {more}: to see them, raise --limit\n"));
    }
    out
}

fn write_version(out: &mut String, version: &Version, now: Time, monitor: &Monitor) -> fmt::Result {
    let Version { found, batch, role, reason, problem } = version;
    let id = printable(&found.batch);
    write!(out, "\nroute `{}` took it ", printable(&found.route))?;
    writeln!(out, "{}{}", moment(found.recorded_at, now), about(role))?;
    let batch = match (batch, problem) {
        (Some(batch), _) => batch,
        (None, Some(_)) => return writeln!(out, "  into batch {id}, which cannot be read"),
        (None, None) => {
            return writeln!(out, "  into batch {id}, which was done and left the ledger");
        }
    };
    writeln!(out, "  into batch {id}, which {}", state::standing(&batch.state))?;
    if let Some(member) = role.member() {
        write_listing(out, member, reason.as_deref())?;
    }
    match role {
        Role::Replaced(_) => writeln!(
            out,
            "  A newer version arrived in the same batch: job runs read that one in its place."
        )?,
        Role::Marker => writeln!(
            out,
            "  It is the group's marker: it closes the batch, and no job run reads it."
        )?,
        Role::Member(_) | Role::NotKnown => {}
    }
    for sentence in state::in_words(batch, now, monitor) {
        writeln!(out, "  {sentence}")?;
    }
    Ok(())
}

fn write_listing(out: &mut String, member: &Member, reason: Option<&str>) -> fmt::Result {
    let Some(listing) = member.listing.as_deref().map(printable) else { return Ok(()) };
    if let Some(at) = reconcile::pass_of(&listing) {
        return writeln!(out, "  S3 never announced it; found by reconciliation on {at}.");
    }
    if !member.again {
        return writeln!(out, "  S3 hadn't announced it: {listing} found it.");
    }
    let why = reason.map(|reason| format!(" ({})", printable(reason))).unwrap_or_default();
    writeln!(out, "  {listing} has it processed again{why}.")
}

fn about(role: &Role) -> String {
    let Some(member) = role.member() else {
        return String::new();
    };
    let version = member.version_id.iter().map(|id| format!(", version {}", printable(id)));
    version.chain(member.size.map(|bytes| format!(", {}", size(Some(bytes))))).collect()
}

impl Version {
    /// Says what the version is: its ID and its size.
    pub fn about(&self) -> String {
        about(&self.role)
    }

    /// Returns `true` if nothing more happens to the version. A batch that has left the ledger was done.
    fn is_settled(&self) -> bool {
        match &self.batch {
            Some(batch) => state::is_settled(&batch.state),
            None => self.problem.is_none(),
        }
    }
}

impl Role {
    fn member(&self) -> Option<&Member> {
        match self {
            Self::Member(member) | Self::Replaced(member) => Some(member),
            Self::Marker | Self::NotKnown => None,
        }
    }

    fn code(&self) -> Option<&'static str> {
        match self {
            Self::Member(_) => Some("member"),
            Self::Replaced(_) => Some("replaced"),
            Self::Marker => Some("marker"),
            Self::NotKnown => None,
        }
    }
}

#[derive(Serialize)]
struct ArrivalList<'a> {
    uri: &'a str,
    arrivals: Vec<ArrivalEntry<'a>>,
    more: usize,
    /// What S3 and the routes say about an object without arrivals.
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<ObjectEntry<'a>>,
}

#[derive(Serialize)]
struct ArrivalEntry<'a> {
    route: &'a str,
    recorded_at: String,
    version_id: Option<&'a str>,
    size: Option<u64>,
    /// `member`, `replaced` by another version, or `marker`; `null` if that is unknown.
    role: Option<&'static str>,
    batch: &'a str,
    /// `null` if the batch has left the ledger or cannot be read.
    state: Option<&'static str>,
    run_id: Option<&'a str>,
    parked_for: Option<&'static str>,
    /// Why the run failed that the state is about, in the words of Glue or of the job; `null` if none did, or that is unknown.
    run_error: Option<&'a str>,
    /// The backfill or replay that found it; left out if S3 announced it.
    #[serde(skip_serializing_if = "Option::is_none")]
    found_by: Option<&'a str>,
    /// Why it is processed again.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

fn document(versions: &Versions, absent: Option<&Object>) -> String {
    output::json(&ArrivalList {
        uri: &versions.uri,
        arrivals: versions.versions.iter().map(entry).collect(),
        more: versions.more,
        object: absent.map(Object::entry),
    })
}

fn entry(Version { found, batch, role, reason, .. }: &Version) -> ArrivalEntry<'_> {
    let state = batch.as_ref().map(|batch| &batch.state);
    let member = role.member();
    ArrivalEntry {
        route: &found.route,
        recorded_at: found.recorded_at.to_string(),
        version_id: member.and_then(|member| member.version_id.as_deref()),
        size: member.and_then(|member| member.size),
        role: role.code(),
        batch: &found.batch,
        state: state.map(State::name),
        run_id: state.and_then(state::run_id),
        parked_for: state.and_then(state::parked_for),
        run_error: batch.as_ref().and_then(state::failed_run).and_then(|run| run.error.as_deref()),
        found_by: member.and_then(|member| member.listing.as_deref()),
        reason: reason.as_deref(),
    }
}

#[cfg(test)]
mod tests;
