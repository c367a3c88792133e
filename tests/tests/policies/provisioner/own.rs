//! What the provisioner's own policy must admit, and what not.

use landfall_tests::REGION;
use landfall_tests::judge::Request;
use serde_json::{Value, json};

use super::{
    ALWAYS, ANY, FOREIGN, HERE, NAMED, NEVER, Row, TRUSTED, Verdicts, Widening, of_a_friend,
    statement, without,
};

/// The names and roles that the parameters of the provisioner's stack give it.
pub struct Names {
    pub prefix: &'static str,
    /// The path of the roles that the provisioner makes, without slashes around it.
    pub path: &'static str,
    pub boundary: &'static str,
    /// The role of another account that the provisioner may assume.
    pub provisioning_role: Option<&'static str>,
}

pub const BY_DEFAULT: Names = Names {
    prefix: "landfall",
    path: "landfall",
    boundary: "arn:aws:iam::111111111111:policy/landfall-boundary",
    provisioning_role: None,
};

pub const OF_ITS_OWN: Names = Names {
    prefix: "acme-lake",
    path: "acme/lake",
    boundary: "arn:aws:iam::111111111111:policy/acme-limit",
    provisioning_role: Some("arn:aws:iam::222222222222:role/acme-making"),
};

const PROVISIONER: &str = "arn:aws:iam::111111111111:role/landfall-provisioner";

pub fn given(request: Request, policy: &Value) -> Request {
    request.identity(policy.clone())
}

fn may(action: &str, resource: &str) -> Request {
    Request::by_role(PROVISIONER, action, resource).owned_by(HERE)
}

fn role(name: &str) -> String {
    format!("arn:aws:iam::{HERE}:role/{name}")
}

fn stack(account: &str) -> String {
    format!("arn:aws:cloudformation:{REGION}:{account}:stack/landfall/1")
}

/// Makes a request about a role that a stack has, or is about to have.
fn tagged(action: &str, resource: &str, stack: &str) -> Request {
    let kind = if action == "iam:CreateRole" { "aws:RequestTag" } else { "iam:ResourceTag" };
    may(action, resource).with(&format!("{kind}/landfall:stack-id"), stack)
}

pub fn rows(names: &Names) -> Vec<Row> {
    [roles(names), elsewhere(names), buckets(), others(names)].into_iter().flatten().collect()
}

fn roles(names: &Names) -> Vec<Row> {
    let Names { prefix, path, boundary, .. } = names;
    let own = role(&format!("{path}/{prefix}-x"));
    let bounded = |action: &str, resource: &str, its: &str| {
        tagged(action, resource, &stack(HERE)).with("iam:PermissionsBoundary", its)
    };
    let mut rows = Vec::new();
    for action in [
        "iam:CreateRole",
        "iam:PutRolePolicy",
        "iam:PutRolePermissionsBoundary",
        "iam:DeleteRolePolicy",
        "iam:DetachRolePolicy",
    ] {
        let foreign = own.replace(HERE, FOREIGN);
        rows.extend([
            ("a role with the boundary", ALWAYS, bounded(action, &own, boundary)),
            ("a role without a boundary", NEVER, tagged(action, &own, &stack(HERE))),
            (
                "a role of nobody's",
                NEVER,
                may(action, &own).with("iam:PermissionsBoundary", *boundary),
            ),
            (
                "a role of another account's stack",
                NEVER,
                tagged(action, &own, &stack(FOREIGN)).with("iam:PermissionsBoundary", *boundary),
            ),
            (
                "a role with another boundary",
                NEVER,
                bounded(action, &own, "arn:aws:iam::aws:policy/X"),
            ),
            (
                "a role without the path",
                NEVER,
                bounded(action, &role(&format!("{prefix}-x")), boundary),
            ),
            (
                "a role of another path",
                NEVER,
                bounded(action, &role(&format!("team/{prefix}-x")), boundary),
            ),
            (
                "a role of another prefix",
                NEVER,
                bounded(action, &role(&format!("{path}/admin")), boundary),
            ),
            (
                "a path that goes on",
                NEVER,
                bounded(action, &role(&format!("{path}/{prefix}-x/y")), boundary),
            ),
            (
                "a role of another account",
                NEVER,
                bounded(action, &foreign, boundary).owned_by(FOREIGN),
            ),
        ]);
    }
    for action in [
        "iam:DeleteRole",
        "iam:UpdateRole",
        "iam:UpdateAssumeRolePolicy",
        "iam:TagRole",
        "iam:UntagRole",
    ] {
        let look_after = |resource: &str, stack: &str| {
            let request = tagged(action, resource, stack);
            let has_keys = matches!(action, "iam:TagRole" | "iam:UntagRole");
            if has_keys { request.with("aws:TagKeys", json!(["team"])) } else { request }
        };
        let ours = stack(HERE);
        rows.extend([
            ("to look after a role", ALWAYS, look_after(&own, &ours)),
            ("to look after a role of nobody's", NEVER, may(action, &own)),
            ("to look after another stack's", NEVER, look_after(&own, &stack(FOREIGN))),
            (
                "to look after its own role",
                NEVER,
                look_after(&role(&format!("{prefix}-provisioner")), &ours),
            ),
            (
                "to look after another role",
                NEVER,
                look_after(&role(&format!("{path}/admin")), &ours),
            ),
            (
                "to look after one below",
                NEVER,
                look_after(&role(&format!("{path}/{prefix}-x/admin")), &ours),
            ),
        ]);
    }
    let untag = |keys: Value| tagged("iam:UntagRole", &own, &stack(HERE)).with("aws:TagKeys", keys);
    let new =
        |stack: &str| may("iam:TagRole", &own).with("aws:RequestTag/landfall:stack-id", stack);
    rows.extend([
        ("to take the owner's tag away", NEVER, untag(json!(["team", "Landfall:Stack-Id"]))),
        ("to take no tag away", NEVER, tagged("iam:UntagRole", &own, &stack(HERE))),
        ("to tag a role within its creation", ALWAYS, new(&stack(HERE))),
        ("to tag it as another account's", NEVER, new(&stack(FOREIGN))),
        ("what an attached policy says", ALWAYS, may("iam:GetPolicyVersion", boundary)),
        (
            "what AWS's policies say",
            ALWAYS,
            may("iam:GetPolicy", "arn:aws:iam::aws:policy/AWSDenyAll"),
        ),
    ]);
    let open = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
        "Principal": { "AWS": format!("arn:aws:iam::{HERE}:root") }, "Action": "sts:AssumeRole" }] });
    rows.extend([
        ("to look for a role", ALWAYS, may("iam:GetRole", &role(&format!("{prefix}-x")))),
        ("to pass a role", NEVER, may("iam:PassRole", &own)),
        ("to take a boundary away", NEVER, may("iam:DeleteRolePermissionsBoundary", &own)),
        ("to attach a policy", NEVER, bounded("iam:AttachRolePolicy", &own, boundary)),
        ("to change the boundary", NEVER, may("iam:CreatePolicyVersion", boundary)),
        ("to make a user", NEVER, may("iam:CreateUser", &format!("arn:aws:iam::{HERE}:user/x"))),
        ("to become a role that it made", NEVER, may("sts:AssumeRole", &own).resource_policy(open)),
    ]);
    rows
}

/// Another account's role that the provisioner may assume to make roles there.
fn elsewhere(names: &Names) -> Vec<Row> {
    let open = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
        "Principal": { "AWS": format!("arn:aws:iam::{HERE}:root") }, "Action": "sts:AssumeRole" }] });
    let assume = |account: &str, arn: &str| {
        may("sts:AssumeRole", arn).owned_by(account).resource_policy(open.clone())
    };
    let named = OF_ITS_OWN.provisioning_role.expect("a role");
    let verdict = if names.provisioning_role.is_some() { ALWAYS } else { NEVER };
    vec![
        ("to make roles elsewhere", verdict, assume(TRUSTED, named)),
        ("to become another role there", NEVER, assume(TRUSTED, &format!("{named}-admin"))),
        (
            "to make roles in a third account",
            NEVER,
            assume(FOREIGN, &named.replace(TRUSTED, FOREIGN)),
        ),
    ]
}

fn buckets() -> Vec<Row> {
    let s3 = |action: &str, bucket: &str, owner: &str| {
        let action = format!("s3:{action}");
        let request = may(&action, &format!("arn:aws:s3:::{bucket}"));
        let request = if owner == HERE { request } else { of_a_friend(request, owner, &action) };
        request.with("s3:ResourceAccount", owner)
    };
    // The sets, in order: everything named, nothing named, by the account, a data account, an
    // analytics account.
    let where_it_lands: Verdicts = [true, true, true, true, false];
    let where_not_named: Verdicts = [false, true, false, false, false];
    // There is no way to name any bucket.
    let where_policies: Verdicts = [true, false, true, false, false];
    vec![
        ("to announce", where_it_lands, s3("PutBucketNotification", "acme-landing", HERE)),
        ("what is announced", ALWAYS, s3("GetBucketNotification", "acme-landing", HERE)),
        ("what is announced elsewhere", ALWAYS, s3("GetBucketNotification", "hr-salaries", HERE)),
        (
            "what another account's announces",
            NEVER,
            s3("GetBucketNotification", "acme-landing", FOREIGN),
        ),
        (
            "to announce elsewhere",
            where_not_named,
            s3("PutBucketNotification", "hr-salaries", HERE),
        ),
        (
            "to announce of another account",
            NEVER,
            s3("PutBucketNotification", "acme-landing", FOREIGN),
        ),
        ("which buckets there are", ALWAYS, may("s3:ListAllMyBuckets", "*")),
        ("what is in a bucket", NEVER, s3("ListBucket", "acme-landing", HERE)),
        (
            "how a bucket is encrypted",
            ALWAYS,
            s3("GetEncryptionConfiguration", "acme-landing", HERE),
        ),
        (
            "how another account's is",
            NEVER,
            s3("GetEncryptionConfiguration", "acme-landing", FOREIGN),
        ),
        ("to encrypt otherwise", NEVER, s3("PutEncryptionConfiguration", "acme-landing", HERE)),
        ("a bucket's policy", where_policies, s3("GetBucketPolicy", "acme-landing", HERE)),
        ("to change it", where_policies, s3("PutBucketPolicy", "acme-landing", HERE)),
        ("to delete it", where_policies, s3("DeleteBucketPolicy", "acme-landing", HERE)),
        ("to change another bucket's policy", NEVER, s3("PutBucketPolicy", "acme-items", HERE)),
        ("what another bucket's policy says", NEVER, s3("GetBucketPolicy", "acme-items", HERE)),
        (
            "to change the policy of another account's bucket",
            NEVER,
            s3("PutBucketPolicy", "acme-landing", FOREIGN),
        ),
        ("to let the public in", NEVER, s3("PutBucketPublicAccessBlock", "acme-landing", HERE)),
        ("what landed", NEVER, s3("GetObject", "acme-landing/x", HERE)),
    ]
}

fn others(names: &Names) -> Vec<Row> {
    let prefix = names.prefix;
    let stack = format!("arn:aws:cloudformation:{REGION}:{HERE}:stack/landfall/1");
    let table = |action: &str, name: &str| {
        may(
            &format!("dynamodb:{action}"),
            &format!("arn:aws:dynamodb:{REGION}:{HERE}:table/{name}"),
        )
    };
    let key = |action: &str, account: &str| {
        let admits_all = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
            "Principal": { "AWS": format!("arn:aws:iam::{HERE}:root") }, "Action": "kms:*", "Resource": "*" }] });
        may(&format!("kms:{action}"), &format!("arn:aws:kms:{REGION}:{account}:key/k"))
            .owned_by(account)
            .resource_policy(admits_all)
    };
    let function = format!("arn:aws:lambda:{REGION}:{HERE}:function:{prefix}-provisioner");
    let log = |account: &str, function: &str| {
        let group = format!("/aws/lambda/{prefix}-{function}");
        let stream = format!("arn:aws:logs:{REGION}:{account}:log-group:{group}:log-stream:s");
        let request = may("logs:PutLogEvents", &stream);
        if account == HERE { request } else { of_a_friend(request, account, "logs:PutLogEvents") }
    };
    vec![
        ("a stack", ALWAYS, may("cloudformation:DescribeStacks", &stack)),
        ("a stack's events", ALWAYS, may("cloudformation:DescribeStackEvents", &stack)),
        ("a resource of a stack", ALWAYS, may("cloudformation:DescribeStackResource", &stack)),
        (
            "a stack of another account",
            NEVER,
            may("cloudformation:DescribeStacks", &stack.replace(HERE, FOREIGN)).owned_by(FOREIGN),
        ),
        ("to change a stack", NEVER, may("cloudformation:UpdateStack", &stack)),
        ("what it remembers", ALWAYS, table("GetItem", &format!("{prefix}-provisioner"))),
        ("to remember", ALWAYS, table("UpdateItem", &format!("{prefix}-provisioner"))),
        ("to forget", NEVER, table("DeleteItem", &format!("{prefix}-provisioner"))),
        ("another table", NEVER, table("GetItem", &format!("{prefix}-ledger"))),
        ("which key it is", ALWAYS, key("DescribeKey", HERE)),
        ("a key's policy", ALWAYS, key("GetKeyPolicy", HERE)),
        ("to change a key's policy", NEVER, key("PutKeyPolicy", HERE)),
        ("to decrypt", NEVER, key("Decrypt", HERE)),
        ("a key of another account", NEVER, key("GetKeyPolicy", TRUSTED)),
        ("its own log", ALWAYS, log(HERE, "provisioner")),
        ("another function's log", NEVER, log(HERE, "trigger")),
        ("a log of another account", NEVER, log(FOREIGN, "provisioner")),
        ("its own code", NEVER, may("lambda:UpdateFunctionCode", &function)),
    ]
}

pub const WIDENINGS: [Widening; 13] = [
    ("roles of nobody's", NAMED, |all| statement(all, "LookAfterRoles")["Condition"] = json!({})),
    ("the owner's tags", NAMED, |all| {
        let conditions = statement(all, "UntagRoles")["Condition"].as_object_mut();
        conditions.expect("conditions").remove("ForAllValues:StringNotEqualsIgnoreCase");
    }),
    ("no tags", NAMED, |all| {
        let conditions = statement(all, "UntagRoles")["Condition"].as_object_mut();
        conditions.expect("conditions").remove("Null");
    }),
    ("any boundary", NAMED, |all| statement(all, "MakeBoundedRoles")["Condition"] = json!({})),
    ("any role", NAMED, |all| statement(all, "LookAfterRoles")["Resource"] = json!("*")),
    ("a path that goes on", NAMED, |all| without(all, "NotBelowThePath")),
    ("any bucket", NAMED, |all| statement(all, "AddNotifications")["Resource"] = json!("*")),
    ("whoever owns a bucket", ANY, |all| {
        statement(all, "AddNotifications")["Condition"] = json!({})
    }),
    ("any bucket's policy", NAMED, |all| {
        statement(all, "ChangePoliciesOfNamedBuckets")["Resource"] = json!("*");
    }),
    ("the policy of whoever's bucket", NAMED, |all| {
        statement(all, "ChangePoliciesOfNamedBuckets")["Condition"] = json!({});
    }),
    ("to pass roles", NAMED, |all| {
        statement(all, "LookAfterRoles")["Action"] = json!(["iam:*"]);
    }),
    ("any key", NAMED, |all| statement(all, "LookAtKeys")["Resource"] = json!("*")),
    ("any log", NAMED, |all| statement(all, "Log")["Resource"] = json!("*")),
];

/// What would be too wide where the provisioner has names of its own.
pub const WIDENINGS_OF_ITS_OWN: [Widening; 2] = [
    ("any role elsewhere", NAMED, |all| {
        statement(all, "ProvisionElsewhere")["Resource"] = json!("*")
    }),
    ("any boundary", NAMED, |all| statement(all, "MakeBoundedRoles")["Condition"] = json!({})),
];
