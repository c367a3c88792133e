//! Judges the roles that follow from routes files: for every route, what must be allowed and what
//! not. The provisioner renders them with the same functions.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use expect_test::expect_file;
use landfall_core::roles::{Home, Kind, Owner, Role, RoleSpec};
use landfall_core::routes::{Routes, Target};
use landfall_core::yaml;
use landfall_tests::judge::Request;
use landfall_tests::{ANALYTICS, DATA, REGION, root};
use serde_json::{Value, json};

use super::matrix::{Expected, assumed, batches, job, of_batch, reader, starter};
use super::{judge, role};

pub const EXTERNAL_ID: &str = "the-right-one";
pub const MONITOR: &str = "landfall-monitor";
pub const MANIFESTS: &str = "landfall-manifests";
pub const CLAIMS: &str = "arn:aws:dynamodb:us-east-1:111111111111:table/landfall-claims";
pub const KEY: &str = "arn:aws:kms:us-east-1:111111111111:key/ours";

fn files() -> [std::path::PathBuf; 3] {
    ["infra/routes.yaml", "tests/fixtures/routes.yaml", "tests/fixtures/policies/awkward.yaml"]
        .map(|file| root().join(file))
}

/// A routes file, with all roles that the stacks ask for.
pub struct Rendered {
    pub routes: Routes,
    text: Value,
    roles: BTreeMap<(Kind, String), Role>,
}

impl Rendered {
    fn of(file: &std::path::Path) -> Rendered {
        let text = fs::read_to_string(file).expect("the routes");
        let value = yaml::read(&text).0.expect("YAML").to_value();
        let routes = Routes::parse(&text).routes.expect("valid routes");
        let mut rendered = Rendered { routes, text: value, roles: BTreeMap::new() };
        let targets: Vec<Target> = rendered.routes.targets.values().cloned().collect();
        for target in targets {
            let used = rendered.routes.routes.iter().any(|route| route.target == target.name);
            if !used {
                continue;
            }
            let starter = target.starter_role_arn.clone();
            let (path, name) =
                starter.split_once(":role").expect("a role").1.rsplit_once('/').expect("a path");
            let extra = json!({
                "RoleName": name, "Path": format!("{path}/"), "ExternalId": EXTERNAL_ID,
                "TrustedRoleArns": [role(DATA, "landfall-trigger"), role(DATA, MONITOR)],
            });
            rendered.add(Kind::Starter, &target.account, extra, starter.clone());
            let extra = json!({
                "RoleName": "landfall-reader", "KmsKeyArns": [KEY],
                "TrustedRoleArns": [job_role(&target.account)],
                "ManifestsBucketName": MANIFESTS, "ClaimsTableArn": CLAIMS,
                "AdmitsFormerBatches": "false",
            });
            rendered.add(Kind::Reader, DATA, extra, target.account.clone());
            let readers = json!({ "RoleName": "landfall-job", "ReaderRoleArns": [READER] });
            rendered.add(Kind::Job, &target.account, readers, target.account.clone());
        }
        rendered
    }

    fn add(&mut self, kind: Kind, account: &str, mut properties: Value, key: String) {
        let home = Home {
            partition: "aws".to_owned(),
            account: account.to_owned(),
            region: REGION.to_owned(),
        };
        if kind != Kind::Job {
            properties["Routes"] = self.text.clone();
        }
        let owner = Owner {
            stack_id: "stack".to_owned(),
            logical_id: "Role".to_owned(),
            physical_id: "Role-1".to_owned(),
        };
        let spec = RoleSpec::read(kind, &properties, &home).expect("valid properties");
        let role = spec.role(&owner, &BTreeSet::new()).expect("a role");
        self.roles.insert((kind, key), role);
    }

    fn matrix(&self) -> Vec<Expected> {
        self.routes
            .routes
            .iter()
            // Without a job there is nothing that a role may do for a route.
            .filter(|route| route.job.is_some())
            .flat_map(|route| {
                let target = &self.routes.targets[&route.target];
                let of = |kind, key: &str| &self.roles[&(kind, key.to_owned())];
                let mut all = starter(of(Kind::Starter, &target.starter_role_arn), route, target);
                all.extend(reader(of(Kind::Reader, &target.account), self, route, target));
                all.extend(job(
                    of(Kind::Job, &target.account),
                    of(Kind::Reader, &target.account),
                    target,
                ));
                all.into_iter().map(|(what, allowed, request)| {
                    (format!("{}: {what}", route.name), allowed, request)
                })
            })
            .collect()
    }
}

const READER: &str = "arn:aws:iam::111111111111:role/landfall/landfall-reader";

pub fn job_role(account: &str) -> String {
    role(account, "landfall/landfall-job")
}

/// Returns all requests on which the judge and the matrix disagree.
pub fn deviations(matrix: &[Expected]) -> Vec<String> {
    let requests: Vec<Request> = matrix.iter().map(|(_, _, request)| request.clone()).collect();
    let verdicts = judge().ask(&requests).expect("every request can be judged");
    let wrong = matrix
        .iter()
        .zip(verdicts)
        .filter(|((_, allowed, _), verdict)| *allowed != verdict.allowed);
    wrong
        .map(|((what, ..), verdict)| {
            format!("{what}: allowed: {}, for {}", verdict.allowed, verdict.because)
        })
        .collect()
}

#[test]
fn every_route_is_allowed_what_it_needs_and_nothing_beside_it() {
    for file in files() {
        let matrix = Rendered::of(&file).matrix();
        println!("{}: {} requests", file.display(), matrix.len());
        let wrong = deviations(&matrix);
        assert!(wrong.is_empty(), "{}:\n{}", file.display(), wrong.join("\n"));
    }
}

/// A diff of these files shows every change of what a role may do.
#[test]
fn the_documents_of_every_routes_file_are_as_committed() {
    for file in files() {
        let rendered = Rendered::of(&file);
        let mut text = String::new();
        for role in rendered.roles.values() {
            let trust = role.trust.document().without_external_ids();
            let permissions = role.permissions.value();
            let (arn, trust) = (&role.arn, trust.value());
            text.push_str(&format!("{arn}\ntrust {trust:#}\npermissions {permissions:#}\n\n"));
        }
        let name = file.strip_prefix(root()).expect("a file of ours").to_string_lossy();
        let name = name.replace('/', "-").replace(".yaml", ".txt");
        expect_file![root().join("tests/fixtures/policies/rendered").join(name)].assert_eq(&text);
    }
}

#[test]
fn both_external_ids_are_admitted_during_a_rotation_and_no_third() {
    let rendered = Rendered::of(&files()[0]);
    let text =
        rendered.roles.values().find(|role| role.name == "landfall-starter").expect("a starter");
    let policy = text
        .trust
        .document()
        .to_json()
        .replace(r#"["the-right-one"]"#, r#"["the-old-one","the-right-one"]"#);
    let policy: Value = serde_json::from_str(&policy).expect("JSON");
    for id in ["the-right-one", "the-old-one"] {
        let wrong =
            deviations(&assumed(&text.arn, &policy, &role(DATA, "landfall-trigger"), Some(id)));
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// Returns a reader role of the analytics account, whose properties say this about former batches.
fn reader_that_admits(former_batches: Option<&str>) -> Role {
    let text = fs::read_to_string(&files()[0]).expect("the routes");
    let mut properties = json!({
        "RoleName": "landfall-reader", "TrustedRoleArns": [job_role(ANALYTICS)],
        "ManifestsBucketName": MANIFESTS, "ClaimsTableArn": CLAIMS,
        "Routes": yaml::read(&text).0.expect("YAML").to_value(),
    });
    if let Some(admits) = former_batches {
        properties["AdmitsFormerBatches"] = json!(admits);
    }
    let home =
        Home { partition: "aws".to_owned(), account: DATA.to_owned(), region: REGION.to_owned() };
    let [stack_id, logical_id, physical_id] = ["stack", "Role", "Role-1"].map(str::to_owned);
    let spec = RoleSpec::read(Kind::Reader, &properties, &home).expect("valid properties");
    let owner = Owner { stack_id, logical_id, physical_id };
    spec.role(&owner, &BTreeSet::new()).expect("a role")
}

#[test]
fn a_reader_reaches_the_batches_of_its_account_and_former_ones_only_where_it_is_told_to() {
    // Batches of its own account, of another account, of the previous version, of the previous
    // version with a route named like the account, and of such a route of another account.
    for (admits, expected) in [
        (Some("false"), [true, false, false, false, false]),
        (Some("true"), [true, false, true, true, false]),
        // What the previous version granted, and what a rollback to it restores.
        (None, [true; 5]),
    ] {
        let role = reader_that_admits(admits);
        let may = |action: &str, resource: &str| {
            Request::by_role(&role.arn, action, resource)
                .owned_by(DATA)
                .identity(role.permissions.value().clone())
        };
        let mut matrix: Vec<Expected> = batches(ANALYTICS)
            .iter()
            .zip(expected)
            .flat_map(|(batch, allowed)| of_batch(&may, batch, allowed))
            .collect();
        // A monitor of the previous version wrote the manifest of a batch of this version.
        let [own, other, ..] = batches(ANALYTICS);
        for (batch, is_own) in [(own, true), (other, false)] {
            let key = format!("{MANIFESTS}/manifests/orders/{}.json", batch.claim);
            let get = may("s3:GetObject", &format!("arn:aws:s3:::{key}"));
            let allowed = admits.is_none() || (is_own && admits == Some("true"));
            matrix.push((format!("{key} written by a former monitor"), allowed, get));
        }
        let unnamed = may("dynamodb:UpdateItem", CLAIMS);
        matrix.push(("claim what names no key".to_owned(), admits.is_none(), unnamed));
        let wrong = deviations(&matrix);
        assert!(wrong.is_empty(), "{admits:?}:\n{}", wrong.join("\n"));
    }
}

/// The matrix is useful only if it detects policies that are wrong.
#[test]
fn the_matrix_finds_policies_that_are_too_wide() {
    let rendered = Rendered::of(&files()[0]);
    let find = |kind| rendered.roles.iter().find(|((k, _), _)| *k == kind).expect("a role").1;
    let (route, target) = (&rendered.routes.routes[0], &rendered.routes.targets["analytics"]);
    let starter_role = find(Kind::Starter);
    let text = starter_role.trust.document().to_json();
    let trigger = role(DATA, "landfall-trigger");
    for (from, to) in [
        ("StringEquals", "StringEqualsIfExists"),
        ("ArnEquals", "ArnNotEquals"),
        ("landfall-trigger", "landfall-*"),
    ] {
        let wide: Value = serde_json::from_str(&text.replace(from, to)).expect("JSON");
        assert!(text.contains(from), "{text}");
        let wrong = deviations(&assumed(&starter_role.arn, &wide, &trigger, Some(EXTERNAL_ID)));
        assert!(!wrong.is_empty(), "{to} is not noticed");
    }
    let reader_role = find(Kind::Reader);
    let text = reader_role.trust.document().to_json().replace("sts:AssumeRole", "sts:*");
    let wide: Value = serde_json::from_str(&text).expect("JSON");
    let wrong = deviations(&assumed(&reader_role.arn, &wide, &job_role("222222222222"), None));
    assert!(!wrong.is_empty(), "session tags are not noticed");
    let widened = |role: &Role, from: &str, to: &str| {
        let text = role.permissions.to_json();
        assert!(text.contains(from), "{text}");
        let permissions = landfall_core::policy::Document::parse(&text.replace(from, to));
        Role { permissions: permissions.expect("a document"), ..role.clone() }
    };
    let wide = widened(starter_role, "csv-to-parquet", "csv-to-parquet*");
    assert!(!deviations(&starter(&wide, route, target)).is_empty());
    for (from, to) in [
        ("weather/city=*", "weather/*"),
        (r#""s3:GetObjectVersion""#, r#""s3:PutObject""#),
        ("/manifests/222222222222/*/222222222222-*", "/*"),
        ("/manifests/222222222222/*/222222222222-*", "/manifests/*"),
        (r#"["222222222222-*"]"#, r#"["*-*"]"#),
        (
            r#""Null":{"dynamodb:LeadingKeys":["false"]}"#,
            r#""Null":{"aws:PrincipalArn":["false"]}"#,
        ),
        ("table/landfall-claims", "table/*"),
        (r#""dynamodb:UpdateItem""#, r#""dynamodb:*""#),
        (r#""aws:SecureTransport":["false"]"#, r#""aws:SecureTransport":["none"]"#),
        (r#""StringNotEquals""#, r#""StringEquals""#),
        (r#""aws:ResourceAccount":["111111111111"]"#, r#""aws:ResourceAccount":["999999999999"]"#),
        ("s3.us-east-1.amazonaws.com", "s3.us-west-2.amazonaws.com"),
        (r#""StringEquals":{"kms:ViaService"#, r#""StringEqualsIfExists":{"kms:ViaService"#),
        (
            r#""StringLike":{"kms:EncryptionContext"#,
            r#""StringLikeIfExists":{"kms:EncryptionContext"#,
        ),
        (r#"landfall-manifests/manifests/*"]}}"#, r#"landfall-manifests/*"]}}"#),
    ] {
        let wide = widened(find(Kind::Reader), from, to);
        assert!(!deviations(&reader(&wide, &rendered, route, target)).is_empty(), "{to}");
    }
}
