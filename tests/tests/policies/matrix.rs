//! What the roles of a route must be allowed to do, and what not.

use landfall_core::arn::RoleArn;
use landfall_core::policy::admissible;
use landfall_core::roles::Role;
use landfall_core::routes::{Route, Target};
use landfall_tests::judge::Request;
use landfall_tests::{DATA, REGION};
use serde_json::{Value, json};

use super::rendered::{CLAIMS, EXTERNAL_ID, KEY, MANIFESTS, MONITOR, Rendered, job_role};
use super::{allow, role, trust};

/// The name of a request, whether it must be allowed, and the request.
pub type Expected = (String, bool, Request);

fn expected(list: Vec<(&str, bool, Request)>) -> Vec<Expected> {
    list.into_iter().map(|(what, allowed, request)| (what.to_owned(), allowed, request)).collect()
}

/// Returns who may assume a role that trusts `trusted`.
pub fn assumed(role_arn: &str, policy: &Value, trusted: &str, id: Option<&str>) -> Vec<Expected> {
    let account = RoleArn::parse(trusted).expect("a role").account;
    let own = RoleArn::parse(role_arn).expect("a role").account;
    let asks = |principal: &str, action: &str, id: Option<&str>| {
        let request = Request::by_role(principal, action, role_arn)
            .owned_by(own)
            .identity(allow(action, "*"))
            .resource_policy(policy.clone());
        match id {
            Some(id) => request.with("sts:ExternalId", id),
            None => request,
        }
    };
    let assume = "sts:AssumeRole";
    let beside = format!("{trusted}-2");
    let elsewhere = trusted.replace(":role/", ":role/elsewhere/");
    let foreign = trusted.replace(account, "999999999999");
    let root = Request::by(&format!("arn:aws:iam::{account}:root"), assume, role_arn)
        .owned_by(own)
        .resource_policy(policy.clone());
    let root = match id {
        Some(id) => root.with("sts:ExternalId", id),
        None => root,
    };
    let mut list = expected(vec![
        ("the trusted role", true, asks(trusted, assume, id)),
        ("a role beside it", false, asks(&beside, assume, id)),
        ("a role of the name at another path", false, asks(&elsewhere, assume, id)),
        ("a role of the name in another account", false, asks(&foreign, assume, id)),
        ("the account's root", false, root),
        ("session tags", false, asks(trusted, "sts:TagSession", None)),
        ("a source identity", false, asks(trusted, "sts:SetSourceIdentity", None)),
        (
            "a service",
            false,
            Request::by_service("glue.amazonaws.com", assume, role_arn)
                .owned_by(own)
                .resource_policy(policy.clone()),
        ),
    ]);
    if id.is_some() {
        list.extend(expected(vec![
            ("a wrong external ID", false, asks(trusted, assume, Some("the-wrong-one"))),
            ("no external ID", false, asks(trusted, assume, None)),
        ]));
    }
    list
}

pub fn starter(starter: &Role, route: &Route, target: &Target) -> Vec<Expected> {
    let policy = starter.trust.document().value().clone();
    let trigger = role(DATA, "landfall-trigger");
    let mut list = assumed(&starter.arn, &policy, &trigger, Some(EXTERNAL_ID));
    list.extend(assumed(&starter.arn, &policy, &role(DATA, MONITOR), Some(EXTERNAL_ID)));
    let job = |region: &str, account: &str, name: &str| {
        format!("arn:aws:glue:{region}:{account}:job/{name}")
    };
    let may = |action: &str, resource: &str| {
        Request::by_role(&starter.arn, action, resource)
            .owned_by(&target.account)
            .identity(starter.permissions.value().clone())
    };
    let (region, account) = (target.region.as_str(), target.account.as_str());
    let open = trust(json!({ "AWS": format!("arn:aws:iam::{account}:root") }), json!({}));
    let name = route.job.as_deref().unwrap_or_default();
    let own = job(region, account, name);
    let longer = job(region, account, &format!("{name}-else"));
    list.extend(expected(vec![
        ("start its job", true, may("glue:StartJobRun", &own)),
        ("look at its job", true, may("glue:GetJob", &own)),
        ("look at another job", false, may("glue:GetJob", &longer)),
        ("look up a run", true, may("glue:GetJobRun", &own)),
        ("look up its runs", true, may("glue:GetJobRuns", &own)),
        ("start a job whose name begins so", false, may("glue:StartJobRun", &longer)),
        (
            "start it in another region",
            false,
            may("glue:StartJobRun", &job("eu-north-1", account, name)),
        ),
        (
            "start it in another account",
            false,
            may("glue:StartJobRun", &job(region, "999999999999", name)),
        ),
        ("change its job", false, may("glue:UpdateJob", &own)),
        ("stop a run", false, may("glue:BatchStopJobRun", &own)),
        ("pass the job role", false, may("iam:PassRole", &job_role(account))),
        (
            "become the job role",
            false,
            may("sts:AssumeRole", &job_role(account)).resource_policy(open),
        ),
        ("read an object", false, may("s3:GetObject", "arn:aws:s3:::acme-analytics/x")),
    ]));
    list
}

pub fn reader(reader: &Role, rendered: &Rendered, route: &Route, target: &Target) -> Vec<Expected> {
    let policy = reader.trust.document().value().clone();
    let mut list = assumed(&reader.arn, &policy, &job_role(&target.account), None);
    // What the routes to this account take from the bucket, as precisely as a policy can express
    // it.
    let reaches: Vec<(String, bool)> = rendered
        .routes
        .routes
        .iter()
        .filter(|other| other.bucket == route.bucket)
        .filter(|other| {
            let of = rendered.routes.targets.get(&other.target);
            of.is_some_and(|of| of.account == target.account)
        })
        .map(|other| (admissible(&other.key.literal_ends().0).to_owned(), other.key.is_literal()))
        .collect();
    let is_routed = |key: &str| {
        reaches.iter().any(|(text, is_whole)| match is_whole {
            true => key == text,
            false => key.starts_with(text.as_str()),
        })
    };
    let may = |action: &str, resource: &str| {
        Request::by_role(&reader.arn, action, resource)
            .owned_by(DATA)
            .identity(reader.permissions.value().clone())
    };
    // A bucket of this name belongs to another account, whose policy admits everybody.
    let squatted = |action: &str, resource: &str| {
        let open = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
            "Principal": "*", "Action": "s3:*", "Resource": "*" }] });
        may(action, resource).owned_by("999999999999").resource_policy(open)
    };
    let object = |bucket: &str, key: &str| format!("arn:aws:s3:::{bucket}/{key}");
    let prefix = admissible(&route.key.literal_ends().0).to_owned();
    let inside = match route.key.is_literal() {
        true => object(&route.bucket, &prefix),
        false => object(&route.bucket, &format!("{prefix}x.csv")),
    };
    let longer = format!("{prefix}~");
    let shorter: String = prefix.chars().take(prefix.chars().count().saturating_sub(1)).collect();
    let beside = format!("{shorter}~x.csv");
    let matched = prefix.replace(['*', '?'], "q").replace("${aws:username}", "landfall-reader");
    let key_policy = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
        "Principal": { "AWS": format!("arn:aws:iam::{DATA}:root") }, "Action": "kms:*", "Resource": "*" }] });
    let decrypt = |key: &str, via: Option<&str>, of: Option<&str>| {
        let request = may("kms:Decrypt", key).resource_policy(key_policy.clone());
        let request = via.into_iter().fold(request, |it, via| it.with("kms:ViaService", via));
        of.into_iter().fold(request, |it, of| it.with("kms:EncryptionContext:aws:s3:arn", of))
    };
    let s3 = Some("s3.us-east-1.amazonaws.com");
    let bucket = format!("arn:aws:s3:::{}", route.bucket);
    // If it's certain how S3 writes the key, the policy distinguishes it from keys beside it.
    let plain =
        prefix.find(|c: char| !c.is_ascii_graphic()).map_or(prefix.as_str(), |at| &prefix[..at]);
    let is_decrypted = |key: &str| {
        reaches.iter().any(|(text, is_whole)| match text.find(|c: char| !c.is_ascii_graphic()) {
            Some(end) => key.starts_with(&text[..end]),
            None if *is_whole => key == text,
            None => key.starts_with(text.as_str()),
        })
    };
    let aside = format!("{}~x.csv", &plain[..plain.len().saturating_sub(1)]);
    list.extend(expected(vec![
        (
            "read what goes on behind it",
            is_routed(&longer),
            may("s3:GetObject", &object(&route.bucket, &longer)),
        ),
        ("read below the prefix", true, may("s3:GetObject", &inside)),
        ("read a version below it", true, may("s3:GetObjectVersion", &inside)),
        (
            "read over plain HTTP",
            false,
            may("s3:GetObject", &inside).with("aws:SecureTransport", "false"),
        ),
        ("read it if somebody else has the bucket", false, squatted("s3:GetObject", &inside)),
        ("read a version of it there", false, squatted("s3:GetObjectVersion", &inside)),
        (
            "list it there",
            false,
            squatted("s3:ListBucket", &format!("arn:aws:s3:::{}", route.bucket))
                .with("s3:prefix", prefix.as_str()),
        ),
        ("write", false, may("s3:PutObject", &inside)),
        ("delete", false, may("s3:DeleteObject", &inside)),
        ("read another bucket", false, may("s3:GetObject", &object("acme-elsewhere", "x"))),
        (
            "read beside the prefix",
            is_routed(&beside),
            may("s3:GetObject", &object(&route.bucket, &beside)),
        ),
        (
            "read without the last letter",
            is_routed(&shorter),
            may("s3:GetObject", &object(&route.bucket, &shorter)),
        ),
        (
            "read what a pattern would match",
            is_routed(&format!("{matched}x")),
            may("s3:GetObject", &object(&route.bucket, &format!("{matched}x"))),
        ),
        (
            "list the prefix",
            true,
            may("s3:ListBucket", &format!("arn:aws:s3:::{}", route.bucket))
                .with("s3:prefix", prefix.as_str()),
        ),
        (
            "list beside the prefix",
            is_routed(&beside),
            may("s3:ListBucket", &format!("arn:aws:s3:::{}", route.bucket))
                .with("s3:prefix", beside.as_str()),
        ),
        (
            "list all",
            is_routed(""),
            may("s3:ListBucket", &format!("arn:aws:s3:::{}", route.bucket)),
        ),
        ("decrypt an object through S3", true, decrypt(KEY, s3, Some(&inside))),
        ("decrypt through S3 with the bucket's key", true, decrypt(KEY, s3, Some(&bucket))),
        (
            "decrypt a manifest through S3",
            true,
            decrypt(KEY, s3, Some(&object(MANIFESTS, "manifests/orders/1.json"))),
        ),
        ("decrypt itself", false, decrypt(KEY, None, Some(&inside))),
        ("decrypt what is no object", false, decrypt(KEY, s3, None)),
        (
            "decrypt an object beside the prefix",
            is_decrypted(&aside),
            decrypt(KEY, s3, Some(&object(&route.bucket, &aside))),
        ),
        (
            "decrypt an object of another bucket",
            false,
            decrypt(KEY, s3, Some(&object("acme-elsewhere", "x"))),
        ),
        (
            "decrypt an object of a bucket whose name begins so",
            false,
            decrypt(KEY, s3, Some(&format!("{bucket}-2"))),
        ),
        (
            "decrypt beside the manifests",
            false,
            decrypt(KEY, s3, Some(&object(MANIFESTS, "elsewhere/1.json"))),
        ),
        (
            "decrypt through another service",
            false,
            decrypt(KEY, Some("sqs.us-east-1.amazonaws.com"), Some(&inside)),
        ),
        (
            "decrypt through S3 in another region",
            false,
            decrypt(KEY, Some("s3.us-west-2.amazonaws.com"), Some(&inside)),
        ),
        (
            "decrypt with another key",
            false,
            decrypt("arn:aws:kms:us-east-1:111111111111:key/theirs", s3, Some(&inside)),
        ),
    ]));
    list.extend(manifests_and_claims(&may, &target.account));
    // A key can't be empty.
    list.retain(|(what, ..)| what != "read without the last letter" || !shorter.is_empty());
    list
}

/// The hash of a batch ID. In the previous version it is the whole ID.
const HASH: &str = "899bfd94d19c4ed05147d6815125b225";

/// An account that some routes lead to, or none.
const OTHER: &str = "444444444444";

/// A manifest and a claim, and the account that they belong to.
pub struct OfBatch {
    pub what: &'static str,
    pub manifest: String,
    pub claim: String,
}

/// Returns batches of a reader's own account, of another account, and of the previous version,
/// whose IDs name no account.
pub fn batches(account: &str) -> [OfBatch; 5] {
    let of = |what, manifest: String, claim: String| OfBatch { what, manifest, claim };
    let [own, other] = [account, OTHER].map(|account| format!("{account}-{HASH}"));
    [
        of("of its account", format!("manifests/{account}/orders/{own}.json"), own.clone()),
        of("of another account", format!("manifests/{OTHER}/orders/{other}.json"), other.clone()),
        of("of the version before", format!("manifests/orders/{HASH}.json"), HASH.to_owned()),
        // The route has the account's ID as its name.
        of("of such a route", format!("manifests/{account}/{HASH}.json"), HASH.to_owned()),
        of("of another's such route", format!("manifests/{OTHER}/{account}/{other}.json"), other),
    ]
}

/// Returns the requests that a job makes for a batch, and whether they must be allowed.
pub fn of_batch(
    may: &impl Fn(&str, &str) -> Request,
    batch: &OfBatch,
    allowed: bool,
) -> Vec<Expected> {
    let OfBatch { what, manifest, claim } = batch;
    let item = |action: &str| may(action, CLAIMS).with("dynamodb:LeadingKeys", json!([claim]));
    let manifest = may("s3:GetObject", &format!("arn:aws:s3:::{MANIFESTS}/{manifest}"));
    vec![
        (format!("read a manifest {what}"), allowed, manifest),
        (format!("look at a claim {what}"), allowed, item("dynamodb:GetItem")),
        (format!("claim a batch {what}"), allowed, item("dynamodb:UpdateItem")),
    ]
}

fn manifests_and_claims(may: &impl Fn(&str, &str) -> Request, account: &str) -> Vec<Expected> {
    let get = |key: &str| may("s3:GetObject", &format!("arn:aws:s3:::{key}"));
    let batches = batches(account);
    let OfBatch { manifest, claim, .. } = &batches[0];
    let manifest = format!("arn:aws:s3:::{MANIFESTS}/{manifest}");
    let item = |action: &str, table: &str, keys: &[&str]| {
        may(action, table).with("dynamodb:LeadingKeys", json!(keys))
    };
    let of_others = format!("{OTHER}-{HASH}");
    let mut list = expected(vec![
        (
            "read a manifest over plain HTTP",
            false,
            may("s3:GetObject", &manifest).with("aws:SecureTransport", "false"),
        ),
        (
            "read a manifest if somebody else has the bucket",
            false,
            may("s3:GetObject", &manifest).owned_by("999999999999").resource_policy(json!({
                "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Principal": "*",
                    "Action": "s3:*", "Resource": "*" }] })),
        ),
        ("write a manifest", false, may("s3:PutObject", &manifest)),
        ("read beside the manifests", false, get("landfall-manifests/manifests-2/1.json")),
        ("read a manifest elsewhere", false, get("landfall-manifests-2/manifests/1.json")),
        ("list manifests", false, may("s3:ListBucket", "arn:aws:s3:::landfall-manifests")),
        ("claim what names no key", false, may("dynamodb:UpdateItem", CLAIMS)),
        ("look at what names no key", false, may("dynamodb:GetItem", CLAIMS)),
        (
            "claim one of its own and another's",
            false,
            item("dynamodb:UpdateItem", CLAIMS, &[claim, &of_others]),
        ),
        ("put a claim", false, item("dynamodb:PutItem", CLAIMS, &[claim])),
        ("delete a claim", false, item("dynamodb:DeleteItem", CLAIMS, &[claim])),
        ("scan the claims", false, may("dynamodb:Scan", CLAIMS)),
        ("query the claims", false, item("dynamodb:Query", CLAIMS, &[claim])),
        (
            "claim in another table",
            false,
            item("dynamodb:UpdateItem", &format!("{CLAIMS}-2"), &[claim]),
        ),
        (
            "claim in another region",
            false,
            item("dynamodb:UpdateItem", &CLAIMS.replace("us-east-1", "us-west-2"), &[claim]),
        ),
    ]);
    for (index, batch) in batches.iter().enumerate() {
        list.extend(of_batch(may, batch, index == 0));
    }
    list
}

pub fn job(job: &Role, reader: &Role, target: &Target) -> Vec<Expected> {
    let account = target.account.as_str();
    let policy = job.trust.document().value().clone();
    let by = |service: &str| {
        Request::by_service(service, "sts:AssumeRole", &job.arn)
            .owned_by(account)
            .resource_policy(policy.clone())
    };
    let may = |action: &str, resource: &str| {
        Request::by_role(&job.arn, action, resource).identity(job.permissions.value().clone())
    };
    let open = trust(json!({ "AWS": format!("arn:aws:iam::{account}:root") }), json!({}));
    let log =
        |group: &str| format!("arn:aws:logs:{REGION}:{account}:log-group:{group}:log-stream:run");
    let root = Request::by(&format!("arn:aws:iam::{account}:root"), "sts:AssumeRole", &job.arn);
    expected(vec![
        ("Glue runs it", true, by("glue.amazonaws.com")),
        ("Lambda does not", false, by("lambda.amazonaws.com")),
        ("root does not", false, root.owned_by(account).resource_policy(policy.clone())),
        (
            "become the reader",
            true,
            may("sts:AssumeRole", &reader.arn)
                .resource_policy(reader.trust.document().value().clone()),
        ),
        (
            "become another role",
            false,
            may("sts:AssumeRole", &format!("{}-2", reader.arn)).resource_policy(open),
        ),
        ("log", true, may("logs:PutLogEvents", &log("/aws-glue/python-jobs/output"))),
        ("log elsewhere", false, may("logs:PutLogEvents", &log("/aws/lambda/x"))),
        (
            "start a job",
            false,
            may("glue:StartJobRun", &format!("arn:aws:glue:{REGION}:{account}:job/x")),
        ),
    ])
}
