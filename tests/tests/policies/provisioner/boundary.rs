//! What the boundary must admit, and what not.

use landfall_tests::REGION;
use landfall_tests::judge::Request;
use serde_json::{Value, json};

use super::{
    ALWAYS, ANY, BY_ACCOUNT, FOREIGN, HERE, NAMED, NEVER, Row, TRUSTED, Verdicts, Widening,
    of_a_friend, statement, without,
};

/// The sets in which jobs run: everything named, nothing named, by the account, and an analytics
/// account, but no data account.
const WHERE_JOBS_RUN: Verdicts = [true, true, true, false, true];
const WHERE_NOT_NAMED: Verdicts = [false, true, true, false, true];
/// The sets in which something is named. A boundary that goes by the account doesn't widen it.
const WHERE_NAMED: Verdicts = [true, false, true, false, false];

const ROLE: &str = "arn:aws:iam::111111111111:role/landfall/landfall-x";

/// Puts the boundary on a role whose own policies admit everything.
pub fn given(request: Request, boundary: &Value) -> Request {
    let all = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "*", "Resource": "*" }] });
    request.identity(all).boundary(boundary.clone())
}

fn may(action: &str, resource: &str) -> Request {
    Request::by_role(ROLE, action, resource)
}

pub fn rows() -> Vec<Row> {
    [buckets(), tables_and_keys(), glue(), others(), roles()].into_iter().flatten().collect()
}

fn buckets() -> Vec<Row> {
    let s3 =
        |action: &str, name: &str| may(&format!("s3:{action}"), &format!("arn:aws:s3:::{name}"));
    let here = |action: &str, name: &str| s3(action, name).owned_by(HERE);
    let lent = |action: &str, name: &str, account: &str| {
        of_a_friend(s3(action, name), account, &format!("s3:{action}"))
    };
    let theirs = |action: &str, name: &str| lent(action, name, FOREIGN);
    let manifest = format!("landfall-manifests-{HERE}-{REGION}/manifests/{TRUSTED}/x");
    let transforms = format!("aws-glue-studio-transforms-510798373988-prod-{REGION}");
    let named = [true, true, true, true, true];
    let mut rows: Vec<Row> = vec![
        ("what landed", named, here("GetObject", "acme-landing/orders/a.csv")),
        ("a version of it", named, here("GetObjectVersion", "acme-landing/orders/a.csv")),
        ("the list of it", named, here("ListBucket", "acme-landing")),
        ("the list of its versions", named, here("ListBucketVersions", "acme-landing")),
        ("where it is", named, here("GetBucketLocation", "acme-landing")),
        ("a squatted landing bucket", NEVER, theirs("GetObject", "acme-landing/orders/a.csv")),
        ("what only begins like one", WHERE_NOT_NAMED, here("GetObject", "acme-landing-hr/x")),
        ("another bucket", WHERE_NOT_NAMED, here("GetObject", "hr-salaries/x")),
        ("another account's bucket", NEVER, theirs("GetObject", "hr-salaries/x")),
        ("to write where data lands", WHERE_NOT_NAMED, here("PutObject", "acme-landing/x")),
        ("to remove what landed", WHERE_NOT_NAMED, here("DeleteObject", "acme-landing/x")),
        ("to write output", WHERE_JOBS_RUN, here("PutObject", "acme-out/x")),
        ("to remove output", WHERE_JOBS_RUN, here("DeleteObject", "acme-out/x")),
        ("to give up an upload", WHERE_JOBS_RUN, here("AbortMultipartUpload", "acme-out/x")),
        ("a script", WHERE_JOBS_RUN, here("GetObject", "acme-assets/job.py")),
        ("output of a named account", WHERE_NAMED, lent("PutObject", "acme-out/x", TRUSTED)),
        (
            "another bucket of that account",
            [false, false, true, false, false],
            lent("PutObject", "hr-salaries/x", TRUSTED),
        ),
        ("a squatted bucket of jobs, named", NEVER, theirs("PutObject", "acme-out/x")),
        ("to read a squatted bucket of jobs", NEVER, theirs("GetObject", "acme-out/x")),
        (
            "input of jobs in the data account",
            WHERE_NAMED,
            lent("GetObject", "acme-input/orders/a.csv", TRUSTED),
        ),
        ("the list of it", WHERE_NAMED, lent("ListBucket", "acme-input", TRUSTED)),
        ("squatted input", NEVER, theirs("GetObject", "acme-input/orders/a.csv")),
        // A boundary that goes by the account admits the buckets of jobs in the trusted account.
        (
            "to write into input",
            [false, false, true, false, false],
            lent("PutObject", "acme-input/x", TRUSTED),
        ),
        (
            "another bucket of the data account",
            [false, false, true, false, false],
            lent("GetObject", "hr-salaries/x", TRUSTED),
        ),
        ("a bucket's policy", NEVER, here("PutBucketPolicy", "acme-out")),
        ("a version's removal", NEVER, here("DeleteObjectVersion", "acme-out/x")),
        ("a bucket", NEVER, here("CreateBucket", "acme-out")),
        ("notifications", NEVER, here("PutBucketNotification", "acme-landing")),
        ("a manifest", ALWAYS, here("GetObject", &manifest)),
        (
            "a manifest of a further stack",
            ALWAYS,
            here("GetObject", &manifest.replace("landfall-", "landfall-two-")),
        ),
        ("a squatted manifest", NEVER, theirs("GetObject", &manifest)),
        (
            "another's manifest",
            WHERE_NOT_NAMED,
            here("GetObject", &manifest.replace("landfall-", "other-")),
        ),
        (
            "beside the manifests",
            WHERE_NOT_NAMED,
            here("GetObject", &manifest.replace("/manifests/", "/other/")),
        ),
        ("to write a manifest", WHERE_NOT_NAMED, here("PutObject", &manifest)),
        (
            "a transform of Glue Studio's",
            WHERE_JOBS_RUN,
            lent("GetObject", &format!("{transforms}/gs_common.py"), "510798373988"),
        ),
        ("to write there", NEVER, lent("PutObject", &format!("{transforms}/x"), "510798373988")),
    ];
    let elsewhere = transforms.replace(REGION, "eu-north-1");
    rows.push((
        "a transform of another region",
        NEVER,
        lent("GetObject", &format!("{elsewhere}/gs_common.py"), "510798373988"),
    ));
    rows
}

fn tables_and_keys() -> Vec<Row> {
    let table = |action: &str, account: &str, region: &str, name: &str| {
        let action = format!("dynamodb:{action}");
        let request = may(&action, &format!("arn:aws:dynamodb:{region}:{account}:table/{name}"));
        if account == HERE { request } else { of_a_friend(request, account, &action) }
    };
    let own = |action: &str, name: &str| table(action, HERE, REGION, name);
    let key = |action: &str, account: &str| {
        let admits_all = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
            "Principal": { "AWS": format!("arn:aws:iam::{HERE}:root") }, "Action": "kms:*", "Resource": "*" }] });
        may(&format!("kms:{action}"), &format!("arn:aws:kms:{REGION}:{account}:key/k"))
            .resource_policy(admits_all)
    };
    let through = |service: &str, region: &str| {
        key("Decrypt", FOREIGN).with("kms:ViaService", format!("{service}.{region}.amazonaws.com"))
    };
    vec![
        ("a claim", ALWAYS, own("GetItem", "landfall-claims")),
        ("to claim", ALWAYS, own("UpdateItem", "landfall-two-claims")),
        ("to put a claim", NEVER, own("PutItem", "landfall-claims")),
        ("all claims", NEVER, own("Scan", "landfall-claims")),
        ("the ledger", NEVER, own("UpdateItem", "landfall-ledger")),
        ("what the provisioner remembers", NEVER, own("UpdateItem", "landfall-provisioner")),
        ("another's claims", NEVER, own("UpdateItem", "other-claims")),
        (
            "claims of another account",
            NEVER,
            table("UpdateItem", FOREIGN, REGION, "landfall-claims"),
        ),
        (
            "claims of another region",
            NEVER,
            table("UpdateItem", HERE, "eu-north-1", "landfall-claims"),
        ),
        ("a key of this account", ALWAYS, key("Decrypt", HERE)),
        ("a data key of this account", ALWAYS, key("GenerateDataKey", HERE)),
        ("a grant", NEVER, key("CreateGrant", HERE)),
        ("the key's end", NEVER, key("ScheduleKeyDeletion", HERE)),
        ("another account's key, through S3", ALWAYS, through("s3", REGION)),
        ("another account's key", NEVER, key("Decrypt", FOREIGN)),
        ("another account's key, through SQS", NEVER, through("sqs", REGION)),
        ("another account's key, through another region's S3", NEVER, through("s3", "eu-north-1")),
    ]
}

fn glue() -> Vec<Row> {
    let at = |action: &str, account: &str, region: &str, what: &str| {
        let action = format!("glue:{action}");
        let request = may(&action, &format!("arn:aws:glue:{region}:{account}:{what}"));
        if account == HERE { request } else { of_a_friend(request, account, &action) }
    };
    let own = |action: &str, what: &str| at(action, HERE, REGION, what);
    let any = |action: &str| may(&format!("glue:{action}"), "*");
    vec![
        ("to start a job", WHERE_JOBS_RUN, own("StartJobRun", "job/orders")),
        ("a job", WHERE_JOBS_RUN, own("GetJob", "job/orders")),
        ("the job's runs", WHERE_JOBS_RUN, own("GetJobRuns", "job/orders")),
        ("to start another job", WHERE_NOT_NAMED, own("StartJobRun", "job/payroll")),
        (
            "to start a job of another account",
            NEVER,
            at("StartJobRun", FOREIGN, REGION, "job/orders"),
        ),
        (
            "to start a job of another region",
            NEVER,
            at("StartJobRun", HERE, "eu-north-1", "job/orders"),
        ),
        ("to change a job", NEVER, own("UpdateJob", "job/orders")),
        ("to stop a job", NEVER, own("BatchStopJobRun", "job/orders")),
        ("to make a job", NEVER, own("CreateJob", "job/orders")),
        ("to let others into the catalog", NEVER, own("PutResourcePolicy", "catalog")),
        ("to change a development endpoint", NEVER, own("UpdateDevEndpoint", "devEndpoint/x")),
        ("to run a statement", NEVER, own("RunStatement", "session/x")),
        ("to begin a session", NEVER, own("CreateSession", "session/x")),
        ("to change a crawler", NEVER, own("UpdateCrawler", "crawler/x")),
        ("the catalog's encryption", NEVER, own("PutDataCatalogEncryptionSettings", "catalog")),
        ("a connection", WHERE_NAMED, own("GetConnection", "connection/warehouse")),
        ("the catalog of a connection", WHERE_NAMED, own("GetConnection", "catalog")),
        ("another connection", NEVER, own("GetConnection", "connection/payroll")),
        (
            "a connection of another account",
            NEVER,
            at("GetConnection", FOREIGN, REGION, "connection/warehouse"),
        ),
        ("to change a connection", NEVER, own("UpdateConnection", "connection/warehouse")),
        ("a database", WHERE_JOBS_RUN, own("GetDatabase", "database/sales")),
        ("a table", WHERE_JOBS_RUN, own("GetTable", "table/sales/orders")),
        ("the catalog of a table", WHERE_JOBS_RUN, own("GetTable", "catalog")),
        ("to make a table", WHERE_JOBS_RUN, own("CreateTable", "table/sales/orders")),
        ("to add partitions", WHERE_JOBS_RUN, own("BatchCreatePartition", "table/sales/orders")),
        (
            "a function",
            WHERE_JOBS_RUN,
            own("GetUserDefinedFunction", "userDefinedFunction/sales/f"),
        ),
        (
            "to tell the statistics of columns",
            WHERE_JOBS_RUN,
            own("UpdateColumnStatisticsForTable", "table/sales/orders"),
        ),
        (
            "a table of another account",
            NEVER,
            at("GetTable", FOREIGN, REGION, "table/sales/orders"),
        ),
        (
            "a table of another region",
            NEVER,
            at("GetTable", HERE, "eu-north-1", "table/sales/orders"),
        ),
        ("the bookmark of a job", WHERE_JOBS_RUN, any("GetJobBookmark")),
        ("to reset a bookmark", NEVER, any("ResetJobBookmark")),
    ]
}

fn others() -> Vec<Row> {
    let logs = |account: &str, group: &str| {
        let stream = format!("arn:aws:logs:{REGION}:{account}:log-group:{group}:log-stream:s");
        let request = may("logs:PutLogEvents", &stream);
        if account == HERE { request } else { of_a_friend(request, account, "logs:PutLogEvents") }
    };
    let data = format!("arn:aws:cloudwatch:{REGION}:{HERE}:dataset/default");
    let metric = |namespace: &str| {
        may("cloudwatch:PutMetricData", &data).with("cloudwatch:namespace", namespace)
    };
    let stream = |action: &str, name: &str| {
        may(&format!("kinesis:{action}"), &format!("arn:aws:kinesis:{REGION}:{HERE}:stream/{name}"))
    };
    let ec2 = |action: &str, what: &str| {
        may(&format!("ec2:{action}"), &format!("arn:aws:ec2:{REGION}:{HERE}:{what}/x"))
    };
    let tagged =
        |tags: &[&str]| ec2("CreateTags", "network-interface").with("aws:TagKeys", tags.to_vec());
    let secret = format!("arn:aws:secretsmanager:{REGION}:{HERE}:secret:s-123456");
    let function = format!("arn:aws:lambda:{REGION}:{HERE}:function:landfall-provisioner");
    vec![
        ("a job's log", WHERE_JOBS_RUN, logs(HERE, "/aws-glue/python-jobs/output")),
        ("a function's log", NEVER, logs(HERE, "/aws/lambda/landfall-trigger")),
        ("a log of another account", NEVER, logs(FOREIGN, "/aws-glue/jobs/output")),
        ("a metric of Glue's", WHERE_JOBS_RUN, metric("Glue")),
        ("a metric of a namespace that is named", WHERE_NAMED, metric("Acme")),
        ("a metric that alarms are on", NEVER, metric("Landfall")),
        ("a stream", WHERE_NAMED, stream("DescribeStream", "clicks")),
        ("its summary", WHERE_NAMED, stream("DescribeStreamSummary", "clicks")),
        ("its records", WHERE_NAMED, stream("GetRecords", "clicks")),
        ("an iterator", WHERE_NAMED, stream("GetShardIterator", "clicks")),
        ("its shards", WHERE_NAMED, stream("ListShards", "clicks")),
        ("to write to a stream", NEVER, stream("PutRecord", "clicks")),
        ("another stream", NEVER, stream("GetRecords", "payroll")),
        ("data by Lake Formation", WHERE_NAMED, may("lakeformation:GetDataAccess", "*")),
        ("grants of Lake Formation's", NEVER, may("lakeformation:GrantPermissions", "*")),
        ("a network interface", WHERE_NAMED, ec2("CreateNetworkInterface", "network-interface")),
        ("one in a subnet", WHERE_NAMED, ec2("CreateNetworkInterface", "subnet")),
        ("its end", WHERE_NAMED, ec2("DeleteNetworkInterface", "network-interface")),
        ("subnets", WHERE_NAMED, may("ec2:DescribeSubnets", "*")),
        ("whether a VPC resolves names", WHERE_NAMED, ec2("DescribeVpcAttribute", "vpc")),
        ("Glue's tag", WHERE_NAMED, tagged(&["aws-glue-service-resource"])),
        ("another tag", NEVER, tagged(&["aws-glue-service-resource", "owner"])),
        ("no tag", NEVER, ec2("CreateTags", "network-interface")),
        (
            "Glue's tag on a machine",
            NEVER,
            ec2("CreateTags", "instance").with("aws:TagKeys", vec!["aws-glue-service-resource"]),
        ),
        ("a machine", NEVER, ec2("RunInstances", "instance")),
        ("a secret", NEVER, may("secretsmanager:GetSecretValue", &secret)),
        ("a function's code", NEVER, may("lambda:UpdateFunctionCode", &function)),
    ]
}

fn roles() -> Vec<Row> {
    let role = |account: &str, name: &str| format!("arn:aws:iam::{account}:role/{name}");
    let assume = |account: &str, name: &str| {
        let open = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
            "Principal": { "AWS": format!("arn:aws:iam::{HERE}:root") }, "Action": "sts:AssumeRole" }] });
        may("sts:AssumeRole", &role(account, name)).resource_policy(open)
    };
    let any_account: Verdicts = [false, true, true, false, false];
    vec![
        (
            "a reader of a trusted account",
            WHERE_JOBS_RUN,
            assume(TRUSTED, "landfall/landfall-reader-1"),
        ),
        ("a reader of this account", WHERE_JOBS_RUN, assume(HERE, "landfall/landfall-reader-1")),
        ("a reader of any account", any_account, assume(FOREIGN, "landfall/landfall-reader-1")),
        ("another role of a trusted account", NEVER, assume(TRUSTED, "admin")),
        ("another role of this account", NEVER, assume(HERE, "admin")),
        ("a role whose path only begins so", NEVER, assume(TRUSTED, "landfall-admin/x")),
        ("to make a role", NEVER, may("iam:CreateRole", &role(HERE, "landfall/landfall-x"))),
        ("to pass a role", NEVER, may("iam:PassRole", &role(HERE, "landfall/landfall-x"))),
        ("to write a policy", NEVER, may("iam:PutRolePolicy", &role(HERE, "landfall/landfall-x"))),
    ]
}

pub const WIDENINGS: [Widening; 21] = [
    ("a bucket that begins alike", NAMED, |all| {
        statement(all, "WhatLanded")["Resource"] = json!("arn:aws:s3:::acme-landing*");
    }),
    ("any bucket's objects", NAMED, |all| statement(all, "DataOfJobs")["Resource"] = json!("*")),
    ("whoever owns the input", NAMED, |all| {
        statement(all, "InputOfJobs")["Condition"] = json!({});
    }),
    ("whoever owns the input, by the account", BY_ACCOUNT, |all| {
        statement(all, "InputOfJobs")["Condition"] = json!({});
    }),
    ("any input", NAMED, |all| statement(all, "InputOfJobs")["Resource"] = json!("*")),
    ("whoever owns what landed", NAMED, |all| {
        statement(all, "WhatLanded")["Condition"] = json!({});
    }),
    ("whoever owns a bucket of jobs", ANY, |all| {
        statement(all, "DataOfJobs")["Condition"] = json!({});
    }),
    ("whoever owns a bucket of jobs that is named", NAMED, |all| {
        statement(all, "DataOfJobs")["Condition"] = json!({});
    }),
    ("whoever owns it, by the account", BY_ACCOUNT, |all| {
        statement(all, "DataOfJobs")["Condition"] = json!({});
    }),
    ("whoever owns the manifests", ANY, |all| {
        statement(all, "Manifests")["Condition"] = json!({});
    }),
    ("all of Glue", NAMED, |all| {
        *statement(all, "Catalog") = json!(
            { "Sid": "Catalog", "Effect": "Allow", "Action": "glue:*", "Resource": "*" });
    }),
    ("every job", NAMED, |all| statement(all, "Jobs")["Resource"] = json!("*")),
    ("jobs of any account", ANY, |all| statement(all, "Jobs")["Resource"] = json!("*")),
    ("every connection", NAMED, |all| statement(all, "Connections")["Resource"] = json!("*")),
    ("every namespace", NAMED, |all| statement(all, "Metrics")["Condition"] = json!({})),
    ("any key", NAMED, |all| {
        statement(all, "KeysOfOthersThroughS3")["Condition"] = json!({});
    }),
    ("any account's roles", NAMED, |all| {
        statement(all, "RolesOfTheseAccounts")["Resource"] = json!("*");
    }),
    ("roles outside the path", NAMED, |all| without(all, "RolesOfLandfallOnly")),
    ("any tag", NAMED, |all| statement(all, "TagsOfNetworkInterfaces")["Condition"] = json!({})),
    ("no tag at all", NAMED, |all| {
        let condition = &mut statement(all, "TagsOfNetworkInterfaces")["Condition"];
        condition.as_object_mut().expect("conditions").remove("Null");
    }),
    ("every table", NAMED, |all| statement(all, "Claims")["Resource"] = json!("*")),
];
