//! `landfall check`: reports all problems of routes files.

mod access;
mod deployable;
mod parameters;
mod sarif;

use std::io;

use anyhow::anyhow;
use landfall_core::batch::ClaimMode;
use landfall_core::problem::Problem;
use landfall_core::routes::{Action, Reconcile, Route, Routes};

use self::sarif::Sarif;
use crate::args::{CheckArgs, Color, Format};
use crate::input;
use crate::state::claim_mode;
use crate::terminal::output::{Output, Printed, Status};
use crate::terminal::phrases::counted;
use crate::terminal::{printable, problems};

/// The most routes that a note names. Of more, it says how many there are.
const NAMED: usize = 5;

/// A warning or an error that has no one place in the file.
#[derive(Debug, PartialEq, Eq)]
struct Remark {
    /// A stable identifier of what can't be deployed.
    code: Option<&'static str>,
    is_error: bool,
    text: String,
}

impl Remark {
    fn line(&self) -> String {
        let severity = if self.is_error { "error" } else { "warning" };
        let code = self.code.map(|code| format!("[{code}]")).unwrap_or_default();
        format!("{severity}{code}: {}\n", printable(&self.text))
    }
}

/// Checks each file. A file that cannot be read does not hide the problems of the others.
pub fn run(args: &CheckArgs, color: Color) -> Printed {
    if args.files().filter(|file| input::is_stdin(file)).count() > 1 {
        return Err(anyhow!("standard input (`-`) can be read only once").into());
    }
    let style = problems::Style { format: args.format, color: color.applies_to(&io::stdout()) };
    let mut output = Output::default();
    let mut sarif = Sarif::default();
    for file in args.files() {
        let text = match input::read(file) {
            Ok(text) => text,
            Err(error) => {
                output.error(&error);
                continue;
            }
        };
        let name = input::display_name(file);
        let parsed = Routes::parse_to_deploy(&text);
        output.stdout.push_str(&problems::render(&name, &text, &parsed.problems, style));
        parsed.problems.iter().for_each(|problem| sarif.problem(&name, problem));
        output.stderr.push_str(&format!("{name}: {}\n", problems::summary(&parsed)));
        if let Some(routes) = &parsed.routes {
            output.stderr.push_str(&claim_modes(routes));
            let announced = named(routes.routes.iter().filter(|route| route.announce));
            output.stderr.extend(announced.map(|which| {
                format!("note: announce, {which}: an event says when a batch has closed\n")
            }));
            output.stderr.push_str(&reconciled(routes));
        }
        for note in parsed.routes.iter().flat_map(access::notes) {
            output.stderr.push_str(&format!("note: {note}\n"));
        }
        let too_much =
            parsed.routes.iter().flat_map(|it| deployable::remarks(&text, it, &args.parameters));
        let of_parameters = parameters::remarks(parsed.routes.as_ref(), &args.parameters);
        for remark in too_much.chain(of_parameters) {
            output.stdout.push_str(&remark.line());
            sarif.remark(&name, &remark);
            if remark.is_error || args.deny_warnings {
                output.worsen(Status::Problems);
            }
        }
        let counts = |problem: &Problem| problem.is_error() || args.deny_warnings;
        if parsed.problems.iter().any(counts) {
            output.worsen(Status::Problems);
        }
    }
    if args.format == Format::Sarif {
        output.stdout = sarif.document();
    }
    Ok(output)
}

/// Returns the names of the routes, or how many there are if they are many; `None` if there is none.
fn named<'a>(routes: impl Iterator<Item = &'a Route>) -> Option<String> {
    let names: Vec<String> = routes.map(|route| format!("`{}`", route.name)).collect();
    match names.len() {
        0 => None,
        few if few <= NAMED => Some(names.join(", ")),
        many => Some(counted(many as u64, "route")),
    }
}

/// Returns a line for each action about what S3 never announced that says what it means, and what isn't found.
fn reconciled(routes: &Routes) -> String {
    let lines = [
        (Action::Start, "a function lists the bucket, and puts what is in no batch into one"),
        (Action::Report, "a function lists the bucket, and says what is in no batch"),
    ];
    let lines = lines.into_iter().filter_map(|(action, what)| {
        let is_its =
            |route: &&Route| route.reconcile.as_ref().is_some_and(|it| it.action == action);
        let which = named(routes.routes.iter().filter(is_its))?;
        Some(format!("note: reconcile with action {}, {which}: {what}\n", action.as_str()))
    });
    type Is = fn(&Reconcile) -> bool;
    let limits: [(&str, Is, &str); 2] = [
        (
            "an inventory",
            |it| it.inventory.is_some(),
            "the function reads the newest one, and doesn't list the bucket. It leaves out what was written in the two \
             days before that, so it finds an object later",
        ),
        (
            "prune_by_date",
            |it| it.prune_by_date.is_some(),
            "the function lists only keys with the dates that it looks back to. It misses an object that is written \
             below an older or a later date",
        ),
    ];
    let limits = limits.into_iter().filter_map(|(name, is, what)| {
        let is_its = |route: &&Route| route.reconcile.as_ref().is_some_and(is);
        let which = named(routes.routes.iter().filter(is_its))?;
        Some(format!("note: reconcile with {name}, {which}: {what}\n"))
    });
    lines.chain(limits).collect()
}

/// Returns a line for each claim mode of the routes that says what it means.
fn claim_modes(routes: &Routes) -> String {
    let lines = [ClaimMode::Required, ClaimMode::Optional].into_iter().filter_map(|mode| {
        let is_its = |route: &&Route| route.job.is_some() && route.claim == mode;
        let which = named(routes.routes.iter().filter(is_its))?;
        Some(format!("note: claim {}, {which}: {}\n", mode.as_str(), claim_mode(mode)))
    });
    lines.collect()
}
