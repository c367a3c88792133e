//! Composes the roles that the stacks of both templates request, as the templates do.
//!
//! This module contains only what the templates say. The core decides what follows from the properties, as it
//! does for the provisioner. The module calls no AWS, and reads no external ID.

pub mod stacks;

use std::collections::BTreeSet;

use anyhow::bail;
use landfall_core::bucket_access;
use landfall_core::roles::{Home, Kind, Owner, Role, RoleSpec, SpecError};
use landfall_core::routes::{ExternalId, Routes};
use landfall_core::yaml;
use serde_json::{Value, json};

use self::stacks::Stack;
use crate::args::Color;
use crate::args::roles::{RolesArgs, WhichAccount, account_of_policy};
use crate::input::read_routes;
use crate::terminal::output::Output;
use crate::terminal::phrases::quoted;

/// A role that a stack requests.
#[derive(Debug)]
pub struct DesiredRole {
    pub kind: Kind,
    pub account: String,
    /// The targets that the role serves.
    pub targets: Vec<String>,
    /// A region of the role's partition.
    pub region: String,
    /// The role, with placeholders for its owner and its external IDs, which are unknown here.
    pub role: Role,
    /// The sources of the external IDs that the role requires; empty if it requires none.
    pub external_ids: Vec<Option<ExternalId>>,
    /// What is wider than the routes require.
    pub notes: Vec<String>,
}

/// The roles that could be composed, and why others could not.
#[derive(Debug, Default)]
pub struct Composed {
    pub roles: Vec<DesiredRole>,
    /// Why other roles cannot be made, one line each, after a stable code.
    pub errors: Vec<(&'static str, String)>,
    /// The statements that buckets' policies get.
    pub access: Vec<BucketStatements>,
    /// Notes that concern all roles.
    pub notes: Vec<String>,
}

/// What the policy of a bucket gets for routes with `access: bucket_policy`.
#[derive(Debug)]
pub struct BucketStatements {
    pub bucket: String,
    /// The account of the bucket.
    pub account: String,
    pub statements: Vec<Value>,
}

/// Stands in Sids for the token of the stack, which is unknown here.
const NO_TOKEN: &str = "0000000000000000";

/// Composes the roles of `account`, or of both accounts.
///
/// # Errors
/// Returns the output to print, if the routes file or an option has errors.
pub fn compose(
    args: &RolesArgs,
    account: Option<WhichAccount>,
    color: Color,
) -> Result<Composed, Output> {
    let (text, (routes, _)) = read_routes(&args.routes, Routes::parse, color)?;
    Ok(compose_from(&text, &routes, args, account)?)
}

/// Composes the roles as [`compose`] does, from `routes` that were read from `text`.
///
/// # Errors
/// Fails if an option has errors.
pub fn compose_from(
    text: &str,
    routes: &Routes,
    args: &RolesArgs,
    account: Option<WhichAccount>,
) -> anyhow::Result<Composed> {
    let file = included(text);
    let stacks = stacks::find(routes, args, account)?;
    boundaries_belong(&stacks, args)?;
    let mut composed = Composed::default();
    for (kind, stack) in requested(&stacks, account) {
        match desired(kind, stack, &file, args)? {
            Ok(desired) => composed.roles.push(desired),
            Err(error) => {
                let lines = lines(kind, stack, &error).into_iter();
                composed.errors.extend(lines.map(|line| (error.code(), line)));
            }
        }
    }
    composed.notes = notes(&composed.roles, &stacks, args);
    if account != Some(WhichAccount::Analytics) {
        access(&mut composed, &stacks, &file, args);
    }
    Ok(composed)
}

/// Returns the routes file as `AWS::Include` inserts it.
pub fn included(text: &str) -> Value {
    yaml::read(text).0.map_or(Value::Null, |node| node.to_value())
}

/// Composes the statements of buckets' policies, for the job roles of the stacks or those that were given.
fn access(composed: &mut Composed, stacks: &[Stack], file: &Value, args: &RolesArgs) {
    let Some(first) = stacks.first() else { return };
    let job_role = |stack: &Stack| {
        let Stack { partition, account, name_prefix, .. } = stack;
        format!(
            "arn:{partition}:iam::{account}:role{}{name_prefix}-job",
            args.provisioned_role_path
        )
    };
    let roles = match args.bucket_policy_job_role_arn.is_empty() {
        true => stacks.iter().map(job_role).collect(),
        false => args.bucket_policy_job_role_arn.clone(),
    };
    let home = Home {
        partition: first.partition.clone(),
        account: first.data_account.clone(),
        region: first.region.clone(),
    };
    match bucket_access::Spec::read(&json!({ "Routes": file, "JobRoleArns": roles }), &home) {
        Err(problems) => {
            let line = |problem: &String| {
                ("properties_invalid", format!("statements of bucket policies: {problem}"))
            };
            composed.errors.extend(problems.iter().map(line));
        }
        Ok(spec) => {
            let of_bucket =
                |(bucket, desired): (String, bucket_access::Desired)| BucketStatements {
                    bucket,
                    account: home.account.clone(),
                    statements: desired.statements,
                };
            composed.access = spec.all_desired(NO_TOKEN).into_iter().map(of_bucket).collect();
            if !composed.access.is_empty() {
                composed
                    .notes
                    .extend(spec.notes.iter().map(|note| format!("bucket policies: {note}")));
                composed.notes.push(format!(
                    "`{NO_TOKEN}` in Sids stands for a token of the stack, which is not known here"
                ));
            }
        }
    }
}

/// Returns the kinds of the requested roles, each with the analytics account's stack that it is for.
fn requested(stacks: &[Stack], account: Option<WhichAccount>) -> Vec<(Kind, &Stack)> {
    let of = |kinds: &'static [Kind]| {
        stacks.iter().flat_map(move |stack| kinds.iter().map(move |kind| (*kind, stack)))
    };
    let mut requested = Vec::new();
    if account != Some(WhichAccount::Data) {
        requested.extend(of(&[Kind::Starter, Kind::Job]));
    }
    if account != Some(WhichAccount::Analytics) {
        requested.extend(of(&[Kind::Reader]));
    }
    requested
}

/// Returns the properties of the template's resource.
fn properties(kind: Kind, stack: &Stack, file: &Value, args: &RolesArgs) -> Value {
    let Stack { partition, account, region, name_prefix, data_account, data_name_prefix, .. } =
        stack;
    let (functions, path) = (&args.role_path, &args.provisioned_role_path);
    let data_region = args.data_region.as_ref().unwrap_or(region);
    let manifests_bucket = format!("{data_name_prefix}-manifests-{data_account}-{data_region}");
    let of_function = |name: &str| {
        format!("arn:{partition}:iam::{data_account}:role{functions}{data_name_prefix}-{name}")
    };
    match kind {
        Kind::Starter => json!({
            "Version": "1",
            "RoleName": format!("{name_prefix}-starter"),
            "Path": path,
            "Routes": file,
            "TrustedRoleArns": [of_function("trigger"), of_function("monitor")],
            "ExternalId": "not-known-here",
        }),
        Kind::Job => json!({
            "Version": "1",
            "RoleName": format!("{name_prefix}-job"),
            "Path": path,
            "ReaderRoleArns":
                [format!("arn:{partition}:iam::{data_account}:role{path}{data_name_prefix}-reader-{account}")],
            "Routes": file,
            "DataAccountId": data_account,
            "ManifestsBucketName": manifests_bucket,
        }),
        Kind::Reader => {
            let region = data_region;
            let table = format!("table/{data_name_prefix}-claims");
            let mut trusted =
                vec![format!("arn:{partition}:iam::{account}:role{path}{name_prefix}-job")];
            trusted.extend(args.other_job_role_arn.iter().cloned());
            let mut properties = json!({
                "Version": "1",
                "RoleName": format!("{data_name_prefix}-reader-{account}"),
                "Path": path,
                "Routes": file,
                "TrustedRoleArns": trusted,
                "ManifestsBucketName": manifests_bucket,
                "ClaimsTableArn": format!("arn:{partition}:dynamodb:{region}:{data_account}:{table}"),
                "AdmitsFormerBatches": args.admits_former_batches.to_string(),
            });
            if !args.kms_key_arn.is_empty() {
                properties["KmsKeyArns"] = json!(args.kms_key_arn);
            }
            properties
        }
    }
}

fn desired(
    kind: Kind,
    stack: &Stack,
    file: &Value,
    args: &RolesArgs,
) -> anyhow::Result<Result<DesiredRole, SpecError>> {
    let account = match kind {
        Kind::Reader => &stack.data_account,
        Kind::Starter | Kind::Job => &stack.account,
    };
    let mut properties = properties(kind, stack, file, args);
    properties["PermissionsBoundary"] = json!(boundary(stack, account, args)?);
    let home = Home {
        partition: stack.partition.clone(),
        account: account.clone(),
        region: stack.region.clone(),
    };
    Ok(RoleSpec::read(kind, &properties, &home).and_then(|spec| {
        let role = spec.role(&no_owner(), &BTreeSet::new())?;
        Ok(DesiredRole {
            notes: [spec.notes.as_slice(), &role.notes].concat(),
            kind,
            account: account.clone(),
            targets: stack.targets.clone(),
            region: stack.region.clone(),
            role,
            external_ids: match kind {
                Kind::Starter => stack.external_ids.clone(),
                Kind::Reader | Kind::Job => Vec::new(),
            },
        })
    }))
}

/// Stands for the resource of the stack, which is unknown here.
fn no_owner() -> Owner {
    let [stack_id, logical_id, physical_id] = [""; 3].map(str::to_owned);
    Owner { stack_id, logical_id, physical_id }
}

fn boundary(stack: &Stack, account: &str, args: &RolesArgs) -> anyhow::Result<String> {
    let is_its = |arn: &&String| {
        account_of_policy(arn).is_some_and(|owner| owner == "aws" || owner == account)
    };
    let given: Vec<&String> = args.permissions_boundary.iter().filter(is_its).collect();
    match given[..] {
        [] => Ok(format!(
            "arn:{}:iam::{account}:policy/{}-boundary",
            stack.partition, args.provisioner_name_prefix
        )),
        [arn] => Ok(arn.clone()),
        _ => bail!(
            "there are several permissions boundaries for account `{account}`, but a role has only one"
        ),
    }
}

/// Refuses a permissions boundary of an account without roles, which is a mistake because it limits nothing.
fn boundaries_belong(stacks: &[Stack], args: &RolesArgs) -> anyhow::Result<()> {
    for arn in &args.permissions_boundary {
        let account = account_of_policy(arn).unwrap_or_default();
        let is_known =
            |stack: &Stack| [&stack.account, &stack.data_account].contains(&&account.to_owned());
        if account != "aws" && !stacks.iter().any(is_known) {
            bail!(
                "permissions boundary `{arn}` is in account `{account}`, which has none of the roles"
            );
        }
    }
    Ok(())
}

fn lines(kind: Kind, stack: &Stack, error: &SpecError) -> Vec<String> {
    let of = format!("{} of target {}", name(kind), quoted(&stack.targets));
    match error {
        SpecError::Properties(problems) => {
            problems.iter().map(|problem| format!("{of}: {problem}")).collect()
        }
        error => vec![format!("{of}: {error}")],
    }
}

fn notes(roles: &[DesiredRole], stacks: &[Stack], args: &RolesArgs) -> Vec<String> {
    let mut notes = Vec::new();
    if roles.iter().any(|desired| !desired.external_ids.is_empty()) {
        notes.push("`…` stands for external IDs, which are never printed".to_owned());
    }
    let readers = roles.iter().filter(|desired| desired.kind == Kind::Reader);
    if readers.clone().next().is_some() && args.kms_key_arn.is_empty() {
        notes.push(
            "no KMS key is given (--kms-key-arn): the reader role decrypts nothing".to_owned(),
        );
    }
    let accounts: BTreeSet<&str> = stacks.iter().map(|stack| stack.account.as_str()).collect();
    if readers.count() > accounts.len() {
        let targets: Vec<String> = stacks.iter().map(|stack| quoted(&stack.targets)).collect();
        notes.push(format!(
            "the data account's stack serves one stack of an analytics account, here are {} ({}): each needs \
             one with a NamePrefix of its own; ask for them with --target and --data-name-prefix",
            stacks.len(),
            targets.join("; ")
        ));
    }
    notes
}

/// Returns the name of a kind of role for people.
pub fn name(role: Kind) -> String {
    format!("{} role", role.name())
}
