//! `landfall find`: what became of an object, version by version.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use landfall_aws::clock::now;
use landfall_aws::ledger::{Found, Ledger, LedgerError};
use landfall_core::batch::{Batch, Manifest, Member, State};
use landfall_core::moment::Time;
use serde::Serialize;

use crate::args::batches::FindArgs;
use crate::ledger::{Connection, connect};
use crate::terminal::output::{self, Output, Printed, Status};
use crate::terminal::phrases::{bytes, counted, moment};
use crate::terminal::printable;
use crate::{aws, input, state};

/// All that is known of the object's versions, the newest first.
#[derive(Debug)]
struct Versions {
    uri: String,
    versions: Vec<Version>,
    /// Versions that are not told of.
    more: usize,
}

/// One version of the object, as one route took it.
#[derive(Debug)]
struct Version {
    found: Found,
    /// `None`: the ledger has forgotten it, or there is a problem.
    batch: Option<Batch>,
    role: Role,
    /// Why not all is known.
    problem: Option<String>,
}

/// What it is in its batch.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Role {
    Member(Member),
    /// A newer version, or one that looks so, is read in its place.
    Replaced(Member),
    /// Not among the members: it said that they are complete.
    Marker,
    NotKnown,
}

/// Tells of the object that `args` name.
pub fn run(args: &FindArgs) -> Printed {
    let (bucket, key) = input::object(&args.uri)?;
    let (versions, connection) = aws::wait(async {
        let connection = connect(&args.ledger).await?;
        look(&connection, args, bucket, key).await.map(|versions| (versions, connection))
    })?;
    let mut output = Output::default();
    if versions.versions.is_empty() {
        let place = connection.place();
        let uri = printable(&args.uri);
        output.stderr = format!(
            "{place}, knows nothing of {uri}\n\
             to see whether a route takes it: landfall explain --routes routes.yaml {}\n",
            in_shell(&uri)
        );
        output.worsen(Status::Nothing);
    }
    for problem in versions.versions.iter().filter_map(|version| version.problem.as_ref()) {
        output.error(&anyhow::anyhow!("{problem}"));
    }
    if args.ledger.json {
        output.stdout = document(&versions);
    } else if !versions.versions.is_empty() {
        output.stdout = text(&versions, now());
    }
    Ok(output)
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
    let ids: BTreeSet<String> = found.iter().map(|found| found.batch.clone()).collect();
    let mut kept = BTreeMap::new();
    for id in ids {
        let batch = kept_of(&connection.ledger, &id, key).await;
        kept.insert(id, batch);
    }
    let versions = found.into_iter().map(|found| match kept.get(&found.batch) {
        Some(Kept { batch, members, problem }) => {
            let role = members.as_ref().map_or(Role::NotKnown, |members| role(&found, members));
            let problem = problem.clone().map(|error| format!("{:#}", explained(error)));
            Version { found, batch: batch.clone(), role, problem }
        }
        None => Version { found, batch: None, role: Role::NotKnown, problem: None },
    });
    Ok(Versions { uri: args.uri.clone(), versions: versions.collect(), more })
}

/// What the ledger has of a batch: as much as can be read.
#[derive(Default)]
struct Kept {
    batch: Option<Batch>,
    /// Those of one key: few, however many the batch has.
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

/// What it is among the members of its batch that have its key.
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

/// As an argument of a command, for shells to take it as it is.
fn in_shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn text(versions: &Versions, now: Time) -> String {
    let mut out = format!("{}\n", printable(&versions.uri));
    for version in &versions.versions {
        // Writing to a string cannot fail.
        let _ = write_version(&mut out, version, now);
    }
    if versions.more > 0 {
        let more = counted(versions.more, "older arrival");
        out.push_str(&format!("\n… and {more}: raise --limit\n"));
    }
    out
}

fn write_version(out: &mut String, version: &Version, now: Time) -> fmt::Result {
    let Version { found, batch, role, problem } = version;
    let id = printable(&found.batch);
    write!(out, "\nroute `{}` took it ", printable(&found.route))?;
    writeln!(out, "{}{}", moment(found.recorded_at, now), about(role))?;
    let batch = match (batch, problem) {
        (Some(batch), _) => batch,
        (None, Some(_)) => return writeln!(out, "  into batch {id}, which cannot be read"),
        (None, None) => {
            return writeln!(out, "  into batch {id}, which was done: the ledger has forgotten it");
        }
    };
    writeln!(out, "  into batch {id}, which {}", state::standing(&batch.state))?;
    match role {
        Role::Replaced(_) => writeln!(
            out,
            "  A newer version came into the same batch: runs read that one in its place."
        )?,
        Role::Marker => {
            writeln!(out, "  It is the group's marker: it closes the batch, and no run reads it.")?
        }
        Role::Member(_) | Role::NotKnown => {}
    }
    for sentence in state::in_words(batch, now) {
        writeln!(out, "  {sentence}")?;
    }
    Ok(())
}

fn about(role: &Role) -> String {
    let Some(member) = role.member() else {
        return String::new();
    };
    let version = member.version_id.iter().map(|id| format!(", version {}", printable(id)));
    version.chain(member.size.map(|size| format!(", {}", bytes(size)))).collect()
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
}

#[derive(Serialize)]
struct ArrivalEntry<'a> {
    route: &'a str,
    recorded_at: String,
    version_id: Option<&'a str>,
    size: Option<u64>,
    /// `member`, `replaced` by another version, or `marker`; `null` if that is not known.
    role: Option<&'static str>,
    batch: &'a str,
    /// `null` for a batch that is forgotten, or cannot be read.
    state: Option<&'static str>,
    run_id: Option<&'a str>,
    parked_for: Option<&'static str>,
}

fn document(versions: &Versions) -> String {
    output::json(&ArrivalList {
        uri: &versions.uri,
        arrivals: versions.versions.iter().map(entry).collect(),
        more: versions.more,
    })
}

fn entry(Version { found, batch, role, .. }: &Version) -> ArrivalEntry<'_> {
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
    }
}

#[cfg(test)]
mod tests;
