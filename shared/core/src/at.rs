//! A place in a tree of nodes, and where its problems go: what checks of values report with.

use crate::problem::{Place, Problem};
use crate::yaml::{Node, Step};

/// A place in the file, and where its problems go.
pub struct At<'a> {
    root: &'a Node,
    path: Vec<Step>,
    pub problems: &'a mut Vec<Problem>,
    /// How many of the problems are of earlier stages.
    read_before: usize,
}

impl<'a> At<'a> {
    /// The root; what is among `problems` already was found by earlier stages.
    pub fn new(root: &'a Node, problems: &'a mut Vec<Problem>) -> Self {
        Self { root, path: Vec::new(), read_before: problems.len(), problems }
    }

    fn below(&mut self, step: Step) -> At<'_> {
        let mut path = self.path.clone();
        path.push(step);
        At { root: self.root, path, problems: self.problems, read_before: self.read_before }
    }

    pub fn key(&mut self, key: &str) -> At<'_> {
        self.below(Step::Key(key.to_owned()))
    }

    pub fn index(&mut self, index: usize) -> At<'_> {
        self.below(Step::Index(index))
    }

    /// The value, or else what is nearest above it.
    pub fn place(&self) -> Place {
        let depths = (0..=self.path.len()).rev();
        let node = depths.filter_map(|depth| self.root.at(&self.path[..depth])).next();
        node.unwrap_or(self.root).place.clone()
    }

    pub fn key_place(&self) -> Place {
        self.root.entry(&self.path).map_or_else(|| self.place(), |entry| entry.key_place.clone())
    }

    pub fn error(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        let problem = Problem::error(&self.place(), message).hint(hint);
        self.problems.push(problem);
    }

    pub fn warning(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        let problem = Problem::warning(&self.key_place(), message).hint(hint);
        self.problems.push(problem);
    }

    /// Reports that `field` is not there, unless an earlier stage reported it: it was there and did
    /// not fit, or a misspelt one was.
    pub fn missing(&mut self, field: &str) {
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
    pub fn text<'t>(
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
