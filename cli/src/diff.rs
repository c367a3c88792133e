//! `landfall diff`: compares the desired roles with the roles in IAM.
//!
//! The core decides what differs, as it does for the provisioner. This command only reads.

pub mod compare;

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use landfall_core::arn::RoleArn;
use landfall_core::roles::Observed;
use landfall_provisioning::iam;
use serde::Serialize;

use self::compare::{Comparison, ExternalIds, compare};
use crate::args::Color;
use crate::args::output::OutputFormat;
use crate::args::roles::DiffArgs;
use crate::desired::{self, Composed, DesiredRole};
use crate::terminal::output::{self, Output, Printed, Status};
use crate::terminal::phrases::quoted;
use crate::terminal::printable;
use crate::{aws, policies};

/// A desired role, and how it compares with IAM if the role could be read.
type ComparedRole<'a> = (&'a DesiredRole, anyhow::Result<Comparison>);

/// Compares each role. A role that cannot be read counts neither as equal nor as different.
pub fn run(args: &DiffArgs, color: Color) -> Printed {
    let composed = desired::compose(&args.roles, Some(args.account), color);
    let mut composed = composed.map_err(|mut output| {
        output.worsen(Status::Unusable);
        output
    })?;
    let buckets: Vec<&String> = composed.access.iter().map(|of| &of.bucket).collect();
    if !buckets.is_empty() {
        let note = format!(
            "the policies of buckets {} are not compared: `landfall policies` prints what they should have",
            quoted(buckets)
        );
        composed.notes.push(note);
    }
    let compared = compare_all(&composed.roles, args.profile.as_deref())?;
    let mut output = Output::success(match args.roles.format {
        OutputFormat::Text => text(&compared, &composed),
        OutputFormat::Json => json(&compared, &composed),
    });
    for (_, comparison) in &compared {
        match comparison {
            Ok(comparison) if comparison.differences.is_empty() => {}
            Ok(_) => output.worsen(Status::Problems),
            Err(error) => output.error(error),
        }
    }
    for (_, error) in &composed.errors {
        output.fail(error, Status::Unusable);
    }
    Ok(output)
}

fn compare_all<'r>(
    roles: &'r [DesiredRole],
    profile: Option<&str>,
) -> anyhow::Result<Vec<ComparedRole<'r>>> {
    let accounts: BTreeSet<&String> = roles.iter().map(|desired| &desired.account).collect();
    if accounts.len() > 1 {
        bail!(
            "the roles are in accounts {}, but the credentials are for one account: choose with --target",
            quoted(accounts)
        );
    }
    let mut arns = BTreeSet::new();
    if let Some(twice) = roles.iter().find(|desired| !arns.insert(&desired.role.arn)) {
        bail!("several stacks would create role `{}`: choose one with --target", twice.role.arn);
    }
    let Some(region) = roles.first().map(|desired| desired.region.clone()) else {
        return Ok(Vec::new());
    };
    let observed = aws::wait(observe(roles, profile, &region))?;
    // IAM shows its account in the ARNs of existing roles. A missing role says nothing about the account.
    let is_account_known = observed.iter().any(|observed| matches!(observed, Ok(Some(_))));
    let compare = |(desired, observed): (_, anyhow::Result<Option<Observed>>)| {
        let comparison = observed.map(|observed| {
            let ids = ExternalIds::of(desired, |name| std::env::var(name).ok());
            compare(desired, observed.as_ref(), &ids, is_account_known)
        });
        (desired, comparison)
    };
    Ok(roles.iter().zip(observed).map(compare).collect())
}

/// Reads each role from IAM.
async fn observe(
    roles: &[DesiredRole],
    profile: Option<&str>,
    region: &str,
) -> anyhow::Result<Vec<anyhow::Result<Option<Observed>>>> {
    let config = aws::of_profile(profile, Some(region)).await?;
    let client = aws_sdk_iam::Client::new(&config);
    let mut all = Vec::new();
    for desired in roles {
        let observed = iam::observe(&client, &desired.role.name).await;
        if let Ok(Some(observed)) = &observed {
            is_of_account(observed, &desired.account)?;
        }
        let of = || format!("failed to read the {}", desired::name(desired.kind));
        all.push(observed.with_context(of));
    }
    Ok(all)
}

fn is_of_account(observed: &Observed, account: &str) -> anyhow::Result<()> {
    let theirs = RoleArn::parse(&observed.arn).map(|arn| arn.account);
    if theirs != Some(account) {
        bail!(
            "the credentials are for another account: they found role `{}`, but the roles are in account `{account}`",
            observed.arn
        );
    }
    Ok(())
}

fn text(compared: &[ComparedRole<'_>], composed: &Composed) -> String {
    let mut text = String::new();
    for (desired, comparison) in compared {
        let arn = printable(&desired.role.arn);
        text.push_str(&format!("{} {arn}\n", desired::name(desired.kind)));
        text.push_str(&format!("  {}\n", policies::place(desired)));
        match comparison {
            Ok(Comparison { differences, notes }) => {
                if differences.is_empty() {
                    text.push_str("  no difference\n");
                }
                for difference in differences {
                    text.push_str(&format!("  {}\n", printable(difference)));
                }
                for note in notes {
                    text.push_str(&format!("  note: {}\n", printable(note)));
                }
            }
            Err(_) => text.push_str("  unknown\n"),
        }
        text.push('\n');
    }
    text + &policies::notes(&composed.notes)
}

#[derive(Serialize)]
struct RoleEntry<'a> {
    kind: &'static str,
    account: &'a str,
    targets: &'a [String],
    arn: &'a str,
    /// `null` if the role could not be read.
    differences: Option<&'a [String]>,
    notes: &'a [String],
}

fn json(compared: &[ComparedRole<'_>], composed: &Composed) -> String {
    let roles = compared.iter().map(|(desired, comparison)| {
        let comparison = comparison.as_ref().ok();
        RoleEntry {
            kind: desired.kind.name(),
            account: &desired.account,
            targets: &desired.targets,
            arn: &desired.role.arn,
            differences: comparison.map(|comparison| comparison.differences.as_slice()),
            notes: comparison.map(|comparison| comparison.notes.as_slice()).unwrap_or_default(),
        }
    });
    output::json(&policies::RoleList {
        roles: roles.collect(),
        bucket_policies: None,
        notes: &composed.notes,
    })
}
