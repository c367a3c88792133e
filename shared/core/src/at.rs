//! The cursor with which checks walk a tree of nodes and report problems at the right place.

use crate::problem::{Place, Problem};
use crate::yaml::{Node, Step};

/// A position in the tree, and the list that problems found there are added to.
pub(crate) struct At<'a> {
    root: &'a Node,
    path: Vec<Step>,
    pub problems: &'a mut Vec<Problem>,
    /// How many entries of `problems` earlier stages reported.
    reported_before: usize,
}

impl<'a> At<'a> {
    /// Starts at the root. Takes everything that is already in `problems` as reported by earlier
    /// stages.
    pub(crate) fn new(root: &'a Node, problems: &'a mut Vec<Problem>) -> Self {
        Self { root, path: Vec::new(), reported_before: problems.len(), problems }
    }

    fn below(&mut self, step: Step) -> At<'_> {
        let mut path = self.path.clone();
        path.push(step);
        At { root: self.root, path, problems: self.problems, reported_before: self.reported_before }
    }

    /// Moves to the value of `key` in this mapping.
    pub(crate) fn key(&mut self, key: &str) -> At<'_> {
        self.below(Step::Key(key.to_owned()))
    }

    /// Moves to the item at `index` of this list.
    pub(crate) fn index(&mut self, index: usize) -> At<'_> {
        self.below(Step::Index(index))
    }

    /// Returns the place of the value or, if the value isn't in the file, of the nearest node above
    /// it.
    pub(crate) fn place(&self) -> Place {
        let depths = (0..=self.path.len()).rev();
        let node = depths.filter_map(|depth| self.root.at(&self.path[..depth])).next();
        node.unwrap_or(self.root).place.clone()
    }

    /// Returns the place of the value's key. Without a key, this is the same as [`At::place`].
    pub(crate) fn key_place(&self) -> Place {
        self.root.entry(&self.path).map_or_else(|| self.place(), |entry| entry.key_place.clone())
    }

    /// Reports an error at the value.
    pub(crate) fn error(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        let problem = Problem::error(&self.place(), message).hint(hint);
        self.problems.push(problem);
    }

    /// Reports a warning at the value's key.
    pub(crate) fn warning(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        let problem = Problem::warning(&self.key_place(), message).hint(hint);
        self.problems.push(problem);
    }

    /// Reports that `field` is missing, unless an earlier stage already reported a field of that
    /// name with a wrong type, or a misspelt one.
    pub(crate) fn missing(&mut self, field: &str) {
        let mut place = self.place();
        let quoted = format!("`{field}`");
        let is_about_it = |problem: &Problem| {
            place.bytes.contains(&problem.place.bytes.start)
                && (problem.message.starts_with(&quoted)
                    || problem.hint.as_deref() == Some(&format!("did you mean {quoted}?")))
        };
        if self.problems[..self.reported_before].iter().any(is_about_it) {
            return;
        }
        // A mapping starts at its first key. With an end, the whole mapping would be underlined.
        place.bytes.end = place.bytes.start;
        let problem = Problem::error(&place, format!("{quoted} is missing"));
        self.problems.push(problem.hint(format!("add `{field}: …`")));
    }

    /// Returns the text of a required field if it passes `check`, and reports a problem otherwise.
    /// If a text doesn't pass, `check` returns the message and the hint.
    pub(crate) fn text<'t>(
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
