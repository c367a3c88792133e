//! The calls that look at the chain, each with the permission that it needs: a table.
//!
//! The policy for those who look, the hint about a permission that is missing, and the documentation follow from it.

mod deploying;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

pub use self::deploying::deploying;
use super::link::Side;
use crate::policy::{Statement, literal};

/// A call that looks.
struct Call {
    /// The operation in AWS's API.
    operation: &'static str,
    /// The permission that it needs.
    permission: &'static str,
    /// The accounts that it is made in.
    sides: &'static [Side],
    /// What it is about.
    about: About,
}

/// What a call is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    /// The landing buckets.
    Buckets,
    /// The routes file of the stack, where `landfall deploy` uploads it.
    Routes,
    /// The scripts of the jobs. Reading their heads needs the permission to read them.
    Scripts,
    /// Settings of a service, never data.
    Settings,
}

/// Where `landfall deploy` uploads the routes, unless you name another bucket.
const ROUTES: &str = "landfall-artifacts-*/*/routes.yaml";

const DATA: &[Side] = &[Side::Data];
const ANALYTICS: &[Side] = &[Side::Analytics];
const BOTH: &[Side] = &[Side::Data, Side::Analytics];

const fn call(
    operation: &'static str,
    permission: &'static str,
    sides: &'static [Side],
    about: About,
) -> Call {
    Call { operation, permission, sides, about }
}

/// The calls. `GetCallerIdentity` isn't among them, because nobody needs a permission for it.
const CALLS: [Call; 36] = [
    call("DescribeStacks", "cloudformation:DescribeStacks", BOTH, About::Settings),
    call("ListStackResources", "cloudformation:ListStackResources", BOTH, About::Settings),
    call("GetTemplate", "cloudformation:GetTemplate", BOTH, About::Settings),
    call("HeadBucket", "s3:ListBucket", DATA, About::Buckets),
    call("GetBucketVersioning", "s3:GetBucketVersioning", DATA, About::Buckets),
    call("GetBucketOwnershipControls", "s3:GetBucketOwnershipControls", DATA, About::Buckets),
    call("GetPublicAccessBlock", "s3:GetBucketPublicAccessBlock", DATA, About::Buckets),
    call("GetBucketPolicy", "s3:GetBucketPolicy", DATA, About::Buckets),
    call("GetBucketEncryption", "s3:GetEncryptionConfiguration", DATA, About::Settings),
    call("GetBucketNotificationConfiguration", "s3:GetBucketNotification", DATA, About::Buckets),
    call("DescribeKey", "kms:DescribeKey", DATA, About::Settings),
    call("GetKeyPolicy", "kms:GetKeyPolicy", DATA, About::Settings),
    call("GetQueueAttributes", "sqs:GetQueueAttributes", DATA, About::Settings),
    call("GetFunctionConfiguration", "lambda:GetFunctionConfiguration", DATA, About::Settings),
    call("GetFunctionConcurrency", "lambda:GetFunctionConcurrency", DATA, About::Settings),
    call("ListEventSourceMappings", "lambda:ListEventSourceMappings", DATA, About::Settings),
    call("DescribeTable", "dynamodb:DescribeTable", DATA, About::Settings),
    call("DescribeTimeToLive", "dynamodb:DescribeTimeToLive", DATA, About::Settings),
    call("DescribeRule", "events:DescribeRule", BOTH, About::Settings),
    call("ListTargetsByRule", "events:ListTargetsByRule", BOTH, About::Settings),
    call("GetRole", "iam:GetRole", BOTH, About::Settings),
    call("ListRolePolicies", "iam:ListRolePolicies", BOTH, About::Settings),
    call("GetRolePolicy", "iam:GetRolePolicy", BOTH, About::Settings),
    call("ListAttachedRolePolicies", "iam:ListAttachedRolePolicies", BOTH, About::Settings),
    call("GetPolicy", "iam:GetPolicy", BOTH, About::Settings),
    call("GetPolicyVersion", "iam:GetPolicyVersion", BOTH, About::Settings),
    call("SimulatePrincipalPolicy", "iam:SimulatePrincipalPolicy", BOTH, About::Settings),
    call("GetJob", "glue:GetJob", ANALYTICS, About::Settings),
    call("GetJobRuns", "glue:GetJobRuns", ANALYTICS, About::Settings),
    call("GetConnection", "glue:GetConnection", ANALYTICS, About::Settings),
    call("DescribeSubnets", "ec2:DescribeSubnets", ANALYTICS, About::Settings),
    call("DescribeRouteTables", "ec2:DescribeRouteTables", ANALYTICS, About::Settings),
    call("DescribeVpcEndpoints", "ec2:DescribeVpcEndpoints", ANALYTICS, About::Settings),
    call("DescribeSecurityGroups", "ec2:DescribeSecurityGroups", ANALYTICS, About::Settings),
    call("GetObject", "s3:GetObject", DATA, About::Routes),
    call("HeadObject", "s3:GetObject", ANALYTICS, About::Scripts),
];

/// The calls that only the auditor makes. `landfall doctor` needs no permission for them.
const OF_AUDITOR: [Call; 3] = [
    call("Query", "dynamodb:Query", DATA, About::Settings),
    call("ListAnalyzers", "access-analyzer:ListAnalyzers", BOTH, About::Settings),
    call("ListFindings", "access-analyzer:ListFindings", BOTH, About::Settings),
];

/// The calls that only a backfill makes.
const OF_BACKFILL: [Call; 2] = [
    call("ListObjectsV2", "s3:ListBucket", DATA, About::Buckets),
    call("ListObjectVersions", "s3:ListBucketVersions", DATA, About::Buckets),
];

/// Returns the permission that a call needs, such as `s3:GetBucketNotification` for
/// `GetBucketNotificationConfiguration`. Returns `None` if no look makes that call.
pub fn permission(operation: &str) -> Option<&'static str> {
    let mut all = CALLS.iter().chain(&OF_AUDITOR).chain(&OF_BACKFILL);
    all.find(|call| call.operation == operation).map(|call| call.permission)
}

/// Returns the permissions that it takes to look at one account's half of the chain.
pub fn needed(side: Side) -> BTreeSet<&'static str> {
    let its = CALLS.iter().filter(|call| call.sides.contains(&side));
    its.map(|call| call.permission).collect()
}

/// Returns the least policy that lets somebody look at one account's half of the chain.
///
/// `buckets` are the names of the landing buckets; `*` stands for all buckets. `scripts` are the `s3://` URIs of the
/// jobs' scripts: it takes the permission to read a script to see whether it is there. Without them, their statement is
/// left out.
pub fn permissions(side: Side, buckets: &[&str], scripts: &[&str]) -> Vec<Statement> {
    let statement = |about: About, sid: &str, resources: Vec<String>| {
        let calls = CALLS.iter().filter(|call| call.about == about && call.sides.contains(&side));
        let actions: Vec<&str> = calls.map(|call| call.permission).collect();
        let is_needed = !actions.is_empty() && !resources.is_empty();
        is_needed.then(|| Statement::allow(sid, actions).on(resources))
    };
    // The partition may be any.
    let arn = |name: &str| format!("arn:*:s3:::{name}");
    let buckets = buckets.iter().map(|bucket| arn(bucket)).collect();
    let scripts = scripts.iter().filter_map(|uri| uri.strip_prefix("s3://"));
    let scripts = scripts.map(|script| arn(&literal(script))).collect();
    let statements = [
        statement(About::Settings, "LookAtSettings", vec!["*".to_owned()]),
        statement(About::Buckets, "LookAtBuckets", buckets),
        statement(About::Routes, "ReadTheDeployedRoutes", vec![arn(ROUTES)]),
        statement(About::Scripts, "SeeWhetherScriptsAreThere", scripts),
    ];
    statements.into_iter().flatten().collect()
}

/// Returns the part of the documentation that says which permissions are needed.
pub(super) fn section() -> String {
    let mut section = String::from(
        "\n## The permissions\n\n\
         These are all the permissions that it takes to look. `landfall doctor --print-policy data` and `--print-policy \
         analytics` print them as a policy. Without some of them, the doctor says what it couldn't see.\n\n\
         | permission | account | calls |\n|---|---|---|\n",
    );
    let mut rows: BTreeMap<(&str, Vec<&str>), Vec<&str>> = BTreeMap::new();
    for Call { operation, permission, sides, .. } in &CALLS {
        let sides = sides.iter().map(|side| side.name()).collect();
        rows.entry((permission, sides)).or_default().push(operation);
    }
    for ((permission, sides), operations) in rows {
        let operations: Vec<String> = operations.iter().map(|it| format!("`{it}`")).collect();
        // Writing to a string can't fail.
        let _ = writeln!(
            section,
            "| `{permission}` | {} | {} |",
            sides.join(", "),
            operations.join(", ")
        );
    }
    section.push_str(
        "\nThe auditors make some more calls. The ledger is asked for its index `routes` only, and Access Analyzer only if you \
         set `ReadAccessAnalyzer`.\n\n| permission | account | calls |\n|---|---|---|\n",
    );
    for Call { operation, permission, sides, .. } in &OF_AUDITOR {
        let sides: Vec<&str> = sides.iter().map(|side| side.name()).collect();
        let _ = writeln!(section, "| `{permission}` | {} | `{operation}` |", sides.join(", "));
    }
    section
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::policy::Document;

    #[test]
    fn the_policy_of_each_side_reads_settings_and_nothing_of_the_data() {
        for side in [Side::Data, Side::Analytics] {
            let statements = permissions(side, &["acme-landing"], &["s3://acme-scripts/a*.py"]);
            let document = Document::new(statements);
            for action in
                document.value()["Statement"].as_array().into_iter().flatten().flat_map(|it| {
                    it["Action"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter_map(|action| action.as_str())
                })
            {
                let verb = action.split(':').nth(1).unwrap_or_default();
                let is_reading = ["Get", "List", "Describe", "Simulate"]
                    .iter()
                    .any(|start| verb.starts_with(start));
                assert!(is_reading, "{action}");
            }
            let is_data = document.to_json().contains("acme-landing/");
            assert!(!is_data, "{document:?}");
        }
        let analytics =
            Document::new(permissions(Side::Analytics, &[], &["s3://acme-scripts/a*.py"]));
        expect![[r#"{"Action":["s3:GetObject"],"Effect":"Allow","Resource":["arn:*:s3:::acme-scripts/a${*}.py"],"Sid":"SeeWhetherScriptsAreThere"}"#]].assert_eq(&analytics.value()["Statement"][1].to_string());
    }

    #[test]
    fn a_call_has_one_permission_that_its_side_gets() {
        let operations: BTreeSet<&str> = CALLS.iter().map(|call| call.operation).collect();
        assert_eq!(operations.len(), CALLS.len());
        for Call { operation, permission: needed, sides, .. } in &CALLS {
            assert_eq!(permission(operation), Some(*needed));
            for side in *sides {
                let policy = Document::new(permissions(*side, &["b"], &["s3://b/k"])).to_json();
                assert!(policy.contains(&format!("\"{needed}\"")), "{needed}");
            }
        }
        assert_eq!(permission("DeleteRole"), None);
    }
}
