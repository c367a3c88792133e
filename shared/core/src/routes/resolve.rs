//! As written → valid. Each check reports and goes on, so that one mistake does not hide another.

mod arguments;
mod batch;
mod routes;
mod targets;

pub use targets::is_external_id;

use super::{Routes, written};
use crate::problem::{Place, Problem};
use crate::yaml::{Node, Step};

/// The valid routes as far as they go; they may be used only if `problems` has no error.
pub fn resolve(written: &written::RoutesFile, root: &Node, problems: &mut Vec<Problem>) -> Routes {
    let mut at = At { root, path: Vec::new(), read_before: problems.len(), problems };
    match written.version {
        Some(1) => {}
        Some(version) => {
            at.key("version").error(format!("version {version} is not known"), "this is version 1");
        }
        None => at.missing("version"),
    }
    let targets = targets::resolve(written, &mut at);
    let routes = routes::resolve(written, &targets, &mut at);
    Routes::new(targets, routes)
}

/// A place in the file, and where its problems go.
struct At<'a> {
    root: &'a Node,
    path: Vec<Step>,
    problems: &'a mut Vec<Problem>,
    /// How many of the problems are of earlier stages.
    read_before: usize,
}

impl At<'_> {
    fn below(&mut self, step: Step) -> At<'_> {
        let mut path = self.path.clone();
        path.push(step);
        At { root: self.root, path, problems: self.problems, read_before: self.read_before }
    }

    fn key(&mut self, key: &str) -> At<'_> {
        self.below(Step::Key(key.to_owned()))
    }

    fn index(&mut self, index: usize) -> At<'_> {
        self.below(Step::Index(index))
    }

    /// The value, or else what is nearest above it.
    fn place(&self) -> Place {
        let depths = (0..=self.path.len()).rev();
        let node = depths.filter_map(|depth| self.root.at(&self.path[..depth])).next();
        node.unwrap_or(self.root).place.clone()
    }

    fn key_place(&self) -> Place {
        self.root.entry(&self.path).map_or_else(|| self.place(), |entry| entry.key_place.clone())
    }

    fn error(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        let problem = Problem::error(&self.place(), message).hint(hint);
        self.problems.push(problem);
    }

    fn warning(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        let problem = Problem::warning(&self.key_place(), message).hint(hint);
        self.problems.push(problem);
    }

    /// Reports that `field` is not there, unless an earlier stage reported it: it was there and did
    /// not fit, or a misspelt one was.
    fn missing(&mut self, field: &str) {
        let mut place = self.place();
        let quoted = format!("`{field}`");
        let is_about_it = |problem: &Problem| {
            place.bytes.contains(&problem.place.bytes.start)
                && (problem.message.starts_with(&quoted)
                    || problem.hint.as_deref() == Some(&format!("did you mean {quoted}?")))
        };
        if self.problems[..self.read_before].iter().any(is_about_it) {
            return;
        }
        // The beginning of a mapping is its first key; all of it would be underlined otherwise.
        place.bytes.end = place.bytes.start;
        let problem = Problem::error(&place, format!("{quoted} is missing"));
        self.problems.push(problem.hint(format!("add `{field}: …`")));
    }

    /// The text of a required field, if it passes `check`, which returns message and hint.
    fn text<'t>(
        &mut self,
        field: &str,
        value: &'t Option<String>,
        check: impl Fn(&str) -> Result<(), (String, String)>,
    ) -> Option<&'t str> {
        let Some(text) = value else {
            self.missing(field);
            return None;
        };
        match check(text) {
            Ok(()) => Some(text),
            Err((message, hint)) => {
                self.key(field).error(message, hint);
                None
            }
        }
    }
}

/// Says of settings that are read and checked, and have no effect yet, that this is so.
fn not_applied_yet(section: &str, settings: &[(&str, bool)], at: &mut At<'_>) {
    for (field, _) in settings.iter().filter(|(_, is_set)| *is_set) {
        at.key(field).warning(
            format!("`{section}.{field}` has no effect in this version"),
            "what one invocation brings is started at once; Glue's own limits hold",
        );
    }
}

const ROUTE_NAME: &str = "a name has 1 to 64 lower-case letters, digits and `-`";

fn is_route_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
