//! `landfall policies`: prints what the provisioner would write to IAM and into buckets' policies, and buckets'
//! notifications for those who put them there by Terraform.

mod terraform;

use landfall_core::policy::Document;
use serde::Serialize;
use serde_json::Value;

use crate::args::Color;
use crate::args::output::OutputFormat;
use crate::args::roles::PoliciesArgs;
use crate::desired::{self, BucketStatements, Composed, DesiredRole};
use crate::terminal::output::{self, Output, Printed, Status};
use crate::terminal::phrases::quoted;
use crate::terminal::printable;

/// Prints the roles. A role that cannot be made does not hide the others.
pub fn run(args: &PoliciesArgs, color: Color) -> Printed {
    if args.terraform_notifications {
        return terraform::notifications(&args.roles, color);
    }
    let composed = desired::compose(&args.roles, args.account, color)?;
    let mut output = Output::success(match args.roles.format {
        OutputFormat::Text => text(&composed),
        OutputFormat::Json => json(&composed),
    });
    for (_, error) in &composed.errors {
        output.fail(error, Status::Problems);
    }
    Ok(output)
}

fn text(composed: &Composed) -> String {
    let mut text = String::new();
    for desired in &composed.roles {
        let DesiredRole { kind, role, notes, .. } = desired;
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
    for BucketStatements { bucket, account, statements } in &composed.access {
        text.push_str(&format!(
            "statements in the policy of bucket {bucket}\n  in account {account}\n"
        ));
        for statement in statements {
            let json = output::json(statement);
            text.extend(json.lines().map(|line| format!("    {line}\n")));
        }
        text.push('\n');
    }
    text + &notes(&composed.notes)
}

/// Returns a role's place: ``in account 222222222222, for target `analytics` ``.
pub fn place(desired: &DesiredRole) -> String {
    let targets = quoted(&desired.targets);
    format!("in account {}, for target {targets}", desired.account)
}

/// Returns the notes, one line each.
pub fn notes(notes: &[String]) -> String {
    notes.iter().map(|note| format!("note: {}\n", printable(note))).collect()
}

fn indented(document: &Document) -> String {
    let json = output::json(document.without_external_ids().value());
    json.lines().map(|line| format!("    {line}\n")).collect()
}

/// The JSON document of `policies` and `diff`.
#[derive(Serialize)]
pub struct RoleList<'a, R> {
    pub roles: Vec<R>,
    /// The statements of buckets' policies. Only `policies` has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket_policies: Option<Vec<BucketEntry<'a>>>,
    pub notes: &'a [String],
}

#[derive(Serialize)]
pub struct BucketEntry<'a> {
    account: &'a str,
    bucket: &'a str,
    statements: &'a [Value],
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
    /// What is wider than the routes require.
    notes: &'a [String],
}

fn json(composed: &Composed) -> String {
    let roles = composed.roles.iter().map(|desired| RoleEntry {
        kind: desired.kind.name(),
        account: &desired.account,
        targets: &desired.targets,
        arn: &desired.role.arn,
        permissions_boundary: desired.role.permissions_boundary.as_deref(),
        trust_policy: desired.role.trust.document().without_external_ids().value().clone(),
        permissions_policy: desired.role.permissions.value(),
        notes: &desired.notes,
    });
    let buckets = composed.access.iter().map(|of| BucketEntry {
        account: &of.account,
        bucket: &of.bucket,
        statements: &of.statements,
    });
    output::json(&RoleList {
        roles: roles.collect(),
        bucket_policies: Some(buckets.collect()),
        notes: &composed.notes,
    })
}
