//! `landfall policies`: what the provisioner would write to IAM.

use landfall_core::policy::Document;
use serde::Serialize;
use serde_json::Value;

use crate::args::Color;
use crate::args::roles::{PoliciesArgs, RolesFormat};
use crate::desired::{self, Composed, Desired};
use crate::terminal::output::{self, Output, Printed, Status};
use crate::terminal::phrases::quoted;
use crate::terminal::printable;

/// Prints the roles; one that cannot be made does not hide the others.
pub fn run(args: &PoliciesArgs, color: Color) -> Printed {
    let composed = desired::compose(&args.roles, args.account, color)?;
    let mut output = Output::success(match args.roles.format {
        RolesFormat::Text => text(&composed),
        RolesFormat::Json => output::json(&RolesDocument::from(&composed)),
    });
    for error in &composed.errors {
        output.stderr.push_str(&format!("error: {}\n", printable(error)));
        output.worsen(Status::Problems);
    }
    Ok(output)
}

fn text(composed: &Composed) -> String {
    let mut text = String::new();
    for desired in &composed.roles {
        let Desired { kind, role, notes, .. } = desired;
        text.push_str(&format!("{} {}\n", desired::name(*kind), printable(&role.arn)));
        text.push_str(&format!("  {}\n", place(desired)));
        for note in notes {
            text.push_str(&format!("  note: {}\n", printable(note)));
        }
        if let Some(boundary) = &role.permissions_boundary {
            text.push_str(&format!("  permissions boundary {}\n", printable(boundary)));
        }
        text.push_str(&format!("  trust policy\n{}", indented(&role.trust.document())));
        text.push_str(&format!("  permissions policy\n{}\n", indented(&role.permissions)));
    }
    text + &notes(&composed.notes)
}

/// `in account 222222222222, for target `analytics``.
pub fn place(desired: &Desired) -> String {
    let targets = quoted(&desired.targets);
    format!("in account {}, for target {targets}", desired.account)
}

/// A line each.
pub fn notes(notes: &[String]) -> String {
    notes.iter().map(|note| format!("note: {}\n", printable(note))).collect()
}

fn indented(document: &Document) -> String {
    let json = output::json(document.without_external_ids().value());
    json.lines().map(|line| format!("    {line}\n")).collect()
}

#[derive(Serialize)]
struct RolesDocument<'a> {
    roles: Vec<RoleEntry<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct RoleEntry<'a> {
    kind: &'static str,
    account: &'a str,
    targets: &'a [String],
    arn: &'a str,
    permissions_boundary: Option<&'a str>,
    trust_policy: Value,
    permissions_policy: &'a Value,
    /// What is wider than the routes say.
    notes: &'a [String],
}

impl<'a> From<&'a Composed> for RolesDocument<'a> {
    fn from(composed: &'a Composed) -> Self {
        let roles = composed.roles.iter().map(|desired| RoleEntry {
            kind: desired::kind(desired.kind),
            account: &desired.account,
            targets: &desired.targets,
            arn: &desired.role.arn,
            permissions_boundary: desired.role.permissions_boundary.as_deref(),
            trust_policy: desired.role.trust.document().without_external_ids().value().clone(),
            permissions_policy: desired.role.permissions.value(),
            notes: &desired.notes,
        });
        Self { roles: roles.collect(), notes: &composed.notes }
    }
}
