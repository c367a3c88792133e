//! What `scope: batch` leaves to a run: the session policy that the run is started with, and those
//! with which the job library narrows the reader role (`fixtures/session-policies.json`, as that
//! library renders them).

use std::collections::BTreeSet;
use std::fs;

use landfall_core::batch::Scope;
use landfall_core::roles::{Home, Kind, Owner, Role, RoleSpec};
use landfall_tests::judge::Request;
use landfall_tests::{ANALYTICS, DATA, REGION, root};
use serde::Deserialize;
use serde_json::{Value, json};

use super::matrix::Expected;
use super::rendered::{deviations, job_role};
use super::{role, root_of, trust};

const READER: &str = "arn:aws:iam::111111111111:role/landfall/landfall-reader-222222222222";

/// Renders a role as the provisioner does.
fn rendered(kind: Kind, account: &str, properties: &Value) -> Role {
    let (partition, region) = ("aws".to_owned(), REGION.to_owned());
    let home = Home { partition, account: account.to_owned(), region };
    let owner = Owner {
        stack_id: "stack".to_owned(),
        logical_id: "Role".to_owned(),
        physical_id: "Role-1".to_owned(),
    };
    let spec = RoleSpec::read(kind, properties, &home).expect("valid properties");
    spec.role(&owner, &BTreeSet::new()).expect("a role")
}

/// Returns the policies of the job's role: the provisioner's, and what the owner has granted it,
/// which is its script, its output, a table, and any role at all.
fn granted() -> [Value; 2] {
    let properties = json!({ "RoleName": "landfall-job", "ReaderRoleArns": [READER] });
    let job = rendered(Kind::Job, ANALYTICS, &properties);
    let owners = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::acme-code/*" },
        { "Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::acme-lake/*" },
        { "Effect": "Allow", "Action": "glue:GetTable", "Resource": "*" },
        { "Effect": "Allow", "Action": ["glue:StartJobRun", "iam:PassRole"], "Resource": "*" },
        { "Effect": "Allow", "Action": ["sts:AssumeRole", "sts:AssumeRoot"], "Resource": "*" },
    ] });
    [job.permissions.value().clone(), owners]
}

fn by_job(action: &str, resource: &str) -> Request {
    let request = Request::by_role(&job_role(ANALYTICS), action, resource);
    granted().into_iter().fold(request, |request, policy| request.identity(policy))
}

/// Returns the requests of a run, and whether a run that is held to its batch is still allowed to
/// make them. A run that isn't held is allowed all of them.
fn requests() -> Vec<(&'static str, bool, Request)> {
    // These roles trust the whole account of the job, so nothing else stops the run.
    let open = || trust(root_of(ANALYTICS), json!({}));
    let become_role = |arn: &str| by_job("sts:AssumeRole", arn).resource_policy(open());
    let session = format!("arn:aws:sts::{ANALYTICS}:assumed-role/landfall-job/session");
    let elsewhere = READER.replace("role/landfall/", "role/");
    let log = format!(
        "arn:aws:logs:{REGION}:{ANALYTICS}:log-group:/aws-glue/python-jobs/output:log-stream:jr"
    );
    let table = format!("arn:aws:glue:{REGION}:{ANALYTICS}:table/lake/orders");
    let job = format!("arn:aws:glue:{REGION}:{ANALYTICS}:job/other");
    let owned = |action: &str, arn: &str| by_job(action, arn).owned_by(ANALYTICS);
    vec![
        ("read its script", true, owned("s3:GetObject", "arn:aws:s3:::acme-code/glue/job.py")),
        ("log", true, by_job("logs:PutLogEvents", &log)),
        ("write its output", true, owned("s3:PutObject", "arn:aws:s3:::acme-lake/a.parquet")),
        ("look at a table", true, by_job("glue:GetTable", &table)),
        ("become the reader of its batch", true, become_role(READER)),
        (
            "become a reader of the same data account",
            false,
            become_role(&role(DATA, "landfall/landfall-reader-333333333333")),
        ),
        ("become a role whose name goes on", false, become_role(&format!("{READER}-2"))),
        ("become a reader at another path", false, become_role(&elsewhere)),
        (
            "become a reader of another account",
            false,
            become_role(&READER.replace(DATA, "999999999999")),
        ),
        ("become a role of its own account", false, become_role(&role(ANALYTICS, "admin"))),
        ("become itself again, without the policy", false, become_role(&job_role(ANALYTICS))),
        (
            "become a role that trusts this very session",
            false,
            by_job("sts:AssumeRole", &role(ANALYTICS, "admin"))
                .resource_policy(trust(json!({ "AWS": session }), json!({}))),
        ),
        ("become root", false, by_job("sts:AssumeRoot", &format!("arn:aws:iam::{ANALYTICS}:root"))),
        // If you grant a job these actions, it reaches what has no session policy. The
        // documentation says so.
        ("start another job", true, by_job("glue:StartJobRun", &job)),
        ("pass a role on", true, by_job("iam:PassRole", &role(ANALYTICS, "admin"))),
    ]
}

#[test]
fn a_run_that_is_held_to_its_batch_may_all_but_become_another_role_than_its_reader() {
    let policy = Scope::Batch
        .session_policy(READER)
        .expect("the policy fits")
        .expect("the scope has a policy");
    let mut expected: Vec<Expected> = Vec::new();
    for (what, allowed, request) in requests() {
        expected.push((format!("held: {what}"), allowed, request.clone().session(policy.clone())));
        expected.push((format!("not held: {what}"), true, request));
    }
    // The session policy adds nothing to the role's own permissions.
    let bare = Request::by_role(&job_role(ANALYTICS), "s3:GetObject", "arn:aws:s3:::acme-lake/a")
        .owned_by(ANALYTICS)
        .identity(granted()[0].clone());
    expected.push(("what the role may not".to_owned(), false, bare.session(policy)));
    let wrong = deviations(&expected);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A batch, with the policies that the job library makes of it.
#[derive(Deserialize)]
struct Case {
    name: String,
    bucket: String,
    keys: Vec<String>,
    batch_id: String,
    manifest: String,
    claims_table: String,
    objects_policy: String,
    control_policy: String,
}

fn cases() -> Vec<Case> {
    let text = fs::read_to_string(root().join("tests/fixtures/session-policies.json"));
    serde_json::from_str(&text.expect("the fixture")).expect("cases")
}

impl Case {
    /// Returns the reader role, with a route that takes the whole bucket and a route of another
    /// bucket. Within those, only the session policies deny.
    fn reader(&self) -> Role {
        let (manifests, _) =
            self.manifest.trim_start_matches("s3://").split_once('/').expect("a URI");
        let route = |name: &str, bucket: &str| {
            json!({ "name": name, "bucket": bucket, "key": "**",
                    "start": { "target": "analytics", "job": "orders", "scope": "batch" } })
        };
        let properties = json!({
            "RoleName": "landfall-reader", "TrustedRoleArns": [job_role(ANALYTICS)],
            "ManifestsBucketName": manifests, "ClaimsTableArn": self.claims_table,
            "Routes": {
                "version": 1,
                "targets": { "analytics": {
                    "account": ANALYTICS, "region": REGION, "starter_role": "landfall-starter",
                    "external_id": "${LANDFALL_EXTERNAL_ID}",
                } },
                "routes": [route("batch", &self.bucket), route("other", "acme-other")],
            },
        });
        rendered(Kind::Reader, DATA, &properties)
    }

    /// Returns the common beginning of all keys.
    fn common(&self) -> &str {
        let first = self.keys[0].as_str();
        let shared = |key: &String| {
            let same = first.chars().zip(key.chars()).take_while(|(one, other)| one == other);
            same.map(|(c, _)| c.len_utf8()).sum::<usize>()
        };
        &first[..self.keys.iter().map(shared).min().unwrap_or(0)]
    }

    /// Returns objects beside those of the batch, which its policy need not reach and doesn't.
    fn beside(&self) -> &'static [&'static str] {
        match self.name.as_str() {
            "one object" => &[
                "orders/2026-01-01/a.csv.bak",
                "orders/2026-01-01/a.cs",
                "orders/2026-01-01/b.csv",
            ],
            "a few objects" => &["orders/2026-01-02/b.csv", "orders/2026-01-01/a.csv/b"],
            "wildcards in keys" => &[
                "orders/x/what1.csv",
                "orders/*/what.csv",
                "orders/*/whatx.csv",
                "orders/landfall-reader/a.csv",
                "orders/{aws:username}/a.csv",
                "orders//a.csv",
            ],
            "a key that is the beginning of another" => &["i", "in/", "in/b.csv", "inside/a.csv"],
            "characters that policies hold" => &["in/Zurich.csv", "in/a b c d=e.csv"],
            "characters that policies cannot hold" => &["in/Zürich.csv", "in/Basel/a.csv", "in/"],
            // Every key of the bucket begins as these do.
            "no common beginning" => &[],
            "1,000 objects of one folder" => &[
                "orders/dt=2026-01-02/part-00000.csv",
                "orders/dt=2026-01-01/_SUCCESS",
                "orders/dt=2026-01-01/part-1.csv",
            ],
            "1,000 objects of 40 folders" => {
                &["orders/dt=2026-01-02/shop=00/00000.csv", "orders/dt=2026-01-01/_SUCCESS"]
            }
            "one long key of wildcards" => &["in/plain.csv", "in/*?*?x"],
            "another batch's manifest and table" => &["in/b.csv", "in/a.csv.bak"],
            other => panic!("nothing is said of what lies beside `{other}`"),
        }
    }
}

fn arn(bucket: &str, key: &str) -> String {
    format!("arn:aws:s3:::{bucket}/{key}")
}

/// Makes a request of a reader session that was started with this policy.
fn narrowed(reader: &Role, policy: &str, action: &str, resource: &str) -> Request {
    Request::by_role(&reader.arn, action, resource)
        .owned_by(DATA)
        .identity(reader.permissions.value().clone())
        .session(policy)
}

#[test]
fn a_reader_that_is_narrowed_to_a_batch_reads_its_objects_and_nothing_beside_them() {
    for case in cases() {
        let reader = case.reader();
        let may = |action: &str, resource: &str| {
            narrowed(&reader, &case.objects_policy, action, resource)
        };
        let get = |key: &str| may("s3:GetObject", &arn(&case.bucket, key));
        let list = |prefix: &str| {
            may("s3:ListBucket", &format!("arn:aws:s3:::{}", case.bucket)).with("s3:prefix", prefix)
        };
        let mut all: Vec<Expected> = Vec::new();
        let mut add =
            |what: String, allowed: bool, request: Request| all.push((what, allowed, request));
        for key in &case.keys {
            add(format!("read `{key}`"), true, get(key));
            let version = may("s3:GetObjectVersion", &arn(&case.bucket, key));
            add(format!("read a version of `{key}`"), true, version);
        }
        for key in case.beside() {
            add(format!("read `{key}` beside it"), false, get(key));
            let version = may("s3:GetObjectVersion", &arn(&case.bucket, key));
            add(format!("read a version of `{key}` beside it"), false, version);
        }
        let first = &case.keys[0];
        let manifest = case.manifest.replacen("s3://", "arn:aws:s3:::", 1);
        for (what, allowed, request) in [
            ("read another route's bucket", false, may("s3:GetObject", &arn("acme-other", first))),
            ("read it if somebody else has the bucket", false, get(first).owned_by("999999999999")),
            ("write", false, may("s3:PutObject", &arn(&case.bucket, first))),
            ("delete", false, may("s3:DeleteObject", &arn(&case.bucket, first))),
            ("read the manifest", false, may("s3:GetObject", &manifest)),
            ("claim", false, may("dynamodb:UpdateItem", &case.claims_table)),
            ("list what its keys begin with", true, list(case.common())),
            ("list all", case.common().is_empty(), list("")),
        ] {
            add(what.to_owned(), allowed, request);
        }
        let wrong = deviations(&all);
        assert!(wrong.is_empty(), "{}: {}", case.name, wrong.join("\n"));
    }
}

#[test]
fn a_reader_that_is_narrowed_to_a_claim_reaches_it_and_its_manifest_and_no_others() {
    for case in cases() {
        let reader = case.reader();
        let may = |action: &str, resource: &str| {
            narrowed(&reader, &case.control_policy, action, resource)
        };
        let claim = |action: &str, table: &str, batch: &str| {
            may(action, table).with("dynamodb:LeadingKeys", json!([batch]))
        };
        let (table, id) = (case.claims_table.as_str(), case.batch_id.as_str());
        let manifest = case.manifest.replacen("s3://", "arn:aws:s3:::", 1);
        let other_table = format!("{table}-2");
        let both =
            may("dynamodb:GetItem", table).with("dynamodb:LeadingKeys", json!([id, "other"]));
        let expected = [
            ("read its manifest", true, may("s3:GetObject", &manifest)),
            (
                "read another manifest",
                false,
                may("s3:GetObject", &manifest.replace(".json", "2.json")),
            ),
            (
                "read what begins as its manifest",
                false,
                may("s3:GetObject", &format!("{manifest}.bak")),
            ),
            ("write its manifest", false, may("s3:PutObject", &manifest)),
            ("look at its claim", true, claim("dynamodb:GetItem", table, id)),
            ("claim", true, claim("dynamodb:UpdateItem", table, id)),
            ("look at another claim", false, claim("dynamodb:GetItem", table, "other")),
            ("claim another batch", false, claim("dynamodb:UpdateItem", table, "other")),
            (
                "claim what begins as it",
                false,
                claim("dynamodb:UpdateItem", table, &format!("{id}2")),
            ),
            ("look at several claims", false, both),
            ("delete its claim", false, claim("dynamodb:DeleteItem", table, id)),
            ("scan the claims", false, may("dynamodb:Scan", table)),
            ("claim in another table", false, claim("dynamodb:UpdateItem", &other_table, id)),
            ("read an object", false, may("s3:GetObject", &arn(&case.bucket, &case.keys[0]))),
        ];
        let expected: Vec<Expected> = expected
            .into_iter()
            .map(|(what, allowed, request)| (what.to_owned(), allowed, request))
            .collect();
        let wrong = deviations(&expected);
        assert!(wrong.is_empty(), "{}: {}", case.name, wrong.join("\n"));
    }
}

#[test]
fn a_narrowed_session_is_never_wider_than_what_all_keys_begin_with_and_fits_what_sts_takes() {
    for case in cases() {
        for text in [&case.objects_policy, &case.control_policy] {
            assert!(text.chars().count() <= 2_048, "{}: {}", case.name, text.len());
            assert!(
                text.chars().all(|c| matches!(c, '\u{20}'..='\u{ff}')),
                "{}: {text}",
                case.name
            );
        }
        let document: Value = serde_json::from_str(&case.objects_policy).expect("JSON");
        let resources = document["Statement"][0]["Resource"].as_array().expect("a list");
        let begin = arn(&case.bucket, landfall_core::policy::admissible(case.common()));
        for resource in resources {
            let resource = resource.as_str().expect("text");
            let literal = ["*", "?", "$"]
                .iter()
                .fold(resource.trim_end_matches('*').to_owned(), |text, c| {
                    text.replace(&format!("${{{c}}}"), c)
                });
            // A beginning that is too long for a policy is cut.
            let is_cut = case.name == "one long key of wildcards" && begin.starts_with(&literal);
            assert!(is_cut || literal.starts_with(&begin), "{}: {resource}", case.name);
        }
    }
}

/// A session policy that allows more doesn't extend what the role itself may do.
#[test]
fn a_narrowed_session_reads_nothing_that_the_role_may_not() {
    let case = cases().into_iter().find(|case| case.name == "no common beginning");
    let case = case.expect("its policy allows all of the bucket");
    let reader = case.reader();
    let narrow = reader.permissions.to_json().replace("acme-landing/*", "acme-landing/a/*");
    let get = |key: &str, permissions: &str| {
        Request::by_role(&reader.arn, "s3:GetObject", &arn(&case.bucket, key))
            .owned_by(DATA)
            .identity(permissions)
            .session(case.objects_policy.clone())
    };
    let wrong = deviations(&[
        ("of the route".to_owned(), true, get("a/1.csv", &narrow)),
        ("of none".to_owned(), false, get("b/2.csv", &narrow)),
        (
            "of none, with another role".to_owned(),
            true,
            get("b/2.csv", &reader.permissions.to_json()),
        ),
    ]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
