//! What it takes to deploy one account's half with `landfall deploy`: a table.
//!
//! CloudFormation makes and changes a stack's resources with the rights of its caller. So the table has the calls of
//! `landfall deploy` itself, and what CloudFormation's handlers of the templates' resource types call. In the names, `{p}`
//! stands for the stacks' prefix. The paths of roles are the defaults of the templates.

use crate::chain::Side;
use crate::policy::Statement;

/// What one statement allows.
struct Row {
    sid: &'static str,
    sides: &'static [Side],
    actions: &'static [&'static str],
    resources: &'static [&'static str],
    /// An operator, a key and a value.
    condition: Option<(&'static str, &'static str, &'static str)>,
}

const DATA: &[Side] = &[Side::Data];
const ANALYTICS: &[Side] = &[Side::Analytics];
const BOTH: &[Side] = &[Side::Data, Side::Analytics];

const fn row(
    sid: &'static str,
    sides: &'static [Side],
    actions: &'static [&'static str],
    resources: &'static [&'static str],
) -> Row {
    Row { sid, sides, actions, resources, condition: None }
}

const fn when(row: Row, operator: &'static str, key: &'static str, value: &'static str) -> Row {
    Row { condition: Some((operator, key, value)), ..row }
}

/// What the roles of functions and rules need. None of them has a managed policy.
const ROLE: &[&str] = &[
    "iam:CreateRole",
    "iam:DeleteRole",
    "iam:DeleteRolePolicy",
    "iam:GetRole",
    "iam:GetRolePolicy",
    "iam:ListAttachedRolePolicies",
    "iam:ListRolePolicies",
    "iam:PutRolePermissionsBoundary",
    "iam:PutRolePolicy",
    "iam:TagRole",
    "iam:UntagRole",
    "iam:UpdateAssumeRolePolicy",
    "iam:UpdateRole",
    "iam:UpdateRoleDescription",
];

const DATA_ROLES: &[&str] = &[
    "arn:*:iam::*:role/{p}-auditor",
    "arn:*:iam::*:role/{p}-monitor",
    "arn:*:iam::*:role/{p}-provisioner",
    "arn:*:iam::*:role/{p}-reconciler",
    "arn:*:iam::*:role/{p}-repairer",
    "arn:*:iam::*:role/{p}-trigger",
];

const FUNCTION_ROLES: &[&str] = &[
    "arn:*:iam::*:role/{p}-auditor",
    "arn:*:iam::*:role/{p}-provisioner",
    "arn:*:iam::*:role/{p}-repairer",
];

/// What EventBridge forwards events with: the ends of job runs, and IAM's events.
const ANALYTICS_EVENTS_ROLES: &[&str] =
    &["arn:*:iam::*:role/{p}-iam-events", "arn:*:iam::*:role/{p}-job-state-events"];

const DATA_EVENTS_ROLES: &[&str] = &["arn:*:iam::*:role/{p}-iam-events"];

/// What a bucket needs that a stack creates.
const BUCKET: &[&str] = &[
    "s3:CreateBucket",
    "s3:DeleteBucket",
    "s3:DeleteBucketPolicy",
    "s3:GetBucket*",
    "s3:GetEncryptionConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:ListBucket",
    "s3:PutBucketOwnershipControls",
    "s3:PutBucketPolicy",
    "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketTagging",
    "s3:PutBucketVersioning",
    "s3:PutEncryptionConfiguration",
    "s3:PutLifecycleConfiguration",
];

const ROWS: [Row; 32] = [
    row(
        "Stacks",
        BOTH,
        &[
            "cloudformation:CreateChangeSet",
            "cloudformation:DeleteChangeSet",
            "cloudformation:DeleteStack",
            "cloudformation:DescribeChangeSet",
            "cloudformation:DescribeEvents",
            "cloudformation:DescribeStackEvents",
            "cloudformation:DescribeStacks",
            "cloudformation:ExecuteChangeSet",
            "cloudformation:GetTemplate",
            "cloudformation:ListStackResources",
            "cloudformation:TagResource",
        ],
        &[
            "arn:*:cloudformation:*:*:stack/{p}-auditor/*",
            "arn:*:cloudformation:*:*:stack/{p}-iam-events/*",
            "arn:*:cloudformation:*:*:stack/{p}-provisioner/*",
            "arn:*:cloudformation:*:*:stack/{p}/*",
            "arn:*:cloudformation:*:*:stack/landfall-artifacts/*",
        ],
    ),
    row(
        "Transforms",
        BOTH,
        &["cloudformation:CreateChangeSet"],
        &[
            "arn:*:cloudformation:*:aws:transform/Include",
            "arn:*:cloudformation:*:aws:transform/Serverless-2016-10-31",
        ],
    ),
    row(
        "Uploads",
        BOTH,
        &["s3:GetObject", "s3:PutObject"],
        &["arn:*:s3:::landfall-artifacts-*/{p}/*"],
    ),
    row("ArtifactsBucket", BOTH, BUCKET, &["arn:*:s3:::landfall-artifacts-*"]),
    row("ManifestsBucket", DATA, BUCKET, &["arn:*:s3:::{p}-manifests-*"]),
    row("DataRoles", DATA, ROLE, DATA_ROLES),
    row("AnalyticsRoles", ANALYTICS, ROLE, FUNCTION_ROLES),
    row("DataEventsRoles", DATA, ROLE, DATA_EVENTS_ROLES),
    row("EventsRoles", ANALYTICS, ROLE, ANALYTICS_EVENTS_ROLES),
    // The provisioner makes this role, with a boundary. The example job adds a policy to it.
    row(
        "JobRole",
        ANALYTICS,
        &["iam:DeleteRolePolicy", "iam:GetRolePolicy", "iam:PutRolePolicy"],
        &["arn:*:iam::*:role/landfall/{p}-job"],
    ),
    when(
        row("PassDataRoles", DATA, &["iam:PassRole"], DATA_ROLES),
        "StringEquals",
        "iam:PassedToService",
        "lambda.amazonaws.com",
    ),
    when(
        row("PassFunctionRoles", ANALYTICS, &["iam:PassRole"], FUNCTION_ROLES),
        "StringEquals",
        "iam:PassedToService",
        "lambda.amazonaws.com",
    ),
    when(
        row("PassDataEventsRoles", DATA, &["iam:PassRole"], DATA_EVENTS_ROLES),
        "StringEquals",
        "iam:PassedToService",
        "events.amazonaws.com",
    ),
    when(
        row("PassEventsRoles", ANALYTICS, &["iam:PassRole"], ANALYTICS_EVENTS_ROLES),
        "StringEquals",
        "iam:PassedToService",
        "events.amazonaws.com",
    ),
    when(
        row("PassJobRole", ANALYTICS, &["iam:PassRole"], &["arn:*:iam::*:role/landfall/{p}-job"]),
        "StringEquals",
        "iam:PassedToService",
        "glue.amazonaws.com",
    ),
    row(
        "Boundary",
        BOTH,
        &[
            "iam:CreatePolicy",
            "iam:CreatePolicyVersion",
            "iam:DeletePolicy",
            "iam:DeletePolicyVersion",
            "iam:GetPolicy",
            "iam:GetPolicyVersion",
            "iam:ListEntitiesForPolicy",
            "iam:ListPolicyVersions",
        ],
        &["arn:*:iam::*:policy/{p}-boundary"],
    ),
    row(
        "Functions",
        BOTH,
        &[
            "lambda:AddPermission",
            "lambda:CreateFunction",
            "lambda:DeleteFunction",
            "lambda:DeleteFunctionCodeSigningConfig",
            "lambda:DeleteFunctionConcurrency",
            "lambda:GetFunction*",
            "lambda:GetPolicy",
            "lambda:GetRuntimeManagementConfig",
            "lambda:ListTags",
            "lambda:PutFunctionCodeSigningConfig",
            "lambda:PutFunctionConcurrency",
            "lambda:PutRuntimeManagementConfig",
            "lambda:RemovePermission",
            "lambda:TagResource",
            "lambda:UntagResource",
            "lambda:UpdateFunctionCode",
            "lambda:UpdateFunctionConfiguration",
        ],
        &["arn:*:lambda:*:*:function:{p}-*"],
    ),
    // CloudFormation sends the requests of custom resources as its caller.
    row(
        "Provisioner",
        BOTH,
        &["lambda:InvokeFunction"],
        &["arn:*:lambda:*:*:function:{p}-provisioner"],
    ),
    when(
        row(
            "Mappings",
            BOTH,
            &[
                "lambda:CreateEventSourceMapping",
                "lambda:DeleteEventSourceMapping",
                "lambda:GetEventSourceMapping",
                "lambda:UpdateEventSourceMapping",
            ],
            &["*"],
        ),
        "ArnLike",
        "lambda:FunctionArn",
        "arn:*:lambda:*:*:function:{p}-*",
    ),
    row(
        "TagsOfMappings",
        BOTH,
        &["lambda:ListTags", "lambda:TagResource", "lambda:UntagResource"],
        &["arn:*:lambda:*:*:event-source-mapping:*"],
    ),
    row(
        "Tables",
        BOTH,
        &[
            "dynamodb:CreateTable",
            "dynamodb:DeleteTable",
            "dynamodb:Describe*",
            "dynamodb:GetResourcePolicy",
            "dynamodb:ListTagsOfResource",
            "dynamodb:TagResource",
            "dynamodb:UntagResource",
            "dynamodb:UpdateContinuousBackups",
            "dynamodb:UpdateTable",
            "dynamodb:UpdateTimeToLive",
        ],
        &["arn:*:dynamodb:*:*:table/{p}-*"],
    ),
    // A new stack adopts the ledger of an earlier one, and `landfall deploy` looks whether it has batches of the version
    // before.
    row(
        "Ledger",
        DATA,
        &["dynamodb:GetItem", "dynamodb:Query"],
        &["arn:*:dynamodb:*:*:table/{p}-ledger", "arn:*:dynamodb:*:*:table/{p}-ledger/index/*"],
    ),
    row(
        "Queues",
        BOTH,
        &[
            "sqs:CreateQueue",
            "sqs:DeleteQueue",
            "sqs:GetQueueAttributes",
            "sqs:GetQueueUrl",
            "sqs:ListQueueTags",
            "sqs:SetQueueAttributes",
            "sqs:TagQueue",
            "sqs:UntagQueue",
        ],
        &["arn:*:sqs:*:*:{p}-*"],
    ),
    row(
        "Rules",
        BOTH,
        &[
            "events:DeleteRule",
            "events:DescribeRule",
            "events:DisableRule",
            "events:EnableRule",
            "events:ListTagsForResource",
            "events:ListTargetsByRule",
            "events:PutRule",
            "events:PutTargets",
            "events:RemoveTargets",
            "events:TagResource",
            "events:UntagResource",
        ],
        &["arn:*:events:*:*:rule/{p}-*"],
    ),
    row(
        "Bus",
        DATA,
        &[
            "events:CreateEventBus",
            "events:DeleteEventBus",
            "events:DescribeEventBus",
            "events:UpdateEventBus",
        ],
        &["arn:*:events:*:*:event-bus/{p}-runs"],
    ),
    // EventBridge knows no resource for these.
    row("PolicyOfTheBus", DATA, &["events:PutPermission", "events:RemovePermission"], &["*"]),
    row(
        "LogGroups",
        BOTH,
        &[
            "logs:CreateLogGroup",
            "logs:DeleteLogGroup",
            "logs:DeleteRetentionPolicy",
            "logs:GetDataProtectionPolicy",
            "logs:ListTagsForResource",
            "logs:PutRetentionPolicy",
            "logs:TagResource",
            "logs:UntagResource",
        ],
        &["arn:*:logs:*:*:log-group:/aws/lambda/{p}-*"],
    ),
    row("FindLogGroups", BOTH, &["logs:DescribeLogGroups"], &["*"]),
    row(
        "Alarms",
        BOTH,
        &[
            "cloudwatch:DeleteAlarms",
            "cloudwatch:DescribeAlarms",
            "cloudwatch:ListTagsForResource",
            "cloudwatch:PutMetricAlarm",
            "cloudwatch:TagResource",
            "cloudwatch:UntagResource",
        ],
        &["arn:*:cloudwatch:*:*:alarm:{p}-*"],
    ),
    row(
        "Dashboard",
        DATA,
        &["cloudwatch:DeleteDashboards", "cloudwatch:GetDashboard", "cloudwatch:PutDashboard"],
        &["arn:*:cloudwatch::*:dashboard/{p}-*"],
    ),
    row(
        "Topic",
        DATA,
        &[
            "sns:CreateTopic",
            "sns:DeleteTopic",
            "sns:GetDataProtectionPolicy",
            "sns:GetSubscriptionAttributes",
            "sns:GetTopicAttributes",
            "sns:ListSubscriptionsByTopic",
            "sns:ListTagsForResource",
            "sns:SetTopicAttributes",
            "sns:Subscribe",
            "sns:TagResource",
            "sns:Unsubscribe",
            "sns:UntagResource",
        ],
        &["arn:*:sns:*:*:{p}-alarms"],
    ),
    row(
        "Job",
        ANALYTICS,
        &[
            "glue:CreateJob",
            "glue:DeleteJob",
            "glue:GetJob",
            "glue:GetTags",
            "glue:TagResource",
            "glue:UntagResource",
            "glue:UpdateJob",
        ],
        &["arn:*:glue:*:*:job/csv-to-parquet"],
    ),
];

/// Returns the least policy that lets somebody deploy one account's half.
///
/// `prefix` is the prefix of the stacks, and `buckets` are the further buckets that they create: a landing bucket, or the
/// output bucket of the example job. The policy covers what the templates make by default. It leaves out what only some
/// parameters make: a KMS key, a secret, and jobs and roles by other names.
pub fn deploying(side: Side, prefix: &str, buckets: &[&str]) -> Vec<Statement> {
    let filled = |text: &&str| text.replace("{p}", prefix);
    let rows = ROWS.iter().filter(|row| row.sides.contains(&side));
    let statement = |row: &Row| {
        let actions = row.actions.iter().copied();
        let statement = Statement::allow(row.sid, actions).on(row.resources.iter().map(filled));
        match &row.condition {
            Some((operator, key, value)) => statement.when(operator, key, [filled(value)]),
            None => statement,
        }
    };
    let own = (!buckets.is_empty()).then(|| {
        let arns = buckets.iter().map(|bucket| format!("arn:*:s3:::{bucket}"));
        Statement::allow("FurtherBuckets", BUCKET.iter().copied()).on(arns)
    });
    rows.map(statement).chain(own).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::policy::Document;

    /// The characters that the inline policies of a role can have together, without white space. A managed policy can have
    /// 6,144.
    const MOST: usize = 10_240;

    #[test]
    fn the_policy_to_deploy_fits_into_an_inline_policy_of_a_role() {
        for side in Side::ALL {
            let longest = "a".repeat(31);
            let bucket = "b".repeat(63);
            for (prefix, buckets) in [("landfall", &[][..]), (&longest, &[bucket.as_str()])] {
                let chars = Document::new(deploying(side, prefix, buckets)).to_json().len();
                assert!(chars <= MOST, "{}, {prefix}: {chars}", side.name());
            }
        }
    }

    #[test]
    fn no_statement_takes_any_resource_of_a_service_but_those_that_must() {
        for side in Side::ALL {
            let document = Document::new(deploying(side, "landfall", &["acme-landing"]));
            let statements = document.value()["Statement"].as_array().expect("statements").clone();
            let sids: BTreeSet<&str> =
                statements.iter().filter_map(|it| it["Sid"].as_str()).collect();
            assert_eq!(sids.len(), statements.len(), "each statement has a name of its own");
            let of_any = statements.iter().filter(|it| it["Resource"][0] == "*");
            let of_any: Vec<&str> = of_any.filter_map(|it| it["Sid"].as_str()).collect();
            let expected: &[&str] = match side {
                Side::Data => &["Mappings", "PolicyOfTheBus", "FindLogGroups"],
                Side::Analytics => &["Mappings", "FindLogGroups"],
            };
            assert_eq!(of_any, expected);
        }
    }
}
