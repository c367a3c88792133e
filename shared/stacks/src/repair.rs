//! What a repair asks CloudFormation for: the template and all parameters as they are, except that the parameter
//! `…Repair` of each resource to repair gets a new value. Pure.

use std::collections::{BTreeMap, BTreeSet};

use landfall_core::moment::Time;
use landfall_core::repair::MISSING;

use crate::Value;
use crate::change_set::{Request, TemplateAt};
use crate::stack::Observed;

/// The stack keeps the tags that it has.
static NO_NEW_TAGS: BTreeMap<String, String> = BTreeMap::new();

/// What a repair may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It makes what it repairs exactly what the stack asks for.
    Exact,
    /// It makes only what is gone. What is there when CloudFormation asks for the repair stays as it is.
    Missing,
}

/// Returns the name of the templates' parameter for the repair of a resource.
pub fn parameter(logical_id: &str) -> String {
    format!("{logical_id}Repair")
}

/// Returns the names of the parameters for the repair of these resources.
pub fn marks<'a>(resources: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    resources.into_iter().map(parameter).collect()
}

/// Returns the marks that the stack has no parameter for, because it comes from an earlier version.
pub fn unknown(marks: &BTreeSet<String>, stack: &Observed) -> Vec<String> {
    marks.iter().filter(|name| !stack.parameters.contains_key(*name)).cloned().collect()
}

/// Returns the parameters of a repair: the marks get the time of the repair, and all others stay as they are.
pub fn parameters(
    stack: &Observed,
    marks: &BTreeSet<String>,
    mode: Mode,
    now: Time,
) -> BTreeMap<String, Value> {
    let value = |name: &String| match marks.contains(name) {
        true => Value::Text(stamp(mode, now)),
        false => Value::Previous,
    };
    stack.parameters.keys().map(|name| (name.clone(), value(name))).collect()
}

/// Returns the request for the change set of a repair, which keeps the stack's template and tags.
pub fn request<'a>(stack: &'a str, parameters: &'a BTreeMap<String, Value>) -> Request<'a> {
    Request {
        stack,
        template: TemplateAt::Previous,
        parameters,
        tags: &NO_NEW_TAGS,
        is_update: true,
        is_new: false,
    }
}

/// Returns a time in letters and digits, which is all that the parameters accept: `20260131T120000Z`. The provisioner
/// knows by its end that it is to make only what is missing.
fn stamp(mode: Mode, time: Time) -> String {
    let stamp = Time(time.seconds() * 1000).to_string().replace(['-', ':'], "");
    match mode {
        Mode::Exact => stamp,
        Mode::Missing => stamp + MISSING,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_repair_is_one_that_the_templates_and_the_provisioner_accept() {
        let time = Time::parse("2026-01-31T12:00:00.250Z").expect("a time");
        assert_eq!(stamp(Mode::Exact, time), "20260131T120000Z");
        assert_eq!(stamp(Mode::Missing, time), "20260131T120000Zmissing");
    }

    #[test]
    fn a_repair_gives_only_its_marks_new_values() {
        let value = |name: &str| (name.to_owned(), String::new());
        let names = ["ExternalId", "JobRoleRepair", "ReaderRoleRepair"];
        let stack = Observed { parameters: names.map(value).into(), ..Observed::default() };
        let marks = marks(["ReaderRole"]);
        let stamped = Value::Text("19700101T000001Z".to_owned());
        let expected = [
            ("ExternalId".to_owned(), Value::Previous),
            ("JobRoleRepair".to_owned(), Value::Previous),
            ("ReaderRoleRepair".to_owned(), stamped),
        ];
        assert_eq!(parameters(&stack, &marks, Mode::Exact, Time(1_500)), BTreeMap::from(expected));
        assert_eq!(unknown(&marks, &stack), Vec::<String>::new());
        assert_eq!(unknown(&marks, &Observed::default()), ["ReaderRoleRepair"]);
    }
}
